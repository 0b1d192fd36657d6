//! Credentials that may have been made, and of which no reply has told, are looked for by their names. A second one is revoked; of the successor of
//! one that replaced itself, whose name others may have too, an operator is told.

use super::super::attempt::Event;
use super::super::inner::Inner;
use super::super::ports::{CallError, Credential};
use super::super::site::{Site, detail_of};
use super::record::Lost;
use super::{Record, Rest, RotationError, SETTLED};

/// What a look has shown.
enum Found {
    /// The credential in use may not see it, whatever GitLab says to it.
    Unseen,
    /// There is none.
    Nothing,
    /// There was one, and it is revoked.
    Ended,
    /// These may be it.
    Alive(Vec<u64>),
}

impl Inner {
    /// Looks for each of them once. One that the credential in use may not see is told of, and hinders nothing; it is looked for again with the
    /// next credential that may.
    pub(super) async fn find_lost(
        &self,
        site: &Site,
        record: &mut Record,
        seen: &Credential,
    ) -> Result<Rest, RotationError> {
        let before = site.credentials.known().to_find;
        let mut rest = Rest::Done;
        let mut left = Vec::new();
        for lost in record.lost.clone() {
            if self.has_passed(site, lost.expires) {
                self.forget_lost(site, record, &lost).await?;
                continue;
            }
            let began = self.time.elapsed();
            let told = match self.end_lost(site, &lost, seen).await {
                Ok(Found::Unseen) => {
                    told(&lost, "the main credential in use is another user's, and no administrator's")
                }
                Ok(found @ (Found::Nothing | Found::Ended)) => {
                    let mut since = began;
                    for entry in record.lost.iter_mut().filter(|entry| entry.is(&lost)) {
                        since = *entry.since.get_or_insert(began);
                    }
                    if matches!(found, Found::Nothing) && began.saturating_sub(since) >= SETTLED {
                        self.forget_lost(site, record, &lost).await?;
                    } else {
                        rest = Rest::Waits;
                    }
                    continue;
                }
                Ok(Found::Alive(ids)) => {
                    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
                    told(&lost, &format!("by hand, since others may have its name: {}", ids.join(", ")))
                }
                Err(error) => {
                    rest = Rest::Waits;
                    told(&lost, &detail_of(&error))
                }
            };
            if !before.iter().any(|(known, _)| *known == lost.name) {
                self.observer.event(Event::RotationFailed { target: &site.name, detail: &told });
            }
            left.push((lost.name, told));
        }
        site.credentials.know(|known| known.to_find = left);
        Ok(rest)
    }

    /// Looks for what has its name, and revokes it where it can be nothing else.
    async fn end_lost(&self, site: &Site, lost: &Lost, seen: &Credential) -> Result<Found, CallError> {
        if !seen.is_admin && seen.user_id != lost.user_id {
            return Ok(Found::Unseen);
        }
        let place = site.permits.to_end().await.ok_or_else(closed)?;
        let finding = site.gitlab.find_credentials(lost.user_id, &lost.name, &place);
        let mut found = self.call(site, finding).await?;
        drop(place);
        if let Some(old) = lost.replaces {
            // GitLab's numbers grow.
            found.retain(|id| *id > old && *id != seen.id);
            return Ok(if found.is_empty() { Found::Nothing } else { Found::Alive(found) });
        }
        for id in &found {
            self.ask(site, site.gitlab.revoke_credential(*id)).await?;
        }
        Ok(if found.is_empty() { Found::Nothing } else { Found::Ended })
    }

    async fn forget_lost(&self, site: &Site, record: &mut Record, lost: &Lost) -> Result<(), RotationError> {
        let mut next = record.clone();
        next.lost.retain(|one| !one.is(lost));
        self.save(site, record, next).await
    }
}

fn closed() -> CallError {
    CallError::NotDone { detail: "the broker is closed".to_owned(), retry_after: None }
}

fn told(lost: &Lost, why: &str) -> String {
    let Lost { user_id, name, replaces, .. } = lost;
    match replaces {
        None => {
            format!("a credential {name} of user {user_id} may have been made, and is to be revoked: {why}")
        }
        Some(old) => format!(
            "credential {old} of user {user_id}, {name}, may have replaced itself by another one, which is to be revoked: {why}"
        ),
    }
}
