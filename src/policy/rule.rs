//! One rule.

use super::RequestFacts;
use crate::condition::{Condition, Undecided};
use crate::identity::gitlab::SubjectMode;
use crate::possession::KeyKind;
use der::asn1::ObjectIdentifier;
use std::sync::Arc;
use std::time::Duration;

/// A rule about who gets certificates.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in its policy: refusals, logs and metrics name it.
    pub name: Arc<str>,
    /// The issuers whose tokens it is about, as the list of issuers has them (URLs, or the texts of patterns). `None`: all.
    pub issuers: Option<Vec<String>>,
    /// When it decides. `None`: always.
    pub when: Option<Condition>,
    /// What it decides.
    pub effect: Effect,
    /// Whether it does.
    pub mode: Mode,
    /// For whoever is refused by it: of a denying rule, why; of an allowing one, what its condition asks for.
    pub message: Option<String>,
}

/// What a rule decides.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A certificate, with less than the CA would give.
    Allow(Tightening),
    /// None.
    Deny,
}

impl Effect {
    /// What an allowing rule makes of the certificate.
    pub const fn tightening(&self) -> Option<&Tightening> {
        match self {
            Self::Allow(tightening) => Some(tightening),
            Self::Deny => None,
        }
    }
}

/// Whether a rule decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It is only logged and counted that it would have, and the next rule is read.
    Warn,
}

/// What an allowing rule makes of the certificate.
#[derive(Clone, Debug, Default)]
pub struct Tightening {
    /// It lives no longer than this.
    pub validity: Option<Duration>,
    /// Keys of these types alone; empty: of all.
    pub key_types: Vec<KeyKind>,
    /// How a GitLab pipeline's subject is named.
    pub subject: Option<SubjectMode>,
    /// Further extensions.
    pub extensions: Vec<ClaimExtension>,
}

/// An extension with a claim's text, a DER UTF8String. Where the token has no such claim, there is no extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimExtension {
    /// The extension.
    pub oid: ObjectIdentifier,
    /// The claim's name.
    pub claim: String,
}

impl Tightening {
    /// Whether a key of this type may have a certificate.
    pub fn admits_key(&self, kind: KeyKind) -> bool {
        self.key_types.is_empty() || self.key_types.contains(&kind)
    }
}

impl Rule {
    /// Whether it is about this issuer's tokens.
    pub fn concerns(&self, issuer: &str) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.iter().any(|listed| listed == issuer))
    }

    /// Whether its condition holds.
    ///
    /// # Errors
    /// As [`Condition::holds`].
    pub fn holds(&self, request: &RequestFacts<'_>) -> Result<bool, Undecided> {
        self.when.as_ref().map_or(Ok(true), |condition| condition.holds(request))
    }
}

impl PartialEq for Rule {
    /// Within one policy.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Rule {}
