//! Rule 3: the claim schema of a GitLab job's token.
//!
//! Strict, because a certificate outlives the token: every claim that can enter a certificate is a JSON string, but
//! `runner_id`, a number. Nothing is turned into text that was not text. Claims about people are not looked at.

use crate::identity::extensions::GitlabClaim;
use crate::refusal::{Reason, Refusal};
use crate::token::Claims;
use serde_json::Value;

const RULE: &str = "gitlab-3";

/// The name of the claim that is embedded, and signed in the proof of possession, but never read.
pub(super) const SUB: &str = "sub";

/// The claims that a certificate can carry, borrowed from the token. Required ones are not empty; optional ones that are absent,
/// null or empty are `None`, but for `ref_path` and `ci_config_ref_uri`: the rules 4 and 5 tell empty from absent.
pub(super) struct JobClaims<'t> {
    pub sub: &'t str,
    pub namespace_id: &'t str,
    pub namespace_path: &'t str,
    pub project_id: &'t str,
    pub project_path: &'t str,
    pub pipeline_id: &'t str,
    pub pipeline_source: &'t str,
    pub job_id: &'t str,
    pub ref_name: &'t str,
    pub ref_type: &'t str,
    pub sha: &'t str,
    pub runner_environment: &'t str,
    pub ref_path: Option<&'t str>,
    pub ref_protected: Option<&'t str>,
    pub environment: Option<&'t str>,
    pub environment_protected: Option<&'t str>,
    pub deployment_tier: Option<&'t str>,
    pub runner_id: Option<&'t str>,
    pub job_project_path: Option<&'t str>,
    pub job_project_id: Option<&'t str>,
    pub job_source: Option<&'t str>,
    pub project_visibility: Option<&'t str>,
    pub ci_config_ref_uri: Option<&'t str>,
    pub ci_config_sha: Option<&'t str>,
}

impl<'t> JobClaims<'t> {
    /// Reads the claims. Refused: `CLAIM_MISSING`, `CLAIM_EMPTY`, `CLAIM_WRONG_TYPE`, `CLAIM_INVALID` (`runner_id`).
    pub fn read(claims: &'t Claims) -> Result<Self, Refusal> {
        use GitlabClaim as Claim;
        let required = |claim: Claim| required_text(claims, claim.name());
        let optional = |claim: Claim| optional_text(claims, claim.name());
        let not_empty = |text: &&str| !text.is_empty();
        Ok(Self {
            sub: required_text(claims, SUB)?,
            namespace_id: required(Claim::NamespaceId)?,
            namespace_path: required(Claim::NamespacePath)?,
            project_id: required(Claim::ProjectId)?,
            project_path: required(Claim::ProjectPath)?,
            pipeline_id: required(Claim::PipelineId)?,
            pipeline_source: required(Claim::PipelineSource)?,
            job_id: required(Claim::JobId)?,
            ref_name: required(Claim::Ref)?,
            ref_type: required(Claim::RefType)?,
            sha: required(Claim::Sha)?,
            runner_environment: required(Claim::RunnerEnvironment)?,
            ref_path: optional(Claim::RefPath)?,
            ref_protected: optional(Claim::RefProtected)?.filter(not_empty),
            environment: optional(Claim::Environment)?.filter(not_empty),
            environment_protected: optional(Claim::EnvironmentProtected)?.filter(not_empty),
            deployment_tier: optional(Claim::DeploymentTier)?.filter(not_empty),
            runner_id: optional_id_number(claims, Claim::RunnerId.name())?,
            job_project_path: optional(Claim::JobProjectPath)?.filter(not_empty),
            job_project_id: optional(Claim::JobProjectId)?.filter(not_empty),
            job_source: optional(Claim::JobSource)?.filter(not_empty),
            project_visibility: optional(Claim::ProjectVisibility)?.filter(not_empty),
            ci_config_ref_uri: optional(Claim::CiConfigRefUri)?,
            ci_config_sha: optional(Claim::CiConfigSha)?.filter(not_empty),
        })
    }

    /// The project in which the job runs, `P` of the rules 5 and 8.
    pub fn running_project(&self) -> &'t str {
        self.job_project_path.unwrap_or(self.project_path)
    }

    /// A claim's value as it goes into the certificate; `None`: it has no extension.
    pub fn raw(&self, claim: GitlabClaim) -> Option<&'t str> {
        match claim {
            GitlabClaim::NamespacePath => Some(self.namespace_path),
            GitlabClaim::NamespaceId => Some(self.namespace_id),
            GitlabClaim::ProjectPath => Some(self.project_path),
            GitlabClaim::ProjectId => Some(self.project_id),
            GitlabClaim::PipelineId => Some(self.pipeline_id),
            GitlabClaim::PipelineSource => Some(self.pipeline_source),
            GitlabClaim::JobId => Some(self.job_id),
            GitlabClaim::Ref => Some(self.ref_name),
            GitlabClaim::RefType => Some(self.ref_type),
            GitlabClaim::RefPath => self.ref_path.filter(|path| !path.is_empty()),
            GitlabClaim::RefProtected => self.ref_protected,
            GitlabClaim::Environment => self.environment,
            GitlabClaim::EnvironmentProtected => self.environment_protected,
            GitlabClaim::DeploymentTier => self.deployment_tier,
            GitlabClaim::RunnerId => self.runner_id,
            GitlabClaim::RunnerEnvironment => Some(self.runner_environment),
            GitlabClaim::JobProjectPath => self.job_project_path,
            GitlabClaim::JobProjectId => self.job_project_id,
            GitlabClaim::JobSource => self.job_source,
            GitlabClaim::ProjectVisibility => self.project_visibility,
            GitlabClaim::Sha => Some(self.sha),
            GitlabClaim::CiConfigRefUri => self.ci_config_ref_uri.filter(|uri| !uri.is_empty()),
            GitlabClaim::CiConfigSha => self.ci_config_sha,
        }
    }
}

fn required_text<'t>(claims: &'t Claims, name: &'static str) -> Result<&'t str, Refusal> {
    match optional_text(claims, name)? {
        Some("") => Err(refusal(Reason::ClaimEmpty, name)),
        Some(text) => Ok(text),
        None => Err(refusal(Reason::ClaimMissing, name)),
    }
}

/// A string, or `None` where the claim is absent or null: GitLab 16 wrote null where later versions leave the claim out.
fn optional_text<'t>(claims: &'t Claims, name: &'static str) -> Result<Option<&'t str>, Refusal> {
    match claims.member(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null) | None => Ok(None),
        Some(_) => Err(refusal(Reason::ClaimWrongType, name).because("It must be a string.")),
    }
}

/// A whole number above zero, as the token spells it.
fn optional_id_number<'t>(claims: &'t Claims, name: &'static str) -> Result<Option<&'t str>, Refusal> {
    let number = match claims.member(name) {
        Some(Value::Number(number)) => number.as_str(),
        Some(Value::Null) | None => return Ok(None),
        Some(_) => return Err(refusal(Reason::ClaimWrongType, name).because("It must be a number.")),
    };
    let digits = number.strip_prefix('-').unwrap_or(number);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refusal(Reason::ClaimWrongType, name)
            .because("It must be a whole number, without a fraction or an exponent."));
    }
    match number.parse::<u64>() {
        Ok(1..) => Ok(Some(number)),
        _ => Err(refusal(Reason::ClaimInvalid, name).because("It must be above zero and fit in 64 bits.")),
    }
}

fn refusal(reason: Reason, claim: &'static str) -> Refusal {
    Refusal::new(reason).of_claim(claim).by_rule(RULE)
}
