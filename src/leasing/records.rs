//! Attempts: told to the observer, and those that got no token kept, the newest of them.

use super::attempt::{ALLOWED, Attempt};
use super::inner::Inner;
use super::minting::Handed;
use super::ports::{ATTEMPTS, Change};
use crate::broker::Refused;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Refused attempts by their slot.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_slot: BTreeMap<u32, Arc<Attempt>>,
    /// The slot after the newest.
    next: u32,
}

impl Attempts {
    /// What the store has.
    pub(super) fn load(kept: Vec<(u32, Attempt)>) -> Self {
        let newest = kept.iter().max_by_key(|(slot, attempt)| (attempt.time, *slot));
        let next = newest.map_or(0, |(slot, _)| (slot + 1) % ATTEMPTS);
        Self { by_slot: kept.into_iter().map(|(slot, attempt)| (slot, Arc::new(attempt))).collect(), next }
    }

    /// Keeps one, in place of the oldest where there are as many as are kept; its slot.
    fn keep(&mut self, attempt: Attempt) -> u32 {
        let slot = self.next;
        self.by_slot.insert(slot, Arc::new(attempt));
        self.next = (slot + 1) % ATTEMPTS;
        slot
    }
}

impl Inner {
    /// Tells of an attempt's end. Of those whose ID token holds the refused ones are kept; nobody waits for the store.
    pub(super) fn record(&self, mut attempt: Attempt, result: &Result<Handed, Refused>) {
        self.tell(&mut attempt, result);
        if result.is_err() && attempt.job.is_some() {
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = attempts.keep(attempt.clone());
            drop(attempts);
            drop(self.writer.write(vec![Change::Attempt { slot, attempt: Box::new(attempt) }]));
        }
    }

    /// Tells of an attempt's end, and keeps nothing.
    pub(super) fn tell(&self, attempt: &mut Attempt, result: &Result<Handed, Refused>) {
        match result {
            Ok(_) => ALLOWED.clone_into(&mut attempt.outcome),
            Err(refused) => {
                refused.code().code().clone_into(&mut attempt.outcome);
                refused.record().clone_into(&mut attempt.detail);
            }
        }
        self.observer.exchanged(attempt);
    }

    /// Refused attempts, the newest first.
    pub(super) fn refused(&self, most: usize) -> Vec<Arc<Attempt>> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = attempts.by_slot.range(..attempts.next).rev();
        let after = attempts.by_slot.range(attempts.next..).rev();
        before.chain(after).take(most).map(|(_, attempt)| attempt.clone()).collect()
    }
}
