//! By a second credential: made, durable, tried, used; and then the first one is revoked.

use super::super::inner::Inner;
use super::super::ports::{CallError, Credential};
use super::super::site::Site;
use super::{Record, Retired, RotationError, Step};
use crate::broker::Expiry;

impl Inner {
    /// Makes the second credential, durably; [`Inner::put_in_use`] does the rest.
    pub(super) async fn create(
        &self,
        site: &Site,
        record: &mut Record,
        credential: &Credential,
        expiry: Expiry,
    ) -> Result<(), RotationError> {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        let name = format!("countersign-{}-{}", site.name, hex::encode(bytes));
        let step = Step::Creating { user_id: credential.user_id, name: name.clone(), expires: Some(expiry) };
        let intended = Record { step, ..record.clone() };
        self.save(site, record, intended).await?;
        let made = self.ask(site, site.gitlab.make_credential(credential, &name, expiry));
        let (new, secret) = match made.await {
            Ok(made) => made,
            Err(error) => {
                if !matches!(error, CallError::Unknown { .. }) {
                    let rested = Record { step: Step::Rest, ..record.clone() };
                    self.save(site, record, rested).await?;
                }
                return Err(error.into());
            }
        };
        let sealed = site.seal(new.id, &secret)?;
        let step = Step::Created { new: sealed, old: credential.id, old_expires: credential.expires };
        let created = Record { step, ..record.clone() };
        if let Err(error) = self.save(site, record, created).await {
            // Else it is found by its name.
            let _ = self.ask(site, site.gitlab.revoke_credential(new.id)).await;
            return Err(error);
        }
        Ok(())
    }

    /// Tries the second credential, and uses it from then on. `None`: somebody has ended it, and the one in use stays in use.
    pub(super) async fn put_in_use(
        &self,
        site: &Site,
        record: &mut Record,
    ) -> Result<Option<Credential>, RotationError> {
        let Step::Created { new, old, old_expires } = record.step.clone() else { return Ok(None) };
        let secret = site.open(&new).map_err(RotationError::Other)?;
        match self.ask(site, site.gitlab.itself(Some(&secret))).await {
            Ok(credential) => {
                let mut next = Record { current: Some(new), step: Step::Rest, ..record.clone() };
                let sealed = record.current.clone().filter(|sealed| sealed.id == old);
                let expires = old_expires.filter(|_| sealed.is_none());
                next.retire.push(Retired { id: old, sealed, configured: None, expires });
                self.save(site, record, next).await?;
                self.switch(site, secret, &credential);
                Ok(Some(credential))
            }
            Err(CallError::Credential { .. }) => {
                let mut next = Record { step: Step::Rest, ..record.clone() };
                next.retire.push(Retired::kept(new));
                self.save(site, record, next).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
