//! What the server would answer to claims that nobody vouches for. It takes the server's steps in the server's order (docs/ISSUANCE.md), by the
//! same code: times, audience, whom the claims name, rules, what the certificate would say.

use super::certificates::carry;
use super::rules::Rules;
use crate::certificate::Template;
use crate::identity::{Entry, Named};
use crate::policy::{DEFAULT, Decision, RequestFacts, Rule, Verdict};
use crate::refusal::{Reason, Refusal};
use crate::token::check_form_of_times;

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// Every claim of its token: one that is not there is missing.
    Token,
    /// The claims that matter to an operator's case, and maybe no others.
    Case,
    /// The claims that its certificate carries.
    Certificate,
}

impl Knowledge {
    /// Whether something is refused for claims that are not given, and may be in the token.
    fn leaves_open(self, refusal: &Refusal) -> bool {
        let is_missing = refusal.reason() == Reason::ClaimMissing;
        match self {
            Self::Token => false,
            Self::Case => is_missing,
            Self::Certificate => is_missing || refusal.claim().is_some_and(|claim| !carry(claim)),
        }
    }
}

/// The step that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Whom the claims name, at which a refusal comes before any rule is read.
    Identity,
    /// The rules.
    Rules,
    /// What a rule that allows makes of the certificate.
    Certificate,
}

/// An answer.
pub struct Answer<'r> {
    /// The last step that was taken.
    pub stage: Stage,
    /// What the rules decide, or would, if the request came to them.
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
        let refusing = self.refusal.as_ref().and_then(Refusal::rule).map(str::to_owned);
        match self.stage {
            Stage::Identity => refusing,
            Stage::Rules => self.decision.rule(),
            Stage::Certificate => refusing.or_else(|| self.decision.rule()),
        }
    }

    /// Whether this rule says so; where none of the operator's holds, whether it is one of those that might have allowed it.
    pub fn is_by(&self, expected: &str) -> bool {
        match &self.decision {
            Decision::NotAllowed(rules) if self.stage == Stage::Rules => {
                expected == DEFAULT || rules.iter().any(|rule| &*rule.name == expected)
            }
            decision => {
                let decided = (self.stage != Stage::Identity).then(|| decision.rule()).flatten();
                [self.rule(), decided].iter().flatten().any(|rule| rule == expected)
            }
        }
    }

    /// What the caller is told besides the reason: the rules' words, or those about the claim. `None`: it is allowed.
    pub fn message(&self) -> Option<String> {
        match (&self.refusal, self.stage) {
            (Some(_), Stage::Rules) => self.decision.message(),
            (Some(refusal), _) => Some(refusal.to_string()),
            (None, _) => None,
        }
    }
}

/// Asks.
pub fn ask<'r>(rules: &'r Rules, request: &RequestFacts<'_>, knowledge: Knowledge) -> Answer<'r> {
    let paper = Paper { rules, request, knowledge };
    let Verdict { decision, warned } = rules.policy.decide(request);
    let (stage, refusal, open) = match paper.identify() {
        Identified::Refused(refusal) => (Stage::Identity, Some(refusal), None),
        _ if !decision.is_allowed() => (Stage::Rules, Some(decision.refusal()), None),
        Identified::Named(entry, named) => {
            let content = decision.content(&entry, named, request.claims);
            match content.and_then(|content| Template::fits(&content)) {
                Err(refusal) if paper.leaves_open(&refusal) => (Stage::Certificate, None, Some(refusal)),
                made => (Stage::Certificate, made.err(), None),
            }
        }
        Identified::Open(open) => {
            let added = decision.added(request.claims).err();
            (Stage::Certificate, added.filter(|refusal| !paper.leaves_open(refusal)), Some(open))
        }
    };
    Answer { stage, decision, warned, refusal, open }
}

struct Paper<'p> {
    rules: &'p Rules,
    request: &'p RequestFacts<'p>,
    knowledge: Knowledge,
}

/// Whom claims name.
enum Identified {
    /// By this entry.
    Named(Entry, Named),
    /// Nobody, whatever claims there may be besides.
    Refused(Refusal),
    /// That hangs on claims that are not given.
    Open(Refusal),
}

impl Paper<'_> {
    fn leaves_open(&self, refusal: &Refusal) -> bool {
        // A configuration has no GitLab whose URL cannot stand in a name.
        let is_unfit = refusal.reason() == Reason::Internal && self.rules.config.is_none();
        is_unfit || self.knowledge.leaves_open(refusal)
    }

    fn identify(&self) -> Identified {
        let RequestFacts { iss, claims, .. } = *self.request;
        let Some(issuer) = self.rules.issuer(self.request) else {
            return Identified::Refused(Refusal::new(Reason::TokenIssuerUnknown).of_claim("iss"));
        };
        if let Some(refusal) = check_form_of_times(claims).err().filter(|refusal| !self.leaves_open(refusal))
        {
            return Identified::Refused(refusal);
        }
        let meant = match issuer.entry_of_audience(claims) {
            Ok(entry) => std::slice::from_ref(entry),
            // The token had one of them.
            Err(refusal) if self.leaves_open(&refusal) => &*issuer.entries,
            Err(refusal) => return Identified::Refused(refusal),
        };
        let mut refused: Option<Refusal> = None;
        for entry in meant {
            match entry.kind.named(iss, claims) {
                Ok(named) => return Identified::Named(entry.clone(), named),
                Err(refusal) if refused.is_none() || self.leaves_open(&refusal) => refused = Some(refusal),
                Err(_) => {}
            }
        }
        match refused.unwrap_or_else(|| Reason::Internal.into()) {
            refusal if self.leaves_open(&refusal) => Identified::Open(refusal),
            refusal => Identified::Refused(refusal),
        }
    }
}
