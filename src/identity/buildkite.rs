//! Type `buildkite-job`: a job of Buildkite. The SAN is its pipeline.

use super::claim::ClaimReader;
use super::extensions::identity_extensions;
use super::go_url::GoUrl;
use super::kind::{registered_claims, texts};
use super::{IdentityType, Named, SubjectAltName};
use crate::condition::{Member, Record, Type};
use crate::refusal::{Reason, Refusal};
use crate::token::Claims;

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
    fn claims(&self) -> Record {
        let sometimes = [
            "organization_id",
            "pipeline_id",
            "build_branch",
            "build_tag",
            "build_commit",
            "build_source",
            "step_key",
            "job_id",
            "agent_id",
            "cluster_id",
            "cluster_name",
            "queue_id",
            "queue_key",
            "runner_environment",
        ];
        let build_number = ("build_number", Member::sometimes(Type::Int));
        registered_claims(texts(["organization_slug", "pipeline_slug"], sometimes).chain([build_number]))
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
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
        Ok(Named::new(issuer, name, identity_extensions(issuer, sub, []), sub))
    }
}
