//! The broker's yes, which no token can be made without.

use super::{AccessLevel, Code, Expiry, Kind, LeaseId, Refused, Revocation, Role, Roles};
use crate::environment::UnixMillis;
use crate::identity::Issuer;
use crate::token::VerifiedToken;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a job asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The role.
    pub role: String,
    /// The path, for roles that let the job choose.
    pub path: Option<String>,
    /// Fewer scopes than the role has; `None`: all.
    pub scopes: Option<Vec<String>>,
    /// Seconds to live; `None`: the role's `ttl`.
    pub ttl: Option<Duration>,
}

/// Who asks, as the verified token says it: what records have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// `iss`.
    pub issuer: String,
    /// `project_path`.
    pub project_path: String,
    /// `project_id`, as a text; leases belong to it and to the job, not to names that move.
    pub project_id: String,
    /// `ref`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// `pipeline_id`.
    pub pipeline_id: String,
    /// `job_id`.
    pub job_id: String,
    /// `user_login`.
    pub user: String,
    /// `user_id`.
    pub user_id: String,
    /// `runner_id`, empty where the token has none.
    pub runner_id: String,
    /// `jti`.
    pub jti: String,
    /// `exp`: until then the token can be used again.
    pub expires: UnixMillis,
}

/// That this job may have this token. Only [`Roles::grant`] makes one, of a verified token.
#[derive(Clone, Debug)]
pub struct Grant {
    // private fields: role name, target, kind, path, user id (impersonation), scopes, access level, ttl, revocation, name template's
    // text, job, limits of the role
}
