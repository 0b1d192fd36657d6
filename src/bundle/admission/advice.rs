//! Policies that admit more than their author thinks.

use super::{AdmissionPolicy, Policies};
use crate::condition::Lint;

/// Names that say who signed.
const SIGNERS: [&str; 17] = [
    "cert.san",
    "cert.gitlab.project_path",
    "cert.gitlab.project_id",
    "cert.gitlab.namespace_path",
    "cert.gitlab.namespace_id",
    "cert.gitlab.job_project_path",
    "cert.gitlab.job_project_id",
    "cert.gitlab.ci_config_ref_uri",
    "cert.fulcio.build_signer_uri",
    "cert.fulcio.build_config_uri",
    "cert.fulcio.source_repository_uri",
    "cert.fulcio.source_repository_identifier",
    "cert.fulcio.source_repository_owner_uri",
    "cert.fulcio.source_repository_owner_identifier",
    "cert.fulcio.token_subject",
    "cert.fulcio.github_workflow_repository",
    "cert.fulcio.run_invocation_uri",
];
/// Names that say who vouches for it.
const ISSUERS: [&str; 3] = ["cert.issuer", "cert.fulcio.issuer", "cert.fulcio.issuer_v2"];

/// A kind of mistake. The codes are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyLint {
    /// One of any condition.
    Condition(Lint),
    /// The policy does not ask who signed, so everybody is admitted.
    SignerNotNamed,
    /// Names and ids are worth as much as the issuer that gives them: another GitLab may have the same.
    IssuerNotNamed,
}

impl PolicyLint {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Condition(lint) => lint.code(),
            Self::SignerNotNamed => "SIGNER_NOT_NAMED",
            Self::IssuerNotNamed => "ISSUER_NOT_NAMED",
        }
    }

    /// Whether an identity or a key that is expected beside the policies makes it no mistake.
    pub const fn is_of_identity(self) -> bool {
        matches!(self, Self::SignerNotNamed | Self::IssuerNotNamed)
    }
}

/// What a policy should rather be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyAdvice {
    /// The policy's name.
    pub policy: String,
    /// The kind of mistake.
    pub lint: PolicyLint,
    /// What was found, why it matters, and what to write.
    pub message: String,
}

impl AdmissionPolicy {
    /// What its author should know.
    pub fn advice(&self) -> Vec<PolicyAdvice> {
        let advice = |lint, message: String| PolicyAdvice { policy: self.name.clone(), lint, message };
        let names: Vec<String> = self.when.names().map(|path| path.join(".")).collect();
        let names_one = |wanted: &[&str]| names.iter().any(|name| wanted.contains(&name.as_str()));
        let mut found = Vec::new();
        let everybody = self.when.constant() == Some(true);
        if everybody || !names_one(&SIGNERS) && !names.iter().any(|name| name.starts_with("cert.extensions."))
        {
            found.push(advice(
                PolicyLint::SignerNotNamed,
                "does not ask who signed, and admits everybody who can get a certificate; ask for cert.gitlab.project_id, for instance"
                    .to_owned(),
            ));
        } else if !names_one(&ISSUERS) {
            found.push(advice(
                PolicyLint::IssuerNotNamed,
                "does not ask who vouches for the signer; names and ids are unique with one issuer only: ask for cert.issuer as well"
                    .to_owned(),
            ));
        }
        let of_condition = self.when.advice().into_iter();
        found.extend(of_condition.map(|it| advice(PolicyLint::Condition(it.lint), it.message)));
        found
    }
}

impl Policies {
    /// What the authors of all of them should know.
    pub fn advice(&self) -> Vec<PolicyAdvice> {
        self.policies.iter().flat_map(AdmissionPolicy::advice).collect()
    }
}
