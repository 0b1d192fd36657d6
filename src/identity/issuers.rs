//! The issuers that the operator trusts, and what their tokens may become.

use super::Principal;
use super::gitlab::GitlabRules;
use crate::refusal::Refusal;
use crate::token::{Algorithm, VerifiedToken};
use std::sync::Arc;
use std::time::Duration;

/// What tokens of one audience of an issuer become.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The only audience, `aud`.
    pub audience: String,
    /// Accept tokens that name further audiences (rule 2).
    pub allow_multiple_audiences: bool,
    /// The type.
    pub kind: EntryKind,
}

/// The type of identity.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// `gitlab-pipeline`
    GitlabPipeline(GitlabRules),
}

impl EntryKind {
    /// The name in configurations, `gitlab-pipeline`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GitlabPipeline(_) => "gitlab-pipeline",
        }
    }
    /// The algorithms its tokens may have.
    pub fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::GitlabPipeline(_) => &[Algorithm::RS256],
        }
    }
    /// The principal that a token names.
    pub fn principal(&self, issuer: &str, token: &VerifiedToken) -> Result<Principal, Refusal> {
        match self {
            Self::GitlabPipeline(rules) => super::gitlab::principal(issuer, token, rules),
        }
    }
}

/// An issuer on the allow-list: one set of keys, one or more entries.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `iss`, byte for byte.
    pub url: String,
    /// The entries, each with another audience. Never empty.
    pub entries: Arc<[Entry]>,
    /// Where its keys come from.
    pub key_source: Arc<KeySource>,
}

/// Where an issuer's verification keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// `{url without trailing slash}/.well-known/openid-configuration`, then its `jwks_uri`.
    Discovery {
        /// PEM certificates that are trusted beside the system's roots.
        ca_certificate: Option<Vec<u8>>,
        /// How long the last good keys serve when the issuer cannot be reached.
        outage_grace: Duration,
    },
    /// A JWK set from a file, for an issuer that the CA cannot reach.
    Static(Vec<u8>),
}

impl Issuer {
    /// The algorithms that any entry accepts.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        todo!()
    }
    /// The entry that the verified token's audience picks (rules 1 and 2), with the token's `alg` accepted by it.
    pub fn entry_for(&self, _token: &VerifiedToken) -> Result<&Entry, Refusal> {
        todo!()
    }
}

/// A pattern of issuers, from a Fulcio configuration's `meta-issuers`: `*` stands for one host label or path segment.
#[derive(Clone, Debug)]
pub struct IssuerPattern {
    _pattern: String,
}

/// The allow-list.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    _exact: Vec<Issuer>,
}

impl Issuers {
    /// The issuer with this very `iss`, or one that a pattern admits.
    pub fn find(&self, _iss: &str) -> Option<Issuer> {
        todo!()
    }
}
