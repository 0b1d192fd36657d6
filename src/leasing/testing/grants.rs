//! Grants without an ID token.

use super::machine::BEGIN;
use crate::broker::{AccessLevel, Draft, Grant, Hosting, Job, Kind, PathText, Revocation, Role, scope};
use crate::condition::Condition;
use crate::environment::UnixMillis;
use std::time::Duration;

/// A token of this kind that lives for so many seconds, granted to an ID token.
pub(in crate::leasing) fn grant(kind: Kind, ttl: u64, jti: &str) -> Grant {
    grant_of(kind, ttl, jti, |_| {})
}

/// The same of another role.
pub(in crate::leasing) fn grant_of(kind: Kind, ttl: u64, jti: &str, edit: impl FnOnce(&mut Draft)) -> Grant {
    let job = Job {
        issuer: "https://gitlab.example.com".to_owned(),
        project_path: "acme/app".to_owned(),
        project_id: "7".to_owned(),
        job_id: "1000".to_owned(),
        user: "ada".to_owned(),
        user_id: "42".to_owned(),
        jti: jti.to_owned(),
        expires: UnixMillis(BEGIN + 3_600_000),
        ..Job::default()
    };
    Grant::unconditional(&role_of(kind, ttl, edit), job)
}

/// A role of this kind, whose tokens live for so many seconds.
pub(in crate::leasing) fn role_of(kind: Kind, ttl: u64, edit: impl FnOnce(&mut Draft)) -> Role {
    let path = match kind {
        Kind::Impersonation => None,
        Kind::Personal | Kind::UserServiceAccount => Some("bot"),
        Kind::GroupServiceAccount | Kind::ProjectServiceAccount => Some("acme/app/bot"),
        _ => Some("acme/app"),
    };
    let scopes = match kind {
        Kind::PipelineTrigger => vec![],
        // Not `api`: what can replace itself ends in another way.
        _ if kind.is_bearer() => vec!["read_api".to_owned()],
        _ => vec!["read_repository".to_owned()],
    };
    let when = Condition::compile(r#"claims.project_path == "acme/app""#, &scope()).unwrap();
    let mut draft = Draft {
        name: Some(format!("role-{kind}")),
        issuer: Some("https://gitlab.example.com".to_owned()),
        target: Some("default".to_owned()),
        hosting: Some(Hosting::SelfManaged),
        kind: Some(kind),
        path: Some(path.map(|path| PathText::Made(path.to_owned()))),
        scopes: Some(scopes),
        access_level: Some(kind.has_access_level().then_some(AccessLevel::Developer)),
        ttl: Some(Duration::from_secs(ttl)),
        max_ttl: Some(None),
        revocation: Some(Revocation::Broker),
        token_name: Some("bot".to_owned()),
        when: Some(when),
        max_active: Some(20),
        max_active_per_project: Some(None),
        max_per_token: Some(1),
        allow_admin: Some(false),
    };
    edit(&mut draft);
    Role::check(draft).unwrap()
}
