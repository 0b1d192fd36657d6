//! How the log is: what keeps it from taking entries, for now or for good.

use crate::environment::UnixMillis;
use crate::refusal::{Reason, Refusal};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// When another try has a chance, if nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A write that takes longer is a trouble of the disk.
const SLOW: Duration = Duration::from_secs(10);
/// A write that takes longer never ends: the store lost a thread, or the disk is gone.
const STUCK: Duration = Duration::from_secs(60);

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
    /// For each writer, when the write that is under way began, in milliseconds since 1970; 0 when there is none.
    writing_since: [AtomicU64; 2],
    /// A check of the store is asked for, and not done yet.
    checking: AtomicBool,
    stopped: watch::Sender<Option<String>>,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            troubles: Mutex::default(),
            writing_since: Default::default(),
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

    /// A write begins, or none is under way.
    pub(super) fn writing(&self, writer: Writer, since: Option<UnixMillis>) {
        self.writing_since[writer as usize].store(since.map_or(0, |since| since.0), Ordering::Release);
    }

    /// Whether a thread waits for a store that has stopped answering.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stopped() && self.writing_since.iter().any(|since| since.load(Ordering::Acquire) != 0)
    }

    /// How long the longest write under way has taken by now.
    fn waited(&self, now: UnixMillis) -> Duration {
        let since = self.writing_since.iter().map(|since| since.load(Ordering::Acquire));
        since.filter(|&since| since != 0).map(|since| now.since(UnixMillis(since))).max().unwrap_or_default()
    }

    /// Whether an entry has no chance now: the log has stopped, or the disk does not answer.
    pub(super) fn is_hopeless(&self, now: UnixMillis) -> bool {
        self.is_stopped() || self.waited(now) > SLOW
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

    /// All is well, or what is wrong, for operators. Notices as well that a write does not end.
    pub(super) fn health(&self, now: UnixMillis) -> Result<(), String> {
        let waited = self.waited(now);
        if waited > STUCK {
            self.stop("the disk has not answered for a minute");
        }
        if let Some(reason) = self.stopped() {
            return Err(format!("the log has stopped: {reason}"));
        }
        if waited > SLOW {
            return Err(format!("the log waits for the disk, {} s by now", waited.as_secs()));
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
}

/// The refusal of an entry that the log cannot take. What is wrong is for operators alone.
pub(super) fn unavailable() -> Refusal {
    Refusal::new(Reason::LogUnavailable).retry_after(RETRY_AFTER)
}
