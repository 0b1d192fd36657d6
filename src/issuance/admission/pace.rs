//! How many certificates may be in the making: as many as this machine finishes within [`PATIENCE`].
//!
//! Pure: the time is an argument. What is measured is the number of certificates that were finished in a window of time. A
//! window in which there was always enough to do shows what the machine can do; one with pauses shows only that it can do at
//! least that much, and never lowers the estimate. So an idle night does not make the morning's first pipelines wait outside.

use std::time::Duration;

/// How long an admitted request is expected to wait at most, in whole places over the pace. Shares may go over the limit by
/// twice as much again, so the answer comes within three times of it, and within the second that callers are promised.
const PATIENCE: Duration = Duration::from_millis(250);
/// So many are always admitted: a machine that was never busy has shown nothing yet, and the smallest CI has this many jobs.
pub const LEAST: usize = 256;
/// More than this are never in the making within the limit: memory, and the log's queue, which has room for three times as many.
pub const MOST: usize = 1365;
/// With fewer than this in the making the machine may have had pauses.
const BUSY: usize = LEAST / 2;
/// A window is closed by the first certificate after this time …
const WINDOW: Duration = Duration::from_millis(100);
/// … of at least so many, so that one slow certificate is no measurement.
const SAMPLE: u32 = 32;

/// What the machine has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Certificates a second; 0 until something was shown.
    per_second: f64,
    window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    began: Duration,
    finished: u32,
    /// The fewest that were in the making.
    fewest: usize,
}

impl Window {
    const fn new(began: Duration) -> Self {
        Self { began, finished: 0, fewest: usize::MAX }
    }
}

impl Pace {
    /// Nothing shown yet; the stopwatch says `now`.
    pub const fn new(now: Duration) -> Self {
        Self { per_second: 0.0, window: Window::new(now) }
    }

    /// A place was taken beside `others`.
    pub fn entered(&mut self, others: usize) {
        self.window.fewest = self.window.fewest.min(others);
    }

    /// A place was given back: `left` remain in the making. `certificate`: it was finished, not refused or given up.
    pub fn left(&mut self, now: Duration, left: usize, certificate: bool) {
        self.window.fewest = self.window.fewest.min(left);
        if !certificate {
            return;
        }
        self.window.finished += 1;
        let took = now.saturating_sub(self.window.began);
        if took < WINDOW || self.window.finished < SAMPLE {
            return;
        }
        let shown = f64::from(self.window.finished) / took.as_secs_f64();
        self.per_second = match self.window.fewest >= BUSY {
            // Halfway, so that one odd window does not decide.
            true if self.per_second > 0.0 => f64::midpoint(self.per_second, shown),
            true => shown,
            false => self.per_second.max(shown),
        };
        self.window = Window::new(now);
    }

    /// How many may be in the making.
    pub fn limit(&self) -> usize {
        // A float becomes the nearest integer in range.
        ((self.per_second * PATIENCE.as_secs_f64()) as usize).clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finishes certificates for some milliseconds at a steady pace, with so many in the making.
    fn work(pace: &mut Pace, now: &mut Duration, millis: u64, per_second: u64, in_the_making: usize) {
        for _ in 0..per_second * millis / 1000 {
            *now += Duration::from_nanos(1_000_000_000 / per_second);
            pace.left(*now, in_the_making, true);
        }
    }

    fn fresh() -> (Pace, Duration) {
        let now = Duration::from_secs(7);
        (Pace::new(now), now)
    }

    #[test]
    fn a_machine_that_has_shown_nothing_takes_the_least() {
        assert_eq!(fresh().0.limit(), LEAST);
    }

    #[test]
    fn the_limit_is_what_a_busy_machine_finishes_within_the_patience() {
        let (mut pace, mut now) = fresh();
        work(&mut pace, &mut now, 1000, 4000, 200);
        let expected = 4000.0 * PATIENCE.as_secs_f64();
        let off = pace.limit() as f64 / expected - 1.0;
        assert!(off.abs() < 0.04, "{} for {expected}", pace.limit());
    }

    #[test]
    fn it_has_a_floor_and_a_ceiling() {
        let (mut slow, mut now) = fresh();
        work(&mut slow, &mut now, 4000, 100, 200);
        assert_eq!(slow.limit(), LEAST);
        let (mut fast, mut now) = fresh();
        work(&mut fast, &mut now, 1000, 100_000, 200);
        assert_eq!(fast.limit(), MOST);
    }

    #[test]
    fn an_idle_time_lowers_nothing_and_a_slow_busy_one_does_within_a_second() {
        let (mut pace, mut now) = fresh();
        work(&mut pace, &mut now, 1000, 8000, 200);
        let before = pace.limit();
        now += Duration::from_secs(3600);
        work(&mut pace, &mut now, 10_000, 10, 1);
        assert_eq!(pace.limit(), before);
        work(&mut pace, &mut now, 1000, 4000, 200);
        assert!(pace.limit() < before * 6 / 10, "{} after {before}", pace.limit());
    }

    #[test]
    fn a_rush_after_an_idle_time_is_not_taken_for_slow_work() {
        let (mut pace, mut now) = fresh();
        work(&mut pace, &mut now, 1000, 4000, 200);
        let before = pace.limit();
        now += Duration::from_secs(3600);
        (0..300).for_each(|others| pace.entered(others));
        work(&mut pace, &mut now, 50, 4000, 200);
        assert_eq!(pace.limit(), before);
    }

    #[test]
    fn what_was_refused_or_given_up_is_no_work() {
        let (mut pace, mut now) = fresh();
        for _ in 0..100_000 {
            now += Duration::from_micros(10);
            pace.left(now, 200, false);
        }
        assert_eq!(pace.limit(), LEAST);
    }
}
