//! What all parts of the broker share, and the one way in which a lease changes.

use super::book::Book;
use super::ports::{Change, KeepError, Observer};
use super::rates::Rates;
use super::site::Site;
use super::time::Time;
use super::writer::Writer;
use crate::broker::{Lease, LeaseId, Minted, Phase, Roles};
use crate::environment::{Random, UnixMillis};
use crate::issuance::{Answer, IssuerKeys, Rules};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Exchanges at once; each has a task of its own, so that it is not lost with its caller.
pub(super) const EXCHANGES: u32 = 1024;
/// When a lease is looked at again whose work ended in a way it should not.
const DROPPED: Duration = Duration::from_secs(5);

/// The store's answer, which need not be waited for.
pub(super) type Written = Answer<'static, Result<(), KeepError>>;

/// The broker's inside.
pub(super) struct Inner {
    pub(super) roles: RwLock<Arc<Roles>>,
    pub(super) issuers: Arc<dyn Fn() -> Arc<Rules> + Send + Sync>,
    pub(super) keys: Arc<dyn IssuerKeys>,
    pub(super) sites: BTreeMap<String, Arc<Site>>,
    pub(super) writer: Writer,
    pub(super) keep: Duration,
    pub(super) time: Time,
    pub(super) random: Arc<dyn Random>,
    pub(super) observer: Arc<dyn Observer>,
    /// Nothing is issued any more.
    pub(super) closing: AtomicBool,
    /// One for each exchange under way.
    pub(super) exchanges: Arc<Semaphore>,
    pub(super) attempts: Mutex<super::records::Ring>,
    pub(super) rates: Mutex<Rates>,
    pub(super) book: Mutex<Book>,
}

impl Inner {
    /// The leases. No lock is held while anything is waited for.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The roles that hold now.
    pub(super) fn roles(&self) -> Arc<Roles> {
        self.roles.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nothing is issued any more.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// The scheduler of this target looks again.
    pub(super) fn wake(&self, target: &str) {
        if let Some(site) = self.sites.get(target) {
            site.wake.notify_one();
        }
    }

    /// Changes a lease's phase: here at once, in the store when the answer comes. `None` where `next` wants no change, or the lease is
    /// gone. A change that the store did not take is written again later.
    pub(super) fn change(
        self: &Arc<Self>,
        id: LeaseId,
        next: impl FnOnce(&Lease) -> Option<Phase>,
    ) -> Option<(Arc<Lease>, Written)> {
        let mut book = self.book();
        let old = book.get(id)?.clone();
        let phase = next(&old)?;
        let lease = book.put(old.moved_to(phase));
        let written = self.writer.write(vec![Change::Lease(Box::new((*lease).clone()))]);
        drop(book);
        if old.phase.code() != lease.phase.code() {
            self.observer.moved(&lease);
        }
        let inner = self.clone();
        let written = async move {
            let result = written.await;
            if result.is_err() {
                inner.book().unwritten.insert(id);
            }
            result
        };
        Some((lease, Box::pin(written)))
    }

    /// Tells a lease to die: true where there is something to die. The scheduler does it, whether or not the store took it.
    ///
    /// # Errors
    /// The store did not: after a crash the token lives to its deadline.
    pub(super) async fn condemn(self: &Arc<Self>, id: LeaseId, why: &'static str) -> Result<bool, KeepError> {
        let Some((lease, written)) = self.change(id, |lease| self.condemned(lease, why)) else {
            return self.is_dying(id).await;
        };
        self.wake(&lease.target);
        written.await.map(|()| true)
    }

    /// Whether it dies already, durably: who told it so may be waiting for the store, or may have been told that it did not take it.
    async fn is_dying(&self, id: LeaseId) -> Result<bool, KeepError> {
        let written = {
            let book = self.book();
            let Some(lease) = book.get(id) else { return Ok(false) };
            if lease.phase.is_over() || lease.phase.is_settling() {
                return Ok(false);
            }
            self.writer.write(vec![Change::Lease(Box::new((**lease).clone()))])
        };
        let result = written.await;
        if result.is_err() {
            self.book().unwritten.insert(id);
        }
        result.map(|()| true)
    }

    /// As [`Self::condemn`], where nobody can wait for the store.
    pub(super) fn condemn_soon(self: &Arc<Self>, id: LeaseId, why: &'static str) {
        if let Some((lease, written)) = self.change(id, |lease| self.condemned(lease, why)) {
            self.wake(&lease.target);
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(written);
            }
        }
    }

    /// What becomes of a lease that is told to die; `None`: nothing.
    pub(super) fn condemned(&self, lease: &Lease, why: &str) -> Option<Phase> {
        let minted = match &lease.phase {
            Phase::Intent => None,
            Phase::Active { minted } => Some(minted.clone()),
            // It is dead, and to hurry would only call GitLab more often.
            phase if phase.is_settling() => return None,
            // It is tried already, and has failed: whoever has it cannot make that faster, and must not keep GitLab busy.
            Phase::Revoking { tries: 1.., .. } if why == super::HOLDER => return None,
            // It is dying already: somebody does not want to wait for the next try.
            Phase::Revoking { .. } => {
                let mut phase = lease.phase.clone();
                if let Phase::Revoking { next, .. } = &mut phase {
                    *next = (*next).min(self.time.now());
                }
                return Some(phase).filter(|phase| *phase != lease.phase);
            }
            _ => return None,
        };
        Some(dying(minted, why, self.time.now()))
    }
}

/// About to be revoked, and no call has failed yet.
pub(super) fn dying(minted: Option<Minted>, why: &str, now: UnixMillis) -> Phase {
    Phase::Revoking {
        minted,
        since: now,
        why: why.to_owned(),
        tries: 0,
        next: now,
        fault: String::new(),
        stuck: false,
        confirmed: None,
    }
}

/// That somebody is at a lease. However that ends, the lease is let go, and will be looked at again.
pub(super) struct Busy {
    inner: Arc<Inner>,
    id: LeaseId,
    target: String,
    done: bool,
}

impl Busy {
    /// Of a lease that the book says is taken.
    pub(super) fn with(inner: &Arc<Inner>, lease: &Lease) -> Self {
        Self { inner: inner.clone(), id: lease.id, target: lease.target.clone(), done: false }
    }

    /// It is done. `due`: when to look at the lease again, where not when it says itself.
    pub(super) fn done(mut self, due: Option<UnixMillis>) {
        self.done = true;
        self.let_go(due);
    }

    /// Somebody else has let it go.
    pub(super) fn forget(mut self) {
        self.done = true;
    }

    fn let_go(&self, due: Option<UnixMillis>) {
        self.inner.book().let_go(self.id, due);
        self.inner.wake(&self.target);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if !self.done {
            self.let_go(Some(self.inner.time.now().plus(DROPPED)));
        }
    }
}
