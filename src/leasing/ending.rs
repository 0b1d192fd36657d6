//! The end of a token: one call to revoke it, and what follows from its answer.

use super::attempt::Event;
use super::backoff::{self, Purpose};
use super::inner::{Busy, Inner};
use super::life::{self, STUCK};
use super::permits::Permit;
use super::ports::{CallError, Holder, Place};
use super::site::{Site, asked_wait, detail_of};
use crate::broker::{Lease, Minted, Phase, Revocation};
use std::sync::Arc;

/// How many successors of a token are revoked in one go.
const SUCCESSORS: usize = 8;
/// Why a token that nobody told to die does.
pub(super) const DEADLINE: &str = "deadline";

/// Whose token it is, as GitLab's paths have it.
pub(super) fn holder(lease: &Lease) -> Holder {
    Holder { kind: lease.kind, path: lease.path.clone(), owner: lease.owner.clone() }
}

impl Inner {
    /// Revokes a token whose number is known.
    pub(super) async fn end(
        self: &Arc<Self>,
        site: &Site,
        lease: &Arc<Lease>,
        minted: &Minted,
        permit: Permit,
        busy: Busy,
    ) {
        let is_gitlabs =
            lease.revocation == Revocation::Gitlab && matches!(lease.phase, Phase::Active { .. });
        if is_gitlabs && !self.has_certainly_ended(site, lease) {
            // For the time that it has: nobody may have asked it anything for an hour.
            let _ = self.call(site, site.gitlab.version()).await;
        }
        if is_gitlabs && self.has_certainly_ended(site, lease) {
            drop(permit);
            return self.over(lease, busy, |at| Phase::Expired { at }).await;
        }
        let holder = holder(lease);
        let result = match self.call(site, site.gitlab.revoke(&holder, minted.id, &permit)).await {
            Ok(()) if life::may_replace_itself(lease) => {
                self.end_successors(site, lease, &holder, &permit).await.map(drop)
            }
            result => result,
        };
        drop(permit);
        match result {
            Ok(()) => {
                self.told(lease, "revoked");
                match life::may_replace_itself(lease) {
                    true => self.settling(lease, busy).await,
                    false => self.over(lease, busy, |at| Phase::Revoked { at }).await,
                }
            }
            Err(error) => self.not_ended(site, lease, DEADLINE, &error, busy).await,
        }
    }

    /// Whether GitLab has ended the token by itself: GitLab's own clock says so, and this machine's as well. This one may be wrong, by years, and
    /// just then GitLab may be away: where it does not answer nothing is certain, and it is waited for. And what stands before GitLab may answer with
    /// a wrong time.
    fn has_certainly_ended(&self, site: &Site, lease: &Lease) -> bool {
        let heard = site.gitlab.heard_time();
        heard.is_some_and(|time| life::has_ended_by_itself(lease, time.min(self.time.at_least())))
    }

    /// Revokes what a token was replaced by: the successor has the same name, and is looked up until there is none. Without a live one nobody
    /// can begin to make another. Whether there was one.
    pub(super) async fn end_successors(
        self: &Arc<Self>,
        site: &Site,
        lease: &Arc<Lease>,
        holder: &Holder,
        place: &dyn Place,
    ) -> Result<bool, CallError> {
        for round in 0..SUCCESSORS {
            let found = self.call(site, site.gitlab.find(holder, &lease.name, place)).await?;
            if found.is_empty() {
                return Ok(round > 0);
            }
            self.observer.event(Event::ReconcileOrphan(lease));
            for token in &found {
                self.call(site, site.gitlab.revoke(holder, token.id, place)).await?;
            }
        }
        let detail = "it is replaced as often as it is revoked".to_owned();
        Err(CallError::NotDone { detail, retry_after: None })
    }

    /// The lease is over.
    pub(super) async fn over(
        self: &Arc<Self>,
        lease: &Lease,
        busy: Busy,
        phase: impl FnOnce(crate::environment::UnixMillis) -> Phase,
    ) {
        let at = self.time.now();
        // What an operator has given up meanwhile stays so.
        let changed = self.change(lease.id, |lease| (!lease.phase.is_over()).then(|| phase(at)));
        busy.done(None);
        if let Some((_, written)) = changed {
            // What is not written is noted, and written again.
            let _ = written.await;
        }
    }

    /// A call on the way to a token's end has failed: it is tried again, for as long as the token may live.
    pub(super) async fn not_ended(
        self: &Arc<Self>,
        site: &Site,
        lease: &Lease,
        why: &str,
        error: &CallError,
        busy: Busy,
    ) {
        let now = self.time.now();
        if self.has_certainly_ended(site, lease) {
            self.told(lease, "expired");
            return self.over(lease, busy, |at| Phase::Expired { at }).await;
        }
        self.told(lease, "failed");
        let was_stuck = matches!(lease.phase, Phase::Revoking { stuck: true, .. });
        let changed = self.change(lease.id, |lease| {
            if lease.phase.is_over() {
                return None;
            }
            let minted = lease.minted().cloned();
            let (since, why, tries, confirmed) = match &lease.phase {
                Phase::Revoking { since, why, tries, confirmed, .. } => {
                    (*since, why.clone(), tries.saturating_add(1), *confirmed)
                }
                _ => (now, why.to_owned(), 1, None),
            };
            let next = now.plus(backoff::wait(Purpose::Ending, tries, asked_wait(error), &*self.random));
            let fault = detail_of(error);
            let phase = |stuck| Phase::Revoking { minted, since, why, tries, next, fault, stuck, confirmed };
            Some(phase(was_stuck || life::late(lease, now) >= STUCK))
        });
        busy.done(None);
        let Some((lease, written)) = changed else { return };
        match &lease.phase {
            Phase::Revoking { stuck: true, .. } if !was_stuck => {
                self.observer.event(Event::RevokeStuck(&lease));
            }
            _ => self.observer.event(Event::RevokeRetry(&lease)),
        }
        let _ = written.await;
    }

    fn told(&self, lease: &Lease, result: &'static str) {
        self.observer.revocation(lease, result, life::late(lease, self.time.now()));
    }
}
