//! Whether the machine's clock may be believed.
//!
//! A timestamp is worth what the clock is worth. Three things must agree: the wall clock with the time that the log has
//! already signed, the wall clock with the monotonic one since the last look, and, where the operator wants it, the wall clock
//! with other machines' clocks. Pure: all clocks are arguments.

use crate::environment::UnixMillis;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How far the wall clock may move against the monotonic one, and lag behind the log, and be believed: what NTP corrects in a
/// step is less on a machine that is looked after.
pub const TOLERANCE: Duration = Duration::from_secs(1);
/// How long the two clocks are compared from one beginning. Corrections by slewing (500 ppm at most, 1.8 s an hour) are added to
/// the tolerance.
const STRETCH: Duration = Duration::from_secs(3600);
/// What a clock may be slewed by, as a part of the time that passes: one in so many.
const SLEW: u32 = 2000;

/// Why no time is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// The wall clock is behind a time that the log has signed.
    #[error(
        "the clock says {now}, but the log has attested {attested} already; set the machine's clock right"
    )]
    BehindTheLog {
        /// What the clock says.
        now: UnixMillis,
        /// The log's last timestamp.
        attested: UnixMillis,
    },
    /// The wall clock was set, or the machine slept.
    #[error(
        "the clock jumped by {} ms: it says {now}, and {expected} was expected; set it right, or restart when it is right",
        .now.0.abs_diff(.expected.0)
    )]
    Jumped {
        /// What the clock says.
        now: UnixMillis,
        /// What it should say by the monotonic clock.
        expected: UnixMillis,
    },
    /// Other clocks disagree.
    #[error("the clock is {} ms {} the configured NTP servers; set the machine's clock right", .0.unsigned_abs(), if *.0 > 0 { "behind" } else { "ahead of" })]
    Disagrees(
        /// What to add to the clock to get theirs, in milliseconds.
        i64,
    ),
}

/// Watches the clock.
#[derive(Debug)]
pub struct ClockGuard {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Wall clock and monotonic clock at one moment.
    beginning: (UnixMillis, Duration),
    /// What other clocks said last, when it was too much.
    disagrees: Option<i64>,
}

impl ClockGuard {
    /// Begins with the clocks as they are.
    pub const fn new(wall: UnixMillis, monotonic: Duration) -> Self {
        Self { state: Mutex::new(State { beginning: (wall, monotonic), disagrees: None }) }
    }

    /// The time to tell: the wall clock's, or the log's when that is a little later.
    ///
    /// `attested`, read before the clocks, is the last time that the log has signed.
    ///
    /// # Errors
    /// The clock is not to be believed now. A jump that is undone is forgiven.
    pub fn time(
        &self,
        attested: Option<UnixMillis>,
        wall: UnixMillis,
        monotonic: Duration,
    ) -> Result<UnixMillis, ClockFault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.compare(wall, monotonic)?;
        if let Some(offset) = state.disagrees {
            return Err(ClockFault::Disagrees(offset));
        }
        let attested = attested.unwrap_or_default();
        if attested > wall.plus(TOLERANCE) {
            return Err(ClockFault::BehindTheLog { now: wall, attested });
        }
        Ok(wall.max(attested))
    }

    /// Takes what other clocks say: what to add to the wall clock to get theirs, in milliseconds. When they agree with it within
    /// `tolerance`, a jump was a correction and is forgiven.
    pub fn heard(&self, offset: i64, tolerance: Duration, wall: UnixMillis, monotonic: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if u128::from(offset.unsigned_abs()) > tolerance.as_millis() {
            state.disagrees = Some(offset);
        } else {
            *state = State { beginning: (wall, monotonic), disagrees: None };
        }
    }
}

impl State {
    fn compare(&mut self, wall: UnixMillis, monotonic: Duration) -> Result<(), ClockFault> {
        let (wall_then, monotonic_then) = self.beginning;
        let passed = monotonic.saturating_sub(monotonic_then);
        let expected = wall_then.plus(passed);
        let allowed = (TOLERANCE + passed / SLEW).as_millis();
        if u128::from(wall.0.abs_diff(expected.0)) > allowed {
            return Err(ClockFault::Jumped { now: wall, expected });
        }
        if passed >= STRETCH {
            self.beginning = (wall, monotonic);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_795_251_600_000);

    fn guard() -> ClockGuard {
        ClockGuard::new(START, secs(100))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn after(seconds: u64) -> UnixMillis {
        START.plus(secs(seconds))
    }

    #[test]
    fn a_clock_that_walks_is_believed() {
        let guard = guard();
        for passed in [0, 1, 60, 3599, 3600, 3601, 86_400, 10_000_000] {
            assert_eq!(guard.time(None, after(passed), secs(100 + passed)), Ok(after(passed)));
        }
    }

    #[test]
    fn a_jump_either_way_stops_it_until_it_is_undone() {
        for jumped in [START.plus(secs(12)), UnixMillis(START.0 + 7_900), UnixMillis(0), UnixMillis(u64::MAX)]
        {
            let guard = guard();
            let fault = ClockFault::Jumped { now: jumped, expected: after(10) };
            assert_eq!(guard.time(None, jumped, secs(110)), Err(fault));
            assert_eq!(guard.time(None, after(20), secs(120)), Ok(after(20)));
        }
    }

    #[test]
    fn a_jump_stays_one_however_long_it_lasts() {
        let guard = guard();
        for passed in [1, 3600, 100_000] {
            let late = guard.time(None, after(passed + 3600), secs(100 + passed));
            assert!(matches!(late, Err(ClockFault::Jumped { .. })), "{passed}");
        }
    }

    #[test]
    fn small_corrections_pass_and_many_of_them_do_not_within_an_hour() {
        let guard = guard();
        assert_eq!(
            guard.time(None, UnixMillis(START.0 + 10_900), secs(110)),
            Ok(UnixMillis(START.0 + 10_900))
        );
        assert!(guard.time(None, UnixMillis(START.0 + 21_800), secs(120)).is_err());
        // 400 ppm for a week, looked at every minute.
        let guard = self::guard();
        for minute in 0..7 * 24 * 60_u64 {
            let wall = UnixMillis(START.0 + minute * 60_024);
            assert_eq!(guard.time(None, wall, secs(100 + minute * 60)), Ok(wall));
        }
    }

    #[test]
    fn the_time_is_never_before_what_the_log_has_attested() {
        let guard = guard();
        let attested = |ahead| Some(UnixMillis(START.0 + ahead));
        assert_eq!(guard.time(attested(0), START, secs(100)), Ok(START));
        assert_eq!(guard.time(attested(1000), START, secs(100)), Ok(UnixMillis(START.0 + 1000)));
        let fault = guard.time(attested(1001), START, secs(100)).unwrap_err();
        assert!(fault.to_string().contains("the log has attested"), "{fault}");
        assert_eq!(guard.time(attested(1001), after(1), secs(101)), Ok(UnixMillis(START.0 + 1001)));
        assert!(guard.time(Some(UnixMillis(u64::MAX)), START, secs(100)).is_err());
    }

    #[test]
    fn other_clocks_stop_it_and_let_it_go_on() {
        let guard = guard();
        guard.heard(-1501, secs(1), START, secs(100));
        let fault = guard.time(None, START, secs(100)).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "the clock is 1501 ms ahead of the configured NTP servers; set the machine's clock right"
        );
        guard.heard(1000, secs(1), START, secs(100));
        assert_eq!(guard.time(None, START, secs(100)), Ok(START));
        guard.heard(i64::MIN, secs(1), START, secs(100));
        assert!(guard.time(None, START, secs(100)).is_err());
        // The machine slept for a day, and its clock is right again.
        let slept = after(86_400);
        guard.heard(3, secs(1), slept, secs(101));
        assert_eq!(guard.time(None, slept, secs(101)), Ok(slept));
    }
}
