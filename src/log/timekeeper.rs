//! The log's time: the machine's clock, as long as it can be right.
//!
//! A timestamp that was answered binds every later one, so a clock that runs far ahead for a moment would make the log
//! unusable until that moment comes. So the clock is compared with a stopwatch, which no one can set.

use super::recovery::{CLOCK_TOLERANCE, StartError};
use crate::environment::{Clock, Stopwatch, UnixMillis};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How far the clock may go ahead at once: no more than a log may be out of use for when it is set right again.
pub(super) const LEAP: Duration = Duration::from_secs(3600);

/// A clock that is watched.
pub(super) struct Timekeeper {
    clock: Arc<dyn Clock>,
    stopwatch: Arc<dyn Stopwatch>,
    /// What it was when it was last believed, and the stopwatch then. It is never set back: a clock that was, and is set
    /// right again, makes no leap by that.
    believed: Mutex<(UnixMillis, Duration)>,
}

impl Timekeeper {
    /// Believes what the clock says now.
    pub(super) fn new(clock: Arc<dyn Clock>, stopwatch: Arc<dyn Stopwatch>) -> Self {
        let believed = Mutex::new((clock.now(), stopwatch.elapsed()));
        Self { clock, stopwatch, believed }
    }

    /// The time for what comes after `last`.
    ///
    /// # Errors
    /// The clock cannot be right, in words for operators.
    pub(super) fn after(&self, last: UnixMillis) -> Result<UnixMillis, String> {
        let (now, expected) = self.look();
        if now > expected.plus(LEAP) {
            return Err(format!(
                "the clock says {now}, where {expected} was expected: it went ahead at once by more than an hour. Set it right; \
                 if it is right now, restart"
            ));
        }
        if now.plus(CLOCK_TOLERANCE) < last {
            return Err(StartError::ClockBehind { now, last }.to_string());
        }
        Ok(now.max(last))
    }

    /// What the time is, as far as can be told.
    pub(super) fn estimate(&self) -> UnixMillis {
        let (now, expected) = self.look();
        if now > expected.plus(LEAP) { expected } else { now }
    }

    /// What the clock says, and what it should say.
    fn look(&self) -> (UnixMillis, UnixMillis) {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, elapsed) = (self.clock.now(), self.stopwatch.elapsed());
        let expected = believed.0.plus(elapsed.saturating_sub(believed.1));
        // Small steps ahead are followed, so that a clock that is kept right by others never leaps.
        let now_believed = if now > expected.plus(LEAP) { expected } else { now.max(expected) };
        *believed = (now_believed, elapsed);
        (now, expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const START: u64 = 1_800_000_000_000;
    const HOUR: u64 = 3_600_000;

    #[derive(Default)]
    struct Hands {
        clock: AtomicU64,
        stopwatch: AtomicU64,
    }

    impl Clock for Hands {
        fn now(&self) -> UnixMillis {
            UnixMillis(self.clock.load(Ordering::SeqCst))
        }
    }

    impl Stopwatch for Hands {
        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.stopwatch.load(Ordering::SeqCst))
        }
    }

    impl Hands {
        fn pass(&self, millis: u64) {
            self.clock.fetch_add(millis, Ordering::SeqCst);
            self.stopwatch.fetch_add(millis, Ordering::SeqCst);
        }

        fn set(&self, millis: u64) {
            self.clock.store(millis, Ordering::SeqCst);
        }
    }

    fn keeper() -> (Arc<Hands>, Timekeeper) {
        let hands = Arc::new(Hands::default());
        hands.set(START);
        (hands.clone(), Timekeeper::new(hands.clone(), hands))
    }

    #[test]
    fn time_that_passes_is_no_leap() {
        let (hands, keeper) = keeper();
        for _ in 0..100 {
            hands.pass(20 * HOUR);
            let now = hands.now();
            assert_eq!((keeper.after(UnixMillis(START)), keeper.estimate()), (Ok(now), now));
        }
    }

    #[test]
    fn a_leap_is_not_believed_however_long_it_lasts_and_the_right_time_is() {
        let (hands, keeper) = keeper();
        hands.set(START + HOUR + 1);
        for _ in 0..100 {
            assert!(keeper.after(UnixMillis(START)).unwrap_err().contains("restart"));
            hands.pass(HOUR);
        }
        assert_eq!(keeper.estimate(), UnixMillis(START + 100 * HOUR));
        hands.set(START + 100 * HOUR);
        assert_eq!(keeper.after(UnixMillis(START)), Ok(UnixMillis(START + 100 * HOUR)));
    }

    #[test]
    fn small_steps_are_followed() {
        let (hands, keeper) = keeper();
        for step in 1..100 {
            hands.set(START + step * HOUR);
            assert_eq!(keeper.after(UnixMillis(START)), Ok(UnixMillis(START + step * HOUR)));
        }
    }

    #[test]
    fn a_clock_behind_what_was_answered_is_not_believed_and_makes_no_leap_when_it_is_set_right() {
        let (hands, keeper) = keeper();
        let last = UnixMillis(START);
        hands.set(START - 10_000);
        assert_eq!(keeper.after(last), Ok(last), "within the tolerance");
        hands.set(START - 100 * HOUR);
        assert!(keeper.after(last).unwrap_err().contains("the clock says"));
        hands.set(START + 5);
        assert_eq!(keeper.after(last), Ok(UnixMillis(START + 5)));
    }
}
