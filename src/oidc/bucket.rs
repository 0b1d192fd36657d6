//! Token buckets: so many fetches at once, then one in so much time. Whoever gets none is told how long to wait.

use crate::environment::UnixMillis;
use crate::identity::KeySource;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A token bucket. A thousand forgeries cost what it holds.
pub struct Bucket {
    capacity: u32,
    interval: Duration,
    tokens: u32,
    filled_at: UnixMillis,
}

impl Bucket {
    /// One that holds `capacity` tokens, has them all, and gets another every `interval`.
    pub fn full(capacity: u32, interval: Duration, now: UnixMillis) -> Self {
        Self { capacity, interval, tokens: capacity, filled_at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none; the next one comes after that time.
    pub fn take(&mut self, now: UnixMillis) -> Result<(), Duration> {
        self.refill(now);
        match self.tokens.checked_sub(1) {
            Some(rest) => {
                self.tokens = rest;
                Ok(())
            }
            None => Err(self.interval.saturating_sub(now.since(self.filled_at))),
        }
    }

    fn refill(&mut self, now: UnixMillis) {
        // After a step back of the clock the interval starts anew.
        self.filled_at = self.filled_at.min(now);
        let intervals = now.since(self.filled_at).as_millis() / self.interval.as_millis().max(1);
        let more = u32::try_from(intervals).unwrap_or(u32::MAX).min(self.capacity);
        self.tokens = (self.tokens + more).min(self.capacity);
        self.filled_at =
            if self.tokens == self.capacity { now } else { self.filled_at.plus(self.interval * more) };
    }
}

/// How many issuers without keys one key source may have fetched at once, and how often one more.
///
/// A pattern admits any number of issuers, and whoever writes a token picks one: without a bound, each token with a new name
/// would be a request to somebody else's server. All issuers of a pattern share one key source; an issuer that is listed by
/// name has its own, so it never waits for these.
const NEWCOMERS: (u32, Duration) = (128, Duration::from_millis(100));

/// A bucket for each key source whose issuers were asked for the first time.
#[derive(Default)]
pub struct Newcomers(Vec<(Weak<KeySource>, Bucket)>);

impl Newcomers {
    /// Takes a token of the source's bucket.
    ///
    /// # Errors
    /// As [`Bucket::take`].
    pub fn take(&mut self, source: &Arc<KeySource>, now: UnixMillis) -> Result<(), Duration> {
        // A reloaded configuration leaves its predecessor's sources behind.
        self.0.retain(|(known, _)| known.strong_count() > 0);
        let known = self.0.iter_mut().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(source)));
        match known {
            Some((_, bucket)) => bucket.take(now),
            None => {
                let mut bucket = Bucket::full(NEWCOMERS.0, NEWCOMERS.1, now);
                let taken = bucket.take(now);
                self.0.push((Arc::downgrade(source), bucket));
                taken
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    fn at(seconds: u64) -> UnixMillis {
        T0.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn it_holds_its_capacity_and_gets_one_an_interval() {
        let mut bucket = Bucket::full(4, Duration::from_secs(20), T0);
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(at(now)).is_ok()).count();
        assert_eq!(taken(&mut bucket, 0), 4);
        assert_eq!(taken(&mut bucket, 19), 0);
        assert_eq!(taken(&mut bucket, 20), 1);
        assert_eq!(taken(&mut bucket, 39), 0);
        assert_eq!(taken(&mut bucket, 59), 1);
        assert_eq!(taken(&mut bucket, 60), 1);
        assert_eq!(taken(&mut bucket, 10_000_000), 4);
        assert_eq!(taken(&mut bucket, 0), 0);
        assert_eq!(taken(&mut bucket, 20), 1, "a clock set back does not stop it");
    }

    #[test]
    fn an_empty_one_says_when_the_next_token_comes() {
        let mut bucket = Bucket::full(1, Duration::from_secs(5), T0);
        assert_eq!(bucket.take(T0), Ok(()));
        assert_eq!(bucket.take(T0), Err(Duration::from_secs(5)));
        assert_eq!(bucket.take(at(3)), Err(Duration::from_secs(2)));
        assert_eq!(bucket.take(at(5)), Ok(()));
    }

    #[test]
    fn a_key_source_has_a_bucket_of_its_own_for_as_long_as_it_is_configured() {
        let mut newcomers = Newcomers::default();
        let source = || Arc::new(KeySource::Static(vec![]));
        let (flooded, other) = (source(), source());
        let taken = (0..1000).filter(|_| newcomers.take(&flooded, T0).is_ok()).count();
        assert_eq!(taken, 128);
        assert_eq!(newcomers.take(&other, T0), Ok(()));
        assert_eq!(newcomers.take(&flooded, at(1)), Ok(()));
        drop(flooded);
        assert_eq!(newcomers.take(&other, T0), Ok(()));
        assert_eq!(newcomers.0.len(), 1);
    }
}
