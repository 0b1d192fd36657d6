//! What the server would answer to claims that nobody vouches for: what its rules say, and whether there would be a certificate then. A rule
//! that allows may ask for a name or for extensions that cannot be made of the claims.

use super::rules::Rules;
use crate::certificate::Template;
use crate::policy::{Decision, RequestFacts, Rule, Verdict};
use crate::refusal::{Reason, Refusal};

/// An answer.
pub struct Answer<'r> {
    /// What the rules decide.
    pub decision: Decision<'r>,
    /// Rules on trial that would have decided.
    pub warned: Vec<&'r Rule>,
    /// What the caller is told. `None`: there is a certificate.
    pub refusal: Option<Refusal>,
    /// Why the certificate's names could not be made, where that is because claims are not given.
    pub open: Option<Refusal>,
}

impl Answer<'_> {
    /// Whether there would be a certificate.
    pub const fn is_allowed(&self) -> bool {
        self.refusal.is_none()
    }

    /// Who says so: the rule that decided, or the one of the type of identity.
    pub fn rule(&self) -> Option<String> {
        let of_identity = self.refusal.as_ref().and_then(Refusal::rule);
        match (&self.decision, of_identity) {
            (Decision::Allowed(_) | Decision::Unruled, Some(rule)) => Some(rule.to_owned()),
            (decision, _) => decision.rule(),
        }
    }

    /// What the caller is told besides the reason: the rules' words, or those about the claim. `None`: it is allowed.
    pub fn message(&self) -> Option<String> {
        match &self.refusal {
            Some(refusal) if self.decision.is_allowed() => Some(refusal.to_string()),
            Some(_) => self.decision.message(),
            None => None,
        }
    }
}

/// Asks; `is_known` says of which claims it is known whether they are there.
pub fn ask<'r>(rules: &'r Rules, request: &RequestFacts<'_>, is_known: &dyn Fn(&str) -> bool) -> Answer<'r> {
    let Verdict { decision, warned } = rules.policy.decide(request);
    let (refusal, open) = match decision.is_allowed() {
        true => certificate(rules, request, &decision, is_known),
        false => (Some(decision.refusal()), None),
    };
    Answer { decision, warned, refusal, open }
}

/// Why there is no certificate though the rules allow it, and what cannot be known.
fn certificate(
    rules: &Rules,
    request: &RequestFacts<'_>,
    decision: &Decision<'_>,
    is_known: &dyn Fn(&str) -> bool,
) -> (Option<Refusal>, Option<Refusal>) {
    let Some(entry) = rules.entry(request.iss, request.claims) else { return (None, None) };
    let hangs_on_others = |refusal: &Refusal| refusal.claim().is_some_and(|claim| !is_known(claim));
    let refused = match entry.kind.named(request.iss, request.claims) {
        Ok(named) => {
            let content = decision.content(&entry, named, request.claims);
            content.and_then(|content| Template::fits(&content)).err()
        }
        // Cases have the claims that matter to them, and may lack those that only a name is made of.
        Err(refusal)
            if hangs_on_others(&refusal)
                || matches!(refusal.reason(), Reason::ClaimMissing | Reason::Internal) =>
        {
            let tightening = match decision {
                Decision::Allowed(rule) => rule.effect.tightening(),
                _ => None,
            };
            let added = tightening.and_then(|tightening| tightening.added(request.claims).err());
            return (added.filter(|refusal| !hangs_on_others(refusal)), Some(refusal));
        }
        Err(refusal) => Some(refusal),
    };
    match refused {
        Some(refusal) if hangs_on_others(&refusal) => (None, Some(refusal)),
        refused => (refused, None),
    }
}
