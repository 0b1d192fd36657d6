//! The claims of a GitLab job's token as conditions of rules may name them.

use crate::condition::{Member, Record, Type};
use crate::identity::extensions::GitlabClaim;
use crate::identity::kind::registered_claims;

/// What GitLab writes for a yes, a no, and where it cannot say.
pub const FLAG: &[&str] = &["true", "false", ""];
/// Rule 4.
pub const REF_TYPES: &[&str] = &["branch", "tag"];

/// What starts pipelines (app/models/concerns/enums/ci/pipeline.rb). There may be others in later versions.
pub const PIPELINE_SOURCES: &[&str] = &[
    "push",
    "web",
    "trigger",
    "schedule",
    "api",
    "external",
    "pipeline",
    "chat",
    "webide",
    "merge_request_event",
    "external_pull_request_event",
    "parent_pipeline",
    "ondemand_dast_scan",
    "ondemand_dast_validation",
    "security_orchestration_policy",
    "container_registry_push",
    "duo_workflow",
    "pipeline_execution_policy_schedule",
    "unknown",
];

/// The claims that every job's token has by rule 3, and so every certificate of a job: texts that are not empty.
pub const EVERY_JOB_HAS: [GitlabClaim; 11] = [
    GitlabClaim::NamespacePath,
    GitlabClaim::NamespaceId,
    GitlabClaim::ProjectPath,
    GitlabClaim::ProjectId,
    GitlabClaim::PipelineId,
    GitlabClaim::PipelineSource,
    GitlabClaim::JobId,
    GitlabClaim::Ref,
    GitlabClaim::RefType,
    GitlabClaim::RunnerEnvironment,
    GitlabClaim::Sha,
];

/// Texts that depend on GitLab's version, on the pipeline or on the user.
const OPTIONAL: [&str; 21] = [
    "ref_path",
    "environment",
    "environment_protected",
    "environment_action",
    "deployment_tier",
    "job_project_id",
    "job_project_path",
    "job_namespace_id",
    "job_namespace_path",
    "source_project_id",
    "source_project_path",
    "source_namespace_id",
    "source_namespace_path",
    "job_source",
    "project_visibility",
    "ci_config_ref_uri",
    "ci_config_sha",
    "user_id",
    "user_login",
    "user_email",
    "user_access_level",
];

/// `ref_protected` is always there: as "" where the token has none.
pub(super) fn claims() -> Record {
    let required = EVERY_JOB_HAS.map(|claim| match claim {
        GitlabClaim::RefType => (claim.name(), Member::always(Type::Text).one_of(REF_TYPES)),
        _ => (claim.name(), Member::always(Type::Text)),
    });
    let optional = OPTIONAL.map(|name| match name {
        "environment_protected" => (name, Member::sometimes(Type::Text).one_of(FLAG)),
        _ => (name, Member::sometimes(Type::Text)),
    });
    let others = [
        ("ref_protected", Member::always(Type::Text).one_of(FLAG)),
        ("runner_id", Member::sometimes(Type::Int)),
        ("groups_direct", Member::sometimes(Type::texts())),
        // Lists and objects of objects: whether they are there can be asked, and nothing else.
        ("user_identities", Member::record(Record::default(), false)),
        ("job_config", Member::record(Record::default(), false)),
    ];
    registered_claims(required.into_iter().chain(optional).chain(others))
}
