//! The embedded head store: the journal of what is not sealed, and sled with what changes seldom.
//!
//! An append is one write and one sync of the journal. sled is written before the first append after a start, and then every
//! [`OFTEN`] entries, always with a head that is durable: so it never leads, and a journal that ends before it has lost
//! something. Why not every group into sled: a flush of its makes a group of one cost 430 µs of CPU and 90 KB of writes
//! instead of 60 µs and 4 KiB, and waits for the disk twice (docs/PERFORMANCE.md).

use super::journal::{self, Journal, Replay};
use super::sled::{self, Database, Founded};
use crate::log::ports::{Group, Head, HeadStore, Identity, StoreError, Stored};
use std::fs::File;
use std::path::{Path, PathBuf};

/// After how many entries sled gets the head.
const OFTEN: u64 = 16_384;
/// Space that must be left besides a multiple of what is appended.
const RESERVE: u64 = 2 << 20;

/// The head store in a directory of its own.
pub struct EmbeddedHeadStore {
    path: PathBuf,
    /// Or why it cannot be used.
    parts: Result<Parts, StoreError>,
}

struct Parts {
    database: Database,
    journal: Journal,
    /// What the last append left; `None`: there is no log.
    state: Option<State>,
    /// The size that sled was last given; `None`: not since the start.
    told: Option<u64>,
}

/// What the last durable append left.
struct State {
    identity: Identity,
    number: u64,
    head: Head,
    /// Entries below it are sealed.
    sealed: u64,
}

impl EmbeddedHeadStore {
    /// Opens the store in `path`, which is made when it is missing. A damaged one opens, and its `load` says so.
    ///
    /// # Errors
    /// `NotWritten` or `Unknown` when it can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.is_dir() {
            sled::make_empty(path)?;
        }
        let parts = match Parts::open(path) {
            Err(error @ StoreError::Corrupt(_)) => Err(error),
            opened => Ok(opened?),
        };
        Ok(Self { path: path.to_owned(), parts })
    }

    fn parts(&self) -> Result<&Parts, StoreError> {
        self.parts.as_ref().map_err(Clone::clone)
    }

    fn parts_mut(&mut self) -> Result<&mut Parts, StoreError> {
        self.parts.as_mut().map_err(|error| error.clone())
    }

    /// After an error that leaves unknown what was written nothing is touched any more.
    fn guard(&mut self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Err(error) = &result
            && !matches!(error, StoreError::NotWritten(_) | StoreError::Conflict)
        {
            std::mem::forget(std::mem::replace(&mut self.parts, Err(error.clone())));
        }
        result
    }
}

impl HeadStore for EmbeddedHeadStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        let Some(founded) = self.parts()?.database.read()? else { return Ok(None) };
        let (state, frames) = replayed(founded, journal::read(&self.path)?)?;
        let first = state.sealed;
        let entries = (frames.frames.into_iter())
            .flat_map(|frame| (frame.first..).zip(frame.entries))
            .filter(|(index, _)| *index >= first);
        let unsealed = entries.map(|(_, entry)| entry).collect();
        Ok(Some(Stored { identity: state.identity, head: state.head, first, unsealed }))
    }

    fn create(&mut self, identity: &Identity, head: &Head) -> Result<(), StoreError> {
        let parts = self.parts()?;
        if parts.database.read()?.is_some() {
            return Err(StoreError::Conflict);
        }
        parts.has_room_for(0, &self.path)?;
        let founded = Founded { identity: identity.clone(), number: 0, head: head.clone() };
        let written = parts.database.write(&founded);
        self.guard(written)?;
        let Founded { identity, number, head } = founded;
        let sealed = head.size;
        self.parts_mut()?.state = Some(State { identity, number, head, sealed });
        Ok(())
    }

    fn append(&mut self, expected: &Head, group: &Group) -> Result<(), StoreError> {
        let path = self.path.clone();
        let parts = self.parts_mut()?;
        let appended = parts.append(expected, group, &path);
        self.guard(appended)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.parts()?.has_room_for(0, &self.path)
    }
}

impl Parts {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let database = sled::open(path)?;
        let founded = database.read()?;
        let replay = journal::read(path)?;
        let journal = Journal::open(path, &replay)?;
        let state = match founded {
            Some(founded) => Some(replayed(founded, replay)?.0),
            None if replay.frames.is_empty() => None,
            None => return Err(StoreError::Corrupt("sled has lost which log this is".to_owned())),
        };
        Ok(Self { database, journal, state, told: None })
    }

    fn append(&mut self, expected: &Head, group: &Group, path: &Path) -> Result<(), StoreError> {
        if self.state.as_ref().is_none_or(|state| state.head != *expected) {
            return Err(StoreError::Conflict);
        }
        self.has_room_for(group.entries.iter().map(|entry| entry.bytes.len()).sum(), path)?;
        let Some(state) = &mut self.state else { return Err(StoreError::Conflict) };
        if self.told.is_none_or(|told| told + OFTEN <= state.head.size) {
            let (identity, head) = (state.identity.clone(), state.head.clone());
            self.database.write(&Founded { identity, number: state.number, head })?;
            self.told = Some(state.head.size);
        }
        let number = state.number + 1;
        self.journal.append(number, state.sealed, expected, group)?;
        state.number = number;
        state.head = group.head.clone();
        state.sealed = state.sealed.max(group.sealed);
        Ok(())
    }

    /// Whether `bytes` more can be written where they will be found again, as far as the file system tells. Nothing is lost by
    /// refusing here.
    fn has_room_for(&self, bytes: usize, path: &Path) -> Result<(), StoreError> {
        self.database.check()?;
        let file: &File = self.journal.check()?;
        super::room::check(file, path, RESERVE.saturating_add((bytes as u64).saturating_mul(2)))
    }
}

/// Where the journal leads from what sled has.
fn replayed(founded: Founded, replay: Replay) -> Result<(State, Replay), StoreError> {
    let corrupt = |what: &str| Err(StoreError::Corrupt(what.to_owned()));
    let Founded { identity, number, head } = founded;
    let known = replay.frames.iter().find(|frame| frame.number == number);
    if known.is_some_and(|frame| frame.head != head) {
        return corrupt("the journal and sled have two heads of one append");
    }
    let state = match replay.frames.last() {
        Some(last) if last.number < number => {
            return corrupt("the journal ends before a head that was durable");
        }
        Some(last) => State { identity, number: last.number, head: last.head.clone(), sealed: last.sealed },
        None if number > 0 => return corrupt("the journal is empty, and the log is not"),
        None => State { identity, number, sealed: head.size, head },
    };
    let begins = replay.frames.first().map_or(state.head.size, |first| first.first);
    if begins > state.sealed {
        return corrupt(&format!("entry {} is missing", state.sealed));
    }
    Ok((state, replay))
}

impl Drop for EmbeddedHeadStore {
    fn drop(&mut self) {
        let closed = Err(StoreError::Unknown("the store is closed".to_owned()));
        if let Ok(Parts { database, .. }) = std::mem::replace(&mut self.parts, closed)
            && let Err(error) = database.close()
        {
            tracing::warn!(path = %self.path.display(), %error, "the head store did not close cleanly");
        }
    }
}

impl std::fmt::Debug for EmbeddedHeadStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedHeadStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::UnixMillis;
    use crate::log::conformance;
    use crate::transparency::Entry;
    use crate::transparency::merkle::RightEdge;
    use std::fs;

    #[test]
    fn it_is_a_head_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        conformance::head_store(|| EmbeddedHeadStore::open(&path).unwrap());
        assert_eq!(fs::read_dir(path.join("blobs")).unwrap().count(), 0);
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to.join("blobs")).unwrap();
        for item in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|item| item.path().is_file()) {
            fs::copy(item.path(), to.join(item.file_name())).unwrap();
        }
    }

    #[test]
    fn a_damaged_file_is_never_taken_for_the_present_head_and_never_panics() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        conformance::head_store(|| EmbeddedHeadStore::open(&path).unwrap());
        let whole = EmbeddedHeadStore::open(&path).unwrap().load().unwrap().unwrap();
        for file in ["db", journal::NAMES[0], journal::NAMES[1]] {
            let content = fs::read(path.join(file)).unwrap();
            for (name, bytes) in [
                ("empty", Vec::new()),
                ("cut", content.get(..content.len() / 2).unwrap().to_vec()),
                ("cut at its end", content.get(..content.len().saturating_sub(4096)).unwrap().to_vec()),
                ("zeros", vec![0; content.len()]),
                ("noise", content.iter().map(|byte| byte ^ 0x5a).collect()),
            ] {
                let damaged = directory.path().join(format!("{file} {name}"));
                copy(&path, &damaged);
                fs::write(damaged.join(file), bytes).unwrap();
                // An error, no log, or an older head: the second record tells the latter two.
                match EmbeddedHeadStore::open(&damaged).and_then(|store| store.load()) {
                    Ok(Some(stored)) => {
                        assert!(stored.head.size <= whole.head.size, "{file} {name}");
                        assert!(stored.head != whole.head || stored == whole, "{file} {name}");
                    }
                    Ok(None) => panic!("{file} {name}: no log, where there is one"),
                    Err(error) => assert!(!error.to_string().contains("backtrace"), "{file} {name}: {error}"),
                }
            }
        }
    }

    /// A log that grows by groups of `group` entries of 3 KB, sealed as tiles would be, `lag` entries late.
    fn grow(store: &mut EmbeddedHeadStore, edge: &mut RightEdge, until: u64, group: u64, lag: u64) {
        let head = |edge: &RightEdge| Head {
            size: edge.size(),
            root: edge.root(),
            timestamp: UnixMillis(1),
            right_edge: edge.hashes().to_vec(),
        };
        while edge.size() < until {
            let expected = head(edge);
            let entries: Vec<Entry> = (edge.size()..edge.size() + group)
                .map(|index| Entry { leaf_hash: [index as u8; 32], bytes: vec![index as u8; 3000].into() })
                .collect();
            entries.iter().for_each(|entry| edge.push(entry.leaf_hash));
            let sealed = expected.size.saturating_sub(lag) / 256 * 256;
            store.append(&expected, &Group { entries, head: head(edge), sealed }).unwrap();
        }
    }

    #[test]
    fn the_files_are_written_over_and_over_and_stay_as_large_as_what_is_not_sealed() {
        for (group, lag) in [(1, 0), (32, 100), (64, 1000)] {
            let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let path = directory.path().join("head");
            let (mut store, mut edge) = (EmbeddedHeadStore::open(&path).unwrap(), RightEdge::new());
            let identity = Identity { origin: "log.example.com/ct".to_owned(), log_id: [7; 32] };
            let empty = Head { size: 0, root: edge.root(), timestamp: UnixMillis(1), right_edge: Vec::new() };
            store.create(&identity, &empty).unwrap();
            for until in [1500, 3000, 6400] {
                grow(&mut store, &mut edge, until, group, lag);
                drop(store);
                store = EmbeddedHeadStore::open(&path).unwrap();
                let stored = store.load().unwrap().unwrap();
                let expected = (edge.size() - group).saturating_sub(lag) / 256 * 256;
                assert_eq!((stored.head.size, stored.first), (edge.size(), expected));
                let indices = stored.first..stored.head.size;
                assert!(
                    indices
                        .zip(&stored.unsealed)
                        .all(|(index, entry)| entry.bytes[..] == [index as u8; 3000])
                );
                assert_eq!(stored.unsealed.len() as u64, edge.size() - expected);
            }
            let size = |name: &str| fs::metadata(path.join(name)).unwrap().len();
            let [zero, one] = journal::NAMES.map(size);
            assert!(zero > 0 && one > 0 && zero + one < (3 << 20) + 2 * 4096 * (lag + 256), "{zero} {one}");
        }
    }

    #[test]
    fn a_journal_that_was_put_back_from_earlier_or_emptied_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let (path, earlier) = (directory.path().join("head"), directory.path().join("earlier"));
        conformance::head_store(|| EmbeddedHeadStore::open(&path).unwrap());
        copy(&path, &earlier);
        let mut store = EmbeddedHeadStore::open(&path).unwrap();
        let stored = store.load().unwrap().unwrap();
        for _ in 0..2 {
            let head = stored.head.clone();
            store.append(&stored.head, &Group { entries: Vec::new(), head, sealed: stored.first }).unwrap();
            drop(store);
            store = EmbeddedHeadStore::open(&path).unwrap();
        }
        drop(store);
        for name in journal::NAMES {
            fs::copy(earlier.join(name), path.join(name)).unwrap();
        }
        let error = EmbeddedHeadStore::open(&path).unwrap().load().unwrap_err();
        assert!(error.to_string().contains("ends before a head that was durable"), "{error}");
        for name in journal::NAMES {
            fs::write(path.join(name), b"").unwrap();
        }
        assert!(EmbeddedHeadStore::open(&path).unwrap().load().unwrap_err().to_string().contains("empty"));
        fs::remove_file(path.join(journal::NAMES[1])).unwrap();
        assert!(EmbeddedHeadStore::open(&path).unwrap().load().unwrap_err().to_string().contains("missing"));
    }
}
