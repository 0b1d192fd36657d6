//! What rules are checked against: the issuers, and what their tokens have.

use crate::condition::Record;
use crate::identity::extensions::ClaimsArc;
use crate::identity::gitlab::GitlabRules;
use crate::identity::{Entry, Issuers};
use std::time::Duration;

/// The issuers with their entries, by the names that rules have for them, and the longest lifetime.
pub struct Against<'a> {
    issuers: &'a Issuers,
    listed: Vec<(&'a str, &'a [Entry])>,
    validity: Duration,
}

impl<'a> Against<'a> {
    /// These issuers; no certificate lives longer than `validity`.
    pub fn new(issuers: &'a Issuers, validity: Duration) -> Self {
        let exact = issuers.iter().map(|issuer| (&*issuer.url, &*issuer.entries));
        let patterns = issuers.patterns().iter().map(|pattern| (pattern.text(), pattern.entries()));
        Self { issuers, listed: exact.chain(patterns).collect(), validity }
    }

    /// The issuers.
    pub const fn issuers(&self) -> &'a Issuers {
        self.issuers
    }

    /// The longest lifetime of a certificate.
    pub const fn validity(&self) -> Duration {
        self.validity
    }

    /// Every issuer by its name in rules: its URL, or the pattern's text.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.listed.iter().map(|(name, _)| *name)
    }

    /// Whether an issuer of this name is listed.
    pub fn lists(&self, name: &str) -> bool {
        self.listed.iter().any(|(listed, _)| *listed == name)
    }

    /// The entries of these issuers; `None`: of all.
    pub fn entries(&self, names: Option<&[String]>) -> impl Iterator<Item = &'a Entry> {
        self.listed
            .iter()
            .filter(move |(listed, _)| names.is_none_or(|names| names.iter().any(|name| name == listed)))
            .flat_map(|(_, entries)| entries.iter())
    }

    /// What is sure of the claims of all these issuers' tokens. `None`: there is no such issuer.
    pub fn claims(&self, names: Option<&[String]>) -> Option<Record> {
        // Entries of one type have the same claims, and there may be thousands of them.
        let mut types: Vec<&str> = Vec::new();
        let mut common: Option<Record> = None;
        for entry in self.entries(names) {
            if types.contains(&entry.kind.name()) {
                continue;
            }
            types.push(entry.kind.name());
            let claims = entry.kind.claims();
            common = Some(match common {
                Some(common) => common.common(&claims),
                None => claims,
            });
        }
        common
    }

    /// The arcs that raw claims go below.
    pub fn claims_arcs(&self) -> impl Iterator<Item = &'a ClaimsArc> {
        self.entries(None).filter_map(|entry| entry.kind.as_type::<GitlabRules>()?.claims_arc.as_ref())
    }
}
