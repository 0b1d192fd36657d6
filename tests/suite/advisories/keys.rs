//! Attacks on keys, proofs of possession and signing requests.

use super::signer::{Signer, blocks};
use super::{Target, assert_refused, base64_of};
use crate::support::Answer;
use crate::support::key::TestKey;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair, SanType};
use serde_json::json;
use std::path::Path;

impl Target {
    async fn key(&self, pem: &str, proof: &[u8]) -> Answer {
        let public_key = json!({ "content": pem });
        let request = json!({ "publicKey": public_key, "proofOfPossession": base64_of(proof) });
        let credentials = json!({ "oidcIdentityToken": self.ca.token() });
        self.ca.sign(&json!({ "credentials": credentials, "publicKeyRequest": request })).await
    }

    async fn csr(&self, der: &[u8]) -> Answer {
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der));
        let credentials = json!({ "oidcIdentityToken": self.ca.token() });
        let csr = base64_of(pem.as_bytes());
        self.ca.sign(&json!({ "credentials": credentials, "certificateSigningRequest": csr })).await
    }
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hex")
}

fn spki_pem(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("PUBLIC KEY", der))
}

/// CVE-2017-15361 (ROCA), CVE-2020-0601 (explicit curve parameters), small exponents, small factors, close primes, points off the
/// curve and of small order.
#[tokio::test(flavor = "multi_thread")]
async fn weak_and_foreign_keys_get_no_certificate() {
    let target = Target::start().await;
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/keys/{name}.pem"));
        std::fs::read_to_string(path).expect("a key")
    };
    for (name, reason) in [
        ("rsa-roca", "KEY_INSECURE"),
        ("rsa-e-3", "KEY_INSECURE"),
        ("rsa-e-65539", "KEY_INSECURE"),
        ("rsa-1024", "KEY_INSECURE"),
        ("rsa-2047", "KEY_INSECURE"),
        ("rsa-factor-751", "KEY_INSECURE"),
        ("rsa-close-primes", "KEY_INSECURE"),
        ("p256-explicit", "KEY_UNPARSABLE"),
        ("p256-off-curve", "KEY_UNPARSABLE"),
        ("p256-compressed", "KEY_UNPARSABLE"),
        ("p224", "KEY_INSECURE"),
        ("k256", "KEY_UNPARSABLE"),
        ("brainpool", "KEY_UNPARSABLE"),
        ("dsa", "KEY_INSECURE"),
        ("x25519", "KEY_INSECURE"),
        ("ed448", "KEY_UNPARSABLE"),
        ("ed25519-neutral", "PROOF_INVALID"),
        ("ed25519-zeros", "PROOF_INVALID"),
    ] {
        let neutral = [vec![1], vec![0; 63]].concat();
        assert_refused(name, &target.key(&fixture(name), &neutral).await, reason);
    }
    let curve = "301306072a8648ce3d020106082a8648ce3d030107";
    for (attack, der) in [
        ("the point at infinity", format!("3019{curve}03020000")),
        ("no point", format!("3018{curve}030100")),
        ("coordinates beyond the field", format!("3059{curve}03420004{}", "ff".repeat(64))),
        ("the origin", format!("3059{curve}03420004{}", "00".repeat(64))),
        ("a hybrid point", format!("3059{curve}03420006{}", "01".repeat(64))),
        ("unused bits", format!("3059{curve}03420304{}", "01".repeat(64))),
    ] {
        assert_refused(attack, &target.key(&spki_pem(&hex(&der)), &[0; 64]).await, "KEY_UNPARSABLE");
    }
    target.stands().await;
}

/// BER where DER is asked for, CVE-2020-7919's kind of parser: lengths that lie must neither be believed nor end the server.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_requests_are_der_to_the_octet() {
    let target = Target::start().await;
    let key = TestKey::new();
    let proof = hex(&"00".repeat(64));
    let der = pem::parse(key.pem()).expect("PEM").into_contents();
    let mut variants = vec![
        [&der[..], &[0]].concat(),
        [&[0x30, 0x81], &der[1..]].concat(),
        [&[0x30, 0x80], &der[2..], &[0, 0]].concat(),
        [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &der[2..]].concat(),
        [&[0x30, 0x88], [0xff; 8].as_slice(), &der[2..]].concat(),
        [&[0x31], &der[1..]].concat(),
        vec![0x30],
        [0x30, 0x80].repeat(5000),
    ];
    variants.extend((0..der.len()).step_by(7).map(|end| der[..end].to_vec()));
    for variant in variants {
        let answer = target.key(&spki_pem(&variant), &proof).await;
        let reason = answer.reason();
        assert!(matches!(&*reason, "KEY_UNPARSABLE" | "KEY_MISSING"), "{}: {reason}", hex::encode(&variant));
        assert_refused("a key's DER", &answer, &reason);
    }
    // RSAPublicKey: negative, zero and padded integers, no integers.
    for der in
        ["3006020100020103", "30060201ff020103", "3007020200010201 03", "3003020101", "300602010102 01ff"]
    {
        let pem = pem::encode(&pem::Pem::new("RSA PUBLIC KEY", hex(&der.replace(' ', ""))));
        let answer = target.key(&pem, &proof).await;
        let reason = answer.reason();
        assert!(matches!(&*reason, "KEY_UNPARSABLE" | "KEY_INSECURE"), "{der}: {reason}");
        assert_refused(der, &answer, &reason);
    }
    let csr = signing_request(|_| ());
    let mut variants = vec![
        [&csr[..], &[0]].concat(),
        [&[0x30, 0x80], &csr[3..], &[0, 0]].concat(),
        [&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], &csr[3..]].concat(),
        [0x30, 0x80].repeat(5000),
        vec![0; 20_000],
    ];
    variants.extend((0..csr.len()).step_by(11).map(|end| csr[..end].to_vec()));
    for variant in variants {
        let answer = target.csr(&variant).await;
        let reason = answer.reason();
        assert!(matches!(&*reason, "CSR_UNPARSABLE"), "{}: {reason}", hex::encode(&variant));
        assert_refused("a request's DER", &answer, &reason);
    }
    target.stands().await;
}

/// CVE-2022-21449 again, now as a proof; CVE-2020-13822, CVE-2024-42460, CVE-2024-42461, CVE-2024-48949: other spellings of one
/// signature.
#[tokio::test(flavor = "multi_thread")]
async fn an_ecdsa_proof_has_two_encodings_and_no_others() {
    let target = Target::start().await;
    let key = TestKey::new();
    let proof = base64_decoded(&key.proof(&target.ca.challenge()));
    let r_length = usize::from(proof[3]);
    let (r, s) = (proof[4..4 + r_length].to_vec(), proof[6 + r_length..].to_vec());
    let sequence = |content: Vec<u8>| [vec![0x30, content.len() as u8], content].concat();
    let integer = |octets: &[u8]| [vec![2, octets.len() as u8], octets.to_vec()].concat();
    let order = hex("00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    for (attack, forged) in [
        ("nothing", vec![]),
        ("r = s = 0", hex("3006020100020100")),
        ("r = 0, s = 1", hex("3006020100020101")),
        ("r = s = n", sequence([integer(&order), integer(&order)].concat())),
        ("r = -1", hex("30060201ff020101")),
        ("64 octets of 0", vec![0; 64]),
        ("n and n", [&order[1..], &order[1..]].concat()),
        ("padded r", sequence([integer(&[&[0], &r[..]].concat()), integer(&s)].concat())),
        ("padded s", sequence([integer(&r), integer(&[&[0, 0], &s[..]].concat())].concat())),
        ("a length in the long form", [&[0x30, 0x81], &proof[1..]].concat()),
        ("an indefinite length", [&[0x30, 0x80], &proof[2..], &[0, 0]].concat()),
        ("octets behind it", [&proof[..], &[0]].concat()),
        ("octets within it", sequence([&proof[2..], &[5, 0]].concat())),
        ("half of it", proof[..proof.len() / 2].to_vec()),
        ("too much", vec![0x30; 2000]),
    ] {
        assert_refused(attack, &target.key(&key.pem(), &forged).await, "PROOF_INVALID");
    }
    // The signature of a signing request, replaced by nothing.
    let csr = signing_request(|_| ());
    let signature = csr.windows(5).rposition(|window| window[0] == 3 && window[2] == 0 && window[3] == 0x30);
    let at = signature.expect("a BIT STRING");
    let zeros = [vec![0x30; csr.len() - at - 3], vec![]].concat();
    let zeroed = [&csr[..at + 3], &zeros].concat();
    assert_refused("a request's signature", &target.csr(&zeroed).await, "PROOF_INVALID");
    target.stands().await;
}

/// CVE-2006-4339, CVE-2014-1568: as for tokens, signed with the caller's own key.
#[tokio::test(flavor = "multi_thread")]
async fn an_rsa_proof_with_any_other_padding_is_none() {
    let target = Target::start().await;
    let caller = Signer::new();
    for (forgery, block) in blocks(target.ca.challenge().as_bytes()).into_iter().skip(1) {
        let answer = target.key(&caller.rsa_pem(), &caller.raw(&block)).await;
        assert_refused(forgery, &answer, "PROOF_INVALID");
    }
    let proper = caller.rs256(target.ca.challenge().as_bytes());
    let short = &proper[1..];
    let long = [&[0], &proper[..]].concat();
    for (attack, proof) in
        [("an octet less", short), ("an octet more", &long), ("zero", &[0; 256]), ("one", &[1])]
    {
        assert_refused(attack, &target.key(&caller.rsa_pem(), proof).await, "PROOF_INVALID");
    }
    assert_eq!(target.entries().await, 0);
    target.key(&caller.rsa_pem(), &proper).await.certificates();
    assert_eq!(target.entries().await, 1);
}

/// Whatever a signing request asks for beside its key: names, a CA's rights, the poison, somebody else's identity, a list of SCTs.
#[tokio::test(flavor = "multi_thread")]
async fn a_signing_request_smuggles_nothing_into_the_certificate() {
    let target = Target::start().await;
    let csr = signing_request(|params| {
        params.distinguished_name.push(DnType::CommonName, "evil.example");
        params.subject_alt_names =
            vec![SanType::URI("https://gitlab.com/evil.example".try_into().expect("a URI"))];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        for oid in [
            &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3][..],
            &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2],
            &[1, 3, 6, 1, 4, 1, 57264, 1, 12],
        ] {
            params.custom_extensions.push(CustomExtension::from_oid_content(oid, b"evil.example".to_vec()));
        }
    });
    assert!(holds(&csr, b"evil.example"));
    let chain = target.csr(&csr).await.certificates();
    let leaf = pem::parse(&chain[0]).expect("PEM").into_contents();
    assert!(!holds(&leaf, b"evil.example"));
    let (poison, scts) = (hex("060a2b06010401d679020403"), hex("060a2b06010401d679020402"));
    assert!(!holds(&leaf, &poison), "a certificate is no precertificate");
    assert_eq!(leaf.windows(scts.len()).filter(|window| *window == scts).count(), 1);
    assert!(!holds(&leaf, &hex("0603551d13")), "no basicConstraints, so no CA");
    let honest = target.ca.issue().await;
    let length = |pem: &str| pem::parse(pem).expect("PEM").into_contents().len();
    assert!(
        length(&chain[0]).abs_diff(length(&honest[0])) <= 8,
        "as any other, but for the lengths of signatures"
    );
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// DER of a signing request by a fresh P-256 key.
fn signing_request(edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params = CertificateParams::default();
    edit(&mut params);
    params.serialize_request(&key).expect("a request").der().to_vec()
}

fn base64_decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.decode(text).expect("base64")
}
