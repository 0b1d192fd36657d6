//! The operators' listener: is the process alive, can it issue.

use super::{ApiState, around, not_found, only, plain};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

/// Everything that the operators' listener answers.
pub fn router(state: Arc<ApiState>) -> Router {
    let routes = Router::new()
        .route("/livez", only(get(livez)))
        .route("/readyz", only(get(readyz)))
        .route_layer(axum::middleware::from_fn(super::edge::leave_template))
        .fallback(not_found)
        .with_state(state.clone());
    around(routes, state)
}

async fn livez() -> Response {
    plain(StatusCode::OK, "application/json", r#"{"status":"ALIVE"}"#)
}

/// The same truth as `/healthz`, with the reason: only operators can ask here.
async fn readyz(State(state): State<Arc<ApiState>>) -> Response {
    match state.health() {
        Ok(()) => plain(StatusCode::OK, "application/json", r#"{"status":"READY"}"#),
        Err(reason) => {
            let body = serde_json::json!({ "status": "NOT_READY", "reason": reason });
            plain(StatusCode::SERVICE_UNAVAILABLE, "application/json", body.to_string())
        }
    }
}
