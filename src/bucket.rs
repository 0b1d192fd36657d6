//! Token buckets: so many at once, then one in so much time. Whoever gets none is told how long to wait.

use crate::environment::UnixMillis;
use std::time::Duration;

/// A token bucket. A thousand tries cost what it holds.
#[derive(Clone, Copy, Debug)]
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

    /// What it holds at that time.
    pub fn tokens(&mut self, now: UnixMillis) -> u32 {
        self.refill(now);
        self.tokens
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
        assert_eq!((bucket.tokens(at(4)), bucket.tokens(at(5))), (0, 1));
        assert_eq!(bucket.take(at(5)), Ok(()));
    }
}
