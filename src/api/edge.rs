//! What happens to every request around its handler: request id, slashes, CORS, the error's body, one line in the log.

use super::error::{self, Rejection};
use super::grpc;
use super::paths::collapse_slashes;
use super::state::ApiState;
use crate::refusal::Reason;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CONNECTION, ORIGIN,
    VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;

/// The header that carries the request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a handler wants to be seen in the request's log line. Nothing of a token but its verified issuer.
#[derive(Clone, Debug)]
pub struct IssuedNote {
    /// The issuer that vouched.
    pub issuer: String,
    /// The certificate's serial number, lower-case hex.
    pub serial: String,
    /// The entry's index in the log.
    pub log_index: u64,
}

/// The route that a request took, as a template without any caller's text.
#[derive(Clone)]
struct Template(MatchedPath);

/// Leaves the route's template on the response, where [`edge`] finds it.
pub async fn leave_template(path: MatchedPath, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Template(path));
    response
}

/// Around everything, the router's own answers included.
pub async fn edge(State(state): State<Arc<ApiState>>, mut request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let id = request_id(&state, request.headers());
    if let Some(uri) = collapse_slashes(request.uri()) {
        *request.uri_mut() = uri;
    }
    let seen = Seen {
        method: request.method().clone(),
        version: request.version(),
        grpc: grpc::is_grpc(request.headers()),
        browser: request.headers().contains_key(ORIGIN) || request.uri().path().starts_with("/ct/"),
    };

    let mut response = match is_preflight(&request) {
        true => preflight(),
        false => next.run(request).await,
    };
    // gRPC tells its refusals with 200; the log has what JSON would have told.
    let status = response.status();
    let rejection = response.extensions_mut().remove::<Rejection>();
    if let Some(Rejection(refusal)) = &rejection {
        match seen.grpc {
            true => grpc::render(&mut response, refusal, &id),
            false => error::render(&mut response, refusal, &id),
        }
    }
    // RFC 9110 §9.3.2; over HTTP/2 nobody below takes the body away.
    if seen.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    finish(&mut response, &seen, &id, state.is_draining());
    record(
        &response,
        status,
        &seen,
        &id,
        rejection.map(|Rejection(refusal)| refusal.reason()),
        watch.elapsed(),
    );
    response
}

/// What is kept of a request while its handler has it.
struct Seen {
    method: Method,
    version: Version,
    grpc: bool,
    browser: bool,
}

/// The caller's id, when it is fit for a log, else one of ours: 32 hex digits.
fn request_id(state: &ApiState, headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    });
    given.map_or_else(
        || {
            let mut bytes = [0; 16];
            state.authority.random.fill(&mut bytes);
            hex::encode(bytes)
        },
        str::to_owned,
    )
}

/// Fetch standard, CORS-preflight request: OPTIONS with these two headers. Any other OPTIONS is just a wrong method.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, x-request-id"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    response
}

fn finish(response: &mut Response, seen: &Seen, id: &str, draining: bool) {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if seen.browser {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    // RFC 9112 §9.6: tells the caller of an HTTP/1 connection to send the next request elsewhere.
    if draining && seen.version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// One event a request. Its fields are ours, or verified: no caller's text but a short request id.
fn record(
    response: &Response,
    status: StatusCode,
    seen: &Seen,
    id: &str,
    reason: Option<Reason>,
    took: Duration,
) {
    let path = response.extensions().get::<Template>().map_or("-", |template| template.0.as_str());
    let failed = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    let status = status.as_u16();
    let method = known_method(&seen.method);
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let reason = reason.map(Reason::code);
    let note = response.extensions().get::<IssuedNote>();
    let (issuer, serial) = (note.map(|note| &*note.issuer), note.map(|note| &*note.serial));
    let log_index = note.map(|note| note.log_index);
    if failed {
        tracing::warn!(request_id = id, method, path, status, reason, duration_us = took, "request");
    } else {
        tracing::info!(
            request_id = id,
            method,
            path,
            status,
            reason,
            issuer,
            serial,
            log_index,
            duration_us = took,
            "request"
        );
    }
}

/// The method, when it is one of HTTP's own: others are the caller's text.
fn known_method(method: &Method) -> &'static str {
    [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::PATCH]
        .iter()
        .position(|known| known == method)
        .and_then(|index| ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"].get(index).copied())
        .unwrap_or("other")
}

/// How long a request took, for its log line alone.
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a duration for the log: nothing is decided by it")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
