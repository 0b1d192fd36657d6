//! A log entry as a bundle has it, and as Rekor v2 answers it (`sigstore_rekor.proto`).

use super::json::{Number, Octets, list, plain};
use crate::protojson::{object, optional};
use serde::{Deserialize, Serialize};

/// Message `TransparencyLogEntry` (`sigstore_rekor.proto`): also what Rekor v2 answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogEntry {
    /// Index in the log; with Rekor v1 over all of its trees.
    #[serde(default, alias = "log_index", deserialize_with = "plain")]
    pub log_index: Number,
    /// Which log.
    #[serde(deserialize_with = "object", alias = "log_id")]
    pub log_id: LogId,
    /// What the body is.
    #[serde(deserialize_with = "object", alias = "kind_version")]
    pub kind_version: KindVersion,
    /// Seconds since 1970; 0 with Rekor v2.
    #[serde(
        default,
        alias = "integrated_time",
        deserialize_with = "plain",
        skip_serializing_if = "Number::is_zero"
    )]
    pub integrated_time: Number,
    /// Rekor v1's signed entry timestamp.
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "inclusion_promise",
        skip_serializing_if = "Option::is_none"
    )]
    pub inclusion_promise: Option<InclusionPromise>,
    /// The proof.
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "inclusion_proof",
        skip_serializing_if = "Option::is_none"
    )]
    pub inclusion_proof: Option<InclusionProof>,
    /// The leaf.
    #[serde(default, alias = "canonicalized_body", deserialize_with = "plain")]
    pub canonicalized_body: Octets,
}

/// Message `LogId`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogId {
    /// The whole hash.
    #[serde(alias = "key_id")]
    pub key_id: Octets,
}

/// Message `KindVersion`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindVersion {
    /// `hashedrekord`, `dsse`, `intoto`.
    pub kind: String,
    /// `0.0.1`, `0.0.2`.
    pub version: String,
}

/// Message `InclusionPromise`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InclusionPromise {
    /// Rekor's signature.
    #[serde(alias = "signed_entry_timestamp")]
    pub signed_entry_timestamp: Octets,
}

/// Message `InclusionProof`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InclusionProof {
    /// Index of the leaf in the tree.
    #[serde(default, alias = "log_index", deserialize_with = "plain")]
    pub log_index: Number,
    /// The tree's root.
    #[serde(alias = "root_hash")]
    pub root_hash: Octets,
    /// Number of leaves.
    #[serde(alias = "tree_size")]
    pub tree_size: Number,
    /// The audit path, lowest node first.
    #[serde(default, deserialize_with = "list")]
    pub hashes: Vec<Octets>,
    /// The signed note with size and root.
    #[serde(deserialize_with = "optional", default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointMessage>,
}

/// Message `Checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckpointMessage {
    /// The note.
    pub envelope: String,
}
