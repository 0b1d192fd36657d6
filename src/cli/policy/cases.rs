//! The operator's cases: files that say what rules should make of which claims.

use super::claims::{self, unfit_of};
use super::paper::{self, Knowledge, Stage};
use super::rules::{DEFAULT_KEY, Rules, key_kind};
use crate::cli::{CliError, config};
use crate::config::documents::{Documents, Field, Section};
use crate::identity::types::is_rule_of_identity;
use crate::policy::{DEFAULT, RequestFacts};
use crate::possession::KeyKind;
use crate::spelling::nearest;
use crate::token::Claims;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many files a directory of cases may have.
const MOST_FILES: usize = 1000;
/// The largest file of claims, in octets.
const MOST_BYTES: u64 = 1024 * 1024;
/// The files of rules beside the cases, by the names that they have by default.
pub const POLICY_FILES: [&str; 2] = ["policy.yaml", "policy.yml"];

/// One case.
pub struct Case {
    /// What it is about.
    pub name: String,
    /// Where it stands.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What rules call the issuer.
    pub label: String,
    /// The issuer.
    pub iss: String,
    /// The claims.
    pub claims: Claims,
    /// The type of the key.
    pub key: KeyKind,
    /// Whether a certificate is expected.
    pub allow: bool,
    /// The rule that should decide.
    pub rule: Option<String>,
}

impl Case {
    /// The request that it is about.
    pub fn request(&self) -> RequestFacts<'_> {
        RequestFacts { issuer: &self.label, iss: &self.iss, claims: &self.claims, key: self.key }
    }
}

/// All cases of a directory, and what is to be said of them.
pub struct Cases {
    /// In the order of the files' names, and of the files.
    pub cases: Vec<Case>,
    /// A line each.
    pub notes: Vec<String>,
}

/// Reads every file of a directory that has cases. 78 with every line that is wrong.
pub fn read(directory: &Path, rules: &Rules) -> Result<Cases, CliError> {
    let files = files(directory, rules)?;
    let mut reading = Reading {
        directory,
        rules,
        documents: Documents::default(),
        used: BTreeSet::new(),
        notes: Vec::new(),
    };
    let mut cases = Vec::new();
    let mut others = Vec::new();
    for file in &files {
        match reading.file(file) {
            Some(found) => cases.extend(found),
            // Claims may stand beside the cases that use them.
            None => others.push(file),
        }
    }
    for other in others.into_iter().filter(|file| !reading.used.contains(&same_name(file))) {
        reading
            .documents
            .error(other, "has no cases, and no case names it; write cases: with a list, or remove it");
    }
    let notes = reading.notes;
    let warnings =
        reading.documents.conclude().map_err(|errors| config::refused_files("the cases have", &errors))?;
    let notes = warnings.iter().map(ToString::to_string).chain(notes).collect();
    if cases.is_empty() {
        let words = format!("{} has no cases: no file .yaml, .yml or .json with cases:", directory.display());
        return Err(CliError::refused(words));
    }
    Ok(Cases { cases, notes })
}

/// The files that may have cases, by name. Rules are none.
fn files(directory: &Path, rules: &Rules) -> Result<Vec<PathBuf>, CliError> {
    let unreadable =
        |error| CliError::refused(format!("cannot read the directory {}: {error}", directory.display()));
    let config =
        rules.config.as_ref().and_then(|config| config.origin.as_ref()).map(|origin| same_name(&origin.file));
    let not_cases = [Some(same_name(&rules.file)), config];
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_document = path.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json");
        let is_policy =
            path.file_name().is_some_and(|name| POLICY_FILES.iter().any(|policy| name == *policy));
        if is_document && !is_policy && path.is_file() && !not_cases.contains(&Some(same_name(&path))) {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(CliError::refused(format!(
                "{} has more than {MOST_FILES} files",
                directory.display()
            )));
        }
    }
    files.sort();
    Ok(files)
}

/// A name by which two paths to one file are the same.
fn same_name(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

struct Reading<'r> {
    directory: &'r Path,
    rules: &'r Rules,
    documents: Documents,
    /// The files of claims that cases name.
    used: BTreeSet<PathBuf>,
    notes: Vec<String>,
}

impl Reading<'_> {
    /// The cases of a file. `None`: it is a file of something else.
    fn file(&mut self, file: &Path) -> Option<Vec<Case>> {
        // The documents are borrowed while one is read.
        let documents = std::mem::take(&mut self.documents);
        let read = documents.read(file, |section| {
            if !section.has("cases") {
                // Other rules may stand beside them, too.
                return section.has("rules").then(Vec::new);
            }
            let items = section.get("cases").and_then(|field| field.items()).unwrap_or_default();
            let cases: Vec<_> = items.iter().filter_map(|item| self.case(file, item, &documents)).collect();
            section.report_unknown();
            Some(cases)
        });
        self.documents = documents;
        // What cannot be read at all is said already.
        read.unwrap_or_else(|| Some(Vec::new()))
    }

    fn case(&mut self, file: &Path, item: &Field<'_>, documents: &Documents) -> Option<Case> {
        let section = item.section()?;
        let name = section
            .require("name", "say what the case is about")
            .and_then(|field| field.text().map(str::to_owned));
        let issuer = section.get("issuer");
        let claims = section.require("claims", "write the claims, or the name of a file with them");
        let set = section.get("set");
        let key = match section.get("key_type") {
            Some(field) => field.parse(key_type),
            None => Some(DEFAULT_KEY),
        };
        let allow =
            section.require("expect", "write allow or deny").and_then(|field| field.parse(expectation));
        let rule = section.get("rule").map(|field| field.parse(|name| self.known_rule(name)));
        section.report_unknown();
        let members = self.claims(&section, claims?, set, documents)?;
        let iss = match issuer {
            Some(field) => field.text()?.to_owned(),
            None => self.issuer_of(&members, &section)?,
        };
        let Some(label) = self.rules.label(&iss).map(str::to_owned) else {
            section.error(format!("is of the issuer {iss}, which the configuration does not list"));
            return None;
        };
        let claims = with_issuer(members, &iss);
        let claims = Claims::parse(claims.to_string().as_bytes());
        let claims = claims.map_err(|refusal| section.error(refusal.detail().unwrap_or_default())).ok()?;
        let rule = match rule {
            Some(rule) => Some(rule?),
            None => None,
        };
        let line = item.line();
        let case = Case {
            name: name?,
            file: file.to_owned(),
            line,
            label,
            iss,
            claims,
            key: key?,
            allow: allow?,
            rule,
        };
        let mut unfit = unfit_of(self.rules, &case.request(), &|_| true);
        if unfit.is_empty() {
            unfit.extend(self.refused_before_rules(&case));
        }
        unfit.iter().for_each(|message| section.error(message.as_str()));
        for message in claims::unknown(self.rules, &case.iss, &case.claims) {
            if !self.notes.iter().any(|note| note.ends_with(&message)) {
                self.notes.push(format!("{}:{line}: {message}", file.display()));
            }
        }
        unfit.is_empty().then_some(case)
    }

    /// The claims of a case, with its changes.
    fn claims(
        &mut self,
        section: &Section<'_>,
        claims: Field<'_>,
        set: Option<Field<'_>>,
        documents: &Documents,
    ) -> Option<Map<String, Json>> {
        let mut members = match documents.json(&claims)? {
            Json::Object(members) => members,
            Json::String(name) => {
                let path = self.directory.join(name);
                self.used.insert(same_name(&path));
                let bytes = documents.bytes(&claims, &path, MOST_BYTES)?;
                let read = claims::from_bytes(&bytes);
                let read = read.map_err(|words| claims.error(format!("{} {words}", path.display()))).ok()?;
                read.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
            }
            _ => {
                claims.error("is neither a mapping of claims nor the name of a file with them");
                return None;
            }
        };
        let Some(set) = set else { return Some(members) };
        let Json::Object(changes) = documents.json(&set)? else {
            set.error("is not a mapping; write the claims that differ, with null for those that are absent");
            return None;
        };
        for (name, value) in changes {
            match value {
                Json::Null if members.shift_remove(&name).is_none() => {
                    section.error(format!("sets {name} to null, and there is no such claim"));
                    return None;
                }
                Json::Null => {}
                value => {
                    members.insert(name, value);
                }
            }
        }
        Some(members)
    }

    /// The issuer that the claims name, or the first one.
    fn issuer_of(&self, members: &Map<String, Json>, section: &Section<'_>) -> Option<String> {
        match (members.get("iss"), self.rules.first_issuer()) {
            (Some(Json::String(iss)), _) => Some(iss.clone()),
            (None | Some(Json::Null), Some(first)) => Some(first.to_owned()),
            (None | Some(Json::Null), None) => {
                section.error("names no issuer; write issuer: with its URL");
                None
            }
            (Some(_), _) => {
                section.error("has an iss that is no string");
                None
            }
        }
    }

    /// Why rules are never asked about a case: it would be refused for another reason than the one that it tests. A case may expect just that,
    /// by the rule of the type of identity.
    fn refused_before_rules(&self, case: &Case) -> Option<String> {
        let answer = paper::ask(self.rules, &case.request(), Knowledge::Case);
        let refusal = answer.refusal.as_ref().filter(|_| answer.stage == Stage::Identity)?;
        if case.rule.is_some() && case.rule.as_deref() == refusal.rule() {
            return None;
        }
        let (by, expecting) = match refusal.rule() {
            Some(rule) => (format!(" by {rule}"), format!("; or expect it, with rule: {rule}")),
            None => Default::default(),
        };
        Some(format!(
            "has claims that are refused{by} before any rule is read: {refusal} Claims that say the same (ref, ref_type, ref_path, \
             ci_config_ref_uri) change together; those that are made of others may be null{expecting}"
        ))
    }

    fn known_rule(&self, name: &str) -> Result<String, String> {
        if name == DEFAULT || is_rule_of_identity(name) || self.rules.named(name).is_some() {
            return Ok(name.to_owned());
        }
        let names = self.rules.policy.rules().iter().map(|rule| &*rule.name);
        Err(match nearest(name, names, |known| (known.len() / 3).max(1)) {
            Some(meant) => format!("names no rule; did you mean {meant}?"),
            None => format!("names no rule of {}", self.rules.file.display()),
        })
    }
}

fn with_issuer(mut members: Map<String, Json>, iss: &str) -> Json {
    members.insert("iss".to_owned(), Json::String(iss.to_owned()));
    Json::Object(members)
}

fn key_type(name: &str) -> Result<KeyKind, String> {
    let known = || KeyKind::ALL.map(KeyKind::code).join(", ");
    key_kind(name).ok_or_else(|| format!("is no type of key; there are {}", known()))
}

fn expectation(word: &str) -> Result<bool, String> {
    match word {
        "allow" => Ok(true),
        "deny" => Ok(false),
        _ => Err("is neither allow nor deny".to_owned()),
    }
}
