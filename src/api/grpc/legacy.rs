//! `dev.sigstore.fulcio.v1beta.CA`: the same answers as `/api/v1`, in `google.api.HttpBody`.
//!
//! The token is in the metadata alone. The HTTP status and a detached SCT, which JSON has in its head, come as the
//! metadata `x-http-code` and `x-sct`, as the reference has them.

use super::messages::{Empty, HttpBody, LegacyRequest};
use super::{token, unary};
use crate::api::ApiState;
use crate::api::error::Rejection;
use crate::api::signing::Dialect;
use crate::api::v1;
use crate::issuance::{CertificateRequest, Issued};
use crate::possession::Possession;
use crate::refusal::{Reason, Refusal};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use std::sync::Arc;

const HTTP_CODE: HeaderName = HeaderName::from_static("x-http-code");
const SCT: HeaderName = HeaderName::from_static("x-sct");

/// `CreateSigningCertificate`
pub struct LegacyProtobuf;

impl Dialect for LegacyProtobuf {
    type Message = LegacyRequest;

    async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<Self::Message, Refusal> {
        unary::message(state, headers, body).await
    }

    fn request<'r>(
        message: &'r Self::Message,
        headers: &'r HeaderMap,
    ) -> Result<CertificateRequest<'r>, Refusal> {
        let possession = possession(message)?;
        Ok(CertificateRequest { token: token("", headers)?, possession })
    }

    fn answer(_: &ApiState, issued: &Issued) -> Response {
        let mut response = unary::answer(http_body(v1::issued_text(issued)));
        response.headers_mut().insert(HTTP_CODE, HeaderValue::from_static("201"));
        if let Some(sct) = v1::detached_sct(issued) {
            response.headers_mut().insert(SCT, sct);
        }
        response
    }
}

/// `GetRootCertificate`
pub async fn root_certificate(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Rejection> {
    let _: Empty = unary::message(&state, &headers, body).await?;
    Ok(unary::answer(http_body(v1::root_text(&state.authority.chain))))
}

/// Without any key the token is not looked at, as with the reference.
fn possession(message: &LegacyRequest) -> Result<Possession<'_>, Reason> {
    if !message.certificate_signing_request.is_empty() {
        return Ok(Possession::Csr(&message.certificate_signing_request));
    }
    let key = message.public_key.as_ref().ok_or(Reason::KeyMissing)?;
    Ok(Possession::PublicKey { key: &key.content, proof: &message.signed_email_address })
}

fn http_body(text: String) -> HttpBody {
    HttpBody { content_type: v1::MEDIA_TYPE.to_owned(), data: text.into_bytes() }
}
