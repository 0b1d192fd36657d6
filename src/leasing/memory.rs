//! A store in memory, for tests: faults on demand, and a copy of its state as a crash would leave it.

use super::attempt::Attempt;
use super::ports::{Change, KeepError, Kept, LeaseStore};
use crate::broker::{Lease, LeaseId};
use crate::environment::UnixMillis;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The store. Clones share their state, so a test keeps one and gives the other to the broker.
#[derive(Clone, Debug, Default)]
pub struct MemoryLeases(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    leases: BTreeMap<LeaseId, Lease>,
    used: BTreeMap<[u8; 32], (u32, UnixMillis)>,
    credentials: BTreeMap<String, Vec<u8>>,
    attempts: BTreeMap<u32, Attempt>,
    faults: VecDeque<Option<Fault>>,
    full: bool,
    /// After an `Unknown`, or a crash: whoever still has it reaches nothing.
    dead: bool,
    writes: usize,
}

impl MemoryLeases {
    /// A copy that shares nothing with this one: what a crash now leaves. This one takes nothing any more.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.lock();
        state.dead = true;
        Self(Arc::new(Mutex::new(State {
            leases: state.leases.clone(),
            used: state.used.clone(),
            credentials: state.credentials.clone(),
            attempts: state.attempts.clone(),
            ..State::default()
        })))
    }

    /// What happens to the next writes, one after the other; `None`: nothing special.
    pub fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.lock().faults.extend(faults);
    }

    /// From now on nothing can be written, or all is well again.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// How many groups it was asked to write.
    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    /// The leases in it.
    pub fn leases(&self) -> Vec<Lease> {
        self.lock().leases.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseStore for MemoryLeases {
    fn load(&self) -> Result<Kept, KeepError> {
        let state = self.lock();
        Ok(Kept {
            leases: state.leases.values().cloned().collect(),
            used: state.used.iter().map(|(key, (count, until))| (*key, *count, *until)).collect(),
            credentials: state
                .credentials
                .iter()
                .map(|(name, record)| (name.clone(), record.clone()))
                .collect(),
            attempts: state.attempts.iter().map(|(slot, attempt)| (*slot, attempt.clone())).collect(),
        })
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), KeepError> {
        let mut state = self.lock();
        state.check()?;
        state.writes += 1;
        let unknown = || KeepError::Unknown("the sync failed (a test)".to_owned());
        match state.faults.pop_front().flatten() {
            None => {
                state.apply(changes);
                Ok(())
            }
            Some(Fault::Refused) => Err(KeepError::NotWritten("no space left (a test)".to_owned())),
            Some(fault) => {
                if fault == Fault::Kept {
                    state.apply(changes);
                }
                state.dead = true;
                Err(unknown())
            }
        }
    }

    fn check(&self) -> Result<(), KeepError> {
        self.lock().check()
    }
}

impl State {
    fn check(&self) -> Result<(), KeepError> {
        match self {
            Self { dead: true, .. } => Err(KeepError::Unknown("a write failed before (a test)".to_owned())),
            Self { full: true, .. } => Err(KeepError::NotWritten("no space left (a test)".to_owned())),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change.clone() {
                Change::Lease(lease) => drop(self.leases.insert(lease.id, *lease)),
                Change::Forget(id) => drop(self.leases.remove(&id)),
                Change::Used { key, count, until } => drop(self.used.insert(key, (count, until))),
                Change::Unused(key) => drop(self.used.remove(&key)),
                Change::Credential { place, record } => drop(self.credentials.insert(place, record)),
                Change::Attempt { slot, attempt } => drop(self.attempts.insert(slot, *attempt)),
            }
        }
    }
}
