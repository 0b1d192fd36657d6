//! A certificate signing request, PEM, or DER that is put into PEM here.

use super::world::check_refusal;
use countersign::certificate::pem;
use countersign::possession::{Possession, PublicKey};
use der::{Decode as _, Encode as _};
use x509_cert::request::CertReq;

/// What is accepted is a request whose key signed it, as another reader finds too.
pub fn target(data: &[u8]) {
    check(data);
    check(pem::encode("CERTIFICATE REQUEST", data).as_bytes());
}

fn check(request: &[u8]) {
    let key = match Possession::Csr(request).prove("one challenge") {
        Ok(key) => key,
        Err(refusal) => return check_refusal(&refusal),
    };
    let again = Possession::Csr(request).prove("another").expect("the challenge does not count");
    assert_eq!(again.spki_der(), key.spki_der());
    let parsed = PublicKey::from_spki_der(key.spki_der()).expect("a sound key");
    assert_eq!(parsed.kind(), key.kind());
    let blocks = pem::blocks(request).unwrap_or_default();
    let Some(block) = blocks.first() else { return };
    if let Ok(theirs) = CertReq::from_der(&block.der) {
        assert_eq!(theirs.info.public_key.to_der().expect("DER"), key.spki_der(), "another key");
    }
}
