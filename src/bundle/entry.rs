//! What a log entry's body must be, given what the bundle holds: Rekor v1's `hashedrekord` 0.0.1, `dsse` 0.0.1 and `intoto` 0.0.2
//! by their members, Rekor v2's `hashedrekord` 0.0.2 and `dsse` 0.0.2 rebuilt to the octet.

use super::error::{Problem, VerificationError, problem};
use super::format::Envelope;
use super::json::from_base64;
use super::log_entry::LogEntry;
use super::signature::{Artifact, SigningKey};
use crate::certificate::path::verifier_der;
use crate::hash::HashAlgorithm;
use crate::rekor::KeyDetails;
use crate::rekor::canonical::{CanonicalBody, KeyMaterial, SignatureOf};
use crate::rekor::dsse::pre_authentication_encoding;
use serde_json::Value;

/// Which API the entry came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Rekor v1: integrated time, signed entry timestamp.
    V1,
    /// Rekor v2: proof and checkpoint alone.
    V2,
}

/// What the body must be about.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'s> {
    /// The signing key.
    pub key: &'s SigningKey,
    /// The certificate that certifies it, DER, unless the key is managed.
    pub certificate: Option<&'s [u8]>,
    /// What was signed.
    pub what: What<'s>,
}

/// What was signed, and how.
#[derive(Clone, Copy, Debug)]
pub enum What<'s> {
    /// An artifact.
    Artifact {
        /// It.
        artifact: Artifact<'s>,
        /// The hash that the signature was made with.
        hash: HashAlgorithm,
        /// The signature.
        signature: &'s [u8],
    },
    /// A statement.
    Envelope(&'s Envelope),
}

/// Verifies that the entry's body is about this, and says which API it came by.
pub fn verify(entry: &LogEntry, signed: &Signed<'_>) -> Result<Generation, VerificationError> {
    let kind = (entry.kind_version.kind.as_str(), entry.kind_version.version.as_str());
    let body = &entry.canonicalized_body;
    match (kind, signed.what) {
        (("hashedrekord", "0.0.2"), _) => hashedrekord_v2(body, signed),
        (("dsse", "0.0.2"), What::Envelope(envelope)) => dsse_v2(body, signed, envelope),
        (("hashedrekord", "0.0.1"), What::Artifact { artifact, hash, signature }) => {
            let spec = spec(body, kind)?;
            hashedrekord_v1(&spec, signed, artifact, hash, signature).map_err(mismatch)?;
            Ok(Generation::V1)
        }
        (("dsse", "0.0.1"), What::Envelope(envelope)) => {
            dsse_v1(&spec(body, kind)?, signed, envelope).map_err(mismatch)?;
            Ok(Generation::V1)
        }
        (("intoto", "0.0.2"), What::Envelope(envelope)) => {
            intoto_v1(&spec(body, kind)?, signed, envelope).map_err(mismatch)?;
            Ok(Generation::V1)
        }
        (("hashedrekord" | "dsse" | "intoto", _), _) => {
            Err(mismatch("an entry of this kind and version does not log such content"))
        }
        _ => Err(problem(Problem::LogEntryMalformed, PLACE, "an entry of a kind that is not known")),
    }
}

const PLACE: &str = "log entry";
const NO_DIGEST: &str = "the artifact's digest in its hash function is not known; give the file";

fn mismatch(words: &'static str) -> VerificationError {
    problem(Problem::LogEntryMismatch, PLACE, words)
}

/// The body's `spec`, when the body is of that kind and version.
fn spec(body: &[u8], (kind, version): (&str, &str)) -> Result<Value, VerificationError> {
    let malformed = |words: String| problem(Problem::LogEntryMalformed, PLACE, words);
    let mut document: Value = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("`canonicalizedBody` is no JSON: {error}")))?;
    if document["kind"] != kind || document["apiVersion"] != version {
        return Err(mismatch("`canonicalizedBody` is of another kind or version than `kindVersion` says"));
    }
    Ok(document["spec"].take())
}

/// The one octet string that the body can be, for one of the names that the key may have there.
fn rebuilt(
    body: &[u8],
    hash: HashAlgorithm,
    signed: &Signed<'_>,
    build: impl Fn(SignatureOf<'_>) -> Option<CanonicalBody>,
) -> Result<Generation, VerificationError> {
    let signature = match signed.what {
        What::Artifact { signature, .. } => signature,
        What::Envelope(envelope) => envelope.signatures.first().map_or(&[][..], |one| &*one.sig),
    };
    let key = match signed.certificate {
        Some(certificate) => KeyMaterial::Certificate(certificate),
        None => KeyMaterial::PublicKey(signed.key.spki()),
    };
    let built = |details: KeyDetails| build(SignatureOf { content: signature, key, details });
    if signed.key.details(hash).filter_map(built).any(|expected| expected.as_bytes() == body) {
        Ok(Generation::V2)
    } else {
        Err(mismatch("`canonicalizedBody` is not the entry for this signature, signer and content"))
    }
}

/// For an envelope the digest is that of its PAE.
fn hashedrekord_v2(body: &[u8], signed: &Signed<'_>) -> Result<Generation, VerificationError> {
    let (hash, digest) = match signed.what {
        What::Artifact { artifact, hash, .. } => {
            (hash, artifact.digest(hash).map(|digest| digest.as_ref().to_vec()))
        }
        What::Envelope(envelope) => {
            let hash = signed.key.own_hash().unwrap_or(HashAlgorithm::Sha256);
            let encoded = pre_authentication_encoding(&envelope.payload_type, &envelope.payload);
            (hash, Some(hash.digest(&encoded)))
        }
    };
    let digest = digest.ok_or_else(|| mismatch(NO_DIGEST))?;
    rebuilt(body, hash, signed, |signature| CanonicalBody::hashedrekord(hash, &digest, signature))
}

fn dsse_v2(body: &[u8], signed: &Signed<'_>, envelope: &Envelope) -> Result<Generation, VerificationError> {
    let hash = signed.key.own_hash().unwrap_or(HashAlgorithm::Sha256);
    rebuilt(body, hash, signed, |signature| CanonicalBody::dsse(&envelope.payload, &[signature]))
}

fn hashedrekord_v1(
    spec: &Value,
    signed: &Signed<'_>,
    artifact: Artifact<'_>,
    hash: HashAlgorithm,
    signature: &[u8],
) -> Result<(), &'static str> {
    check_hash(&spec["data"]["hash"], hash, artifact.digest(hash).as_ref().map(AsRef::as_ref))?;
    if octets(&spec["signature"]["content"]).as_deref() != Some(signature) {
        return Err("it holds another signature");
    }
    check_verifier(&spec["signature"]["publicKey"]["content"], signed)
}

fn dsse_v1(spec: &Value, signed: &Signed<'_>, envelope: &Envelope) -> Result<(), &'static str> {
    let hash = HashAlgorithm::Sha256;
    check_hash(&spec["payloadHash"], hash, Some(&hash.digest(&envelope.payload)))?;
    let (logged, own) = only_signature(&spec["signatures"], envelope)?;
    if octets(&logged["signature"]).as_deref() != Some(own) {
        return Err("it holds another signature");
    }
    check_verifier(&logged["verifier"], signed)
}

/// Its signatures are base64 of base64, as cosign 2 sent them.
fn intoto_v1(spec: &Value, signed: &Signed<'_>, envelope: &Envelope) -> Result<(), &'static str> {
    let hash = HashAlgorithm::Sha256;
    let content = &spec["content"];
    check_hash(&content["payloadHash"], hash, Some(&hash.digest(&envelope.payload)))?;
    let twice = |value: &Value| from_base64(std::str::from_utf8(&octets(value)?).ok()?);
    let logged = &content["envelope"];
    if logged["payloadType"] != envelope.payload_type.as_str() {
        return Err("it holds a payload of another type");
    }
    if logged.get("payload").is_some_and(|payload| twice(payload).as_deref() != Some(&*envelope.payload)) {
        return Err("it holds another payload");
    }
    let (logged, own) = only_signature(&logged["signatures"], envelope)?;
    if twice(&logged["sig"]).as_deref() != Some(own) {
        return Err("it holds another signature");
    }
    check_verifier(&logged["publicKey"], signed)
}

fn only_signature<'v>(
    logged: &'v Value,
    envelope: &'v Envelope,
) -> Result<(&'v Value, &'v [u8]), &'static str> {
    match (logged.as_array().map(Vec::as_slice), envelope.signatures.as_slice()) {
        (Some([logged]), [own]) => Ok((logged, &own.sig)),
        _ => Err("it does not hold exactly one signature"),
    }
}

fn octets(value: &Value) -> Option<Vec<u8>> {
    from_base64(value.as_str()?)
}

/// `{ "algorithm": "sha256", "value": hex }`
fn check_hash(logged: &Value, hash: HashAlgorithm, digest: Option<&[u8]>) -> Result<(), &'static str> {
    let digest = digest.ok_or(NO_DIGEST)?;
    let right = logged["algorithm"] == hash.plain_name()
        && logged["value"].as_str().is_some_and(|value| value.eq_ignore_ascii_case(&hex::encode(digest)));
    if right { Ok(()) } else { Err("it holds another digest") }
}

/// PEM of the certificate or key, in base64.
fn check_verifier(logged: &Value, signed: &Signed<'_>) -> Result<(), &'static str> {
    let pem = octets(logged).ok_or("its key or certificate cannot be read")?;
    let der = verifier_der(&pem).map_err(|_| "its key or certificate cannot be read")?;
    let own = signed.certificate.unwrap_or(signed.key.spki());
    if der == own { Ok(()) } else { Err("it names another key or certificate") }
}
