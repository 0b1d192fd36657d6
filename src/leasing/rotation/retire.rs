//! Credentials that are not used any more are revoked, and kept until they are certainly dead.

use super::super::attempt::Event;
use super::super::inner::Inner;
use super::super::ports::{CallError, Credential};
use super::super::site::{Site, detail_of};
use super::{Record, Rest, Retired, RotationError, other};
use crate::broker::expiry_after;
use std::time::Duration;

/// How long one is told of that has no end of its own, and whose text is not here, or cannot be opened.
const LONGEST_TOLD: Duration = Duration::from_secs(365 * 24 * 3600);

impl Inner {
    /// Revokes them. What GitLab does not let be revoked stays in the record, is told, and is tried again when the credential is next looked at.
    /// `settled`: of these an operator was told before he ordered the rotation that has just been done.
    pub(super) async fn retire(
        &self,
        site: &Site,
        record: &mut Record,
        seen: &Credential,
        settled: &[u64],
    ) -> Result<Rest, RotationError> {
        let before = site.credentials.known().to_revoke;
        let mut rest = Rest::Done;
        let mut left = Vec::new();
        for old in record.retire.clone() {
            let mut next = record.clone();
            next.retire.retain(|one| one.id != old.id);
            let ended = self.end_retired(site, &old, seen).await;
            let is_refused = matches!(ended, Ok(Some(_)));
            let why = match ended {
                Ok(None) => {
                    self.save(site, record, next).await?;
                    continue;
                }
                Ok(Some(why)) => why,
                Err(error) => {
                    rest = Rest::Waits;
                    error.to_string()
                }
            };
            let tell = |detail: String| {
                self.observer.event(Event::RotationFailed { target: &site.name, detail: &detail });
            };
            // Without its text it cannot say that it is dead: it is not told of for ever.
            if old.sealed.as_ref().is_none_or(|sealed| site.open(sealed).is_err()) {
                if self.has_passed(site, old.expires) || is_refused && settled.contains(&old.id) {
                    tell(format!("credential {} is not looked after any more: {why}", old.id));
                    self.save(site, record, next).await?;
                    continue;
                }
                if old.expires.is_none() {
                    let expires = Some(expiry_after(self.time.of_day(), LONGEST_TOLD));
                    next.retire.push(Retired { expires, ..old.clone() });
                    self.save(site, record, next).await?;
                }
            }
            if !before.iter().any(|(id, _)| *id == old.id) {
                tell(format!("credential {} is to be revoked by hand: {why}", old.id));
            }
            left.push((old.id, why));
        }
        site.credentials.know(|known| known.to_revoke = left);
        Ok(rest)
    }

    /// `None`: it is certainly dead, or the one in use; else why it is not. Nobody calls with it while it is revoked.
    async fn end_retired(
        &self,
        site: &Site,
        old: &Retired,
        seen: &Credential,
    ) -> Result<Option<String>, RotationError> {
        if seen.id == old.id {
            return Ok(None);
        }
        let Some(_alone) = site.permits.alone().await else {
            return Err(other("other calls have not ended"));
        };
        let refused = match self.call(site, site.gitlab.revoke_credential(old.id)).await {
            Ok(()) => None,
            // It is another user's, whom this one, which was accepted a moment ago, may not touch.
            Err(error @ (CallError::Refused { .. } | CallError::Credential { .. })) => {
                Some(detail_of(&error))
            }
            Err(error) => return Err(error.into()),
        };
        let secret = match old.sealed.as_ref().map(|sealed| site.open(sealed)) {
            Some(Ok(secret)) => secret,
            Some(Err(why)) => return Ok(refused.map(|refused| format!("{refused}; {why}"))),
            None => return Ok(refused),
        };
        // Not as a call of this target's: that a dead credential is not accepted says nothing of the one in use.
        match site.gitlab.itself(Some(&secret)).await {
            Err(CallError::Credential { status: 401, .. }) => Ok(None),
            Ok(_) => Ok(Some(refused.unwrap_or_else(|| "it is accepted all the same".to_owned()))),
            Err(error @ (CallError::Refused { .. } | CallError::Credential { .. })) => {
                Ok(Some(refused.unwrap_or_else(|| detail_of(&error))))
            }
            Err(error) => Err(error.into()),
        }
    }
}
