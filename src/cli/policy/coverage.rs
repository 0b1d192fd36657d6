//! Which rules a set of cases has asked, and what became of each.

use super::rules::{effect, mode};
use crate::cli::report::table;
use crate::policy::{Mode, Outcome, Policy, RequestFacts};
use serde_json::{Value as Json, json};

/// The counts of every rule.
pub struct Coverage<'p> {
    policy: &'p Policy,
    counts: Vec<Counts>,
}

/// Of one rule.
#[derive(Clone, Default)]
struct Counts {
    /// Cases that it decided or, on trial, would have decided.
    decided: u64,
    /// Cases in which the reading came to it.
    read: u64,
    /// Cases of its issuers in which its condition holds, whether it was read or not.
    holds: u64,
    /// In which it does not.
    fails: u64,
}

impl<'p> Coverage<'p> {
    /// Of no case yet.
    pub fn of(policy: &'p Policy) -> Self {
        Self { policy, counts: vec![Counts::default(); policy.rules().len()] }
    }

    /// Counts a case.
    pub fn add(&mut self, request: &RequestFacts<'_>) {
        for ((rule, outcome), counts) in self.policy.readings(request).into_iter().zip(&mut self.counts) {
            if outcome == Outcome::OfOthers {
                continue;
            }
            match rule.holds(request) {
                Ok(true) => counts.holds += 1,
                Ok(false) => counts.fails += 1,
                Err(_) => {}
            }
            counts.read += u64::from(outcome != Outcome::NotRead);
            counts.decided += u64::from(matches!(outcome, Outcome::Decides(_)));
        }
    }

    /// A line for each rule.
    pub fn to_text(&self) -> String {
        let rows: Vec<_> = self
            .rules()
            .map(|(rule, counts)| {
                let decided = match rule.mode {
                    Mode::Enforce => format!("decides {}", cases(counts.decided)),
                    Mode::Warn => format!("on trial, would decide {}", cases(counts.decided)),
                };
                let words = match &rule.when {
                    Some(_) => {
                        format!(
                            "{decided}; its condition holds in {}, and not in {}",
                            counts.holds, counts.fails
                        )
                    }
                    None => format!("{decided}; it has no condition"),
                };
                (format!("{} ({})", rule.name, effect(rule)), words)
            })
            .collect();
        table(&rows)
    }

    /// What the cases leave open, a line each.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for (rule, counts) in self.rules() {
            let name = &rule.name;
            if counts.read == 0 {
                gaps.push(format!("no case reaches the rule \"{name}\""));
            } else if rule.when.is_some() && counts.holds == 0 {
                gaps.push(format!("the condition of the rule \"{name}\" holds in no case"));
            } else if rule.when.is_some() && counts.fails == 0 {
                gaps.push(format!("the condition of the rule \"{name}\" holds in every case"));
            }
        }
        gaps
    }

    /// For programs.
    pub fn to_json(&self) -> Json {
        self.rules()
            .map(|(rule, counts)| {
                json!({
                    "rule": *rule.name, "effect": effect(rule), "mode": mode(rule),
                    "decides": counts.decided, "reached": counts.read, "true": counts.holds, "false": counts.fails,
                })
            })
            .collect()
    }

    /// The names of rules that no case reaches.
    pub fn never_reached(&self) -> Vec<&str> {
        self.rules().filter(|(_, counts)| counts.read == 0).map(|(rule, _)| &*rule.name).collect()
    }

    fn rules(&self) -> impl Iterator<Item = (&'p crate::policy::Rule, &Counts)> {
        self.policy.rules().iter().zip(&self.counts)
    }
}

fn cases(count: u64) -> String {
    format!("{count} {}", if count == 1 { "case" } else { "cases" })
}
