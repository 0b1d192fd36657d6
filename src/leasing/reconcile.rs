//! Tokens of which no reply has told: looked up by their name, and revoked.
//!
//! An intent says that GitLab may have been asked, and a reply that is lost says nothing. GitLab may still be at work on it: so a name that is
//! not there is looked up again for [`SETTLED`], longer than any request lives at GitLab, before it counts as never made. The time runs on the
//! stopwatch of this process, so neither a restart nor a clock that is set makes it shorter.

use super::attempt::Event;
use super::backoff;
use super::ending::holder;
use super::inner::{Busy, Inner, dying};
use super::permits::Permit;
use super::ports::{CallError, Place};
use super::site::Site;
use crate::broker::{Lease, Minted, Phase};
use std::sync::Arc;
use std::time::Duration;

/// Why a token dies that was found by its name. Its name is looked up to the end all the same.
pub(super) const WHY: &str = "reconcile";
/// GitLab ends a request after a minute, and lets it wait for less than two before it begins.
pub(super) const SETTLED: Duration = Duration::from_secs(600);
/// Between two looks at most.
const LOOK: Duration = Duration::from_secs(60);
/// Between two looks at least, where something was found at the end.
const AGAIN: Duration = Duration::from_secs(1);

impl Inner {
    /// One look for a token by its name.
    pub(super) async fn search(
        self: &Arc<Self>,
        site: &Site,
        lease: &Arc<Lease>,
        permit: Permit,
        busy: Busy,
    ) {
        let search = self.book().search(lease.id, self.time.elapsed());
        let began = self.time.elapsed();
        let result = self.revoke_found(site, lease, &permit).await;
        drop(permit);
        let waited = began.saturating_sub(search.began);
        match result {
            Err(error) => self.not_ended(site, lease, WHY, &error, busy).await,
            Ok(false) if waited >= SETTLED => self.settled(lease, busy).await,
            Ok(_) => {
                let wait =
                    backoff::bound(search.looks).min(LOOK).min(SETTLED.saturating_sub(waited).max(AGAIN));
                busy.done(Some(self.time.now().plus(wait)));
            }
        }
    }

    /// Looks, and revokes what is there. Whether there was something: then it may not have been all.
    async fn revoke_found(
        self: &Arc<Self>,
        site: &Site,
        lease: &Arc<Lease>,
        place: &dyn Place,
    ) -> Result<bool, CallError> {
        let holder = holder(lease);
        let found = self.call(site, site.gitlab.find(&holder, &lease.name, place)).await?;
        let Some(first) = found.first() else { return Ok(false) };
        self.observer.event(Event::ReconcileOrphan(lease));
        self.note_found(lease, first).await;
        for token in &found {
            self.call(site, site.gitlab.revoke(&holder, token.id, place)).await?;
        }
        Ok(true)
    }

    /// That there was a token stands in the record, whatever comes.
    async fn note_found(self: &Arc<Self>, lease: &Lease, found: &Minted) {
        let now = self.time.now();
        let changed = self.change(lease.id, |lease| match &lease.phase {
            Phase::Revoking { minted, since, tries, next, fault, stuck, .. }
                if minted.as_ref() != Some(found) =>
            {
                Some(Phase::Revoking {
                    minted: Some(found.clone()),
                    since: *since,
                    why: WHY.to_owned(),
                    tries: *tries,
                    next: *next,
                    fault: fault.clone(),
                    stuck: *stuck,
                    confirmed: None,
                })
            }
            Phase::Intent => Some(dying(Some(found.clone()), WHY, now)),
            _ => None,
        });
        if let Some((_, written)) = changed {
            let _ = written.await;
        }
    }

    /// Nobody can make it any more, and it is not there.
    async fn settled(self: &Arc<Self>, lease: &Lease, busy: Busy) {
        let current = self.book().get(lease.id).cloned();
        let was_there = current.is_some_and(|lease| lease.minted().is_some());
        self.over(lease, busy, |at| match was_there {
            true => Phase::Revoked { at },
            false => Phase::Aborted { at, why: "GitLab has no token of this name".to_owned() },
        })
        .await;
    }
}
