//! What was begun, by this process or by one that ended meanwhile, is brought to its end.

use super::super::inner::Inner;
use super::super::ports::CallError;
use super::super::site::{Site, detail_of};
use super::{Record, Rest, RotationError, SETTLED, Step};

impl Inner {
    /// Goes on from where the record stands.
    pub(super) async fn resume(&self, site: &Site, record: &mut Record) -> Result<Rest, RotationError> {
        if site.credentials.known().unsaved {
            self.save(site, record, record.clone()).await?;
            site.credentials.know(|known| known.unsaved = false);
        }
        let rest = match record.step.clone() {
            Step::Rest => Rest::Done,
            Step::Creating { user_id, name } => self.find_lost(site, record, user_id, &name).await?,
            Step::Created { .. } => self.put_in_use(site, record).await?,
            Step::Rotating { old } | Step::Lost { old } => self.probe(site, record, old).await?,
        };
        if rest == Rest::Waits {
            return Ok(rest);
        }
        site.credentials.know(|known| known.since = None);
        self.retire(site, record).await
    }

    /// A second credential may have been made, and nobody knows its text: what has its name is revoked, for as long as it may still appear.
    async fn find_lost(
        &self,
        site: &Site,
        record: &mut Record,
        user_id: u64,
        name: &str,
    ) -> Result<Rest, RotationError> {
        let began = self.time.elapsed();
        for id in self.ask(site, site.gitlab.find_credentials(user_id, name)).await? {
            self.ask(site, site.gitlab.revoke_credential(id)).await?;
        }
        self.rest_when_settled(site, record, began).await
    }

    /// The credential may have replaced itself: whether it still works tells. It is not asked to do it again before that is certain.
    async fn probe(&self, site: &Site, record: &mut Record, old: u64) -> Result<Rest, RotationError> {
        let began = self.time.elapsed();
        match self.ask(site, site.gitlab.itself(None)).await {
            Ok(_) => self.rest_when_settled(site, record, began).await,
            Err(error @ CallError::Credential { status: 401, .. }) => {
                let lost = Step::Lost { old };
                if record.step != lost {
                    let next = Record { step: lost, ..record.clone() };
                    self.save(site, record, next).await?;
                }
                let why = format!(
                    "it has replaced itself and the reply was lost ({}): configure a new one",
                    detail_of(&error)
                );
                site.credentials.know(|known| known.fault = Some(why.clone()));
                Err(RotationError::Other(why))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Nothing of the lost request has been seen; it counts as never done when GitLab cannot be at work on it any more.
    async fn rest_when_settled(
        &self,
        site: &Site,
        record: &mut Record,
        began: std::time::Duration,
    ) -> Result<Rest, RotationError> {
        let mut since = began;
        site.credentials.know(|known| since = *known.since.get_or_insert(began));
        if began.saturating_sub(since) < SETTLED {
            return Ok(Rest::Waits);
        }
        let rested = Record { step: Step::Rest, ..record.clone() };
        self.save(site, record, rested).await?;
        Ok(Rest::Done)
    }
}
