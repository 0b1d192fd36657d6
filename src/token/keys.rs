//! An issuer's verification keys (RFC 7517), parsed once so that a verification costs only the mathematics.

use super::Algorithm;

/// A key set in the issuer's order.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
}

/// One key, with the algorithms that it may verify.
#[derive(Debug)]
pub struct VerificationKey {
    _id: Option<String>,
    _algorithm: Option<Algorithm>,
}

impl KeySet {
    /// From a JWK set document. Keys of other kinds or uses are skipped; none left, too many or duplicate ids: an error in words.
    pub fn parse(_json: &[u8]) -> Result<Self, String> {
        todo!()
    }
    pub fn contains(&self, _key_id: &str) -> bool {
        !self.keys.is_empty()
    }
}
