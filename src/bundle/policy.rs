//! Who must have signed: subject alternative name and issuer, exactly or by a regular expression.

use super::error::{Problem, VerificationError, problem};
use crate::certificate::inspect::{AlternativeName, Inspected};
use crate::identity::extensions::{ISSUER, ISSUER_V2};
use regex::Regex;
use std::fmt;

/// A text, or all texts that a regular expression finds something in (as cosign's flags do: anchor it with `^` and `$`).
#[derive(Clone, Debug)]
pub enum Expected {
    /// This text.
    Exactly(String),
    /// Any in which this is found.
    Matching(Regex),
}

impl Expected {
    /// A regular expression; in linear time, as Go's.
    pub fn matching(pattern: &str) -> Result<Self, String> {
        let regex = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build();
        regex.map(Self::Matching).map_err(|error| error.to_string())
    }

    fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Exactly(expected) => expected == text,
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(text) => write!(f, "`{text}`"),
            Self::Matching(regex) => write!(f, "what matches `{regex}`"),
        }
    }
}

/// Who must have signed.
#[derive(Clone, Debug)]
pub struct Identity {
    /// One of the certificate's subject alternative names.
    pub name: Expected,
    /// The issuer of the ID token.
    pub issuer: Expected,
}

/// The issuer of the ID token that a certificate names: extension .8 of Fulcio's arc, else .1.
pub fn issuer_of(certificate: &Inspected) -> Option<&str> {
    [ISSUER_V2, ISSUER].iter().find_map(|oid| {
        certificate.identity_extensions().iter().find(|extension| extension.oid == *oid)?.text()
    })
}

impl Identity {
    /// That the certificate is theirs.
    pub(super) fn verify(&self, certificate: &Inspected) -> Result<(), VerificationError> {
        let names: Vec<_> =
            certificate.names().iter().filter(|name| **name != AlternativeName::Unknown).collect();
        if !names.iter().any(|name| self.name.accepts(&name.to_string())) {
            let found = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let words = format!("the certificate is for `{found}`, wanted is {}", self.name);
            return Err(problem(Problem::IdentityMismatch, "identity", words));
        }
        let issuer = issuer_of(certificate).unwrap_or_default();
        if issuer.is_empty() || !self.issuer.accepts(issuer) {
            let words = format!("the certificate's issuer is `{issuer}`, wanted is {}", self.issuer);
            return Err(problem(Problem::IssuerMismatch, "identity", words));
        }
        Ok(())
    }
}
