//! A target at work: how many calls at once, whether any at all, and what each of them means for the next.

use super::attempt::Event;
use super::backoff::Purpose;
use super::breaker::{Admission, Breaker, Failed, Turn};
use super::inner::Inner;
use super::permits::Permits;
use super::ports::{CallError, Gitlab, Sealing};
use super::rotation::{Credentials, Rotation};
use super::version::Versioned;
use crate::issuance::Answer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest text of GitLab's that a record keeps, in characters.
const DETAIL: usize = 200;

/// One GitLab instance, as the configuration has it.
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its URL, without a slash at the end.
    pub url: String,
    /// How it is called.
    pub gitlab: Arc<dyn Gitlab>,
    /// SHA-256 of the configured main credential, in hex: a credential that the operator has replaced goes before one in the store.
    pub configured: String,
    /// Whether, when and how the main credential is replaced.
    pub rotation: Option<Rotation>,
    /// Calls at once, at least one.
    pub max_inflight: u32,
    /// Keeps a replaced credential; without it there is no rotation.
    pub sealing: Option<Arc<dyn Sealing>>,
}

/// The same, with what is known of it while the broker runs.
pub(super) struct Site {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) gitlab: Arc<dyn Gitlab>,
    pub(super) configured: String,
    pub(super) rotation: Option<Rotation>,
    pub(super) sealing: Option<Arc<dyn Sealing>>,
    pub(super) credentials: Credentials,
    pub(super) version: Versioned,
    /// Something is due earlier than it was.
    pub(super) wake: Notify,
    pub(super) permits: Permits,
    breaker: Mutex<Breaker>,
}

/// When the caller is no longer waited for, by the stopwatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Duration);

impl Site {
    pub(super) fn new(target: Target) -> Self {
        Self {
            name: target.name,
            url: target.url,
            gitlab: target.gitlab,
            configured: target.configured,
            rotation: target.rotation,
            sealing: target.sealing,
            credentials: Credentials::default(),
            version: Versioned::default(),
            wake: Notify::new(),
            permits: Permits::new(target.max_inflight),
            breaker: Mutex::default(),
        }
    }

    /// What a credential is sealed and its record stored for. At another instance of the same name the credential would be given away, and
    /// GitLab's numbers for credentials are a stranger's.
    pub(super) fn place(&self) -> String {
        [&*self.name, &*self.url].join(" ")
    }

    /// Whether a call may be made now; else how long to wait.
    pub(super) fn admit(&self, purpose: Purpose, now: Duration) -> Result<Admission, Duration> {
        self.breaker().admit(purpose, now)
    }

    /// For how long nobody calls, whatever for.
    pub(super) fn held(&self, now: Duration) -> Option<Duration> {
        self.breaker().held(now)
    }

    /// Why nobody calls, or but one now and then.
    pub(super) fn fault(&self, now: Duration) -> Option<String> {
        self.breaker().fault(now).map(ToOwned::to_owned)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Waits for a call, and draws the consequences for the target. How long it took is told by whoever makes it.
    pub(super) async fn call<T>(
        &self,
        site: &Site,
        call: Answer<'_, Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let result = call.await;
        let failed = result.as_ref().err().and_then(|error| Some((error, failed(error)?)));
        self.heed(site, failed);
        result
    }

    /// Where that is to be asked before anything else: whether the target is there.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn ask_first(&self, site: &Site, admission: Admission) -> Result<(), CallError> {
        if admission == Admission::Open {
            return Ok(());
        }
        let refused = site.gitlab.version().await.err().filter(|error| failed(error).is_some());
        self.heed(site, refused.as_ref().map(|error| (error, Failed::Asked)));
        site.wake.notify_one();
        refused.map_or(Ok(()), Err)
    }

    /// What a call's end means for others; `None`: it was answered, be it with a no.
    fn heed(&self, site: &Site, failed: Option<(&CallError, Failed)>) {
        let now = self.time.elapsed();
        let turn = match failed {
            None => site.breaker().answered(),
            Some((error, how)) => {
                site.breaker().failed(how, now, asked_wait(error), &detail_of(error), &*self.random)
            }
        };
        match turn {
            Turn::None => {}
            Turn::Down => {
                let detail = site.fault(now).unwrap_or_default();
                self.observer.event(Event::TargetDown { target: &site.name, detail: &detail });
            }
            Turn::Up => {
                self.observer.event(Event::TargetUp { target: &site.name });
                site.wake.notify_one();
            }
        }
    }

    /// Waits until a call on the way to a new token may be made to this target, for no longer than the deadline.
    ///
    /// # Errors
    /// When that is too late: how long to wait.
    pub(super) async fn admitted(&self, site: &Site, deadline: Deadline) -> Result<(), Duration> {
        loop {
            match site.admit(Purpose::Making, self.time.elapsed()) {
                Ok(admission) if self.ask_first(site, admission).await.is_ok() => return Ok(()),
                // Now it says how long to wait.
                Ok(_) => {}
                Err(wait) => self.pause(wait, deadline).await?,
            }
        }
    }

    /// Waits, if that is over before the deadline.
    ///
    /// # Errors
    /// It is not: how long it would have been.
    pub(super) async fn pause(&self, wait: Duration, deadline: Deadline) -> Result<(), Duration> {
        if self.time.elapsed().saturating_add(wait) >= deadline.0 {
            return Err(wait);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Whether a call's failure may be everybody's, and how it failed.
const fn failed(error: &CallError) -> Option<Failed> {
    match error {
        // A target that says when to come again means everybody who comes with this credential.
        CallError::NotDone { retry_after: Some(_), .. }
        | CallError::Unknown { retry_after: Some(_), .. }
        | CallError::Credential { status: 401, .. } => Some(Failed::Refused),
        CallError::NotDone { .. } | CallError::Unknown { .. } => Some(Failed::Unheard),
        // A credential that lacks a right for one project serves the others.
        CallError::Refused { .. } | CallError::Credential { .. } => None,
    }
}

/// What a call said, cut, for records.
pub(super) fn detail_of(error: &CallError) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(DETAIL).collect()
}

/// When GitLab says to come again.
pub(super) const fn asked_wait(error: &CallError) -> Option<Duration> {
    match error {
        CallError::NotDone { retry_after, .. } | CallError::Unknown { retry_after, .. } => *retry_after,
        CallError::Refused { .. } | CallError::Credential { .. } => None,
    }
}
