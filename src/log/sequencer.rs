//! The sequencer: one thread that gives every entry its place, in groups, each durable before it is answered.
//!
//! No timer makes groups. A group is what waits when the thread is free and most workers have nothing to do (see [`super::lulls`]):
//! the next one fills while the disk syncs. So a lone entry waits for nobody, and many share one sync.

use super::Candidate;
use super::ports::{Group, Head, HeadRecord, HeadStore, Recorded, StoreError};
use super::queue::{Arrivals, Caller, Command, Pending};
use super::sealer::SealerHandle;
use super::status::{Status, Trouble, Writer, unavailable};
use super::timekeeper::Timekeeper;
use super::view::View;
use crate::environment::UnixMillis;
use crate::transparency::merkle::RightEdge;
use crate::transparency::tile::TILE_WIDTH;
use crate::transparency::{Entry, MAX_SIZE, Place};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Entries in a group at most.
const GROUP_ENTRIES: usize = 1024;
/// A group is closed once its entries have this many bytes.
const GROUP_BYTES: usize = 2 << 20;
/// Entries that may wait for being sealed; beyond it the log waits for the tiles' store.
const BACKLOG: u64 = 64 * TILE_WIDTH;
/// Octets of entries that may, beside a tile that is not complete. A tile of the largest entries of the signature log has 16 MiB.
const BACKLOG_BYTES: usize = 24 << 20;

/// How often a log that nobody appends to looks whether it could: health must not wait for a caller to be refused.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// The thread's state.
pub(super) struct Sequencer<C: Candidate> {
    pub(super) arrivals: Arrivals<C>,
    /// Entries that were taken out of the queue, oldest first.
    pub(super) waiting: VecDeque<Pending<C>>,
    pub(super) store: Box<dyn HeadStore>,
    pub(super) record: Box<dyn HeadRecord>,
    pub(super) time: Arc<Timekeeper>,
    pub(super) view: Arc<RwLock<View>>,
    pub(super) sealer: SealerHandle,
    pub(super) status: Arc<Status>,
    /// The head in the store, and its edge ready to grow.
    pub(super) head: Head,
    pub(super) edge: RightEdge,
    /// Entries that are durable, and not yet in the second record: nobody is told of them, since a store that lost them would
    /// not be noticed.
    pub(super) unsettled: Option<Vec<Entry>>,
    /// Whether the second record was written since it was made durable.
    pub(super) unsynced: bool,
    /// Whether the clock was wrong when it was last asked.
    pub(super) untimely: bool,
    /// Whether to answer what is pending, and end.
    pub(super) closing: Arc<AtomicBool>,
}

/// A group on its way.
struct Draft<C: Candidate> {
    group: Group,
    edge: RightEdge,
    answers: Vec<(Caller<C>, C::Answer)>,
}

impl<C: Candidate> Sequencer<C> {
    /// Works until it is told to close, or until nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        while !self.closing.load(Ordering::SeqCst) {
            match self.arrivals.next(IDLE_CHECK) {
                Ok(Command::Enter(first)) => {
                    self.waiting.push_back(first);
                    self.arrivals.wait_for_group(1);
                    self.work();
                }
                Ok(Command::Probe) => self.probe(),
                Ok(Command::Check) | Err(RecvTimeoutError::Timeout) => self.check(),
                Ok(Command::Close) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // What came in before the close is answered; what comes later finds the queue gone.
        while self.work() {}
        self.sync_record();
    }

    /// Does what has come; whether there was anything.
    fn work(&mut self) -> bool {
        let asked = self.collect();
        let found = asked || !self.waiting.is_empty();
        // A group shows by itself whether the store can write.
        match self.sequence() {
            true => self.status.checked(),
            false if asked => self.check(),
            false => {}
        }
        found
    }

    /// Takes what has come out of the queue, no more than one group may have; whether a try or a look was asked for.
    fn collect(&mut self) -> bool {
        let mut asked = false;
        while self.waiting.len() < GROUP_ENTRIES {
            match self.arrivals.next_at_hand() {
                Ok(Command::Enter(next)) => self.waiting.push_back(next),
                Ok(Command::Probe | Command::Check) => asked = true,
                Ok(Command::Close) => {}
                Err(_) => break,
            }
        }
        asked
    }

    /// Makes groups of what waits: one, unless it is large. Whether the store was asked to write.
    fn sequence(&mut self) -> bool {
        let mut tried = false;
        while !self.waiting.is_empty() {
            // Asked for when all of the group are here: an entry is not older than what led to it.
            let Some(timestamp) = self.time() else {
                self.waiting.drain(..).for_each(|pending| drop(pending.answer.send(Err(unavailable()))));
                break;
            };
            let mut draft = self.draft(timestamp);
            let mut bytes = 0;
            while bytes < GROUP_BYTES
                && let Some(pending) = self.waiting.pop_front()
            {
                bytes += self.take(&mut draft, pending);
            }
            if !draft.answers.is_empty() {
                self.commit(draft);
                tried = true;
            }
        }
        tried
    }

    /// The time of a group that begins now, or none while the clock cannot be right: health says so as well.
    fn time(&mut self) -> Option<UnixMillis> {
        let time = self.time.after(self.head.timestamp);
        let wrong = time.is_err();
        if let Some(reason) = time.as_ref().err().filter(|_| !self.untimely) {
            tracing::error!(reason, "the transparency log takes no entries: the clock is wrong");
        }
        self.untimely = wrong;
        time.ok()
    }

    fn draft(&self, timestamp: UnixMillis) -> Draft<C> {
        let group = Group {
            entries: Vec::new(),
            head: Head { timestamp, ..self.head.clone() },
            sealed: self.sealer.sealed(),
        };
        Draft { group, edge: self.edge.clone(), answers: Vec::new() }
    }

    /// Gives an entry its place in the draft; answers how large it is. One whose caller has gone is passed over.
    fn take(&self, draft: &mut Draft<C>, pending: Pending<C>) -> usize {
        if pending.answer.is_closed() {
            return 0;
        }
        let place = Place { index: draft.edge.size(), timestamp: draft.group.head.timestamp };
        if place.index >= MAX_SIZE || self.status.is_stopped() {
            pending.answer.send(Err(unavailable())).ok();
            return 0;
        }
        let (entry, answer) = pending.candidate.at(place);
        let length = entry.bytes.len();
        draft.edge.push(entry.leaf_hash);
        draft.group.entries.push(entry);
        draft.answers.push((pending.answer, answer));
        length
    }

    /// Makes the group durable, then visible, then answers: in this order.
    fn commit(&mut self, mut draft: Draft<C>) {
        draft.group.head = Head {
            size: draft.edge.size(),
            root: draft.edge.root(),
            timestamp: draft.group.head.timestamp,
            right_edge: draft.edge.hashes().to_vec(),
        };
        // A second record that cannot be written now is known before the store grows.
        if !self.settle() {
            return refuse::<C>(draft.answers);
        }
        if let Err(error) = self.append(&mut draft.group) {
            let reason = error.to_string();
            match error {
                StoreError::NotWritten(_) => self.status.set(Trouble::Appending, &reason),
                // Nothing may be assumed of the store, and a failed sync must not be tried again: the pages may be gone.
                StoreError::Unknown(_) | StoreError::Corrupt(_) | StoreError::Conflict => {
                    self.status.stop(&reason)
                }
            }
            return refuse::<C>(draft.answers);
        }
        self.status.clear(Trouble::Appending);
        let tile = self.head.size / TILE_WIDTH;
        let Group { entries, head, .. } = draft.group;
        (self.head, self.edge, self.unsettled) = (head, draft.edge, Some(entries));
        if !self.settle() {
            return refuse::<C>(draft.answers);
        }
        draft.answers.into_iter().for_each(|(caller, answer)| drop(caller.send(Ok(answer))));
        if self.head.size / TILE_WIDTH != tile {
            self.sealer.wake();
            self.sync_record();
        }
    }

    fn append(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let waited_for = self.must_be_sealed(group);
        if waited_for > group.sealed {
            // Where the sealer is merely slow the queue fills meanwhile, and says so to those who come.
            if !self.sealer.wait_for(waited_for) {
                let reason = "tiles cannot be written, and too many entries wait for them";
                return Err(StoreError::NotWritten(reason.to_owned()));
            }
            group.sealed = self.sealer.sealed();
        }
        self.timed(|this| this.store.append(&this.head, group))
    }

    /// Entries below this must be sealed before the group is written: else memory grows for as long as tiles cannot be.
    fn must_be_sealed(&self, group: &Group) -> u64 {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let by_number = group.head.size.saturating_sub(BACKLOG);
        let mut beyond = view.unsealed_octets.saturating_sub(BACKLOG_BYTES);
        let mut by_octets = view.unsealed_start;
        for entry in &view.unsealed {
            if beyond == 0 {
                break;
            }
            beyond = beyond.saturating_sub(entry.bytes.len());
            by_octets += 1;
        }
        // What is in no complete tile cannot be waited for.
        by_number.max(by_octets.next_multiple_of(TILE_WIDTH).min(view.head.size / TILE_WIDTH * TILE_WIDTH))
    }

    /// Calls a store so that health sees how long it takes: a disk may neither answer nor fail.
    fn timed<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        self.status.begins(Writer::Sequencer);
        let result = call(self);
        self.status.ends(Writer::Sequencer);
        result
    }

    /// Writes the second record of what is durable, and then lets readers see it. Whether that is done.
    fn settle(&mut self) -> bool {
        if self.unsettled.is_none() {
            return true;
        }
        if let Err(error) = self.timed(|this| this.record.write(&Recorded::from(&this.head))) {
            self.status.set(Trouble::Recording, &error.to_string());
            return false;
        }
        self.unsynced = true;
        let entries = self.unsettled.take().unwrap_or_default();
        self.view.write().unwrap_or_else(PoisonError::into_inner).push_group(self.head.clone(), entries);
        self.status.clear(Trouble::Recording);
        true
    }

    /// Makes the second record durable, after the answers and not for each of them: a loss of power takes the last ones of it.
    fn sync_record(&mut self) {
        if !self.unsynced {
            return;
        }
        self.unsynced = false;
        if let Err(error) = self.timed(|this| this.record.sync()) {
            self.status.set(Trouble::Recording, &error.to_string());
            // What was not synced is written again.
            self.unsettled = Some(Vec::new());
        }
    }

    /// What an idle log looks for: whether the store could write, without writing; and where it could not, whether it can now.
    fn check(&mut self) {
        self.status.checked();
        if self.status.is_in(Trouble::Appending) || self.status.is_in(Trouble::Recording) {
            return self.probe();
        }
        self.sync_record();
        if let Err(error) = self.timed(|this| this.store.check()) {
            self.status.set(Trouble::Appending, &error.to_string());
        }
        self.sealer.wake();
    }

    /// An empty group shows whether the store can write again, so that health recovers without traffic.
    fn probe(&mut self) {
        if !self.status.is_stopped() {
            self.commit(self.draft(self.head.timestamp));
        }
    }
}

/// The entries of a group that nobody may be told of.
fn refuse<C: Candidate>(answers: Vec<(Caller<C>, C::Answer)>) {
    answers.into_iter().for_each(|(caller, _)| drop(caller.send(Err(unavailable()))));
}
