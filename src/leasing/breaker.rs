//! When a target is left alone: after some calls without a certain answer nobody calls but one, now and then, to look whether it is back.
//!
//! That one is let in by [`Breaker::admit`], and only its failure makes the wait longer. Calls that were under way when it opened, and those of the
//! main credential's rotation, which nobody lets in, fail for the same reason once more; an answer to any of them closes it.

use super::backoff::{self, Purpose};
use crate::environment::Random;
use std::time::Duration;

/// Calls in a row without a certain answer that open it.
const FAILURES: u32 = 5;
/// How long the one call that looks whether the target is back may take before another one is let through.
const LOOK: Duration = Duration::from_secs(60);
/// How often those who wait for it ask what has become of it.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Of one target. Times are a stopwatch's: a clock that is set must not hold anybody up.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    /// Nobody calls before; `None`: everybody may.
    until: Option<Duration>,
    /// The one that was let in to look, as long as it has not ended.
    trial: Option<u32>,
    /// How many have been let in.
    trials: u32,
    /// No token is made before: so long GitLab has asked for. Tokens that are to die do not wait for it, and what GitLab says to them does not
    /// make it shorter, since it counts calls of each kind apart.
    asked_until: Duration,
    /// What the last of them said.
    fault: String,
}

/// What has become of it with a call's end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing new.
    None,
    /// It has opened.
    Down,
    /// It has closed.
    Up,
}

impl Breaker {
    /// Whether a call may be made now, with its number where it is the one that looks; else how long to wait.
    ///
    /// # Errors
    /// The wait.
    pub(super) fn admit(&mut self, purpose: Purpose, now: Duration) -> Result<Option<u32>, Duration> {
        if purpose == Purpose::Making && now < self.asked_until {
            return Err(self.asked_until.saturating_sub(now));
        }
        if let Some(wait) = self.held(now) {
            return Err(wait);
        }
        if let Some(until) = &mut self.until {
            *until = now + LOOK;
            self.trials = self.trials.wrapping_add(1);
            self.trial = Some(self.trials);
        }
        Ok(self.trial)
    }

    /// The one that was let in to look has ended: where it has not called, the next one looks.
    pub(super) fn give_back(&mut self, trial: u32) {
        if self.trial == Some(trial) {
            self.trial = None;
            self.until = Some(Duration::ZERO);
        }
    }

    /// How long everybody is held from `now` on.
    pub(super) fn held(&self, now: Duration) -> Option<Duration> {
        let most = if self.trial.is_some() { ASK_AGAIN } else { Duration::MAX };
        let wait = self.until.and_then(|until| until.checked_sub(now));
        wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(most))
    }

    /// The target has answered, be it with a no.
    pub(super) fn answered(&mut self) -> Turn {
        self.failures = 0;
        self.trial = None;
        if self.until.take().is_some() { Turn::Up } else { Turn::None }
    }

    /// It has not, or does not take the main credential (`refused`), which one call is enough to know.
    pub(super) fn failed(
        &mut self,
        now: Duration,
        refused: bool,
        asked: Option<Duration>,
        fault: &str,
        random: &dyn Random,
    ) -> Turn {
        fault.clone_into(&mut self.fault);
        let was_trial = self.trial.take().is_some();
        if let Some(until) = self.until.filter(|_| !was_trial) {
            self.asked_until = self.asked_until.max(now + backoff::heeded(Purpose::Making, asked));
            self.until = Some(until.max(now + backoff::heeded(Purpose::Ending, asked)));
            return Turn::None;
        }
        self.failures = self.failures.saturating_add(1);
        if !refused && self.failures < FAILURES && !was_trial {
            return Turn::None;
        }
        let turns = if refused { self.failures } else { self.failures.saturating_sub(FAILURES - 1) };
        self.asked_until = self.asked_until.max(now + backoff::heeded(Purpose::Making, asked));
        let wait = backoff::wait(Purpose::Ending, turns, asked, random);
        let was_open = self.until.replace(now + wait).is_some();
        if was_open { Turn::None } else { Turn::Down }
    }

    /// Why it is open, where it is, for making tokens if for nothing else.
    pub(super) fn fault(&self, now: Duration) -> Option<&str> {
        (self.until.is_some() || now < self.asked_until).then_some(&*self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Most;

    impl Random for Most {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(255);
        }
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_answer_closes_it() {
        let mut breaker = Breaker::default();
        for round in 1..=5 {
            assert_eq!(breaker.admit(Purpose::Making, secs(0)), Ok(None));
            let turn = breaker.failed(secs(0), false, None, "down", &Most);
            assert_eq!(turn, if round == 5 { Turn::Down } else { Turn::None });
        }
        assert_eq!(
            (breaker.admit(Purpose::Making, secs(0)), breaker.fault(secs(0))),
            (Err(secs(1)), Some("down"))
        );
        assert_eq!(breaker.admit(Purpose::Making, secs(1)), Ok(Some(1)), "one looks");
        assert_eq!(breaker.admit(Purpose::Making, secs(1)), Err(secs(1)), "the others wait for it");
        assert_eq!(breaker.failed(secs(1), false, None, "still", &Most), Turn::None);
        assert_eq!(breaker.admit(Purpose::Making, secs(2)), Err(secs(1)), "longer than before");
        assert_eq!(breaker.answered(), Turn::Up);
        assert_eq!((breaker.admit(Purpose::Making, secs(2)), breaker.fault(secs(2))), (Ok(None), None));
    }

    /// Open for a second from zero on.
    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(secs(0), false, None, "down", &Most);
        }
        breaker
    }

    #[test]
    fn calls_that_nobody_let_in_make_no_wait_longer() {
        let mut breaker = opened();
        for _ in 0..11 {
            assert_eq!(breaker.failed(secs(0), false, None, "under way", &Most), Turn::None);
        }
        assert_eq!(breaker.held(secs(0)), Some(secs(1)));
        assert_eq!(breaker.admit(Purpose::Ending, secs(1)), Ok(Some(1)));
        breaker.failed(secs(2), false, None, "still", &Most);
        assert_eq!(breaker.held(secs(2)), Some(secs(2)), "the second wait, and not the thirteenth");
        // What GitLab asks for counts whoever is told.
        breaker.failed(secs(3), true, Some(secs(30)), "429", &Most);
        assert_eq!(
            (breaker.held(secs(3)), breaker.admit(Purpose::Making, secs(3))),
            (Some(secs(30)), Err(secs(30)))
        );
    }

    #[test]
    fn one_that_was_let_in_and_does_not_call_lets_the_next_one_in() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(Purpose::Ending, secs(1)), Ok(Some(1)));
        breaker.give_back(1);
        assert_eq!(breaker.admit(Purpose::Making, secs(1)), Ok(Some(2)));
        breaker.give_back(1);
        assert_eq!(breaker.held(secs(1)), Some(secs(1)), "another one looks");
        breaker.failed(secs(1), false, None, "still", &Most);
        breaker.give_back(2);
        assert_eq!(breaker.held(secs(1)), Some(secs(2)), "it has called");
        // One that never ends is not waited for for ever.
        assert_eq!(breaker.admit(Purpose::Ending, secs(3)), Ok(Some(3)));
        assert_eq!(breaker.admit(Purpose::Ending, secs(62)), Err(secs(1)));
        assert_eq!(breaker.admit(Purpose::Ending, secs(63)), Ok(Some(4)));
    }

    #[test]
    fn a_refused_credential_opens_it_at_once() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(secs(0), true, None, "401", &Most), Turn::Down);
        assert_eq!(breaker.held(secs(0)), Some(secs(1)));
        assert_eq!(breaker.held(secs(1)), None);
    }

    #[test]
    fn answers_between_failures_keep_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            assert_eq!(breaker.failed(secs(0), false, None, "x", &Most), Turn::None);
            assert_eq!(breaker.answered(), Turn::None);
        }
    }

    #[test]
    fn what_gitlab_asks_for_holds_making_for_that_long_and_ending_for_a_minute() {
        let mut breaker = Breaker::default();
        let asked = Some(secs(1800));
        assert_eq!(breaker.failed(secs(0), true, asked, "429", &Most), Turn::Down);
        assert_eq!(breaker.admit(Purpose::Ending, secs(59)), Err(secs(1)));
        assert_eq!(breaker.admit(Purpose::Making, secs(59)), Err(secs(1741)));
        assert_eq!(breaker.admit(Purpose::Ending, secs(60)), Ok(Some(1)));
        assert_eq!(breaker.answered(), Turn::Up);
        assert_eq!((breaker.held(secs(61)), breaker.fault(secs(61))), (None, Some("429")));
        assert_eq!(breaker.admit(Purpose::Making, secs(1799)), Err(secs(1)));
        assert_eq!((breaker.admit(Purpose::Making, secs(1800)), breaker.fault(secs(1800))), (Ok(None), None));
    }
}
