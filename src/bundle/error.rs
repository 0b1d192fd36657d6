//! Why a bundle was not accepted: a closed list of reasons with stable codes, the place, and words.

use super::admission::Refused;
use std::borrow::Cow;
use std::fmt;

macro_rules! problems {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)+) => {
        /// A reason. The code is a contract: it never changes its meaning, and is never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Problem { $($(#[doc = $doc])+ $name,)+ }

        impl Problem {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What it means.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

problems! {
    // --- files
    /// The bundle is not the JSON of a Sigstore bundle, or has what its version does not allow.
    BundleMalformed = "BUNDLE_MALFORMED";
    /// The bundle is of a version that is not known.
    BundleVersion = "BUNDLE_VERSION";
    /// The trusted root is not one, or lacks what it must have.
    TrustedRootMalformed = "TRUSTED_ROOT_MALFORMED";
    /// The signing config is not one, or names no service that counts now.
    SigningConfigMalformed = "SIGNING_CONFIG_MALFORMED";
    /// A certificate was asked for and the bundle is signed with a managed key, or the other way round.
    SignerMismatch = "SIGNER_MISMATCH";
    // --- what was signed
    /// The artifact is not the one that was signed.
    ArtifactMismatch = "ARTIFACT_MISMATCH";
    /// The signature does not verify.
    SignatureInvalid = "SIGNATURE_INVALID";
    /// The key cannot make such signatures, or the artifact's digest is not enough to verify them.
    SignatureUnsupported = "SIGNATURE_UNSUPPORTED";
    /// The signed payload is not an in-toto statement.
    StatementMalformed = "STATEMENT_MALFORMED";
    /// The statement is not about the artifact, or of another predicate type.
    SubjectMismatch = "SUBJECT_MISMATCH";
    // --- who signed
    /// The certificate cannot be read.
    CertificateMalformed = "CERTIFICATE_MALFORMED";
    /// No trusted authority issued the certificate, or not for signing.
    CertificateUntrusted = "CERTIFICATE_UNTRUSTED";
    /// The certificate or its authority was not valid when the signature was made.
    CertificateNotValid = "CERTIFICATE_NOT_VALID";
    /// No trusted certificate log promised to hold the certificate.
    SctUntrusted = "SCT_UNTRUSTED";
    /// The promise of a trusted certificate log does not hold.
    SctInvalid = "SCT_INVALID";
    /// The certificate names somebody else.
    IdentityMismatch = "IDENTITY_MISMATCH";
    /// Another issuer vouches for the identity.
    IssuerMismatch = "ISSUER_MISMATCH";
    /// No policy admits it.
    NotAdmitted = "NOT_ADMITTED";
    // --- when
    /// Nothing that is trusted says when the signature was made.
    TimeMissing = "TIME_MISSING";
    /// A timestamp cannot be read, or was not granted.
    TimestampMalformed = "TIMESTAMP_MALFORMED";
    /// A timestamp is of another signature.
    TimestampMismatch = "TIMESTAMP_MISMATCH";
    /// No trusted authority made the timestamp.
    TimestampUntrusted = "TIMESTAMP_UNTRUSTED";
    /// A timestamp of a trusted authority does not hold.
    TimestampInvalid = "TIMESTAMP_INVALID";
    /// The timestamp authority was not valid, or not trusted, at the time that it states.
    TimestampNotValid = "TIMESTAMP_NOT_VALID";
    // --- that it was logged
    /// There is no entry of a trusted signature log.
    LogEntryMissing = "LOG_ENTRY_MISSING";
    /// The log entry's body cannot be read, or is of a kind that is not known.
    LogEntryMalformed = "LOG_ENTRY_MALFORMED";
    /// The log entry is about something else.
    LogEntryMismatch = "LOG_ENTRY_MISMATCH";
    /// The log's key was not trusted at that time.
    LogNotValid = "LOG_NOT_VALID";
    /// The log entry lacks its inclusion proof, checkpoint or promise.
    ProofMissing = "PROOF_MISSING";
    /// The inclusion proof does not lead from the entry to the root.
    ProofInvalid = "PROOF_INVALID";
    /// The checkpoint is not one, is of another log or tree, or is not signed by the log.
    CheckpointInvalid = "CHECKPOINT_INVALID";
    /// The log's promise (signed entry timestamp) does not verify.
    PromiseInvalid = "PROMISE_INVALID";
}

/// Why a bundle was not accepted, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationError {
    problem: Problem,
    place: Cow<'static, str>,
    detail: Cow<'static, str>,
    refused: Vec<Refused>,
}

impl VerificationError {
    /// That none of these policies admits it.
    pub(super) fn not_admitted(place: &'static str, refused: Vec<Refused>) -> Self {
        let detail = match refused.as_slice() {
            [one] => format!("the policy \"{}\" does not admit it", one.policy()),
            several => format!("none of {} policies admits it", several.len()),
        };
        Self { refused, ..problem(Problem::NotAdmitted, place, detail) }
    }

    /// Why each of the policies does not admit it, in their order; of other reasons there is none.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The reason.
    pub const fn problem(&self) -> Problem {
        self.problem
    }

    /// Where: a member of the bundle or the trusted root, or what was being checked.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What exactly is wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for VerificationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.place, self.detail, self.problem.code())
    }
}

impl std::error::Error for VerificationError {}

/// An error; for the modules around.
pub(crate) fn problem(
    problem: Problem,
    place: impl Into<Cow<'static, str>>,
    detail: impl Into<Cow<'static, str>>,
) -> VerificationError {
    VerificationError { problem, place: place.into(), detail: detail.into(), refused: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_an_error_says_what_and_where() {
        let codes: std::collections::BTreeSet<_> = Problem::ALL.iter().map(|one| one.code()).collect();
        assert_eq!(codes.len(), Problem::ALL.len());
        assert!(Problem::ALL.iter().all(|one| one.explanation().ends_with('.')));
        let error = problem(Problem::TimeMissing, "timestamps", "there is none");
        assert_eq!(error.to_string(), "timestamps: there is none [TIME_MISSING]");
    }
}
