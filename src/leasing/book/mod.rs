//! All leases in memory: by their id, by their age, by when somebody has to look at them.
//!
//! The book leads and the store follows: what a change says is true here at once, and queued for the store under the same lock, so that
//! both see the same order. Only a token's making waits for the store first. What the store did not take is noted and written again.

mod listing;
mod places;
mod uses;

pub use listing::{Filter, Page};
pub(super) use places::{Full, Places};
pub(super) use uses::{UseKey, Uses, use_key};

use super::life;
use crate::broker::{Lease, LeaseId, Phase};
use crate::environment::UnixMillis;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Leases that are over and still listed, at most: memory has a bound whatever `keep` says.
pub(super) const ENDED: usize = 50_000;

/// The leases.
#[derive(Debug, Default)]
pub(super) struct Book {
    leases: HashMap<LeaseId, Held>,
    /// By age, for lists.
    by_creation: BTreeSet<(UnixMillis, LeaseId)>,
    /// Those that are over, by when they were.
    ended: BTreeSet<(UnixMillis, LeaseId)>,
    /// For each target, what is to be done when.
    agendas: HashMap<Arc<str>, BTreeSet<(UnixMillis, LeaseId)>>,
    /// The same of tokens that are dead, whose names are looked up for a while longer: for that nobody waits.
    looks: HashMap<Arc<str>, BTreeSet<(UnixMillis, LeaseId)>>,
    /// Live leases by SHA-256 of their token.
    by_token: HashMap<[u8; 32], LeaseId>,
    /// Live leases of each role and project, and those about to be.
    pub(super) places: Places,
    /// Uses of ID tokens.
    pub(super) uses: Uses,
    /// Leases of which the store may have an older state.
    pub(super) unwritten: BTreeSet<LeaseId>,
}

/// A lease and who is at it.
#[derive(Debug)]
struct Held {
    lease: Arc<Lease>,
    /// Its place in the agenda.
    due: Option<UnixMillis>,
    /// Somebody is talking to GitLab about it.
    busy: bool,
    /// Since when its name is looked up, by the stopwatch, and how often it was.
    search: Option<Search>,
}

/// A look for a token by its name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Search {
    pub(super) began: Duration,
    pub(super) looks: u32,
}

impl Book {
    /// The lease.
    pub(super) fn get(&self, id: LeaseId) -> Option<&Arc<Lease>> {
        self.leases.get(&id).map(|held| &held.lease)
    }

    /// The live lease of this token, by its SHA-256 in hex.
    pub(super) fn of_token(&self, sha256: &str) -> Option<LeaseId> {
        self.by_token.get(&digest(sha256)?).copied()
    }

    /// A new lease, whose place was taken before, and which whoever writes it is busy with.
    pub(super) fn begin(&mut self, lease: Lease) {
        self.places.leave(&lease.role, &lease.job);
        self.insert(lease, true, None);
    }

    /// A lease from the store. `due`: where not when the lease says.
    pub(super) fn load(&mut self, lease: Lease, due: Option<UnixMillis>) {
        self.insert(lease, false, due);
    }

    /// Uses of ID tokens from the store.
    pub(super) fn load_uses(&mut self, used: Vec<(UseKey, u32, UnixMillis)>) {
        for (key, count, until) in used {
            self.uses.load(key, count, until);
        }
    }

    /// A lease as it is now, in place of what it was.
    pub(super) fn put(&mut self, lease: Lease) -> Arc<Lease> {
        let (busy, search) = self.remove(lease.id).map(|held| (held.busy, held.search)).unwrap_or_default();
        let id = lease.id;
        let lease = self.insert(lease, busy, None);
        if let Some(held) = self.leases.get_mut(&id) {
            held.search = search;
        }
        lease
    }

    /// Forgets a lease altogether.
    pub(super) fn forget(&mut self, id: LeaseId) {
        self.remove(id);
        self.unwritten.remove(&id);
    }

    /// When there is something to do at this target: to end, and to look for.
    pub(super) fn next_due(&self, target: &str) -> [Option<UnixMillis>; 2] {
        [&self.agendas, &self.looks].map(|agendas| agendas.get(target)?.first().map(|(due, _)| *due))
    }

    /// The lease of this target that has been due the longest, of those to end, or to look for. Nobody else gets it before it is let go.
    pub(super) fn take_due(&mut self, target: &str, to_look: bool, now: UnixMillis) -> Option<Arc<Lease>> {
        let agendas = if to_look { &mut self.looks } else { &mut self.agendas };
        let agenda = agendas.get_mut(target)?;
        let (due, id) = *agenda.first()?;
        if due > now {
            return None;
        }
        agenda.pop_first();
        let held = self.leases.get_mut(&id)?;
        (held.due, held.busy) = (None, true);
        Some(held.lease.clone())
    }

    /// Nobody is at it any more. `due`: where not when the lease says.
    pub(super) fn let_go(&mut self, id: LeaseId, due: Option<UnixMillis>) {
        if let Some(held) = self.remove(id) {
            let search = held.search;
            self.insert_shared(held.lease, false, due);
            if let Some(held) = self.leases.get_mut(&id) {
                held.search = search;
            }
        }
    }

    /// The look for its token, begun at `now` by the stopwatch if it was not before.
    pub(super) fn search(&mut self, id: LeaseId, now: Duration) -> Search {
        let begun = Search { began: now, looks: 0 };
        self.leases.get_mut(&id).map_or(begun, |held| {
            let search = held.search.get_or_insert(begun);
            search.looks = search.looks.saturating_add(1);
            *search
        })
    }

    /// The look begins anew at `now`.
    pub(super) fn search_anew(&mut self, id: LeaseId, now: Duration) {
        if let Some(held) = self.leases.get_mut(&id) {
            held.search = Some(Search { began: now, looks: 0 });
        }
    }

    /// Leases that are over since before `since`, or too many: gone from here.
    pub(super) fn forget_ended(&mut self, since: UnixMillis, most: usize) -> Vec<LeaseId> {
        let mut gone = Vec::new();
        while gone.len() < most
            && let Some((at, id)) = self.ended.first().copied()
            && (at <= since || self.ended.len() > ENDED)
        {
            self.forget(id);
            gone.push(id);
        }
        gone
    }

    /// Those that are not over.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Lease>> {
        self.leases.values().map(|held| &held.lease).filter(|lease| !lease.phase.is_over())
    }

    fn insert(&mut self, lease: Lease, busy: bool, due: Option<UnixMillis>) -> Arc<Lease> {
        let lease = Arc::new(lease);
        self.insert_shared(lease.clone(), busy, due);
        lease
    }

    fn insert_shared(&mut self, lease: Arc<Lease>, busy: bool, due: Option<UnixMillis>) {
        let id = lease.id;
        self.by_creation.insert((lease.created, id));
        match lease.phase.over_at() {
            Some(at) => drop(self.ended.insert((at, id))),
            None => {
                if !lease.phase.is_settling() {
                    self.places.add(&lease.role, &lease.job);
                }
                if let Some(digest) = token_of(&lease) {
                    self.by_token.insert(digest, id);
                }
            }
        }
        let due = if busy || lease.phase.is_over() { None } else { due.or_else(|| life::due(&lease)) };
        if let Some(due) = due {
            self.agenda(&lease).insert((due, id));
        }
        self.leases.insert(id, Held { lease, due, busy, search: None });
    }

    fn remove(&mut self, id: LeaseId) -> Option<Held> {
        let held = self.leases.remove(&id)?;
        let lease = &held.lease;
        self.by_creation.remove(&(lease.created, id));
        match lease.phase.over_at() {
            Some(at) => drop(self.ended.remove(&(at, id))),
            None => {
                if !lease.phase.is_settling() {
                    self.places.leave(&lease.role, &lease.job);
                }
                if let Some(digest) = token_of(lease) {
                    self.by_token.remove(&digest);
                }
            }
        }
        if let Some(due) = held.due {
            self.agenda(&held.lease).remove(&(due, id));
        }
        Some(held)
    }

    fn agenda(&mut self, lease: &Lease) -> &mut BTreeSet<(UnixMillis, LeaseId)> {
        let agendas = if lease.phase.is_settling() { &mut self.looks } else { &mut self.agendas };
        agendas.entry(lease.target.as_str().into()).or_default()
    }
}

fn token_of(lease: &Lease) -> Option<[u8; 32]> {
    match &lease.phase {
        Phase::Active { minted } | Phase::Revoking { minted: Some(minted), .. } => {
            digest(minted.sha256.as_deref()?)
        }
        _ => None,
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex, &mut bytes).ok()?;
    Some(bytes)
}
