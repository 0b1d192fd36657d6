//! Type `username`: a user of one domain. The SAN is an otherName, `{sub}!{domain}`.

use super::claim::ClaimReader;
use super::extensions::identity_extensions;
use super::{Announcement, IdentityType, Named, SubjectAltName, address};
use crate::refusal::Refusal;
use crate::token::Claims;

pub(super) const NAME: &str = "username";

/// What the operator set: whose users they are.
#[derive(Clone, Debug)]
pub struct UsernameRules {
    /// The domain behind the `!`, without a scheme.
    pub domain: String,
}

impl IdentityType for UsernameRules {
    fn name(&self) -> &'static str {
        NAME
    }

    /// `sub` has no `!`, which is where the domain begins, and is no email address, which would name somebody else.
    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
        let sub = claims.sub()?;
        if sub.contains('!') {
            return Err(claims.invalid("sub", "A user name has no exclamation mark."));
        }
        if address::is_address(sub) {
            return Err(claims.invalid("sub", "A user name is no email address."));
        }
        let name = SubjectAltName::OtherName([sub, "!", &self.domain].concat());
        Ok(Named::new(issuer, name, identity_extensions(issuer, sub, []), sub))
    }

    fn announcement(&self) -> Announcement<'_> {
        Announcement { subject_domain: &self.domain, ..Announcement::default() }
    }
}
