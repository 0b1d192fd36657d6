//! By itself: one call that ends the old credential and tells the new one once.

use super::super::inner::Inner;
use super::super::ports::{CallError, Credential};
use super::super::site::Site;
use super::record::Lost;
use super::{Record, RotationError, Step, other};
use crate::broker::Expiry;

impl Inner {
    /// Lets the credential replace itself. Nobody else calls meanwhile: with the old one they would be refused.
    pub(super) async fn replace_itself(
        &self,
        site: &Site,
        record: &mut Record,
        credential: &Credential,
        expiry: Expiry,
    ) -> Result<Credential, RotationError> {
        let Some(_alone) = site.permits.alone().await else {
            return Err(other("other calls have not ended"));
        };
        let old = credential.id;
        let Credential { user_id, name, .. } = credential.clone();
        let new = Lost { user_id, name, expires: Some(expiry), replaces: Some(old), since: None };
        let intended = Record { step: Step::Rotating { old, new: Some(new) }, ..record.clone() };
        self.save(site, record, intended).await?;
        match self.call(site, site.gitlab.rotate_credential(expiry)).await {
            Ok((new, secret)) => {
                let sealed = site.seal(new.id, &secret)?;
                // The old one is dead, whatever the store says.
                self.switch(site, secret, &new);
                let next = Record { current: Some(sealed), step: Step::Rest, ..record.clone() };
                if let Err(error) = self.save(site, record, next.clone()).await {
                    *record = next;
                    site.credentials.know(|known| known.unsaved = true);
                    return Err(in_memory_alone(&error));
                }
                Ok(new)
            }
            Err(error @ (CallError::NotDone { .. } | CallError::Refused { .. })) => {
                let rested = Record { step: Step::Rest, ..record.clone() };
                self.save(site, record, rested).await?;
                Err(error.into())
            }
            // Whether it was done is found out by asking, and not by doing it again.
            Err(error) => Err(error.into()),
        }
    }
}

/// What is told for as long as the store does not take it.
pub(super) fn in_memory_alone(error: &RotationError) -> RotationError {
    RotationError::Other(format!(
        "the new main credential is in memory alone, so the server must not be stopped: {error}"
    ))
}
