//! From verified claims to the subject of a certificate.
//!
//! Pure. One module a type of identity; what an issuer's tokens may become is in its [`Entry`].

pub mod extensions;
pub mod gitlab;
mod issuers;

pub use issuers::{Entry, EntryKind, Issuer, IssuerPattern, Issuers, KeySource};

use der::asn1::ObjectIdentifier;

/// The one subject alternative name of a certificate (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectAltName {
    /// uniformResourceIdentifier, an IA5String: already percent-encoded.
    Uri(String),
}

/// An identity extension, non-critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityExtension {
    /// Its object identifier.
    pub oid: ObjectIdentifier,
    /// The octets inside `extnValue`'s OCTET STRING: raw bytes for .1 to .6, a DER UTF8String for the others.
    pub content: Vec<u8>,
}

/// Who the certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    issuer: String,
    name: SubjectAltName,
    extensions: Vec<IdentityExtension>,
    challenge: String,
}

impl Principal {
    /// The issuer that vouches, `iss`.
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
    /// What the proof of possession signs: `sub`, for most types.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }
}
