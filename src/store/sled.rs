//! The head and the unsealed entries in sled, which stays at a few MiB however long the log grows.
//!
//! What sled 0.34.7 does and does not do, as its source has it, and what stands here for it:
//! - `flush` writes and calls `sync_file_range`, which neither syncs the file's length nor empties the disk's cache. So
//!   every append ends with an `fdatasync` of sled's file through a handle of our own.
//! - A value or a page above 128 KiB becomes a file of its own that sled never syncs. So entries are cut into pieces
//!   of [`PIECE`] bytes; a page holds about sixteen.
//! - After a failed write it is stuck until it is opened anew, and what reached the disk is not known: `Unknown`, and this
//!   store takes nothing any more. So free space is asked for before each append, when refusing is still safe.
//! - It asserts and unwraps: its calls are made where a panic is caught.
//! - It makes its files one after the other: a new store is made beside its place and renamed.
//! - A snapshot that a crash left half written is corruption to it: it is removed first.
//! - A damaged or cut file may open at an older head without a word: that is what the second record is for.
//!
//! Keys: `h` the head, `i` the identity, and for entries `index u64 | piece u16`, big-endian.

use super::anchor::Anchor;
use crate::environment::UnixMillis;
use crate::log::ports::{Group, Head, HeadStore, Identity, StoreError, Stored};
use crate::panics::contain;
use crate::transparency::{Entry, Hash};
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of an entry in one value.
const PIECE: usize = 4096;
/// What sled may keep in memory. Unsealed entries are fewer.
const CACHE: u64 = 4 << 20;
/// Space that must be left for sled's own segments, besides a multiple of what is appended.
const RESERVE: u64 = 2 << 20;
/// How often a file lock that a dropped store of this very process still holds is tried again.
const LOCK_TRIES: usize = 200;

const HEAD: &[u8] = b"h";
const IDENTITY: &[u8] = b"i";
/// The first byte of the head's and the identity's encoding.
const VERSION: u8 = 1;

/// The head store in a directory of its own.
pub struct SledHeadStore {
    path: PathBuf,
    /// Or why it cannot be used.
    database: Result<Database, StoreError>,
    /// The index of the first entry present.
    first: u64,
    /// For each entry present, how many pieces it has.
    pieces: VecDeque<u16>,
}

struct Database {
    sled: ::sled::Db,
    /// sled's file, to sync it.
    file: File,
    /// Where that file belongs.
    anchor: Anchor,
}

impl SledHeadStore {
    /// Opens the store in `path`, which is made when it is missing. A damaged one opens, and its `load` says so.
    ///
    /// # Errors
    /// `NotWritten` or `Unknown` when it can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_dir() {
            make_empty(path)?;
        }
        let database = match open_database(path) {
            Err(error @ StoreError::Corrupt(_)) => Err(error),
            opened => Ok(opened?),
        };
        let mut store = Self { path: path.to_owned(), database, first: 0, pieces: VecDeque::new() };
        if let Ok(Some((stored, pieces))) = store.read() {
            (store.first, store.pieces) = (stored.first, pieces);
        }
        Ok(store)
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().map_err(Clone::clone)
    }

    fn read(&self) -> Result<Option<(Stored, VecDeque<u16>)>, StoreError> {
        let sled = &self.database()?.sled;
        guarded(|| {
            let head = sled.get(HEAD).map_err(sled_error)?;
            let identity = sled.get(IDENTITY).map_err(sled_error)?;
            let (head, identity) = match (head, identity) {
                (Some(head), Some(identity)) => (decode_head(&head)?, decode_identity(&identity)?),
                (None, None) if sled.is_empty() => return Ok(None),
                _ => return Err(StoreError::Corrupt("the head or the identity is missing".to_owned())),
            };
            let (first, unsealed, pieces) = read_entries(sled, head.size)?;
            Ok(Some((Stored { identity, head, first, unsealed }, pieces)))
        })
    }

    /// One batch, made durable. Any error in it ends the use of the store.
    fn write(&mut self, batch: ::sled::Batch) -> Result<(), StoreError> {
        let Database { sled, file, .. } = self.database()?;
        let written = guarded(|| {
            sled.apply_batch(batch).map_err(sled_error)?;
            sled.flush().map_err(sled_error)?;
            file.sync_data().map_err(|error| StoreError::Unknown(format!("fdatasync failed: {error}")))
        });
        if let Err(error) = &written {
            // Never touched again, not even to drop it: sled would write and sync once more, or wait for a thread of its
            // own that is gone.
            std::mem::forget(std::mem::replace(&mut self.database, Err(error.clone())));
        }
        written
    }

    /// Whether `bytes` more can be written where they will be found again, as far as the file system tells. Nothing is lost by
    /// refusing here.
    fn has_room_for(&self, bytes: usize) -> Result<(), StoreError> {
        let Database { file, anchor, .. } = self.database()?;
        anchor.check()?;
        let wanted = RESERVE.saturating_add((bytes as u64).saturating_mul(4));
        super::room::check(file, &self.path, wanted)
    }
}

impl HeadStore for SledHeadStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        Ok(self.read()?.map(|(stored, _)| stored))
    }

    fn create(&mut self, identity: &Identity, head: &Head) -> Result<(), StoreError> {
        let sled = &self.database()?.sled;
        if !guarded(|| Ok(sled.is_empty()))? {
            return Err(StoreError::Conflict);
        }
        self.has_room_for(0)?;
        let mut batch = ::sled::Batch::default();
        batch.insert(IDENTITY, encode_identity(identity));
        batch.insert(HEAD, encode_head(head));
        self.write(batch)?;
        (self.first, self.pieces) = (head.size, VecDeque::new());
        Ok(())
    }

    fn append(&mut self, expected: &Head, group: &Group) -> Result<(), StoreError> {
        let sled = &self.database()?.sled;
        let present = guarded(|| sled.get(HEAD).map_err(sled_error))?;
        if present.as_deref() != Some(encode_head(expected).as_slice()) {
            return Err(StoreError::Conflict);
        }
        self.has_room_for(group.entries.iter().map(|entry| entry.bytes.len() + PIECE / 8).sum())?;

        let mut batch = ::sled::Batch::default();
        let mut added = VecDeque::with_capacity(group.entries.len());
        for (index, entry) in (expected.size..).zip(&group.entries) {
            let pieces = pieces_of(entry);
            let count = u16::try_from(pieces.len())
                .map_err(|_| StoreError::NotWritten("an entry is larger than 256 MiB".to_owned()))?;
            for (number, piece) in (0..count).zip(pieces) {
                batch.insert(&key(index, number), piece);
            }
            added.push_back(count);
        }
        let forgotten = group.sealed.saturating_sub(self.first);
        for (index, &count) in (self.first..group.sealed).zip(&self.pieces) {
            (0..count).for_each(|number| batch.remove(&key(index, number)));
        }
        batch.insert(HEAD, encode_head(&group.head));
        self.write(batch)?;

        self.pieces.extend(added);
        self.pieces.drain(..usize::try_from(forgotten).unwrap_or(usize::MAX).min(self.pieces.len()));
        self.first = self.first.max(group.sealed);
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        self.has_room_for(0)
    }
}

impl Drop for SledHeadStore {
    fn drop(&mut self) {
        // sled flushes once more when it is dropped, and unwraps the result. Everything that counts is durable already.
        let closed = Err(StoreError::Unknown("the store is closed".to_owned()));
        let database = std::mem::replace(&mut self.database, closed);
        let dropped = guarded(|| {
            drop(database);
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::warn!(path = %self.path.display(), %error, "the head store did not close cleanly");
        }
    }
}

impl std::fmt::Debug for SledHeadStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledHeadStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// sled makes its files one after the other and syncs none of them; what a loss of power leaves of that it may call
/// corruption. So a new store is made beside its place, synced, and then put there as a whole.
fn make_empty(path: &Path) -> Result<(), StoreError> {
    let not_made =
        |error: std::io::Error| StoreError::NotWritten(format!("cannot make {}: {error}", path.display()));
    let unfinished = path.with_extension("new");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(not_made(error)),
        _ => {}
    }
    super::files::make_directory(&unfinished)?;
    let database = open_database(&unfinished)?;
    guarded(|| {
        drop(database);
        Ok(())
    })?;
    sync_all(&unfinished)?;
    fs::rename(&unfinished, path).map_err(not_made)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => super::files::sync_directory(parent),
        _ => super::files::sync_directory(Path::new(".")),
    }
}

/// sled's file lock belongs to the process, and a store that was dropped a moment ago in this process may still
/// have a thread with it; other processes are kept out by `LOCK`.
fn open_database(path: &Path) -> Result<Database, StoreError> {
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
    Ok(Database { sled, file, anchor })
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

fn key(index: u64, piece: u16) -> [u8; 10] {
    let mut key = [0; 10];
    let bytes = index.to_be_bytes().into_iter().chain(piece.to_be_bytes());
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    key
}

/// The leaf hash, then the bytes, cut.
fn pieces_of(entry: &Entry) -> Vec<Vec<u8>> {
    let (head, tail) = entry.bytes.split_at(entry.bytes.len().min(PIECE - 32));
    let mut first = Vec::with_capacity(32 + head.len());
    first.extend(entry.leaf_hash);
    first.extend(head);
    std::iter::once(first).chain(tail.chunks(PIECE).map(<[u8]>::to_vec)).collect()
}

type Entries = (u64, Vec<Entry>, VecDeque<u16>);

/// The entries, which must follow each other without a gap up to `size`.
fn read_entries(sled: &::sled::Db, size: u64) -> Result<Entries, StoreError> {
    let gap =
        |index: u64| StoreError::Corrupt(format!("entry {index} or a part of it is missing or damaged"));
    let mut first = None;
    let mut entries = Vec::new();
    let mut pieces = VecDeque::new();
    for item in sled.iter() {
        let (key, value) = item.map_err(sled_error)?;
        let Some((index, piece)) = split_key(&key) else { continue };
        let start = *first.get_or_insert(index);
        let next = start + entries.len() as u64;
        if piece == 0 && index == next {
            let (hash, bytes) = value.split_first_chunk::<32>().ok_or_else(|| gap(index))?;
            entries.push(Entry { leaf_hash: *hash, bytes: bytes.to_vec() });
            pieces.push_back(1);
        } else if let (Some(entry), Some(count)) = (entries.last_mut(), pieces.back_mut()) {
            if index + 1 != next || piece != *count {
                return Err(gap(next));
            }
            entry.bytes.extend_from_slice(&value);
            *count = count.checked_add(1).ok_or_else(|| gap(index))?;
        } else {
            return Err(gap(index));
        }
    }
    let first = first.unwrap_or(size);
    match first + entries.len() as u64 {
        end if end == size => Ok((first, entries, pieces)),
        end => Err(gap(end.min(size))),
    }
}

fn split_key(key: &[u8]) -> Option<(u64, u16)> {
    let (index, piece) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*index), u16::from_be_bytes(piece.try_into().ok()?)))
}

/// `version | u64 size | u64 timestamp | root | right edge | checksum`.
fn encode_head(head: &Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + 32 * head.right_edge.len());
    bytes.push(VERSION);
    bytes.extend(head.size.to_be_bytes());
    bytes.extend(head.timestamp.0.to_be_bytes());
    bytes.extend(head.root);
    head.right_edge.iter().for_each(|hash| bytes.extend(hash));
    with_checksum(bytes)
}

fn decode_head(bytes: &[u8]) -> Result<Head, StoreError> {
    let damaged = || StoreError::Corrupt("the head is damaged".to_owned());
    let rest = checked(bytes).ok_or_else(damaged)?;
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
    if head.right_edge.len() as u32 == head.size.count_ones() { Ok(head) } else { Err(damaged()) }
}

/// `version | log id | origin | checksum`.
fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(identity.log_id);
    bytes.extend(identity.origin.as_bytes());
    with_checksum(bytes)
}

fn decode_identity(bytes: &[u8]) -> Result<Identity, StoreError> {
    let parsed = checked(bytes).and_then(|rest| {
        let (log_id, origin): (&Hash, _) = rest.split_first_chunk()?;
        Some(Identity { origin: String::from_utf8(origin.to_vec()).ok()?, log_id: *log_id })
    });
    parsed.ok_or_else(|| StoreError::Corrupt("the log's identity is damaged".to_owned()))
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let check = digest(&SHA256, &bytes);
    bytes.extend(check.as_ref().iter().take(8));
    bytes
}

/// What stands between the version and the checksum.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (body, check) = bytes.split_last_chunk::<8>()?;
    let (version, rest) = body.split_first()?;
    (*version == VERSION && digest(&SHA256, body).as_ref().starts_with(check)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance;

    #[test]
    fn it_is_a_head_store() {
        let directory = tempfile::tempdir().unwrap();
        conformance::head_store(|| SledHeadStore::open(&directory.path().join("head")).unwrap());
    }

    #[test]
    fn large_entries_make_no_files_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        conformance::head_store(|| SledHeadStore::open(&path).unwrap());
        assert_eq!(fs::read_dir(path.join("blobs")).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_file_is_never_taken_for_the_present_head_and_never_panics() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        conformance::head_store(|| SledHeadStore::open(&path).unwrap());
        let whole = SledHeadStore::open(&path).unwrap().load().unwrap().unwrap();
        let file = fs::read(path.join("db")).unwrap();
        for (name, bytes) in [
            ("empty", Vec::new()),
            ("cut", file.get(..file.len() / 2).unwrap().to_vec()),
            ("cut at its end", file.get(..file.len() - 4096).unwrap().to_vec()),
            ("zeros", vec![0; file.len()]),
            ("noise", file.iter().map(|byte| byte ^ 0x5a).collect()),
        ] {
            let copy = directory.path().join(name);
            fs::create_dir_all(copy.join("blobs")).unwrap();
            for item in fs::read_dir(&path).unwrap().map(Result::unwrap).filter(|item| item.path().is_file())
            {
                fs::copy(item.path(), copy.join(item.file_name())).unwrap();
            }
            fs::write(copy.join("db"), bytes).unwrap();
            // An error, no log, or an older head: the second record tells the latter two.
            match SledHeadStore::open(&copy).and_then(|store| store.load()) {
                Ok(Some(stored)) => {
                    assert!(stored.head.size <= whole.head.size, "{name}");
                    assert!(stored.head != whole.head || stored == whole, "{name}");
                }
                Ok(None) => {}
                Err(error) => assert!(!error.to_string().contains("backtrace"), "{name}: {error}"),
            }
        }
    }
}
