//! How the log is: what keeps it from taking entries, for now or for good.

use crate::refusal::{Reason, Refusal};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// When another try has a chance, if nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A write that was under way at more looks, one a second, is a trouble of the disk.
const SLOW: u64 = 10;
/// A write that was under way at more looks never ends: the store lost a thread, or the disk is gone.
const STUCK: u64 = 60;
/// The same while the server ends: callers are told as long as they can be.
const STUCK_AT_THE_END: u64 = 6;

/// What may keep the log from working, each until it succeeds again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// Groups cannot be written.
    Appending,
    /// The second record cannot be written.
    Recording,
    /// Tiles cannot be written.
    Sealing,
}

/// Which thread may wait for a disk that does not answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    /// The sequencer: the head and its second record.
    Sequencer,
    /// The sealer: tiles.
    Sealer,
}

/// The log's state as its threads and its callers share it.
#[derive(Debug)]
pub(super) struct Status {
    troubles: Mutex<[Option<String>; 3]>,
    /// For each writer, how many writes have begun and ended: odd while one is under way.
    writes: [AtomicU64; 2],
    /// For each writer, that number at the last look, and at how many looks before it was the same.
    seen: Mutex<[(u64, u64); 2]>,
    /// Whether the server is about to end.
    ending: AtomicBool,
    /// A check of the store is asked for, and not done yet.
    checking: AtomicBool,
    stopped: watch::Sender<Option<String>>,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            troubles: Mutex::default(),
            writes: Default::default(),
            seen: Mutex::default(),
            ending: AtomicBool::new(false),
            checking: AtomicBool::new(false),
            stopped: watch::Sender::new(None),
        }
    }

    /// Notes a trouble for operators; said once in the log when it begins.
    pub(super) fn set(&self, trouble: Trouble, reason: &str) {
        let mut troubles = self.troubles();
        let slot = &mut troubles[trouble as usize];
        if slot.is_none() {
            tracing::error!(?trouble, reason, "the transparency log has a problem and keeps trying");
        }
        *slot = Some(reason.to_owned());
    }

    /// The trouble is over.
    pub(super) fn clear(&self, trouble: Trouble) {
        if self.troubles()[trouble as usize].take().is_some() {
            tracing::info!(?trouble, "the transparency log's problem is over");
        }
    }

    /// Whether the trouble is not over.
    pub(super) fn is_in(&self, trouble: Trouble) -> bool {
        self.troubles()[trouble as usize].is_some()
    }

    /// Whether a check of the store should be queued: one at a time, so that those who ask for health fill no queue.
    pub(super) fn wants_check(&self) -> bool {
        !self.checking.swap(true, Ordering::AcqRel)
    }

    /// The check is done, or was not taken.
    pub(super) fn checked(&self) {
        self.checking.store(false, Ordering::Release);
    }

    /// A write begins.
    pub(super) fn begins(&self, writer: Writer) {
        self.writes[writer as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// It has ended.
    pub(super) fn ends(&self, writer: Writer) {
        self.writes[writer as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// Looks whether a write ends, and stops the log when one does not. To be called every second, whoever else asks.
    ///
    /// Looks are counted, and no clock is asked: clocks are set, and a machine that was suspended has not waited for a disk.
    pub(super) fn look(&self) {
        let mut seen = self.seen();
        for ((write, looks), writes) in seen.iter_mut().zip(&self.writes) {
            let now = writes.load(Ordering::Acquire);
            (*write, *looks) = (now, if now == *write { *looks + 1 } else { 0 });
        }
        drop(seen);
        let (stuck, reason) = match self.ending.load(Ordering::Acquire) {
            false => (STUCK, "the disk has not answered for a minute"),
            true => {
                (STUCK_AT_THE_END, "the disk has not answered for some seconds, and the server is to end")
            }
        };
        if self.waited() >= stuck {
            self.stop(reason);
        }
    }

    /// From now on there is less patience with the disk.
    pub(super) fn end_soon(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Whether a write is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.writes.iter().any(|writes| is_under_way(writes.load(Ordering::Acquire)))
    }

    /// At how many looks the longest write under way was the same, so for how many seconds at least.
    fn waited(&self) -> u64 {
        let seen = self.seen();
        let of = seen
            .iter()
            .zip(&self.writes)
            .filter(|((write, _), writes)| is_under_way(*write) && *write == writes.load(Ordering::Acquire));
        of.map(|((_, looks), _)| *looks).max().unwrap_or_default()
    }

    /// Whether an entry has no chance now: the log has stopped, or the disk does not answer.
    pub(super) fn is_hopeless(&self) -> bool {
        self.is_stopped() || self.waited() >= SLOW
    }

    /// The log takes nothing any more. The first reason stays.
    pub(super) fn stop(&self, reason: &str) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                tracing::error!(
                    reason,
                    "the transparency log stops for good; restart to recover from what is stored"
                );
                *stopped = Some(reason.to_owned());
            }
            first
        });
    }

    /// Whether the log takes nothing any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.borrow().is_some()
    }

    /// Why the log takes nothing any more.
    fn stopped(&self) -> Option<String> {
        self.stopped.borrow().clone()
    }

    /// Ends when the log takes nothing any more, with the reason.
    pub(super) async fn wait_for_stop(&self) -> String {
        let mut stopped = self.stopped.subscribe();
        let reason = stopped.wait_for(Option::is_some).await.map(|reason| reason.clone());
        reason.ok().flatten().unwrap_or_default()
    }

    /// All is well, or what is wrong, for operators.
    pub(super) fn health(&self) -> Result<(), String> {
        let waited = self.waited();
        if let Some(reason) = self.stopped() {
            return Err(format!("the log has stopped: {reason}"));
        }
        if waited >= SLOW {
            return Err(format!("the log waits for the disk, {waited} s by now"));
        }
        let names = ["entries", "the head's second record", "tiles"];
        let troubles = self.troubles();
        let texts: Vec<String> = names
            .iter()
            .zip(troubles.iter())
            .filter_map(|(name, reason)| Some(format!("the log cannot write {name}: {}", reason.as_ref()?)))
            .collect();
        if texts.is_empty() { Ok(()) } else { Err(texts.join("; ")) }
    }

    fn troubles(&self) -> MutexGuard<'_, [Option<String>; 3]> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, [(u64, u64); 2]> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn is_under_way(writes: u64) -> bool {
    writes % 2 == 1
}

/// The refusal of an entry that the log cannot take. What is wrong is for operators alone.
pub(super) fn unavailable() -> Refusal {
    Refusal::new(Reason::LogUnavailable).retry_after(RETRY_AFTER)
}
