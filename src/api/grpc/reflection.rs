//! Server reflection, v1 and v1alpha: clients learn the services from the server, grpcurl for one.

use super::rpc;
use super::stream::Until;
use crate::api::ApiState;
use crate::api::error::Rejection;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use std::convert::Infallible;
use std::sync::Arc;
use tonic_reflection::pb;
use tonic_reflection::server::Builder;
use tower::{Service, ServiceExt as _};

/// A FileDescriptorSet of everything in `src/api/proto`, imports included. A test holds it to those files.
pub const DESCRIPTORS: &[u8] = include_bytes!("../proto/descriptors.bin");

/// The largest question, in bytes: a name.
const MAX_QUESTION_BYTES: usize = 64 * 1024;

/// Both versions' method.
pub fn routes() -> Router<Arc<ApiState>> {
    const VALID: &str = "the checked-in descriptors decode, as a test shows";
    let v1 = builder().build_v1().expect(VALID).max_decoding_message_size(MAX_QUESTION_BYTES);
    let v1alpha = builder().build_v1alpha().expect(VALID).max_decoding_message_size(MAX_QUESTION_BYTES);
    Router::new()
        .route(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            rpc(post(move |state, request| answer(v1.clone(), state, request))),
        )
        .route(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            rpc(post(move |state, request| answer(v1alpha.clone(), state, request))),
        )
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(pb::v1alpha::FILE_DESCRIPTOR_SET)
}

/// Answers questions until the caller has no more, or the server shuts down.
async fn answer<S>(
    service: S,
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, Rejection>
where
    S: Service<Request<Body>, Response = axum::http::Response<tonic::body::Body>, Error = Infallible>,
{
    let place = state.admit_stream()?;
    let request = request.map(|body| Body::new(Until::new(body, state.draining(), place)));
    let Ok(response) = service.oneshot(request).await;
    Ok(response.into_response())
}
