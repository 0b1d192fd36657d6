//! The main credential of a target: looked at every hour, and replaced before it ends.
//!
//! An administrator's credential makes a second one, which is durable and tried before it is used, and then the first is revoked: at no point is
//! there less than one that works. Another one can only replace itself, in one call that ends the old one: an intent is written before, and where
//! the reply is lost the old one is asked for itself. If it still works nothing has happened; if not, nobody has the new one, and an operator is
//! called. It is never replaced a second time to find out: GitLab would take that for theft and end every credential of that descent.

mod create;
mod itself;
mod lost;
mod record;
mod resume;
mod retire;

use super::attempt::Event;
use super::backoff;
use super::inner::Inner;
use super::life::MARGIN;
use super::ports::{CallError, Change, Credential, Secret};
use super::site::{Site, asked_wait, detail_of};
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
    /// Held while the credential is replaced: what a stop waits for, since a credential that replaces itself is lost with its reply.
    replacing: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    wake: Notify,
}

/// What the last look said.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The credential, as GitLab last told.
    pub(super) credential: Option<Credential>,
    /// Why GitLab does not take it; `None`: it did, when last asked.
    pub(super) refused: Option<String>,
    /// Why it is not replaced although it should be.
    pub(super) hindrance: Option<String>,
    /// Others that are to be revoked, and why they are not.
    pub(super) to_revoke: Vec<(u64, String)>,
    /// Names of others that may have been made, and what is to be told of each.
    pub(super) to_find: Vec<(String, String)>,
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
    /// Something: it waits for what a lost request may still do, or has failed for now.
    Waits,
}

impl Credentials {
    /// What is known.
    pub(super) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the credential is not being replaced.
    pub(super) async fn rest(&self) {
        drop(self.replacing.lock().await);
    }

    fn hinder<T>(&self, result: &Result<T, RotationError>) {
        self.know(|known| known.hindrance = result.as_ref().err().map(ToString::to_string));
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

/// What the one is told who ordered it. That GitLab says no is no reason to ask again.
fn refusal(error: &RotationError) -> Refused {
    let refused = match error {
        RotationError::Call(CallError::Refused { .. } | CallError::Credential { .. }) => {
            Refused::new(Code::GitlabRefused)
        }
        RotationError::Call(error) => {
            Refused::new(Code::GitlabUnavailable).retry_after(asked_wait(error).unwrap_or(SOON))
        }
        RotationError::Other(_) => Refused::new(Code::NotRotated),
    };
    refused.because(format!("The main credential was not replaced: {error}."))
}

fn other(why: &str) -> RotationError {
    RotationError::Other(why.to_owned())
}

/// Looks after a target's credential until it is aborted.
pub(super) async fn keep(inner: Arc<Inner>, site: Arc<Site>) {
    let mut failures = 0_u32;
    loop {
        let tended = inner.tend(&site, false).await;
        let wait = if matches!(tended, Ok((Rest::Done, _))) {
            failures = 0;
            OFTEN
        } else {
            failures = failures.saturating_add(1);
            backoff::bound(failures).max(SOON)
        };
        if let Err(error) = tended
            && site.rotation.is_some()
        {
            let detail = error.to_string();
            inner.observer.event(Event::RotationFailed { target: &site.name, detail: &detail });
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = site.credentials.wake.notified() => {}
        }
    }
}

impl Inner {
    /// Replaces a target's credential now, in a task of its own: whoever ordered it may hang up.
    pub(super) async fn rotate(self: &Arc<Self>, site: &Arc<Site>) -> Result<Rotated, Refused> {
        if site.rotation.is_none() {
            return Err(Refused::new(Code::NotRotated).because("The target has no `rotate`."));
        }
        let (inner, of) = (self.clone(), site.clone());
        let tended = tokio::spawn(async move { inner.tend(&of, true).await }).await;
        let tended = tended.unwrap_or_else(|_| Err(other("it failed in a way it should not")));
        if !matches!(tended, Ok((Rest::Done, _))) {
            site.credentials.wake.notify_one();
        }
        match tended {
            Ok((_, Some(new))) => Ok(Rotated { id: new.id, expires: new.expires }),
            Ok((_, None)) => Err(self.unsettled(site).await),
            Err(error) => {
                let detail = error.to_string();
                self.observer.event(Event::RotationFailed { target: &site.name, detail: &detail });
                Err(refusal(&error))
            }
        }
    }

    /// Why an order has to wait for an earlier change, and for how long.
    async fn unsettled(&self, site: &Site) -> Refused {
        let record = site.credentials.record.lock().await;
        let since = record.lost.iter().map(|lost| lost.since).chain([record.since]).flatten().max();
        drop(record);
        let now = self.time.elapsed();
        let over = now.saturating_sub(since.unwrap_or(now));
        let left = SETTLED.saturating_sub(over).max(SOON);
        // Whole seconds, as it is said: whoever waits as long is not told to wait again.
        let wait = Duration::from_millis(left.as_millis().div_ceil(1000) as u64 * 1000);
        let mut why = format!(
            "An earlier change had no certain answer, and GitLab may still be at work on it: it is waited for, {} s more.",
            wait.as_secs()
        );
        for (_, told) in site.credentials.known().to_find {
            why = format!("{why} And {told}.");
        }
        Refused::new(Code::NotRotated).because(why).retry_after(wait)
    }

    /// Ends what was begun, looks at the credential, replaces it where that is due or `now`, and ends what is left of earlier ones. The new one,
    /// where there is one: whatever fails after it is in use, it was replaced, and whoever wanted that need not want it again.
    async fn tend(&self, site: &Site, now: bool) -> Result<(Rest, Option<Credential>), RotationError> {
        let mut record = site.credentials.record.lock().await;
        let told = site.credentials.known().to_revoke;
        let mut rest = Rest::Done;
        let replaced = match self.resume(site, &mut record).await {
            Ok(None) => {
                let seen = self.look(site).await?;
                rest = self.clear_up(site, &mut record, &seen, &[]).await?;
                match record.step {
                    Step::Rest => self.replace(site, &mut record, &seen, now).await,
                    _ => Ok(None),
                }
            }
            Ok(new) => Ok(new),
            Err(error) => {
                // What hinders a change does not hide what the credential says of itself.
                let _ = self.look(site).await;
                Err(error)
            }
        };
        site.credentials.hinder(&replaced);
        let replaced = replaced?;
        if let Some(new) = &replaced {
            let settled: Vec<_> = told.iter().filter(|_| now).map(|(id, _)| *id).collect();
            rest = self.clear_up(site, &mut record, new, &settled).await.unwrap_or(Rest::Waits);
        }
        if record.step != Step::Rest {
            rest = Rest::Waits;
        }
        Ok((rest, replaced))
    }

    /// Replaces the credential where that is due or `now`. `None`: it is not, or another one that its user may have made is looked for first.
    async fn replace(
        &self,
        site: &Site,
        record: &mut Record,
        credential: &Credential,
        now: bool,
    ) -> Result<Option<Credential>, RotationError> {
        let Some(rotation) = site.rotation.filter(|rotation| now || self.is_due(credential, rotation)) else {
            return Ok(None);
        };
        let _replacing = site.credentials.replacing.lock().await;
        // Whoever stops waits for what has begun by now, and for no more.
        if self.is_closing() {
            return Err(other("the server is shutting down"));
        }
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
        if !creates {
            return self.replace_itself(site, record, credential, expiry).await.map(Some);
        }
        if record.lost.iter().any(|lost| lost.user_id == credential.user_id && lost.replaces.is_none()) {
            return Ok(None);
        }
        self.create(site, record, credential, expiry).await?;
        let new = self.put_in_use(site, record).await?;
        new.map(Some).ok_or_else(|| other("the new credential was ended before it was used"))
    }

    /// Ends what is left of earlier ones.
    async fn clear_up(
        &self,
        site: &Site,
        record: &mut Record,
        seen: &Credential,
        settled: &[u64],
    ) -> Result<Rest, RotationError> {
        let found = self.find_lost(site, record, seen).await?;
        let retired = self.retire(site, record, seen, settled).await?;
        Ok(if found == Rest::Done { retired } else { found })
    }

    /// Calls are made with another credential from now on.
    fn switch(&self, site: &Site, secret: Secret, new: &Credential) {
        site.gitlab.switch(secret);
        site.credentials.know(|known| {
            known.credential = Some(new.clone());
            known.refused = None;
        });
        self.observer.event(Event::CredentialRotated { target: &site.name, id: new.id });
    }

    /// Asks GitLab about the credential in use, and about itself.
    async fn look(&self, site: &Site) -> Result<Credential, RotationError> {
        let result = self.ask(site, site.gitlab.itself(None)).await;
        site.credentials.know(|known| match &result {
            Ok(credential) => {
                known.credential = Some(credential.clone());
                known.refused = None;
            }
            Err(error @ CallError::Credential { .. }) => known.refused = Some(detail_of(error)),
            // Nothing is known that was not known before.
            Err(_) => {}
        });
        let credential = result?;
        if let Some(left) = self.left(&credential).filter(|left| *left <= NEAR) {
            self.observer.event(Event::CredentialEnding { target: &site.name, left });
        }
        if let Ok((version, _)) = self.ask(site, site.gitlab.version()).await {
            self.learned(site, version);
        }
        Ok(credential)
    }

    fn left(&self, credential: &Credential) -> Option<Duration> {
        credential.expires.map(|end| end.moment().since(self.time.of_day()))
    }

    fn is_due(&self, credential: &Credential, rotation: &Rotation) -> bool {
        self.left(credential).is_some_and(|left| left <= rotation.before)
    }

    /// Whether a credential's own end has certainly passed, by GitLab's clock too.
    fn has_passed(&self, site: &Site, end: Option<Expiry>) -> bool {
        let now = site.gitlab.heard_time().map(|heard| heard.min(self.time.at_least()));
        end.zip(now).is_some_and(|(end, now)| end.moment().plus(MARGIN) <= now)
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
