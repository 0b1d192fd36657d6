//! Who may have which token. Weaknesses and defects have the numbers of docs/BROKER.md.

mod asked;

use super::*;
use crate::broker::{AccessLevel, Draft, Hosting, LeaseId, PathText, Phase, RoleFault};
use crate::condition::{Condition, Pin};
use crate::identity::KeySource;
use serde_json::{Map, json};
use std::sync::Arc;

const ISSUER: &str = "https://gitlab.example.com";
const AUDIENCE: &str = "https://ca.example.com/broker";
/// 2026-06-29T22:56:00Z.
const NOW: UnixMillis = UnixMillis::from_secs(1_782_691_200 + 22 * 3600 + 56 * 60);

fn draft() -> Draft {
    Draft {
        name: Some("ci".into()),
        issuer: Some(ISSUER.into()),
        target: Some("default".into()),
        hosting: Some(Hosting::SelfManaged),
        kind: Some(Kind::Project),
        path: Some(Some(PathText::Made("{project_path}".into()))),
        scopes: Some(vec!["read_api".into(), "read_repository".into()]),
        access_level: Some(Some(AccessLevel::Reporter)),
        ttl: Some(Duration::from_secs(300)),
        max_ttl: Some(Some(Duration::from_secs(3600))),
        revocation: Some(Revocation::Broker),
        token_name: Some("{role}-{project_path}".into()),
        when: Some(condition(r#"claims.project_path.startsWith("acme/") && claims.ref_protected == "true""#)),
        max_active: Some(20),
        max_active_per_project: Some(None),
        max_per_token: Some(1),
        allow_admin: Some(false),
    }
}

fn condition(source: &str) -> Condition {
    Condition::compile(source, &super::super::scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"))
}

fn role(edit: impl FnOnce(&mut Draft)) -> Role {
    let mut draft = draft();
    edit(&mut draft);
    Role::check(draft).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn faults(edit: impl FnOnce(&mut Draft)) -> Vec<RoleFault> {
    let mut draft = draft();
    edit(&mut draft);
    Role::check(draft).expect_err("it should be refused")
}

fn keys(faults: &[RoleFault]) -> Vec<&'static str> {
    faults.iter().map(|fault| fault.key).collect()
}

fn impersonation(draft: &mut Draft) {
    draft.kind = Some(Kind::Impersonation);
    draft.path = Some(None);
    draft.access_level = Some(None);
}

fn claims() -> Map<String, Json> {
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "project_path:acme/widgets:ref_type:branch:ref:main", "jti": "j-1",
        "exp": NOW.as_secs() + 600, "namespace_id": "1", "namespace_path": "acme", "project_id": "2",
        "project_path": "acme/widgets", "job_project_id": "2", "job_project_path": "acme/widgets", "pipeline_id": "3",
        "pipeline_source": "push", "job_id": "4", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "sha": "00", "runner_environment": "self-hosted", "runner_id": 7, "user_id": "42",
        "user_login": "ada", "ci_config_ref_uri": "gitlab.example.com/acme/widgets//.gitlab-ci.yml@refs/heads/main",
    });
    claims.as_object().expect("an object").clone()
}

fn issuer(entries: Vec<crate::identity::Entry>) -> Issuer {
    Issuer {
        url: ISSUER.into(),
        entries: entries.into(),
        key_source: Arc::new(KeySource::Static(Vec::new())),
    }
}

fn entry(audience: &str, rules: GitlabRules) -> crate::identity::Entry {
    crate::identity::Entry { audience: audience.into(), allow_multiple_audiences: true, kind: rules.into() }
}

fn gitlab() -> Issuer {
    issuer(vec![entry("sigstore", GitlabRules::default())])
}

fn token(changes: Json) -> VerifiedToken {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Json::Null => claims.remove(name),
            value => claims.insert(name.clone(), value.clone()),
        };
    }
    VerifiedToken::unsigned(&Json::Object(claims))
}

fn request() -> TokenRequest {
    TokenRequest { role: "ci".into(), ..TokenRequest::default() }
}

/// What a role says to a token with other claims, and to a request.
fn ask(role: Role, changes: Json, request: &TokenRequest) -> Result<Grant, Code> {
    let roles = Roles::new(AUDIENCE, [role]);
    roles.grant(&gitlab(), &token(changes), request).map_err(|refused| refused.code())
}

fn code(role: Role, changes: Json, request: &TokenRequest) -> Option<Code> {
    ask(role, changes, request).err()
}

#[test]
fn a_job_gets_what_its_role_says() {
    let grant = ask(role(|_| {}), json!({}), &request()).expect("granted");
    assert_eq!((grant.role(), grant.target(), grant.kind()), ("ci", "default", Kind::Project));
    assert_eq!(grant.path(), "acme/widgets");
    assert_eq!(grant.scopes(), ["read_api", "read_repository"]);
    assert_eq!(grant.ttl(), Duration::from_secs(300));
    assert_eq!((grant.user_id(), grant.denies_admin()), (None, false));
    assert_eq!((grant.max_active(), grant.max_per_token()), (20, 1));
    let id = LeaseId::parse(&"a".repeat(32)).expect("an id");
    let lease = grant.lease(id, "https://gitlab.example.com", vec![2], NOW, NOW);
    assert_eq!(lease.name, format!("ci-acme/widgets-{}", "a".repeat(32)));
    assert_eq!(lease.deadline, NOW.plus(Duration::from_secs(300)));
    assert_eq!(lease.asked_expiry.expect("one").date(), "2026-06-30");
    assert_eq!((lease.owner, lease.phase), (vec![2], Phase::Intent));
    assert_eq!((lease.access_level, lease.revocation), (Some(AccessLevel::Reporter), Revocation::Broker));
    let job = lease.job;
    assert_eq!((&*job.jti, &*job.project_id, &*job.job_id, &*job.runner_id), ("j-1", "2", "4", "7"));
    assert_eq!(
        (&*job.user, &*job.user_id, job.expires),
        ("ada", "42", UnixMillis::from_secs(NOW.as_secs() + 600))
    );
}

/// Weakness 3: every job of the instance got a token of whoever had started it.
#[test]
fn weakness_3_no_role_is_for_everybody() {
    for (when, pins) in [
        ("true", false),
        (r#"claims.ref_protected == "true""#, false),
        (r#"claims.project_path != "acme/evil""#, false),
        (r#"claims.project_path.startsWith("acme")"#, false),
        (r#"claims.project_path == "acme/widgets""#, true),
    ] {
        let result = Role::check(Draft { when: Some(condition(when)), ..draft() });
        assert_eq!(result.is_ok(), pins, "{when}");
        if let Err(faults) = result {
            assert_eq!(keys(&faults), ["when"], "{when}");
        }
    }
    let outside = json!({ "project_path": "other/widgets", "job_project_path": "other/widgets",
        "ci_config_ref_uri": "gitlab.example.com/other/widgets//.gitlab-ci.yml@refs/heads/main" });
    assert_eq!(code(role(|_| {}), outside, &request()), Some(Code::TargetRefused));
    // Nor is anybody impersonated without being an administrator's choice.
    let grant = ask(role(impersonation), json!({}), &request()).expect("granted");
    assert_eq!((grant.user_id(), grant.path(), grant.denies_admin()), (Some(42), "user/42", true));
    let allowed = role(|draft| {
        impersonation(draft);
        draft.allow_admin = Some(true);
    });
    assert!(!ask(allowed, json!({}), &request()).expect("granted").denies_admin());
}

/// Weakness 4: no audience could be asked for, so any token of the instance was taken.
#[test]
fn weakness_4_the_audience_is_the_brokers_and_no_other() {
    for (audience, expected) in [
        (json!(AUDIENCE), None),
        (json!([AUDIENCE]), None),
        (json!("sigstore"), Some(Code::TokenRefused)),
        (json!([AUDIENCE, "sigstore"]), Some(Code::TokenRefused)),
        (json!(["vault", AUDIENCE]), Some(Code::TokenRefused)),
        (json!([AUDIENCE, AUDIENCE]), Some(Code::TokenRefused)),
        (json!([]), Some(Code::TokenRefused)),
        (json!(null), Some(Code::TokenRefused)),
        (json!(7), Some(Code::TokenRefused)),
        (json!({ AUDIENCE: true }), Some(Code::TokenRefused)),
        (json!(format!("{AUDIENCE}/")), Some(Code::TokenRefused)),
        (json!(""), Some(Code::TokenRefused)),
    ] {
        assert_eq!(code(role(|_| {}), json!({ "aud": audience }), &request()), expected, "{audience}");
    }
    // An issuer whose entry for certificates has the same, after a change of the configuration.
    let roles = Roles::new(AUDIENCE, [role(|_| {})]);
    let clash = issuer(vec![entry(AUDIENCE, GitlabRules::default())]);
    let refused = roles.grant(&clash, &token(json!({})), &request()).expect_err("refused");
    assert_eq!(refused.code(), Code::TokenRefused);
    // No audience at all is no audience for everybody.
    let nameless = Roles::new("", [role(|_| {})]);
    assert!(nameless.grant(&gitlab(), &token(json!({ "aud": "" })), &request()).is_err());
}

/// Weakness 5: a token could be used again and again, and nobody could have told.
#[test]
fn weakness_5_a_token_that_cannot_be_counted_is_refused() {
    for jti in [json!(null), json!(""), json!(7), json!("j".repeat(256))] {
        assert_eq!(code(role(|_| {}), json!({ "jti": jti }), &request()), Some(Code::TokenRefused), "{jti}");
    }
    assert!(!keys(&faults(|draft| draft.max_per_token = Some(0))).is_empty());
}

/// Weakness 6: one set of scopes for all. A job may have fewer, and never others.
#[test]
fn weakness_6_scopes_are_the_roles_or_fewer() {
    let asked = |scopes: &[&str]| TokenRequest {
        scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        ..request()
    };
    let given =
        |scopes: &[&str]| ask(role(|_| {}), json!({}), &asked(scopes)).map(|grant| grant.scopes().to_vec());
    assert_eq!(given(&["read_api"]), Ok(vec!["read_api".into()]));
    assert_eq!(
        given(&["read_repository", "read_api", "read_api"]),
        Ok(vec!["read_api".into(), "read_repository".into()])
    );
    for scopes in [&["api"][..], &["read_api", "api"], &[], &[""], &["READ_API"]] {
        assert_eq!(given(scopes), Err(Code::ScopeRefused), "{scopes:?}");
    }
}

/// Weakness 13: tokens had the names of their subjects, so no two of a job could be told apart.
#[test]
fn weakness_13_no_two_tokens_have_one_name() {
    let grant = ask(role(|_| {}), json!({}), &request()).expect("granted");
    let [one, other] = ["1", "2"].map(|digit| LeaseId::parse(&digit.repeat(32)).expect("an id"));
    let name = |id| grant.lease(id, ISSUER, Vec::new(), NOW, NOW).name;
    assert_ne!(name(one), name(other));
    assert!(name(one).ends_with(&format!("-{one}")));
}
