//! Rules that do less, or more, than their author thinks.

use super::Placed;
use super::against::Against;
use super::public::why_public;
use crate::condition::Lint;
use crate::config::reader::Field;
use crate::identity::Issuers;
use crate::identity::gitlab::GitlabRules;
use crate::policy::{Effect, Mode, Policy, Rule};
use crate::spelling::nearest;
use std::collections::BTreeSet;

/// Warns of single rules, and of what they are together.
pub fn of_rules(rules: &[Placed<'_>], against: &Against<'_>) {
    for Placed { rule, item } in rules {
        of_rule(rule, item, against);
    }
    of_unreachable(rules, against);
    of_issuers_without_a_way(rules, against);
}

/// Warns once of all public issuers that no rule in force is about.
pub fn of_public_issuers(place: &Field<'_>, policy: &Policy, issuers: &Issuers) {
    let open: Vec<_> = issuers
        .labels()
        .filter(|label| !policy.rules_over(label))
        .filter_map(|label| Some(format!("{label} ({})", why_public(label)?)))
        .collect();
    if !open.is_empty() {
        place.warning(format!(
            "everybody gets certificates by {}, since no rule in force is about it; write a rule that names your groups, as \
             `countersign init --gitlab https://gitlab.com --group NAME` does (docs/POLICY.md)",
            open.join(", ")
        ));
    }
}

/// Whether its condition holds whatever it is asked about.
fn always(rule: &Rule) -> bool {
    rule.when.as_ref().is_none_or(|condition| condition.constant() == Some(true))
}

/// Claims that no template reads, and that are near to one that some template does.
fn of_claims_of_templates(rule: &Rule, item: &Field<'_>, against: &Against<'_>) {
    let named: BTreeSet<&str> =
        rule.when.iter().flat_map(|condition| condition.names()).filter_map(claim).collect();
    for entry in against.entries(rule.issuers.as_deref()) {
        let read = entry.kind.claims_of_templates();
        if read.is_empty() {
            continue;
        }
        let claims = entry.kind.claims();
        let is_known = |name: &str| claims.value(name).is_some() || read.iter().any(|read| read == name);
        for name in named.iter().filter(|name| !is_known(name)) {
            if let Some(meant) = nearest(name, read.iter().map(String::as_str), slips) {
                item.warning(format!(
                    "asks for claims.{name}, which the templates of {} do not read; did you mean {meant}?",
                    entry.kind.name()
                ));
            }
        }
    }
}

fn claim(path: &[String]) -> Option<&str> {
    match path {
        [variable, claim] if variable == "claims" => Some(claim),
        _ => None,
    }
}

fn slips(name: &str) -> usize {
    if name.len() < 6 { 1 } else { 2 }
}

fn of_rule(rule: &Rule, item: &Field<'_>, against: &Against<'_>) {
    of_claims_of_templates(rule, item, against);
    super::texts::of_rule(rule, item, against);
    if rule.when.as_ref().is_some_and(|condition| condition.constant() == Some(false)) {
        item.warning("has a condition that never holds, whoever asks; the rule decides nothing");
    }
    if matches!(rule.effect, Effect::Deny) {
        return;
    }
    let open: Vec<_> =
        against.names().filter(|name| rule.concerns(name) && why_public(name).is_some()).collect();
    let is_open = !open.is_empty() && rule.mode == Mode::Enforce;
    if always(rule) {
        if rule.message.is_some() {
            item.warning("has a message that nobody gets: there is no condition that could fail");
        }
        if is_open {
            item.warning(format!(
                "allows everybody who has a token of {}, which anybody can have; give it a condition that names your groups",
                open.join(", ")
            ));
        }
    }
    let Some(condition) = &rule.when else { return };
    let is_pattern = |name: &&str| name.contains('*');
    if is_open
        && condition.constant().is_none()
        && let Err(unpinned) = condition.ties(open.iter().all(is_pattern))
    {
        item.warning(format!(
            "allows anybody who has a token of {}, which anybody can have: {} is what others can have as well; ask for a group, a project or a \
             person, by an id or a path that is written out (claims.namespace_id == \"…\")",
            open.join(", "),
            unpinned.part
        ));
    }
    for advice in condition.advice() {
        if advice.lint != Lint::PathWithoutId {
            item.warning(format!("{}: {}", advice.lint.code(), advice.message));
        }
    }
    let names_job = condition.names().any(|path| {
        path.last().is_some_and(|name| matches!(name.as_str(), "job_project_id" | "job_project_path"))
    });
    let forks = against.entries(rule.issuers.as_deref()).any(|entry| {
        entry
            .kind
            .as_type::<GitlabRules>()
            .is_some_and(|gitlab| gitlab.allow_fork_pipelines || gitlab.allow_undecidable_forks)
    });
    if forks && !names_job {
        item.warning(
            "is about an issuer that admits pipelines of forks (allow_fork_pipelines, allow_undecidable_forks), which \
             run in another project than project_path's; ask for job_project_id or job_project_path as well",
        );
    }
}

/// Rules behind others that decide in any case.
fn of_unreachable(rules: &[Placed<'_>], against: &Against<'_>) {
    // For each issuer, the first rule behind which nothing is read.
    let mut ends: Vec<(&str, Option<&Rule>)> = against.names().map(|name| (name, None)).collect();
    for Placed { rule, item } in rules {
        let mut concerned = ends.iter_mut().filter(|(name, _)| rule.concerns(name)).peekable();
        let first = concerned.peek().and_then(|(_, end)| *end);
        let mut reachable = false;
        for (_, end) in concerned {
            if end.is_none() {
                reachable = true;
                if rule.mode == Mode::Enforce && always(rule) {
                    *end = Some(rule);
                }
            }
        }
        if let Some(first) = first.filter(|_| !reachable) {
            let why = if first.when.is_some() { "always holds" } else { "has no condition" };
            item.warning(format!("is never read: the rule \"{}\" before it {why} and decides", first.name));
        }
    }
}

/// Issuers with rules in force, none of which allows anything.
fn of_issuers_without_a_way(rules: &[Placed<'_>], against: &Against<'_>) {
    let is_closed = |name: &&str| {
        let mut in_force = rules
            .iter()
            .map(|placed| &placed.rule)
            .filter(|rule| rule.mode == Mode::Enforce && rule.concerns(name))
            .peekable();
        in_force.peek().is_some() && in_force.all(|rule| matches!(rule.effect, Effect::Deny))
    };
    let closed: Vec<_> = against.names().filter(is_closed).collect();
    if let (false, Some(last)) = (closed.is_empty(), rules.last()) {
        last.item.warning(format!(
            "nobody gets certificates by {}: where an issuer has rules and none allows, the answer is no; end with a rule \
             with effect: allow",
            closed.join(", ")
        ));
    }
}
