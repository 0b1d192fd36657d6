//! Type `codefresh-workflow`: a build of Codefresh. The SAN names account and pipeline, by name and by id.

use super::claim::ClaimReader;
use super::extensions::{self as oid, identity_extensions};
use super::go_url::GoUrl;
use super::kind::{registered_claims, texts};
use super::{IdentityType, Named, SubjectAltName};
use crate::condition::Record;
use crate::refusal::Refusal;
use crate::token::Claims;

pub(super) const NAME: &str = "codefresh-workflow";
const PLATFORM: &str = "https://g.codefresh.io";

/// The rules for Codefresh's builds; there is nothing to set.
#[derive(Clone, Copy, Debug)]
pub struct CodefreshRules;

impl IdentityType for CodefreshRules {
    fn name(&self) -> &'static str {
        NAME
    }

    /// A self-hosted platform says its URL in the token. Names and ids have no slash (a pipeline's name has: project and pipeline).
    fn claims(&self) -> Record {
        let sometimes = [
            "initiator",
            "scm_user_name",
            "scm_repo_url",
            "scm_ref",
            "scm_pull_request_target_branch",
            "runner_environment",
            "platform_url",
        ];
        let always = ["account_id", "account_name", "pipeline_id", "pipeline_name", "workflow_id"];
        registered_claims(texts(always, sometimes))
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
        let sub = claims.sub()?;
        let one_segment = |name| {
            let text = claims.required(name)?;
            if text.contains('/') {
                return Err(claims.invalid(name, "It has no slash."));
            }
            Ok(text)
        };
        let (account_id, account) = (one_segment("account_id")?, one_segment("account_name")?);
        let (pipeline_id, pipeline) = (one_segment("pipeline_id")?, claims.required("pipeline_name")?);
        let workflow_id = one_segment("workflow_id")?;
        // Not embedded; their types are checked all the same, as the reference does.
        for name in ["initiator", "scm_user_name", "scm_pull_request_target_branch"] {
            claims.optional(name)?;
        }
        let repository = claims.optional("scm_repo_url")?;
        let git_ref = claims.optional("scm_ref")?;
        let runner = claims.optional("runner_environment")?;

        let platform = GoUrl::parse(claims.optional("platform_url")?.unwrap_or(PLATFORM))
            .filter(|url| url.is_plain() && matches!(url.scheme(), "https" | "http"))
            .ok_or_else(|| claims.invalid("platform_url", "It must be an http or https URL."))?;
        let below = |claim, elements: &[&str]| match platform.join(elements) {
            Some(url) => Ok(url.to_string()),
            None => Err(claims.invalid(claim, "It cannot be part of a URL's path.")),
        };
        let names = [pipeline, ":", account_id, "/", pipeline_id].concat();
        let subject = below("pipeline_name", &[account, &names])?;
        let build = below("workflow_id", &["build", workflow_id])?;
        let config = below("pipeline_id", &["api/pipelines", pipeline_id])?;
        let extensions = identity_extensions(
            issuer,
            sub,
            [
                (oid::BUILD_SIGNER_URI, Some(&*build)),
                (oid::RUNNER_ENVIRONMENT, runner),
                (oid::SOURCE_REPOSITORY_URI, repository),
                (oid::SOURCE_REPOSITORY_REF, git_ref),
                (oid::BUILD_CONFIG_URI, Some(&config)),
                (oid::RUN_INVOCATION_URI, Some(&build)),
            ],
        );
        Ok(Named::new(issuer, SubjectAltName::Uri(subject), extensions, sub))
    }
}
