//! Type `gitlab-pipeline`: the ID token of a GitLab CI/CD job.
//!
//! The rules have names, `gitlab-1` to `gitlab-10`; `docs/ISSUANCE.md` lists them. 1 and 2 (algorithm, audience) are
//! [`Issuer::entry_for`](super::Issuer::entry_for)'s. Here, in this order:
//!
//! | rule | what it asks | where |
//! |---|---|---|
//! | 3 | the claims are there, with the types that GitLab gives them | `schema` |
//! | 9 | no control character (Unicode's category Cc) in what enters the certificate; then the formats of paths, refs and ids | `characters` |
//! | 4 | `ref_type`, `ref` and `ref_path` agree | `subject` |
//! | 6 | no project's pipeline runs under another project's name | this file |
//! | 5, 7 | the subject: one, unambiguous, percent-encoded | `subject` |
//! | 8 | the extensions carry the raw values | this file |
//!
//! What this does not do: parse an identity out of `sub` (its shape is a maintainer's choice; it is only embedded), or
//! read a claim about a person. What the operator chose never changes which tokens are well-formed: a claim is checked even where the
//! claims' arc is turned off.

mod characters;
mod names;
mod schema;
mod subject;

pub use names::{EVERY_JOB_HAS, FLAG, PIPELINE_SOURCES, REF_TYPES};
pub use subject::Instance;

use super::extensions::{self as oid, ClaimsArc, ExtensionList, GitlabClaim};
use super::{IdentityExtension, IdentityType, Named, SubjectAltName};
use crate::condition::Record;
use crate::refusal::{Reason, Refusal};
use crate::token::{Algorithm, Claims};
use schema::JobClaims;
use subject::Subject;

/// How a pipeline's subject is named (rule 5).
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
    /// The instance's URL, where it is not the issuer's (a bucket's): checked with [`Instance::parse`]. A trailing slash does not count.
    pub instance_url: Option<String>,
    /// Accept a pipeline of one project that runs in another (rule 6).
    pub allow_fork_pipelines: bool,
    /// Accept merge request pipelines of a GitLab that cannot say whether they come from a fork (rule 6).
    pub allow_undecidable_forks: bool,
    /// The arc for raw claims; `None`: no such extensions.
    pub claims_arc: Option<ClaimsArc>,
}

impl Default for GitlabRules {
    /// The strict rules, with the raw claims under countersign's own arc.
    fn default() -> Self {
        Self {
            subject: SubjectMode::default(),
            instance_url: None,
            allow_fork_pipelines: false,
            allow_undecidable_forks: false,
            claims_arc: Some(ClaimsArc::default()),
        }
    }
}

impl IdentityType for GitlabRules {
    fn name(&self) -> &'static str {
        "gitlab-pipeline"
    }

    /// Rule 1: GitLab has RS256 hard-coded.
    fn algorithms(&self) -> &'static [Algorithm] {
        &[Algorithm::RS256]
    }

    fn project_claim(&self) -> &'static str {
        "project_path"
    }

    fn claims(&self) -> Record {
        names::claims()
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        from_claims(issuer, claims, self)
    }
}

fn from_claims(issuer: &str, claims: &Claims, rules: &GitlabRules) -> Result<Named, Refusal> {
    let instance = Instance::parse(rules.instance_url.as_deref().unwrap_or(issuer)).map_err(|_| {
        Refusal::new(Reason::Internal)
            .because("The issuer's URL cannot stand in a subject: set `instance_url`.")
    })?;
    let job = JobClaims::read(claims)?;
    characters::check(&job)?;
    let ref_path = subject::ref_path(&job)?;
    forks(&job, rules)?;
    let subject = Subject::of(&job, &ref_path, &instance, rules.subject)?;
    let extensions = extensions(issuer, &job, &ref_path, &instance, &subject, rules.claims_arc.as_ref());
    Ok(Named::new(issuer, SubjectAltName::Uri(subject.uri), extensions, job.sub))
}

/// Rule 6: the pipeline runs in the project whose it is. A fork's merge request that runs in its parent has the parent's
/// name in `ci_config_ref_uri`, with a branch that any outsider can call `main`.
fn forks(job: &JobClaims<'_>, rules: &GitlabRules) -> Result<(), Refusal> {
    const RULE: &str = "gitlab-6";
    // One project has one path: where only one of the two differs, the claims contradict each other.
    let differs = |said: Option<&str>, own: &str| said.is_some_and(|said| said != own);
    let foreign = if differs(job.job_project_id, job.project_id) {
        Some(GitlabClaim::JobProjectId)
    } else if differs(job.job_project_path, job.project_path) {
        Some(GitlabClaim::JobProjectPath)
    } else {
        None
    };
    if let Some(claim) = foreign
        && !rules.allow_fork_pipelines
    {
        return Err(Refusal::new(Reason::ForkPipeline).of_claim(claim.name()).by_rule(RULE));
    }
    // A child pipeline gets its parent's merge request, with the fork's branch, and a source of its own.
    let may_be_a_forks = ["merge_request_event", "parent_pipeline"].contains(&job.pipeline_source);
    let undecidable = job.job_project_id.is_none() && may_be_a_forks;
    if undecidable && !rules.allow_undecidable_forks {
        return Err(Refusal::new(Reason::ForkUndecidable)
            .of_claim(GitlabClaim::PipelineSource.name())
            .by_rule(RULE)
            .because("GitLab 18.4 and later say it in `job_project_id`."));
    }
    Ok(())
}

/// Rule 8: Fulcio's extensions ascending, then the raw claims ascending. An absent or empty optional value: none.
fn extensions(
    issuer: &str,
    job: &JobClaims<'_>,
    ref_path: &str,
    instance: &Instance<'_>,
    subject: &Subject,
    arc: Option<&ClaimsArc>,
) -> Vec<IdentityExtension> {
    let url = instance.url();
    let project_url = [url, "/", job.project_path].concat();
    let owner_url = [url, "/", job.namespace_path].concat();
    let job_url = [url, "/", job.running_project(), "/-/jobs/", job.job_id].concat();
    let fulcio = [
        (oid::ISSUER_V2, Some(issuer)),
        (oid::BUILD_SIGNER_URI, Some(&*subject.text)),
        (oid::BUILD_SIGNER_DIGEST, job.ci_config_sha),
        (oid::RUNNER_ENVIRONMENT, Some(job.runner_environment)),
        (oid::SOURCE_REPOSITORY_URI, Some(&*project_url)),
        (oid::SOURCE_REPOSITORY_DIGEST, Some(job.sha)),
        (oid::SOURCE_REPOSITORY_REF, Some(ref_path)),
        (oid::SOURCE_REPOSITORY_IDENTIFIER, Some(job.project_id)),
        (oid::SOURCE_REPOSITORY_OWNER_URI, Some(&*owner_url)),
        (oid::SOURCE_REPOSITORY_OWNER_IDENTIFIER, Some(job.namespace_id)),
        (oid::BUILD_CONFIG_URI, Some(&*subject.text)),
        (oid::BUILD_CONFIG_DIGEST, job.ci_config_sha),
        (oid::BUILD_TRIGGER, Some(job.pipeline_source)),
        (oid::RUN_INVOCATION_URI, Some(&*job_url)),
        (oid::SOURCE_REPOSITORY_VISIBILITY_AT_SIGNING, job.project_visibility),
        (oid::DEPLOYMENT_ENVIRONMENT, job.environment),
        (oid::TOKEN_SUBJECT, Some(job.sub)),
    ];
    let raw = arc.into_iter().flat_map(|arc| GitlabClaim::ALL.map(|claim| (arc.oid(claim), job.raw(claim))));

    let mut list = ExtensionList::with_capacity(1 + fulcio.len() + GitlabClaim::ALL.len());
    list.push(oid::ISSUER, issuer);
    for (oid, value) in fulcio.into_iter().chain(raw) {
        if let Some(value) = value {
            list.push(oid, value);
        }
    }
    list.finish()
}

#[cfg(test)]
mod tests;
