//! The head of a backup as a file: which log it is, the checkpoint that its key signed, and the entries that no full tile
//! holds. With the immutable files beside it that is the whole log; nothing in it is secret.
//!
//! A JSON document, so that people and tools can read it: `{"format", "sha256", "head"}`, where `sha256` is of `head` as it
//! stands there without spaces. The checksum is for accidents; what proves the log is the signature of its checkpoint.

use super::kind::{KnownLog, LogKind};
use super::ports::Identity;
use crate::environment::UnixMillis;
use crate::transparency::checkpoint::{CheckpointError, MAX_NOTE, TreeHead};
use crate::transparency::{Hash, sha256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// The largest file that is read. 255 entries of the largest size that a log takes are below it.
pub const MAX_BYTES: usize = 96 << 20;

/// The value of `format`.
const FORMAT: &str = "countersign backup v1";

/// The head of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which log it is.
    pub identity: Identity,
    /// The signed note of its head.
    pub checkpoint: String,
    /// The roots of the complete subtrees that the tree is made of, largest first.
    pub right_edge: Vec<Hash>,
    /// The entries after the last full tile, as a data tile has them.
    pub unsealed: Vec<u8>,
    /// When the checkpoint was read, of a log whose checkpoints say no time: nothing that it covers is later. Nobody signs this.
    pub read_at: Option<UnixMillis>,
}

/// Why a file is no head of a backup, or not one of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is damaged, or something else.
    #[error("it is not the head of a backup, or it is damaged: {0}")]
    Damaged(&'static str),
    /// A later version wrote it.
    #[error("a later version of countersign wrote it: its format is {0:?}")]
    OtherFormat(String),
    /// Another log.
    #[error(
        "it is a backup of the log {origin:?} with the id {log_id}; the configuration's {} is {expected_origin:?} with the \
         id {expected_log_id} (`{section}.origin`, `{section}.key`)", .kind.name(), section = .kind.section()
    )]
    OtherLog {
        /// Which log of the configuration it should be of.
        kind: LogKind,
        /// Its origin.
        origin: String,
        /// Its id, hexadecimal.
        log_id: String,
        /// The origin that was expected.
        expected_origin: String,
        /// The id that was expected.
        expected_log_id: String,
    },
    /// The checkpoint is not one of the log's key.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    sha256: String,
    head: Body,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Body {
    origin: String,
    log_id: String,
    checkpoint: String,
    right_edge: Vec<String>,
    unsealed: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_at_ms: Option<u64>,
}

impl Snapshot {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let body = Body {
            origin: self.identity.origin.clone(),
            log_id: hex::encode(self.identity.log_id),
            checkpoint: self.checkpoint.clone(),
            right_edge: self.right_edge.iter().map(hex::encode).collect(),
            unsealed: BASE64.encode(&self.unsealed),
            read_at_ms: self.read_at.map(|time| time.0),
        };
        let file = File { format: FORMAT.to_owned(), sha256: checksum(&body), head: body };
        let mut bytes = serde_json::to_vec_pretty(&file).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads such a file. What it says is not verified yet: see [`verify`](Self::verify).
    ///
    /// # Errors
    /// `Damaged` and `OtherFormat`.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Format {
            format: String,
        }
        let damaged = SnapshotError::Damaged;
        if bytes.len() > MAX_BYTES {
            return Err(damaged("it is larger than 96 MiB"));
        }
        let Format { format } =
            serde_json::from_slice(bytes).map_err(|_| damaged("not a JSON document with a format"))?;
        if format != FORMAT {
            return Err(match format.starts_with("countersign backup ") {
                true => SnapshotError::OtherFormat(format.chars().take(40).collect()),
                false => damaged("its format is another"),
            });
        }
        let File { sha256, head, .. } = serde_json::from_slice(bytes)
            .map_err(|_| damaged("members are missing, unknown, or of another type"))?;
        if checksum(&head) != sha256 {
            return Err(damaged("its checksum does not hold"));
        }
        let hash = |text: &String| -> Option<Hash> { hex::decode(text).ok()?.try_into().ok() };
        let log_id = hash(&head.log_id).ok_or(damaged("log_id"))?;
        if head.right_edge.len() > 64 || head.checkpoint.len() > MAX_NOTE {
            return Err(damaged("too long"));
        }
        let right_edge = head.right_edge.iter().map(hash).collect::<Option<_>>();
        Ok(Self {
            identity: Identity { origin: head.origin, log_id },
            checkpoint: head.checkpoint,
            right_edge: right_edge.ok_or(damaged("right_edge"))?,
            unsealed: BASE64.decode(&head.unsealed).map_err(|_| damaged("unsealed"))?,
            read_at: head.read_at_ms.map(UnixMillis),
        })
    }

    /// What the log's key signed, if this is of `log`. Of a signature log the time is that of the reading.
    ///
    /// # Errors
    /// `OtherLog` and `Checkpoint`; `Damaged` where a time is missing, or is there without need.
    pub fn verify(&self, log: &KnownLog) -> Result<TreeHead, SnapshotError> {
        if self.identity != log.identity() {
            return Err(SnapshotError::OtherLog {
                kind: log.kind(),
                origin: self.identity.origin.chars().take(300).collect(),
                log_id: hex::encode(self.identity.log_id),
                expected_origin: log.origin().to_owned(),
                expected_log_id: hex::encode(log.log_id()),
            });
        }
        let head = log.verify(self.checkpoint.as_bytes())?;
        match (log.kind().is_dated(), self.read_at) {
            (true, None) => Ok(head),
            (false, Some(timestamp)) => Ok(TreeHead { timestamp, ..head }),
            _ => Err(SnapshotError::Damaged("read_at_ms")),
        }
    }
}

fn checksum(body: &Body) -> String {
    hex::encode(sha256(&serde_json::to_vec(body).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            identity: Identity { origin: "ca.example.com/ct".to_owned(), log_id: [7; 32] },
            checkpoint: "ca.example.com/ct\n1\n…\n".to_owned(),
            right_edge: vec![[1; 32], [2; 32]],
            unsealed: b"entries".to_vec(),
            read_at: None,
        }
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        for read_at in [None, Some(UnixMillis(7))] {
            let snapshot = Snapshot { read_at, ..snapshot() };
            assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
        }
    }

    #[test]
    fn no_octet_of_it_can_be_changed_or_be_missing() {
        let whole = snapshot().encode();
        for at in 0..whole.len() - 1 {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(Snapshot::decode(&changed).is_err(), "octet {at}");
            assert!(Snapshot::decode(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_another_file_or_of_a_later_version_is_said_so() {
        let text = String::from_utf8(snapshot().encode()).unwrap();
        for (other, said) in [
            (String::new(), "JSON"),
            ("{}".to_owned(), "JSON"),
            ("[".repeat(100_000), "JSON"),
            (text.replace("backup v1", "backup v2"), "later version"),
            (text.replace("countersign backup", "restic"), "another"),
            (text.replace("\"origin\"", "\"orlgin\""), "members"),
            (text.replace("ca.example", "cb.example"), "checksum"),
        ] {
            let error = Snapshot::decode(other.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
