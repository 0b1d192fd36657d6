//! That the signature stands in a log: body, inclusion proof, checkpoint, promise.

use super::entry::{self, Generation, Signed};
use super::error::{Problem, VerificationError, problem};
use super::format::Bundle;
use super::json::base64;
use super::log_entry::LogEntry;
use super::note::{self, Naming};
use super::trusted_root::{TrustedLog, TrustedRoot};
use super::verified::{LoggedAt, SignedTime, TimeSource};
use crate::certificate::{CaAlgorithm, verify_signature};
use crate::environment::UnixMillis;
use crate::transparency::{Hash, merkle};

/// More hashes than the audit path of any log has.
const MAX_HASHES: usize = 64;

/// The verified entries, and the times that they attest.
pub(super) struct Logged<'r> {
    pub(super) entries: Vec<(LoggedAt, &'r TrustedLog)>,
    pub(super) times: Vec<SignedTime>,
}

/// Verifies every entry of a trusted log; there must be one.
pub(super) fn verified<'r>(
    bundle: &Bundle,
    root: &'r TrustedRoot,
    signed: &Signed<'_>,
) -> Result<Logged<'r>, VerificationError> {
    let mut logged = Logged { entries: Vec::new(), times: Vec::new() };
    for (at, entry) in bundle.log_entries().iter().enumerate() {
        let mut refused = None;
        for log in root.signature_logs(&entry.log_id.key_id) {
            match one(entry, log, signed) {
                Ok((found, time)) => {
                    logged.times.extend(time);
                    logged.entries.push((found, log));
                    refused = None;
                    break;
                }
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused {
            let place = format!("bundle.verificationMaterial.tlogEntries[{at}], {}", error.place());
            return Err(problem(error.problem(), place, error.detail().to_owned()));
        }
    }
    if logged.entries.is_empty() {
        let words = if bundle.log_entries().is_empty() {
            "the bundle has no log entry"
        } else {
            "no log entry is of a log that is trusted"
        };
        return Err(problem(Problem::LogEntryMissing, "bundle.verificationMaterial.tlogEntries", words));
    }
    Ok(logged)
}

fn one(
    entry: &LogEntry,
    log: &TrustedLog,
    signed: &Signed<'_>,
) -> Result<(LoggedAt, Option<SignedTime>), VerificationError> {
    let generation = entry::verify(entry, signed)?;
    let index = inclusion(entry, log, generation)?;
    let time = match generation {
        Generation::V1 => promise(entry, log)?,
        Generation::V2 => {
            // Nobody signs either there; whoever reads them would take them for somebody's word.
            if entry.inclusion_promise.is_some() || !entry.integrated_time.is_zero() {
                let words = "an entry of Rekor v2 has no `inclusionPromise` and no `integratedTime`";
                return Err(problem(Problem::LogEntryMalformed, "log entry", words));
            }
            None
        }
    };
    if index.is_none() && time.is_none() {
        return Err(problem(Problem::ProofMissing, "log entry", "neither proof nor promise"));
    }
    let kind = format!("{} {}", entry.kind_version.kind, entry.kind_version.version);
    Ok((LoggedAt { log: log.base_url.clone(), index: entry.log_index.0, kind }, time))
}

/// The inclusion proof leads from the body to the root that the checkpoint signs. `None`: there is none, which only version 0.1
/// allows.
fn inclusion(
    entry: &LogEntry,
    log: &TrustedLog,
    generation: Generation,
) -> Result<Option<u64>, VerificationError> {
    let invalid = |words| problem(Problem::ProofInvalid, "inclusion proof", words);
    let Some(proof) = &entry.inclusion_proof else {
        return match generation {
            Generation::V1 => Ok(None),
            Generation::V2 => Err(problem(Problem::ProofMissing, "inclusion proof", "it is missing")),
        };
    };
    if proof.hashes.len() > MAX_HASHES {
        return Err(invalid("it has more hashes than any audit path"));
    }
    let hash = |octets: &[u8]| -> Result<Hash, _> {
        octets.try_into().map_err(|_| invalid("a hash has not 32 octets"))
    };
    let root = hash(&proof.root_hash)?;
    let hashes = proof.hashes.iter().map(|octets| hash(octets)).collect::<Result<Vec<_>, _>>()?;
    let (index, size) = (proof.log_index.0, proof.tree_size.0);
    // Rekor v1 counts over all of its trees, version 2 has one.
    if generation == Generation::V2 && index != entry.log_index.0 {
        return Err(invalid("its index is not the entry's"));
    }
    let leaf = merkle::leaf_hash(&entry.canonicalized_body);
    if !merkle::verify_inclusion(&leaf, index, size, &hashes, &root) {
        return Err(invalid("it does not lead from the entry to the root"));
    }
    match &proof.checkpoint {
        Some(checkpoint) => {
            let naming = match generation {
                Generation::V1 => Naming::WithTree,
                Generation::V2 => Naming::Host,
            };
            let head = note::verify(&checkpoint.envelope, log, naming)?;
            if (head.size, head.root) != (size, root) {
                let words = "it is of another tree than the inclusion proof";
                return Err(problem(Problem::CheckpointInvalid, "checkpoint", words));
            }
        }
        None if generation == Generation::V2 => {
            return Err(problem(Problem::ProofMissing, "checkpoint", "it is missing"));
        }
        // A proof to a root that nobody signed is worth nothing; the promise counts.
        None => return Ok(None),
    }
    Ok(Some(index))
}

/// Rekor v1's signed entry timestamp: over RFC 8785 JSON of body, time, log and index. Without it the time is nobody's word.
fn promise(entry: &LogEntry, log: &TrustedLog) -> Result<Option<SignedTime>, VerificationError> {
    const PLACE: &str = "inclusion promise";
    let Some(promise) = &entry.inclusion_promise else { return Ok(None) };
    let (body, id) = (base64(&entry.canonicalized_body), hex::encode(&*entry.log_id.key_id));
    let (seconds, index) = (entry.integrated_time.0, entry.log_index.0);
    let message =
        format!(r#"{{"body":"{body}","integratedTime":{seconds},"logID":"{id}","logIndex":{index}}}"#);
    let algorithm = CaAlgorithm::EcdsaP256Sha256.identifier();
    verify_signature(&log.spki, algorithm, message.as_bytes(), &promise.signed_entry_timestamp).map_err(
        |_| problem(Problem::PromiseInvalid, PLACE, "its signature does not verify with the log's key"),
    )?;
    let at = UnixMillis::from_secs(seconds);
    if !log.valid_for.contains(at) {
        let words = format!("the trusted root does not count the log's key at {at}");
        return Err(problem(Problem::LogNotValid, PLACE, words));
    }
    Ok(Some(SignedTime { at, source: TimeSource::Log { log: log.base_url.clone() } }))
}
