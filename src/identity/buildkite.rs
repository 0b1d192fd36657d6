//! Type `buildkite-job`: a job of Buildkite. The SAN is its pipeline.

use super::claim::ClaimReader;
use super::extensions::identity_extensions;
use super::go_url::GoUrl;
use super::{IdentityType, Principal, SubjectAltName};
use crate::refusal::{Reason, Refusal};
use crate::token::VerifiedToken;

pub(super) const NAME: &str = "buildkite-job";
const BUILDKITE: &str = "https://buildkite.com";

/// The rules for Buildkite's jobs; there is nothing to set.
#[derive(Clone, Copy, Debug)]
pub struct BuildkiteRules;

impl IdentityType for BuildkiteRules {
    fn name(&self) -> &'static str {
        NAME
    }

    /// A slug has no slash, so an organization and a pipeline make one name and no other.
    fn principal(&self, issuer: &str, token: &VerifiedToken) -> Result<Principal, Refusal> {
        let claims = ClaimReader::new(token.claims(), NAME);
        let sub = claims.sub()?;
        let slug = |name| {
            let slug = claims.required(name)?;
            if slug.contains('/') {
                return Err(claims.invalid(name, "A slug has no slash."));
            }
            Ok(slug)
        };
        let (organization, pipeline) = (slug("organization_slug")?, slug("pipeline_slug")?);
        let buildkite = GoUrl::parse(BUILDKITE).ok_or(Reason::Internal)?;
        let uri = buildkite
            .join(&[organization, pipeline])
            .ok_or_else(|| claims.invalid("pipeline_slug", "It cannot be part of a URL's path."))?;
        let name = SubjectAltName::Uri(uri.to_string());
        Ok(Principal::new(issuer, name, identity_extensions(issuer, sub, []), sub))
    }
}
