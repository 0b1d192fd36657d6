//! The rules that are tried, the issuers that they are for, and what a reader of the rules should know.

use crate::cli::config::{refused, refused_files, show_warning};
use crate::cli::report::printable;
use crate::cli::{CliError, Output};
use crate::condition::{Advice, Record};
use crate::config::documents::issuers_of_rules;
use crate::config::{self, Config, LONGEST_VALIDITY, Warning};
use crate::identity::gitlab::GitlabRules;
use crate::identity::{Entry, IdentityType as _, Issuer, IssuerPattern, Issuers, KeySource};
use crate::policy::{Effect, Mode, Policy, RequestFacts, Rule};
use crate::possession::KeyKind;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The issuer of rules that name none.
const GITLAB: &str = "https://gitlab.com";

/// Which rules.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Source {
    /// The server's configuration: its issuers and, without --policy, its rules
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A file of rules
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// Rules, and the tokens that they are about.
pub struct Rules {
    /// The rules.
    pub policy: Policy,
    /// The file that they were read from.
    pub file: PathBuf,
    /// The configuration that lists the issuers. `None`: every issuer is taken for a GitLab that is listed by its URL.
    pub config: Option<Config>,
    /// The issuers that the rules were checked for.
    issuers: Issuers,
    findings: Vec<Warning>,
}

impl Source {
    /// Reads the rules; `otherwise` is the file of rules where none is named.
    pub fn read(&self, otherwise: Option<&Path>) -> Result<Rules, CliError> {
        let policy = self.policy.as_deref();
        let Some(path) = &self.config else {
            let file = policy.or(otherwise).ok_or_else(|| {
                CliError::usage("give the rules: --config FILE of a server, or --policy FILE")
            })?;
            return Rules::alone(file);
        };
        let (config, warnings) = Config::load(path).map_err(|errors| refused(&errors))?;
        match policy {
            Some(file) => Rules::beside(file, config),
            None => Ok(Rules {
                policy: (*config.policy).clone(),
                file: path.clone(),
                issuers: config.issuers.clone(),
                config: Some(config),
                findings: warnings,
            }),
        }
    }
}

impl Rules {
    /// The rules of a file, for the issuers that it names.
    pub fn alone(file: &Path) -> Result<Self, CliError> {
        let mut named = issuers_of_rules(file);
        if named.is_empty() {
            named.push(GITLAB.to_owned());
        }
        let (patterns, exact): (Vec<_>, Vec<_>) = named.into_iter().partition(|issuer| issuer.contains('*'));
        let patterns = patterns.iter().filter_map(|text| {
            let Issuer { entries, key_source, .. } = gitlab(String::new());
            IssuerPattern::parse(text, entries, key_source).ok()
        });
        let issuers = Issuers::new(exact.into_iter().map(gitlab).collect(), patterns.collect());
        Self::of_file(file, issuers, LONGEST_VALIDITY, None)
    }

    /// The rules of a file, for the issuers of a configuration.
    pub fn beside(file: &Path, config: Config) -> Result<Self, CliError> {
        Self::of_file(file, config.issuers.clone(), config.ca.validity, Some(config))
    }

    fn of_file(
        file: &Path,
        issuers: Issuers,
        validity: Duration,
        config: Option<Config>,
    ) -> Result<Self, CliError> {
        let read = config::policy::read_file(file, &issuers, validity);
        let (policy, findings) = read.map_err(|errors| refused_files("the rules have", &errors))?;
        Ok(Self { policy, file: file.to_owned(), config, issuers, findings })
    }

    /// Other rules for the same issuers.
    pub fn others(&self, file: &Path) -> Result<Self, CliError> {
        match &self.config {
            Some(config) => Self::beside(file, config.clone()),
            None => Self::alone(file),
        }
    }

    /// What rules call an issuer; `None`: it is not on the list, and its tokens are refused before any rule is read.
    pub fn label<'i>(&'i self, iss: &'i str) -> Option<&'i str> {
        match self.config {
            Some(_) => self.issuers.label(iss),
            // A rule for all issuers is for those that nobody names, too.
            None => {
                let for_all = || self.policy.rules().iter().any(|rule| rule.issuers.is_none());
                self.issuers.label(iss).or_else(|| for_all().then_some(iss))
            }
        }
    }

    /// The issuer of claims that name none.
    pub fn first_issuer(&self) -> Option<&str> {
        self.issuers.iter().next().map(|issuer| issuer.url.as_str())
    }

    /// The claims of an issuer's tokens.
    pub fn record(&self, iss: &str) -> Record {
        let issuer = self.issuers.find(iss);
        let entries = issuer.iter().flat_map(|issuer| issuer.entries.iter());
        let records = entries.map(|entry: &Entry| entry.kind.claims());
        records.reduce(|one, other| one.common(&other)).unwrap_or_else(|| GitlabRules::default().claims())
    }

    /// The issuer with its entries; `None`: it is not listed. Without a configuration it is not known what the operator admits of audiences and of
    /// forks, so that is left to the rules.
    pub fn issuer(&self, request: &RequestFacts<'_>) -> Option<Issuer> {
        if self.config.is_some() {
            return self.issuers.find(request.iss);
        }
        let named = request.claims.member("aud");
        let named = named.and_then(|aud| aud.as_str().or_else(|| aud.as_array()?.first()?.as_str()));
        let gitlab = GitlabRules {
            allow_fork_pipelines: true,
            allow_undecidable_forks: true,
            ..GitlabRules::default()
        };
        let mut entry = entry(gitlab);
        entry.allow_multiple_audiences = true;
        if let Some(named) = named {
            entry.audience = named.to_owned();
        }
        Some(issuer(request.iss.to_owned(), entry))
    }

    /// Whom an issuance is counted for: the project where tokens name one, else the subject.
    pub fn project<'c>(&self, iss: &str, claim: impl Fn(&str) -> Option<&'c str>) -> &'c str {
        match self.issuers.find(iss) {
            Some(issuer) => issuer.project_of(claim),
            None => claim("project_path").or_else(|| claim("sub")).unwrap_or_default(),
        }
    }

    /// The rule of this name.
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.policy.rules().iter().find(|rule| &*rule.name == name)
    }

    /// Tells what should be known of the rules: on standard error for people; for programs it is the answer.
    pub fn warn(&self, output: &mut Output) -> Json {
        let advice: Vec<_> = self.policy.rules().iter().flat_map(advice_of).collect();
        // What the reader of the file says of a condition is here said with its code.
        let is_new = |finding: &&Warning| !advice.iter().any(|(_, it)| finding.message.contains(&it.message));
        let findings: Vec<_> = self.findings.iter().filter(is_new).collect();
        if !output.is_json() {
            findings.iter().for_each(|finding| show_warning(finding, output));
            for (rule, Advice { lint, message }) in &advice {
                let words = format!("the rule \"{}\" {message}", rule.name);
                output.note(format_args!(
                    "warning: {}: {} ({})",
                    self.file.display(),
                    printable(&words),
                    lint.code()
                ));
            }
        }
        let of_rules = advice
            .iter()
            .map(|(rule, it)| json!({ "rule": *rule.name, "code": it.lint.code(), "message": it.message }));
        let of_files = findings.iter().map(|it| {
            json!({ "file": it.file.display().to_string(), "line": it.line, "key": it.key, "message": it.message })
        });
        of_rules.chain(of_files).collect()
    }
}

/// An issuer as `init` lists a GitLab. Its keys are never asked for.
fn gitlab(url: String) -> Issuer {
    issuer(url, entry(GitlabRules::default()))
}

fn issuer(url: String, entry: Entry) -> Issuer {
    Issuer { url, entries: vec![entry].into(), key_source: KeySource::Static(Vec::new()).into() }
}

fn entry(gitlab: GitlabRules) -> Entry {
    Entry { audience: "sigstore".to_owned(), allow_multiple_audiences: false, kind: gitlab.into() }
}

/// What the author of an allowing rule should know. Of one that denies, too much is no danger.
fn advice_of(rule: &Rule) -> Vec<(&Rule, Advice)> {
    match (&rule.effect, &rule.when) {
        (Effect::Allow(_), Some(condition)) => {
            condition.advice().into_iter().map(|advice| (rule, advice)).collect()
        }
        _ => Vec::new(),
    }
}

/// A rule's effect, as files of rules spell it.
pub const fn effect(rule: &Rule) -> &'static str {
    match rule.effect {
        Effect::Allow(_) => "allow",
        Effect::Deny => "deny",
    }
}

/// A rule's mode, as files of rules spell it.
pub const fn mode(rule: &Rule) -> &'static str {
    match rule.mode {
        Mode::Enforce => "enforce",
        Mode::Warn => "warn",
    }
}

/// The type of key that requests have where nothing else is said.
pub const DEFAULT_KEY: KeyKind = KeyKind::P256;

/// A type of keys by its name in rules.
pub fn key_kind(name: &str) -> Option<KeyKind> {
    KeyKind::ALL.into_iter().find(|kind| kind.code() == name)
}

/// Types of keys on a command line.
pub fn key_kinds() -> impl TypedValueParser<Value = KeyKind> {
    PossibleValuesParser::new(KeyKind::ALL.map(KeyKind::code))
        .map(|name| key_kind(&name).unwrap_or(DEFAULT_KEY))
}
