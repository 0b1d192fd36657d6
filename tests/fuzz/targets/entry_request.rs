//! A request for an entry of the signature log.

use super::world::{chain, check_refusal};
use countersign::certificate::IssuedLately;
use countersign::log::signatures::SignatureEntry;
use countersign::refusal::Reason;
use countersign::rekor::{CanonicalBody, HashAlgorithm, MAX_BODY, Request, Writers};
use serde_json::Value;

/// Whatever the request, it is refused for a reason of the signature log, or becomes an entry that says what was verified, in
/// octets that a client can make again.
pub fn target(data: &[u8]) {
    if let Some(body) = SignatureEntry::body(data) {
        assert!(body.len() + 2 == data.len() && body.len() <= MAX_BODY);
    }
    let request = match Request::parse(data) {
        Ok(request) => request,
        Err(refusal) => return check_refusal(&refusal),
    };
    let prepared = match request.prepare() {
        Ok(prepared) => prepared,
        Err(refusal) => return check_refusal(&refusal),
    };
    let verifiers = prepared.verifiers();
    assert!(!verifiers.is_empty() && verifiers.len() <= 10);
    for verifier in verifiers {
        // No fuzzer makes the CA's signature.
        let refusal = Writers::Own
            .admit(verifier, chain(), &IssuedLately::default())
            .expect_err("a certificate of nobody's");
        assert_eq!(refusal.reason(), Reason::WriterNotAdmitted);
        check_refusal(&refusal);
    }
    match prepared.verify() {
        Err(refusal) => check_refusal(&refusal),
        Ok(entry) => check_body(entry.kind, &entry.body),
    }
}

fn check_body(kind: &str, body: &CanonicalBody) {
    let octets = body.as_bytes();
    assert!(octets.len() <= MAX_BODY);
    let read: Value = serde_json::from_slice(octets).expect("the entry is JSON");
    assert_eq!(read["kind"], kind);
    // Members are written in their order, so nothing but the order of what was read can make the same octets.
    assert_eq!(read.to_string().as_bytes(), octets);
    let algorithm =
        |path: &str| HashAlgorithm::named(read.pointer(path).and_then(Value::as_str).expect("a name"));
    match kind {
        "hashedrekord" => assert!(algorithm("/spec/hashedRekordV002/data/algorithm").is_some()),
        _ => assert_eq!(algorithm("/spec/dsseV002/payloadHash/algorithm"), Some(HashAlgorithm::Sha256)),
    }
}
