//! All roles, and the way to a grant.

use super::grant::{Grant, Job, Number, TokenRequest};
use super::path::numbered;
use super::role::{LONGEST_TTL, Revocation, Role, SHORTEST_TTL};
use super::{Code, Kind, Refused};
use crate::condition::{Facts, Step, Undecided, Value};
use crate::environment::UnixMillis;
use crate::identity::gitlab::GitlabRules;
use crate::identity::{IdentityType, Issuer};
use crate::policy::claim_of;
use crate::token::{Claims, VerifiedToken};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// The roles of a configuration, and the audience that ID tokens must have for them.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    audience: String,
    roles: BTreeMap<String, Role>,
    compat: Option<String>,
}

/// What a role says of a job, without a token for anybody.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Each part of `when`, and what became of it.
    pub steps: Vec<Step>,
    /// What would be handed out, or why nothing would be.
    pub outcome: Result<Described, Refused>,
}

/// What a grant is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The kind of token.
    pub kind: Kind,
    /// The instance.
    pub target: String,
    /// Whose token.
    pub path: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// How long it lives.
    pub ttl: Duration,
}

impl Roles {
    /// These roles, for tokens with this audience. Of two with one name the later one counts.
    pub fn new(audience: impl Into<String>, roles: impl IntoIterator<Item = Role>) -> Self {
        let roles = roles.into_iter().map(|role| (role.name.clone(), role)).collect();
        Self { audience: audience.into(), roles, compat: None }
    }

    /// With the role whose tokens `GET /token` gives.
    pub fn with_compat(self, role: Option<String>) -> Self {
        Self { compat: role, ..self }
    }

    /// The role whose tokens `GET /token` gives; `None`: there is no such thing here.
    pub fn compat(&self) -> Option<&str> {
        self.compat.as_deref()
    }

    /// The audience.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The role with this name.
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// Whether a verified token is a GitLab job's, and for the broker alone: who asks. Everything that is done for a job begins with it. A
    /// fork's pipeline that runs in its parent is refused, whatever the issuer's entries admit.
    ///
    /// # Errors
    /// [`Code::TokenRefused`]; the record says why.
    pub fn job(&self, issuer: &Issuer, token: &VerifiedToken) -> Result<Job, Refused> {
        self.check_claims(issuer, token.claims())?;
        if !GitlabRules::default().algorithms().contains(&token.algorithm()) {
            return Err(refused("its algorithm is not GitLab's"));
        }
        let expires = token.expires();
        Job::of(&issuer.url, token.claims(), expires.ok_or_else(|| refused("it has no exp"))?)
    }

    /// What [`Self::job`] asks of claims, whoever wrote them.
    ///
    /// # Errors
    /// As there.
    pub fn check_claims(&self, issuer: &Issuer, claims: &Claims) -> Result<(), Refused> {
        self.check_audience(issuer, claims)?;
        let mut gitlabs =
            issuer.entries.iter().filter_map(|entry| entry.kind.as_type::<GitlabRules>()).peekable();
        if gitlabs.peek().is_none() {
            return Err(refused("its issuer is no GitLab"));
        }
        for rules in gitlabs {
            // Whoever lets forks have certificates of their parent does not mean its tokens.
            let strict =
                GitlabRules { allow_fork_pipelines: false, allow_undecidable_forks: false, ..rules.clone() };
            strict.named(&issuer.url, claims)?;
        }
        Ok(())
    }

    /// Whether this job may have a token of this role.
    ///
    /// # Errors
    /// [`Code::TokenRefused`], [`Code::TargetRefused`] (the same for a role that there is not and one that says no),
    /// [`Code::ScopeRefused`], [`Code::TtlRefused`].
    pub fn grant(
        &self,
        issuer: &Issuer,
        token: &VerifiedToken,
        request: &TokenRequest,
    ) -> Result<Grant, Refused> {
        let job = self.job(issuer, token)?;
        self.decide(job, token.claims(), request)
    }

    /// What a role says of such claims, and why. `None`: there is no such role. The claims need no signature: this hands out nothing. `iss`: theirs.
    /// `held`: why they are refused before any role is asked, if they are. `check`: what a grant must pass after it.
    pub fn explain(
        &self,
        iss: &str,
        held: Result<(), Refused>,
        claims: &Claims,
        request: &TokenRequest,
        check: impl FnOnce(&Grant) -> Result<(), Refused>,
    ) -> Option<Explained> {
        let role = self.get(&request.role)?;
        let path = request.path.as_deref().unwrap_or_default();
        let steps = role.when.steps(&RoleFacts { issuer: iss, claims, path });
        let decide = || {
            let grant = self.decide(Job::of(iss, claims, UnixMillis(0))?, claims, request)?;
            check(&grant).map(|()| grant.describe())
        };
        Some(Explained { steps, outcome: held.and_then(|()| decide()) })
    }

    /// The broker's audience and no other, and no entry for certificates that has the same.
    fn check_audience(&self, issuer: &Issuer, claims: &Claims) -> Result<(), Refused> {
        let is_ours = match claims.member("aud") {
            Some(Json::String(audience)) => *audience == self.audience,
            Some(Json::Array(list)) => {
                matches!(list.as_slice(), [Json::String(audience)] if *audience == self.audience)
            }
            _ => false,
        };
        if self.audience.is_empty() || !is_ours {
            return Err(refused("its audience is not the broker's alone"));
        }
        if issuer.entries.iter().any(|entry| entry.audience == self.audience) {
            return Err(refused("the broker's audience is one for certificates too"));
        }
        Ok(())
    }

    fn decide(&self, job: Job, claims: &Claims, request: &TokenRequest) -> Result<Grant, Refused> {
        // One answer, whatever there is: nobody learns which roles there are.
        let no = |why: String| Refused::new(Code::TargetRefused).because(why);
        let role = self.get(&request.role).ok_or_else(|| no("there is no such role".to_owned()))?;
        if role.issuer != job.issuer {
            return Err(no("the role is for jobs of another issuer".to_owned()));
        }
        if request.target.as_ref().is_some_and(|target| *target != role.target) {
            return Err(no("the role is for another target".to_owned()));
        }
        let text = |name: &str| claims.member(name).and_then(Json::as_str).map(str::to_owned);
        let path = role
            .path
            .resolve(role.kind, text, request.path.as_deref())
            .map_err(|fault| no(format!("the path {fault}")))?;
        let asked = request.path.as_deref().unwrap_or_default();
        match role.when.holds(&RoleFacts { issuer: &job.issuer, claims, path: asked }) {
            Ok(true) => {}
            Ok(false) => return Err(no("the role's condition does not hold".to_owned())),
            Err(Undecided(why)) => return Err(no(format!("the role's condition cannot be decided: {why}"))),
        }
        let user_id = match role.kind {
            Kind::Impersonation => Some(user_id(&job).map_err(no)?),
            _ => None,
        };
        let number = numbered(role.kind, &path, text)
            .map(|(claim, above)| match claims.member(claim).and_then(number) {
                Some(id) => Ok(Number { id, above }),
                None => Err(no(format!("the token's {claim} is no number"))),
            })
            .transpose()?;
        let scopes = narrowed(&role.scopes, request.scopes.as_deref())?;
        let ttl = ttl(role, request.ttl)?;
        Ok(Grant::new(role, job, path, user_id, scopes, ttl).numbered(number))
    }
}

fn refused(why: &str) -> Refused {
    Refused::new(Code::TokenRefused).because(why)
}

/// A number of GitLab's, which ID tokens have as a text.
fn number(claim: &Json) -> Option<u64> {
    match claim {
        Json::String(text) => text.parse().ok(),
        Json::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// The user who triggered the job. Zero is nobody.
fn user_id(job: &Job) -> Result<u64, String> {
    let digits = job.user_id.bytes().all(|octet| octet.is_ascii_digit()) && !job.user_id.starts_with('0');
    match job.user_id.parse::<u64>() {
        Ok(id) if digits => Ok(id),
        _ => Err("the token's user_id is no number".to_owned()),
    }
}

/// The scopes that are asked for, in the role's order. One that the role does not have is never left out in silence.
fn narrowed(all: &[String], asked: Option<&[String]>) -> Result<Vec<String>, Refused> {
    let Some(asked) = asked else { return Ok(all.to_vec()) };
    let no = |why: &str| Refused::new(Code::ScopeRefused).because(why);
    if asked.iter().any(|scope| !all.contains(scope)) {
        return Err(no("a scope that the role does not have"));
    }
    if asked.is_empty() && !all.is_empty() {
        return Err(no("no scope at all"));
    }
    Ok(all.iter().filter(|scope| asked.contains(scope)).cloned().collect())
}

/// Never another than the one that was asked for.
fn ttl(role: &Role, asked: Option<Duration>) -> Result<Duration, Refused> {
    let Some(asked) = asked else { return Ok(role.ttl) };
    let least = match role.revocation {
        Revocation::Broker => SHORTEST_TTL,
        Revocation::Gitlab => LONGEST_TTL,
    };
    if asked < least || asked > role.max_ttl || asked.subsec_nanos() > 0 {
        return Err(Code::TtlRefused.into());
    }
    Ok(asked)
}

/// A request, as `when` sees it.
struct RoleFacts<'f> {
    issuer: &'f str,
    claims: &'f Claims,
    path: &'f str,
}

impl Facts for RoleFacts<'_> {
    fn value(&self, path: &[String]) -> Result<Option<Value>, Undecided> {
        let mut names = path.iter().map(String::as_str);
        match (names.next(), names.next()) {
            (Some("issuer"), None) => Ok(Some(Value::Text(self.issuer.to_owned()))),
            (Some("request"), Some("path")) => Ok(Some(Value::Text(self.path.to_owned()))),
            (Some("claims"), Some(name)) => claim_of(self.claims, name),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
