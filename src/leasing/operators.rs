//! What operators see and may order.

use super::attempt::Event;
use super::inner::Inner;
use super::life::{self, STUCK};
use super::ports::Credential;
use super::rotation::NEAR;
use super::{Filter, Page};
use crate::broker::{Code, GitlabVersion, Lease, LeaseId, Phase, Refused};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Figures for metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Leases in each phase, by its code.
    pub leases: BTreeMap<&'static str, usize>,
    /// How late the latest revocation is; zero: none is.
    pub oldest_overdue: Duration,
    /// Leases of which the store has an older state.
    pub unwritten: usize,
    /// Each target.
    pub targets: Vec<TargetReading>,
}

/// Of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetReading {
    /// Its name.
    pub name: String,
    /// SHA-256 of the configured main credential, in hex.
    pub configured: String,
    /// GitLab's number for the one in use, where it told.
    pub credential: Option<u64>,
    /// Until its end, as GitLab last told; `None`: it has none, or is not known.
    pub credential_left: Option<Duration>,
    /// GitLab's numbers for credentials that are not used any more, and that it does not let be revoked with the one in use.
    pub to_revoke: Vec<u64>,
    /// Why nobody calls, or but one now and then.
    pub down: Option<String>,
    /// GitLab's version.
    pub version: Option<GitlabVersion>,
}

impl Inner {
    /// A page of the leases.
    pub(super) fn list(&self, filter: &Filter, after: Option<LeaseId>, most: usize) -> Page {
        self.book().list(filter, after, most)
    }

    /// Tells all of these to die. How many there are.
    pub(super) async fn revoke_where(
        self: &Arc<Self>,
        filter: &Filter,
        why: &'static str,
    ) -> Result<usize, Refused> {
        let meant = |lease: &&Arc<Lease>| filter.takes(lease) && !lease.phase.is_settling();
        let ids: Vec<_> = self.book().live().filter(meant).map(|lease| lease.id).collect();
        let mut told = Vec::new();
        for id in ids {
            let inner = self.clone();
            // All are told before the first answer is waited for, so that they share their syncs.
            told.push(tokio::spawn(async move { inner.condemn_for(id, why).await }));
        }
        let mut count = 0;
        let mut refused = None;
        for one in told {
            match one.await {
                Ok(Ok(true)) => count += 1,
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => refused = Some(error),
            }
        }
        refused.map_or(Ok(count), Err)
    }

    /// Gives a lease up that cannot be ended: it is late, and a call has failed, or its instance does not answer. Whether it is given up now.
    pub(super) async fn abandon(self: &Arc<Self>, id: LeaseId) -> Result<bool, Refused> {
        let at = self.time.now();
        let changed = self.change(id, |lease| {
            // Where the instance does not answer, one call fails for all.
            let unheard = || self.sites.get(&lease.target)?.fault(self.time.elapsed());
            let why = match &lease.phase {
                Phase::Revoking { tries: 1.., fault, .. } => fault.clone(),
                Phase::Revoking { .. } | Phase::Active { .. } => unheard()?,
                _ => return None,
            };
            (life::late(lease, at) >= STUCK).then_some(Phase::Abandoned { at, why })
        });
        let Some((lease, written)) = changed else {
            let book = self.book();
            let lease = book.get(id).ok_or(Code::LeaseUnknown)?;
            return Ok(matches!(lease.phase, Phase::Abandoned { .. }));
        };
        self.observer.event(Event::Abandoned(&lease));
        written.await.map_err(|error| Refused::new(Code::StoreUnavailable).because(error.to_string()))?;
        Ok(true)
    }

    /// What keeps the broker from working as it should, one line each.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(reason) = self.writer.trouble() {
            problems.push(format!("the store of the leases: {reason}"));
        }
        for site in self.sites.values() {
            let name = &site.name;
            if let Some(fault) = site.fault(self.time.elapsed()) {
                problems.push(format!("target {name} is left alone: {fault}"));
            }
            problems
                .extend(self.too_new(site).into_iter().map(|(role, what)| format!("role {role}: {what}")));
            let known = site.credentials.known();
            if let Some(why) = known.refused {
                problems.push(format!("the main credential of target {name}: {why}"));
            }
            if let Some(why) = known.hindrance {
                problems.push(format!("the main credential of target {name} is not replaced: {why}"));
            }
            for (id, why) in &known.to_revoke {
                problems.push(format!("credential {id} of target {name} is to be revoked: {why}"));
            }
            problems.extend(known.to_find.iter().map(|(_, told)| format!("target {name}: {told}")));
            let left = known.credential.as_ref().and_then(|credential| self.credential_left(credential));
            if let Some(left) = left.filter(|left| *left <= NEAR) {
                problems.push(format!(
                    "the main credential of target {name} ends in {} minutes",
                    left.as_secs() / 60
                ));
            }
        }
        let now = self.time.now();
        let book = self.book();
        let late = book.live().filter(|lease| life::late(lease, now) >= STUCK).count();
        if late > 0 {
            problems.push(format!("{late} tokens should have been revoked over ten minutes ago"));
        }
        problems
    }

    /// Figures.
    pub(super) fn reading(&self) -> Reading {
        let now = self.time.now();
        let targets = self.sites.values().map(|site| {
            let known = site.credentials.known();
            let credential = known.credential;
            TargetReading {
                to_revoke: known.to_revoke.iter().map(|(id, _)| *id).collect(),
                name: site.name.clone(),
                configured: site.configured.clone(),
                credential_left: credential.as_ref().and_then(|credential| self.credential_left(credential)),
                credential: credential.map(|credential| credential.id),
                down: site.fault(self.time.elapsed()),
                version: site.version.known(),
            }
        });
        let targets = targets.collect();
        let book = self.book();
        let overdue = book.live().map(|lease| life::late(lease, now));
        Reading {
            oldest_overdue: overdue.max().unwrap_or_default(),
            leases: book.count(),
            unwritten: book.unwritten.len(),
            targets,
        }
    }

    fn credential_left(&self, credential: &Credential) -> Option<Duration> {
        credential.expires.map(|end| end.moment().since(self.time.of_day()))
    }
}
