//! The log's key in a file: ECDSA P-256, as static-ct-api demands and every client can verify.

use super::SignerOpenError;
use super::key_file;
use super::signing_key::SigningKey;
use crate::certificate::CaAlgorithm;
use crate::log::ports::LogSigner;
use crate::transparency::{Hash, sha256};
use std::path::Path;

/// A SubjectPublicKeyInfo of P-256 up to the point (RFC 5480 §2), which is uncompressed.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 89, 0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
    7, 3, 66, 0,
];

/// DER SubjectPublicKeyInfo of an uncompressed point.
pub(super) fn p256_spki(point: &[u8]) -> Vec<u8> {
    [&P256_SPKI_PREFIX, point].concat()
}

/// The log's key, read from a PEM file at start and kept in memory.
pub struct LogKey {
    key: SigningKey,
    spki: Vec<u8>,
    log_id: Hash,
}

impl LogKey {
    /// Reads the key and tries it.
    ///
    /// # Errors
    /// When others may read the file, or when it holds no unencrypted P-256 key.
    pub fn open(path: &Path) -> Result<Self, SignerOpenError> {
        key_file::open(path, Self::from_pem)
    }

    /// The same for the text of such a file.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        let key = SigningKey::read(&key_file::private_key(text, None)?, CaAlgorithm::EcdsaP256Sha256)?;
        let spki = p256_spki(key.public_key());
        if !key.matches(&spki) {
            return Err("what it signs does not verify; make a new key".into());
        }
        let log_id = sha256(&spki);
        Ok(Self { key, spki, log_id })
    }

    /// DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of it (RFC 6962 §3.2).
    pub fn log_id(&self) -> &Hash {
        &self.log_id
    }
}

impl LogSigner for LogKey {
    fn public_key(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.key.sign(message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ceremony::{NewCa, Options};
    use super::*;
    use crate::certificate::testing::{self, ISSUING_KEY, NOW};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    use p256::pkcs8::DecodePublicKey;

    #[test]
    fn it_signs_with_the_key_that_it_publishes() {
        let ca = NewCa::make(&Options::default(), NOW).unwrap();
        let key = LogKey::from_pem(ca.log_key.as_bytes()).unwrap();
        let signature = LogSigner::sign(&key, b"message").unwrap();
        let public = p256::PublicKey::from_public_key_der(key.public_key()).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public.to_sec1_bytes());
        public.verify(b"message", &signature).unwrap();
        public.verify(b"massage", &signature).unwrap_err();
    }

    #[test]
    fn its_id_is_the_hash_of_its_public_key() {
        let key = LogKey::from_pem(ISSUING_KEY.as_bytes()).unwrap();
        assert_eq!(key.spki_der(), testing::chain().issuing_spki());
        assert_eq!(key.log_id(), testing::chain().issuer_key_hash());
    }

    #[test]
    fn another_curve_is_refused() {
        let ca = NewCa::make(&Options::default(), NOW).unwrap();
        let refusal = LogKey::from_pem(ca.root_key.as_bytes()).err().unwrap();
        assert!(refusal.contains("not a sound private key for ECDSA P-256"), "{refusal}");
    }
}
