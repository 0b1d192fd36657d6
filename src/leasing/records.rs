//! Attempts: told to the observer, and those that got no token kept, the newest of them.

use super::Filter;
use super::attempt::{ALLOWED, Attempt};
use super::inner::Inner;
use super::minting::Handed;
use super::ports::{ATTEMPTS, Change};
use crate::broker::Refused;
use crate::environment::UnixMillis;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

/// Where a list of refused attempts goes on: behind the one that was last in it, by its slot and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32, UnixMillis);

impl Slot {
    /// From its text, `SLOT-MILLISECONDS`.
    pub fn parse(text: &str) -> Option<Self> {
        let (slot, time) = text.split_once('-')?;
        let place = Self(slot.parse().ok()?, UnixMillis(time.parse().ok()?));
        // One way of writing it, so that a sign or a zero before it is none.
        (place.to_string() == text).then_some(place)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1.0)
    }
}

/// A part of the list of refused attempts.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// The attempts, the newest first.
    pub attempts: Vec<Arc<Attempt>>,
    /// What to ask for next; `None`: that was all.
    pub next: Option<Slot>,
}

/// Refused attempts by their slot.
#[derive(Debug, Default)]
pub(super) struct Ring {
    by_slot: BTreeMap<u32, Arc<Attempt>>,
    /// The slot after the newest.
    next: u32,
}

impl Ring {
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

    /// At most `most` of those that the filter means, older than `after`. What has another one in its slot by now was the oldest, so nothing comes
    /// after it.
    fn list(&self, filter: &Filter, after: Option<Slot>, most: usize) -> Attempts {
        let newest_first = |slots: std::ops::Range<u32>| self.by_slot.range(slots).rev();
        // From there down, and on from the end of the ring to the oldest, which is at `next`.
        let (first, second) = match after {
            None => (newest_first(0..self.next), newest_first(self.next..ATTEMPTS)),
            Some(Slot(slot, time)) if self.by_slot.get(&slot).is_none_or(|it| it.time != time) => {
                return Attempts::default();
            }
            Some(Slot(slot, _)) if slot >= self.next => (newest_first(self.next..slot), newest_first(0..0)),
            Some(Slot(slot, _)) => (newest_first(0..slot), newest_first(self.next..ATTEMPTS)),
        };
        let meant = first.chain(second).filter(|(_, attempt)| filter.takes_attempt(attempt));
        let mut found: Vec<_> = meant.take(most.saturating_add(1)).collect();
        let more = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| more).map(|(slot, attempt)| Slot(**slot, attempt.time));
        Attempts { attempts: found.into_iter().map(|(_, attempt)| attempt.clone()).collect(), next }
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

    /// A part of the refused attempts, the newest first.
    pub(super) fn refused(&self, filter: &Filter, after: Option<Slot>, most: usize) -> Attempts {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.list(filter, after, most)
    }
}

impl Filter {
    /// Whether it means this attempt, which has no phase.
    fn takes_attempt(&self, attempt: &Attempt) -> bool {
        let is = |wanted: &Option<String>, is: Option<&String>| {
            wanted.as_ref().is_none_or(|wanted| is.is_some_and(|is| is == wanted))
        };
        let job = attempt.job.as_ref();
        is(&self.role, Some(&attempt.role))
            && is(&self.project, job.map(|job| &job.project_path))
            && is(&self.job_id, job.map(|job| &job.job_id))
            && is(&self.user, job.map(|job| &job.user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Job, Roles, TokenRequest};

    fn attempt(number: u64) -> Attempt {
        let time = UnixMillis(1_000_000 + number);
        let mut attempt = Attempt::of(&TokenRequest::default(), &Roles::default(), time);
        let project_path = format!("acme/{}", number % 7);
        attempt.job = Some(Job { project_path, job_id: number.to_string(), ..Job::default() });
        attempt
    }

    /// The jobs of all parts, with what happens between two of them.
    fn all(ring: &mut Ring, filter: &Filter, most: usize, between: impl Fn(&mut Ring)) -> Vec<String> {
        let (mut jobs, mut after) = (Vec::new(), None);
        loop {
            let Attempts { attempts, next } = ring.list(filter, after, most);
            assert!(attempts.len() <= most && (next.is_none() || attempts.len() == most));
            jobs.extend(attempts.iter().map(|attempt| attempt.job.as_ref().unwrap().job_id.clone()));
            let Some(next) = next else { return jobs };
            after = Slot::parse(&next.to_string());
            assert_eq!(after, Some(next));
            between(ring);
        }
    }

    #[test]
    fn all_that_are_kept_are_listed_each_once_and_newest_first() {
        let most = u64::from(ATTEMPTS);
        for kept in [0, 1, 1300, most, most + 1, 2 * most + 1300] {
            let mut ring = Ring::default();
            for number in 0..kept {
                ring.keep(attempt(number));
            }
            let expected = |of: &dyn Fn(u64) -> bool| -> Vec<String> {
                let newest = (kept.saturating_sub(most)..kept).rev();
                newest.filter(|number| of(*number)).map(|number| number.to_string()).collect()
            };
            assert_eq!(all(&mut ring, &Filter::default(), 1000, |_| {}), expected(&|_| true), "{kept}");
            let three = Filter { project: Some("acme/3".to_owned()), ..Filter::default() };
            assert_eq!(all(&mut ring, &three, 100, |_| {}), expected(&|number| number % 7 == 3), "{kept}");
            // From the store it is the same list.
            let stored = ring.by_slot.iter().map(|(slot, attempt)| (*slot, (**attempt).clone()));
            let mut again = Ring::load(stored.collect());
            assert_eq!(all(&mut again, &Filter::default(), 1000, |_| {}), expected(&|_| true), "{kept}");
        }
    }

    #[test]
    fn what_comes_meanwhile_is_not_among_what_is_older() {
        let mut ring = Ring::default();
        for number in 0..u64::from(ATTEMPTS) {
            ring.keep(attempt(number));
        }
        let listed = all(&mut ring, &Filter::default(), 1000, |ring| {
            for number in 0..100 {
                ring.keep(attempt(20_000 + number));
            }
        });
        // As many as came have pushed out the oldest.
        let expected: Vec<_> = (900..10_000).rev().map(|number: u32| number.to_string()).collect();
        assert_eq!(listed, expected);
        let oldest = Slot(900, ring.by_slot[&900].time);
        assert_eq!(ring.next, 900);
        for nothing_older in [oldest, Slot(0, UnixMillis(1)), Slot(u32::MAX, UnixMillis(1))] {
            let gone = ring.list(&Filter::default(), Some(nothing_older), 10);
            assert!(gone.attempts.is_empty() && gone.next.is_none());
        }
        for wrong in ["", "-", "1", "+1-2", "01-2", "1-", "-2", "1-2-3", "x-1", "4294967296-1"] {
            assert_eq!(Slot::parse(wrong), None, "{wrong}");
        }
    }
}
