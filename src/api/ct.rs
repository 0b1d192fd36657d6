//! Reading the log: static-ct-api's objects and RFC 6962's questions, all below `/ct`.
//!
//! GET and HEAD only; submissions are `submit`'s. Errors are JSON here too. Everything blocking happens on tokio's threads
//! for it, a few at a time.

use super::conditional::Tag;
use super::error::Rejection;
use super::paths::Query;
use super::{ApiState, method_not_allowed, plain};
use crate::log::CtLog;
use crate::log::reader::ReadError;
use crate::refusal::{Reason, Refusal};
use crate::transparency::Hash;
use crate::transparency::precertificate::DataTileEntry;
use crate::transparency::tile::TilePath;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Entries in one answer of get-entries: a data tile's.
const MAX_ENTRIES: usize = 256;

/// static-ct-api: tiles and issuers never change.
pub(super) const IMMUTABLE: &str = "public, max-age=604800, immutable";
/// Answers that follow from their parameters.
const DETERMINED: &str = "public, max-age=86400";
/// Answers that follow the log's growth.
pub(super) const NO_STORE: &str = "no-store";

const JSON: &str = "application/json";

/// The routes below `/ct`; none where the log is not our own.
pub fn routes(state: &Arc<ApiState>) -> Router<Arc<ApiState>> {
    if state.authority.log.own().is_none() {
        return Router::new();
    }
    Router::new()
        .route("/ct/checkpoint", read(get(checkpoint)))
        .route("/ct/tile/{*path}", read(get(tile)))
        .route("/ct/issuer/{fingerprint}", read(get(issuer)))
        .route("/ct/ct/v1/get-sth", read(get(get_sth)))
        .route("/ct/ct/v1/get-sth-consistency", read(get(get_sth_consistency)))
        .route("/ct/ct/v1/get-proof-by-hash", read(get(get_proof_by_hash)))
        .route("/ct/ct/v1/get-entries", read(get(get_entries)))
        .route("/ct/ct/v1/get-roots", read(get(get_roots)))
        .route("/ct/ct/v1/get-entry-and-proof", read(get(get_entry_and_proof)))
        .route_layer(from_fn_with_state(state.clone(), in_turn))
}

/// A few reads at a time, so that readers cannot starve issuing. The turn goes with the answer, until the server has found
/// memory for it: answers that nobody takes are no more than there is room for.
pub(super) async fn in_turn(State(state): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let _place = match state.admit_read() {
        Ok(place) => place,
        Err(refusal) => return Rejection(refusal).into_response(),
    };
    let Ok(turn) = state.reads.clone().acquire_owned().await else {
        return Rejection(Reason::ShuttingDown.into()).into_response();
    };
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Turn { _permit: Arc::new(turn) });
    response
}

/// A turn to read, until this is dropped.
#[derive(Clone)]
struct Turn {
    _permit: Arc<OwnedSemaphorePermit>,
}

pub(super) fn read(route: MethodRouter<Arc<ApiState>>) -> MethodRouter<Arc<ApiState>> {
    route.fallback(method_not_allowed)
}

/// What handlers answer.
pub(super) type Answer = Result<Response, Rejection>;

/// static-ct-api, Checkpoints.
async fn checkpoint(State(state): State<Arc<ApiState>>, headers: HeaderMap) -> Answer {
    // In memory, and signed once for each head: not worth another thread.
    let log = state.authority.log.own().ok_or(Reason::NotFound)?;
    let sth = log.sth()?;
    // No two tree heads have one time.
    let tag = Tag::new(log.log_id(), format_args!("{}.{}", sth.head.size, sth.head.timestamp.0));
    if let Some(answer) = tag.instead(&headers) {
        return Ok(cached(answer, NO_STORE));
    }
    let note = sth.to_note(log.origin(), log.log_id());
    Ok(cached(tag.on(plain(StatusCode::OK, "text/plain; charset=utf-8", note)), NO_STORE))
}

/// static-ct-api, Merkle Tree and Log Entries.
async fn tile(
    State(state): State<Arc<ApiState>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
) -> Answer {
    // Ranges are GET's alone.
    if method != Method::GET {
        headers.remove(RANGE);
    }
    let path = uri.path().strip_prefix("/ct/").and_then(TilePath::parse).ok_or(Reason::NotFound)?;
    let log = state.authority.log.own().ok_or(Reason::NotFound)?;
    let tag = Tag::new(log.log_id(), path.to_string().replace('/', "."));
    if let Some(answer) = tag.instead(&headers) {
        return match path.is_within(log.reader().size()) {
            true => Ok(cached(answer, IMMUTABLE)),
            false => Err(Reason::NotFound.into()),
        };
    }
    let content = blocking(&state, move |log| log.reader().tile(&path).map_err(refused)).await?;
    let content = content.ok_or(Reason::NotFound)?;
    let answer = |status, content: Bytes| plain(status, "application/octet-stream", content);
    Ok(cached(tag.ranged(&headers, content, answer), IMMUTABLE))
}

/// static-ct-api, Issuers: one DER certificate by the SHA-256 of it, in lower-case hex.
async fn issuer(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let name = uri.path().strip_prefix("/ct/issuer/").unwrap_or_default();
    let canonical = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut fingerprint: Hash = [0; 32];
    if !canonical || hex::decode_to_slice(name, &mut fingerprint).is_err() {
        return Err(Reason::NotFound.into());
    }
    let certificate = blocking(&state, move |log| log.issuer(&fingerprint)).await?.ok_or(Reason::NotFound)?;
    Ok(cached(plain(StatusCode::OK, "application/pkix-cert", certificate), IMMUTABLE))
}

/// RFC 6962 §4.3.
async fn get_sth(State(state): State<Arc<ApiState>>) -> Answer {
    let sth = blocking(&state, CtLog::sth).await?;
    Ok(json_answer(&sth.to_json(), NO_STORE))
}

/// RFC 6962 §4.4.
async fn get_sth_consistency(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let (first, second) = (query.number("first")?, query.number("second")?);
    let proof =
        blocking(&state, move |log| log.reader().consistency_proof(first, second).map_err(refused)).await?;
    Ok(json_answer(&json!({ "consistency": base64_each(&proof) }), DETERMINED))
}

/// RFC 6962 §4.5.
async fn get_proof_by_hash(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let hash = leaf_hash(query.text("hash")?)?;
    let size = tree_size(&query)?;
    let (index, proof) = blocking(&state, move |log| {
        let reader = log.reader();
        let index = reader.index_of_leaf(&hash, size).map_err(refused)?.ok_or_else(|| {
            Refusal::new(Reason::NotFound).because("No entry of a tree of this size has this leaf hash.")
        })?;
        Ok((index, reader.inclusion_proof(index, size).map_err(refused)?))
    })
    .await?;
    Ok(json_answer(&json!({ "leaf_index": index, "audit_path": base64_each(&proof) }), DETERMINED))
}

/// RFC 6962 §4.6. `end` is included; fewer entries than asked for are given where a data tile or the log ends.
async fn get_entries(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let (start, end) = (query.number("start")?, query.number("end")?);
    let entries = blocking(&state, move |log| {
        let entries = log.reader().entries(start, end, MAX_ENTRIES).map_err(refused)?;
        let mut issuers = Issuers::new(log);
        entries.iter().map(|entry| issuers.entry_json(entry)).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    // What the log's end has cut is longer the next time.
    let complete = entries.len() as u64 == (end - start).saturating_add(1);
    Ok(json_answer(&json!({ "entries": entries }), if complete { DETERMINED } else { NO_STORE }))
}

/// RFC 6962 §4.7: the root of our own chain, and those that are accepted from others.
async fn get_roots(State(state): State<Arc<ApiState>>) -> Answer {
    let log = state.authority.log.own().ok_or(Reason::NotFound)?;
    let roots: Vec<String> = log.roots().map(|root| base64(root)).collect();
    Ok(json_answer(&json!({ "certificates": roots }), NO_STORE))
}

/// RFC 6962 §4.8.
async fn get_entry_and_proof(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let query = Query::parse(uri.query())?;
    let (index, size) = (query.number("leaf_index")?, tree_size(&query)?);
    let answer = blocking(&state, move |log| {
        let proof = log.reader().inclusion_proof(index, size).map_err(refused)?;
        let entries = log.reader().entries(index, index, 1).map_err(refused)?;
        let entry = entries.first().ok_or(Reason::NotFound)?;
        let mut answer = Issuers::new(log).entry_json(entry)?;
        if let Some(members) = answer.as_object_mut() {
            members.insert("audit_path".into(), json!(base64_each(&proof)));
        }
        Ok(answer)
    })
    .await?;
    Ok(json_answer(&answer, DETERMINED))
}

/// `tree_size` of a tree that has leaves.
fn tree_size(query: &Query<'_>) -> Result<u64, Refusal> {
    match query.number("tree_size")? {
        0 => Err(malformed("The parameter `tree_size` must be at least 1.")),
        size => Ok(size),
    }
}

/// The parameter `hash`. Its pluses come as pluses, as `%2B`, or as the spaces that some clients make of them.
fn leaf_hash(text: &str) -> Result<Hash, Refusal> {
    let wrong = || malformed("The parameter `hash` must be the base64 of a SHA-256 hash.");
    if text.len() > 64 {
        return Err(wrong());
    }
    let bytes = BASE64_STANDARD.decode(text.replace(' ', "+")).map_err(|_| wrong())?;
    bytes.try_into().map_err(|_| wrong())
}

/// Makes entries' JSON, with the CA certificates that they name fetched once.
struct Issuers<'l> {
    log: &'l CtLog,
    known: HashMap<Hash, Vec<u8>>,
}

impl<'l> Issuers<'l> {
    fn new(log: &'l CtLog) -> Self {
        Self { log, known: HashMap::new() }
    }

    fn entry_json(&mut self, entry: &[u8]) -> Result<Value, Refusal> {
        let entry = DataTileEntry::parse_one(entry).map_err(|error| corrupt(&error.to_string()))?;
        for fingerprint in entry.fingerprints() {
            if !self.known.contains_key(fingerprint) {
                let certificate = self.log.issuer(fingerprint)?;
                let certificate = certificate.ok_or_else(|| corrupt("an entry's issuer is not stored"))?;
                self.known.insert(*fingerprint, certificate);
            }
        }
        let chain: Vec<&Vec<u8>> =
            entry.fingerprints().iter().filter_map(|print| self.known.get(print)).collect();
        let extra_data = entry.extra_data(&chain).ok_or_else(|| corrupt("an entry's chain is too long"))?;
        Ok(json!({ "leaf_input": base64(&entry.merkle_tree_leaf()), "extra_data": base64(&extra_data) }))
    }
}

/// Runs a read where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    state: &ApiState,
    read: impl FnOnce(&CtLog) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let log = state.authority.log.own().ok_or(Reason::NotFound)?.clone();
    let task = tokio::task::spawn_blocking(move || read(&log));
    task.await.unwrap_or_else(|_| Err(Reason::Internal.into()))
}

pub(super) fn refused(error: ReadError) -> Refusal {
    match error {
        ReadError::OutOfRange(detail) => malformed(format!("Beyond the log: {detail}.")),
        ReadError::Store(error) => corrupt(&error.to_string()),
    }
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::RequestMalformed).because(detail)
}

/// The store failed: the words are for the operator.
fn corrupt(problem: &str) -> Refusal {
    tracing::error!(problem, "the log cannot be read");
    Refusal::new(Reason::LogUnavailable).retry_after(Duration::from_secs(30))
}

pub(super) fn json_answer(value: &Value, caching: &'static str) -> Response {
    cached(plain(StatusCode::OK, JSON, value.to_string()), caching)
}

pub(super) fn cached(mut response: Response, caching: &'static str) -> Response {
    // A condition that does not hold is of its caller alone.
    let failed = response.status() == StatusCode::PRECONDITION_FAILED;
    let caching = if failed { NO_STORE } else { caching };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn base64_each(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| base64(hash)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_hash_is_the_base64_of_32_octets_whatever_became_of_its_pluses() {
        let hash = [0xfb; 32];
        let text = base64(&hash);
        assert!(text.contains('+'));
        assert_eq!(leaf_hash(&text), Ok(hash));
        assert_eq!(leaf_hash(&text.replace('+', " ")), Ok(hash));
        for wrong in ["", "!", &base64(&[1; 31]), &base64(&[1; 33]), &"A".repeat(1000)] {
            assert!(leaf_hash(wrong).is_err(), "{wrong}");
        }
    }
}
