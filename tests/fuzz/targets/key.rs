//! A caller's public key, PEM or DER.

use super::world::check_refusal;
use countersign::certificate::pem;
use countersign::possession::{KeyKind, Possession, PublicKey};
use countersign::refusal::Reason;
use countersign::signer::LogKey;

/// An accepted key has one spelling, is of a kind that is known, and proves nothing without a signature.
pub fn target(data: &[u8]) {
    if let Err(words) = LogKey::from_pem(data) {
        // Labels of blocks are named; what is in the blocks is not.
        assert!(!words.is_empty() && words.len() < data.len() + 300, "{words}");
    }
    let key = match PublicKey::parse(data) {
        Ok(key) => key,
        Err(refusal) => {
            assert!(matches!(refusal.reason(), Reason::KeyUnparsable | Reason::KeyInsecure), "{refusal}");
            return check_refusal(&refusal);
        }
    };
    let spki = key.spki_der();
    let again = PublicKey::from_spki_der(spki).expect("what is written can be read");
    assert_eq!((again.spki_der(), again.kind()), (spki, key.kind()));
    let again = PublicKey::parse(pem::encode("PUBLIC KEY", spki).as_bytes()).expect("PEM of it can be read");
    assert_eq!(again.spki_der(), spki);
    assert!(spki.ends_with(key.subject_public_key()));
    let length = key.subject_public_key().len();
    match key.kind() {
        KeyKind::P256 => assert_eq!(length, 65),
        KeyKind::P384 => assert_eq!(length, 97),
        KeyKind::P521 => assert_eq!(length, 133),
        KeyKind::Ed25519 => assert_eq!(length, 32),
        KeyKind::Rsa => assert!(length > 0),
    }
    let refusal = Possession::PublicKey { key: spki, proof: data }.prove("challenge").expect_err("no proof");
    assert!(
        matches!(refusal.reason(), Reason::ProofInvalid | Reason::KeyUnparsable | Reason::KeyInsecure),
        "{refusal}"
    );
    // An RSA key of 2048 bits has 256 octets of modulus at least.
    assert!(
        key.kind() != KeyKind::Rsa || length > 256 || refusal.reason() == Reason::KeyInsecure,
        "{refusal}"
    );
    check_refusal(&refusal);
}
