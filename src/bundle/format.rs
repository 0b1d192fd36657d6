//! The bundle as a file: `sigstore_bundle.proto` in JSON, versions 0.1 to 0.3 read, 0.3 written.
//!
//! Reading is strict: unknown members, members given twice, negative numbers, damaged base64 and lists in place of objects are
//! refused, and so is what the version does not allow.

use super::error::{Problem, VerificationError, problem};
use super::json::{Octets, plain};
use super::log_entry::LogEntry;
use crate::protojson::{Object, object, objects, optional};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The largest bundle that is read, in octets: an attestation carries its predicate with it.
pub const MAX_BUNDLE: usize = 32 * 1024 * 1024;
/// The most log entries, timestamps or signatures that are looked at.
pub const MAX_ITEMS: usize = 32;

/// The media type that is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What each media type is.
const MEDIA_TYPES: [(&str, Version); 5] = [
    (MEDIA_TYPE, Version::V03),
    ("application/vnd.dev.sigstore.bundle+json;version=0.3", Version::V03),
    ("application/vnd.dev.sigstore.bundle+json;version=0.2", Version::V02),
    ("application/vnd.dev.sigstore.bundle+json;version=0.1", Version::V01),
    ("application/vnd.dev.sigstore.bundle.v0.2+json", Version::V02),
];

/// A version of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1: a log entry's inclusion promise is mandatory, its proof is not.
    V01,
    /// 0.2: the inclusion proof is mandatory.
    V02,
    /// 0.3: one certificate in place of a chain.
    V03,
}

/// A bundle that was read: its version allows what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    version: Version,
    message: BundleMessage,
}

/// Message `Bundle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BundleMessage {
    #[serde(alias = "media_type")]
    media_type: String,
    #[serde(deserialize_with = "object", alias = "verification_material")]
    pub(super) verification_material: VerificationMaterial,
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "message_signature",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) message_signature: Option<MessageSignature>,
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "dsse_envelope",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) dsse_envelope: Option<Envelope>,
}

/// Message `VerificationMaterial`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VerificationMaterial {
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "public_key",
        skip_serializing_if = "Option::is_none"
    )]
    public_key: Option<PublicKeyIdentifier>,
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "x509_certificate_chain",
        skip_serializing_if = "Option::is_none"
    )]
    x509_certificate_chain: Option<CertificateChain>,
    #[serde(deserialize_with = "optional", default, skip_serializing_if = "Option::is_none")]
    certificate: Option<RawBytes>,
    #[serde(default, alias = "tlog_entries", deserialize_with = "objects")]
    pub(super) tlog_entries: Vec<LogEntry>,
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "timestamp_verification_data",
        skip_serializing_if = "Option::is_none"
    )]
    timestamp_verification_data: Option<TimestampVerificationData>,
}

/// Messages with `rawBytes` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawBytes {
    #[serde(alias = "raw_bytes")]
    pub(super) raw_bytes: Octets,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertificateChain {
    #[serde(default, deserialize_with = "objects")]
    certificates: Vec<RawBytes>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PublicKeyIdentifier {
    #[serde(default, deserialize_with = "plain")]
    hint: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TimestampVerificationData {
    #[serde(default, alias = "rfc3161_timestamps", deserialize_with = "objects")]
    rfc3161_timestamps: Vec<SignedTimestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignedTimestamp {
    #[serde(alias = "signed_timestamp")]
    signed_timestamp: Octets,
}

/// Message `MessageSignature`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageSignature {
    /// The signed digest: a hint, which must be true.
    #[serde(
        deserialize_with = "optional",
        default,
        alias = "message_digest",
        skip_serializing_if = "Option::is_none"
    )]
    pub message_digest: Option<HashOutput>,
    /// The signature.
    pub signature: Octets,
}

/// Message `HashOutput`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HashOutput {
    /// `SHA2_256`, `SHA2_384`, `SHA2_512`.
    pub algorithm: String,
    /// The digest.
    pub digest: Octets,
}

/// Message `io.intoto.Envelope`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// What is signed.
    pub payload: Octets,
    /// Its type, signed too.
    #[serde(alias = "payload_type")]
    pub payload_type: String,
    /// Exactly one, in a bundle.
    #[serde(deserialize_with = "objects")]
    pub signatures: Vec<EnvelopeSignature>,
}

/// Message `io.intoto.Signature`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// The signature.
    pub sig: Octets,
    /// A hint, without meaning here.
    #[serde(default, deserialize_with = "plain", skip_serializing_if = "String::is_empty")]
    pub keyid: String,
}

/// What was signed, and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A signature over an artifact.
    Message(MessageSignature),
    /// A signed statement about artifacts.
    Envelope(Envelope),
}

/// Who signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer<'b> {
    /// Whoever this DER certificate names.
    Certificate(&'b [u8]),
    /// Whoever holds a key that the verifier brings.
    Key {
        /// How the signer calls the key.
        hint: &'b str,
    },
}

impl Bundle {
    /// Reads the JSON.
    pub fn from_json(text: &[u8]) -> Result<Self, VerificationError> {
        let malformed = |words: String| problem(Problem::BundleMalformed, "bundle", words);
        if text.len() > MAX_BUNDLE {
            return Err(malformed(format!("larger than {MAX_BUNDLE} octets")));
        }
        let Object(message): Object<BundleMessage> =
            serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
        Self::checked(message)
    }

    /// A bundle of version 0.3, to be written.
    pub fn new(
        certificate: Vec<u8>,
        content: Content,
        timestamps: Vec<Vec<u8>>,
        entries: Vec<LogEntry>,
    ) -> Result<Self, VerificationError> {
        let (message_signature, dsse_envelope) = match content {
            Content::Message(signature) => (Some(signature), None),
            Content::Envelope(envelope) => (None, Some(envelope)),
        };
        let rfc3161_timestamps = timestamps
            .into_iter()
            .map(|octets| SignedTimestamp { signed_timestamp: octets.into() })
            .collect::<Vec<_>>();
        let timestamps =
            (!rfc3161_timestamps.is_empty()).then_some(TimestampVerificationData { rfc3161_timestamps });
        Self::checked(BundleMessage {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: VerificationMaterial {
                certificate: Some(RawBytes { raw_bytes: certificate.into() }),
                tlog_entries: entries,
                timestamp_verification_data: timestamps,
                ..VerificationMaterial::default()
            },
            message_signature,
            dsse_envelope,
        })
    }

    /// The JSON, on one line.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail to be written: no map has other keys than text.
        serde_json::to_string(&self.message).unwrap_or_default()
    }

    /// Its version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Who signed.
    pub fn signer(&self) -> Signer<'_> {
        let material = &self.message.verification_material;
        let chain = material.x509_certificate_chain.as_ref().and_then(|chain| chain.certificates.first());
        match (material.certificate.as_ref().or(chain), &material.public_key) {
            (Some(certificate), _) => Signer::Certificate(&certificate.raw_bytes),
            (None, Some(key)) => Signer::Key { hint: &key.hint },
            (None, None) => Signer::Key { hint: "" }, // refused when it was read
        }
    }

    /// A signature over an artifact, if that is what it holds.
    pub fn message_signature(&self) -> Option<&MessageSignature> {
        self.message.message_signature.as_ref()
    }

    /// A signed statement, if that is what it holds.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.message.dsse_envelope.as_ref()
    }

    /// The raw signature, which timestamps are over.
    pub fn signature(&self) -> &[u8] {
        match (&self.message.message_signature, &self.message.dsse_envelope) {
            (Some(message), _) => &message.signature,
            (None, Some(envelope)) => envelope.signatures.first().map_or(&[], |signature| &signature.sig),
            (None, None) => &[],
        }
    }

    /// The log entries.
    pub fn log_entries(&self) -> &[LogEntry] {
        &self.message.verification_material.tlog_entries
    }

    /// The RFC 3161 timestamps, DER of TimeStampResp.
    pub fn timestamps(&self) -> impl Iterator<Item = &[u8]> {
        let data = self.message.verification_material.timestamp_verification_data.as_ref();
        data.into_iter().flat_map(|data| &data.rfc3161_timestamps).map(|one| &*one.signed_timestamp)
    }

    fn checked(message: BundleMessage) -> Result<Self, VerificationError> {
        let version = MEDIA_TYPES.iter().find(|(name, _)| *name == message.media_type).map(|known| known.1);
        let version = version.ok_or_else(|| {
            problem(Problem::BundleVersion, "bundle.mediaType", "not a bundle of version 0.1, 0.2 or 0.3")
        })?;
        let bundle = Self { version, message };
        bundle.check_signer()?;
        bundle.check_content()?;
        bundle.check_entries()?;
        Ok(bundle)
    }

    fn check_signer(&self) -> Result<(), VerificationError> {
        const WHERE: &str = "bundle.verificationMaterial";
        let malformed = |words: &'static str| Err(problem(Problem::BundleMalformed, WHERE, words));
        let material = &self.message.verification_material;
        let (key, chain, one) =
            (&material.public_key, &material.x509_certificate_chain, &material.certificate);
        let given = usize::from(key.is_some()) + usize::from(chain.is_some()) + usize::from(one.is_some());
        if given != 1 {
            return malformed("not one of `certificate`, `x509CertificateChain` and `publicKey`");
        }
        if chain.is_some() && self.version >= Version::V03 {
            return malformed("a bundle of version 0.3 has one certificate and no chain");
        }
        let Some(chain) = chain else { return Ok(()) };
        if chain.certificates.is_empty() || chain.certificates.len() > MAX_ITEMS {
            return malformed("the certificate chain is empty or endless");
        }
        for certificate in &chain.certificates {
            match crate::certificate::path::is_self_issued(&certificate.raw_bytes) {
                Ok(false) => {}
                Ok(true) => {
                    return malformed(
                        "a root certificate stands in the bundle; it must come from the verifier",
                    );
                }
                Err(error) => {
                    return Err(problem(Problem::CertificateMalformed, WHERE, error.to_string()));
                }
            }
        }
        Ok(())
    }

    fn check_content(&self) -> Result<(), VerificationError> {
        let malformed =
            |place: &'static str, words: &'static str| Err(problem(Problem::BundleMalformed, place, words));
        match (&self.message.message_signature, &self.message.dsse_envelope) {
            (Some(message), None) if message.signature.is_empty() => {
                malformed("bundle.messageSignature", "the signature is empty")
            }
            (None, Some(envelope)) if envelope.signatures.len() != 1 => {
                malformed("bundle.dsseEnvelope", "not exactly one signature")
            }
            (None, Some(envelope)) if envelope.signatures.iter().any(|one| one.sig.is_empty()) => {
                malformed("bundle.dsseEnvelope", "the signature is empty")
            }
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => malformed("bundle", "not one of `messageSignature` and `dsseEnvelope`"),
        }
    }

    fn check_entries(&self) -> Result<(), VerificationError> {
        let entries = self.log_entries();
        if entries.len() > MAX_ITEMS || self.timestamps().count() > MAX_ITEMS {
            let words = format!("more than {MAX_ITEMS} log entries or timestamps");
            return Err(problem(Problem::BundleMalformed, "bundle.verificationMaterial", words));
        }
        let distinct: HashSet<_> = self.timestamps().collect();
        if distinct.len() < self.timestamps().count() {
            let words = "a timestamp is given twice";
            return Err(problem(Problem::BundleMalformed, "bundle.verificationMaterial", words));
        }
        for (at, entry) in entries.iter().enumerate() {
            let place = format!("bundle.verificationMaterial.tlogEntries[{at}]");
            // One entry counts once, whatever else is said of it.
            let same =
                |other: &LogEntry| (&other.log_id, other.log_index) == (&entry.log_id, entry.log_index);
            if entries.iter().take(at).any(same) {
                return Err(problem(Problem::BundleMalformed, place, "a log entry is given twice"));
            }
            if entry.canonicalized_body.is_empty() {
                return Err(problem(Problem::BundleMalformed, place, "`canonicalizedBody` is missing"));
            }
            if self.version == Version::V01 {
                if entry.inclusion_promise.is_none() {
                    return Err(problem(
                        Problem::ProofMissing,
                        place,
                        "version 0.1 needs `inclusionPromise`",
                    ));
                }
            } else if entry.inclusion_proof.as_ref().is_none_or(|proof| proof.checkpoint.is_none()) {
                let words = "`inclusionProof` with its checkpoint is missing";
                return Err(problem(Problem::ProofMissing, place, words));
            }
        }
        Ok(())
    }
}
