//! Trust material at stable URLs, below `/trust`: the octets that `countersign trust` prints, with a digest to pin.
//!
//! They change with the keys alone, so with a restart. GET and HEAD, from any origin.

use super::conditional::Tag;
use super::ct::{Answer, cached, read};
use super::{ApiState, plain};
use crate::bundle::trust_material::{TrustFile, digests};
use crate::refusal::Reason;
use crate::transparency::{Hash, sha256};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::sync::Arc;

/// An hour: a key that is to come is announced longer before.
const AN_HOUR: &str = "public, max-age=3600";
/// RFC 9530 §3.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// The file with all digests, as coreutils call it.
const DIGESTS: &str = "SHA256SUMS";

/// One file, as it is answered.
struct Prepared {
    path: String,
    content_type: &'static str,
    octets: Bytes,
    tag: Tag,
    /// The value of `Repr-Digest`.
    digest: String,
}

impl Prepared {
    fn new(name: &str, content_type: &'static str, octets: Vec<u8>) -> Self {
        let hash: Hash = sha256(&octets);
        Self {
            path: format!("/trust/{name}"),
            content_type,
            octets: octets.into(),
            tag: Tag::new(&hash, name),
            digest: format!("sha-256=:{}:", BASE64_STANDARD.encode(hash)),
        }
    }
}

/// The files, as they are answered.
pub struct TrustFiles(Vec<Prepared>);

impl TrustFiles {
    /// For these files, and their digests beside them.
    pub fn new(files: &[TrustFile]) -> Self {
        let json = |file: &TrustFile| Prepared::new(file.name, "application/json", file.octets.clone());
        let mut all: Vec<_> = files.iter().map(json).collect();
        all.push(Prepared::new(DIGESTS, "text/plain; charset=utf-8", digests(files).into_bytes()));
        Self(all)
    }
}

/// The routes; none where there is no address to put into the files.
pub fn routes(state: &ApiState) -> Router<Arc<ApiState>> {
    if state.trust.is_none() {
        return Router::new();
    }
    Router::new()
        .route("/trust/trusted_root.json", read(get(answer)))
        .route("/trust/signing_config.v0.2.json", read(get(answer)))
        .route("/trust/client_trust_config.json", read(get(answer)))
        .route("/trust/SHA256SUMS", read(get(answer)))
}

async fn answer(State(state): State<Arc<ApiState>>, uri: Uri, headers: HeaderMap) -> Answer {
    let mut files = state.trust.iter().flat_map(|files| &files.0);
    let file = files.find(|file| file.path == uri.path()).ok_or(Reason::NotFound)?;
    let response = match file.tag.instead(&headers) {
        Some(answer) => answer,
        None => file.tag.on(plain(StatusCode::OK, file.content_type, file.octets.clone())),
    };
    Ok(cached(with_digest(response, &file.digest), AN_HOUR))
}

/// Of the representation that was asked for, in a 304 and to HEAD too.
fn with_digest(mut response: Response, digest: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(digest) {
        response.headers_mut().insert(REPR_DIGEST, value);
    }
    response
}
