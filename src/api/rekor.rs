//! The signature log (Rekor's API v2): entries in, and what readers ask for, c2sp.org/tlog-tiles below `/api/v2`.
//!
//! Writing needs no authentication but the signature itself; the content type is not looked at. Reading is as with the certificate
//! log: a few at a time.

use super::ct::{Answer, IMMUTABLE, NO_STORE, cached, in_turn, read, refused};
use super::{ApiState, only_post, plain};
use crate::issuance::recording::{Receipt, Recording};
use crate::protojson::{Base64, Integer};
use crate::refusal::{Reason, Refusal};
use crate::transparency::tile::{TileKind, TilePath};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use serde::Serialize;
use std::sync::Arc;

const JSON: &str = "application/json";

/// The routes; none where there is no signature log.
pub fn routes(state: &Arc<ApiState>) -> Router<Arc<ApiState>> {
    if state.recording.is_none() {
        return Router::new();
    }
    let reads = Router::new()
        .route("/api/v2/checkpoint", read(get(checkpoint)))
        .route("/api/v2/tile/{*path}", read(get(tile)))
        .route_layer(from_fn_with_state(state.clone(), in_turn));
    Router::new().route("/api/v2/log/entries", only_post(create)).merge(reads)
}

/// `CreateEntryRequest` to `TransparencyLogEntry`.
async fn create(State(state): State<Arc<ApiState>>, headers: HeaderMap, body: Body) -> Answer {
    let recording = recording(&state)?;
    recording.admission().is_full()?;
    let body = state.bodies.read(&headers, body, state.draining()).await?;
    let receipt = recording.record(body).await?;
    let message = EntryMessage::of(recording.log().log_id(), &receipt);
    // Base64 has four octets for three, and a proof less than two kilobytes.
    let mut answer = Vec::with_capacity(2048 + receipt.entry.body.as_bytes().len() / 3 * 4);
    serde_json::to_writer(&mut answer, &message).map_err(|_| Reason::Internal)?;
    Ok(cached(plain(StatusCode::CREATED, JSON, answer), NO_STORE))
}

/// tlog-tiles, Checkpoints.
async fn checkpoint(State(state): State<Arc<ApiState>>) -> Answer {
    let log = recording(&state)?.log().clone();
    let checkpoint = tokio::task::spawn_blocking(move || log.checkpoint()).await;
    let checkpoint = checkpoint.map_err(|_| Refusal::from(Reason::Internal))??;
    Ok(cached(plain(StatusCode::OK, "text/plain; charset=utf-8", checkpoint.to_string()), NO_STORE))
}

/// tlog-tiles, Merkle Tree and Log Entries.
async fn tile(State(state): State<Arc<ApiState>>, uri: Uri) -> Answer {
    let path = uri.path().strip_prefix("/api/v2/").and_then(tile_path).ok_or(Reason::NotFound)?;
    let log = recording(&state)?.log().clone();
    let content = tokio::task::spawn_blocking(move || log.reader().tile(&path).map_err(refused)).await;
    let content = content.map_err(|_| Refusal::from(Reason::Internal))??.ok_or(Reason::NotFound)?;
    Ok(cached(plain(StatusCode::OK, "application/octet-stream", content), IMMUTABLE))
}

/// tlog-tiles calls entries `entries` where static-ct-api calls them `data`.
fn tile_path(text: &str) -> Option<TilePath> {
    match text.strip_prefix("tile/entries/") {
        Some(rest) => TilePath::parse(&format!("tile/data/{rest}")),
        None => TilePath::parse(text).filter(|path| path.kind() != TileKind::Data),
    }
}

fn recording(state: &ApiState) -> Result<&Arc<Recording>, Refusal> {
    state.recording.as_ref().ok_or_else(|| Reason::NotFound.into())
}

/// `TransparencyLogEntry`, with the fields that are zero.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryMessage<'e> {
    log_index: Integer,
    log_id: LogIdMessage<'e>,
    kind_version: KindVersionMessage,
    integrated_time: Integer,
    inclusion_promise: Option<()>,
    inclusion_proof: InclusionProofMessage<'e>,
    canonicalized_body: Base64<'e>,
}

/// `LogId`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogIdMessage<'e> {
    key_id: Base64<'e>,
}

/// `KindVersion`
#[derive(Serialize)]
struct KindVersionMessage {
    kind: &'static str,
    version: &'static str,
}

/// `InclusionProof`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InclusionProofMessage<'e> {
    log_index: Integer,
    root_hash: Base64<'e>,
    tree_size: Integer,
    hashes: Vec<Base64<'e>>,
    checkpoint: CheckpointMessage<'e>,
}

/// `Checkpoint`
#[derive(Serialize)]
struct CheckpointMessage<'e> {
    envelope: &'e str,
}

impl<'e> EntryMessage<'e> {
    fn of(log_id: &'e [u8], Receipt { entry, recorded }: &'e Receipt) -> Self {
        Self {
            log_index: Integer(recorded.index),
            log_id: LogIdMessage { key_id: Base64(log_id) },
            kind_version: KindVersionMessage { kind: entry.kind, version: "0.0.2" },
            integrated_time: Integer(0),
            inclusion_promise: None,
            inclusion_proof: InclusionProofMessage {
                log_index: Integer(recorded.index),
                root_hash: Base64(&recorded.root),
                tree_size: Integer(recorded.size),
                hashes: recorded.proof.iter().map(|hash| Base64(hash)).collect(),
                checkpoint: CheckpointMessage { envelope: &recorded.checkpoint },
            },
            canonicalized_body: Base64(entry.body.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_tiles_have_the_name_that_tlog_tiles_gives_them() {
        for (text, expected) in [
            ("tile/entries/000", Some("tile/data/000")),
            ("tile/entries/x001/234.p/5", Some("tile/data/x001/234.p/5")),
            ("tile/0/000.p/3", Some("tile/0/000.p/3")),
            ("tile/data/000", None),
            ("tile/entries/", None),
            ("tile/entries/data/000", None),
            ("tile/6/000", None),
        ] {
            assert_eq!(tile_path(text).map(|path| path.to_string()).as_deref(), expected, "{text}");
        }
    }
}
