//! Who gets certificates: rules that operators write, read in order; the first whose condition holds decides.
//!
//! Where an issuer has rules in force and none of them holds, the answer is no. Where it has none, the answer is yes, by no rule. What cannot
//! be decided (a claim of another type than the issuer's tokens have) is refused, by the rule that could not decide.
//!
//! Pure, and without a memory: the same rules and the same request have the same answer, so that rules can be tried on paper
//! (`countersign policy`).

mod authorization;
mod reading;
mod request;
mod rule;

pub use authorization::{Authorization, Ruled};
pub use reading::Outcome;
pub use request::{RequestFacts, claim_of, scope};
pub use rule::{ClaimExtension, Effect, Mode, Rule, Tightening};

use crate::condition::Undecided;

/// The name of what refuses where no rule says anything.
pub const DEFAULT: &str = "default";

/// How many rules a refusal names, where none of many holds: the answer must fit into gRPC's trailers.
const MOST_NAMED: usize = 5;
/// Octets of their messages, for the same reason.
const MOST_SAID: usize = 1500;

/// An ordered list of rules.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// What a policy says of a request, and how it came to that.
#[derive(Debug)]
pub struct Verdict<'p> {
    /// What is decided.
    pub decision: Decision<'p>,
    /// Rules of [`Mode::Warn`] that would have decided, in order.
    pub warned: Vec<&'p Rule>,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'p> {
    /// There is no rule in force for this issuer.
    Unruled,
    /// By this rule.
    Allowed(&'p Rule),
    /// By this rule: it denies, or it allows other keys, or it could not be decided.
    Denied(&'p Rule, Denial),
    /// No rule holds. These allow requests of this issuer, and not this one.
    NotAllowed(Vec<&'p Rule>),
}

/// Why a rule denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Its effect.
    Effect,
    /// It allows keys of other types.
    KeyType,
    /// Its condition neither holds nor fails to.
    Undecided(Undecided),
}

impl Policy {
    /// These rules, in this order.
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a rule in force is about this issuer. `label` stands for it where the list of issuers has a pattern.
    pub fn rules_over(&self, issuer: &str) -> bool {
        self.rules.iter().any(|rule| rule.mode == Mode::Enforce && rule.concerns(issuer))
    }

    /// Decides.
    pub fn decide<'p>(&'p self, request: &RequestFacts<'_>) -> Verdict<'p> {
        let mut warned = Vec::new();
        let mut not_allowing = Vec::new();
        let mut is_ruled = false;
        for rule in self.rules.iter().filter(|rule| rule.concerns(request.issuer)) {
            let holds = rule.holds(request);
            if rule.mode == Mode::Warn {
                if holds != Ok(false) {
                    warned.push(rule);
                }
                continue;
            }
            is_ruled = true;
            let decision = match (holds, &rule.effect) {
                (Err(undecided), _) => Decision::Denied(rule, Denial::Undecided(undecided)),
                (Ok(true), Effect::Deny) => Decision::Denied(rule, Denial::Effect),
                (Ok(true), Effect::Allow(tightening)) if !tightening.admits_key(request.key) => {
                    Decision::Denied(rule, Denial::KeyType)
                }
                (Ok(true), Effect::Allow(_)) => Decision::Allowed(rule),
                (Ok(false), Effect::Allow(_)) => {
                    not_allowing.push(rule);
                    continue;
                }
                (Ok(false), Effect::Deny) => continue,
            };
            return Verdict { decision, warned };
        }
        let decision = if is_ruled { Decision::NotAllowed(not_allowing) } else { Decision::Unruled };
        Verdict { decision, warned }
    }
}

impl Decision<'_> {
    /// Whether there will be a certificate.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Unruled | Self::Allowed(_))
    }

    /// The rule that decided, by its name. Where no rule holds: those that might have allowed it, the first of them, else [`DEFAULT`]. `None`: there is no
    /// rule for the issuer.
    pub fn rule(&self) -> Option<String> {
        match self {
            Self::Unruled => None,
            Self::Allowed(rule) | Self::Denied(rule, _) => Some(rule.name.to_string()),
            Self::NotAllowed(rules) if rules.is_empty() => Some(DEFAULT.to_owned()),
            Self::NotAllowed(rules) => {
                let mut names: Vec<_> = rules.iter().take(MOST_NAMED).map(|rule| &*rule.name).collect();
                if rules.len() > MOST_NAMED {
                    names.push("…");
                }
                Some(names.join(", "))
            }
        }
    }

    /// What the caller is told: the rules' own messages, else what is known. `None`: it is allowed.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Unruled | Self::Allowed(_) => None,
            Self::Denied(rule, Denial::Effect) => {
                Some(rule.message.clone().unwrap_or_else(|| format!("The rule \"{}\" denies it.", rule.name)))
            }
            Self::Denied(rule, Denial::KeyType) => {
                let Effect::Allow(tightening) = &rule.effect else { return None };
                let kinds: Vec<_> = tightening.key_types.iter().map(|kind| kind.code()).collect();
                Some(format!(
                    "The rule \"{}\" allows keys of the types {} only.",
                    rule.name,
                    kinds.join(", ")
                ))
            }
            Self::Denied(rule, Denial::Undecided(undecided)) => {
                Some(format!("The rule \"{}\" cannot be decided: {undecided}.", rule.name))
            }
            Self::NotAllowed(rules) => {
                let mut messages: Vec<&str> = Vec::new();
                for message in rules.iter().take(MOST_NAMED).filter_map(|rule| rule.message.as_deref()) {
                    let said: usize = messages.iter().map(|message| message.len()).sum();
                    if !messages.contains(&message)
                        && (messages.is_empty() || said + message.len() <= MOST_SAID)
                    {
                        messages.push(message);
                    }
                }
                Some(if messages.is_empty() { "No rule allows it.".to_owned() } else { messages.join(" ") })
            }
        }
    }
}

#[cfg(test)]
mod tests;
