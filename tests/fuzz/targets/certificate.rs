//! Certificates that people inspect and verify, PEM or DER.

use countersign::certificate::inspect::Inspected;
use countersign::certificate::{CaChain, oids, without_extension};

/// What is read is the octets that were given; what a log hashes of it lacks exactly the one extension.
pub fn target(data: &[u8]) {
    match Inspected::parse_all(data) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(all) => {
            assert!(!all.is_empty());
            all.iter().for_each(check);
        }
    }
    match CaChain::from_pem(data) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(chain) => {
            let again =
                CaChain::from_pem(chain.pem().concat().as_bytes()).expect("what is written can be read");
            assert_eq!(again.certificates(), chain.certificates());
            assert!(chain.not_before() <= chain.not_after());
            for certificate in chain.certificates() {
                assert!(Inspected::from_der(certificate).is_ok_and(|it| it.is_ca()), "no CA in a chain");
            }
        }
    }
}

fn check(certificate: &Inspected) {
    let again = Inspected::from_der(certificate.der()).expect("DER of it can be read");
    assert_eq!(again.fingerprint(), certificate.fingerprint());
    let again = Inspected::parse(certificate.pem().as_bytes()).expect("PEM of it can be read");
    assert_eq!(again.der(), certificate.der());
    let slot = if certificate.is_precertificate() { oids::POISON } else { oids::SCT_LIST };
    if let Ok(logged) = certificate.logged_tbs() {
        assert!(logged.len() < certificate.der().len());
        assert!(without_extension(&logged, slot).is_err(), "the extension is gone");
    }
    let _ = (certificate.issuer(), certificate.subject(), certificate.names(), certificate.key_usage());
}
