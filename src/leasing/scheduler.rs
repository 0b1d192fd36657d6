//! One for each target: does what is due, the longest due first, as many at once as the target may be asked. As long as something is due no
//! exchange begins; for looks after tokens that are dead, which are made one at a time and when nothing is to be ended, nobody waits.
//!
//! What is due when stands in the book. Nothing here counts time by itself: it waits until the next thing is due, until it is woken, or for a
//! few seconds, since the machine's clock may be set meanwhile.

use super::backoff::Purpose;
use super::breaker::Admission;
use super::ending::DEADLINE;
use super::inner::{Busy, Inner};
use super::permits::Permit;
use super::reconcile;
use super::site::Site;
use crate::broker::{Lease, Phase};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// Works until it is aborted; what it began ends with it, as with a crash.
pub(super) async fn run(inner: Arc<Inner>, site: Arc<Site>) {
    let mut works = JoinSet::new();
    let mut look = JoinSet::new();
    loop {
        while works.try_join_next().is_some() {}
        while look.try_join_next().is_some() {}
        let [to_end, to_look] = until_due(&inner, &site);
        site.permits.set_urgent(to_end.is_zero());
        let looks = !to_end.is_zero() && to_look.is_zero() && look.is_empty();
        if !to_end.is_zero() && !looks {
            let wait = if look.is_empty() { to_end.min(to_look) } else { to_end };
            tokio::select! {
                () = site.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                Some(_) = look.join_next() => {}
            }
            continue;
        }
        let Some(permit) = site.permits.to_end().await else { return };
        let now = inner.time.now();
        let Some(lease) = inner.book().take_due(&site.name, looks, now) else { continue };
        let busy = Busy::with(&inner, &lease);
        let Ok(admission) = site.admit(Purpose::Ending, inner.time.elapsed()) else {
            inner.book().let_go(lease.id, Some(now));
            busy.forget();
            continue;
        };
        let works = if looks { &mut look } else { &mut works };
        works.spawn(work(inner.clone(), site.clone(), lease, permit, busy, admission));
    }
}

/// How long until there is something to end, or to look for, and it may be done.
fn until_due(inner: &Inner, site: &Site) -> [Duration; 2] {
    let held = site.held(inner.time.elapsed()).unwrap_or_default();
    inner.book().next_due(&site.name).map(|due| match due {
        None => LONGEST,
        Some(due) => due.since(inner.time.now()).max(held).min(LONGEST),
    })
}

async fn work(
    inner: Arc<Inner>,
    site: Arc<Site>,
    lease: Arc<Lease>,
    permit: Permit,
    busy: Busy,
    admission: Admission,
) {
    if let Err(error) = inner.ask_first(&site, admission).await {
        drop(permit);
        let why = if lease.phase == Phase::Intent { reconcile::WHY } else { DEADLINE };
        return inner.not_ended(&site, &lease, why, &error, busy).await;
    }
    match &lease.phase {
        Phase::Revoking { confirmed: Some(_), .. } => inner.settle(&site, &lease, permit, busy).await,
        Phase::Intent | Phase::Revoking { minted: None, .. } => {
            inner.search(&site, &lease, permit, busy).await;
        }
        Phase::Revoking { why, .. } if why == reconcile::WHY => {
            inner.search(&site, &lease, permit, busy).await;
        }
        Phase::Active { minted } | Phase::Revoking { minted: Some(minted), .. } => {
            inner.end(&site, &lease, minted, permit, busy).await;
        }
        _ => busy.done(None),
    }
}
