//! The two paths of gitlab-jwt-2-pat, so that its users change one URL.

use super::delivery::hand_over;
use super::error::Told;
use super::form::Form;
use super::{Answer, api, bearer, turned_away, uncached};
use crate::api::{ApiState, plain};
use crate::broker::{Code, Refused, TokenRequest};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use std::sync::Arc;

const TEXT: &str = "text/plain; charset=utf-8";
/// The name that a deploy token logs in with: the body is the token and nothing else.
const USERNAME: HeaderName = HeaderName::from_static("deploy-token-username");

/// `GET /token[?role=…]`: the token and nothing else.
pub(super) async fn token(State(state): State<Arc<ApiState>>, headers: HeaderMap, uri: Uri) -> Answer {
    answer(&state, &headers, &uri).await.map_err(Told::compat)
}

async fn answer(state: &ApiState, headers: &HeaderMap, uri: &Uri) -> Answer {
    let api = api(state)?;
    let Some(id_token) = bearer(headers) else {
        return Err(turned_away(api, None, None, Refused::new(Code::TokenRefused).into()).await);
    };
    let query = match Form::parse(uri.query().unwrap_or_default().as_bytes()) {
        Ok(query) => query,
        Err(told) => return Err(turned_away(api, Some(id_token), None, told).await),
    };
    let roles = api.broker.roles();
    let role = query.get("role").or(roles.compat()).unwrap_or_default().to_owned();
    let request = TokenRequest { role, ..TokenRequest::default() };
    let handed = hand_over(api.broker.clone(), id_token.to_owned(), request).await?;
    // Where it cannot be said the token is of no use, and dies with what is dropped here.
    let username = handed.handed().username.as_deref().map(username).transpose()?;
    let text = handed.handed().token.expose().to_owned();
    let mut response = plain(StatusCode::OK, TEXT, handed.into_body(text));
    if let Some(username) = username {
        response.headers_mut().insert(USERNAME, username);
    }
    Ok(uncached(response))
}

fn username(text: &str) -> Result<HeaderValue, Refused> {
    let unusable =
        |_| Refused::new(Code::GitlabRefused).because("the deploy token's user name fits in no header");
    HeaderValue::from_str(text).map_err(unusable)
}

/// `GET /health`: the process answers. What it depends on is told by `/readyz`.
pub(super) async fn health() -> Response {
    uncached(plain(StatusCode::OK, TEXT, "Healthy"))
}
