//! Credentials that are not used any more are revoked, and kept until they are certainly dead.

use super::super::attempt::Event;
use super::super::inner::Inner;
use super::super::ports::CallError;
use super::super::site::{Site, detail_of};
use super::{Record, Rest, Retired, RotationError, other};

impl Inner {
    /// Revokes them. What GitLab does not let be revoked stays in the record, is told, and is tried again when the credential is next looked at.
    pub(super) async fn retire(&self, site: &Site, record: &mut Record) -> Result<Rest, RotationError> {
        let before = site.credentials.known().to_revoke;
        let mut left = Vec::new();
        for old in record.retire.clone() {
            if let Some(why) = self.end_retired(site, &old).await? {
                if !before.iter().any(|(id, _)| *id == old.id) {
                    let detail = format!("credential {} is to be revoked by hand: {why}", old.id);
                    self.observer.event(Event::RotationFailed { target: &site.name, detail: &detail });
                }
                if old.sealed.is_some() {
                    left.push((old.id, why));
                    continue;
                }
                // Its text is not here, so neither can it say that it is dead, nor is anything lost.
            }
            let mut next = record.clone();
            next.retire.retain(|one| one.id != old.id);
            self.save(site, record, next).await?;
        }
        site.credentials.know(|known| known.to_revoke = left);
        Ok(Rest::Done)
    }

    /// `None`: it is certainly dead, or the one in use; else why it is not. Nobody calls with it while it is revoked.
    async fn end_retired(&self, site: &Site, old: &Retired) -> Result<Option<String>, RotationError> {
        if self.ask(site, site.gitlab.itself(None)).await?.id == old.id {
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
