//! `dev.sigstore.fulcio.v2.CA`: the same answers as `/api/v2`, in protobuf.

use super::messages::{
    Certificate, CertificateChain, Configuration, CreateSigningCertificateRequest, Empty, IssuerUrl, Key,
    OidcIssuer, SigningCertificate, SigningCertificateDetachedSct, SigningCertificateEmbeddedSct,
    TrustBundle,
};
use super::{token, unary};
use crate::api::ApiState;
use crate::api::error::Rejection;
use crate::api::signing::Dialect;
use crate::api::v2;
use crate::issuance::{CertificateRequest, Issued, SctDelivery};
use crate::possession::Possession;
use crate::refusal::Refusal;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use std::sync::Arc;

/// `CreateSigningCertificate`
pub struct Protobuf;

impl Dialect for Protobuf {
    type Message = CreateSigningCertificateRequest;

    async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<Self::Message, Refusal> {
        unary::message(state, headers, body).await
    }

    fn request<'r>(
        message: &'r Self::Message,
        headers: &'r HeaderMap,
    ) -> Result<CertificateRequest<'r>, Refusal> {
        let field = message.credentials.as_ref().map_or("", |credentials| &credentials.oidc_identity_token);
        let token = token(field, headers)?;
        Ok(CertificateRequest { token, possession: possession(message.key.as_ref()) })
    }

    fn answer(_: &ApiState, issued: &Issued) -> Response {
        unary::answer(signing_certificate(issued))
    }
}

/// `GetTrustBundle`
pub async fn trust_bundle(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Rejection> {
    let _: Empty = unary::message(&state, &headers, body).await?;
    let chain = CertificateChain { certificates: state.authority.chain.pem().to_vec() };
    Ok(unary::answer(TrustBundle { chains: vec![chain] }))
}

/// `GetConfiguration`
pub async fn configuration(
    State(state): State<Arc<ApiState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Rejection> {
    let _: Empty = unary::message(&state, &headers, body).await?;
    let issuers = v2::configured(&state.authority.rules.get().issuers).iter().map(issuer).collect();
    Ok(unary::answer(Configuration { issuers }))
}

/// A missing key is judged where a bad one is: after the token.
fn possession(key: Option<&Key>) -> Possession<'_> {
    match key {
        Some(Key::CertificateSigningRequest(csr)) if !csr.is_empty() => Possession::Csr(csr),
        Some(Key::PublicKeyRequest(request)) => Possession::PublicKey {
            key: request.public_key.as_ref().map_or(b"", |key| key.content.as_bytes()),
            proof: &request.proof_of_possession,
        },
        _ => Possession::PublicKey { key: b"", proof: b"" },
    }
}

fn signing_certificate(issued: &Issued) -> SigningCertificate {
    let chain = Some(CertificateChain { certificates: v2::chain_pems(issued) });
    let detached = |signed_certificate_timestamp| {
        Certificate::DetachedSct(SigningCertificateDetachedSct {
            chain: chain.clone(),
            signed_certificate_timestamp,
        })
    };
    let certificate = match &issued.sct {
        SctDelivery::Embedded => Certificate::EmbeddedSct(SigningCertificateEmbeddedSct { chain }),
        SctDelivery::Detached(json) => detached(json.clone()),
        SctDelivery::None => detached(Vec::new()),
    };
    SigningCertificate { certificate: Some(certificate) }
}

/// One item of the JSON configuration: what is shown is decided there, once.
fn issuer(shown: &serde_json::Value) -> OidcIssuer {
    let text = |name: &str| shown.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let url = match shown.get("wildcardIssuerUrl") {
        Some(_) => IssuerUrl::Wildcard(text("wildcardIssuerUrl")),
        None => IssuerUrl::Exact(text("issuerUrl")),
    };
    OidcIssuer {
        issuer: Some(url),
        audience: text("audience"),
        challenge_claim: text("challengeClaim"),
        spiffe_trust_domain: text("spiffeTrustDomain"),
        issuer_type: text("issuerType"),
        subject_domain: text("subjectDomain"),
        skip_email_verification: shown["skipEmailVerification"].as_bool().unwrap_or_default(),
    }
}
