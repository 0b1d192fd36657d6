//! The one who writes to the store: whatever waits is one group, so that many share one sync.

use super::attempt::Event;
use super::ports::{Change, KeepError, LeaseStore, Observer};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Changes that make a group, and are not waited for beyond.
const GROUP: usize = 512;
/// How often a store that nobody writes to is looked at.
const IDLE: Duration = Duration::from_secs(5);

/// The end that everybody has.
pub(super) struct Writer {
    sender: Mutex<Option<mpsc::UnboundedSender<Pending>>>,
    trouble: Arc<Mutex<Trouble>>,
}

/// What is known of the store.
#[derive(Debug, Default)]
struct Trouble {
    /// What went wrong last, where it has not gone well since.
    reason: Option<String>,
    /// Nothing is written any more before a restart.
    stopped: bool,
}

struct Pending {
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<(), KeepError>>,
}

impl Writer {
    /// Begins to write to `store`, on threads for what blocks. The handle ends when [`Self::close`] was called and all is written.
    pub(super) fn start(store: Box<dyn LeaseStore>, observer: Arc<dyn Observer>) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let trouble = Arc::<Mutex<Trouble>>::default();
        let task = tokio::spawn(run(store, receiver, trouble.clone(), observer));
        (Self { sender: Mutex::new(Some(sender)), trouble }, task)
    }

    /// Queues changes, all or none of which become durable. They are written in the order of the calls, whether or not anybody waits
    /// for the answer.
    pub(super) fn write(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<(), KeepError>> + Send + use<> {
        let (answer, written) = oneshot::channel();
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // Where the other end has gone, so has `answer`.
            let _ = sender.send(Pending { changes, answer });
        }
        async move {
            let gone = || Err(KeepError::NotWritten("the store is closed".to_owned()));
            written.await.unwrap_or_else(|_| gone())
        }
    }

    /// Why the store does not take what it should.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).reason.clone()
    }

    /// Whether it takes nothing before a restart.
    pub(super) fn is_stopped(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// What is queued is written, and then it ends.
    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn run(
    mut store: Box<dyn LeaseStore>,
    mut receiver: mpsc::UnboundedReceiver<Pending>,
    trouble: Arc<Mutex<Trouble>>,
    observer: Arc<dyn Observer>,
) {
    loop {
        let mut group = match tokio::time::timeout(IDLE, receiver.recv()).await {
            Ok(Some(first)) => vec![first],
            Ok(None) => return,
            Err(_) => Vec::new(),
        };
        while group.iter().map(|pending| pending.changes.len()).sum::<usize>() < GROUP
            && let Ok(next) = receiver.try_recv()
        {
            group.push(next);
        }
        let changes: Vec<_> =
            group.iter_mut().flat_map(|pending| std::mem::take(&mut pending.changes)).collect();
        let write = move || {
            let result = if changes.is_empty() { store.check() } else { store.write(&changes) };
            (store, result)
        };
        let result = match tokio::task::spawn_blocking(write).await {
            Ok((back, result)) => {
                store = back;
                result
            }
            // It panicked, or the runtime ends: what it wrote is not known, and it is gone.
            Err(_) => {
                let error = KeepError::Unknown("the store failed in a way it should not".to_owned());
                note(&trouble, &Err(error.clone()), &*observer);
                return refuse_all(group, receiver, &error).await;
            }
        };
        note(&trouble, &result, &*observer);
        for pending in group {
            let _ = pending.answer.send(result.clone());
        }
    }
}

/// Keeps what is known of the store, and tells operators when it changes.
fn note(trouble: &Mutex<Trouble>, result: &Result<(), KeepError>, observer: &dyn Observer) {
    let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
    let was_well = trouble.reason.is_none();
    match result {
        Ok(()) if trouble.stopped => {}
        Ok(()) => {
            trouble.reason = None;
            if !was_well {
                observer.event(Event::StoreUp);
            }
        }
        Err(error) => {
            trouble.stopped |= !matches!(error, KeepError::NotWritten(_));
            let detail = error.to_string();
            if was_well {
                observer.event(Event::StoreDown { detail: &detail });
            }
            trouble.reason = Some(detail);
        }
    }
}

async fn refuse_all(group: Vec<Pending>, mut receiver: mpsc::UnboundedReceiver<Pending>, error: &KeepError) {
    for pending in group {
        let _ = pending.answer.send(Err(error.clone()));
    }
    while let Some(pending) = receiver.recv().await {
        let _ = pending.answer.send(Err(error.clone()));
    }
}
