//! From verified claims to the subject of a certificate.
//!
//! Pure. One module a type of identity; what an issuer's tokens may become is in its [`Entry`]. What this does not do: verify tokens
//! (`token`), fetch keys (`oidc`), put anything into a certificate (`certificate`).

mod address;
pub mod buildkite;
pub mod chainguard;
pub mod ci_provider;
mod claim;
pub mod codefresh;
pub mod email;
pub mod extensions;
pub mod github;
pub mod gitlab;
mod go_escape;
pub mod go_url;
mod issuers;
pub mod json_path;
mod kind;
pub mod kubernetes;
mod patterns;
mod san_uri;
pub mod spiffe;
pub mod template;
pub mod types;
pub mod uri;
pub mod username;

pub use issuers::{Entry, Issuer, Issuers, KeySource};
pub use kind::{ALGORITHMS, Announcement, EntryKind, IdentityType};
pub use patterns::IssuerPattern;

use crate::refusal::Refusal;
use bytes::Bytes;
use der::asn1::ObjectIdentifier;
use std::fmt;

/// The one subject alternative name of a certificate (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectAltName {
    /// uniformResourceIdentifier, an IA5String: already percent-encoded.
    Uri(String),
    /// rfc822Name, an IA5String: an address without a display name.
    Email(String),
    /// otherName with type-id [`extensions::OTHER_NAME`], a UTF8String: the name of a user, `{sub}!{domain}`.
    OtherName(String),
}

impl SubjectAltName {
    /// The name's text.
    pub fn text(&self) -> &str {
        match self {
            Self::Uri(text) | Self::Email(text) | Self::OtherName(text) => text,
        }
    }
}

/// An identity extension, non-critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityExtension {
    /// Its object identifier.
    pub oid: ObjectIdentifier,
    /// The octets inside `extnValue`'s OCTET STRING: raw bytes for .1 to .6, a DER UTF8String for the others.
    pub content: Bytes,
}

/// Whom claims name: what would be in the certificate, if somebody vouched for them. Rules are tried on it on paper; a certificate
/// is made of a [`Principal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Named {
    issuer: String,
    name: SubjectAltName,
    extensions: Vec<IdentityExtension>,
    challenge: String,
}

impl Named {
    /// For the types of identity.
    fn new(
        issuer: &str,
        name: SubjectAltName,
        extensions: Vec<IdentityExtension>,
        challenge: impl Into<String>,
    ) -> Self {
        Self { issuer: issuer.to_owned(), name, extensions, challenge: challenge.into() }
    }

    /// Adds an extension that a rule wants, behind the others.
    pub(crate) fn add(&mut self, extension: IdentityExtension) {
        self.extensions.push(extension);
    }

    /// The issuer of the claims, `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// The name that goes into the certificate.
    pub fn name(&self) -> &SubjectAltName {
        &self.name
    }
    /// The identity extensions, in the order in which they go into the certificate.
    pub fn extensions(&self) -> &[IdentityExtension] {
        &self.extensions
    }
}

/// Who the certificate is for: whom a token names that was verified. Nothing else makes one.
///
/// ```compile_fail,E0423
/// # fn forge(named: countersign::identity::Named) {
/// let forged = countersign::identity::Principal(named);
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Principal(Named);

impl Principal {
    /// With what a rule makes of it.
    pub(crate) fn tightened(
        self,
        tighten: impl FnOnce(Named) -> Result<Named, Refusal>,
    ) -> Result<Self, Refusal> {
        tighten(self.0).map(Self)
    }

    /// What goes into the certificate.
    pub const fn named(&self) -> &Named {
        &self.0
    }
    /// The issuer that vouches, `iss`.
    pub fn issuer(&self) -> &str {
        self.0.issuer()
    }
    /// The name that goes into the certificate.
    pub fn name(&self) -> &SubjectAltName {
        self.0.name()
    }
    /// The identity extensions, in the order in which they go into the certificate.
    pub fn extensions(&self) -> &[IdentityExtension] {
        self.0.extensions()
    }
    /// What the proof of possession signs: `sub`, for most types.
    pub fn challenge(&self) -> &str {
        &self.0.challenge
    }
}

impl fmt::Debug for Named {
    /// Without the values of claims: a `Debug` text may end in a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Principal").field(&self.0).finish()
    }
}
