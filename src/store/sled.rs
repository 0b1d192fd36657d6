//! What of the head store changes seldom, in sled: which log it is, and a head now and then, which the journal must lead
//! beyond.
//!
//! What sled 0.34.7 does and does not do, as its source has it, and what stands here for it:
//! - `flush` writes and calls `sync_file_range`, which neither syncs the file's length nor empties the disk's cache. So
//!   every write ends with an `fdatasync` of sled's file through a handle of our own.
//! - Above a quarter of a segment, 128 KiB, a value becomes a file of its own that sled never syncs. Ours are below 4 KiB.
//! - After a failed write it is stuck until it is opened anew, and what reached the disk is not known: `Unknown`, and this
//!   store takes nothing any more.
//! - It asserts and unwraps: its calls are made where a panic is caught.
//! - It makes its files one after the other: a new store is made beside its place and renamed.
//! - A snapshot that a crash left half written is corruption to it: it is removed first.
//! - A damaged or cut file may open at an older head without a word: that is what the journal and the second record are for.
//!
//! Keys: `h` the head and the number of its append, `i` the identity.

use super::anchor::Anchor;
use super::journal;
use crate::environment::UnixMillis;
use crate::log::ports::{Head, Identity, StoreError};
use crate::panics::contain;
use crate::transparency::Hash;
use aws_lc_rs::digest::{SHA256, digest};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

/// What sled may keep in memory; the least it takes.
const CACHE: u64 = 1 << 20;
/// How often a file lock that a dropped store of this very process still holds is tried again.
const LOCK_TRIES: usize = 200;

const HEAD: &[u8] = b"h";
const IDENTITY: &[u8] = b"i";
/// The first byte of the head's and the identity's encoding: the format of the whole head store.
const VERSION: u8 = 2;

/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// A database of sled's, open, whatever is in it.
pub(super) struct Raw {
    sled: ::sled::Db,
    /// sled's file, to sync it.
    file: File,
    /// Where that file belongs.
    anchor: Anchor,
}

impl Raw {
    /// A value.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(|| Ok(self.sled.get(key).map_err(sled_error)?.map(|value| value.to_vec())))
    }

    /// Everything.
    pub(super) fn all(&self) -> Result<Vec<Pair>, StoreError> {
        let pair = |item: ::sled::Result<(::sled::IVec, ::sled::IVec)>| {
            item.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(sled_error)
        };
        guarded(|| self.sled.iter().map(pair).collect())
    }

    /// All of the batch or nothing, durably. After an error the database must not be touched any more, not even dropped: sled would
    /// write and sync once more, or wait for a thread of its own that is gone.
    pub(super) fn apply(&self, batch: ::sled::Batch) -> Result<(), StoreError> {
        guarded(|| {
            self.sled.apply_batch(batch).map_err(sled_error)?;
            self.sled.flush().map_err(sled_error)?;
            self.file.sync_data().map_err(|error| StoreError::Unknown(format!("fdatasync failed: {error}")))
        })
    }

    /// Whether its file is still in its place.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.anchor.check()
    }

    /// sled's file.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Closes it. sled flushes once more when it is dropped, and unwraps the result; everything that counts is durable.
    pub(super) fn close(self) -> Result<(), StoreError> {
        guarded(|| {
            drop(self);
            Ok(())
        })
    }
}

/// The head store's database, open.
pub(super) struct Database(Raw);

/// What it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Founded {
    pub(super) identity: Identity,
    /// How many appends had led to the head.
    pub(super) number: u64,
    pub(super) head: Head,
}

impl Database {
    /// What is there; `None`: nothing.
    pub(super) fn read(&self) -> Result<Option<Founded>, StoreError> {
        let sled = &self.0.sled;
        guarded(|| {
            let head = sled.get(HEAD).map_err(sled_error)?;
            let identity = sled.get(IDENTITY).map_err(sled_error)?;
            match (head, identity) {
                (Some(head), Some(identity)) => {
                    let identity = decode_identity(&identity)?;
                    let (number, head) = decode_head(&head)?;
                    Ok(Some(Founded { identity, number, head }))
                }
                (None, None) if sled.is_empty() => Ok(None),
                _ => Err(StoreError::Corrupt("the head or the identity is missing".to_owned())),
            }
        })
    }

    /// Puts it there, durably. After an error the database must not be touched any more, as [`Raw::apply`] says.
    pub(super) fn write(&self, founded: &Founded) -> Result<(), StoreError> {
        let mut batch = ::sled::Batch::default();
        batch.insert(IDENTITY, encode_identity(&founded.identity));
        batch.insert(HEAD, encode_head(founded.number, &founded.head));
        self.0.apply(batch)
    }

    /// Whether its file is still in its place.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.0.check()
    }

    /// Closes it.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.0.close()
    }
}

/// sled makes its files one after the other and syncs none of them; what a loss of power leaves of that it may call
/// corruption. So a new store is made beside its place, synced, and then put there as a whole.
pub(super) fn make_empty(path: &Path) -> Result<(), StoreError> {
    make_with(path, journal::make)
}

/// The same with nothing but sled in it.
pub(super) fn make_bare(path: &Path) -> Result<(), StoreError> {
    make_with(path, |_| Ok(()))
}

fn make_with(path: &Path, more: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let not_made =
        |error: std::io::Error| StoreError::NotWritten(format!("cannot make {}: {error}", path.display()));
    let unfinished = path.with_extension("new");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(not_made(error)),
        _ => {}
    }
    super::files::make_directory(&unfinished)?;
    open(&unfinished)?.close()?;
    more(&unfinished)?;
    sync_all(&unfinished)?;
    fs::rename(&unfinished, path).map_err(not_made)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => super::files::sync_directory(parent),
        _ => super::files::sync_directory(Path::new(".")),
    }
}

/// Opens the head store's.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    open_raw(path).map(Database)
}

/// sled's file lock belongs to the process, and a store that was dropped a moment ago in this process may still
/// have a thread with it; other processes are kept out by `LOCK`.
pub(super) fn open_raw(path: &Path) -> Result<Raw, StoreError> {
    let config = ::sled::Config::new()
        .path(path)
        .cache_capacity(CACHE)
        .flush_every_ms(None)
        .mode(::sled::Mode::HighThroughput);
    remove_unfinished_snapshots(path)?;
    let mut tries = 0;
    let sled = loop {
        // Where it panics, its assertions about the file failed.
        match guarded(|| Ok(config.open())).map_err(|error| StoreError::Corrupt(error.to_string()))? {
            Ok(sled) => break sled,
            Err(::sled::Error::Io(error))
                if tries < LOCK_TRIES && error.to_string().contains("could not acquire lock") =>
            {
                tries += 1;
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Err(error) => return Err(sled_error(error)),
        }
    };
    let file = File::options().read(true).write(true).open(path.join("db"));
    let unusable = |error| StoreError::Unknown(format!("cannot open sled's file: {error}"));
    let (file, anchor) = (file.map_err(unusable)?, Anchor::of(&path.join("db")).map_err(unusable)?);
    sync_all(path)?;
    Ok(Raw { sled, file, anchor })
}

/// sled writes its snapshot under a name of its own and renames it, but when it opens it takes the newest of both kinds: a
/// kill between the two would leave a file that it calls corruption for ever. Without it sled reads its log again from the
/// snapshot before, or from the beginning.
fn remove_unfinished_snapshots(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::Unknown(format!("cannot clear away what a crash left in {}: {error}", path.display()))
    };
    for item in fs::read_dir(path).map_err(failed)? {
        let item = item.map_err(failed)?;
        let name = item.file_name();
        if name.to_string_lossy().starts_with("snap.") && name.to_string_lossy().ends_with(".generating") {
            fs::remove_file(item.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Runs a call of sled's so that its panics become errors, and are not printed as panics of ours.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    contain(call).unwrap_or_else(|panic| {
        let place =
            panic.place.as_deref().and_then(|place| place.rsplit('/').next()).unwrap_or("an unknown place");
        Err(StoreError::Unknown(format!("sled failed in a way it should not, at {place}")))
    })
}

fn sled_error(error: ::sled::Error) -> StoreError {
    match error {
        // Its own words are "Read corrupted data at file offset None backtrace ()".
        ::sled::Error::Corruption { .. } => {
            StoreError::Corrupt("its file was cut or changed, so that sled cannot read it".to_owned())
        }
        ::sled::Error::Unsupported(_) => StoreError::Corrupt(error.to_string()),
        other => StoreError::Unknown(other.to_string()),
    }
}

/// sled makes directories and files at its start and syncs none of them.
fn sync_all(path: &Path) -> Result<(), StoreError> {
    let failed =
        |error: std::io::Error| StoreError::Unknown(format!("cannot sync {}: {error}", path.display()));
    for item in fs::read_dir(path).map_err(failed)? {
        let item = item.map_err(failed)?.path();
        File::open(&item).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    super::files::sync_directory(path)
}

/// `version | u64 number | u64 size | u64 timestamp | root | right edge | checksum`.
fn encode_head(number: u64, head: &Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + 32 * head.right_edge.len());
    bytes.push(VERSION);
    bytes.extend(number.to_be_bytes());
    bytes.extend(head.size.to_be_bytes());
    bytes.extend(head.timestamp.0.to_be_bytes());
    bytes.extend(head.root);
    head.right_edge.iter().for_each(|hash| bytes.extend(hash));
    with_checksum(bytes)
}

fn decode_head(bytes: &[u8]) -> Result<(u64, Head), StoreError> {
    let damaged = || StoreError::Corrupt("the head is damaged".to_owned());
    let rest = checked(bytes, VERSION).ok_or_else(damaged)?;
    let (number, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (size, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (timestamp, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (root, edge) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    let (edge, []) = edge.as_chunks::<32>() else { return Err(damaged()) };
    let head = Head {
        size: u64::from_be_bytes(*size),
        root: *root,
        timestamp: UnixMillis(u64::from_be_bytes(*timestamp)),
        right_edge: edge.to_vec(),
    };
    if head.right_edge.len() as u32 == head.size.count_ones() {
        Ok((u64::from_be_bytes(*number), head))
    } else {
        Err(damaged())
    }
}

/// `version | log id | origin | checksum`.
fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(identity.log_id);
    bytes.extend(identity.origin.as_bytes());
    with_checksum(bytes)
}

fn decode_identity(bytes: &[u8]) -> Result<Identity, StoreError> {
    if let Some(other) = bytes.first().filter(|version| **version != VERSION) {
        return Err(StoreError::Corrupt(format!(
            "it is of format {other}, and this version of countersign reads format {VERSION}; use the version that made it"
        )));
    }
    let parsed = checked(bytes, VERSION).and_then(|rest| {
        let (log_id, origin): (&Hash, _) = rest.split_first_chunk()?;
        Some(Identity { origin: String::from_utf8(origin.to_vec()).ok()?, log_id: *log_id })
    });
    parsed.ok_or_else(|| StoreError::Corrupt("the log's identity is damaged".to_owned()))
}

/// Adds the checksum to a version and what stands behind it.
pub(super) fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let check = digest(&SHA256, &bytes);
    bytes.extend(check.as_ref().iter().take(8));
    bytes
}

/// What stands between the version and the checksum.
pub(super) fn checked(bytes: &[u8], expected: u8) -> Option<&[u8]> {
    let (body, check) = bytes.split_last_chunk::<8>()?;
    let (version, rest) = body.split_first()?;
    (*version == expected && digest(&SHA256, body).as_ref().starts_with(check)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn founded(number: u64) -> Founded {
        let head = Head { size: 1, root: [1; 32], timestamp: UnixMillis(2), right_edge: vec![[1; 32]] };
        Founded { identity: Identity { origin: "a/b".to_owned(), log_id: [7; 32] }, number, head }
    }

    #[test]
    fn what_was_put_there_is_read_back_and_nothing_becomes_a_file_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        make_empty(&path).unwrap();
        for number in 0..50 {
            let database = open(&path).unwrap();
            database.write(&founded(number)).unwrap();
            assert_eq!(database.read().unwrap(), Some(founded(number)));
            database.close().unwrap();
            assert_eq!(open(&path).unwrap().read().unwrap(), Some(founded(number)));
        }
        assert_eq!(fs::read_dir(path.join("blobs")).unwrap().count(), 0);
    }

    #[test]
    fn another_format_is_named() {
        let mut bytes = encode_identity(&founded(1).identity);
        bytes[0] = 1;
        let error = decode_identity(&bytes).unwrap_err().to_string();
        assert!(error.contains("format 1") && error.contains("the version that made it"), "{error}");
    }
}
