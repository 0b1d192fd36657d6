//! The queue to the sequencer: bounded, and never waited for.

use super::Candidate;
use super::lulls::Lulls;
use crate::refusal::Refusal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;

/// Entries that may wait for the sequencer; more are refused at once.
pub const QUEUE: usize = 4096;

/// Entries that are worth a group, however busy everybody is. Twice as many would cost each of them two per cent less.
const ENOUGH: usize = 16;

/// No group waits longer for a lull: workers may be busy with other things than entries. Who has the machine to himself meets a
/// lull at once; so this makes no groups, and bounds what others' work costs an entry.
const LONGEST: Duration = Duration::from_millis(2);

/// Who waits for an entry.
pub(super) type Caller<C> = oneshot::Sender<Result<<C as Candidate>::Answer, Refusal>>;

/// An entry and who waits for it.
pub(super) struct Pending<C: Candidate> {
    pub(super) candidate: C,
    pub(super) answer: Caller<C>,
}

/// What the sequencer is told.
pub(super) enum Command<C: Candidate> {
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
pub(super) struct Queue<C: Candidate> {
    sender: SyncSender<Command<C>>,
    shared: Arc<Shared>,
}

/// The sequencer's end.
pub(super) struct Arrivals<C: Candidate> {
    receiver: Receiver<Command<C>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Entries in the queue, and those that are just about to be.
    entries: AtomicUsize,
    /// Where workers tell.
    lulls: OnceLock<Arc<Lulls>>,
    /// Whether a probe is in the queue.
    probe: AtomicBool,
    /// Whether a check is.
    check: AtomicBool,
}

impl Shared {
    /// Whether a command of this kind is in the queue; `None`: it may be there many times.
    const fn is_there<C: Candidate>(&self, command: &Command<C>) -> Option<&AtomicBool> {
        match command {
            Command::Probe => Some(&self.probe),
            Command::Check => Some(&self.check),
            Command::Enter(_) | Command::Close => None,
        }
    }
}

/// Both ends.
pub(super) fn queue<C: Candidate>() -> (Queue<C>, Arrivals<C>) {
    let (sender, receiver) = sync_channel(QUEUE);
    let shared = Arc::<Shared>::default();
    (Queue { sender, shared: shared.clone() }, Arrivals { receiver, shared })
}

impl<C: Candidate> Queue<C> {
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

    /// Tells the sequencer something; whether it will hear it. If not, it has ended, or has enough to do to look by itself.
    ///
    /// However often it is asked to look, that takes one place: those who watch take none from those who have entries.
    pub(super) fn tell(&self, command: Command<C>) -> bool {
        let is_there = self.shared.is_there(&command);
        if is_there.is_some_and(|there| there.swap(true, Ordering::SeqCst)) {
            return true;
        }
        let sent = self.sender.try_send(command).is_ok();
        if !sent && let Some(there) = is_there {
            there.store(false, Ordering::SeqCst);
        }
        sent
    }
}

impl<C: Candidate> Arrivals<C> {
    /// The next command, waited for.
    pub(super) fn next(&self, patience: Duration) -> Result<Command<C>, RecvTimeoutError> {
        self.receiver.recv_timeout(patience).inspect(|command| self.count(command))
    }

    /// The next command, if it is here.
    pub(super) fn next_at_hand(&self) -> Result<Command<C>, TryRecvError> {
        self.receiver.try_recv().inspect(|command| self.count(command))
    }

    fn count(&self, command: &Command<C>) {
        match command {
            Command::Enter(_) => {
                self.shared.entries.fetch_sub(1, Ordering::SeqCst);
            }
            // From now on it may be asked again: what changed since may not be seen by this look.
            other => {
                if let Some(there) = self.shared.is_there(other) {
                    there.store(false, Ordering::SeqCst);
                }
            }
        }
    }

    /// Waits until a group makes sense for so many entries that were taken and those that have come: nobody has anything better
    /// to do, or it is enough.
    pub(super) fn wait_for_group(&self, taken: usize) {
        self.wait_for_group_within(LONGEST, taken);
    }

    fn wait_for_group_within(&self, longest: Duration, taken: usize) {
        if let Some(lulls) = self.shared.lulls.get() {
            lulls.wait(longest, || taken + self.shared.entries.load(Ordering::SeqCst) >= ENOUGH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transparency::precertificate::{LogEntry, LoggedCertificate};
    use std::thread;

    const FOR_EVER: Duration = Duration::from_secs(3600);

    fn pending() -> Pending<LogEntry> {
        Pending { candidate: LogEntry::new(LoggedCertificate::X509(b""), &[]), answer: oneshot::channel().0 }
    }

    #[test]
    fn where_all_are_busy_a_group_is_closed_when_it_has_enough() {
        let (queue, arrivals) = queue();
        queue.heed(Arc::default());
        queue.enter(pending()).ok().unwrap();
        assert!(matches!(arrivals.next(FOR_EVER), Ok(Command::Enter(_))));
        let waiting = thread::spawn(move || {
            arrivals.wait_for_group_within(FOR_EVER, 1);
            arrivals
        });
        for _ in 1..ENOUGH {
            assert!(!waiting.is_finished());
            queue.enter(pending()).ok().unwrap();
        }
        let arrivals = waiting.join().unwrap();
        let taken = std::iter::from_fn(|| arrivals.next_at_hand().ok()).count();
        assert_eq!(taken, ENOUGH - 1);
        assert_eq!(arrivals.shared.entries.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn where_nobody_tells_of_lulls_none_is_waited_for() {
        queue::<LogEntry>().1.wait_for_group_within(FOR_EVER, 1);
    }

    #[test]
    fn whoever_asks_again_and_again_takes_one_place() {
        let (queue, arrivals) = queue();
        for _ in 0..2 * QUEUE {
            assert!(queue.tell(Command::Probe) && queue.tell(Command::Check));
        }
        queue.enter(pending()).ok().unwrap();
        let taken: Vec<_> = std::iter::from_fn(|| arrivals.next_at_hand().ok()).collect();
        assert!(matches!(taken[..], [Command::Probe, Command::Check, Command::Enter(_)]));
        assert!(queue.tell(Command::Probe) && arrivals.next_at_hand().is_ok(), "it can be asked again");
    }

    #[test]
    fn a_full_queue_counts_what_is_in_it() {
        let (queue, arrivals) = queue();
        for _ in 0..QUEUE {
            queue.enter(pending()).ok().unwrap();
        }
        assert!(queue.enter(pending()).is_err());
        assert!(!queue.tell(Command::Check));
        assert_eq!(arrivals.shared.entries.load(Ordering::SeqCst), QUEUE);
    }
}
