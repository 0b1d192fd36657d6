//! gRPC: `dev.sigstore.fulcio.v2.CA`, `dev.sigstore.fulcio.v1beta.CA`, `grpc.health.v1.Health` and server reflection.
//!
//! It shares the listener with JSON and is told apart by the content type, so it works in the clear and over TLS. Bodies,
//! limits and refusals are those of JSON: a handler answers with a [`Rejection`], and [`status`] gives it gRPC's shape.
//! The services are described in `src/api/proto`; `messages` and `descriptors.bin` are held to those files by a test.

mod ca;
mod health;
mod legacy;
mod messages;
mod reflection;
mod status;
mod stream;
mod unary;

pub use status::{code, render};

use super::error::Rejection;
use super::{ApiState, edge, method_not_allowed, signing};
use crate::refusal::{Reason, Refusal};
use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::routing::{MethodRouter, post};
use std::sync::Arc;

/// The media type of gRPC (gRPC over HTTP/2, Requests).
const MEDIA_TYPE: &str = "application/grpc";

/// The metadata that carries the ID token, where the message does not.
const TOKEN_METADATA: &str = "oidcidentitytoken";

/// Every method, by its path `/{package}.{service}/{method}`.
pub fn routes(state: &Arc<ApiState>) -> Router {
    Router::new()
        .route(
            "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate",
            rpc(post(signing::certificate::<ca::Protobuf>)),
        )
        .route("/dev.sigstore.fulcio.v2.CA/GetTrustBundle", rpc(post(ca::trust_bundle)))
        .route("/dev.sigstore.fulcio.v2.CA/GetConfiguration", rpc(post(ca::configuration)))
        .route(
            "/dev.sigstore.fulcio.v1beta.CA/CreateSigningCertificate",
            rpc(post(signing::certificate::<legacy::LegacyProtobuf>)),
        )
        .route("/dev.sigstore.fulcio.v1beta.CA/GetRootCertificate", rpc(post(legacy::root_certificate)))
        .route("/grpc.health.v1.Health/Check", rpc(post(health::check)))
        .route("/grpc.health.v1.Health/Watch", rpc(post(health::watch)))
        .merge(reflection::routes())
        .route_layer(edge::LeaveTemplate)
        .fallback(unknown)
        .with_state(state.clone())
}

/// Whether a request is gRPC: its content type is `application/grpc`, alone or with a suffix or parameters. gRPC-Web is not.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()) else { return false };
    let Some((start, rest)) = content_type.split_at_checked(MEDIA_TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

fn rpc(route: MethodRouter<Arc<ApiState>>) -> MethodRouter<Arc<ApiState>> {
    route.fallback(method_not_allowed)
}

async fn unknown() -> Rejection {
    Reason::RpcUnknown.into()
}

/// The token: the message's field, else the metadata of the reference, else `authorization`.
fn token<'r>(field: &'r str, headers: &'r HeaderMap) -> Result<&'r str, Refusal> {
    if !field.is_empty() {
        return Ok(super::v2::trimmed(field));
    }
    let mut given = headers.get_all(TOKEN_METADATA).iter();
    match (given.next(), given.next()) {
        (Some(token), None) if !token.is_empty() => token.to_str().map_err(|_| Reason::TokenMalformed.into()),
        _ if headers.contains_key(AUTHORIZATION) => super::v2::token_of_header(headers),
        _ => Err(Reason::TokenMissing.into()),
    }
}

#[cfg(test)]
mod tests;
