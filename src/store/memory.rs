//! A store in memory, for tests: all three ports, faults on demand, and copies of its state as a crash would leave it.
//!
//! Clones share their state, so a test keeps one and gives the other to the log.

use crate::log::ports::{
    Group, Head, HeadRecord, HeadStore, Identity, Recorded, StoreError, Stored, TileStore,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What goes wrong with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `NotWritten`, and nothing is.
    Refused,
    /// `Unknown`, and it is written.
    Kept,
    /// `Unknown`, and it is lost.
    Lost,
}

/// A whole store: head, record and tiles.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    /// The head.
    pub head: MemoryHeadStore,
    /// Its second record.
    pub record: MemoryHeadRecord,
    /// The tiles.
    pub tiles: MemoryTileStore,
}

impl MemoryStore {
    /// A copy that shares nothing with this one: what a crash now would leave. Pending faults are not copied.
    pub fn crash(&self) -> Self {
        Self {
            head: MemoryHeadStore::holding(self.head.stored()),
            record: MemoryHeadRecord { record: shared(*lock(&self.record.record)), ..Default::default() },
            tiles: MemoryTileStore {
                objects: shared(lock(&self.tiles.objects).clone()),
                ..Default::default()
            },
        }
    }
}

impl MemoryStore {
    /// How many writes are still decided on, of all three ports.
    pub fn faults_to_come(&self) -> usize {
        [&self.head.faults, &self.record.faults, &self.tiles.faults]
            .map(|faults| lock(&faults.0).len())
            .iter()
            .sum()
    }
}

/// The faults to come, first the next write's.
#[derive(Clone, Debug, Default)]
struct Faults(Arc<Mutex<VecDeque<Option<Fault>>>>);

impl Faults {
    fn push(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        lock(&self.0).extend(faults);
    }

    fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Runs `write` as the next fault has it.
    fn around(&self, write: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let fault = lock(&self.0).pop_front().flatten();
        match fault {
            None => write(),
            Some(Fault::Refused) => Err(StoreError::NotWritten("no space left (a test)".to_owned())),
            Some(Fault::Lost) => Err(StoreError::Unknown("the sync failed (a test)".to_owned())),
            Some(Fault::Kept) => {
                write()?;
                Err(StoreError::Unknown("the sync failed (a test)".to_owned()))
            }
        }
    }
}

/// A head store in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryHeadStore {
    stored: Arc<Mutex<Option<Stored>>>,
    faults: Faults,
    full: Arc<AtomicBool>,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Debug, Default)]
struct Gate {
    closed: bool,
    waiting: usize,
}

impl MemoryHeadStore {
    /// A store that already holds something.
    pub fn holding(stored: Option<Stored>) -> Self {
        Self { stored: shared(stored), ..Self::default() }
    }

    /// What it holds now.
    pub fn stored(&self) -> Option<Stored> {
        lock(&self.stored).clone()
    }

    /// What happens to the next appends, one after the other; `None`: nothing special.
    pub fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.faults.push(faults);
    }

    /// From now on nothing can be written, or all is well again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Appends wait from now on.
    pub fn close_gate(&self) {
        lock(&self.gate.0).closed = true;
    }

    /// Appends go on.
    pub fn open_gate(&self) {
        lock(&self.gate.0).closed = false;
        self.gate.1.notify_all();
    }

    /// Waits until an append waits at the closed gate.
    pub fn wait_for_append(&self) {
        let mut gate = lock(&self.gate.0);
        while gate.waiting == 0 {
            gate = self.gate.1.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pass_gate(&self) {
        let mut gate = lock(&self.gate.0);
        gate.waiting += 1;
        self.gate.1.notify_all();
        while gate.closed {
            gate = self.gate.1.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        gate.waiting -= 1;
    }
}

impl HeadStore for MemoryHeadStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        Ok(self.stored())
    }

    fn create(&mut self, identity: &Identity, head: &Head) -> Result<(), StoreError> {
        let mut stored = lock(&self.stored);
        if stored.is_some() {
            return Err(StoreError::Conflict);
        }
        let (identity, head) = (identity.clone(), head.clone());
        let first = head.size;
        self.faults.around(|| {
            *stored = Some(Stored { identity, head, first, unsealed: Vec::new() });
            Ok(())
        })
    }

    fn append(&mut self, expected: &Head, group: &Group) -> Result<(), StoreError> {
        self.pass_gate();
        let mut stored = lock(&self.stored);
        let stored = stored.as_mut().filter(|stored| stored.head == *expected).ok_or(StoreError::Conflict)?;
        self.check()?;
        self.faults.around(|| {
            stored.unsealed.extend(group.entries.iter().cloned());
            let forgotten = group.sealed.saturating_sub(stored.first);
            stored.unsealed.drain(..forgotten as usize);
            stored.first += forgotten;
            stored.head = group.head.clone();
            Ok(())
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(StoreError::NotWritten("no space left (a test)".to_owned())),
            false => Ok(()),
        }
    }
}

/// A second record in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryHeadRecord {
    record: Arc<Mutex<Option<Recorded>>>,
    faults: Faults,
}

impl MemoryHeadRecord {
    /// Puts another record, or none.
    pub fn set(&self, record: Option<Recorded>) {
        *lock(&self.record) = record;
    }

    /// What happens to the next writes.
    pub fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.faults.push(faults);
    }
}

impl HeadRecord for MemoryHeadRecord {
    fn read(&self) -> Result<Option<Recorded>, StoreError> {
        Ok(*lock(&self.record))
    }

    fn write(&mut self, record: &Recorded) -> Result<(), StoreError> {
        self.faults.around(|| {
            *lock(&self.record) = Some(*record);
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Tiles in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTileStore {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    faults: Faults,
    full: Arc<AtomicBool>,
}

impl MemoryTileStore {
    /// What happens to the next writes.
    pub fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.faults.push(faults);
    }

    /// Forgets the faults to come.
    pub fn heal(&self) {
        self.faults.clear();
    }

    /// From now on nothing can be written, or all is well again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Changes or removes an object, as nobody should.
    pub fn tamper(&self, path: &str, bytes: Option<Vec<u8>>) {
        let mut objects = lock(&self.objects);
        match bytes {
            Some(bytes) => objects.insert(path.to_owned(), bytes),
            None => objects.remove(path),
        };
    }

    /// The paths of all objects, in order.
    pub fn paths(&self) -> Vec<String> {
        lock(&self.objects).keys().cloned().collect()
    }
}

impl TileStore for MemoryTileStore {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut objects = lock(&self.objects);
        match objects.get(path) {
            Some(present) if present != bytes => Err(StoreError::Corrupt(format!("{path} has other bytes"))),
            _ => self.faults.around(|| {
                objects.insert(path.to_owned(), bytes.to_vec());
                Ok(())
            }),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(lock(&self.objects).get(path).cloned())
    }

    fn any(&self) -> Result<Option<String>, StoreError> {
        Ok(lock(&self.objects).keys().next().cloned())
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(StoreError::NotWritten("no space left (a test)".to_owned())),
            false => Ok(()),
        }
    }
}

fn shared<T>(value: T) -> Arc<Mutex<T>> {
    Arc::new(Mutex::new(value))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance;

    #[test]
    fn it_is_a_store() {
        let store = MemoryStore::default();
        conformance::head_store(|| store.head.clone());
        conformance::head_record(|| store.record.clone());
        conformance::tile_store(|| store.tiles.clone());
    }
}
