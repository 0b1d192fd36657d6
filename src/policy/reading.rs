//! How a policy was read for a request: what became of each of its rules.

use super::{Decision, Mode, Policy, RequestFacts, Rule};
use crate::condition::Undecided;

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is about the tokens of other issuers.
    OfOthers,
    /// Another one had decided before.
    NotRead,
    /// It was read, and decided, or would have decided if it were not on trial; `Err`: because it cannot be decided.
    Decides(Result<(), Undecided>),
    /// It was read, and the next one was read behind it.
    Passed,
}

impl Policy {
    /// What [`Self::decide`] made of each rule, in their order.
    pub fn readings(&self, request: &RequestFacts<'_>) -> Vec<(&Rule, Outcome)> {
        let decision = self.decide(request).decision;
        let last = match &decision {
            Decision::Allowed(rule) | Decision::Denied(rule, _) => Some(*rule),
            Decision::Unruled | Decision::NotAllowed(_) => None,
        };
        let mut is_decided = false;
        let outcome = |rule| {
            if !Rule::concerns(rule, request.issuer) {
                return Outcome::OfOthers;
            }
            if is_decided {
                return Outcome::NotRead;
            }
            is_decided = rule.mode == Mode::Enforce && last == Some(rule);
            match rule.holds(request) {
                Ok(false) => Outcome::Passed,
                Ok(true) => Outcome::Decides(Ok(())),
                Err(undecided) => Outcome::Decides(Err(undecided)),
            }
        };
        let outcomes: Vec<_> = self.rules.iter().map(outcome).collect();
        self.rules.iter().zip(outcomes).collect()
    }
}
