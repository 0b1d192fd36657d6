//! Type `spiffe`: a workload of one trust domain (SPIFFE-ID specification). The SAN is its SPIFFE ID.

use super::claim::ClaimReader;
use super::extensions::identity_extensions;
use super::{Announcement, IdentityType, Named, SubjectAltName};
use crate::refusal::Refusal;
use crate::token::Claims;

pub(super) const NAME: &str = "spiffe";
const SCHEME: &str = "spiffe://";
/// SPIFFE-ID §2.3: implementations need not take longer ones.
const MAX_BYTES: usize = 2048;

/// What the operator set: the trust domain, which no other issuer speaks for.
#[derive(Clone, Debug)]
pub struct SpiffeRules {
    /// As it was configured, perhaps with its scheme.
    text: String,
    trust_domain: String,
}

impl SpiffeRules {
    /// For `example.org` or `spiffe://example.org`. `None`: it is no trust domain.
    pub fn new(trust_domain: &str) -> Option<Self> {
        let name = match trust_domain.strip_prefix(SCHEME) {
            Some(_) => trust_domain_of(trust_domain)?,
            None if is_trust_domain(trust_domain) => trust_domain,
            None => return None,
        };
        Some(Self { text: trust_domain.to_owned(), trust_domain: name.to_owned() })
    }
}

impl IdentityType for SpiffeRules {
    fn name(&self) -> &'static str {
        NAME
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
        let sub = claims.sub()?;
        match trust_domain_of(sub) {
            None => return Err(claims.invalid("sub", "It must be a SPIFFE ID.")),
            Some(name) if name != self.trust_domain => {
                return Err(claims.invalid("sub", "Its trust domain must be the one that is configured."));
            }
            Some(_) => {}
        }
        let name = SubjectAltName::Uri(sub.to_owned());
        Ok(Named::new(issuer, name, identity_extensions(issuer, sub, []), sub))
    }

    fn announcement(&self) -> Announcement<'_> {
        Announcement { spiffe_trust_domain: &self.text, ..Announcement::default() }
    }
}

/// The trust domain of a SPIFFE ID (SPIFFE-ID §2.1, §2.2); `None`: it is none.
fn trust_domain_of(id: &str) -> Option<&str> {
    let rest = id.strip_prefix(SCHEME).filter(|_| id.len() <= MAX_BYTES)?;
    let (name, path) = match rest.split_once('/') {
        Some((name, path)) => (name, Some(path)),
        None => (rest, None),
    };
    (is_trust_domain(name) && path.is_none_or(|path| path.split('/').all(is_segment))).then_some(name)
}

fn is_trust_domain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}
