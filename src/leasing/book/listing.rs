//! Leases as operators list them: the newest first, in pages.

use super::Book;
use crate::broker::{Lease, LeaseId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which leases are meant: those that everything given here is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The role's name.
    pub role: Option<String>,
    /// `project_path` of the job.
    pub project: Option<String>,
    /// `job_id`.
    pub job_id: Option<String>,
    /// `user_login`.
    pub user: Option<String>,
    /// The phase's code, of [`crate::broker::Phase::CODES`].
    pub phase: Option<String>,
}

impl Filter {
    /// Whether it means this one.
    pub fn takes(&self, lease: &Lease) -> bool {
        let is = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        is(&self.role, &lease.role)
            && is(&self.project, &lease.job.project_path)
            && is(&self.job_id, &lease.job.job_id)
            && is(&self.user, &lease.job.user)
            && is(&self.phase, lease.phase.code())
    }
}

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The leases, the newest first.
    pub leases: Vec<Arc<Lease>>,
    /// What to ask for next; `None`: that was all.
    pub next: Option<LeaseId>,
}

impl Book {
    /// At most `most` leases, older than `after`. A lease that was forgotten meanwhile was among the oldest, so nothing comes after it.
    pub(in crate::leasing) fn list(&self, filter: &Filter, after: Option<LeaseId>, most: usize) -> Page {
        let range = match after {
            None => self.by_creation.range(..),
            Some(after) => match self.get(after) {
                Some(lease) => self.by_creation.range(..(lease.created, after)),
                None => return Page::default(),
            },
        };
        let mut found = range
            .rev()
            .filter_map(|(_, id)| self.get(*id))
            .filter(|lease| filter.takes(lease))
            .take(most.saturating_add(1))
            .cloned()
            .collect::<Vec<_>>();
        let more = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| more).map(|lease| lease.id);
        Page { leases: found, next }
    }

    /// How many leases are in each phase, by its code.
    pub(in crate::leasing) fn count(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for held in self.leases.values() {
            *counts.entry(held.lease.phase.code()).or_default() += 1;
        }
        counts
    }
}
