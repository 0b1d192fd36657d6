//! The log's formats: RFC 6962, c2sp.org/static-ct-api, tlog-tiles, tlog-checkpoint, signed-note.
//!
//! Pure. Nothing here reads or writes anything, and only [`precertificate`] knows of certificates.

pub mod checkpoint;
pub mod merkle;
pub mod precertificate;
pub mod sct;
pub mod tile;

use crate::environment::UnixMillis;

/// A SHA-256 hash: of a leaf, of a node, of a tree, of a key.
pub type Hash = [u8; 32];

/// Where an entry stands in the log, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Zero-based, below 2^40 (static-ct-api, leaf_index).
    pub index: u64,
    /// When the log took it; never decreases from entry to entry.
    pub timestamp: UnixMillis,
}

/// An entry as the log stores it: it knows nothing of what the bytes mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// RFC 6962 §2.1: SHA-256(0x00 || leaf).
    pub leaf_hash: Hash,
    /// What stands in the data tile.
    pub bytes: Vec<u8>,
}
