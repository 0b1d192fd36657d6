//! Why a request was refused: one closed list of reasons, each with a stable code.
//!
//! The presentation of a reason (HTTP status, gRPC code, public message) is not here but in `api::error`, once.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Who can do something about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Whoever sent the request: sending it again unchanged is of no use.
    Caller,
    /// The token's issuer: it could not be reached, or what it serves is wrong. Worth another try.
    Issuer,
    /// The CA, its log or its store. Worth another try.
    Server,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $fault:ident;)+) => {
        /// A reason for a refusal. The code is a contract: it never changes its meaning, and is never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason there is, in the order of `docs/ERRORS.md`.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable code, `UPPER_SNAKE_CASE`, as `ErrorInfo.reason` carries it (AIP-193).
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Who can do something about it.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)+ }
            }

            /// What was wrong and what to do about it, in one or two sentences for the caller.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    // --- the request
    /// The request does not have the form that is expected here. Compare it with the API description.
    RequestMalformed = "REQUEST_MALFORMED", Caller;
    /// The request's body or headers are larger than the server accepts.
    RequestTooLarge = "REQUEST_TOO_LARGE", Caller;
    /// There is nothing at this path.
    NotFound = "NOT_FOUND", Caller;
    /// This path does not know this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", Caller;
    /// The request did not arrive in time.
    RequestTimeout = "REQUEST_TIMEOUT", Caller;
    /// The request is compressed, which this server does not undo. Send it as it is.
    EncodingUnsupported = "ENCODING_UNSUPPORTED", Caller;
    /// There is no gRPC service or method of this name. Server reflection lists those that there are.
    RpcUnknown = "RPC_UNKNOWN", Caller;
    /// The body is empty.
    RequestEmpty = "REQUEST_EMPTY", Caller;
    /// The body's content type is not one that is read here. Compare it with the API description.
    ContentTypeUnsupported = "CONTENT_TYPE_UNSUPPORTED", Caller;
    // --- the token
    /// The request has no ID token: put it into `credentials.oidcIdentityToken` or into `Authorization: Bearer`.
    TokenMissing = "TOKEN_MISSING", Caller;
    /// The ID token is larger than 64 KiB.
    TokenTooLarge = "TOKEN_TOO_LARGE", Caller;
    /// The ID token is not a signed JWT in compact form: three base64url segments, the first two of them JSON objects.
    TokenMalformed = "TOKEN_MALFORMED", Caller;
    /// The ID token's `alg` is not one that this issuer's tokens may have.
    TokenAlgorithmNotAllowed = "TOKEN_ALGORITHM_NOT_ALLOWED", Caller;
    /// The ID token's `iss` is not a configured issuer; it is compared byte for byte. Ask the operator to add it.
    TokenIssuerUnknown = "TOKEN_ISSUER_UNKNOWN", Caller;
    /// The ID token names a signing key that its issuer does not publish.
    TokenKeyUnknown = "TOKEN_KEY_UNKNOWN", Caller;
    /// The ID token's signature does not verify with the issuer's key.
    TokenSignatureInvalid = "TOKEN_SIGNATURE_INVALID", Caller;
    /// The ID token's `aud` is not the audience configured for its issuer; GitLab jobs set it under `id_tokens`.
    TokenAudienceMismatch = "TOKEN_AUDIENCE_MISMATCH", Caller;
    /// The ID token names several audiences and could be replayed here by another of them; ask for one with one audience.
    TokenAudienceAmbiguous = "TOKEN_AUDIENCE_AMBIGUOUS", Caller;
    /// The ID token has expired. Sign earlier in the job, or raise the job's timeout, which is the token's lifetime.
    TokenExpired = "TOKEN_EXPIRED", Caller;
    /// The ID token is not valid yet; the clocks of issuer and CA may differ.
    TokenNotYetValid = "TOKEN_NOT_YET_VALID", Caller;
    // --- its claims
    /// A claim that the certificate needs is absent or null.
    ClaimMissing = "CLAIM_MISSING", Caller;
    /// A claim has a JSON type that the issuer never gives it.
    ClaimWrongType = "CLAIM_WRONG_TYPE", Caller;
    /// A claim that the certificate needs is an empty string.
    ClaimEmpty = "CLAIM_EMPTY", Caller;
    /// A claim has a value that its issuer never gives it.
    ClaimInvalid = "CLAIM_INVALID", Caller;
    /// A claim that would enter the certificate has a control character.
    ClaimControlCharacter = "CLAIM_CONTROL_CHARACTER", Caller;
    /// `ref_type` is neither `branch` nor `tag`.
    RefTypeUnknown = "REF_TYPE_UNKNOWN", Caller;
    /// `ref_path` is not what `ref_type` and `ref` make: `refs/heads/{ref}` or `refs/tags/{ref}`.
    RefPathContradiction = "REF_PATH_CONTRADICTION", Caller;
    /// The pipeline of one project (a fork) runs in another: its certificate would carry the parent's name.
    ForkPipeline = "FORK_PIPELINE", Caller;
    /// This GitLab is too old to say whether a merge request comes from a fork, so pipelines of merge requests are refused, and child pipelines.
    ForkUndecidable = "FORK_UNDECIDABLE", Caller;
    /// `ci_config_ref_uri` is not a path below the job's project on the token's own GitLab instance at the token's ref.
    ConfigUriContradiction = "CONFIG_URI_CONTRADICTION", Caller;
    /// The configuration's path or the ref reads as another identity: it contains `@`, `://` or `@refs/`.
    ConfigUriAmbiguous = "CONFIG_URI_AMBIGUOUS", Caller;
    /// A claim would replace a URL, or the subject's host, that the operator has configured for this provider.
    ClaimReplacesUrl = "CLAIM_REPLACES_URL", Caller;
    /// A template of the configuration makes nothing of these claims that can stand in a certificate.
    TemplateFailed = "TEMPLATE_FAILED", Caller;
    // --- the key and its proof
    /// The request has neither a public key with a proof of possession nor a certificate signing request.
    KeyMissing = "KEY_MISSING", Caller;
    /// The public key cannot be parsed: PEM of a SubjectPublicKeyInfo or of a PKCS#1 RSAPublicKey is expected.
    KeyUnparsable = "KEY_UNPARSABLE", Caller;
    /// The public key is not strong enough: use ECDSA P-256, P-384 or P-521, Ed25519, or a sound RSA key of 2048, 3072 or 4096 bits.
    KeyInsecure = "KEY_INSECURE", Caller;
    /// The certificate signing request cannot be parsed: base64 of its PEM is expected.
    CsrUnparsable = "CSR_UNPARSABLE", Caller;
    /// The certificate signing request is signed with an algorithm that is not permitted for its key.
    CsrAlgorithmNotPermitted = "CSR_ALGORITHM_NOT_PERMITTED", Caller;
    /// The proof of possession does not verify with the public key.
    ProofInvalid = "PROOF_INVALID", Caller;
    // --- the operator's rules
    /// The operator's rules do not allow this certificate. What its message asks for may change that; asking again does not.
    PolicyDenied = "POLICY_DENIED", Caller;
    // --- submissions to the log
    /// The submitted chain is not proper, or does not lead to a root that this log accepts.
    ChainNotAccepted = "CHAIN_NOT_ACCEPTED", Caller;
    // --- timestamps
    /// The hash algorithm is not one of SHA-256, SHA-384 and SHA-512.
    TimestampHashUnsupported = "TIMESTAMP_HASH_UNSUPPORTED", Caller;
    /// The hash does not have the length of its algorithm.
    TimestampHashLength = "TIMESTAMP_HASH_LENGTH", Caller;
    /// The request names a policy that is not this authority's. Leave it out.
    TimestampPolicyUnknown = "TIMESTAMP_POLICY_UNKNOWN", Caller;
    /// The request has extensions; this authority knows none.
    TimestampExtensionUnknown = "TIMESTAMP_EXTENSION_UNKNOWN", Caller;
    // --- entries of the signature log
    /// The request has no entry: `hashedRekordRequestV002` or `dsseRequestV002` is expected.
    EntryKindMissing = "ENTRY_KIND_MISSING", Caller;
    /// A signature comes without its `verifier`: `x509Certificate` or `publicKey`, with `rawBytes` in DER.
    VerifierMissing = "VERIFIER_MISSING", Caller;
    /// The verifier's certificate or public key cannot be read: DER is expected, of a certificate or of a SubjectPublicKeyInfo.
    VerifierUnparsable = "VERIFIER_UNPARSABLE", Caller;
    /// The verifier's `keyDetails` is missing, or no algorithm that this log takes: ECDSA P-256, P-384, P-521, RSA PKCS#1 v1.5, Ed25519ph.
    VerifierAlgorithmNotAllowed = "VERIFIER_ALGORITHM_NOT_ALLOWED", Caller;
    /// The verifier's key is not of the kind that its `keyDetails` names.
    VerifierKeyMismatch = "VERIFIER_KEY_MISMATCH", Caller;
    /// The digest does not have the length that the algorithm's hash gives.
    DigestLengthWrong = "DIGEST_LENGTH_WRONG", Caller;
    /// The envelope is not one that this log takes.
    EnvelopeInvalid = "ENVELOPE_INVALID", Caller;
    /// A signature is missing, or does not verify with the verifier's key.
    EntrySignatureInvalid = "ENTRY_SIGNATURE_INVALID", Caller;
    /// The entry would have more than 65,535 octets, which no log of this kind can hold.
    EntryTooLarge = "ENTRY_TOO_LARGE", Caller;
    /// This log does not take entries of everybody, and not of this key. Ask the operator to admit it.
    WriterNotAdmitted = "WRITER_NOT_ADMITTED", Caller;
    // --- the issuer
    /// The issuer's keys could not be fetched. Try again later.
    IssuerUnavailable = "ISSUER_UNAVAILABLE", Issuer;
    /// The CA does not know the token's key, and asked for keys too often lately to ask again at once. Try again later.
    KeyFetchLimited = "KEY_FETCH_LIMITED", Issuer;
    // --- the server
    /// The transparency log cannot take the entry now, so no certificate was issued. Try again later.
    LogUnavailable = "LOG_UNAVAILABLE", Server;
    /// The signature log cannot take the entry now. Try again later.
    SignatureLogUnavailable = "SIGNATURE_LOG_UNAVAILABLE", Server;
    /// The CA cannot sign now. Try again later.
    CaUnavailable = "CA_UNAVAILABLE", Server;
    /// The timestamp authority cannot sign now: its key or its certificate cannot be used. Try again later.
    TimestampUnavailable = "TIMESTAMP_UNAVAILABLE", Server;
    /// The timestamp authority does not trust its clock, so it says no time. Try again later.
    TimeUnavailable = "TIME_UNAVAILABLE", Server;
    /// The server has more work than it can take. Try again later.
    Overloaded = "OVERLOADED", Server;
    /// The server is shutting down. Try again later.
    ShuttingDown = "SHUTTING_DOWN", Server;
    /// The server failed in a way that nobody foresaw.
    Internal = "INTERNAL", Server;
}

/// A refusal: the reason, and what of the request it concerns.
///
/// It carries no value of any claim but `iss`, no token, no key and no proof: everything in it may be published and logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    reason: Reason,
    claim: Option<Cow<'static, str>>,
    rule: Option<Cow<'static, str>>,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal for `reason`.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, claim: None, rule: None, detail: None, retry_after: None }
    }

    /// Names the claim (its name, never its value) that the refusal is about.
    pub fn of_claim(mut self, claim: impl Into<Cow<'static, str>>) -> Self {
        self.claim = Some(claim.into());
        self
    }

    /// Names the rule that was broken: one of `docs/ISSUANCE.md`, `gitlab-3` for instance, or the operator's own.
    pub fn by_rule(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Adds words to the reason's own explanation. They reach the caller and the log: no claim's value, no token, no key.
    pub fn because(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// When another try has a chance. Whole seconds are shown, rounded up.
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The reason.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The claim's name, where one is at fault.
    pub fn claim(&self) -> Option<&str> {
        self.claim.as_deref()
    }

    /// The rule's name, where one was broken.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// What was wrong in this very request, beyond the reason's explanation.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Seconds for a `Retry-After` header (RFC 9110 §10.2.3): at least 1.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_millis().div_ceil(1000).max(1) as u64)
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.reason.explanation())?;
        if let Some(claim) = &self.claim {
            write!(f, " (claim {claim})")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, " {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_upper_snake_case() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(count, codes.len());
    }

    #[test]
    fn what_is_malformed_is_not_always_json() {
        assert!(!Reason::RequestMalformed.explanation().contains("JSON"));
    }

    #[test]
    fn a_wait_is_shown_in_whole_seconds_never_zero() {
        let wait = |millis| {
            Refusal::new(Reason::Overloaded).retry_after(Duration::from_millis(millis)).retry_after_seconds()
        };
        assert_eq!([wait(0), wait(1), wait(1000), wait(1001)], [Some(1), Some(1), Some(1), Some(2)]);
    }
}
