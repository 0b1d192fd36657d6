//! The two paths of gitlab-jwt-2-pat, so that its users change one URL.

use super::delivery::hand_over;
use super::error::Told;
use super::form::Form;
use super::{Answer, api, bearer, uncached};
use crate::api::{ApiState, plain};
use crate::broker::{Code, Refused, TokenRequest};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use std::sync::Arc;

const TEXT: &str = "text/plain; charset=utf-8";

/// `GET /token[?role=…]`: the token and nothing else.
pub(super) async fn token(State(state): State<Arc<ApiState>>, headers: HeaderMap, uri: Uri) -> Answer {
    answer(&state, &headers, &uri).await.map_err(Told::compat)
}

async fn answer(state: &ApiState, headers: &HeaderMap, uri: &Uri) -> Answer {
    let api = api(state)?;
    let id_token = bearer(headers).ok_or(Refused::new(Code::TokenRefused))?.to_owned();
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes())?;
    let roles = api.broker.roles();
    let role = query.get("role")?.or(roles.compat()).unwrap_or_default().to_owned();
    let request = TokenRequest { role, ..TokenRequest::default() };
    let handed = hand_over(api.broker.clone(), id_token, request).await?;
    let text = handed.handed().token.expose().to_owned();
    Ok(uncached(plain(StatusCode::OK, TEXT, handed.into_body(text))))
}

/// `GET /health`: the process answers. What it depends on is told by `/readyz`.
pub(super) async fn health() -> Response {
    uncached(plain(StatusCode::OK, TEXT, "Healthy"))
}
