//! Why a job gets no token: one closed list, each reason with the OAuth error that tells it.

use crate::refusal::{Fault, Reason, Refusal};
use std::fmt;
use std::time::Duration;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:literal, $error:literal;)+) => {
        /// A reason. The code is a contract: it stands in records and metrics, and never changes its meaning. What the caller is told is
        /// [`Self::error`] and, where that tells nobody anything, the explanation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// All of them, in the order of docs/BROKER.md.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// `error` of RFC 6749 §5.2 and RFC 8693 §2.2.2.
            pub const fn error(self) -> &'static str {
                match self { $(Self::$name => $error,)+ }
            }

            /// What was wrong and what to do, for the caller.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// A parameter is missing, given twice, or not as docs/BROKER.md has it.
    RequestInvalid = "BROKER_REQUEST_INVALID", 400, "invalid_request";
    /// The grant type is not urn:ietf:params:oauth:grant-type:token-exchange.
    GrantTypeUnsupported = "BROKER_GRANT_TYPE_UNSUPPORTED", 400, "unsupported_grant_type";
    /// The ID token is not accepted: it must be a GitLab job's, unexpired, with the broker's audience and no other.
    TokenRefused = "BROKER_TOKEN_REFUSED", 400, "invalid_request";
    /// There is no such role for this job, or not with this path.
    TargetRefused = "BROKER_TARGET_REFUSED", 400, "invalid_target";
    /// A scope is not one of the role's.
    ScopeRefused = "BROKER_SCOPE_REFUSED", 400, "invalid_scope";
    /// The time to live must be whole seconds, from ten to the role's most.
    TtlRefused = "BROKER_TTL_REFUSED", 400, "invalid_request";
    /// This ID token was already used for this role as often as it may be.
    TokenUsed = "BROKER_TOKEN_USED", 400, "invalid_request";
    /// The role or the project has as many live tokens, or asks as often, as it may. Try again later.
    LimitReached = "BROKER_LIMIT_REACHED", 429, "temporarily_unavailable";
    /// The lease belongs to another job.
    LeaseOfAnother = "BROKER_LEASE_OF_ANOTHER", 403, "access_denied";
    /// There is no such lease.
    LeaseUnknown = "BROKER_LEASE_UNKNOWN", 404, "invalid_request";
    /// There is no such target.
    TargetUnknown = "BROKER_TARGET_UNKNOWN", 404, "invalid_request";
    /// The main credential was not replaced.
    NotRotated = "BROKER_NOT_ROTATED", 409, "invalid_request";
    /// GitLab refused to make the token; the operator finds why in the lease's record.
    GitlabRefused = "BROKER_GITLAB_REFUSED", 502, "invalid_target";
    /// GitLab cannot be reached or does not answer. Try again later.
    GitlabUnavailable = "BROKER_GITLAB_UNAVAILABLE", 503, "temporarily_unavailable";
    /// The keys of the token's issuer cannot be fetched. Try again later.
    IssuerUnavailable = "BROKER_ISSUER_UNAVAILABLE", 503, "temporarily_unavailable";
    /// The lease could not be written down, so no token is handed out. Try again later.
    StoreUnavailable = "BROKER_STORE_UNAVAILABLE", 503, "temporarily_unavailable";
    /// The server is stopping. Try again later.
    ShuttingDown = "BROKER_SHUTTING_DOWN", 503, "temporarily_unavailable";
}

/// A refusal: the reason, when to try again, and what only the record is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    code: Code,
    record: String,
    retry_after: Option<Duration>,
    token: Option<Reason>,
}

impl Refused {
    /// For this reason.
    pub const fn new(code: Code) -> Self {
        Self { code, record: String::new(), retry_after: None, token: None }
    }

    /// With what the operator's record says of it: never shown to callers, and without a token.
    #[must_use]
    pub fn because(mut self, record: impl Into<String>) -> Self {
        self.record = record.into();
        self
    }

    /// With when another try is worth it.
    #[must_use]
    pub const fn retry_after(mut self, later: Duration) -> Self {
        self.retry_after = Some(later);
        self
    }

    /// The reason.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What the record says; empty where the code says it all.
    pub fn record(&self) -> &str {
        &self.record
    }

    /// Why the ID token does not hold, where that is it. For the record, unless it gives nothing away.
    pub const fn of_token(&self) -> Option<Reason> {
        self.token
    }

    /// When to try again.
    pub const fn wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.code())
    }
}

impl std::error::Error for Refused {}

impl From<Refusal> for Refused {
    /// An ID token that does not hold. Callers are told one and the same text; the record has the reason.
    fn from(refusal: Refusal) -> Self {
        let reason = refusal.reason();
        let code = match reason.fault() {
            Fault::Caller => Code::TokenRefused,
            Fault::Issuer => Code::IssuerUnavailable,
            Fault::Server => Code::StoreUnavailable,
        };
        let wait = (code != Code::TokenRefused).then_some(Duration::from_secs(5));
        let claim = refusal.claim().map(|claim| format!(" ({claim})")).unwrap_or_default();
        Self { code, record: format!("{}{claim}", reason.code()), retry_after: wait, token: Some(reason) }
    }
}
