//! One message in, one message out: within the limits that JSON bodies have.

use super::MEDIA_TYPE;
use crate::api::ApiState;
use crate::api::body::MAX_BODY_BYTES;
use crate::refusal::{Reason, Refusal};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use prost::Message;
use tokio_stream::Stream;
use tonic::codec::{EncodeBody, SingleMessageCompressionOverride, Streaming};
use tonic::{Code, Status};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Reads the one message of a call.
///
/// # Errors
/// As [`crate::api::body::Bodies::read`]; [`Reason::EncodingUnsupported`] for a compressed one,
/// [`Reason::RequestMalformed`] for one that is not valid protobuf in gRPC's frame.
pub async fn message<M>(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<M, Refusal>
where
    M: Message + Default + 'static,
{
    if headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Reason::EncodingUnsupported.into());
    }
    let bytes = state.bodies.read(headers, body, state.draining()).await?;
    let decoder = ProstDecoder::<M>::default();
    let mut messages = Streaming::new_request(decoder, Body::from(bytes), None, Some(MAX_BODY_BYTES));
    match messages.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(malformed("the call has no message")),
        Err(status) => Err(undecodable(&status)),
    }
}

/// An answer of one message.
pub fn answer<M: Message + 'static>(message: M) -> Response {
    answers(tokio_stream::once(Ok(message)))
}

/// An answer of several messages, as they come.
pub fn answers<M: Message + 'static>(
    messages: impl Stream<Item = Result<M, Status>> + Send + 'static,
) -> Response {
    let uncompressed = SingleMessageCompressionOverride::default();
    let body = EncodeBody::new_server(ProstEncoder::<M>::default(), messages, None, uncompressed, None);
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// The decoder's own words may quote the message, so only their kind is told.
fn undecodable(status: &Status) -> Refusal {
    match status.code() {
        Code::OutOfRange => Reason::RequestTooLarge.into(),
        _ if status.message().contains("UTF-8") => malformed("string field contains invalid UTF-8"),
        _ => malformed("the message is not valid protobuf of the expected type"),
    }
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).because(detail)
}
