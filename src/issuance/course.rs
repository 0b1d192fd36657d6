//! How an issuance went: whose token it was, and how long each step took. For logs and metrics; nothing is decided by it.

use crate::environment::Stopwatch;
use crate::policy::Ruled;
use crate::refusal::Reason;
use std::sync::Arc;
use std::time::Duration;

/// The steps of `docs/ISSUANCE.md` whose time is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The token is parsed, its issuer found, its signature and times verified (1, 2 and 4).
    Token,
    /// The issuer's keys are at hand (3).
    Keys,
    /// The claims name one subject (5).
    Identity,
    /// The caller holds the key (6).
    Possession,
    /// The operator's rules decide (7).
    Policy,
    /// The content is frozen, and the precertificate signed (8 and 9).
    Precertificate,
    /// The log has it: waiting, writing, and the timestamp's signature (10).
    Log,
    /// The certificate is signed (11).
    Certificate,
}

impl Step {
    /// Every step, in its order.
    pub const ALL: [Self; 8] = [
        Self::Token,
        Self::Keys,
        Self::Identity,
        Self::Possession,
        Self::Policy,
        Self::Precertificate,
        Self::Log,
        Self::Certificate,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Keys => "keys",
            Self::Identity => "identity",
            Self::Possession => "possession",
            Self::Policy => "policy",
            Self::Precertificate => "precertificate",
            Self::Log => "log",
            Self::Certificate => "certificate",
        }
    }
}

/// Is told of every issuance once it has ended. Implemented by `telemetry`.
pub trait Observer: Send + Sync {
    /// It ended: with a certificate, or `refused`.
    fn ended(&self, course: &Course, refused: Option<Reason>);
}

/// The course of one issuance, filled in while it goes.
#[derive(Clone)]
pub struct Course {
    stopwatch: Arc<dyn Stopwatch>,
    /// When the last step ended.
    last: Duration,
    took: [Option<Duration>; Step::ALL.len()],
    issuer: Option<Arc<str>>,
    ruled: Option<Ruled>,
}

impl Course {
    /// It begins now.
    pub fn begin(stopwatch: Arc<dyn Stopwatch>) -> Self {
        let last = stopwatch.elapsed();
        Self { stopwatch, last, took: [None; Step::ALL.len()], issuer: None, ruled: None }
    }

    /// The issuer as the operator configured it: its URL, or the pattern that admits it. `None`: the token's is none of ours.
    ///
    /// Until the token is verified this is a claim, and nobody's proof.
    pub const fn issuer(&self) -> Option<&Arc<str>> {
        self.issuer.as_ref()
    }

    /// What the operator's rules said; `None`: the issuance never got to them.
    pub const fn ruled(&self) -> Option<&Ruled> {
        self.ruled.as_ref()
    }

    /// How long a step took; `None` where the issuance never got to its end.
    pub fn took(&self, step: Step) -> Option<Duration> {
        self.took.get(step as usize).copied().flatten()
    }

    pub(super) fn of(&mut self, issuer: Arc<str>) {
        self.issuer = Some(issuer);
    }

    pub(super) fn rule(&mut self, ruled: Ruled) {
        self.ruled = Some(ruled);
    }

    /// What happened since the last step ended was `step`. A step in two parts is their sum.
    pub(super) fn did(&mut self, step: Step) {
        let now = self.stopwatch.elapsed();
        if let Some(took) = self.took.get_mut(step as usize) {
            *took = Some(took.unwrap_or_default() + now.saturating_sub(self.last));
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Every look at it is a second later.
    #[derive(Default)]
    struct Ticking(AtomicU64);

    impl Stopwatch for Ticking {
        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    #[test]
    fn a_step_in_two_parts_is_their_sum_and_one_that_never_ended_has_no_time() {
        let mut course = Course::begin(Arc::new(Ticking::default()));
        for step in [Step::Token, Step::Keys, Step::Token] {
            course.did(step);
        }
        let seconds = |step| course.took(step).map(|took| took.as_secs());
        assert_eq!(Step::ALL.map(seconds), [Some(2), Some(1), None, None, None, None, None, None]);
    }

    #[test]
    fn every_step_has_its_own_place_and_name() {
        let names: std::collections::HashSet<_> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), Step::ALL.len());
        assert!(Step::ALL.iter().enumerate().all(|(index, step)| *step as usize == index));
    }
}
