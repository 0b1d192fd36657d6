//! Attempts: told to the observer, and those that got no token kept, the newest of them.

use super::attempt::{ALLOWED, Attempt};
use super::inner::Inner;
use super::minting::Handed;
use super::ports::{ATTEMPTS, Change};
use crate::broker::Refused;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Refused attempts by their slot.
#[derive(Debug, Default)]
pub(super) struct Attempts(BTreeMap<u32, Arc<Attempt>>);

impl Attempts {
    /// What the store has; and the slot of the next one, after the newest.
    pub(super) fn load(kept: Vec<(u32, Attempt)>) -> (Self, u32) {
        let newest = kept.iter().max_by_key(|(slot, attempt)| (attempt.time, *slot));
        let next = newest.map_or(0, |(slot, _)| (slot + 1) % ATTEMPTS);
        (Self(kept.into_iter().map(|(slot, attempt)| (slot, Arc::new(attempt))).collect()), next)
    }
}

impl Inner {
    /// Tells of an attempt's end. Of those whose ID token holds the refused ones are kept; nobody waits for the store.
    pub(super) fn record(&self, mut attempt: Attempt, result: &Result<Handed, Refused>) {
        self.tell(&mut attempt, result);
        if result.is_err() && attempt.job.is_some() {
            let next = |slot: u32| Some((slot + 1) % ATTEMPTS);
            let slot =
                self.next_attempt.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap_or_default();
            let kept = Arc::new(attempt.clone());
            self.attempts.lock().unwrap_or_else(PoisonError::into_inner).0.insert(slot, kept);
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
        let next = self.next_attempt.load(Ordering::SeqCst);
        let before = attempts.0.range(..next).rev();
        before.chain(attempts.0.range(next..).rev()).take(most).map(|(_, attempt)| attempt.clone()).collect()
    }
}
