//! `POST /v1/token-exchange`: RFC 8693.

use super::delivery::{Delivery, hand_over};
use super::error::Told;
use super::form::Form;
use super::{Answer, BrokerApi, api, read_form, turned_away, uncached};
use crate::api::{ApiState, plain};
use crate::broker::{Code, Phase, Refused, Role, TokenRequest};
use crate::environment::UnixMillis;
use crate::leasing::Handed;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// A job's ID token is both.
const SUBJECT_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"];

pub(super) async fn exchange(State(state): State<Arc<ApiState>>, headers: HeaderMap, body: Body) -> Answer {
    let api = api(&state)?;
    let form = match read_form(&state, &headers, body).await {
        Ok(form) => form,
        Err(told) => return Err(turned_away(api, None, None, told).await),
    };
    let (id_token, request) = match read(&form, api) {
        Ok(read) => read,
        Err(told) => {
            let role = form.get("role").or(form.get("audience"));
            return Err(turned_away(api, form.get("subject_token"), role, told).await);
        }
    };
    let handed = hand_over(api.broker.clone(), id_token.to_owned(), request).await?;
    let body = body_of(&handed, state.authority.clock.now());
    Ok(uncached(plain(StatusCode::OK, "application/json", handed.into_body(body))))
}

/// The ID token and what is asked for.
fn read<'f>(form: &'f Form, api: &BrokerApi) -> Result<(&'f str, TokenRequest), Told> {
    match form.get("grant_type") {
        Some(GRANT) => {}
        Some(_) => return Err(Refused::new(Code::GrantTypeUnsupported).into()),
        None => return Err(Told::invalid("grant_type is missing.")),
    }
    if form.get("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN) {
        return Err(Told::invalid("requested_token_type can be an access_token only."));
    }
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return Err(Told::invalid("actor_token has no meaning here."));
    }
    let kind = form.require("subject_token_type", "subject_token_type is missing.")?;
    if !SUBJECT_TYPES.contains(&kind) {
        return Err(Told::invalid("subject_token_type must be that of an id_token or a jwt."));
    }
    let id_token = form.require("subject_token", "subject_token is missing: the job's ID token.")?;
    let role = form.either("role", "audience")?.ok_or(Told::invalid("role is missing."))?.into_owned();
    let (target, path) = place(api, &role, form.get("path"), form.get("resource"))?;
    let scopes = form.get("scope").map(scopes);
    let ttl = form.get("ttl").map(seconds).transpose()?;
    Ok((id_token, TokenRequest { role, target, path, scopes, ttl }))
}

/// The target and the path that are asked for. Which targets there are is learnt by nobody without an ID token: a resource below none is at one that
/// no role is for.
pub(super) fn place(
    api: &BrokerApi,
    role: &str,
    path: Option<&str>,
    resource: Option<&str>,
) -> Result<(Option<String>, Option<String>), Told> {
    match (path, resource) {
        (Some(_), Some(_)) => Err(Told::invalid("Give path or resource, not both.")),
        (path, None) => Ok((None, path.map(str::to_owned))),
        (None, Some(resource)) => {
            let roles = api.broker.roles();
            let own = roles.get(role).map(Role::target);
            let (target, path) = find(&api.targets, own, resource).unwrap_or_default();
            Ok((Some(target.to_owned()), Some(path.to_owned())))
        }
    }
}

/// Scopes with a space between each (RFC 6749 §3.3).
pub(super) fn scopes(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Whole seconds, in plain digits.
fn seconds(text: &str) -> Result<Duration, Told> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| digits);
    seconds.map(Duration::from_secs).ok_or_else(|| Refused::new(Code::TtlRefused).into())
}

/// The target, of these by name and URL, that a resource is below, and the path there. `own`: the role's, which goes before others, since several may be
/// at one URL, and one below another.
fn find<'t, 'r>(
    targets: &'t [(String, String)],
    own: Option<&str>,
    resource: &'r str,
) -> Option<(&'t str, &'r str)> {
    let below = targets.iter().filter_map(|(name, url)| {
        let path = resource.strip_prefix(url.trim_end_matches('/'))?.strip_prefix('/')?;
        Some((name.as_str(), path))
    });
    below.min_by_key(|(name, path)| (own != Some(*name), path.len()))
}

/// RFC 8693 §2.2.1, and what a job may want to know of its lease.
fn body_of(delivery: &Delivery, now: UnixMillis) -> String {
    let Handed { lease, token, username } = delivery.handed();
    let mut body = json!({
        "access_token": token.expose(),
        "issued_token_type": ACCESS_TOKEN,
        // A deploy token is a password, a trigger a parameter: neither goes into `Authorization: Bearer`.
        "token_type": if lease.kind.is_bearer() { "Bearer" } else { "N_A" },
        "expires_in": lease.deadline.since(now).as_secs(),
        "scope": lease.scopes.join(" "),
        "lease_id": lease.id,
        "role": lease.role,
        "token_kind": lease.kind.code(),
    });
    let known = match &lease.phase {
        Phase::Active { minted } => Some(minted),
        _ => None,
    };
    let more = [
        ("gitlab_token_id", known.map(|minted| minted.id.into())),
        ("gitlab_expires_at", known.and_then(|minted| minted.expires).map(|expiry| expiry.date().into())),
        ("username", username.clone().map(Into::into)),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_targets_above_a_resource_the_roles_own_is_meant() {
        let of = |names: [&str; 4]| {
            let urls =
                ["https://a.example", "https://a.example", "https://a.example/git", "https://b.example"];
            names.iter().zip(urls).map(|(name, url)| ((*name).to_owned(), url.to_owned())).collect::<Vec<_>>()
        };
        let targets = of(["one", "two", "below", "other"]);
        for (own, resource, expected) in [
            (Some("one"), "https://a.example/acme/app", Some(("one", "acme/app"))),
            (Some("two"), "https://a.example/acme/app", Some(("two", "acme/app"))),
            (Some("below"), "https://a.example/git/acme/app", Some(("below", "acme/app"))),
            (Some("one"), "https://a.example/git/acme/app", Some(("one", "git/acme/app"))),
            (Some("other"), "https://a.example/git/acme/app", Some(("below", "acme/app"))),
            (None, "https://a.example/git/acme/app", Some(("below", "acme/app"))),
            (Some("two"), "https://a.example.evil/acme/app", None),
            (Some("two"), "acme/app", None),
        ] {
            assert_eq!(find(&targets, own, resource), expected, "{own:?} {resource}");
        }
    }

    #[test]
    fn a_ttl_is_plain_seconds() {
        assert_eq!(seconds("60").ok(), Some(Duration::from_secs(60)));
        for wrong in ["", "-1", "+1", "1.5", "1e3", "5m", "9999999999", " 1"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
