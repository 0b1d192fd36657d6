//! What happens to every request around its handler: request id, slashes, CORS, the error's body, one line in the log.

use super::body;
use super::broker::BrokerCode;
use super::error::{self, Rejection};
use super::grpc;
use super::host;
use super::paths::collapse_slashes;
use super::ports::{Answered, Call};
use super::state::ApiState;
use crate::broker::Code;
use crate::issuance::{Course, Step};
use crate::refusal::{Fault, Reason};
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CONNECTION, EXPECT,
    ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service};

/// The header that carries the request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers, and metadata of gRPC, that carry tokens.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "oidcidentitytoken"];

/// What a handler wants to be seen in the request's log line, beside the [`Course`]. Nothing of a token.
#[derive(Clone, Debug)]
pub struct IssuedNote {
    /// The certificate's serial number, lower-case hex.
    pub serial: String,
    /// The entry's index in the log.
    pub log_index: Option<u64>,
}

/// The route that a request took, as a template without any caller's text.
#[derive(Clone)]
struct Template(MatchedPath);

/// The layer of [`LeavingTemplate`].
#[derive(Clone, Copy)]
pub struct LeaveTemplate;

/// Leaves the route's template on the response, where [`edge`] finds it. A service of its own: axum's layer for a function would cost every
/// request some allocations.
#[derive(Clone)]
pub struct LeavingTemplate<S>(S);

impl<S> Layer<S> for LeaveTemplate {
    type Service = LeavingTemplate<S>;

    fn layer(&self, route: S) -> LeavingTemplate<S> {
        LeavingTemplate(route)
    }
}

impl<S> Service<Request> for LeavingTemplate<S>
where
    S: Service<Request, Response = Response, Future: Send + 'static>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let template = request.extensions().get::<MatchedPath>().cloned().map(Template);
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if let Some(template) = template {
                response.extensions_mut().insert(template);
            }
            Ok(response)
        })
    }
}

/// What goes around the requests of one listener.
#[derive(Clone)]
pub struct Edge {
    state: Arc<ApiState>,
    listener: Listener,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listener {
    Public,
    Operators,
}

impl Edge {
    /// For the public listener: its answers are the reference's, and counted.
    pub const fn public(state: Arc<ApiState>) -> Self {
        Self { state, listener: Listener::Public }
    }

    /// For the operators' listener.
    pub const fn operators(state: Arc<ApiState>) -> Self {
        Self { state, listener: Listener::Operators }
    }
}

/// Around everything, the router's own answers included. `routes` answers what is no matter of the edge.
pub async fn edge<F>(edge: Edge, mut request: Request, routes: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let Edge { state, listener } = edge;
    let began = state.authority.stopwatch.elapsed();
    let id = request_id(&state, request.headers());
    hide_credentials(request.headers_mut());
    if let Some(uri) = collapse_slashes(request.uri()) {
        *request.uri_mut() = uri;
    }
    let fault = host::fault(&request);
    let seen = Seen {
        method: request.method().clone(),
        version: request.version(),
        // What operators see is not for web pages that happen to be open beside.
        browser: listener == Listener::Public
            && (request.headers().contains_key(ORIGIN) || request.uri().path().starts_with("/ct/")),
        // What is wrong as HTTP is told as HTTP does.
        grpc: (fault.is_none() && grpc::is_grpc(request.headers())).then(|| request.uri().path().to_owned()),
    };

    let mut response = match fault {
        Some(refusal) => {
            // Who expects `100 Continue` has not begun to send (RFC 9110 §10.1.1).
            if !request.headers().contains_key(EXPECT) {
                body::drain(request.into_body()).await;
            }
            Rejection(refusal).into_response()
        }
        None if listener == Listener::Public && is_preflight(&request) => preflight(),
        None => routes(request).await,
    };
    let told_by_json = response.status();
    let rejection = response.extensions_mut().remove::<Rejection>();
    if let Some(Rejection(refusal)) = &rejection {
        match seen.grpc {
            Some(_) => grpc::render(&mut response, refusal, &id),
            None => error::render(&mut response, refusal, &id),
        }
        // 501 is the reference's, and it has no such listener.
        if listener == Listener::Operators && refusal.reason() == Reason::MethodNotAllowed {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        }
    }
    // gRPC tells its refusals with 200; the log has what JSON would have told.
    let status = if seen.grpc.is_some() { told_by_json } else { response.status() };
    // RFC 9110 §9.3.2; over HTTP/2 nobody below takes the body away.
    if seen.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    finish(&mut response, &seen, &id, state.is_draining());
    let refused = rejection.map(|Rejection(refusal)| refusal.reason());
    let took = state.authority.stopwatch.elapsed().saturating_sub(began);
    if listener == Listener::Public {
        state.observer.answered(&Answered { call: call(&response, &seen, refused), refused, took });
    }
    // A flood of refusals must not become one of lines.
    if let Some(unlogged) = state.sparse.line(refused == Some(Reason::Overloaded), began + took) {
        record(&response, status, &seen, &id, refused, took, unlogged);
    }
    response
}

/// What is kept of a request while its handler has it.
struct Seen {
    method: Method,
    version: Version,
    browser: bool,
    /// The path of a gRPC call.
    grpc: Option<String>,
}

/// What the request and its answer are to metrics. A gRPC answer that failed has its code in the headers, or is a refusal.
fn call<'s>(response: &Response, seen: &'s Seen, refused: Option<Reason>) -> Call<'s> {
    let Some(path) = &seen.grpc else {
        return Call::Http { method: known_method(&seen.method), status: response.status().as_u16() };
    };
    let in_headers = || response.headers().get("grpc-status")?.to_str().ok()?.parse().ok();
    let code = refused.map(grpc::code).or_else(in_headers).unwrap_or(0);
    Call::Grpc { path, code }
}

/// Headers that carry tokens are shown by nobody who shows headers, be it a library.
fn hide_credentials(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if CREDENTIALS.iter().any(|secret| name == secret) {
            value.set_sensitive(true);
        }
    }
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

/// One event a request, but for those that [`super::sparse`] leaves out. Its fields are ours, or the operator's: no caller's text but a short request id.
///
/// `issuer` is the configured one that the token names, verified where `outcome` is `issued`; `rule` the operator's rule that allowed or denied,
/// `policy_warned` those on trial that would have decided. The times of the steps are shown
/// to those who ask for details.
fn record(
    response: &Response,
    status: StatusCode,
    seen: &Seen,
    id: &str,
    refused: Option<Reason>,
    took: Duration,
    unlogged: u64,
) {
    let unlogged = (unlogged > 0).then_some(unlogged);
    let path = response.extensions().get::<Template>().map_or("-", |template| template.0.as_str());
    let status = status.as_u16();
    let method = known_method(&seen.method);
    let brokered = response.extensions().get::<BrokerCode>().map(|it| it.0);
    let reason = refused.map(Reason::code).or(brokered.map(Code::code));
    let course = response.extensions().get::<Course>();
    let issuer = course.and_then(Course::issuer).map(|issuer| &**issuer);
    let ruled = course.and_then(Course::ruled);
    let rule = ruled.and_then(|ruled| ruled.rule.as_deref());
    let warned = ruled.map(|ruled| ruled.warned.join(", ")).filter(|warned| !warned.is_empty());
    let note = response.extensions().get::<IssuedNote>();
    let (serial, log_index) = (note.map(|note| &*note.serial), note.and_then(|note| note.log_index));
    let outcome = match refused.map(Reason::fault) {
        None if note.is_some() => "issued",
        None if brokered.is_some_and(|code| code.status() < 500) => "refused",
        None if brokered.is_some() => "failed",
        None => "answered",
        Some(Fault::Caller) => "refused",
        Some(Fault::Issuer | Fault::Server) => "failed",
    };
    let detailed = course.filter(|_| tracing::enabled!(tracing::Level::DEBUG));
    let step = |step| detailed.and_then(|course| course.took(step)).map(micros);
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                request_id = id,
                method,
                path,
                status,
                outcome,
                reason,
                issuer,
                rule,
                policy_warned = warned,
                serial,
                log_index,
                duration_us = micros(took),
                unlogged,
                token_us = step(Step::Token),
                keys_us = step(Step::Keys),
                identity_us = step(Step::Identity),
                possession_us = step(Step::Possession),
                policy_us = step(Step::Policy),
                precertificate_us = step(Step::Precertificate),
                log_us = step(Step::Log),
                certificate_us = step(Step::Certificate),
                "request"
            )
        };
    }
    if outcome == "failed" { event!(warn) } else { event!(info) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The method, when it is one of HTTP's own: others are the caller's text.
fn known_method(method: &Method) -> &'static str {
    [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::PATCH]
        .iter()
        .position(|known| known == method)
        .and_then(|index| ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"].get(index).copied())
        .unwrap_or("other")
}
