//! What the log needs of the world: a small mutable head, its second record, a large immutable tree of tiles, and a key.
//!
//! The contracts stand here; every store passes [`super::conformance`]. All of it is blocking and is called from the
//! log's own threads, never from a task of the runtime, but for [`TileStore::get`], which readers call as well.
//!
//! Durable means: the bytes survive the end of the process and the loss of power. A store that cannot promise this
//! must not stand behind these traits. An error is no promise in either direction, except where [`StoreError`] says so.

use crate::environment::UnixMillis;
use crate::transparency::{Entry, Hash};

/// Which log this is, fixed when the log is created and compared at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The checkpoint's origin: the submission prefix without scheme and trailing slash (static-ct-api, "Parameters").
    pub origin: String,
    /// SHA-256 of the log key's DER SubjectPublicKeyInfo (RFC 6962 §3.2); for a signature log with an Ed25519 key as
    /// [`NoteKey::log_id`](crate::transparency::note::NoteKey::log_id) says.
    pub log_id: Hash,
}

/// The state of the log after its last durable append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 §2.1 tree hash of all of them.
    pub root: Hash,
    /// When the last entry was taken; for an empty log, when it was created.
    pub timestamp: UnixMillis,
    /// The roots of the complete subtrees that the tree is made of, largest (leftmost) first: one for each set bit of `size`.
    pub right_edge: Vec<Hash>,
}

/// A group of entries that is appended as one.
#[derive(Clone, Debug)]
pub struct Group {
    /// The entries from index `expected.size` on. May be empty: then the append only proves that the store can write.
    pub entries: Vec<Entry>,
    /// The head once they are in.
    pub head: Head,
    /// Entries below this index are sealed in tiles and must be forgotten. Never decreases, never above `expected.size`.
    pub sealed: u64,
}

/// Everything that a [`HeadStore`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which log it is.
    pub identity: Identity,
    /// The head of the last append.
    pub head: Head,
    /// The index of the first entry in `unsealed`.
    pub first: u64,
    /// The entries not yet forgotten, without a gap, up to the head's size.
    pub unsealed: Vec<Entry>,
}

/// Why a store failed. The text is for operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

/// The small and mutable half of the store.
///
/// One writer: the log owns the store, and calls it from one thread at a time. After an error other than
/// [`StoreError::NotWritten`] the log never calls [`append`](Self::append) again on the same value.
pub trait HeadStore: Send + 'static {
    /// Everything stored, or `None` when there is no log here.
    ///
    /// # Errors
    /// `Corrupt` when entries are missing or damaged; `Unknown` when reading failed.
    fn load(&self) -> Result<Option<Stored>, StoreError>;

    /// Puts the identity and the head of an empty log where none is; durable when this returns.
    ///
    /// # Errors
    /// `Conflict` when there is a log already, and as [`append`](Self::append).
    fn create(&mut self, identity: &Identity, head: &Head) -> Result<(), StoreError>;

    /// Compare-and-swap: when the stored head equals `expected`, all of `group` or nothing of it, durable when this
    /// returns `Ok`. The same call drops the entries below `group.sealed`.
    ///
    /// # Errors
    /// `Conflict` or `NotWritten`: the store is as it was, now and after a loss of power. `Unknown`: a later `load`
    /// finds all of the group or nothing of it.
    fn append(&mut self, expected: &Head, group: &Group) -> Result<(), StoreError>;

    /// Whether an append could be written, as far as can be told without writing: asked while nobody appends, so that a
    /// full disk is known before the next caller meets it. A store that cannot tell says yes.
    ///
    /// # Errors
    /// `NotWritten`: why not.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What is remembered of a head apart from its store, so that a store that went back in time is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Number of entries.
    pub size: u64,
    /// Their tree hash.
    pub root: Hash,
    /// When the last of them was taken.
    pub timestamp: UnixMillis,
}

impl From<&Head> for Recorded {
    fn from(head: &Head) -> Self {
        Self { size: head.size, root: head.root, timestamp: head.timestamp }
    }
}

/// The second record of the head. It lies apart from the head store and is written after a group is durable and before
/// the group is answered. It need not be durable itself: so it may lag behind the store, and never leads. But where there
/// is a head store there is one: the first is made durable before.
pub trait HeadRecord: Send + 'static {
    /// The newest record that can be read, `None` when there is none.
    ///
    /// # Errors
    /// `Corrupt` when there is something, and it cannot be told which record in it is the newest.
    fn read(&self) -> Result<Option<Recorded>, StoreError>;

    /// Replaces the older record, so that a torn write leaves the newer one.
    fn write(&mut self, record: &Recorded) -> Result<(), StoreError>;

    /// Makes what was written durable: at the start, and now and then.
    ///
    /// # Errors
    /// `Unknown`: it may be tried again once the record was written again.
    fn sync(&self) -> Result<(), StoreError>;
}

/// The large and immutable half: objects by their path (`tile/0/000`, `tile/data/x001/234`, `issuer/<hex>`,
/// and `index/0/000`, which follows from tiles).
///
/// Called from several threads at once. Only full tiles are stored.
pub trait TileStore: Send + Sync + 'static {
    /// Writes an object, whole or not at all, durable when this returns. The same bytes again: made sure that they are
    /// durable, nothing else.
    ///
    /// # Errors
    /// `Corrupt` when other bytes stand there, which stay; `NotWritten` when trying again is safe; else `Unknown`.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The object, or `None`. Never a part of one.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// A part of the object: from this octet on, so many, fewer where it ends before. For large objects of which little is
    /// wanted; without it the whole is read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn get_range(&self, path: &str, from: u64, length: usize) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get(path)?.map(|content| {
            let start = usize::try_from(from).unwrap_or(usize::MAX).min(content.len());
            let end = start.saturating_add(length).min(content.len());
            content.get(start..end).unwrap_or_default().to_vec()
        }))
    }

    /// The path of some tile or issuer, or `None` when there is none: asked before a new log is made.
    fn any(&self) -> Result<Option<String>, StoreError>;

    /// Whether a tile could be written, as far as can be told without writing: tiles are seldom written, and a log that
    /// cannot write them should be known before the next one is complete. A store that cannot tell says yes.
    ///
    /// # Errors
    /// `NotWritten`: why not.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The log's key.
pub trait LogSigner: Send + Sync + 'static {
    /// The DER SubjectPublicKeyInfo.
    fn public_key(&self) -> &[u8];

    /// A DER ECDSA P-256 signature over the SHA-256 of `message`; a signature log's key may also be Ed25519, which signs `message`.
    ///
    /// # Errors
    /// The reason, for operators.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}
