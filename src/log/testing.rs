//! For tests: tiles in memory, and a log that grows and seals as it is told.

use super::ports::{Head, StoreError, TileStore};
use super::view::View;
use crate::environment::UnixMillis;
use crate::transparency::merkle::RightEdge;
use crate::transparency::precertificate::{LogEntry, LoggedCertificate};
use crate::transparency::tile::completed_tiles;
use crate::transparency::{Entry, Hash, Place, sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

/// Tiles by their path.
#[derive(Default)]
pub(super) struct MemoryTiles(pub(super) Mutex<BTreeMap<String, Vec<u8>>>);

impl TileStore for MemoryTiles {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut tiles = self.0.lock().unwrap();
        match tiles.insert(path.to_owned(), bytes.to_vec()) {
            Some(old) if old != bytes => Err(StoreError::Corrupt(format!("{path} had other bytes"))),
            _ => Ok(()),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(path).cloned())
    }

    fn any(&self) -> Result<Option<String>, StoreError> {
        Ok(self.0.lock().unwrap().keys().next().cloned())
    }
}

/// The CA certificates that the test log's entries name.
pub(super) const CHAIN: [&[u8]; 2] = [b"intermediate", b"root"];

/// The precertificate that becomes entry `index`, with its time.
pub(super) fn precertificate(index: u64) -> (LogEntry, Place) {
    let entry = precertificate_of(format!("tbs {index}").as_bytes(), &CHAIN.map(sha256), index);
    (entry, Place { index, timestamp: UnixMillis(1_000_000 + index / 3) })
}

/// The same with other contents.
pub(super) fn precertificate_of(tbs: &[u8], fingerprints: &[Hash], index: u64) -> LogEntry {
    let precertificate = &vec![b'p'; 10 + index as usize % 7];
    let logged = LoggedCertificate::Precertificate { issuer_key_hash: &[5; 32], tbs, precertificate };
    LogEntry::new(logged, fingerprints)
}

/// The entry `index`.
pub(super) fn entry(index: u64) -> Entry {
    let (precertificate, place) = precertificate(index);
    precertificate.at(place).0
}

/// A log in memory.
pub(super) struct TestLog {
    pub(super) tiles: Arc<MemoryTiles>,
    pub(super) view: Arc<RwLock<View>>,
    pub(super) edge: RightEdge,
    pub(super) roots: Vec<Hash>,
}

impl TestLog {
    pub(super) fn new() -> Self {
        let edge = RightEdge::new();
        let roots = vec![edge.root()];
        Self { tiles: Arc::default(), view: Arc::new(RwLock::new(View::empty())), edge, roots }
    }

    /// Appends one group that makes the log `size` entries long.
    pub(super) fn grow_to(&mut self, size: u64) {
        let entries = (self.edge.size()..size).map(entry).collect();
        self.push(entries);
    }

    /// Appends these entries as one group.
    pub(super) fn push(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.edge.push(entry.leaf_hash);
            self.roots.push(self.edge.root());
        }
        self.view.write().unwrap().push_group(self.head(), entries);
    }

    pub(super) fn head(&self) -> Head {
        let size = self.edge.size();
        Head {
            size,
            root: self.edge.root(),
            timestamp: size.checked_sub(1).map_or(UnixMillis(0), |last| precertificate(last).1.timestamp),
            right_edge: self.edge.hashes().to_vec(),
        }
    }

    /// Writes the tiles that are complete, and lets the view forget those below `forget`.
    pub(super) fn seal(&self, forget: u64) {
        let mut view = self.view.write().unwrap();
        for path in completed_tiles(view.unsealed_start / 256 * 256, view.head.size) {
            let content = view.tile(&path).unwrap_or_else(|| panic!("{path} is in the view"));
            self.tiles.put(&path.to_string(), &content).unwrap();
        }
        view.forget_below(forget);
    }
}
