//! The time that deadlines are held to. It does not go back.

use crate::environment::{Clock, Stopwatch, UnixMillis};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A clock that is never behind the time that has passed since it was first asked.
///
/// Were a deadline held to the machine's clock alone, a clock that is set back would let every token live on for as long as it was set back.
/// One that is set ahead ends tokens too early, which jobs notice and thieves do not like.
pub(super) struct Time {
    clock: Arc<dyn Clock>,
    stopwatch: Arc<dyn Stopwatch>,
    /// The latest time, and what the stopwatch said then.
    latest: Mutex<(UnixMillis, Duration)>,
}

impl Time {
    /// Begins with the clock's time.
    pub(super) fn new(clock: Arc<dyn Clock>, stopwatch: Arc<dyn Stopwatch>) -> Self {
        let latest = Mutex::new((clock.now(), stopwatch.elapsed()));
        Self { clock, stopwatch, latest }
    }

    /// The time for deadlines.
    pub(super) fn now(&self) -> UnixMillis {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = self.stopwatch.elapsed();
        let passed = latest.0.plus(elapsed.saturating_sub(latest.1));
        *latest = (passed.max(self.clock.now()), elapsed);
        latest.0
    }

    /// What has certainly passed, as far as one can know: a clock that was ahead for a while must not make a token count as ended.
    pub(super) fn at_least(&self) -> UnixMillis {
        self.now().min(self.clock.now())
    }

    /// The machine's own time: for tokens that others have dated.
    pub(super) fn of_day(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The stopwatch: for what is measured within this process.
    pub(super) fn elapsed(&self) -> Duration {
        self.stopwatch.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> UnixMillis {
            UnixMillis(self.0.load(Ordering::SeqCst))
        }
    }

    impl Stopwatch for Hand {
        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing() {
        let (clock, stopwatch) = (Arc::new(Hand::default()), Arc::new(Hand::default()));
        clock.0.store(5_000_000, Ordering::SeqCst);
        let time = Time::new(clock.clone(), stopwatch.clone());
        assert_eq!(time.now(), UnixMillis(5_000_000));
        clock.0.store(1_000_000, Ordering::SeqCst);
        stopwatch.0.store(60_000, Ordering::SeqCst);
        assert_eq!(time.now(), UnixMillis(5_060_000));
        clock.0.store(6_000_000, Ordering::SeqCst);
        assert_eq!(time.now(), UnixMillis(6_000_000));
        assert_eq!(time.of_day(), UnixMillis(6_000_000));
        clock.0.store(5_500_000, Ordering::SeqCst);
        assert_eq!((time.now(), time.at_least()), (UnixMillis(6_000_000), UnixMillis(5_500_000)));
    }
}
