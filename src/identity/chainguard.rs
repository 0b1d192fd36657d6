//! Type `chainguard-identity`: an identity of Chainguard's platform. The SAN is the issuer's URL with the subject below it.

use super::claim::ClaimReader;
use super::email::is_verified;
use super::extensions::identity_extensions;
use super::go_url::GoUrl;
use super::kind::registered_claims;
use super::{IdentityType, Named, SubjectAltName};
use crate::condition::{Member, Record};
use crate::refusal::{Reason, Refusal};
use crate::token::Claims;

pub(super) const NAME: &str = "chainguard-identity";

/// The rules for Chainguard's identities; there is nothing to set.
#[derive(Clone, Copy, Debug)]
pub struct ChainguardRules;

impl IdentityType for ChainguardRules {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Clients sign the address when the token has one, whatever the certificate says; so that is what is verified.
    fn claims(&self) -> Record {
        // Objects: whether they are there can be asked, and nothing else.
        let object = || Member::record(Record::default(), false);
        registered_claims([("act", object()), ("internal", object())])
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
        let sub = claims.sub()?;
        if !claims.object("act")?.is_of_texts() {
            return Err(claims
                .refusal(Reason::ClaimWrongType, "act")
                .because("Its members must be strings."));
        }
        claims.object("internal")?.optional("service-principal")?;
        let challenge = match claims.optional("email")? {
            Some(_) if !is_verified(&claims)? => {
                return Err(claims.invalid("email_verified", "The issuer did not verify the address."));
            }
            Some(address) => address,
            None => sub,
        };
        let uri = GoUrl::parse(issuer)
            .ok_or_else(|| {
                Refusal::new(Reason::Internal).because("The issuer's URL cannot stand in a subject.")
            })?
            .join(&[sub])
            .ok_or_else(|| claims.invalid("sub", "It cannot be part of a URL's path."))?;
        let name = SubjectAltName::Uri(uri.to_string());
        Ok(Named::new(issuer, name, identity_extensions(issuer, sub, []), challenge))
    }
}
