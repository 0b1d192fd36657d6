//! Files with the policies of a verifier: `policies: [{ name, when, message }]`.

use super::conditional::{condition, message};
use super::reader::{Section, Source, Strictness};
use super::report::{ConfigErrors, Report};
use crate::bundle::admission::{AdmissionPolicy, MOST_POLICIES, Policies, check_name};
use std::path::Path;

/// Reads a file of policies.
///
/// # Errors
/// Everything that is wrong with it, in the order of the lines.
pub fn read_policies(path: &Path) -> Result<Policies, ConfigErrors> {
    let report = Report::default();
    let policies = super::open(path, "", &report).and_then(|(_, document)| {
        let source = Source { file: path, report: &report, strictness: Strictness::Strict };
        read(&Section::new(source, &document, "")?)
    });
    report.conclude(false)?;
    policies.ok_or_else(|| ConfigErrors::unforeseen(path))
}

fn read(top: &Section<'_>) -> Option<Policies> {
    let list = top.require("policies", "write policies: and a list of policies below it");
    top.report_unknown();
    let list = list?;
    let items = list.items()?;
    if items.len() > MOST_POLICIES {
        list.error(format!("has {} policies; {MOST_POLICIES} are possible", items.len()));
        return None;
    }
    let mut names: Vec<(String, usize)> = Vec::new();
    let mut policies = Vec::new();
    let mut sound = true;
    for item in &items {
        match item.section().and_then(|section| read_one(&section, &mut names)) {
            Some(policy) => policies.push(policy),
            None => sound = false,
        }
    }
    if !sound {
        return None;
    }
    Policies::new(policies).map_err(|error| list.error(error.to_string())).ok()
}

fn read_one(section: &Section<'_>, names: &mut Vec<(String, usize)>) -> Option<AdmissionPolicy> {
    let name = section.require("name", "the answer names the policy by it").and_then(|field| {
        let name = field.text()?;
        if let Err(error) = check_name(name) {
            field.error(error.to_string());
            return None;
        }
        if let Some((_, line)) = names.iter().find(|(other, _)| other == name) {
            field.error(format!("is the name of the policy on line {line}; give it another"));
            return None;
        }
        names.push((name.to_owned(), field.line()));
        Some(name)
    });
    let message = match section.get("message") {
        Some(field) => field.parse(message).map(Some),
        None => Some(None),
    };
    let when = section.require("when", "write a condition; `\"true\"` admits everybody");
    section.report_unknown();
    // Without a name the condition is looked at all the same: all errors are found at once.
    let policy = condition(&when?, |source| {
        AdmissionPolicy::new(name.unwrap_or_default(), source, message.clone().flatten())
    });
    name.and(message).and(policy)
}
