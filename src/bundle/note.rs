//! Checkpoints of signature logs: signed notes (c2sp.org/signed-note, tlog-checkpoint) by Ed25519 keys (Rekor v2) or ECDSA keys
//! (Rekor v1 and v2). Certificate logs sign theirs otherwise: [`crate::transparency::checkpoint`].
//!
//! Lines of other keys, witnesses' for instance, are passed over.

use super::error::{Problem, VerificationError, problem};
use super::json::from_base64;
use super::trusted_root::TrustedLog;
use crate::certificate::{CaAlgorithm, PublicKeyKind, verify_signature};
use crate::transparency::Hash;

/// A note may be this long.
const MAX_NOTE: usize = 64 * 1024;
/// And may have this many signature lines.
const MAX_SIGNATURES: usize = 100;
/// The beginning of a signature line: em dash, space.
const DASH: &str = "\u{2014} ";

/// What a log signed: a tree of that size has that root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteHead {
    /// The first line.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

/// How a log names itself in its checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Rekor v1: `host - tree id`, signed in the name of the host.
    WithTree,
    /// Rekor v2: the host of the base URL, in both places.
    Host,
}

/// Reads a note and verifies it as a checkpoint of that log.
pub fn verify(note: &str, log: &TrustedLog, naming: Naming) -> Result<NoteHead, VerificationError> {
    let wrong = |words: &'static str| problem(Problem::CheckpointInvalid, "checkpoint", words);
    if note.len() > MAX_NOTE {
        return Err(wrong("longer than 64 KiB"));
    }
    if note.bytes().any(|octet| octet < b' ' && octet != b'\n') {
        return Err(wrong("it has control characters"));
    }
    let (text, lines) = note.rsplit_once("\n\n").ok_or(wrong("no blank line before the signatures"))?;
    let lines = lines.strip_suffix('\n').ok_or(wrong("no newline at the end"))?;
    let head = head(text).map_err(wrong)?;
    let name = match naming {
        Naming::WithTree => head.origin.split_once(" - ").map_or(head.origin.as_str(), |(host, _)| host),
        Naming::Host => match log.host() {
            Some(host) if head.origin == host => host,
            _ => return Err(wrong("its origin is not the host of the trusted log's `baseUrl`")),
        },
    };
    let signed = [text.as_bytes(), b"\n"].concat();
    let algorithm = match log.key {
        PublicKeyKind::Ed25519 => CaAlgorithm::Ed25519.identifier(),
        // With SHA-256 whatever the curve.
        PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521 => {
            CaAlgorithm::EcdsaP256Sha256.identifier()
        }
        _ => return Err(wrong("the trusted log's key signs no checkpoints")),
    };
    let mut verified = false;
    for (at, line) in lines.split('\n').enumerate() {
        let (signer, octets) =
            signature_line(line).ok_or(wrong("a signature line is not `\u{2014} name base64`"))?;
        if at >= MAX_SIGNATURES {
            return Err(wrong("more than 100 signature lines"));
        }
        let Some((key_id, signature)) = octets.split_first_chunk::<4>() else {
            return Err(wrong("a signature is too short"));
        };
        if signer != name || !log.id.starts_with(key_id) {
            continue;
        }
        verify_signature(&log.spki, algorithm, &signed, signature)
            .map_err(|_| wrong("the log's signature does not verify"))?;
        verified = true;
    }
    if verified { Ok(head) } else { Err(wrong("no line is signed by the trusted log's key")) }
}

/// Origin, size, root; extension lines may follow.
fn head(text: &str) -> Result<NoteHead, &'static str> {
    let mut lines = text.split('\n');
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err("the text is not origin, size and root");
    };
    if origin.is_empty() {
        return Err("it has no origin");
    }
    let canonical = size == "0" || !size.starts_with(['0', '+']);
    let size = size.parse().ok().filter(|_| canonical).ok_or("size is not a decimal number")?;
    let root =
        from_base64(root).and_then(|root| root.try_into().ok()).ok_or("root is not base64 of 32 octets")?;
    Ok(NoteHead { origin: origin.to_owned(), size, root })
}

fn signature_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    let signature = from_base64(signature)?;
    (!name.is_empty()).then_some((name, signature))
}
