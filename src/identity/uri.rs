//! Type `uri`: the subject is a URI of a host that the operator named, and it is the SAN.

use super::claim::ClaimReader;
use super::extensions::identity_extensions;
use super::go_url::GoUrl;
use super::{Announcement, IdentityType, Named, SubjectAltName};
use crate::refusal::Refusal;
use crate::token::Claims;

pub(super) const NAME: &str = "uri";

/// What the operator set: under which scheme and host subjects are.
#[derive(Clone, Debug)]
pub struct UriRules {
    text: String,
    domain: GoUrl,
}

impl UriRules {
    /// For `https://host`. `None`: it is no such URL.
    pub fn new(domain: &str) -> Option<Self> {
        Some(Self { text: domain.to_owned(), domain: GoUrl::parse(domain)? })
    }
}

impl IdentityType for UriRules {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Scheme, host and port are the domain's, and there is no user name: all else could be somebody else's.
    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
        let sub = claims.sub()?;
        let uri = GoUrl::parse(sub)
            .ok_or_else(|| claims.invalid("sub", "It must be a URI with a host and no user name."))?;
        let same = (uri.scheme(), uri.host_name(), uri.port())
            == (self.domain.scheme(), self.domain.host_name(), self.domain.port());
        if !same {
            return Err(claims.invalid("sub", "Its scheme, host and port must be those that are configured."));
        }
        let name = SubjectAltName::Uri(uri.to_string());
        Ok(Named::new(issuer, name, identity_extensions(issuer, sub, []), sub))
    }

    fn announcement(&self) -> Announcement<'_> {
        Announcement { subject_domain: &self.text, ..Announcement::default() }
    }
}
