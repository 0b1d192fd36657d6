//! Policies of verifiers: named conditions over what was verified. An artifact is admitted by the first whose condition holds.
//!
//! A policy is asked about [`Evidence`] and nothing else, and only a verification that held makes that. What is not there (the claims of
//! a certificate that is no GitLab job's, a statement where a file was signed) satisfies no condition that names it, whatever the
//! condition says of it: `cert.gitlab.project_path != "evil"` admits no certificate without claims. A condition for both asks first:
//! `has(cert.gitlab)`.

mod advice;
mod certificate;
mod evidence;
mod provenance;
mod refused;
mod scope;
#[cfg(test)]
mod tests;

pub use advice::{PolicyAdvice, PolicyLint};
pub use certificate::VerifiedCertificate;
pub use evidence::Evidence;
pub(super) use provenance::Provenance;
pub use refused::{Refused, Why};
pub use scope::{Part, scope};

use super::error::VerificationError;
use crate::condition::{Condition, Fault};
use crate::identity::extensions::ClaimsArc;
use crate::spelling::is_hidden;
use evidence::Asked;

/// How many policies there may be.
pub const MOST_POLICIES: usize = 256;
/// The longest name, in characters.
const LONGEST_NAME: usize = 128;
/// Of how many policies each part of the condition is told where none admits: of all it would be much to read, and to keep.
pub const MOST_EXPLAINED: usize = 16;
/// The place of the error that nothing admits it.
pub(super) const PLACE: &str = "policy";

/// Why something is no list of policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PoliciesError(String);

/// A named condition.
#[derive(Clone, Debug)]
pub struct AdmissionPolicy {
    name: String,
    when: Condition,
    message: Option<String>,
    /// What its condition names without asking whether it is there.
    needs: Vec<Part>,
}

impl AdmissionPolicy {
    /// A policy. `when` is CEL over the names of [`scope()`]; `message` is for whoever is refused by it.
    ///
    /// # Errors
    /// The first thing that is wrong with the condition.
    pub fn new(name: impl Into<String>, when: &str, message: Option<String>) -> Result<Self, Fault> {
        let condition = Condition::compile(when, &scope())?;
        scope::check_extensions(&condition)?;
        let needs = Part::ALL.into_iter().filter(|part| part.is_needed_by(&condition)).collect();
        Ok(Self { name: name.into(), when: condition, message, needs })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its condition.
    pub const fn when(&self) -> &Condition {
        &self.when
    }

    /// What is not there where it can admit nothing.
    pub fn needs(&self) -> &[Part] {
        &self.needs
    }

    fn refuses(&self, asked: &Asked<'_>, is_explained: bool) -> Option<Why> {
        for part in &self.needs {
            match asked.has(*part) {
                Ok(true) => {}
                Ok(false) => return Some(Why::Lacks(*part)),
                Err(undecided) => return Some(Why::Undecided(undecided)),
            }
        }
        match self.when.holds(asked) {
            Ok(true) => None,
            Ok(false) if is_explained => Some(Why::fails(self.when.steps(asked))),
            Ok(false) => Some(Why::AlsoFails),
            Err(undecided) => Some(Why::Undecided(undecided)),
        }
    }
}

/// Policies in their order; at least one, each with a name of its own.
#[derive(Clone, Debug)]
pub struct Policies {
    policies: Vec<AdmissionPolicy>,
    arc: ClaimsArc,
}

impl Policies {
    /// These policies.
    ///
    /// # Errors
    /// There is none, or more than [`MOST_POLICIES`], or a name is empty, too long, has a control character or occurs twice.
    pub fn new(policies: Vec<AdmissionPolicy>) -> Result<Self, PoliciesError> {
        if policies.is_empty() {
            return Err(PoliciesError("there is no policy, so nothing would be admitted".to_owned()));
        }
        if policies.len() > MOST_POLICIES {
            return Err(PoliciesError(format!(
                "there are {} policies; {MOST_POLICIES} are possible",
                policies.len()
            )));
        }
        let mut names = std::collections::BTreeSet::new();
        for policy in &policies {
            check_name(&policy.name)?;
            if !names.insert(policy.name.as_str()) {
                return Err(PoliciesError(format!("the name \"{}\" stands there twice", policy.name)));
            }
        }
        Ok(Self { policies, arc: ClaimsArc::default() })
    }

    /// The same policies where the operator has raw GitLab claims below an arc of their own.
    pub fn with_arc(mut self, arc: ClaimsArc) -> Self {
        self.arc = arc;
        self
    }

    /// The policies, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &AdmissionPolicy> {
        self.policies.iter()
    }

    /// The first policy that admits it.
    ///
    /// # Errors
    /// `NOT_ADMITTED`, with the reason of each of them ([`VerificationError::refused`]), in full of the first [`MOST_EXPLAINED`].
    pub fn admit(&self, evidence: &Evidence<'_>) -> Result<&AdmissionPolicy, VerificationError> {
        let asked = Asked { evidence, arc: &self.arc };
        let mut refused = Vec::new();
        for policy in &self.policies {
            match policy.refuses(&asked, refused.len() < MOST_EXPLAINED) {
                None => return Ok(policy),
                Some(why) => refused.push(Refused::new(policy, why)),
            }
        }
        Err(VerificationError::not_admitted(PLACE, refused))
    }
}

/// Whether a policy may be called so.
///
/// # Errors
/// Words that follow the name.
pub fn check_name(name: &str) -> Result<(), PoliciesError> {
    let length = name.chars().count();
    if length == 0 || length > LONGEST_NAME {
        return Err(PoliciesError(format!("a policy's name has 1 to {LONGEST_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(PoliciesError("a policy's name has no control characters".to_owned()));
    }
    if let Some(hidden) = name.chars().find(|character| is_hidden(*character)) {
        let words = "a policy's name has no character that nobody sees, or that turns others around";
        return Err(PoliciesError(format!("{words}: {}", hidden.escape_unicode())));
    }
    Ok(())
}
