//! `dev.sigstore.fulcio.v1beta.CA`: the same answers as `/api/v1`, in `google.api.HttpBody`.
//!
//! The token is in the metadata alone. The HTTP status and a detached SCT, which JSON has in its head, come as the
//! metadata `x-http-code` and `x-sct`, as the reference has them.

use super::messages::{Empty, HttpBody, LegacyRequest};
use super::{token, unary};
use crate::api::ApiState;
use crate::api::error::Rejection;
use crate::api::{v1, v2};
use crate::issuance::CertificateRequest;
use crate::possession::Possession;
use crate::refusal::Reason;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use std::sync::Arc;

const HTTP_CODE: HeaderName = HeaderName::from_static("x-http-code");

/// `CreateSigningCertificate`
pub async fn create_signing_certificate(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Rejection> {
    let _place = state.admit()?;
    let message: LegacyRequest = unary::message(&state, &headers, body).await?;
    let possession = possession(&message)?;
    let token = token("", &headers)?;
    let issued = state.issue(CertificateRequest { token, possession }).await?;
    let mut response = unary::answer(http_body(v1::issued_text(&issued)));
    response.headers_mut().insert(HTTP_CODE, HeaderValue::from_static("201"));
    Ok(v2::noted(response, &issued))
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
