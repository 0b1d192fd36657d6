//! `GET /openapi.json`: the description of the JSON API, for people and generators.
//!
//! `openapi.json` is written by hand; what the code knows better is filled in: the version, and the list of reasons. gRPC
//! describes itself by reflection.

use super::plain;
use crate::refusal::Reason;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::LazyLock;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document: Value =
        serde_json::from_str(include_str!("openapi.json")).expect("the checked-in document is JSON");
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    fill(&mut document, "/info/version", json!(env!("CARGO_PKG_VERSION")));
    fill(&mut document, "/components/schemas/ErrorInfo/properties/reason/enum", json!(reasons));
    format!("{document:#}\n")
});

/// `GET /openapi.json`
pub async fn document() -> Response {
    plain(StatusCode::OK, "application/json", DOCUMENT.as_str())
}

fn fill(document: &mut Value, place: &str, value: Value) {
    if let Some(slot) = document.pointer_mut(place) {
        *slot = value;
    }
}
