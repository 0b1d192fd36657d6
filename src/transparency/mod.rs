//! The log's formats: RFC 6962, c2sp.org/static-ct-api, tlog-tiles, tlog-checkpoint, signed-note.
//!
//! Pure. Nothing here reads or writes anything, and only [`precertificate`] and [`sct`] know of certificates.

pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod precertificate;
pub mod sct;
pub mod tile;
mod wire;

use crate::environment::UnixMillis;
use bytes::Bytes;
use std::fmt;

/// A SHA-256 hash: of a leaf, of a node, of a tree, of a key.
pub type Hash = [u8; 32];

/// A log holds fewer entries than this: leaf_index is a `uint40` (static-ct-api).
pub const MAX_SIZE: u64 = 1 << 40;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 octets")
}

/// Where an entry stands in the log, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Zero-based, below 2^40 (static-ct-api, leaf_index).
    pub index: u64,
    /// When the log took it; never decreases from entry to entry.
    pub timestamp: UnixMillis,
}

/// An entry as the log stores it: it knows nothing of what the bytes mean.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// RFC 6962 §2.1: SHA-256(0x00 || leaf).
    pub leaf_hash: Hash,
    /// What stands in the data tile.
    pub bytes: Bytes,
}

impl fmt::Debug for Entry {
    /// Without the bytes, which hold the names of people's projects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} octets)", hex::encode(self.leaf_hash), self.bytes.len())
    }
}

/// Bytes that are not what they should be. Names the field or rule that was broken, never what stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub struct Malformed(pub &'static str);

/// Why a signature of a log was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The public key is not a DER SubjectPublicKeyInfo with a P-256 key.
    #[error("the log's public key is not an ECDSA P-256 key in DER SubjectPublicKeyInfo form")]
    Key,
    /// Another log made the signature.
    #[error("signed by another log: the log's id is not the SHA-256 of this public key")]
    OtherLog,
    /// The signature does not verify.
    #[error("the log's signature does not verify")]
    Invalid,
}

/// Verifies a log's ECDSA P-256 signature over SHA-256, DER-encoded (RFC 6962 §2.1.4). `spki` is the log's DER
/// SubjectPublicKeyInfo.
fn verify_log_signature(spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
    // The parser also takes bare points; a log's id is the hash of the whole structure, so only that will do.
    if spki.first() != Some(&0x30) {
        return Err(SignatureError::Key);
    }
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, spki).map_err(|_| SignatureError::Key)?;
    key.verify_sig(message, signature).map_err(|_| SignatureError::Invalid)
}
