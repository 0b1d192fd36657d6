//! Credentials that may have been made, and of which no reply has told, are looked for by their names and revoked.

use super::super::attempt::Event;
use super::super::inner::Inner;
use super::super::ports::{CallError, Credential};
use super::super::site::{Site, detail_of};
use super::record::Lost;
use super::{Record, Rest, RotationError, SETTLED};

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
            let why = match self.end_lost(site, &lost, seen).await {
                None => "the main credential in use is another user's, and no administrator's".to_owned(),
                Some(Ok(was_there)) => {
                    let mut since = began;
                    for entry in record.lost.iter_mut().filter(|entry| entry.name == lost.name) {
                        since = *entry.since.get_or_insert(began);
                    }
                    if !was_there && began.saturating_sub(since) >= SETTLED {
                        self.forget_lost(site, record, &lost).await?;
                    } else {
                        rest = Rest::Waits;
                    }
                    continue;
                }
                Some(Err(error)) => {
                    rest = Rest::Waits;
                    detail_of(&error)
                }
            };
            let Lost { user_id, name, .. } = lost;
            let told = format!(
                "a credential {name} of user {user_id} may have been made, and is to be revoked: {why}"
            );
            if !before.iter().any(|(known, _)| *known == name) {
                self.observer.event(Event::RotationFailed { target: &site.name, detail: &told });
            }
            left.push((name, told));
        }
        site.credentials.know(|known| known.to_find = left);
        Ok(rest)
    }

    /// Revokes what has its name; whether anything had. `None`: the credential in use may not see it, whatever GitLab says to it.
    async fn end_lost(&self, site: &Site, lost: &Lost, seen: &Credential) -> Option<Result<bool, CallError>> {
        if !seen.is_admin && seen.user_id != lost.user_id {
            return None;
        }
        let found = match self.ask(site, site.gitlab.find_credentials(lost.user_id, &lost.name)).await {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        for id in &found {
            if let Err(error) = self.ask(site, site.gitlab.revoke_credential(*id)).await {
                return Some(Err(error));
            }
        }
        Some(Ok(!found.is_empty()))
    }

    async fn forget_lost(&self, site: &Site, record: &mut Record, lost: &Lost) -> Result<(), RotationError> {
        let mut next = record.clone();
        next.lost.retain(|one| one.name != lost.name);
        self.save(site, record, next).await
    }
}
