//! What the operator's rules decided.

use super::families::Families;
use crate::identity::Issuers;
use crate::policy::{DEFAULT, Effect, Mode, Policy, Ruled};
use prometheus::core::Collector as _;
use prometheus::{IntCounterVec, Result};
use std::collections::HashSet;

/// Of so many counters every one begins at zero; of more, each when it is first counted.
const MOST_AT_ZERO: usize = 2000;
const ALLOWED: &str = "allowed";
const DENIED: &str = "denied";
const WARNED: &str = "warned";

pub struct Decisions(IntCounterVec);

impl Decisions {
    /// Everything that these rules may say at zero.
    pub fn new(families: &Families<'_>, issuers: &Issuers, policy: &Policy) -> Result<Self> {
        let decisions = Self(families.counters(
            "countersign_policy_decisions_total",
            "What the rules decided about requests for a certificate, by issuer (as configured) and rule.",
            &["issuer", "rule", "decision"],
        )?);
        decisions.follow(issuers, policy)?;
        Ok(decisions)
    }

    /// From now on these are the rules: new ones begin at zero, those that stay go on, and those that are gone are shown no more.
    pub fn follow(&self, issuers: &Issuers, policy: &Policy) -> Result<()> {
        let mut kept: HashSet<[&str; 3]> = HashSet::new();
        for issuer in issuers.labels() {
            if policy.rules_over(issuer) {
                kept.insert([issuer, DEFAULT, DENIED]);
            }
            for rule in policy.rules().iter().filter(|rule| rule.concerns(issuer)) {
                let decisions: &[_] = match (rule.mode, &rule.effect) {
                    (Mode::Warn, _) => &[WARNED],
                    (Mode::Enforce, Effect::Deny) => &[DENIED],
                    // Keys of another type, and what cannot be decided, are denied by it.
                    (Mode::Enforce, Effect::Allow(_)) => &[ALLOWED, DENIED],
                };
                kept.extend(decisions.iter().map(|decision| [issuer, &*rule.name, *decision]));
            }
        }
        for family in self.0.collect() {
            for metric in family.get_metric() {
                let label = |name| {
                    metric.get_label().iter().find(|pair| pair.name() == name).map_or("", |pair| pair.value())
                };
                let labels = ["issuer", "rule", "decision"].map(label);
                if !kept.contains(&labels) {
                    // An error: there is no such counter any more, which is what is wanted.
                    let _ = self.0.remove_label_values(&labels);
                }
            }
        }
        if kept.len() <= MOST_AT_ZERO {
            for labels in kept {
                self.0.get_metric_with_label_values(&labels)?;
            }
        }
        Ok(())
    }

    /// One more.
    pub fn count(&self, issuer: &str, ruled: &Ruled) {
        let decided = if ruled.allowed { ALLOWED } else { DENIED };
        let decision = ruled.rule.iter().map(|rule| (rule, decided));
        for (rule, decision) in decision.chain(ruled.warned.iter().map(|rule| (rule, WARNED))) {
            // An error: the number of labels is wrong, which every test would show.
            if let Ok(counter) = self.0.get_metric_with_label_values(&[issuer, rule, decision]) {
                counter.inc();
            }
        }
    }
}
