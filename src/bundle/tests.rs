//! The verifier over bundles that `tests/fixtures/bundle/make.py` made with Python's `cryptography` and `openssl ts`, whole and in
//! every way broken.

use super::*;
use crate::transparency::sha256;
use serde_json::{Value, json};

const ARTIFACT: &[u8] = b"what was signed\n";
const SAN: &str = "https://gitlab.example.com/group/project//.gitlab-ci.yml@refs/heads/main";
const ISSUER: &str = "https://gitlab.example.com";
const ROOT: &str = include_str!("../../tests/fixtures/bundle/trusted_root.json");
const MESSAGE: &str = include_str!("../../tests/fixtures/bundle/message.json");
const ATTESTATION: &str = include_str!("../../tests/fixtures/bundle/attestation.json");
const DSSE: &str = include_str!("../../tests/fixtures/bundle/attestation-dsse.json");

/// What a case does to a whole bundle or trusted root.
type Change = fn(&mut Value);

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn somebody(name: &str, issuer: &str) -> Signatory {
    Signatory::Identity(Identity {
        name: Expected::Exactly(name.to_owned()),
        issuer: Expected::Exactly(issuer.to_owned()),
    })
}

fn verify_as(
    root: &Value,
    bundle: &Value,
    artifact: Artifact<'_>,
    who: &Signatory,
) -> Result<Verified, Problem> {
    let problem = |error: VerificationError| error.problem();
    let root = TrustedRoot::from_json(root.to_string().as_bytes()).map_err(problem)?;
    let bundle = Bundle::from_json(bundle.to_string().as_bytes()).map_err(problem)?;
    Verifier::new(root).verify(&bundle, artifact, who).map_err(problem)
}

fn verify(root: &Value, bundle: &Value) -> Result<Verified, Problem> {
    verify_as(root, bundle, Artifact::Octets(ARTIFACT), &somebody(SAN, ISSUER))
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

#[test]
fn a_whole_bundle_verifies_by_its_file_or_its_digest_and_survives_being_written() {
    for text in [MESSAGE, ATTESTATION, DSSE] {
        for artifact in [Artifact::Octets(ARTIFACT), Artifact::Sha256(sha256(ARTIFACT))] {
            let verified = verify_as(&parsed(ROOT), &parsed(text), artifact, &somebody(SAN, ISSUER)).unwrap();
            assert_eq!(verified.times().len(), 1);
            assert_eq!(verified.logged()[0].index, 1);
            assert_eq!(verified.statement().is_some(), text != MESSAGE);
            assert!(verified.certificate().is_some_and(|it| it.not_before() < verified.times()[0].at));
            let names: Vec<_> = verified.facts().iter().map(|fact| fact.name).collect();
            let common = ["timestamp", "log entry", "certificate", "SCT", "identity", "signature"];
            assert_eq!(names[..6], common);
        }
        let bundle = Bundle::from_json(text.as_bytes()).unwrap();
        assert_eq!(Bundle::from_json(bundle.to_json().as_bytes()).as_ref(), Ok(&bundle));
        assert_eq!(bundle.version(), Version::V03);
    }
}

#[test]
fn identities_are_exact_or_patterns() {
    let (root, bundle) = (parsed(ROOT), parsed(MESSAGE));
    let verify = |who| verify_as(&root, &bundle, Artifact::Octets(ARTIFACT), &who).map(drop);
    assert_eq!(verify(somebody(SAN.trim_end_matches('n'), ISSUER)), Err(Problem::IdentityMismatch));
    assert_eq!(verify(somebody("", ISSUER)), Err(Problem::IdentityMismatch));
    assert_eq!(verify(somebody(SAN, "https://gitlab.example.com/")), Err(Problem::IssuerMismatch));
    let pattern = |name: &str, issuer: &str| {
        let expected = |text| Expected::matching(text).unwrap();
        Signatory::Identity(Identity { name: expected(name), issuer: expected(issuer) })
    };
    assert_eq!(verify(pattern("^https://gitlab\\.example\\.com/group/", "example")), Ok(()));
    assert_eq!(
        verify(pattern("^https://gitlab\\.example\\.com/other/", "example")),
        Err(Problem::IdentityMismatch)
    );
    assert_eq!(verify(pattern("project", "^gitlab")), Err(Problem::IssuerMismatch));
}

#[test]
fn another_artifact_is_refused() {
    for (text, problem) in [
        (MESSAGE, Problem::ArtifactMismatch),
        (ATTESTATION, Problem::SubjectMismatch),
        (DSSE, Problem::SubjectMismatch),
    ] {
        for other in [Artifact::Octets(b"what was not"), Artifact::Sha256([0; 32])] {
            let refused = verify_as(&parsed(ROOT), &parsed(text), other, &somebody(SAN, ISSUER));
            assert_eq!(refused.unwrap_err(), problem);
        }
    }
    // Without the hint it is the log entry that tells.
    let mut bundle = parsed(MESSAGE);
    bundle["messageSignature"].as_object_mut().unwrap().remove("messageDigest");
    assert!(verify(&parsed(ROOT), &bundle).is_ok());
    let refused = verify_as(&parsed(ROOT), &bundle, Artifact::Octets(b"x"), &somebody(SAN, ISSUER));
    assert_eq!(refused.unwrap_err(), Problem::LogEntryMismatch);
}

#[test]
fn a_bundle_of_a_certificate_needs_an_identity_and_one_of_a_key_the_key() {
    let key = SigningKey::from_spki(crate::certificate::testing::LEAF_SPKI).unwrap();
    let by_key = Signatory::Key(key);
    let artifact = Artifact::Octets(ARTIFACT);
    let refused = verify_as(&parsed(ROOT), &parsed(MESSAGE), artifact, &by_key);
    assert_eq!(refused.unwrap_err(), Problem::SignerMismatch);
    let mut bundle = parsed(MESSAGE);
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    material.remove("certificate");
    material.insert("publicKey".to_owned(), json!({ "hint": "x" }));
    assert_eq!(verify(&parsed(ROOT), &bundle).unwrap_err(), Problem::SignerMismatch);
    let refused = verify_as(&parsed(ROOT), &bundle, artifact, &by_key);
    assert_eq!(refused.unwrap_err(), Problem::LogEntryMismatch);
}

#[test]
fn each_part_that_is_missing_or_of_something_else_is_named() {
    let cases: [(Change, Problem); 17] = [
        (
            |it| it["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v0.4+json"),
            Problem::BundleVersion,
        ),
        (|it| it["more"] = json!(1), Problem::BundleMalformed),
        (|it| it["dsseEnvelope"] = parsed(ATTESTATION)["dsseEnvelope"].clone(), Problem::BundleMalformed),
        (|it| it["verificationMaterial"]["publicKey"] = json!({ "hint": "x" }), Problem::BundleMalformed),
        (|it| entry(it)["logIndex"] = json!("-1"), Problem::BundleMalformed),
        (|it| it["verificationMaterial"]["tlogEntries"] = json!([]), Problem::LogEntryMissing),
        (|it| entry(it)["logId"]["keyId"] = json!("AAAA"), Problem::LogEntryMissing),
        (|it| entry(it)["kindVersion"]["kind"] = json!("rpm"), Problem::LogEntryMalformed),
        (|it| entry(it)["kindVersion"]["version"] = json!("0.0.1"), Problem::LogEntryMismatch),
        (|it| *entry(it) = entry(&mut parsed(ATTESTATION)).clone(), Problem::LogEntryMismatch),
        (|it| entry(it)["logIndex"] = json!("2"), Problem::ProofInvalid),
        (|it| entry(it)["inclusionProof"]["treeSize"] = json!("3"), Problem::ProofInvalid),
        (|it| entry(it)["inclusionProof"] = json!(null), Problem::ProofMissing),
        (|it| entry(it)["inclusionProof"]["checkpoint"] = json!(null), Problem::ProofMissing),
        (
            |it| {
                let other = &mut parsed(ATTESTATION);
                entry(it)["inclusionProof"]["checkpoint"] =
                    entry(other)["inclusionProof"]["checkpoint"].clone();
            },
            Problem::CheckpointInvalid,
        ),
        (|it| it["verificationMaterial"]["timestampVerificationData"] = json!(null), Problem::TimeMissing),
        (
            |it| {
                it["verificationMaterial"]["timestampVerificationData"] =
                    parsed(ATTESTATION)["verificationMaterial"]["timestampVerificationData"].clone();
            },
            Problem::TimestampMismatch,
        ),
    ];
    for (at, (change, problem)) in cases.into_iter().enumerate() {
        let mut bundle = parsed(MESSAGE);
        change(&mut bundle);
        assert_eq!(verify(&parsed(ROOT), &bundle).unwrap_err(), problem, "case {at}");
    }
    for twice in ["\"mediaType\":\"x\",", "\"messageSignature\":null,"] {
        let text = MESSAGE.replacen('{', &format!("{{{twice}"), 1);
        assert_eq!(Bundle::from_json(text.as_bytes()).unwrap_err().problem(), Problem::BundleMalformed);
    }
}

#[test]
fn nothing_is_given_twice_and_rekor_2_promises_nothing() {
    let twice = |list: &mut Value| {
        let first = list[0].clone();
        list.as_array_mut().unwrap().push(first);
    };
    let mut bundle = parsed(MESSAGE);
    twice(&mut bundle["verificationMaterial"]["tlogEntries"]);
    assert_eq!(verify(&parsed(ROOT), &bundle).unwrap_err(), Problem::BundleMalformed);
    let mut bundle = parsed(MESSAGE);
    twice(&mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]);
    assert_eq!(verify(&parsed(ROOT), &bundle).unwrap_err(), Problem::BundleMalformed);
    for (name, value) in
        [("inclusionPromise", json!({ "signedEntryTimestamp": "AAAA" })), ("integratedTime", json!("1"))]
    {
        let mut bundle = parsed(MESSAGE);
        entry(&mut bundle)[name] = value;
        assert_eq!(verify(&parsed(ROOT), &bundle).unwrap_err(), Problem::LogEntryMalformed, "{name}");
    }
    let mut bundle = parsed(MESSAGE);
    entry(&mut bundle)["integratedTime"] = json!("0");
    entry(&mut bundle)["inclusionPromise"] = json!(null);
    assert!(verify(&parsed(ROOT), &bundle).is_ok());
}

#[test]
fn a_timestamp_that_cannot_be_read_counts_for_nothing() {
    let mut bundle = parsed(MESSAGE);
    let list = &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
    let unreadable = json!({ "signedTimestamp": "AAAA" });
    list.as_array_mut().unwrap().push(unreadable.clone());
    assert_eq!(verify(&parsed(ROOT), &bundle).unwrap().times().len(), 1);
    bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = json!([unreadable]);
    assert_eq!(verify(&parsed(ROOT), &bundle).unwrap_err(), Problem::TimestampMalformed);
}

/// The values of an object, in the order of the fields in the types that are read.
fn as_list(value: &Value, order: &[&str]) -> Value {
    order.iter().map(|name| value.get(*name).cloned().unwrap_or_default()).collect()
}

#[test]
fn a_list_is_no_object() {
    let list = |text: &str, at: &str, order: &[&str]| {
        let mut document = parsed(text);
        let place = document.pointer_mut(at).unwrap();
        *place = as_list(place, order);
        document
    };
    for (at, order) in [
        ("", &["mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"][..]),
        ("/messageSignature", &["messageDigest", "signature"]),
        ("/messageSignature/messageDigest", &["algorithm", "digest"]),
        ("/verificationMaterial/certificate", &["rawBytes"]),
        ("/verificationMaterial/timestampVerificationData", &["rfc3161Timestamps"]),
        ("/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0", &["signedTimestamp"]),
        ("/verificationMaterial/tlogEntries/0/kindVersion", &["kind", "version"]),
        ("/verificationMaterial/tlogEntries/0/logId", &["keyId"]),
        ("/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint", &["envelope"]),
    ] {
        assert_eq!(verify(&parsed(ROOT), &list(MESSAGE, at, order)).unwrap_err(), Problem::BundleMalformed);
    }
    for (at, order) in [
        ("/tlogs/0/logId", &["keyId"][..]),
        ("/tlogs/0/publicKey", &["rawBytes", "keyDetails", "validFor"]),
        ("/tlogs/0/publicKey/validFor", &["start", "end"]),
        ("/certificateAuthorities/0/certChain", &["certificates"]),
        ("/certificateAuthorities/0", &["uri", "certChain", "validFor"]),
    ] {
        let refused = verify(&list(ROOT, at, order), &parsed(MESSAGE)).unwrap_err();
        assert_eq!(refused, Problem::TrustedRootMalformed, "{at}");
    }
}

#[test]
fn only_what_the_trusted_root_names_at_that_time_counts() {
    let long_ago = json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-02-01T00:00:00Z" });
    let without = |name: &str| {
        let mut root = parsed(ROOT);
        root[name] = json!([]);
        verify(&root, &parsed(MESSAGE)).unwrap_err()
    };
    assert_eq!(without("tlogs"), Problem::LogEntryMissing);
    assert_eq!(without("ctlogs"), Problem::SctUntrusted);
    assert_eq!(without("certificateAuthorities"), Problem::CertificateUntrusted);
    assert_eq!(without("timestampAuthorities"), Problem::TimestampUntrusted);
    let expired = |change: &dyn Fn(&mut Value, &Value)| {
        let mut root = parsed(ROOT);
        change(&mut root, &long_ago);
        verify(&root, &parsed(MESSAGE)).unwrap_err()
    };
    let log = |name: &'static str| {
        move |root: &mut Value, window: &Value| {
            root[name][0]["publicKey"]["validFor"] = window.clone();
        }
    };
    let ca = |name: &'static str| {
        move |root: &mut Value, window: &Value| root[name][0]["validFor"] = window.clone()
    };
    assert_eq!(expired(&log("tlogs")), Problem::LogNotValid);
    assert_eq!(expired(&log("ctlogs")), Problem::SctInvalid);
    assert_eq!(expired(&ca("certificateAuthorities")), Problem::CertificateNotValid);
    assert_eq!(expired(&ca("timestampAuthorities")), Problem::TimestampNotValid);
    // The timestamp authority's CA issues no signing certificates, and the other way round.
    let mut root = parsed(ROOT);
    root["timestampAuthorities"] = root["certificateAuthorities"].clone();
    assert_eq!(verify(&root, &parsed(MESSAGE)).unwrap_err(), Problem::TimestampUntrusted);
    let mut root = parsed(ROOT);
    root["timestampAuthorities"][0]["certChain"]["certificates"].as_array_mut().unwrap().remove(0);
    assert!(verify(&root, &parsed(MESSAGE)).is_ok(), "the authority's certificate came with the timestamp");
}

#[test]
fn a_trusted_root_is_whole_or_refused_by_place() {
    let cases: [(Change, &str); 7] = [
        (|it| it["mediaType"] = json!("x"), "trusted root"),
        (|it| it["tlogs"][0]["publicKey"]["validFor"] = json!({}), "tlogs[0]"),
        (|it| it["tlogs"][0]["logId"]["keyId"] = json!("AAAA"), "tlogs[0]"),
        (|it| it["ctlogs"][0]["logId"] = it["tlogs"][0]["logId"].clone(), "ctlogs[0]"),
        (|it| it["ctlogs"][0]["hashAlgorithm"] = json!("SHA2_512"), "ctlogs[0]"),
        (|it| it["certificateAuthorities"][0]["certChain"] = json!({}), "certificateAuthorities[0]"),
        (
            |it| it["timestampAuthorities"][0]["validFor"] = json!({ "start": "soon" }),
            "timestampAuthorities[0]",
        ),
    ];
    for (change, place) in cases {
        let mut root = parsed(ROOT);
        change(&mut root);
        let error = TrustedRoot::from_json(root.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.problem(), error.place()), (Problem::TrustedRootMalformed, place));
    }
    let wrapped = json!({ "mediaType": "client config", "trustedRoot": parsed(ROOT), "signingConfig": {} });
    assert!(verify(&wrapped, &parsed(MESSAGE)).is_ok());
}

/// Every octet that is in base64 anywhere, one bit changed, a sample of them.
#[test]
fn no_octet_of_a_bundle_can_be_changed() {
    for text in [MESSAGE, DSSE] {
        let mut paths = Vec::new();
        leaves(&parsed(text), String::new(), &mut paths);
        for path in paths {
            let original = parsed(text);
            let Some(octets) = original.pointer(&path).and_then(Value::as_str).and_then(from_base64) else {
                continue;
            };
            let step = (octets.len() / 24).max(1);
            for at in (0..octets.len()).step_by(step) {
                let mut changed = octets.clone();
                changed[at] ^= 1 << (at % 8);
                let mut bundle = original.clone();
                *bundle.pointer_mut(&path).unwrap() = json!(base64(&changed));
                // A timestamp's answer has words around the token that nobody signs.
                let unsigned = path.ends_with("signedTimestamp");
                assert!(verify(&parsed(ROOT), &bundle).is_err() || unsigned, "{path}, octet {at}");
            }
        }
    }
}

fn leaves(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, format!("{path}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| leaves(value, format!("{path}/{at}"), found));
        }
        Value::String(_) => found.push(path),
        _ => {}
    }
}

#[test]
fn a_logs_origin_is_its_host() {
    let mut root = parsed(ROOT);
    for (url, holds) in [
        ("https://ca.example.com", true),
        ("https://ca.example.com:8443/", true),
        ("http://ca.example.com/log", true),
        ("https://ca.example.com.evil", false),
        ("https://other.example.com", false),
        ("ca.example.com", false),
        ("", false),
    ] {
        root["tlogs"][0]["baseUrl"] = json!(url);
        let verified = verify(&root, &parsed(MESSAGE)).map(drop);
        assert_eq!(verified, if holds { Ok(()) } else { Err(Problem::CheckpointInvalid) }, "{url}");
    }
}

/// Made by sigstore-go 1.3.0 with a key `PKIX_ED25519_PH` of its own, against this log and this authority.
#[test]
fn bundles_that_sigstore_go_signed_with_ed25519ph_verify() {
    let root = parsed(include_str!("../../tests/fixtures/bundle/ed25519ph/trusted_root.json"));
    let pem = include_str!("../../tests/fixtures/bundle/ed25519ph/key.pub");
    let spki = crate::certificate::pem::blocks(pem.as_bytes()).unwrap().swap_remove(0).der;
    let key = Signatory::Key(SigningKey::from_spki(&spki).unwrap());
    let message = parsed(include_str!("../../tests/fixtures/bundle/ed25519ph/message.json"));
    let attestation = parsed(include_str!("../../tests/fixtures/bundle/ed25519ph/attestation.json"));
    assert_eq!(message["messageSignature"]["messageDigest"]["algorithm"], "SHA2_512");
    let (own, other) = (Artifact::Octets(ARTIFACT), Artifact::Octets(b"what was not"));
    for bundle in [&message, &attestation] {
        assert!(verify_as(&root, bundle, own, &key).is_ok());
        assert!(verify_as(&root, bundle, other, &key).is_err());
    }
    // Its SHA-256 is not what was signed.
    let digest = Artifact::Sha256(sha256(ARTIFACT));
    assert!(verify_as(&root, &attestation, digest, &key).is_ok());
    assert_eq!(verify_as(&root, &message, digest, &key).unwrap_err(), Problem::LogEntryMismatch);
    // Neither signature passes where the other's stands.
    let mut swapped = message.clone();
    swapped["messageSignature"]["signature"] = attestation["dsseEnvelope"]["signatures"][0]["sig"].clone();
    assert!(verify_as(&root, &swapped, own, &key).is_err());
}
