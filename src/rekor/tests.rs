//! Requests made by others (`tests/fixtures/rekor_vectors.py`), and what has to come of them.

use super::*;
use crate::certificate::IssuedLately;
use crate::certificate::testing::{self, NOW};
use crate::refusal::{Reason, Refusal};
use crate::rekor::verifier::{Material, ProposedVerifier};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    request: String,
    body: Option<String>,
    reason: Option<String>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../tests/fixtures/rekor.json")).unwrap()
}

fn entry(request: &[u8]) -> Result<VerifiedEntry, Refusal> {
    Request::parse(request)?.prepare()?.verify()
}

#[test]
fn requests_made_by_others_become_the_entries_that_they_expect_or_are_refused_for_what_is_wrong() {
    let vectors = vectors();
    assert!(vectors.len() > 150);
    for vector in vectors {
        let outcome = entry(vector.request.as_bytes());
        match (&vector.body, &vector.reason, outcome) {
            (Some(expected), None, Ok(entry)) => {
                assert_eq!(str::from_utf8(entry.body.as_bytes()).unwrap(), expected, "{}", vector.name);
                assert!(expected.contains(&format!(r#""kind":"{}""#, entry.kind)), "{}", vector.name);
            }
            (None, Some(expected), Err(refusal)) => {
                assert_eq!(refusal.reason().code(), expected, "{}: {refusal}", vector.name);
                let said = refusal.to_string();
                assert!(said.len() < 300, "{}: {said}", vector.name);
            }
            (_, _, outcome) => panic!("{}: {outcome:?}", vector.name),
        }
    }
}

#[test]
fn no_octet_of_a_good_request_can_be_changed_unseen() {
    let good = vectors().into_iter().find(|vector| vector.name == "certificate").unwrap();
    let body = entry(good.request.as_bytes()).unwrap().body;
    for at in 0..good.request.len() {
        let mut changed = good.request.clone().into_bytes();
        changed[at] ^= 1;
        // A change in what is not signed, the certificate's own signature say, makes another entry.
        if let Ok(entry) = entry(&changed) {
            let same = serde_json::from_slice::<serde_json::Value>(&changed).unwrap()
                == serde_json::from_str::<serde_json::Value>(&good.request).unwrap();
            assert_eq!(entry.body == body, same, "octet {at}");
        }
        assert!(Request::parse(&good.request.as_bytes()[..at]).is_err());
    }
}

#[test]
fn a_tree_in_the_place_of_a_name_is_refused_before_it_is_built() {
    for item in [r#"{"":0}"#, "[0]", "0"] {
        let tree = vec![item; 1000].join(",");
        let head = r#"{"hashedRekordRequestV002":{"signature":{"verifier":{"keyDetails":["#;
        let refused = Request::parse(format!("{head}{tree}]}}}}}}}}").as_bytes()).unwrap_err();
        assert_eq!(refused.reason(), Reason::RequestMalformed);
        let said = format!("{refused:?}");
        let column = said.split_once("column ").and_then(|(_, rest)| rest.split_once(':')).unwrap().0;
        assert!(column.parse::<usize>().unwrap() <= head.len() + 2, "{said}");
    }
}

#[test]
fn signatures_beyond_the_most_are_counted_and_not_read() {
    for lists in [
        |few: &str, many: &str| format!(r#"{{"envelope":{{"signatures":[{few}]}},"verifiers":[{many}]}}"#),
        |few: &str, many: &str| format!(r#"{{"envelope":{{"signatures":[{many}]}},"verifiers":[{few}]}}"#),
    ] {
        let read = |beyond: &str| {
            let request = lists("", &format!("{},{beyond}", ["{}"; dsse::MOST_SIGNATURES].join(",")));
            Request::parse(format!(r#"{{"dsseRequestV002":{request}}}"#).as_bytes()).unwrap_err().reason()
        };
        assert_eq!(read("{}"), Reason::EnvelopeInvalid);
        assert_eq!(read(r#"{},"never read",{"a":[]}"#), Reason::EnvelopeInvalid);
        assert_eq!(read(r#""read""#), Reason::RequestMalformed);
    }
}

#[test]
fn an_envelope_has_no_key_and_no_signature_twice() {
    let chain = testing::chain();
    let verifier = |number: usize| {
        let spki = [testing::LEAF_SPKI, chain.issuing_spki()][number].to_vec();
        ProposedVerifier { material: Material::PublicKey(spki), details: KeyDetails::P256Sha256 }
    };
    let prepared = |verifiers: Vec<ProposedVerifier>, signatures: [&[u8]; 2]| {
        let signatures = signatures.map(<[u8]>::to_vec).to_vec();
        let (payload, payload_type) = (b"payload".to_vec(), "text/plain".to_owned());
        dsse::Proposed { payload, payload_type, signatures, verifiers }
            .prepare()
            .map(drop)
            .map_err(|refusal| refusal.to_string())
    };
    assert_eq!(prepared(vec![verifier(0), verifier(1)], [b"a", b"b"]), Ok(()));
    for refused in [
        prepared(vec![verifier(0), verifier(0)], [b"a", b"b"]),
        prepared(vec![verifier(0), verifier(1)], [b"a", b"a"]),
    ] {
        assert!(refused.clone().is_err_and(|words| words.contains("twice")), "{refused:?}");
    }
}

#[test]
fn what_no_tile_can_hold_is_refused_before_it_is_parsed() {
    let details = KeyDetails::P256Sha256;
    for material in [Material::Certificate(vec![0x30; MAX_BODY + 1]), Material::PublicKey(vec![0; 1 << 20])] {
        let refused = Verifier::read(ProposedVerifier { material, details }).unwrap_err();
        assert_eq!(refused.reason(), Reason::EntryTooLarge);
    }
}

fn certificate(der: &[u8]) -> Verifier {
    let material = Material::Certificate(der.to_vec());
    Verifier::read(ProposedVerifier { material, details: KeyDetails::P256Sha256 }).unwrap()
}

fn key(spki: &[u8]) -> Verifier {
    let material = Material::PublicKey(spki.to_vec());
    Verifier::read(ProposedVerifier { material, details: KeyDetails::P256Sha256 }).unwrap()
}

#[test]
fn who_may_write_is_told_by_the_certificates_signature_or_by_the_list() {
    let chain = testing::chain();
    let own = testing::issue(&chain, NOW);
    let template = testing::template(&chain, NOW).unwrap();
    let signature = testing::sign(template.precertificate_tbs());
    let precertificate = certificate(template.into_precertificate(&signature).der());
    let mut forged = own.der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let (own, forged, bare) = (certificate(own.der()), certificate(&forged), key(testing::LEAF_SPKI));
    let others = vectors().into_iter().find(|vector| vector.name == "certificate").unwrap();
    let others = Request::parse(others.request.as_bytes()).unwrap().prepare().unwrap();
    let others = &others.verifiers()[0];

    let lately = IssuedLately::default();
    let mut listed_ca = Listed::default();
    listed_ca.add_pem(testing::CHAIN.as_bytes()).unwrap();
    let mut listed_key = Listed::default();
    let pem = crate::certificate::pem::encode("PUBLIC KEY", testing::LEAF_SPKI);
    listed_key.add_pem(pem.as_bytes()).unwrap();
    let own_listed = Listed::of_own();
    for (writers, expected) in [
        (Writers::Own, [true, false, false, false, false]),
        (Writers::Any, [true, true, true, true, true]),
        (Writers::Listed(listed_ca), [true, false, false, false, false]),
        (Writers::Listed(listed_key), [false, false, false, true, false]),
        (Writers::Listed(own_listed), [true, false, false, false, false]),
        (Writers::Listed(Listed::default()), [false; 5]),
    ] {
        let admitted = [&own, &forged, &precertificate, &bare, others].map(|verifier| {
            writers
                .admit(verifier, &chain, &lately)
                .map_err(|refusal| assert_eq!(refusal.reason(), Reason::WriterNotAdmitted))
                .is_ok()
        });
        assert_eq!(admitted, expected, "{writers:?}");
    }
    // Whom it claims to be is whom it is admitted as.
    let admitted = Writers::Own.admit(&own, &chain, &lately).unwrap();
    assert_eq!((Writers::Own.claimed(&own, &chain), admitted.group), (admitted.clone(), "own"));
    assert_ne!(Writers::Any.admit(&bare, &chain, &lately).unwrap().name, admitted.name);
}

#[test]
fn lists_with_other_things_in_them_are_refused() {
    let leaf = testing::issue(&testing::chain(), NOW).pem();
    for (text, expected) in [
        ("", "no PEM block"),
        (leaf.as_str(), "not a CA's certificate"),
        (testing::ISSUING_KEY, "only CERTIFICATE and PUBLIC KEY"),
        ("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", "no public key"),
    ] {
        let refused = Listed::default().add_pem(text.as_bytes()).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}

proptest! {
    #[test]
    fn any_request_is_survived(body in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = entry(body.as_bytes());
        let _ = entry(&bytes);
        for details in KeyDetails::ALL {
            for material in [Material::Certificate(bytes.clone()), Material::PublicKey(bytes.clone())] {
                if let Ok(verifier) = Verifier::read(ProposedVerifier { material, details: *details }) {
                    prop_assert!(!verifier.verifies_message(&bytes, &bytes));
                }
            }
        }
    }
}
