//! The operators' listener: is the process alive, can it issue, how does it fare; and issuers' keys fetched anew.

use super::around::Around;
use super::error::Rejection;
use super::ports::{Operations, Refreshed};
use super::{ApiState, edge, not_found, only_get, only_post, plain};
use crate::leasing::TargetReading;
use crate::refusal::{Reason, Refusal};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const JSON: &str = "application/json";

/// What the handlers share.
struct Admin {
    state: Arc<ApiState>,
    operations: Arc<dyn Operations>,
}

/// Everything that the operators' listener answers.
pub fn operators(state: Arc<ApiState>, operations: Arc<dyn Operations>) -> Around {
    let admin = Arc::new(Admin { state: state.clone(), operations });
    let broker = super::broker::operators_routes(&state);
    let routes = Router::new()
        .route("/livez", only_get(livez))
        .route("/readyz", only_get(readyz))
        .route("/metrics", only_get(metrics))
        .route("/issuers/refresh", only_post(refresh))
        .with_state(admin)
        .merge(broker)
        .route_layer(edge::LeaveTemplate)
        .fallback(not_found);
    Around::new(routes, edge::Edge::operators(state))
}

async fn livez() -> Response {
    plain(StatusCode::OK, JSON, r#"{"status":"ALIVE"}"#)
}

/// The same truth as `/healthz`, with every check and the reason: only operators can ask here. What is wrong with the broker
/// is told and changes no status: whoever takes a server that is not ready out of service would end certificates with it.
async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let checks = admin.state.checks();
    let broker = admin.state.broker_check();
    let shown: Map<String, Value> = checks
        .iter()
        .map(|(name, check)| (*name, check))
        .chain(broker.iter().map(|check| ("broker", check)))
        .map(|(name, check)| {
            (name.to_owned(), Value::from(check.as_ref().err().map_or("ok", |reason| reason)))
        })
        .collect();
    let reasons: Vec<&str> =
        checks.iter().filter_map(|(_, check)| check.as_ref().err().map(String::as_str)).collect();
    let (status, mut body) = match &*reasons {
        [] => (StatusCode::OK, json!({ "status": "READY", "checks": shown })),
        reasons => {
            let body = json!({ "status": "NOT_READY", "reason": reasons.join("; "), "checks": shown });
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    };
    if let Some(broker) = admin.state.broker() {
        body["credentials"] = broker.reading().targets.iter().map(credential_json).collect();
    }
    let mut warnings = admin.operations.warnings();
    warnings.extend(broker.and_then(Result::err).map(|reason| format!("broker: {reason}")));
    if !warnings.is_empty() {
        body["warnings"] = warnings.into();
    }
    plain(status, JSON, body.to_string())
}

/// When a target's main credential ends. `null`: it has no end, or GitLab has not told yet.
fn credential_json(target: &TargetReading) -> Value {
    json!({ "target": target.name, "expires_in": target.credential_left.map(|left| left.as_secs()) })
}

/// Prometheus' text format 0.0.4.
async fn metrics(State(admin): State<Arc<Admin>>) -> Result<Response, Rejection> {
    match admin.operations.metrics(&admin.state) {
        Ok((content_type, text)) => Ok(plain(StatusCode::OK, content_type, text)),
        Err(error) => {
            tracing::error!(error, "metrics cannot be shown");
            Err(Reason::Internal.into())
        }
    }
}

/// Which issuer is meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    issuer: Option<String>,
}

/// `POST /issuers/refresh[?issuer=URL]`: 200 when all were fetched, 502 when an issuer failed, 404 when none is meant.
async fn refresh(
    State(admin): State<Arc<Admin>>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Rejection> {
    let malformed =
        || Refusal::new(Reason::RequestMalformed).because("The only parameter is `issuer`, a URL.");
    let Query(which) = which.map_err(|_| malformed())?;
    let refreshed = admin.operations.refresh(which.issuer.as_deref()).await;
    if refreshed.is_empty() && which.issuer.is_some() {
        return Err(Refusal::new(Reason::NotFound).because("`issuer` is not on the allow-list.").into());
    }
    let status =
        if refreshed.iter().all(|one| one.keys.is_ok()) { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    let issuers: Vec<Value> = refreshed.iter().map(refreshed_json).collect();
    Ok(plain(status, JSON, json!({ "issuers": issuers }).to_string()))
}

fn refreshed_json(refreshed: &Refreshed) -> Value {
    match &refreshed.keys {
        Ok(keys) => json!({ "issuer": refreshed.issuer, "status": "REFRESHED", "keys": keys }),
        Err(error) => json!({ "issuer": refreshed.issuer, "status": "FAILED", "error": error }),
    }
}
