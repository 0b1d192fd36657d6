//! The main credential of a target: looked at every hour, and replaced before it ends.
//!
//! An administrator's credential makes a second one, which is durable and tried before it is used, and then the first is revoked: at no point is
//! there less than one that works. Another one can only replace itself, in one call that ends the old one: an intent is written before, and where
//! the reply is lost the old one is asked for itself. If it still works nothing has happened; if not, nobody has the new one, and an operator is
//! called. It is never replaced a second time to find out: GitLab would take that for theft and end every credential of that descent.

mod create;
mod itself;
mod record;
mod resume;
mod retire;

use super::attempt::Event;
use super::backoff;
use super::inner::Inner;
use super::ports::{CallError, Change, Credential, Secret};
use super::site::{Site, detail_of};
use crate::broker::{Code, Expiry, Refused};
use crate::issuance::Answer;
use record::{Record, Retired, Sealed, Step};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How often a credential is looked at.
const OFTEN: Duration = Duration::from_secs(3600);
/// A change that waits is looked at no more often.
const SOON: Duration = Duration::from_secs(10);
/// GitLab may be at work on a lost request for no longer.
const SETTLED: Duration = Duration::from_secs(600);
/// A credential that ends within this is told of as a problem.
pub(super) const NEAR: Duration = Duration::from_secs(24 * 3600);

/// Whether, when and how the main credential is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long before its end.
    pub before: Duration,
    /// How long the new one lives.
    pub lifetime: Duration,
    /// How.
    pub method: Method,
}

/// How the main credential is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// As its rights allow: by a second one where it is an administrator's.
    #[default]
    Auto,
    /// By a second one, and then the first is revoked.
    Create,
    /// By itself.
    Itself,
}

/// A credential that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// GitLab's number for the new one.
    pub id: u64,
    /// Its end.
    pub expires: Option<Expiry>,
}

/// What is known of a target's main credential.
#[derive(Default)]
pub(super) struct Credentials {
    /// The record, as it is stored; one change at a time.
    record: tokio::sync::Mutex<Record>,
    known: Mutex<Known>,
    wake: Notify,
}

/// What the last look said.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The credential, as GitLab last told.
    pub(super) credential: Option<Credential>,
    /// Why it needs an operator.
    pub(super) fault: Option<String>,
    /// Others that are to be revoked, and why they are not.
    pub(super) to_revoke: Vec<(u64, String)>,
    /// Since when a lost request is waited for, by the stopwatch.
    since: Option<Duration>,
    /// A credential that the store has not taken yet.
    unsaved: bool,
}

/// Why a credential was not replaced.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    /// GitLab.
    #[error("{0}")]
    Call(#[from] CallError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What there is still to do.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing.
    Done,
    /// A lost request is waited for.
    Waits,
}

impl Credentials {
    /// What is known.
    pub(super) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until no change is under way.
    pub(super) async fn rest(&self) {
        drop(self.record.lock().await);
    }

    fn know(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Site {
    /// Takes up what the store has of this target's credential, before anything is called.
    ///
    /// # Errors
    /// For the operator: it cannot be read.
    pub(super) async fn take_up(&self, stored: Option<&[u8]>) -> Result<(), String> {
        let mut record = match stored {
            Some(bytes) => Record::parse(bytes)?,
            None => Record { configured: self.configured.clone(), ..Record::default() },
        };
        if record.configured != self.configured {
            record = record.reconfigured(&self.configured);
        }
        if let Some(current) = &record.current {
            self.gitlab.switch(self.open(current)?);
        }
        *self.credentials.record.lock().await = record;
        Ok(())
    }

    fn open(&self, sealed: &Sealed) -> Result<Secret, String> {
        let sealing = self.sealing.as_ref().ok_or("there is no seal key to open its main credential with")?;
        sealed.open(&self.place(), &**sealing)
    }

    fn seal(&self, id: u64, secret: &Secret) -> Result<Sealed, RotationError> {
        let sealing = self.sealing.as_ref().ok_or_else(|| other("there is no seal key"))?;
        Sealed::new(id, secret, &self.place(), &**sealing).map_err(RotationError::Other)
    }
}

fn other(why: &str) -> RotationError {
    RotationError::Other(why.to_owned())
}

/// Looks after a target's credential until it is aborted.
pub(super) async fn keep(inner: Arc<Inner>, site: Arc<Site>) {
    let mut failures = 0_u32;
    loop {
        let wait = match inner.tend(&site, false).await {
            Ok((Rest::Done, _)) => {
                failures = 0;
                OFTEN
            }
            Ok((Rest::Waits, _)) => SOON,
            Err(error) => {
                failures = failures.saturating_add(1);
                if site.rotation.is_some() {
                    let detail = error.to_string();
                    inner.observer.event(Event::RotationFailed { target: &site.name, detail: &detail });
                }
                backoff::bound(failures).max(SOON)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = site.credentials.wake.notified() => {}
        }
    }
}

impl Inner {
    /// Replaces a target's credential now.
    pub(super) async fn rotate(&self, site: &Site) -> Result<Rotated, Refused> {
        let unavailable = |why: String| Refused::new(Code::GitlabUnavailable).because(why).retry_after(SOON);
        if site.rotation.is_none() {
            return Err(Refused::new(Code::TargetRefused).because("the target has no `rotate`"));
        }
        match self.tend(site, true).await {
            Ok((_, Some(rotated))) => Ok(rotated),
            Ok(_) => Err(unavailable("an earlier change has not ended".to_owned())),
            Err(error) => {
                site.credentials.wake.notify_one();
                Err(unavailable(error.to_string()))
            }
        }
    }

    /// Ends what was begun, looks at the credential, and replaces it where that is due or `now`.
    async fn tend(&self, site: &Site, now: bool) -> Result<(Rest, Option<Rotated>), RotationError> {
        let mut record = site.credentials.record.lock().await;
        match self.resume(site, &mut record).await {
            Ok(Rest::Done) => {}
            Ok(Rest::Waits) => return Ok((Rest::Waits, None)),
            Err(error) => {
                // What hinders that does not hide when the credential in use ends, nor that what it says.
                let said = site.credentials.known().fault;
                let _ = self.look(site).await;
                site.credentials.know(|known| known.fault = said.or(known.fault.take()));
                return Err(error);
            }
        }
        let credential = self.look(site).await?;
        let Some(rotation) = site.rotation.filter(|rotation| now || self.is_due(&credential, rotation))
        else {
            return Ok((Rest::Done, None));
        };
        // Before GitLab is asked for what could not be kept.
        if site.sealing.is_none() {
            return Err(other("there is no seal key"));
        }
        let creates = match rotation.method {
            Method::Auto => credential.is_admin,
            Method::Create => true,
            Method::Itself => false,
        };
        let expiry = crate::broker::expiry_after(self.time.of_day(), rotation.lifetime);
        if creates {
            self.create(site, &mut record, &credential, expiry).await?;
        } else {
            self.replace_itself(site, &mut record, &credential, expiry).await?;
        }
        let rest = self.resume(site, &mut record).await?;
        let before = credential.id;
        let credential = self.look(site).await?;
        if credential.id == before {
            return Err(other("the new credential was ended before it was used"));
        }
        self.observer.event(Event::CredentialRotated { target: &site.name, id: credential.id });
        Ok((rest, Some(Rotated { id: credential.id, expires: credential.expires })))
    }

    /// Asks GitLab about the credential in use, and about itself.
    async fn look(&self, site: &Site) -> Result<Credential, RotationError> {
        let result = self.ask(site, site.gitlab.itself(None)).await;
        site.credentials.know(|known| match &result {
            Ok(credential) => {
                known.credential = Some(credential.clone());
                known.fault = None;
            }
            Err(error @ CallError::Credential { .. }) => known.fault = Some(detail_of(error)),
            // Nothing is known that was not known before.
            Err(_) => {}
        });
        let credential = result?;
        if let Some(left) = self.left(&credential).filter(|left| *left <= NEAR) {
            self.observer.event(Event::CredentialEnding { target: &site.name, left });
        }
        if let Ok(version) = self.ask(site, site.gitlab.version()).await {
            *site.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        }
        Ok(credential)
    }

    fn left(&self, credential: &Credential) -> Option<Duration> {
        credential.expires.map(|end| end.moment().since(self.time.of_day()))
    }

    fn is_due(&self, credential: &Credential, rotation: &Rotation) -> bool {
        self.left(credential).is_some_and(|left| left <= rotation.before)
    }

    /// One call, among as many at once as the target may be asked.
    async fn ask<T>(&self, site: &Site, call: Answer<'_, Result<T, CallError>>) -> Result<T, CallError> {
        let _permit = site.permits.to_end().await;
        self.call(site, call).await
    }

    /// Makes a record durable. In memory it is what is on disk, unless `unsaved` says otherwise.
    async fn save(&self, site: &Site, record: &mut Record, next: Record) -> Result<(), RotationError> {
        let change = Change::Credential { place: site.place(), record: next.encode() };
        let written = self.writer.write(vec![change]).await;
        written.map_err(|error| RotationError::Other(error.to_string()))?;
        *record = next;
        Ok(())
    }
}
