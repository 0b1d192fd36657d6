//! The broker's yes, which no token can be made without.

use super::name::{NameFacts, NameTemplate};
use super::roles::Described;
use super::scopes::{ScopeFault, check_since};
use super::{
    AccessLevel, Code, GitlabVersion, Kind, Lease, LeaseId, Phase, Refused, Revocation, Role, expiry_after,
};
use crate::environment::UnixMillis;
use crate::token::Claims;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// What a job asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The role.
    pub role: String,
    /// The instance that the job means; `None`: the role's.
    pub target: Option<String>,
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

/// The longest text of a claim in records, in characters; `jti` beyond it is refused, since it has to be told from others.
const LONGEST_CLAIM: usize = 255;

impl Job {
    /// From claims that were verified. What only records have is cut, and is empty where the token does not say it.
    ///
    /// # Errors
    /// [`Code::TokenRefused`]: it has no `jti`, or one that is too long, so that its uses could not be counted.
    pub(super) fn of(issuer: &str, claims: &Claims, expires: UnixMillis) -> Result<Self, Refused> {
        let text = |name: &str| match claims.member(name) {
            Some(Value::String(text)) => {
                text.chars().filter(|character| !character.is_control()).take(LONGEST_CLAIM).collect()
            }
            Some(Value::Number(number)) => number.as_str().chars().take(LONGEST_CLAIM).collect(),
            _ => String::new(),
        };
        let jti = match claims.member("jti") {
            Some(Value::String(jti)) if (1..=LONGEST_CLAIM).contains(&jti.len()) => jti.clone(),
            _ => {
                let why = "it has no jti of 1 to 255 octets, so its uses cannot be counted";
                return Err(Refused::new(Code::TokenRefused).because(why));
            }
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            project_path: text("project_path"),
            project_id: text("project_id"),
            reference: text("ref"),
            pipeline_id: text("pipeline_id"),
            job_id: text("job_id"),
            user: text("user_login"),
            // Only a text is one: what follows from it must not depend on how a number is spelled.
            user_id: claims.member("user_id").and_then(Value::as_str).map(str::to_owned).unwrap_or_default(),
            runner_id: text("runner_id"),
            jti,
            expires,
        })
    }

    /// Its project, whatever that is called: `issuer` and `project_id`.
    pub fn project(&self) -> (String, String) {
        (self.issuer.clone(), self.project_id.clone())
    }

    /// Whether two tokens are of the same job: same issuer, project and job by their numbers.
    pub fn is_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.project_id == other.project_id && self.job_id == other.job_id
    }
}

/// GitLab's number for the job's own project or group, as its ID token has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// It.
    pub id: u64,
    /// How many steps above the end of the grant's path what it numbers is: of `acme/sub/app` 0 is the project, 1 `acme/sub`, 2 `acme`.
    pub above: usize,
}

/// That this job may have this token. Only [`Roles::grant`](super::Roles::grant) makes one, of a verified token.
#[derive(Clone, Debug)]
pub struct Grant {
    role: String,
    target: String,
    kind: Kind,
    path: String,
    user_id: Option<u64>,
    number: Option<Number>,
    scopes: Vec<String>,
    access_level: Option<AccessLevel>,
    ttl: Duration,
    revocation: Revocation,
    token_name: NameTemplate,
    job: Job,
    max_active: u32,
    max_active_per_project: u32,
    max_per_token: u32,
    denies_admin: bool,
}

impl Grant {
    pub(super) fn new(
        role: &Role,
        job: Job,
        path: String,
        user_id: Option<u64>,
        scopes: Vec<String>,
        ttl: Duration,
    ) -> Self {
        let path = match user_id {
            Some(id) => format!("user/{id}"),
            None => path,
        };
        let is_chosen = match role.kind {
            Kind::Impersonation => true,
            Kind::Personal => !role.path.is_literal(),
            _ => false,
        };
        Self {
            role: role.name.clone(),
            target: role.target.clone(),
            kind: role.kind,
            path,
            user_id,
            number: None,
            scopes,
            access_level: role.access_level,
            ttl,
            revocation: role.revocation,
            token_name: role.token_name.clone(),
            job,
            max_active: role.max_active,
            max_active_per_project: role.max_active_per_project,
            max_per_token: role.max_per_token,
            denies_admin: is_chosen && !role.allow_admin,
        }
    }

    /// The same where the path leads to the job's own project or group or into its group, with the number that the token has for that.
    pub(super) fn numbered(self, number: Option<Number>) -> Self {
        Self { number, ..self }
    }

    /// The role that gives it.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The instance.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The kind of token.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whose token, as [`Lease::path`] has it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Of impersonation: the user who triggered the job. He has to be looked at before: bots and blocked users get no token.
    pub const fn user_id(&self) -> Option<u64> {
        self.user_id
    }

    /// GitLab's number for the job's own project or group, where the path is its or leads into it: what has the path by now may be another one.
    pub const fn number(&self) -> Option<Number> {
        self.number
    }

    /// Whether the user must not be an administrator: of impersonation, and of a personal token whose user the operator did not write out.
    pub const fn denies_admin(&self) -> bool {
        self.denies_admin
    }

    /// What it may do, in the role's order.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// What an instance of this version does not have of it: a scope, or the access level.
    pub fn check_version(&self, version: GitlabVersion) -> Vec<ScopeFault> {
        check_since(self.kind, &self.scopes, self.access_level, version)
    }

    /// How long it lives.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Who asks.
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// How many of the role's tokens may live at once.
    pub const fn max_active(&self) -> u32 {
        self.max_active
    }

    /// How many of those its project may have.
    pub const fn max_active_per_project(&self) -> u32 {
        self.max_active_per_project
    }

    /// How often the job's ID token may be used for this role.
    pub const fn max_per_token(&self) -> u32 {
        self.max_per_token
    }

    /// The token's name at GitLab, for a lease.
    fn token_name(&self, id: LeaseId) -> String {
        let facts = NameFacts {
            role: &self.role,
            path: &self.path,
            scopes: &self.scopes,
            access_level: self.access_level.map(AccessLevel::code).unwrap_or_default(),
            ttl: self.ttl.as_secs(),
            kind: self.kind,
            target: &self.target,
            job: &self.job,
        };
        self.token_name.render(&facts, id)
    }

    /// The lease that has to be durable before GitLab is asked. `instance`: the target's URL. `owner`: GitLab's numbers for whose token it is,
    /// as the look-up told them. `created` is the time that deadlines are held to, `of_day` the clock's, which GitLab's dates go by.
    pub fn lease(
        &self,
        id: LeaseId,
        instance: &str,
        owner: Vec<u64>,
        created: UnixMillis,
        of_day: UnixMillis,
    ) -> Lease {
        let asked_expiry = self.kind.expires_at_gitlab().then(|| expiry_after(of_day, self.ttl));
        let (revocation, deadline) = match (self.revocation, asked_expiry) {
            (Revocation::Gitlab, Some(end)) => (Revocation::Gitlab, end.moment()),
            // What GitLab never ends, the broker does, whatever a role says.
            _ => (Revocation::Broker, created.plus(self.ttl)),
        };
        Lease {
            id,
            role: self.role.clone(),
            target: self.target.clone(),
            instance: instance.to_owned(),
            kind: self.kind,
            path: self.path.clone(),
            owner,
            name: self.token_name(id),
            scopes: self.scopes.clone(),
            access_level: self.access_level,
            job: self.job.clone(),
            created,
            deadline,
            revocation,
            asked_expiry,
            past: None,
            phase: Phase::Intent,
        }
    }

    pub(super) fn describe(self) -> Described {
        Described {
            kind: self.kind,
            target: self.target,
            path: self.path,
            scopes: self.scopes,
            ttl: self.ttl,
        }
    }
}

#[cfg(test)]
impl Grant {
    /// For tests of what is done with one: all that this role gives, whatever its condition says of the job.
    pub(crate) fn unconditional(role: &Role, job: Job) -> Self {
        let user_id = (role.kind == Kind::Impersonation).then(|| job.user_id.parse().expect("a number"));
        let path = role.path.resolve(role.kind, |_| None, None).expect("a path that is written out");
        Self::new(role, job, path, user_id, role.scopes.clone(), role.ttl)
    }

    /// The same for a job whose own project or group has this number.
    pub(crate) fn at(self, place_id: u64) -> Self {
        self.below(place_id, 0)
    }

    /// The same for a job whose group, so many steps above the path's end, has this number.
    pub(crate) fn below(self, id: u64, above: usize) -> Self {
        self.numbered(Some(Number { id, above }))
    }

    /// The same of a job that asked for these scopes alone.
    pub(crate) fn narrowed(self, scopes: &[&str]) -> Self {
        Self { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(), ..self }
    }

    /// The same for a job of another project.
    pub(crate) fn of_project(mut self, project_id: &str) -> Self {
        project_id.clone_into(&mut self.job.project_id);
        self
    }
}
