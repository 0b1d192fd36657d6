//! Fulcio's v1 API in JSON (package `dev.sigstore.fulcio.v1beta`): older clients, sigstore-rs and cosign's old flags.

use super::message::{KeyMessage, LegacySigningRequest};
use super::signing::Dialect;
use super::{ApiState, plain, v2};
use crate::certificate::CaChain;
use crate::issuance::{CertificateRequest, Issued, SctDelivery};
use crate::refusal::{Reason, Refusal};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::sync::Arc;

/// RFC 8555 §9.1, which names it for certificates with their chain.
pub const MEDIA_TYPE: &str = "application/pem-certificate-chain";

/// Carries a detached SCT.
const SCT: HeaderName = HeaderName::from_static("sct");

/// `POST /api/v1/signingCert`: `CreateSigningCertificateRequest` to a chain in PEM, 201 and nothing else.
///
/// The token is in the header alone. Without any key the token is not looked at, as with the reference.
pub struct LegacyJson;

impl Dialect for LegacyJson {
    type Message = LegacySigningRequest;

    async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<Self::Message, Refusal> {
        LegacySigningRequest::parse(&state.bodies.read(headers, body, state.draining()).await?)
    }

    fn request<'r>(
        message: &'r Self::Message,
        headers: &'r HeaderMap,
    ) -> Result<CertificateRequest<'r>, Refusal> {
        if message.key == KeyMessage::Missing && !message.key_given {
            return Err(Reason::KeyMissing.into());
        }
        let token = v2::token_of_header(headers)?;
        Ok(CertificateRequest { token, possession: v2::possession(&message.key) })
    }

    fn answer(_: &ApiState, issued: &Issued) -> Response {
        let mut response = plain(StatusCode::CREATED, MEDIA_TYPE, issued_text(issued));
        if let Some(sct) = detached_sct(issued) {
            response.headers_mut().insert(SCT, sct);
        }
        response
    }
}

/// A detached SCT as the header has it: base64 of the JSON of `add-chain`'s answer. `None` where the certificate carries
/// its SCT, or has none.
pub fn detached_sct(issued: &Issued) -> Option<HeaderValue> {
    let SctDelivery::Detached(json) = &issued.sct else { return None };
    HeaderValue::from_str(&BASE64_STANDARD.encode(json)).ok()
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
