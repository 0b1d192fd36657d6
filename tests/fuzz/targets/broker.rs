//! A role of the broker, what a job asks for, and the job's claims: kind, path, token name, condition, requested path and claims, with a NUL
//! between them. A path that begins with `~` is a pattern for what is requested.

use super::world::ISSUER;
use countersign::broker::{
    AccessLevel, Draft, Hosting, Kind, LeaseId, NameFacts, NameTemplate, PathText, Revocation, Role, Roles,
    TokenRequest, check_path, scope, split_account,
};
use countersign::condition::{Condition, Scope};
use countersign::token::Claims;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;
use std::time::Duration;

fn names() -> &'static Scope {
    static SCOPE: OnceLock<Scope> = OnceLock::new();
    SCOPE.get_or_init(scope)
}

/// What is checked is a role or has faults with words; what it gives is a path that leads nowhere else, in the role's scopes and time; and no
/// stranger is given anything.
pub fn target(data: &[u8]) {
    let mut parts =
        data.splitn(6, |octet| *octet == 0).map(|part| std::str::from_utf8(part).unwrap_or_default());
    let mut part = || parts.next().unwrap_or_default();
    let (kind, path, token_name, when, requested, claims) = (part(), part(), part(), part(), part(), part());
    let kind = Kind::parse(kind).unwrap_or(Kind::Project);
    check_name(token_name);
    if check_path(kind, requested).is_ok() {
        is_safe(requested);
    }
    let Some(role) = role(kind, path, token_name, when) else { return };
    let (asks, is_fixed) = (role.path().is_requested(), role.path().is_literal());
    let roles = Roles::new("https://ca.example.com/broker", [role]);
    let request = TokenRequest {
        role: "role".into(),
        path: asks.then(|| requested.to_owned()),
        ..TokenRequest::default()
    };
    let Ok(Value::Object(claims)) = serde_json::from_str(claims) else { return };
    if let Some(given) = ask(&roles, &claims, &request) {
        assert_eq!(given, ask(&roles, &claims, &request).expect("the same again"));
        if asks {
            assert_eq!(given, requested);
        }
        if is_fixed {
            assert_eq!(given, path);
        }
        if kind == Kind::Impersonation {
            let number = given.strip_prefix("user/").expect("a user");
            assert!(number.parse::<u64>().is_ok_and(|number| number > 0), "{given}");
        } else {
            check_path(kind, &given).expect("a path");
            is_safe(&given);
        }
    }
    // No condition that names nothing of his holds for a stranger, whatever else he is.
    if when.contains("stranger") || when.contains("98989") {
        return;
    }
    let mut stranger = claims;
    let own = json!({
        "project_path": "stranger/app", "namespace_path": "stranger", "project_id": "98989", "namespace_id": "98989",
        "sub": "project_path:stranger/app:ref_type:branch:ref:main", "jti": "j",
    });
    stranger.extend(own.as_object().cloned().unwrap_or_default());
    assert_eq!(ask(&roles, &stranger, &request), None, "{when}");
}

/// The path of what would be handed out.
fn ask(roles: &Roles, claims: &Map<String, Value>, request: &TokenRequest) -> Option<String> {
    let claims = Claims::parse(Value::Object(claims.clone()).to_string().as_bytes()).ok()?;
    let explained = roles.explain(ISSUER, Ok(()), &claims, request, |_| Ok(())).expect("the role is there");
    assert!(!explained.steps.is_empty());
    let described = explained.outcome.ok()?;
    assert_eq!(described.ttl, Duration::from_secs(300));
    Some(described.path)
}

fn role(kind: Kind, path: &str, token_name: &str, when: &str) -> Option<Role> {
    let path = match path.strip_prefix('~') {
        _ if kind == Kind::Impersonation => None,
        Some(pattern) => Some(PathText::Requested(pattern.to_owned())),
        None => Some(PathText::Made(path.to_owned())),
    };
    let scopes = match kind {
        Kind::PipelineTrigger => Vec::new(),
        _ => vec!["read_repository".to_owned()],
    };
    let draft = Draft {
        name: Some("role".into()),
        issuer: Some(ISSUER.into()),
        target: Some("default".into()),
        hosting: Some(Hosting::SelfManaged),
        kind: Some(kind),
        path: Some(path),
        scopes: Some(scopes),
        access_level: Some(kind.has_access_level().then_some(AccessLevel::Guest)),
        ttl: Some(Duration::from_secs(300)),
        max_ttl: Some(None),
        revocation: Some(Revocation::Broker),
        token_name: Some(token_name.to_owned()),
        when: Some(Condition::compile(when, names()).ok()?),
        max_active: Some(1),
        max_active_per_project: Some(None),
        max_per_token: Some(1),
        allow_admin: Some(false),
    };
    match Role::check(draft) {
        Ok(role) => Some(role),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a word");
            assert!(faults.iter().all(|fault| !fault.message.is_empty() && !fault.key.is_empty()));
            None
        }
    }
}

/// A name fits GitLab, is plain, and ends with the lease's.
fn check_name(template: &str) {
    let Ok(parsed) = NameTemplate::parse(template) else { return };
    let job =
        countersign::broker::Job { reference: template.repeat(9), user: "é\n".into(), ..Default::default() };
    let facts = NameFacts {
        role: "role",
        path: "a/b",
        scopes: &[],
        access_level: "",
        ttl: 1,
        kind: Kind::Project,
        target: "default",
        job: &job,
    };
    let id = "0123456789abcdef0123456789abcdef";
    let name = parsed.render(&facts, LeaseId::parse(id).expect("an id"));
    assert!(name.len() <= 255 && name.ends_with(&format!("-{id}")), "{name}");
    assert!(name.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{name}");
}

/// Within a URL it is one place and no other.
fn is_safe(path: &str) {
    assert!(path.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_-./".contains(&octet)), "{path}");
    assert!(
        !path.contains("..") && !path.contains("//") && !path.starts_with('/') && !path.ends_with('/'),
        "{path}"
    );
    let (holder, account) = split_account(Kind::GroupServiceAccount, path);
    assert!(!holder.is_empty() && account != Some(""), "{path}");
}
