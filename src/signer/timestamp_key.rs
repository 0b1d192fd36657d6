//! The timestamp authority's key in a file.

use super::signing_key::SigningKey;
use super::{SignerOpenError, key_file};
use crate::certificate::TimestampChain;
use crate::timestamping::TimestampSigner;
use crate::timestamping::token::SignedAttributes;
use std::path::Path;

/// The timestamp authority's key, read from a PEM file at start and kept in memory.
pub struct TimestampKey {
    key: SigningKey,
}

impl TimestampKey {
    /// Reads the key and proves that it is the key of the chain's first certificate.
    ///
    /// # Errors
    /// When others may read the file, when it is encrypted, holds no key of the chain's algorithm, or another key.
    pub fn open(path: &Path, chain: &TimestampChain) -> Result<Self, SignerOpenError> {
        key_file::open(path, |text| Self::from_pem(text, chain))
    }

    /// The same for the text of such a file.
    ///
    /// # Errors
    /// In words for the operator, without the key.
    pub fn from_pem(text: &[u8], chain: &TimestampChain) -> Result<Self, String> {
        let key = SigningKey::read(&key_file::private_key(text, None)?, chain.algorithm())?;
        if key.matches(chain.spki()) {
            Ok(Self { key })
        } else {
            Err("it is not the key of the timestamp certificate (the first one of the chain)".to_owned())
        }
    }
}

impl TimestampSigner for TimestampKey {
    fn sign(&self, attributes: &SignedAttributes) -> Result<Vec<u8>, String> {
        self.key.sign(attributes.der())
    }
}
