//! What new rules would have said of requests, counted by project and rule. Nothing grows with the number of requests.

use super::certificates::carry;
use super::claims::{text, unfit_of};
use super::paper::{self, Knowledge, Stage};
use super::rules::Rules;
use crate::policy::{Decision, Mode, RequestFacts, Rule};
use crate::possession::KeyKind;
use crate::token::Claims;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// How many groups, and how many reasons not to judge, are told apart.
const MOST: usize = 10_000;

/// A request that was answered, or that might come.
pub struct Asked<'c> {
    /// The token's `iss`.
    pub iss: &'c str,
    /// Its claims, as far as they are known.
    pub claims: &'c Claims,
    /// The type of the key.
    pub key: KeyKind,
}

/// Requests replayed, and what became of them.
pub struct Replay<'r> {
    new: &'r Rules,
    /// `None`: every request was allowed.
    old: Option<&'r Rules>,
    knowledge: Knowledge,
    /// Requests by what the old rules said, or what happened, and what the new ones say.
    pub counts: Counts,
    groups: BTreeMap<Group, Tally>,
    not_judged: BTreeMap<String, Tally>,
}

/// How many requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// All of them.
    pub asked: u64,
    /// Allowed before and now.
    pub still_allowed: u64,
    /// Refused before and now.
    pub still_refused: u64,
    /// Allowed before.
    pub refused: u64,
    /// Refused before.
    pub newly_allowed: u64,
    /// Of which this cannot be told.
    pub not_judged: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Refused,
    NewlyAllowed,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    change: Change,
    issuer: String,
    project: String,
    rule: String,
}

impl Group {
    /// What becomes of it, by which rule, and what that says.
    fn heading(&self, message: Option<&str>) -> String {
        let what = match self.change {
            Change::Refused => "Would be refused",
            Change::NewlyAllowed => "Would be allowed, and was refused",
        };
        let rule = if self.rule.is_empty() { String::new() } else { format!(" by \"{}\"", self.rule) };
        match message {
            Some(message) => format!("{what}{rule} ({message})"),
            None => format!("{what}{rule}"),
        }
    }
}

/// How many, and the first of them.
#[derive(Debug)]
struct Tally {
    count: u64,
    example: u64,
    message: Option<String>,
}

/// What rules say.
struct Said {
    is_allowed: bool,
    rule: String,
    message: Option<String>,
}

impl<'r> Replay<'r> {
    /// Of no request yet.
    pub fn new(new: &'r Rules, old: Option<&'r Rules>, knowledge: Knowledge) -> Self {
        let (groups, not_judged) = (BTreeMap::new(), BTreeMap::new());
        Self { new, old, knowledge, counts: Counts::default(), groups, not_judged }
    }

    /// Counts a request; `index` is its place in the log or in the file. `Err`: it cannot be judged, and why.
    pub fn add(&mut self, index: u64, asked: Result<Asked<'_>, String>) {
        self.counts.asked += 1;
        let judged = asked.and_then(|asked| {
            let new = self.ask(self.new, &asked)?;
            let old = self.old.map(|old| self.ask(old, &asked)).transpose()?;
            Ok((asked, new, old))
        });
        let (asked, new, old) = match judged {
            Ok(judged) => judged,
            Err(why) => {
                self.counts.not_judged += 1;
                return count(&mut self.not_judged, why, index, None);
            }
        };
        let change = match (old.is_none_or(|old| old.is_allowed), new.is_allowed) {
            (true, true) => return self.counts.still_allowed += 1,
            (false, false) => return self.counts.still_refused += 1,
            (true, false) => Change::Refused,
            (false, true) => Change::NewlyAllowed,
        };
        match change {
            Change::Refused => self.counts.refused += 1,
            Change::NewlyAllowed => self.counts.newly_allowed += 1,
        }
        let project = self.new.project(asked.iss, |name| text(asked.claims, name));
        let group =
            Group { change, issuer: asked.iss.to_owned(), project: project.to_owned(), rule: new.rule };
        count(&mut self.groups, group, index, new.message);
    }

    fn ask(&self, rules: &Rules, asked: &Asked<'_>) -> Result<Said, String> {
        let Asked { iss, claims, key } = *asked;
        let label = rules.label(iss).ok_or_else(|| format!("its issuer {iss} is not listed any more"))?;
        let request = RequestFacts { issuer: label, iss, claims, key };
        let is_partial = self.knowledge == Knowledge::Certificate;
        if is_partial && let Some(unfit) = unfit_of(rules, &request, &carry).into_iter().next() {
            return Err(unfit);
        }
        let answer = paper::ask(rules, &request, self.knowledge);
        if is_partial && answer.stage != Stage::Identity {
            is_sure(rules, &answer.decision, &request)?;
        }
        let rule = answer.rule().unwrap_or_default();
        Ok(Said { is_allowed: answer.is_allowed(), rule, message: answer.message() })
    }

    /// The groups, the largest first.
    fn groups(&self) -> Vec<(&Group, &Tally)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(group, tally)| (group.change, u64::MAX - tally.count));
        groups
    }

    /// What requests are numbered as.
    const fn place(&self) -> &'static str {
        match self.knowledge {
            Knowledge::Certificate => "entry",
            Knowledge::Token | Knowledge::Case => "claims set",
        }
    }

    /// A line for each group below a line for its rule, the first `most` groups, and how many there are.
    pub fn group_lines(&self, most: usize) -> (Vec<String>, usize) {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(group, tally)| (group.change, &group.rule, u64::MAX - tally.count));
        let place = self.place();
        let mut lines = Vec::new();
        let mut last = None;
        for (group, Tally { count, example, message }) in groups.iter().take(most) {
            if last.replace((group.change, &group.rule)) != Some((group.change, &group.rule)) {
                lines.push(group.heading(message.as_deref()));
            }
            let Group { project, issuer, .. } = group;
            lines.push(format!("{count:>8}  {project} ({issuer}), {place} {example} for instance"));
        }
        (lines, groups.len())
    }

    /// A line for each reason not to judge.
    pub fn not_judged_lines(&self) -> Vec<String> {
        let place = self.place();
        let line = |(why, tally): (&String, &Tally)| {
            format!("{:>8}  {why} ({place} {} for instance)", tally.count, tally.example)
        };
        self.not_judged.iter().map(line).collect()
    }

    /// For programs.
    pub fn to_json(&self) -> Json {
        let Counts { asked, still_allowed, still_refused, refused, newly_allowed, not_judged } = self.counts;
        let groups = self.groups().into_iter().map(|(group, tally)| {
            json!({
                "outcome": match group.change {
                    Change::Refused => "refused",
                    Change::NewlyAllowed => "newly allowed",
                },
                "issuer": group.issuer,
                "project": group.project,
                "rule": group.rule,
                "message": tally.message,
                "count": tally.count,
                "example": tally.example,
            })
        });
        let reasons = self
            .not_judged
            .iter()
            .map(|(why, tally)| json!({ "reason": why, "count": tally.count, "example": tally.example }));
        json!({
            "asked": asked,
            "still_allowed": still_allowed,
            "still_refused": still_refused,
            "refused": refused,
            "newly_allowed": newly_allowed,
            "not_judged": not_judged,
            "groups": groups.collect::<Vec<_>>(),
            "reasons_not_to_judge": reasons.collect::<Vec<_>>(),
        })
    }
}

/// One more of these. Of those beyond the bound, the sums alone are right.
fn count<K: Ord>(tallies: &mut BTreeMap<K, Tally>, key: K, index: u64, message: Option<String>) {
    let is_full = tallies.len() >= MOST;
    match tallies.entry(key) {
        Entry::Occupied(mut tally) => tally.get_mut().count += 1,
        Entry::Vacant(place) if !is_full => {
            place.insert(Tally { count: 1, example: index, message });
        }
        Entry::Vacant(_) => {}
    }
}

/// Whether a decision does not hang on claims that certificates do not carry: of no rule up to the one that decides.
fn is_sure(rules: &Rules, decision: &Decision<'_>, request: &RequestFacts<'_>) -> Result<(), String> {
    let last = match decision {
        Decision::Allowed(rule) | Decision::Denied(rule, _) => Some(*rule),
        Decision::Unruled | Decision::NotAllowed(_) => None,
    };
    for rule in rules.policy.rules() {
        if rule.mode == Mode::Enforce && rule.concerns(request.issuer) {
            depends(rule, request)?;
        }
        if last == Some(rule) {
            break;
        }
    }
    Ok(())
}

/// `Err`: the rule's condition depends on claims that certificates do not carry.
fn depends(rule: &Rule, request: &RequestFacts<'_>) -> Result<(), String> {
    let Some(condition) = &rule.when else { return Ok(()) };
    let mut hidden: Vec<_> = condition.names().filter_map(hidden_claim).collect();
    let is_hidden = |name: &str| name.strip_prefix("claims.").is_some_and(|claim| !carry(claim));
    if hidden.is_empty() || condition.holds_without(request, &is_hidden).is_some() {
        return Ok(());
    }
    hidden.dedup();
    Err(format!(
        "the rule \"{}\" asks for {}, which the certificate lacks, as all do",
        rule.name,
        hidden.join(", ")
    ))
}

/// The name of a claim that certificates do not carry.
fn hidden_claim(path: &[String]) -> Option<&str> {
    match path {
        [variable, claim] if variable == "claims" && !carry(claim) => Some(claim),
        _ => None,
    }
}
