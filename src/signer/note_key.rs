//! The key of a signature log in a file: Ed25519, or ECDSA P-256.

use super::SignerOpenError;
use super::key_file;
use super::signing_key::SigningKey;
use crate::certificate::CaAlgorithm;
use crate::log::ports::LogSigner;
use crate::transparency::note::ed25519_spki;
use std::path::Path;

/// The signature log's key, read from a PEM file at start and kept in memory.
pub struct NoteSigningKey {
    key: SigningKey,
    spki: Vec<u8>,
}

impl NoteSigningKey {
    /// Reads the key and tries it.
    ///
    /// # Errors
    /// When others may read the file, or when it holds no unencrypted Ed25519 or P-256 key.
    pub fn open(path: &Path) -> Result<Self, SignerOpenError> {
        key_file::open(path, Self::from_pem)
    }

    /// The same for the text of such a file.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        let private = key_file::private_key(text, None)?;
        let ed25519 = SigningKey::read(&private, CaAlgorithm::Ed25519).map(|key| {
            let spki = ed25519_spki(key.public_key());
            (key, spki)
        });
        let ecdsa = || {
            let key = SigningKey::read(&private, CaAlgorithm::EcdsaP256Sha256)?;
            let spki = super::log_key::p256_spki(key.public_key());
            Ok::<_, String>((key, spki))
        };
        let (key, spki) = ed25519
            .or_else(|_| ecdsa())
            .map_err(|_| "it is not a sound private key for Ed25519 or ECDSA P-256".to_owned())?;
        if !key.matches(&spki) {
            return Err("what it signs does not verify; make a new key".into());
        }
        Ok(Self { key, spki })
    }
}

impl LogSigner for NoteSigningKey {
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
    use crate::certificate::testing::{ISSUING_KEY, NOW};
    use crate::transparency::note::{NoteKey, NoteKeyKind};

    #[test]
    fn it_is_ed25519_or_p256_and_signs_with_the_key_that_it_publishes() {
        let ca = NewCa::make(&Options::default(), NOW).unwrap();
        for (pem, kind) in [
            (ca.signature_log_key.as_bytes(), NoteKeyKind::Ed25519),
            (ISSUING_KEY.as_bytes(), NoteKeyKind::EcdsaP256),
        ] {
            let key = NoteSigningKey::from_pem(pem).unwrap();
            let public = NoteKey::from_spki(key.public_key()).unwrap();
            assert_eq!(public.kind(), kind);
            let signature = key.sign(b"message").unwrap();
            assert!(public.verifies(b"message", &signature) && !public.verifies(b"massage", &signature));
        }
        assert!(NoteSigningKey::from_pem(ca.root_key.as_bytes()).is_err(), "P-384");
    }
}
