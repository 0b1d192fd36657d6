//! `policy:`, the rules about who gets certificates: inline, or in a file that is named.
//!
//! Whatever is wrong with a rule is an error with its line, never a rule that silently holds for nobody.

mod against;
mod extension;
mod public;
mod rule;
mod texts;
mod warnings;

use super::reader::{Field, Section, Source, Strictness};
use super::report::{ConfigErrors, Report, Warning};
use super::{issuers, read_path};
use crate::identity::Issuers;
use crate::policy::{Policy, Rule};
use against::Against;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// How many rules a policy may have.
const MOST_RULES: usize = 1000;

/// A rule, and where it stands.
struct Placed<'s> {
    rule: Rule,
    item: Field<'s>,
}

/// Reads a policy from a file of its own, a mapping with the key `rules`, for these issuers. No certificate lives longer than
/// `validity`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn read_file(
    path: &Path,
    issuers: &Issuers,
    validity: Duration,
) -> Result<(Policy, Vec<Warning>), ConfigErrors> {
    let report = Report::default();
    let policy = super::open(path, "", &report)
        .and_then(|(text, _)| read_text(path, &text, &Against::new(issuers, validity), &report));
    let warnings = report.conclude(false)?;
    Ok((policy.ok_or_else(|| ConfigErrors::unforeseen(path))?, warnings))
}

/// The value of `policy`. `None`: it is wrong, and the report says why.
pub(super) fn read(
    section: &Section<'_>,
    directory: &Path,
    issuers: &Issuers,
    validity: Duration,
    report: &Report,
) -> Option<Policy> {
    let against = Against::new(issuers, validity);
    let rules = section.get("rules");
    let file = section.get("file");
    section.report_unknown();
    match (rules, file) {
        (Some(_), Some(file)) => {
            file.error("has no use beside rules; write the rules here or there");
            None
        }
        (Some(rules), None) => read_rules(&rules, &against),
        (None, Some(file)) => {
            let path = read_path(&file, directory)?;
            let bytes = issuers::read_named_file(&file, directory)?;
            match String::from_utf8(bytes) {
                Ok(text) => read_text(&path, &text, &against, report),
                Err(_) => {
                    file.error(format!("{} is not UTF-8 text", path.display()));
                    None
                }
            }
        }
        (None, None) => {
            if !section.has("rules") && !section.has("file") {
                section.error(
                    "has no rules; write rules: [{ name: …, when: …, effect: allow }], or file: policy.yaml",
                );
            }
            None
        }
    }
}

/// Where there are no rules at all: who is admitted then.
pub(super) fn warn_of_none(place: &Field<'_>, issuers: &Issuers) {
    warnings::of_public_issuers(place, &Policy::default(), issuers);
}

fn read_text(path: &Path, text: &str, against: &Against<'_>, report: &Report) -> Option<Policy> {
    let document = super::parse(path, text, report)?;
    let source = Source { file: path, report, strictness: Strictness::Strict };
    let top = Section::new(source, &document, "")?;
    let rules = top.require("rules", "write rules: and a list of rules below it");
    top.report_unknown();
    read_rules(&rules?, against)
}

/// All rules, or none where one is wrong.
fn read_rules(list: &Field<'_>, against: &Against<'_>) -> Option<Policy> {
    let items = list.items()?;
    if items.is_empty() {
        list.error(
            "is empty; write a rule, or remove policy: then every token of a listed issuer is admitted",
        );
        return None;
    }
    if items.len() > MOST_RULES {
        list.error(format!("has {} rules; {MOST_RULES} are possible", items.len()));
        return None;
    }
    let mut reader = rule::Reader::new(against);
    let read: Vec<_> = items.into_iter().map(|item| (reader.read(&item), item)).collect();
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut unique = true;
    for (read, item) in &read {
        let Some(name) = &read.name else { continue };
        if let Some(first) = names.insert(name, item.line()) {
            item.error(format!("has the name of the rule on line {first}: {name}; give it one of its own"));
            unique = false;
        }
    }
    let rules: Option<Vec<_>> =
        read.into_iter().map(|(read, item)| Some(Placed { rule: read.rule?, item })).collect();
    let rules = rules.filter(|_| unique)?;
    warnings::of_rules(&rules, against);
    let policy = Policy::new(rules.into_iter().map(|placed| placed.rule).collect());
    warnings::of_public_issuers(list, &policy, against.issuers());
    Some(policy)
}
