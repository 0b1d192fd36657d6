//! Fulcio's v1 API in JSON (package `dev.sigstore.fulcio.v1beta`): older clients, sigstore-rs and cosign's old flags.

use super::error::Rejection;
use super::message::{KeyMessage, LegacySigningRequest};
use super::{ApiState, plain, v2};
use crate::certificate::CaChain;
use crate::issuance::{CertificateRequest, Issued};
use crate::refusal::Reason;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::sync::Arc;

/// RFC 8555 §9.1, which names it for certificates with their chain.
pub const MEDIA_TYPE: &str = "application/pem-certificate-chain";

/// `POST /api/v1/signingCert`: `CreateSigningCertificateRequest` to a chain in PEM, 201 and nothing else.
///
/// The token is in the header alone. Without any key the token is not looked at, as with the reference.
pub async fn signing_certificate(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Rejection> {
    let _place = state.admit()?;
    let body = state.bodies.read(&headers, body, state.draining()).await?;
    let message = LegacySigningRequest::parse(&body)?;
    if message.key == KeyMessage::Missing && !message.key_given {
        return Err(Reason::KeyMissing.into());
    }
    let token = v2::token_of_header(&headers)?;
    let issued = state.issue(CertificateRequest { token, possession: v2::possession(&message.key) }).await?;
    Ok(v2::noted(plain(StatusCode::CREATED, MEDIA_TYPE, issued_text(&issued)), &issued))
}

/// `GET /api/v1/rootCert`: the chain, issuing certificate first.
pub async fn root_certificate(State(state): State<Arc<ApiState>>) -> Response {
    plain(StatusCode::OK, MEDIA_TYPE, root_text(&state.authority.chain))
}

/// Leaf, intermediates, root, each on the line after the one before it; no newline at the end.
pub fn issued_text(issued: &Issued) -> String {
    v2::chain_pems(issued).join("\n")
}

/// The chain with an empty line between its certificates, as the reference has it; no newline at the end.
pub fn root_text(chain: &CaChain) -> String {
    chain.pem().iter().map(|pem| pem.trim_end()).collect::<Vec<_>>().join("\n\n")
}
