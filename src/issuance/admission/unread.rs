//! Requests that wait unread: which part of them is refused, so that the others are answered within the second.
//!
//! A server that finishes what it began before it reads more has its queue in the system's memory, where nobody is seen and
//! nobody counted. What can be seen is how long an octet waits there. Up to [`EASY`] all are answered in their order, and nobody
//! is refused; above it a part that grows with the wait, since a refusal costs a fraction of a certificate and so shortens it.
//!
//! Pure: the waits are arguments.

use super::pace::LEAST;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A wait that leaves enough of the second that callers are promised.
const EASY: Duration = Duration::from_millis(500);
/// A wait at which all are refused.
const HOPELESS: Duration = Duration::from_millis(1000);
/// All of them, as a share.
const ALL: u32 = 1024;
/// How much the newest wait counts beside those before it: one odd moment of the machine decides nothing.
const WEIGHT: f64 = 0.4;

/// The share that is refused.
#[derive(Debug, Default)]
pub struct Unread {
    /// Of [`ALL`].
    share: AtomicU32,
    turn: AtomicU32,
}

/// What the waits have shown.
#[derive(Debug, Default)]
pub struct Waits {
    usual: Duration,
}

impl Waits {
    /// Takes a wait while so many connections are open; answers the share of all who come from now on that is to be refused, 0 to
    /// 1. Where there are fewer callers than places nobody is refused, however slow the machine is.
    pub fn share(&mut self, wait: Duration, connections: usize) -> f64 {
        self.usual = self.usual.mul_f64(1.0 - WEIGHT) + wait.min(2 * HOPELESS).mul_f64(WEIGHT);
        if connections < LEAST {
            return 0.0;
        }
        let beyond = self.usual.saturating_sub(EASY).as_secs_f64();
        (beyond / (HOPELESS - EASY).as_secs_f64()).min(1.0)
    }
}

impl Unread {
    /// From now on this share is refused, 0 to 1.
    pub fn refuse(&self, share: f64) {
        // A float becomes the nearest integer in range.
        self.share.store((share * f64::from(ALL)) as u32, Ordering::Relaxed);
    }

    /// Whether the next one is refused: evenly, no dice.
    pub fn refuses_next(&self) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        share > 0 && self.turn.fetch_add(share, Ordering::Relaxed) % ALL + share >= ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 2000;

    fn shown(wait: Duration, connections: usize) -> f64 {
        let mut waits = Waits::default();
        (0..20).fold(0.0, |_, _| waits.share(wait, connections))
    }

    #[test]
    fn nobody_is_refused_as_long_as_all_are_answered_in_time_or_there_are_places_for_all() {
        assert!(shown(Duration::from_millis(499), MANY) < f64::EPSILON);
        assert!(shown(Duration::from_secs(60), LEAST - 1) < f64::EPSILON);
    }

    #[test]
    fn the_share_grows_with_the_wait_up_to_all() {
        let shares = [600, 700, 800, 900].map(|millis| shown(Duration::from_millis(millis), MANY));
        assert!(shares.is_sorted_by(|a, b| a < b), "{shares:?}");
        assert!(shown(Duration::from_secs(3600), MANY) > 0.999);
    }

    #[test]
    fn one_odd_moment_decides_nothing_and_is_soon_forgotten() {
        let mut waits = Waits::default();
        assert!(waits.share(Duration::from_millis(1200), MANY) < f64::EPSILON);
        waits.share(Duration::from_secs(3600), MANY);
        let soon = (0..5).fold(1.0, |_, _| waits.share(Duration::ZERO, MANY));
        assert!(soon < f64::EPSILON);
    }

    #[test]
    fn so_many_are_refused_and_evenly() {
        let unread = Unread::default();
        assert!(!unread.refuses_next());
        for share in [0.25, 0.5, 1.0] {
            unread.refuse(share);
            let refused = (0..4096).filter(|_| unread.refuses_next()).count();
            assert_eq!(refused, (share * 4096.0) as usize);
        }
        unread.refuse(0.25);
        let four: Vec<bool> = (0..4).map(|_| unread.refuses_next()).collect();
        assert_eq!(four.iter().filter(|refused| **refused).count(), 1);
    }
}
