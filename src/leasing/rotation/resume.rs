//! What was begun, by this process or by one that ended meanwhile, is brought to its end.

use super::super::inner::Inner;
use super::super::ports::{CallError, Credential};
use super::super::site::{Site, detail_of};
use super::itself::in_memory_alone;
use super::record::Lost;
use super::{Record, RotationError, SETTLED, Step};

impl Inner {
    /// Goes on from where the record stands. The credential that is used from now on, where it is another one.
    pub(super) async fn resume(
        &self,
        site: &Site,
        record: &mut Record,
    ) -> Result<Option<Credential>, RotationError> {
        if site.credentials.known().unsaved {
            self.save(site, record, record.clone()).await.map_err(|error| in_memory_alone(&error))?;
            site.credentials.know(|known| known.unsaved = false);
        }
        match record.step.clone() {
            Step::Rest => Ok(None),
            Step::Creating { user_id, name, expires } => {
                let mut next = Record { step: Step::Rest, ..record.clone() };
                next.lost.push(Lost { user_id, name, expires, replaces: None, since: None });
                self.save(site, record, next).await?;
                Ok(None)
            }
            Step::Created { .. } => self.put_in_use(site, record).await,
            Step::Rotating { old, new } | Step::Lost { old, new } => {
                self.probe(site, record, Step::Lost { old, new }).await?;
                Ok(None)
            }
        }
    }

    /// The credential may have replaced itself: whether it still works tells. Nothing of the lost request has been seen then, and it counts as
    /// never done when GitLab cannot be at work on it any more; before that it is not asked again. `lost`: where it stands if it does not.
    async fn probe(&self, site: &Site, record: &mut Record, lost: Step) -> Result<(), RotationError> {
        let began = self.time.elapsed();
        match self.ask(site, site.gitlab.itself(None)).await {
            Ok(_) => {
                let since = *record.since.get_or_insert(began);
                if began.saturating_sub(since) >= SETTLED {
                    let rested = Record { step: Step::Rest, since: None, ..record.clone() };
                    self.save(site, record, rested).await?;
                }
                Ok(())
            }
            Err(error @ CallError::Credential { status: 401, .. }) => {
                if record.step != lost {
                    let next = Record { step: lost, ..record.clone() };
                    self.save(site, record, next).await?;
                }
                Err(RotationError::Other(format!(
                    "it has replaced itself and the reply was lost ({}): configure a new one",
                    detail_of(&error)
                )))
            }
            Err(error) => Err(error.into()),
        }
    }
}
