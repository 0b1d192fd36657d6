//! Type `github-workflow`: a job of GitHub Actions. The SAN is the workflow that the job runs.

use super::claim::ClaimReader;
use super::extensions::{self as oid, identity_extensions};
use super::gitlab::REF_TYPES;
use super::go_url::GoUrl;
use super::kind::{registered_claims, texts};
use super::{IdentityType, Named, SubjectAltName};
use crate::condition::{Member, Record, Type};
use crate::refusal::{Reason, Refusal};
use crate::token::Claims;

pub(super) const NAME: &str = "github-workflow";
const GITHUB: &str = "https://github.com";

/// The rules for GitHub's workflows; there is nothing to set.
#[derive(Clone, Copy, Debug)]
pub struct GithubRules;

impl IdentityType for GithubRules {
    fn name(&self) -> &'static str {
        NAME
    }

    fn project_claim(&self) -> &'static str {
        "repository"
    }

    fn claims(&self) -> Record {
        let always = [
            "job_workflow_ref",
            "job_workflow_sha",
            "sha",
            "event_name",
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "workflow",
            "workflow_ref",
            "workflow_sha",
            "ref",
            "runner_environment",
            "run_id",
            "run_attempt",
        ];
        let sometimes = [
            "repository_visibility",
            "ref_protected",
            "base_ref",
            "head_ref",
            "run_number",
            "check_run_id",
            "actor",
            "actor_id",
            "environment",
            "environment_node_id",
            "enterprise",
            "enterprise_id",
        ];
        let ref_type = ("ref_type", Member::sometimes(Type::Text).one_of(REF_TYPES));
        registered_claims(texts(always, sometimes).chain([ref_type]))
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
        let sub = claims.sub()?;
        let job_workflow_ref = claims.required("job_workflow_ref")?;
        let sha = claims.required("sha")?;
        let event = claims.required("event_name")?;
        let repository = claims.required("repository")?;
        let workflow = claims.required("workflow")?;
        let git_ref = claims.required("ref")?;
        let job_workflow_sha = claims.required("job_workflow_sha")?;
        let runner = claims.required("runner_environment")?;
        let repository_id = claims.required("repository_id")?;
        let owner = claims.required("repository_owner")?;
        let owner_id = claims.required("repository_owner_id")?;
        let visibility = claims.optional("repository_visibility")?;
        let workflow_ref = claims.required("workflow_ref")?;
        let workflow_sha = claims.required("workflow_sha")?;
        let run_id = claims.required("run_id")?;
        let run_attempt = claims.required("run_attempt")?;

        let github = GoUrl::parse(GITHUB).ok_or(Reason::Internal)?;
        let below = |claim, elements: &[&str]| match github.join(elements) {
            Some(url) => Ok(url.to_string()),
            None => Err(claims.invalid(claim, "It cannot be part of a URL's path.")),
        };
        let signer = below("job_workflow_ref", &[job_workflow_ref])?;
        let repository_uri = below("repository", &[repository])?;
        let owner_uri = below("repository_owner", &[owner])?;
        let config = below("workflow_ref", &[workflow_ref])?;
        let run = below("run_id", &[repository, "actions/runs", run_id, "attempts", run_attempt])?;
        let extensions = identity_extensions(
            issuer,
            sub,
            [
                (oid::GITHUB_WORKFLOW_TRIGGER, Some(event)),
                (oid::GITHUB_WORKFLOW_SHA, Some(sha)),
                (oid::GITHUB_WORKFLOW_NAME, Some(workflow)),
                (oid::GITHUB_WORKFLOW_REPOSITORY, Some(repository)),
                (oid::GITHUB_WORKFLOW_REF, Some(git_ref)),
                (oid::BUILD_SIGNER_URI, Some(&signer)),
                (oid::BUILD_SIGNER_DIGEST, Some(job_workflow_sha)),
                (oid::RUNNER_ENVIRONMENT, Some(runner)),
                (oid::SOURCE_REPOSITORY_URI, Some(&repository_uri)),
                (oid::SOURCE_REPOSITORY_DIGEST, Some(sha)),
                (oid::SOURCE_REPOSITORY_REF, Some(git_ref)),
                (oid::SOURCE_REPOSITORY_IDENTIFIER, Some(repository_id)),
                (oid::SOURCE_REPOSITORY_OWNER_URI, Some(&owner_uri)),
                (oid::SOURCE_REPOSITORY_OWNER_IDENTIFIER, Some(owner_id)),
                (oid::BUILD_CONFIG_URI, Some(&config)),
                (oid::BUILD_CONFIG_DIGEST, Some(workflow_sha)),
                (oid::BUILD_TRIGGER, Some(event)),
                (oid::RUN_INVOCATION_URI, Some(&run)),
                (oid::SOURCE_REPOSITORY_VISIBILITY_AT_SIGNING, visibility),
            ],
        );
        Ok(Named::new(issuer, SubjectAltName::Uri(signer), extensions, sub))
    }
}
