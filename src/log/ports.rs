//! What the log needs of the world: a small mutable head, and a large immutable tree of tiles.
//!
//! The contracts stand here; every store passes `log::conformance`.

use crate::environment::UnixMillis;
use crate::transparency::{Entry, Hash};
use std::ops::Range;

/// The state of the log after its last durable append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 §2.1 tree hash of all of them.
    pub root: Hash,
    /// When the last entry was taken.
    pub timestamp: UnixMillis,
    /// The roots of the complete subtrees that the tree is made of, largest (leftmost) first: one for each set bit of `size`.
    pub right_edge: Vec<Hash>,
}

/// A group of entries that is appended as one.
#[derive(Clone, Debug)]
pub struct Group {
    /// The entries from index `expected.size` on.
    pub entries: Vec<Entry>,
    /// The head once they are in.
    pub head: Head,
    /// Entries below this index are sealed in tiles and may be forgotten.
    pub sealed: u64,
}

/// Why a store failed. The text is for operators.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The head is not the expected one: somebody else appends here. Nothing was written.
    #[error("the log's head is not the one expected: another writer is at work")]
    Conflict,
    /// Nothing was written, and trying again may succeed (no space, for instance).
    #[error("{0}")]
    NotWritten(String),
    /// It is not known what was written. The log must stop and recover from what is stored.
    #[error("{0}")]
    Unknown(String),
    /// What is stored contradicts itself.
    #[error("{0}")]
    Corrupt(String),
}

/// The small and mutable half of the store. Blocking; called from the sequencer's own thread alone.
pub trait HeadStore: Send + 'static {
    /// The head and the entries not yet forgotten with the range of their indices, which ends at the head's size.
    /// `None`: there is no log here.
    fn load(&self) -> Result<Option<(Head, Range<u64>, Vec<Entry>)>, StoreError>;

    /// Puts the head of an empty log where none is.
    fn create(&mut self, head: &Head) -> Result<(), StoreError>;

    /// Compare-and-swap: all of `group` or nothing of it, durable when this returns.
    fn append(&mut self, expected: &Head, group: &Group) -> Result<(), StoreError>;
}

/// The large and immutable half: objects by their path (`tile/0/000`, `tile/data/x001/234`, `issuer/<hex>`).
pub trait TileStore: Send + Sync + 'static {
    /// Writes an object, durable when this returns. The same bytes again: nothing happens. Other bytes: `Corrupt`.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The object, or `None`.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;
}

/// The key that signs for the log: SCTs and tree heads. Implemented by `signer`.
pub trait LogSigner: Send + Sync + 'static {
    /// DER SubjectPublicKeyInfo, ECDSA P-256; its SHA-256 is the log's id (RFC 6962 §3.2).
    fn public_key(&self) -> &[u8];

    /// DER ECDSA signature over the SHA-256 of `message`. The error is for operators.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}
