//! A log of small entries on the store in memory or on a real directory, for tests of the log alone.

use crate::support::TestClock;
use countersign::environment::UnixMillis;
use countersign::log::ports::{HeadRecord, Identity};
use countersign::log::reader::LogReader;
use countersign::log::{Candidate, Lifecycle as _, Log, StartError, Stores};
use countersign::refusal::Refusal;
use countersign::store::memory::MemoryStore;
use countersign::store::{DataDirectory, DataDirectoryError};
use countersign::transparency::merkle::{self, RightEdge};
use countersign::transparency::{Entry, Hash, Place};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

pub const NOW: u64 = 1_800_000_000_000;

/// An entry that tells its own place: `index | timestamp | number`.
pub struct Item(pub u64);

pub const ITEM: usize = 24;

impl Candidate for Item {
    type Answer = Place;

    fn at(self, place: Place) -> (Entry, Place) {
        assert_ne!(self.0, u64::MAX, "the candidate that panics, for a test");
        let bytes = [place.index, place.timestamp.0, self.0].map(u64::to_be_bytes).concat();
        (Entry { leaf_hash: merkle::leaf_hash(&bytes), bytes: bytes.into() }, place)
    }

    fn leaf_hash(bytes: &[u8]) -> Option<Hash> {
        (bytes.len() == ITEM).then(|| merkle::leaf_hash(bytes))
    }
}

pub fn identity() -> Identity {
    Identity { origin: "log.example.com/ct".to_owned(), log_id: [7; 32] }
}

pub fn open_as(identity: &Identity, store: &MemoryStore, now: u64) -> Result<Arc<Log<Item>>, StartError> {
    let clock = TestClock::at(UnixMillis(now));
    Log::open(identity, stores(store), clock.clone(), clock).map(Arc::new)
}

pub fn open(store: &MemoryStore) -> Result<Arc<Log<Item>>, StartError> {
    open_as(&identity(), store, NOW)
}

pub fn stores(store: &MemoryStore) -> Stores {
    Stores {
        head: Box::new(store.head.clone()),
        record: Box::new(store.record.clone()),
        tiles: Arc::new(store.tiles.clone()),
        guard: Box::new(()),
    }
}

pub fn stores_in(directory: &Path) -> Result<Stores, DataDirectoryError> {
    DataDirectory::open(directory).map(Stores::from)
}

pub fn open_in(directory: &Path) -> Result<Arc<Log<Item>>, StartError> {
    let clock = TestClock::at(UnixMillis(NOW));
    Log::open(&identity(), stores_in(directory).unwrap(), clock.clone(), clock).map(Arc::new)
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Enters as many at once; the answers that were places.
pub fn enter_many(log: &Arc<Log<Item>>, count: u64) -> Vec<Place> {
    wait(async {
        let mut places = Vec::new();
        for batch in 0..count.div_ceil(1024) {
            let mut tasks = JoinSet::new();
            for number in batch * 1024..count.min((batch + 1) * 1024) {
                let log = log.clone();
                tasks.spawn(async move { log.enter(Item(number)).await });
            }
            places.extend(tasks.join_all().await.into_iter().filter_map(Result::ok));
        }
        places
    })
}

pub fn enter(log: &Log<Item>) -> Result<Place, Refusal> {
    wait(log.enter(Item(1)))
}

pub fn size(log: &Log<Item>) -> u64 {
    log.view().read().unwrap().head.size
}

/// The log as readers see it.
pub fn reader(log: &Log<Item>) -> LogReader {
    LogReader::new(log.tiles().clone(), log.view().clone(), |bytes| bytes.get(..ITEM).map(<[u8]>::len))
}

/// Reads the whole log as a reader would, rebuilds its tree, and looks for every answer that was given.
pub fn audit(log: &Log<Item>, answered: &[Place]) {
    let head = log.view().read().unwrap().head.clone();
    let reader = reader(log);
    let mut edge = RightEdge::new();
    let mut places = Vec::new();
    while edge.size() < head.size {
        for entry in reader.entries(edge.size(), head.size - 1, 4096).unwrap() {
            let number = |at: usize| u64::from_be_bytes(entry[at..at + 8].try_into().unwrap());
            let place = Place { index: number(0), timestamp: UnixMillis(number(8)) };
            assert_eq!(place.index, edge.size(), "an entry stands at its index");
            assert!(places.last().is_none_or(|last: &Place| last.timestamp <= place.timestamp));
            edge.push(merkle::leaf_hash(&entry));
            places.push(place);
        }
    }
    assert_eq!(edge.root(), head.root, "root of {} entries", head.size);
    assert_eq!(edge.hashes(), head.right_edge);
    for place in answered {
        assert_eq!(places.get(place.index as usize), Some(place), "what was answered is there");
    }
    let mut indices: Vec<u64> = answered.iter().map(|place| place.index).collect();
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), answered.len(), "no index is answered twice");
}

/// Reopens what a crash leaves, audits it, and enters one more.
pub fn survives(store: &MemoryStore, answered: &[Place]) -> u64 {
    let after = store.crash();
    let log = open(&after).unwrap_or_else(|error| panic!("{error}"));
    audit(&log, answered);
    let size = size(&log);
    assert_eq!(enter(&log).unwrap().index, size);
    audit(&log, answered);
    size
}

/// A log that was closed in order.
pub fn closed_with(count: u64) -> (MemoryStore, Vec<Place>) {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    let answered = enter_many(&log, count);
    log.close();
    (store, answered)
}

pub fn refused(store: &MemoryStore) -> StartError {
    let before = (store.head.stored(), store.record.read(), store.tiles.paths());
    let error = open(store).err().expect("such a log must not start");
    assert_eq!(
        before,
        (store.head.stored(), store.record.read(), store.tiles.paths()),
        "nothing was changed"
    );
    assert!(error.to_string().contains("; ") || error.to_string().contains(": "), "{error}");
    error
}
