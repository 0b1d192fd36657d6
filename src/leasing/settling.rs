//! What a dead token may have left behind: a successor that it asked for while it lived.
//!
//! GitLab looks whether a token is revoked when a request begins, and takes no lock. So a token's request to replace itself that was let in before
//! the token was revoked may make the successor afterwards, when nobody looks any more. Its lease is over when the name was looked up for
//! [`SETTLED`] without a find, longer than any request lives at GitLab; a find begins that anew, since the successor may have asked as well. Who
//! wanted the token to die does not wait for this, nor does the role's place.

use super::ending::holder;
use super::inner::{Busy, Inner};
use super::permits::Permit;
use super::reconcile::SETTLED;
use super::site::Site;
use crate::broker::{Lease, Phase};
use std::sync::Arc;
use std::time::Duration;

/// Before the first look. Each later wait is four times as long, so that there are five looks.
const FIRST: Duration = Duration::from_secs(2);
/// Of a look's failure, in the lease.
const WHY: &str = "successor";

impl Inner {
    /// The token is dead, as far as GitLab can say now.
    pub(super) async fn settling(self: &Arc<Self>, lease: &Lease, busy: Busy) {
        self.book().search_anew(lease.id, self.time.elapsed());
        let written = self.settle_at(lease, FIRST, true);
        busy.done(None);
        if let Some(written) = written {
            // What is not written is noted, and written again.
            let _ = written.await;
        }
    }

    /// One look for a successor.
    pub(super) async fn settle(
        self: &Arc<Self>,
        site: &Site,
        lease: &Arc<Lease>,
        permit: Permit,
        busy: Busy,
    ) {
        let began = self.time.elapsed();
        let search = self.book().search(lease.id, began);
        let result = self.end_successors(site, lease, &holder(lease), &permit).await;
        drop(permit);
        let waited = began.saturating_sub(search.began);
        match result {
            Err(error) => self.not_ended(site, lease, WHY, &error, busy).await,
            Ok(true) => self.settling(lease, busy).await,
            Ok(false) if waited >= SETTLED => self.over(lease, busy, |at| Phase::Revoked { at }).await,
            Ok(false) => {
                let wait = FIRST.saturating_mul(1 << (2 * search.looks.min(8)));
                let written = self.settle_at(lease, wait.min(SETTLED.saturating_sub(waited)), false);
                busy.done(None);
                if let Some(written) = written {
                    let _ = written.await;
                }
            }
        }
    }

    /// The next look is so long from now. `anew`: GitLab has confirmed just now that it is dead.
    fn settle_at(
        self: &Arc<Self>,
        lease: &Lease,
        wait: Duration,
        anew: bool,
    ) -> Option<super::inner::Written> {
        let now = self.time.now();
        let changed = self.change(lease.id, |lease| {
            let (since, why, confirmed) = match &lease.phase {
                Phase::Revoking { since, why, confirmed, .. } => (*since, why.clone(), *confirmed),
                Phase::Active { .. } => (now, super::ending::DEADLINE.to_owned(), None),
                _ => return None,
            };
            Some(Phase::Revoking {
                minted: lease.minted().cloned(),
                since,
                why,
                tries: 0,
                next: now.plus(wait),
                fault: String::new(),
                stuck: false,
                confirmed: confirmed.filter(|_| !anew).or(Some(now)),
            })
        });
        changed.map(|(_, written)| written)
    }
}
