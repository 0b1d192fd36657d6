//! A tiled transparency log: sequencing, sealing, recovery, reading.
//!
//! It knows nothing of certificates: an entry is bytes with a leaf hash. [`ct`] puts precertificates on it, [`signatures`]
//! signatures.
//!
//! ```text
//! enter -> queue -> sequencer -> HeadStore (durable) -> HeadRecord -> View -> answer with the place
//!                                                                      |
//!                                      sealer, every 256 entries: View -> TileStore (durable) -> View forgets
//! ```
//!
//! What was answered is durable, at its index, for good. What fails is never answered, but may stand in the log.

pub mod audit;
pub mod conformance;
pub mod ct;
mod index;
pub mod kind;
mod lulls;
pub mod ports;
mod queue;
pub mod reader;
mod recent;
mod recovery;
pub mod replica;
mod sealer;
mod sequencer;
pub mod signatures;
pub mod snapshot;
mod status;
mod submissions;
#[cfg(test)]
mod testing;
mod timekeeper;
pub mod view;

pub use ct::CtLog;
pub use kind::{KnownLog, LogKind};
pub use lulls::Lulls;
pub use queue::QUEUE;
pub use recovery::{CLOCK_TOLERANCE, StartError};
pub use signatures::SignatureLog;

use crate::environment::{Clock, Stopwatch, UnixMillis};
use crate::refusal::{Reason, Refusal};
use crate::transparency::merkle::RightEdge;
use crate::transparency::{Entry, Hash, Place};
use ports::{HeadRecord, HeadStore, Identity, TileStore};
use queue::{Command, Pending, Queue, queue};
use sealer::SealerHandle;
use sequencer::Sequencer;
use status::{Status, unavailable};
use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TrySendError, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use timekeeper::Timekeeper;
use tokio::sync::oneshot;
use view::View;

/// How long a close waits for the threads, and so for the disk. Who leaves them loses nothing that was answered.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What becomes an entry once its place is known.
pub trait Candidate: Send + 'static {
    /// What whoever entered it is told: its place, or what is made of that.
    type Answer: Send;

    /// The entry at `place`, and the answer once it is durable.
    fn at(self, place: Place) -> (Entry, Self::Answer);

    /// The leaf hash of an entry, from its bytes: recovery compares it with the one stored. `None`: these bytes are none.
    fn leaf_hash(bytes: &[u8]) -> Option<Hash>;
}

/// Where a log lives.
pub struct Stores {
    /// The head.
    pub head: Box<dyn HeadStore>,
    /// Its second record.
    pub record: Box<dyn HeadRecord>,
    /// The tiles.
    pub tiles: Arc<dyn TileStore>,
    /// Whatever must live until the last write: the lock on the directory.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// A running log of entries of one kind: two threads, and the queue to them.
pub struct Log<C: Candidate> {
    queue: Queue<C>,
    sealer: SealerHandle,
    status: Arc<Status>,
    view: Arc<RwLock<View>>,
    threads: Mutex<Option<Threads>>,
    closing: Arc<AtomicBool>,
    time: Arc<Timekeeper>,
    tiles: Arc<dyn TileStore>,
    _guard: Arc<dyn Any + Send + Sync>,
}

/// What whoever runs a log does with it, whatever its entries are.
pub trait Lifecycle: Send + Sync {
    /// From now on an entry waits for a moment in which most workers have nothing to do, so that its group gets larger while they
    /// are busy. Before, and where nobody tells, it waits for nothing.
    fn heed(&self, lulls: Arc<Lulls>);

    /// Looks whether the disk answers, and stops the log when it has not for a minute. To be called every second for as long as
    /// the log lives: who has to wait for a disk must not depend on somebody's asking for health.
    fn watch(&self);

    /// The server is to end within seconds: who waits for a disk that does not answer is told before.
    fn end_soon(&self);

    /// Waits until the log has stopped for good, and says why: the process should end then, and recover at its next start.
    fn stopped(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>>;

    /// Answers what is pending, seals what is complete, and ends the threads. Blocks meanwhile, but not for long where the disk
    /// does not answer; readers are answered on. A second call does nothing.
    fn close(&self);
}

struct Threads {
    sequencing: JoinHandle<()>,
    sealing: JoinHandle<()>,
    /// Nothing comes from it: it ends when the sequencer has.
    sequenced: Receiver<()>,
    /// The same of the sealer.
    sealed: Receiver<()>,
}

impl<C: Candidate> Log<C> {
    /// Recovers the log, or makes a new one in an empty store, and starts its threads.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn open(
        identity: &Identity,
        mut stores: Stores,
        clock: Arc<dyn Clock>,
        stopwatch: Arc<dyn Stopwatch>,
    ) -> Result<Self, StartError> {
        let view = recovery::start(identity, &mut stores, C::leaf_hash, &*clock)?;
        let head = view.head.clone();
        let edge = RightEdge::from_parts(head.size, head.right_edge.clone())
            .expect("recovery compared the edge with the tree");
        let view = Arc::new(RwLock::new(view));
        let status = Arc::new(Status::new());
        let no_thread = |error| StartError::StoreUnusable(ports::StoreError::NotWritten(format!("{error}")));
        // Both threads keep it: nobody else may write before a write that hangs has ended.
        let guard: Arc<dyn Any + Send + Sync> = Arc::from(stores.guard);
        let (sealing_ends, sealed) = channel::<()>();
        let kept: Arc<dyn Any + Send + Sync> = Arc::new((guard.clone(), sealing_ends));
        let (sealer, sealing) =
            sealer::start(view.clone(), stores.tiles.clone(), status.clone(), kept).map_err(no_thread)?;
        let (queue, arrivals) = queue();
        let time = Arc::new(Timekeeper::new(clock, stopwatch));
        let closing = Arc::new(AtomicBool::new(false));
        let sequencer = Sequencer {
            arrivals,
            waiting: VecDeque::new(),
            store: stores.head,
            record: stores.record,
            time: time.clone(),
            view: view.clone(),
            sealer: sealer.clone(),
            status: status.clone(),
            head,
            edge,
            unsettled: None,
            unsynced: false,
            untimely: false,
            closing: closing.clone(),
        };
        let (sequencing_ends, sequenced) = channel::<()>();
        let spawned = thread::Builder::new().name("log-sequencer".to_owned()).spawn({
            let status = status.clone();
            let guard = guard.clone();
            move || {
                let _kept = (guard, sequencing_ends);
                run_guarded(sequencer, &status)
            }
        });
        let sequencing = spawned.inspect_err(|_| sealer.close()).map_err(no_thread)?;
        let threads = Mutex::new(Some(Threads { sequencing, sealing, sequenced, sealed }));
        Ok(Self { queue, sealer, status, view, threads, closing, time, tiles: stores.tiles, _guard: guard })
    }

    /// Enters a candidate; answers once it is durable.
    ///
    /// When the answer is a refusal, or nobody waits for it any more, the entry may stand in the log all the same.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] at once when too much waits; [`Reason::LogUnavailable`] when it could not be made durable;
    /// [`Reason::ShuttingDown`].
    pub async fn enter(&self, candidate: C) -> Result<C::Answer, Refusal> {
        // Nobody is let wait for a disk that does not answer.
        if self.status.is_hopeless() {
            return Err(unavailable());
        }
        let (answer, wait) = oneshot::channel();
        match self.queue.enter(Pending { candidate, answer }) {
            Ok(()) => tokio::select! {
                biased;
                answer = wait => answer.unwrap_or_else(|_| Err(self.gone())),
                // The thread that would answer may wait for the disk for ever.
                _ = self.status.wait_for_stop() => Err(unavailable()),
            },
            Err(TrySendError::Full(_)) => {
                Err(Refusal::new(Reason::Overloaded).retry_after(Duration::from_secs(1)))
            }
            Err(TrySendError::Disconnected(_)) => Err(self.gone()),
        }
    }

    /// The live part of the log, for readers.
    pub fn view(&self) -> &Arc<RwLock<View>> {
        &self.view
    }

    /// How large the log is now.
    pub fn extent(&self) -> ct::Extent {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        ct::Extent { entries: view.head.size, unsealed: view.unsealed.len() as u64 }
    }

    /// The sealed part of the log, for readers.
    pub fn tiles(&self) -> &Arc<dyn TileStore> {
        &self.tiles
    }

    /// All is well, or what is wrong, for operators. Asking also makes the log look again, so that the next answer knows; an
    /// idle log does so by itself every few seconds.
    ///
    /// # Errors
    /// What is wrong.
    pub fn health(&self) -> Result<(), String> {
        let health = self.status.health();
        if health.is_err() {
            self.sealer.wake();
            // A full queue is a try by itself.
            self.queue.tell(Command::Probe);
        } else if self.status.wants_check() && !self.queue.tell(Command::Check) {
            self.status.checked();
        }
        health.and_then(|()| self.check_clock())
    }

    /// What the time is, as far as can be told.
    fn now(&self) -> UnixMillis {
        self.time.estimate()
    }

    /// A clock that was set while the log runs: no entry is taken as long as it cannot be right.
    fn check_clock(&self) -> Result<(), String> {
        let last = self.view.read().unwrap_or_else(PoisonError::into_inner).head.timestamp;
        self.time.after(last).map(drop)
    }

    fn gone(&self) -> Refusal {
        let in_order = self.closing.load(Ordering::Acquire) && !self.status.is_stopped();
        if in_order { Refusal::new(Reason::ShuttingDown) } else { unavailable() }
    }
}

impl<C: Candidate> Lifecycle for Log<C> {
    fn heed(&self, lulls: Arc<Lulls>) {
        self.queue.heed(lulls);
    }

    fn watch(&self) {
        self.status.look();
    }

    fn end_soon(&self) {
        self.status.end_soon();
    }

    fn stopped(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>> {
        Box::pin(self.status.wait_for_stop())
    }

    fn close(&self) {
        self.end();
    }
}

impl<C: Candidate> Log<C> {
    fn end(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Threads { sequencing, sealing, sequenced, sealed }) = threads.take() else { return };
        self.closing.store(true, Ordering::SeqCst);
        // An error: the thread has ended already, or has enough to do to look by itself.
        self.queue.tell(Command::Close);
        let ended = self.has_ended(&sequenced);
        self.sealer.close();
        if !ended || !self.has_ended(&sealed) {
            tracing::error!("the log is left without closing it: its store does not answer");
            return;
        }
        if sequencing.join().and(sealing.join()).is_err() {
            tracing::error!("a thread of the log ended in a panic");
        }
    }

    /// Waits for a thread, as long as it makes sense.
    fn has_ended(&self, end: &Receiver<()>) -> bool {
        let hopeless = self.status.is_stopped() && self.status.is_writing();
        let patience = if hopeless { Duration::ZERO } else { CLOSE_TIMEOUT };
        matches!(end.recv_timeout(patience), Err(RecvTimeoutError::Disconnected))
    }
}

impl<C: Candidate> Drop for Log<C> {
    fn drop(&mut self) {
        self.end();
    }
}

/// A panic in the sequencer stops the log for good, as an error of the store does.
fn run_guarded<C: Candidate>(sequencer: Sequencer<C>, status: &Status) {
    if catch_unwind(AssertUnwindSafe(|| sequencer.run())).is_err() {
        status.stop("the sequencer panicked");
    }
}
