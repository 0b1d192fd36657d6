//! A request for an entry: `CreateEntryRequest` in protobuf's JSON, read as leniently as the reference reads it, and its
//! verification.
//!
//! Names in camel case or as in the .proto file, base64 with either alphabet and with or without padding, enumerations by name or
//! by number, `null` for what is absent. Strict: unknown fields, and fields that come twice.

use super::algorithm::KeyDetails;
use super::canonical::{CanonicalBody, SignatureOf};
use super::verifier::{Material, ProposedVerifier, Verifier};
use super::{dsse, hashedrekord};
use crate::protojson::{self, AtMost, Object, Scalar};
use crate::refusal::{Reason, Refusal};
use serde::Deserialize as Derive;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::borrow::Cow;

/// What is proposed: nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A signature over a digest.
    HashedRekord(hashedrekord::Proposed),
    /// A signed envelope.
    Dsse(dsse::Proposed),
}

/// A request whose keys can be read; no signature is verified yet.
#[derive(Debug)]
pub enum Prepared {
    /// A signature over a digest.
    HashedRekord(hashedrekord::Prepared),
    /// A signed envelope.
    Dsse(dsse::Prepared),
}

/// What the log may take: every signature in it holds.
#[derive(Debug)]
pub struct VerifiedEntry {
    /// The kind's name in `kindVersion`.
    pub kind: &'static str,
    /// The entry's octets.
    pub body: CanonicalBody,
}

impl Request {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`], [`Reason::EntryKindMissing`], [`Reason::VerifierMissing`],
    /// [`Reason::VerifierAlgorithmNotAllowed`].
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let Object(message): Object<Message> =
            serde_json::from_slice(body).map_err(|error| malformed(&error))?;
        match (message.hashedrekord, message.dsse) {
            (Some(_), Some(_)) => {
                Err(Refusal::new(Reason::RequestMalformed).because("It has two entries; one is expected."))
            }
            (Some(Object(request)), None) => Ok(Self::HashedRekord(request.proposed()?)),
            (None, Some(Object(request))) => Ok(Self::Dsse(request.proposed()?)),
            (None, None) => Err(Reason::EntryKindMissing.into()),
        }
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// Those of [`Verifier::read`], of the digest's length, and of the envelope's shape.
    pub fn prepare(self) -> Result<Prepared, Refusal> {
        match self {
            Self::HashedRekord(proposed) => proposed.prepare().map(Prepared::HashedRekord),
            Self::Dsse(proposed) => proposed.prepare().map(Prepared::Dsse),
        }
    }
}

impl Prepared {
    /// The keys whose signatures the entry has, at least one.
    pub fn verifiers(&self) -> &[Verifier] {
        match self {
            Self::HashedRekord(prepared) => std::slice::from_ref(&prepared.verifier),
            Self::Dsse(prepared) => &prepared.verifiers,
        }
    }

    /// Verifies every signature.
    ///
    /// # Errors
    /// [`Reason::EntrySignatureInvalid`], [`Reason::EntryTooLarge`].
    pub fn verify(&self) -> Result<VerifiedEntry, Refusal> {
        match self {
            Self::HashedRekord(prepared) => {
                Ok(VerifiedEntry { kind: hashedrekord::KIND, body: prepared.verify()? })
            }
            Self::Dsse(prepared) => Ok(VerifiedEntry { kind: dsse::KIND, body: prepared.verify()? }),
        }
    }
}

/// A signature with its key, as an entry says it.
pub(super) fn signature_of<'s>(content: &'s [u8], verifier: &'s Verifier) -> SignatureOf<'s> {
    SignatureOf { content, key: verifier.material(), details: verifier.details() }
}

/// The words are ours: a parser's repeat what was sent.
fn malformed(error: &serde_json::Error) -> Refusal {
    use serde_json::error::Category;
    let (line, column) = (error.line(), error.column());
    let problem = match error.classify() {
        Category::Data => "a field is unknown, comes twice, or has another type than it should",
        Category::Syntax | Category::Eof | Category::Io => "it is not JSON",
    };
    Refusal::new(Reason::RequestMalformed).because(format!("At line {line}, column {column}: {problem}."))
}

/// `CreateEntryRequest`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct Message {
    #[serde(rename = "hashedRekordRequestV002", alias = "hashed_rekord_request_v002", default)]
    hashedrekord: Option<Object<HashedRekordRequest>>,
    #[serde(rename = "dsseRequestV002", alias = "dsse_request_v002", default)]
    dsse: Option<Object<DsseRequest>>,
}

/// `HashedRekordRequestV002`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct HashedRekordRequest {
    #[serde(default)]
    digest: Option<Octets>,
    #[serde(default)]
    signature: Option<Object<SignatureMessage>>,
}

/// `Signature`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct SignatureMessage {
    #[serde(default)]
    content: Option<Octets>,
    #[serde(default)]
    verifier: Option<Object<VerifierMessage>>,
}

/// `Verifier`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct VerifierMessage {
    #[serde(rename = "publicKey", alias = "public_key", default)]
    public_key: Option<Object<RawMessage>>,
    #[serde(rename = "x509Certificate", alias = "x509_certificate", default)]
    certificate: Option<Object<RawMessage>>,
    #[serde(rename = "keyDetails", alias = "key_details", default)]
    details: Option<DetailsMessage>,
}

/// `PublicKey`, `X509Certificate`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    #[serde(rename = "rawBytes", alias = "raw_bytes", default)]
    raw: Option<Octets>,
}

/// `DSSERequestV002`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct DsseRequest {
    #[serde(default)]
    envelope: Option<Object<EnvelopeMessage>>,
    #[serde(default)]
    verifiers: Option<AtMost<{ dsse::MOST_SIGNATURES }, Object<VerifierMessage>>>,
}

/// `io.intoto.Envelope`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct EnvelopeMessage {
    #[serde(default)]
    payload: Option<Octets>,
    #[serde(rename = "payloadType", alias = "payload_type", default)]
    payload_type: Option<String>,
    #[serde(default)]
    signatures: Option<AtMost<{ dsse::MOST_SIGNATURES }, Object<EnvelopeSignature>>>,
}

/// `io.intoto.Signature`
#[derive(Derive)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    #[serde(default)]
    sig: Option<Octets>,
    /// A hint that nobody signed: not used.
    #[serde(default, rename = "keyid")]
    _keyid: Option<String>,
}

/// A field of type `bytes`.
struct Octets(Vec<u8>);

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text: Cow<'de, str> = Cow::deserialize(from)?;
        protojson::bytes(&text).map(Self).ok_or_else(|| D::Error::custom("not base64"))
    }
}

/// `PublicKeyDetails`: one that is supported, or another.
struct DetailsMessage(Option<KeyDetails>);

impl<'de> Deserialize<'de> for DetailsMessage {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let unknown = || D::Error::custom("no such value");
        match Scalar::deserialize(from)? {
            Scalar::Text(name) if KeyDetails::is_known(&name) => Ok(Self(KeyDetails::named(&name))),
            Scalar::Text(_) => Err(unknown()),
            Scalar::Number(number) => Ok(Self(KeyDetails::numbered(number.parse().map_err(|_| unknown())?))),
        }
    }
}

impl HashedRekordRequest {
    fn proposed(self) -> Result<hashedrekord::Proposed, Refusal> {
        let Object(SignatureMessage { content, verifier }) =
            self.signature.ok_or(Reason::EntrySignatureInvalid)?;
        Ok(hashedrekord::Proposed {
            digest: octets(self.digest),
            signature: octets(content),
            verifier: verifier.ok_or(Reason::VerifierMissing)?.0.proposed()?,
        })
    }
}

impl DsseRequest {
    fn proposed(self) -> Result<dsse::Proposed, Refusal> {
        let invalid = |detail| Refusal::new(Reason::EnvelopeInvalid).because(detail);
        let Object(envelope) = self.envelope.ok_or_else(|| invalid("There is no envelope."))?;
        let signatures = envelope.signatures.unwrap_or_default();
        let verifiers = self.verifiers.unwrap_or_default();
        if signatures.is_too_long() || verifiers.is_too_long() {
            return Err(invalid("It has more than 10 signatures or verifiers."));
        }
        Ok(dsse::Proposed {
            payload: octets(envelope.payload),
            payload_type: envelope.payload_type.unwrap_or_default(),
            signatures: signatures.0.into_iter().map(|signature| octets(signature.0.sig)).collect(),
            verifiers: verifiers.0.into_iter().map(|it| it.0.proposed()).collect::<Result<_, _>>()?,
        })
    }
}

impl VerifierMessage {
    fn proposed(self) -> Result<ProposedVerifier, Refusal> {
        let material = match (self.public_key, self.certificate) {
            (Some(key), None) => Material::PublicKey(octets(key.0.raw)),
            (None, Some(certificate)) => Material::Certificate(octets(certificate.0.raw)),
            (None, None) => return Err(Reason::VerifierMissing.into()),
            (Some(_), Some(_)) => {
                let detail = "A verifier has a key and a certificate; one of them is expected.";
                return Err(Refusal::new(Reason::RequestMalformed).because(detail));
            }
        };
        let details = self.details.and_then(|details| details.0);
        Ok(ProposedVerifier { material, details: details.ok_or(Reason::VerifierAlgorithmNotAllowed)? })
    }
}

fn octets(field: Option<Octets>) -> Vec<u8> {
    field.map(|octets| octets.0).unwrap_or_default()
}
