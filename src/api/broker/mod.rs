//! The token broker's API: token exchange (RFC 8693), revocation (RFC 7009), the state of a lease, and what gitlab-jwt-2-pat answers.
//!
//! Errors have RFC 6749's form (§5.2). What a caller is told of a refusal is constant for each reason, so that nobody learns which roles there
//! are; which claim or condition it was stands in the operator's record.

mod compat;
mod delivery;
mod error;
mod exchange;
mod form;
mod leases;
mod operators;
mod page;
mod paper;
mod revoke;

pub use error::BrokerCode;
pub use operators::routes as operators_routes;

use super::{ApiState, not_found, only_get, only_post};
use crate::broker::{Code, Refused, TokenRequest};
use crate::leasing::Broker;
use crate::token::MAX_TOKEN_BYTES;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use error::Told;
use std::convert::Infallible;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The largest request, in octets: an ID token, and as much again for a few names.
const MOST_BYTES: usize = 2 * MAX_TOKEN_BYTES;
const FORM: &str = "application/x-www-form-urlencoded";

type Answer = Result<Response, Told>;

/// The broker, and what only its API has to know.
pub struct BrokerApi {
    /// It.
    pub broker: Arc<Broker>,
    /// The operators' listener may be called so, beside addresses and names of one part (`admin.names`).
    pub admin_names: Vec<String>,
    /// Name and base URL of each target, for `resource` (RFC 8693 §2.1).
    pub targets: Vec<(String, String)>,
}

/// The public routes; none where there is no broker.
pub(super) fn routes(state: &ApiState) -> Router<Arc<ApiState>> {
    if state.broker.is_none() {
        return Router::new();
    }
    Router::new()
        .route("/v1/token-exchange", only_post(exchange::exchange))
        .route("/v1/token-revoke", only_post(revoke::revoke))
        .route("/v1/leases/{id}", only_get(leases::of_the_job))
        // There: "anything else" is not found, another method as well. HEAD would make a token that nobody sees.
        .route("/token", get(compat::token).head(not_found).fallback(not_found))
        .route("/health", get(compat::health).fallback(not_found))
}

/// The broker of a state whose routes are served.
fn api(state: &ApiState) -> Result<&BrokerApi, Refused> {
    state.broker.as_ref().ok_or(Refused::new(Code::ShuttingDown))
}

/// A request for a token that is not understood: it is written down whose it is, where its ID token tells, and for which role. What to answer.
async fn turned_away(api: &BrokerApi, id_token: Option<&str>, role: Option<&str>, told: Told) -> Told {
    let broker = api.broker.clone();
    let id_token = id_token.map(|text| Zeroizing::new(text.to_owned()));
    let request = TokenRequest { role: role.unwrap_or_default().to_owned(), ..TokenRequest::default() };
    let refused = told.for_the_record();
    // A task of its own: whoever hangs up meanwhile is written down as well.
    let noted = tokio::spawn(async move {
        let id_token = id_token.as_ref().map(|text| text.as_str());
        broker.turn_away(id_token, &request, refused).await
    });
    match noted.await {
        Ok(Err(limited)) => limited.into(),
        Ok(Ok(())) | Err(_) => told,
    }
}

/// The one part of a path that is a name; empty where it is not UTF-8, as nothing is called.
struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(path.map(|Path(text)| text).unwrap_or_default()))
    }
}

/// The parameters of a form.
async fn read_form(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<form::Form, Told> {
    form::Form::parse(&form_of(state, headers, body).await?)
}

/// A form's octets.
async fn form_of(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<Bytes, Told> {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(FORM) {
        super::body::drain(body).await;
        return Err(Told::invalid("Send the parameters as application/x-www-form-urlencoded."));
    }
    let read = state.bodies.read_capped(headers, body, state.draining(), MOST_BYTES).await;
    read.map_err(|refusal| Told::of_transport(&refusal))
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1); `None`: there is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// RFC 6749 §5.1: whoever answers a token, keeps it out of caches.
fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
