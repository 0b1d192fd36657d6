//! The queue to the sequencer: bounded, and never waited for.

use super::lulls::Lulls;
use crate::refusal::Refusal;
use crate::transparency::Place;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;

/// Entries that may wait for the sequencer; more are refused at once.
pub const QUEUE: usize = 4096;

/// Entries that are worth a group, however busy everybody is. Twice as many would cost each of them two per cent less.
const ENOUGH: usize = 16;

/// An entry and who waits for it.
pub(super) struct Pending<C> {
    pub(super) candidate: C,
    pub(super) answer: oneshot::Sender<Result<Place, Refusal>>,
}

/// What the sequencer is told.
pub(super) enum Command<C> {
    /// An entry.
    Enter(Pending<C>),
    /// Try whether the store can write again.
    Probe,
    /// Look whether the store could write.
    Check,
    /// Look whether to end.
    Close,
}

/// The end that callers have.
pub(super) struct Queue<C> {
    sender: SyncSender<Command<C>>,
    shared: Arc<Shared>,
}

/// The sequencer's end.
pub(super) struct Arrivals<C> {
    receiver: Receiver<Command<C>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Entries in the queue, and those that are just about to be.
    entries: AtomicUsize,
    /// Where workers tell.
    lulls: OnceLock<Arc<Lulls>>,
}

/// Both ends.
pub(super) fn queue<C>() -> (Queue<C>, Arrivals<C>) {
    let (sender, receiver) = sync_channel(QUEUE);
    let shared = Arc::<Shared>::default();
    (Queue { sender, shared: shared.clone() }, Arrivals { receiver, shared })
}

impl<C> Queue<C> {
    /// From now on groups wait for lulls.
    pub(super) fn heed(&self, lulls: Arc<Lulls>) {
        self.shared.lulls.set(lulls).ok();
    }

    /// Puts an entry into the queue, if there is room.
    pub(super) fn enter(&self, pending: Pending<C>) -> Result<(), TrySendError<Command<C>>> {
        let before = self.shared.entries.fetch_add(1, Ordering::SeqCst);
        let sent = self.sender.try_send(Command::Enter(pending));
        if sent.is_err() {
            self.shared.entries.fetch_sub(1, Ordering::SeqCst);
        } else if before + 2 >= ENOUGH // The first of a group is out of the queue already.
            && let Some(lulls) = self.shared.lulls.get()
        {
            lulls.look();
        }
        sent
    }

    /// Tells the sequencer something; whether there was room. An error: it has ended, or has enough to do to look by itself.
    pub(super) fn tell(&self, command: Command<C>) -> bool {
        self.sender.try_send(command).is_ok()
    }
}

impl<C> Arrivals<C> {
    /// The next command, waited for.
    pub(super) fn next(&self, patience: Duration) -> Result<Command<C>, RecvTimeoutError> {
        self.receiver.recv_timeout(patience).inspect(|command| self.count(command))
    }

    /// The next command, if it is here.
    pub(super) fn next_at_hand(&self) -> Result<Command<C>, TryRecvError> {
        self.receiver.try_recv().inspect(|command| self.count(command))
    }

    fn count(&self, command: &Command<C>) {
        if let Command::Enter(_) = command {
            self.shared.entries.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Waits until a group makes sense for so many entries that were taken and those that have come: nobody has anything better
    /// to do, or it is enough.
    pub(super) fn wait_for_group(&self, taken: usize) {
        if let Some(lulls) = self.shared.lulls.get() {
            lulls.wait(|| taken + self.shared.entries.load(Ordering::SeqCst) >= ENOUGH);
        }
    }
}
