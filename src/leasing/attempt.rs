//! What records and metrics are told.

use crate::broker::{Code, Grant, Job, Kind, Lease, LeaseId, Role, Roles, TokenRequest};
use crate::environment::UnixMillis;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many of the scopes that were asked for are looked at.
const MOST_SCOPES: usize = 32;
/// The role of a request for one that there is not.
const UNKNOWN: &str = "(unknown)";

/// One request for a token, allowed or refused. Never a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub time: UnixMillis,
    /// Who asked. `None`: the ID token does not hold, so it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// The role that was asked for; `(unknown)` where there is none of that name.
    pub role: String,
    /// The instance, once the role has said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whose token it would be, once the role has said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The kind, where a role was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Seconds to live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// The lease, where one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// What the token is called at GitLab, where a lease was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_name: Option<String>,
    /// GitLab's number for the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitlab_token_id: Option<u64>,
    /// SHA-256 of the token, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// `ALLOWED`, or the [`Code`] of the refusal.
    pub outcome: String,
    /// What only operators are told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The outcome of an attempt that got a token.
pub const ALLOWED: &str = "ALLOWED";

impl Attempt {
    /// Of a request for a role; refused until something else is said. What the caller wrote stands here only where the configuration has it
    /// too: anything else may be a token in the wrong place.
    pub(super) fn of(request: &TokenRequest, roles: &Roles, time: UnixMillis) -> Self {
        let role = roles.get(&request.role);
        let scopes = role.map(Role::scopes).unwrap_or_default();
        let asked = request.scopes.iter().flatten().take(MOST_SCOPES);
        Self {
            time,
            job: None,
            role: role.map_or(UNKNOWN, Role::name).to_owned(),
            target: None,
            path: None,
            kind: None,
            scopes: asked.filter(|scope| scopes.contains(scope)).cloned().collect(),
            ttl: request.ttl.map(|ttl| ttl.as_secs()),
            lease: None,
            token_name: None,
            gitlab_token_id: None,
            sha256: None,
            outcome: Code::TargetRefused.code().to_owned(),
            detail: String::new(),
        }
    }

    /// What a role has given.
    pub(super) fn note(&mut self, grant: &Grant) {
        self.job = Some(grant.job().clone());
        self.kind = Some(grant.kind());
        self.target = Some(grant.target().to_owned());
        self.path = Some(grant.path().to_owned());
        self.scopes = grant.scopes().to_vec();
        self.ttl = Some(grant.ttl().as_secs());
    }
}

/// Something that operators count.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// A token was found that no reply had told of: it is revoked.
    ReconcileOrphan(&'e Lease),
    /// A token could not be revoked, and will be tried again.
    RevokeRetry(&'e Lease),
    /// A token could not be revoked for long: somebody has to look.
    RevokeStuck(&'e Lease),
    /// An operator gives a lease up: its token may live.
    Abandoned(&'e Lease),
    /// A target does not answer, or does not take the main credential.
    TargetDown {
        /// The target.
        target: &'e str,
        /// What the last call said.
        detail: &'e str,
    },
    /// It answers again.
    TargetUp {
        /// The target.
        target: &'e str,
    },
    /// The main credential was replaced.
    CredentialRotated {
        /// The target.
        target: &'e str,
        /// GitLab's number for the new one.
        id: u64,
    },
    /// It was not, and why.
    RotationFailed {
        /// The target.
        target: &'e str,
        /// Why.
        detail: &'e str,
    },
    /// The store does not take what it should.
    StoreDown {
        /// Why.
        detail: &'e str,
    },
    /// The store takes it again.
    StoreUp,
    /// The main credential ends soon, or is not accepted.
    CredentialEnding {
        /// The target.
        target: &'e str,
        /// How long it still has.
        left: Duration,
    },
    /// A role asks for what the target's GitLab does not have.
    RoleTooNew {
        /// The target.
        target: &'e str,
        /// The role.
        role: &'e str,
        /// What, and since when there is such a thing.
        detail: &'e str,
    },
    /// The store has a credential's record of a target, or of an instance, that is not configured: it is left as it is.
    CredentialElsewhere {
        /// The target's name, a space, and the instance's URL.
        place: &'e str,
    },
}

impl Event<'_> {
    /// The names in log lines and metrics.
    pub const NAMES: [&'static str; 13] = [
        "reconcile-orphan",
        "revoke-retry",
        "revoke-stuck",
        "token-abandon",
        "target-down",
        "target-up",
        "config-rotate",
        "config-rotate-failed",
        "store-down",
        "store-up",
        "config-ending",
        "config-elsewhere",
        "role-too-new",
    ];

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ReconcileOrphan(_) => "reconcile-orphan",
            Self::RevokeRetry(_) => "revoke-retry",
            Self::RevokeStuck(_) => "revoke-stuck",
            Self::Abandoned(_) => "token-abandon",
            Self::TargetDown { .. } => "target-down",
            Self::TargetUp { .. } => "target-up",
            Self::CredentialRotated { .. } => "config-rotate",
            Self::RotationFailed { .. } => "config-rotate-failed",
            Self::StoreDown { .. } => "store-down",
            Self::StoreUp => "store-up",
            Self::CredentialEnding { .. } => "config-ending",
            Self::CredentialElsewhere { .. } => "config-elsewhere",
            Self::RoleTooNew { .. } => "role-too-new",
        }
    }

    /// The target that it concerns. Weakness of others: their event of a rotation never said which.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::ReconcileOrphan(lease)
            | Self::RevokeRetry(lease)
            | Self::RevokeStuck(lease)
            | Self::Abandoned(lease) => Some(&lease.target),
            Self::TargetDown { target, .. }
            | Self::TargetUp { target }
            | Self::CredentialRotated { target, .. }
            | Self::RotationFailed { target, .. }
            | Self::CredentialEnding { target, .. }
            | Self::RoleTooNew { target, .. } => Some(target),
            Self::CredentialElsewhere { place } => place.split(' ').next(),
            Self::StoreDown { .. } | Self::StoreUp => None,
        }
    }
}
