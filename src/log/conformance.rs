//! What every store must do, as one suite: call it from the tests of a new store. It panics where a store fails.
//!
//! Durability itself cannot be seen from inside a process; a store's own documentation says how it is reached.

use super::ports::{Group, Head, HeadRecord, HeadStore, Identity, Recorded, StoreError, Stored, TileStore};
use crate::environment::UnixMillis;
use crate::transparency::merkle::{self, RightEdge};
use crate::transparency::{Entry, Hash};

/// `reopen` opens the same empty store again and again; the value of the call before is dropped by then.
pub fn head_store<S: HeadStore>(mut reopen: impl FnMut() -> S) {
    let identity = Identity { origin: "log.example.com/ct".to_owned(), log_id: [7; 32] };
    let mut log = Model::empty();
    {
        let mut store = reopen();
        assert_eq!(store.load(), Ok(None), "an empty store has no log");
        let group = log.clone().group(1, 0);
        assert_eq!(store.append(&log.head, &group), Err(StoreError::Conflict), "append before create");
        store.create(&identity, &log.head).expect("create in an empty store");
        assert_eq!(store.create(&identity, &log.head), Err(StoreError::Conflict), "create twice");
        assert_eq!(store.load(), Ok(Some(log.stored(&identity))));
    }
    let mut store = reopen();
    assert_eq!(
        store.load(),
        Ok(Some(log.stored(&identity))),
        "what was created is there after opening again"
    );

    // Groups of every kind: one, none, many, large entries, and such that drop what is sealed.
    for (count, sealed) in [(1, 0), (0, 0), (300, 0), (1, 256), (0, 256), (700, 256), (3, 768), (1, 1004)] {
        let expected = log.head.clone();
        let group = log.group(count, sealed);
        store.append(&expected, &group).expect("append");
        assert_eq!(store.load(), Ok(Some(log.stored(&identity))), "after {count} entries, {sealed} sealed");
        if count > 0 {
            let again = store.append(&expected, &group);
            assert_eq!(again, Err(StoreError::Conflict), "a head that is no longer the head");
        }
        drop(store);
        store = reopen();
        assert_eq!(store.load(), Ok(Some(log.stored(&identity))), "opened again after {count} entries");
    }

    let mut other = log.clone();
    other.head.timestamp = UnixMillis(1);
    let group = other.clone().group(1, 0);
    assert_eq!(store.append(&other.head, &group), Err(StoreError::Conflict), "the whole head is compared");
    assert_eq!(store.load(), Ok(Some(log.stored(&identity))), "a conflict changes nothing");
}

/// `reopen` opens the same empty record again and again.
pub fn head_record<R: HeadRecord>(mut reopen: impl FnMut() -> R) {
    assert_eq!(reopen().read(), Ok(None), "an empty record");
    for size in 0..5 {
        let recorded = Recorded { size, root: [size as u8; 32], timestamp: UnixMillis(size + 1) };
        let mut record = reopen();
        record.write(&recorded).expect("write");
        record.sync().expect("sync");
        drop(record);
        assert_eq!(reopen().read(), Ok(Some(recorded)));
    }
}

/// `reopen` opens the same empty store again and again.
pub fn tile_store<S: TileStore>(mut reopen: impl FnMut() -> S) {
    let issuer = format!("issuer/{}", "5e".repeat(32));
    let paths = ["tile/0/000", "tile/data/000", "tile/data/x001/x234/067", "tile/5/999", &issuer];
    assert_eq!(reopen().any(), Ok(None), "nothing is there at first");
    for path in paths {
        let store = reopen();
        assert_eq!(store.get(path), Ok(None), "{path}");
        store.put(path, path.as_bytes()).expect("put");
        store.put(path, path.as_bytes()).expect("the same again");
        assert!(matches!(store.put(path, b"other bytes"), Err(StoreError::Corrupt(_))), "{path} twice");
        assert!(matches!(store.put(path, b""), Err(StoreError::Corrupt(_))), "{path} emptied");
        assert_eq!(store.get(path), Ok(Some(path.as_bytes().to_vec())), "{path} stays as it was");
    }
    let store = reopen();
    assert!(
        store.any().is_ok_and(|any| any.is_some_and(|any| paths.contains(&&*any))),
        "one of what is there"
    );
    for path in paths {
        assert_eq!(store.get(path), Ok(Some(path.as_bytes().to_vec())), "{path} after opening again");
        store.put(path, path.as_bytes()).expect("the same again after opening");
    }
    let part = |from, length| store.get_range(paths[0], from, length);
    let whole = paths[0].as_bytes();
    assert_eq!(part(0, 4), Ok(Some(whole[..4].to_vec())), "a part from the beginning");
    assert_eq!(part(5, 100), Ok(Some(whole[5..].to_vec())), "a part that the end cuts");
    assert_eq!(part(100, 1), Ok(Some(Vec::new())), "a part beyond the end");
    assert_eq!(store.get_range("tile/0/001", 0, 1), Ok(None), "a part of nothing");
    let large = vec![9; 3 << 20];
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, large) = (&store, &large);
            scope.spawn(move || {
                store.put(&format!("tile/data/10{writer}"), large).expect("put from a thread")
            });
        }
    });
    assert_eq!(store.get("tile/data/103").map(|bytes| bytes.map(|bytes| bytes.len())), Ok(Some(3 << 20)));
}

/// A log as it should be stored.
#[derive(Clone)]
struct Model {
    head: Head,
    first: u64,
    unsealed: Vec<Entry>,
}

impl Model {
    fn empty() -> Self {
        let root = merkle::empty_root();
        let head = Head { size: 0, root, timestamp: UnixMillis(1_700_000_000_000), right_edge: Vec::new() };
        Self { head, first: 0, unsealed: Vec::new() }
    }

    fn group(&mut self, count: u64, sealed: u64) -> Group {
        let parts = (self.head.size, self.head.right_edge.clone());
        let mut edge = RightEdge::from_parts(parts.0, parts.1).expect("an edge of that size");
        let entries: Vec<Entry> = (self.head.size..self.head.size + count).map(entry).collect();
        entries.iter().for_each(|entry| edge.push(entry.leaf_hash));
        let timestamp = UnixMillis(self.head.timestamp.0 + 1);
        self.head =
            Head { size: edge.size(), root: edge.root(), timestamp, right_edge: edge.hashes().to_vec() };
        self.unsealed.extend(entries.iter().cloned());
        self.unsealed.drain(..(sealed.max(self.first) - self.first) as usize);
        self.first = sealed.max(self.first);
        Group { entries, head: self.head.clone(), sealed }
    }

    fn stored(&self, identity: &Identity) -> Stored {
        Stored {
            identity: identity.clone(),
            head: self.head.clone(),
            first: self.first,
            unsealed: self.unsealed.clone(),
        }
    }
}

/// Entries of all sizes: empty, usual, and one in fifty larger than a store may like.
fn entry(index: u64) -> Entry {
    let length = match index % 50 {
        0 => 0,
        7 => 300_000,
        other => 1000 + 60 * other as usize,
    };
    let leaf_hash: Hash = merkle::leaf_hash(&index.to_be_bytes());
    Entry { leaf_hash, bytes: vec![index as u8; length].into() }
}
