//! The bodies of the fuzz targets: each takes any bytes, and panics when a promise does not hold.
//!
//! They stand once, for libFuzzer (`tests/fuzz/fuzz_targets`) and for `cargo test` (`tests/suite/fuzz_corpus.rs`), which runs each
//! over its corpus and over every input that ever broke it.

pub mod broker;
pub mod bundle;
pub mod certificate;
pub mod chain;
pub mod checkpoint;
pub mod claims;
pub mod condition;
pub mod config;
pub mod csr;
pub mod entry_request;
pub mod fulcio_config;
pub mod issuer_pattern;
pub mod issuer_url;
pub mod jwks;
pub mod key;
pub mod provider;
pub mod request_grpc;
pub mod request_json;
pub mod sct;
pub mod server;
pub mod template;
pub mod tile;
pub mod tile_path;
pub mod timestamp;
pub mod timestamp_der;
pub mod timestamp_json;
pub mod token;
pub mod trusted_root;
pub mod world;

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. The name is that of its corpus and of its binary.
pub const TARGETS: &[Target] = &[
    ("broker", broker::target),
    ("bundle", bundle::target),
    ("certificate", certificate::target),
    ("chain", chain::target),
    ("checkpoint", checkpoint::target),
    ("claims", claims::target),
    ("condition", condition::target),
    ("config", config::target),
    ("csr", csr::target),
    ("entry_request", entry_request::target),
    ("fulcio_config", fulcio_config::target),
    ("issuer_pattern", issuer_pattern::target),
    ("issuer_url", issuer_url::target),
    ("jwks", jwks::target),
    ("key", key::target),
    ("provider", provider::target),
    ("request_grpc", request_grpc::target),
    ("request_json", request_json::target),
    ("sct", sct::target),
    ("template", template::target),
    ("tile", tile::target),
    ("tile_path", tile_path::target),
    ("timestamp_der", timestamp_der::target),
    ("timestamp_json", timestamp_json::target),
    ("timestamp", timestamp::target),
    ("token", token::target),
    ("trusted_root", trusted_root::target),
];
