//! The public API and the operators' listener: routes, messages, errors.
//!
//! Fulcio's v1 and v2 APIs in JSON and in gRPC at the root, the log's reads below `/ct`, the signature log's as Rekor has it,
//! timestamps, trust material. It decides nothing: `issuance` and `log` do.
//! Sockets, HTTP versions and time-outs of connections are `server`'s.

mod admin;
mod around;
mod body;
pub mod broker;
mod conditional;
mod ct;
mod edge;
pub mod error;
mod grpc;
mod host;
pub mod message;
mod openapi;
mod paths;
mod ports;
mod rekor;
mod signing;
mod sparse;
mod state;
mod submit;
mod timestamp;
mod trust;
mod v1;
mod v2;

pub use admin::operators;
pub use around::Around;
pub use body::{MAX_BODY_BYTES, NoRoom};
pub use edge::REQUEST_ID;
pub use ports::{Answered, Call, Observer, Operations, Refreshed};
pub use state::ApiState;
pub use trust::TrustFiles;

use crate::refusal::Reason;
use axum::Router;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use error::Rejection;
use std::sync::Arc;

/// Everything that the public listener answers.
pub fn public(state: Arc<ApiState>) -> Around {
    let routes = Router::new()
        .route("/api/v2/signingCert", only_post(signing::certificate::<v2::Json>))
        .route("/api/v2/trustBundle", only_get(v2::trust_bundle))
        .route("/api/v2/configuration", only_get(v2::configuration))
        .route("/api/v1/signingCert", only_post(signing::certificate::<v1::LegacyJson>))
        .route("/api/v1/rootCert", only_get(v1::root_certificate))
        .route("/healthz", only_get(v2::healthz))
        .route("/openapi.json", only_get(openapi::document))
        .merge(ct::routes(&state))
        .merge(submit::routes(&state))
        .merge(timestamp::routes(&state))
        .merge(rekor::routes(&state))
        .merge(trust::routes(&state))
        .merge(broker::routes(&state))
        .route_layer(edge::LeaveTemplate)
        .fallback(not_found)
        .with_state(state.clone());
    let grpc = grpc::routes(&state);
    Around::new(routes, edge::Edge::public(state)).beside_grpc(grpc)
}

/// GET and no other method: the reference answers HEAD with 501 too.
fn only_get<H: Handler<T, S>, T: 'static, S: Clone + Send + Sync + 'static>(handler: H) -> MethodRouter<S> {
    only(get(handler), "GET")
}

/// POST and no other method.
fn only_post<H: Handler<T, S>, T: 'static, S: Clone + Send + Sync + 'static>(handler: H) -> MethodRouter<S> {
    only(post(handler), "POST")
}

/// Says itself what is allowed: axum would count HEAD.
fn only<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>, allowed: &'static str) -> MethodRouter<S> {
    let refuse = move || async move { ([(ALLOW, allowed)], method_not_allowed().await) };
    route.head(refuse).fallback(refuse)
}

async fn not_found() -> Rejection {
    Reason::NotFound.into()
}

async fn method_not_allowed() -> Rejection {
    Reason::MethodNotAllowed.into()
}

/// A GET's answer that is the same for everybody.
fn plain(status: StatusCode, content_type: &'static str, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(axum::http::header::CONTENT_TYPE, axum::http::HeaderValue::from_static(content_type));
    response
}
