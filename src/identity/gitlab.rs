//! Type `gitlab-pipeline`: the ID token of a GitLab CI/CD job.

use super::Principal;
use super::extensions::ClaimsArc;
use crate::refusal::Refusal;
use crate::token::VerifiedToken;

/// How a pipeline's subject is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectMode {
    /// By its CI configuration: `{instance}/{project}//{config path}@{ref_path}`.
    #[default]
    PipelineDefinition,
    /// By its project: `{instance}/{project_path}@{ref_path}`.
    Project,
}

/// What the operator set for one GitLab.
#[derive(Clone, Debug)]
pub struct GitlabRules {
    /// How the subject is named.
    pub subject: SubjectMode,
    /// The instance's URL without a trailing slash, where it is not the issuer's.
    pub instance_url: Option<String>,
    /// Accept a pipeline of one project that runs in another (rule 6).
    pub allow_fork_pipelines: bool,
    /// Accept merge request pipelines of a GitLab that cannot say whether they come from a fork (rule 6).
    pub allow_undecidable_forks: bool,
    /// The arc for raw claims; `None`: no such extensions.
    pub claims_arc: Option<ClaimsArc>,
}

/// The principal that a verified GitLab token names.
pub fn principal(_issuer: &str, _token: &VerifiedToken, _rules: &GitlabRules) -> Result<Principal, Refusal> {
    todo!()
}
