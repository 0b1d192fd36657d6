//! Fulcio's v2 API in JSON (package `dev.sigstore.fulcio.v2`, service `CA`), and `/healthz`.

use super::message::{KeyMessage, SigningRequest};
use super::signing::Dialect;
use super::{ApiState, plain};
use crate::certificate::CaChain;
use crate::identity::{Entry, Issuers};
use crate::issuance::{CertificateAuthority, CertificateRequest, Issued, Rules, SctDelivery};
use crate::possession::Possession;
use crate::refusal::{Reason, Refusal};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};

const JSON: &str = "application/json";

/// Answers that do not depend on the request, and the part of an issuance's answer that never changes.
pub struct Prepared {
    /// `","<PEM>",…]}`: what follows the leaf, JSON-escaped, to the end of the chain.
    after_leaf: String,
    trust_bundle: Bytes,
    /// The answer of `/api/v2/configuration`, and the rules that it shows.
    configuration: RwLock<(Arc<Rules>, Bytes)>,
}

impl Prepared {
    /// For this authority.
    pub fn new(authority: &CertificateAuthority) -> Self {
        Self {
            after_leaf: after_leaf(&authority.chain),
            trust_bundle: trust_bundle_json(&authority.chain).to_string().into(),
            configuration: RwLock::new(shown(authority.rules.get())),
        }
    }

    /// For the rules that hold now.
    fn configuration(&self, authority: &CertificateAuthority) -> Bytes {
        let rules = authority.rules.get();
        {
            let prepared = self.configuration.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&prepared.0, &rules) {
                return prepared.1.clone();
            }
        }
        let fresh = shown(rules);
        let answer = fresh.1.clone();
        *self.configuration.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        answer
    }
}

/// `POST /api/v2/signingCert`: `CreateSigningCertificateRequest` to `SigningCertificate`, 200 and nothing else.
///
/// The Content-Type is not looked at, as with the reference.
pub struct Json;

impl Dialect for Json {
    type Message = SigningRequest;

    async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Result<Self::Message, Refusal> {
        SigningRequest::parse(&state.bodies.read(headers, body, state.draining()).await?)
    }

    fn request<'r>(
        message: &'r Self::Message,
        headers: &'r HeaderMap,
    ) -> Result<CertificateRequest<'r>, Refusal> {
        let token = match message.token.as_str() {
            "" => token_of_header(headers)?,
            token => trimmed(token),
        };
        Ok(CertificateRequest { token, possession: possession(&message.key) })
    }

    fn answer(state: &ApiState, issued: &Issued) -> Response {
        issued_response(state, issued)
    }
}

/// `GET /api/v2/trustBundle`: `TrustBundle`.
pub async fn trust_bundle(State(state): State<Arc<ApiState>>) -> Response {
    plain(StatusCode::OK, JSON, state.prepared.trust_bundle.clone())
}

/// `GET /api/v2/configuration`: `Configuration`.
pub async fn configuration(State(state): State<Arc<ApiState>>) -> Response {
    plain(StatusCode::OK, JSON, state.prepared.configuration(&state.authority))
}

/// `GET /healthz`: whether a certificate could be issued now. The reason is for operators, at `/readyz`.
pub async fn healthz(State(state): State<Arc<ApiState>>) -> Response {
    match state.health() {
        Ok(()) => plain(StatusCode::OK, JSON, r#"{"status":"SERVING"}"#),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"NOT_SERVING"}"#),
    }
}

/// A token that was read from a file ends in a newline; the reference does not mind.
pub fn trimmed(token: &str) -> &str {
    token.trim_ascii()
}

/// `Authorization: Bearer …` (RFC 6750 §2.1). The scheme may be in any case (RFC 9110 §11.1), or absent, as clients of the
/// reference have it.
pub fn token_of_header(headers: &HeaderMap) -> Result<&str, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Err(Reason::TokenMissing.into()) };
    let value = value.to_str().map_err(|_| Reason::TokenMalformed)?.trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        _ if value.eq_ignore_ascii_case("bearer") => "",
        _ => value,
    };
    match token {
        "" => Err(Reason::TokenMissing.into()),
        token => Ok(token),
    }
}

/// A missing key is judged where a bad one is: after the token.
pub fn possession(key: &KeyMessage) -> Possession<'_> {
    match key {
        KeyMessage::Missing => Possession::PublicKey { key: b"", proof: b"" },
        KeyMessage::PublicKey { content, proof } => Possession::PublicKey { key: content, proof },
        KeyMessage::Csr(csr) => Possession::Csr(csr),
    }
}

/// `SigningCertificate` with an embedded or a detached SCT: leaf, intermediates, root; none of the PEMs ends in a newline.
fn issued_response(state: &ApiState, issued: &Issued) -> Response {
    let mut body = String::with_capacity(8 * 1024);
    body.push_str(match &issued.sct {
        SctDelivery::Embedded => r#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":[""#,
        SctDelivery::Detached(_) | SctDelivery::None => {
            r#"{"signedCertificateDetachedSct":{"chain":{"certificates":[""#
        }
    });
    // PEM inside a JSON string: the line breaks are all that needs escaping.
    issued.certificate.push_pem(&mut body, "\\n");
    if Arc::ptr_eq(&issued.chain, &state.authority.chain) {
        body.push_str(&state.prepared.after_leaf);
    } else {
        body.push_str(&after_leaf(&issued.chain));
    }
    let detached = match &issued.sct {
        SctDelivery::Embedded => None,
        SctDelivery::Detached(sct) => Some(BASE64_STANDARD.encode(sct)),
        SctDelivery::None => Some(String::new()),
    };
    if let Some(base64) = detached {
        body.push_str(r#","signedCertificateTimestamp":""#);
        body.push_str(&base64);
        body.push('"');
    }
    body.push_str("}}");
    plain(StatusCode::OK, JSON, body)
}

/// Leaf, intermediates, root; none of the PEMs ends in a newline.
pub fn chain_pems(issued: &Issued) -> Vec<String> {
    let above = issued.chain.pem().iter().map(|pem| pem.trim_end().to_owned());
    std::iter::once(issued.certificate.pem()).chain(above).collect()
}

fn after_leaf(chain: &CaChain) -> String {
    let mut json = String::from('"');
    for pem in chain.pem() {
        json.push_str(",\"");
        json.push_str(&escaped(pem.trim_end()));
        json.push('"');
    }
    json.push_str("]}");
    json
}

/// PEM inside a JSON string: the line breaks are all that needs escaping.
fn escaped(pem: &str) -> String {
    pem.replace('\n', "\\n")
}

/// One chain, intermediate first, root last; these PEMs do end in a newline.
fn trust_bundle_json(chain: &CaChain) -> Value {
    json!({ "chains": [{ "certificates": chain.pem() }] })
}

fn shown(rules: Arc<Rules>) -> (Arc<Rules>, Bytes) {
    let json = configuration_json(&rules.issuers).to_string().into();
    (rules, json)
}

fn configuration_json(issuers: &Issuers) -> Value {
    json!({ "issuers": configured(issuers) })
}

/// Every issuer and audience, then the patterns, with the unpopulated fields shown.
pub fn configured(issuers: &Issuers) -> Vec<Value> {
    let exact = issuers
        .iter()
        .flat_map(|issuer| issuer.entries.iter().map(|entry| issuer_json("issuerUrl", &issuer.url, entry)));
    let patterns = issuers.patterns().iter().flat_map(|pattern| {
        pattern.entries().iter().map(|entry| issuer_json("wildcardIssuerUrl", pattern.text(), entry))
    });
    exact.chain(patterns).collect()
}

/// `OIDCIssuer`.
fn issuer_json(member: &str, url: &str, entry: &Entry) -> Value {
    let announced = entry.kind.announcement();
    json!({
        member: url,
        "audience": entry.audience,
        "challengeClaim": entry.kind.announced_challenge(),
        "spiffeTrustDomain": announced.spiffe_trust_domain,
        "issuerType": entry.kind.name(),
        "subjectDomain": announced.subject_domain,
        "skipEmailVerification": announced.skip_email_verification,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn token(value: &'static [u8]) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header value"));
        token_of_header(&headers).map(str::to_owned).map_err(|refusal| refusal.reason())
    }

    #[test]
    fn the_header_needs_no_scheme_and_the_scheme_has_any_case() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c ", "a.b.c"] {
            assert_eq!(token(value.as_bytes()), Ok("a.b.c".into()), "{value}");
        }
        assert_eq!(token(b"Bearer Bearer a.b.c"), Ok("Bearer a.b.c".into()));
        assert_eq!(token(b"Basic dTpw"), Ok("Basic dTpw".into()));
        for value in ["", "Bearer", "Bearer ", "bearer  "] {
            assert_eq!(token(value.as_bytes()), Err(Reason::TokenMissing), "{value:?}");
        }
        assert_eq!(token(b"Bearer \xff"), Err(Reason::TokenMalformed));
        assert!(token_of_header(&HeaderMap::new()).is_err());
    }
}
