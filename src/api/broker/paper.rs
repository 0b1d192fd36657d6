//! `POST /v1/policy/test`: what the broker would say to a job, and why.

use super::error::Told;
use super::operators::{answered, no_query};
use super::{Answer, MOST_BYTES, api, exchange};
use crate::api::ApiState;
use crate::broker::{Code, Described, Explained, Refused, TokenRequest};
use crate::token::{Claims, Payload};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What it may say: who asks, and what for, as a form for a token has it.
const MEMBERS: [&str; 7] = ["role", "claims", "token", "path", "resource", "scope", "ttl"];

/// `{"role": …, "claims": {…}}`, or `"token": "…"` in place of the claims. Nothing is made, nothing counted, and a token's signature is not verified.
pub(super) async fn test(
    State(state): State<Arc<ApiState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let read = state.bodies.read_capped(&headers, body, state.draining(), MOST_BYTES).await;
    let octets = read.map_err(|refusal| Told::of_transport(&refusal))?;
    no_query(&uri)?;
    let asked = Claims::parse(&octets)
        .map_err(|_| Told::invalid("Send a JSON object with role, and claims or token."))?;
    if asked.iter().any(|(name, _)| !MEMBERS.contains(&name)) {
        return Err(Told::saying(format!("Its members are {}, and no others.", MEMBERS.join(", "))));
    }
    let token = text(&asked, "token")?;
    let claims = match (asked.member("claims"), token) {
        (Some(claims), None) => Claims::parse(claims.to_string().as_bytes()).ok(),
        (None, Some(token)) => Payload::decode(token).and_then(|payload| payload.claims().ok()),
        _ => return Err(Told::invalid("Send claims or token.")),
    };
    let claims =
        claims.ok_or(Told::invalid("What was sent has no claims: a JSON object with distinct members."))?;
    let broker = api(&state)?;
    let role = text(&asked, "role")?.ok_or(Told::invalid("role is missing."))?;
    let (target, path) = exchange::place(broker, role, text(&asked, "path")?, text(&asked, "resource")?)?;
    let request = TokenRequest {
        role: role.to_owned(),
        target,
        path,
        scopes: text(&asked, "scope")?.map(exchange::scopes),
        ttl: asked.member("ttl").map(seconds).transpose()?,
    };
    let issuer =
        claims.member("iss").and_then(Value::as_str).ok_or(Told::invalid("The claims have no iss."))?;
    let Some(Explained { steps, outcome }) = broker.broker.test(issuer, &claims, token, &request) else {
        return Err(Told::with_hint(Refused::new(Code::TargetRefused), "There is no such role."));
    };
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| json!({ "text": step.text, "depth": step.depth, "holds": step.holds.as_ref().ok() }))
        .collect();
    let shown = match outcome {
        Ok(Described { kind, target, path, scopes, ttl }) => json!({
            "allowed": true, "kind": kind.code(), "target": target, "path": path, "scopes": scopes,
            "ttl_seconds": ttl.as_secs(), "when": steps,
        }),
        Err(refused) => json!({
            "allowed": false, "reason": refused.code().code(), "detail": refused.record(), "when": steps,
        }),
    };
    Ok(answered(StatusCode::OK, &shown))
}

/// A member that is a text, where it is there.
fn text<'c>(asked: &'c Claims, name: &str) -> Result<Option<&'c str>, Told> {
    match asked.member(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Told::saying(format!("{name} is a text."))),
    }
}

fn seconds(value: &Value) -> Result<Duration, Told> {
    let seconds = value.as_u64().ok_or(Told::invalid("ttl is a whole number of seconds."))?;
    Ok(Duration::from_secs(seconds))
}
