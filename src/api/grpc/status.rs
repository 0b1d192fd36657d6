//! Refusals as gRPC tells them: a Trailers-Only answer with `grpc-status`, `grpc-message` and `grpc-status-details-bin`.
//!
//! Code and message are those of [`crate::api::error`], but for what gRPC's own library answers in the reference; the
//! details are the same ErrorInfo.

use super::MEDIA_TYPE;
use super::messages::{Any, ErrorInfo, RpcStatus};
use crate::api::error::{self, DOMAIN, ERROR_INFO};
use crate::refusal::{Reason, Refusal};
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message as _;

/// The number of a `google.rpc.Code`.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// gRPC over HTTP/2, Responses: printable ASCII but the percent sign stays as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Makes a rejected response the Trailers-Only answer of a call; headers that a layer put on it before stay.
pub fn render(response: &mut Response, refusal: &Refusal, request_id: &str) {
    let status = RpcStatus {
        code: i32::from(code(refusal.reason())),
        message: message(refusal),
        details: vec![detail(refusal, request_id)],
    };
    *response.status_mut() = StatusCode::OK;
    *response.body_mut() = Body::empty();
    let escaped = utf8_percent_encode(&status.message, ESCAPED).to_string();
    let details = BASE64_STANDARD_NO_PAD.encode(status.encode_to_vec());
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code));
    for (name, value) in [(GRPC_MESSAGE, escaped), (GRPC_DETAILS, details)] {
        // Both are printable ASCII, which every header may hold.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    if refusal.reason() == Reason::EncodingUnsupported {
        headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    error::insert_wait(headers, refusal);
}

/// As in JSON, but for what gRPC says of its frames: UNIMPLEMENTED where there is no method, RESOURCE_EXHAUSTED above the
/// size, INTERNAL for what cannot be decoded (gRPC, Status codes and their use).
pub fn code(reason: Reason) -> u8 {
    match reason {
        Reason::RequestTooLarge => 8,
        Reason::RequestMalformed => 13,
        reason => error::presentation(reason).grpc_code,
    }
}

fn message(refusal: &Refusal) -> String {
    match (refusal.reason(), refusal.detail()) {
        (Reason::RequestMalformed, Some(detail)) => format!("grpc: error unmarshalling request: {detail}"),
        _ => error::message(refusal),
    }
}

fn detail(refusal: &Refusal, request_id: &str) -> Any {
    let text = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let info = ErrorInfo {
        reason: refusal.reason().code().to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: error::metadata(refusal, request_id)
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect(),
    };
    Any { type_url: ERROR_INFO.to_owned(), value: info.encode_to_vec() }
}
