//! When a target is left alone: after some calls without a certain answer one asks it whether it is there, and as long as it does not say so nobody
//! calls but such a one, now and then.
//!
//! It is asked for itself ([`Breaker::admit`]), and not for a token: what it does not answer about one of them it may answer about all others, and
//! what opened this must not keep it open. Only that question's failure makes the wait longer. Calls that were under way, and those of the main
//! credential's rotation, which nobody lets in, fail for the same reason once more; an answer to any of them closes it.

use super::backoff::{self, Purpose};
use crate::environment::Random;
use std::time::Duration;

/// Calls in a row without a certain answer, after which it is asked.
const FAILURES: u32 = 5;
/// How long the one that asks may take before another one does.
const LOOK: Duration = Duration::from_secs(60);
/// How often those who wait for it look what has become of it.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Of one target. Times are a stopwatch's: a clock that is set must not hold anybody up.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    /// Nobody calls before, and then one asks first; `None`: everybody may.
    until: Option<Duration>,
    /// Somebody asks.
    asking: bool,
    /// How often in a row there was no good answer to that; not zero: operators were told.
    turns: u32,
    /// No token is made before: so long GitLab has asked for. Tokens that are to die do not wait for it, and what GitLab says to them does not
    /// make it shorter, since it counts calls of each kind apart.
    asked_until: Duration,
    /// What the last of them said.
    fault: String,
}

/// Whether one may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// At once.
    Open,
    /// If it answers whether it is there, which is to be asked at once.
    Ask,
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// Without a certain answer: to this call, at least.
    Unheard,
    /// It does not take the main credential, or says when to come again: that is for everybody who comes with it.
    Refused,
    /// The question whether it is there, however it failed.
    Asked,
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
    /// Whether a call may be made now; else how long to wait.
    ///
    /// # Errors
    /// The wait.
    pub(super) fn admit(&mut self, purpose: Purpose, now: Duration) -> Result<Admission, Duration> {
        if purpose == Purpose::Making && now < self.asked_until {
            return Err(self.asked_until.saturating_sub(now));
        }
        if let Some(wait) = self.held(now) {
            return Err(wait);
        }
        let Some(until) = &mut self.until else { return Ok(Admission::Open) };
        *until = now + LOOK;
        self.asking = true;
        Ok(Admission::Ask)
    }

    /// How long everybody is held from `now` on.
    pub(super) fn held(&self, now: Duration) -> Option<Duration> {
        let most = if self.asking { ASK_AGAIN } else { Duration::MAX };
        let wait = self.until.and_then(|until| until.checked_sub(now));
        wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(most))
    }

    /// The target has answered, be it with a no.
    pub(super) fn answered(&mut self) -> Turn {
        (self.failures, self.until, self.asking) = (0, None, false);
        if std::mem::take(&mut self.turns) > 0 { Turn::Up } else { Turn::None }
    }

    /// It has not. `asked`: when to come again.
    pub(super) fn failed(
        &mut self,
        how: Failed,
        now: Duration,
        asked: Option<Duration>,
        fault: &str,
        random: &dyn Random,
    ) -> Turn {
        fault.clone_into(&mut self.fault);
        self.asked_until = self.asked_until.max(now + backoff::heeded(Purpose::Making, asked));
        match (how, &mut self.until) {
            (Failed::Unheard, until @ None) => {
                self.failures = self.failures.saturating_add(1);
                *until = (self.failures >= FAILURES).then_some(now);
                return Turn::None;
            }
            (Failed::Unheard | Failed::Refused, Some(until)) => {
                *until = (*until).max(now + backoff::heeded(Purpose::Ending, asked));
                return Turn::None;
            }
            (Failed::Refused, None) | (Failed::Asked, _) => {}
        }
        self.asking = false;
        self.turns = self.turns.saturating_add(1);
        self.until = Some(now + backoff::wait(Purpose::Ending, self.turns, asked, random));
        if self.turns == 1 { Turn::Down } else { Turn::None }
    }

    /// Why it is open, where it is, for making tokens if for nothing else.
    pub(super) fn fault(&self, now: Duration) -> Option<&str> {
        (self.turns > 0 || now < self.asked_until).then_some(&*self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::Failed::{Asked, Refused, Unheard};
    use super::Purpose::{Ending, Making};
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

    impl Breaker {
        fn fails(&mut self, how: Failed, second: u64) -> Turn {
            self.failed(how, secs(second), None, "down", &Most)
        }
    }

    /// Open for a second from zero on.
    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            assert_eq!(breaker.admit(Making, secs(0)), Ok(Admission::Open));
            assert_eq!(breaker.fails(Unheard, 0), Turn::None);
        }
        assert_eq!((breaker.admit(Making, secs(0)), breaker.fault(secs(0))), (Ok(Admission::Ask), None));
        assert_eq!(breaker.fails(Asked, 0), Turn::Down);
        breaker
    }

    #[test]
    fn after_five_failures_in_a_row_it_is_asked_whether_it_is_there() {
        let mut breaker = opened();
        assert_eq!((breaker.admit(Making, secs(0)), breaker.fault(secs(0))), (Err(secs(1)), Some("down")));
        assert_eq!(breaker.admit(Making, secs(1)), Ok(Admission::Ask), "one asks");
        assert_eq!(breaker.admit(Making, secs(1)), Err(secs(1)), "the others wait for it");
        assert_eq!(breaker.fails(Asked, 1), Turn::None);
        assert_eq!(breaker.admit(Making, secs(2)), Err(secs(1)), "longer than before");
        assert_eq!(breaker.answered(), Turn::Up);
        assert_eq!((breaker.admit(Making, secs(2)), breaker.fault(secs(2))), (Ok(Admission::Open), None));
    }

    #[test]
    fn one_that_is_there_is_left_alone_by_nobody_whatever_it_does_not_answer() {
        let mut breaker = Breaker::default();
        for second in 0..20 {
            for _ in 0..5 {
                assert_eq!(breaker.fails(Unheard, second), Turn::None);
            }
            assert_eq!(breaker.admit(Ending, secs(second)), Ok(Admission::Ask));
            assert_eq!(breaker.answered(), Turn::None);
            assert_eq!(breaker.admit(Making, secs(second)), Ok(Admission::Open));
        }
    }

    #[test]
    fn calls_that_nobody_let_in_make_no_wait_longer() {
        let mut breaker = opened();
        for _ in 0..11 {
            assert_eq!(breaker.fails(Unheard, 0), Turn::None);
        }
        assert_eq!(breaker.held(secs(0)), Some(secs(1)));
        assert_eq!(breaker.admit(Ending, secs(1)), Ok(Admission::Ask));
        assert_eq!(breaker.fails(Unheard, 2), Turn::None);
        assert_eq!(breaker.held(secs(2)), Some(secs(1)), "it is being asked");
        breaker.fails(Asked, 2);
        assert_eq!(breaker.held(secs(2)), Some(secs(2)), "the second wait, and not the thirteenth");
        // What GitLab asks for counts whoever is told.
        breaker.failed(Refused, secs(3), Some(secs(30)), "429", &Most);
        assert_eq!((breaker.held(secs(3)), breaker.admit(Making, secs(3))), (Some(secs(30)), Err(secs(30))));
    }

    #[test]
    fn one_that_asks_and_never_ends_is_not_waited_for_for_ever() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(Ending, secs(3)), Ok(Admission::Ask));
        assert_eq!(breaker.admit(Ending, secs(62)), Err(secs(1)));
        assert_eq!(breaker.admit(Ending, secs(63)), Ok(Admission::Ask));
    }

    #[test]
    fn a_refused_credential_opens_it_at_once() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.fails(Refused, 0), Turn::Down);
        assert_eq!(breaker.held(secs(0)), Some(secs(1)));
        assert_eq!(breaker.held(secs(1)), None);
    }

    #[test]
    fn answers_between_failures_keep_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            assert_eq!(breaker.fails(Unheard, 0), Turn::None);
            assert_eq!(breaker.admit(Ending, secs(0)), Ok(Admission::Open));
            assert_eq!(breaker.answered(), Turn::None);
        }
    }

    #[test]
    fn what_gitlab_asks_for_holds_making_for_that_long_and_ending_for_a_minute() {
        let mut breaker = Breaker::default();
        let asked = Some(secs(1800));
        assert_eq!(breaker.failed(Refused, secs(0), asked, "429", &Most), Turn::Down);
        assert_eq!(breaker.admit(Ending, secs(59)), Err(secs(1)));
        assert_eq!(breaker.admit(Making, secs(59)), Err(secs(1741)));
        assert_eq!(breaker.admit(Ending, secs(60)), Ok(Admission::Ask));
        assert_eq!(breaker.answered(), Turn::Up);
        assert_eq!((breaker.held(secs(61)), breaker.fault(secs(61))), (None, Some("429")));
        assert_eq!(breaker.admit(Making, secs(1799)), Err(secs(1)));
        assert_eq!(
            (breaker.admit(Making, secs(1800)), breaker.fault(secs(1800))),
            (Ok(Admission::Open), None)
        );
    }
}
