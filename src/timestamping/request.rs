//! What is asked for: RFC 3161 §2.4.1 in DER, or the reference's JSON, checked in full before anything is made of it.
//!
//! The reference answers every refusal here with HTTP 400; [`failure`] says what RFC 3161 would have called it.

use super::asn1::{MessageImprint, PkiFailure, TimeStampReq};
use crate::hash::HashAlgorithm;
use crate::protojson::{Object, Scalar};
use crate::refusal::{Reason, Refusal};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use der::asn1::{Int, ObjectIdentifier};
use der::{Decode, Encode};
use num_bigint::BigInt;
use serde::Deserialize;

/// The largest DER request, in octets. One without extensions has some 200; the rest is for extensions, so that who sends
/// them is told about them.
pub const MAX_DER: usize = 4096;
/// The largest JSON request, in octets; the reference's cap.
pub const MAX_JSON: usize = 1024;
/// The longest nonce, in octets. Clients send 8.
pub const MAX_NONCE: usize = 64;

/// DER of NULL.
const NULL: [u8; 2] = [5, 0];

/// A request that may be answered with a token, but for its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRequest {
    /// DER MessageImprint, as the token repeats it.
    imprint: Vec<u8>,
    policy: Option<ObjectIdentifier>,
    /// DER INTEGER.
    nonce: Option<Vec<u8>>,
    certificates: bool,
}

impl TimestampRequest {
    /// From a TimeStampReq.
    ///
    /// # Errors
    /// It is no such thing, or nothing that this authority stamps.
    pub fn from_der(der: &[u8]) -> Result<Self, Refusal> {
        check_size(der, MAX_DER)?;
        let request = TimeStampReq::from_der(der)
            .map_err(|_| malformed("The body is not the DER of a TimeStampReq (RFC 3161)."))?;
        if request.version.as_bytes() != [1] {
            return Err(malformed("The version must be 1."));
        }
        if request.extensions.is_some() {
            return Err(Reason::TimestampExtensionUnknown.into());
        }
        check_imprint(&request.message_imprint)?;
        let nonce = request.nonce.map(|nonce| check_nonce(&nonce)).transpose()?;
        let imprint = request.message_imprint.to_der().map_err(|_| Reason::Internal)?;
        Ok(Self { imprint, policy: request.req_policy, nonce, certificates: request.cert_req })
    }

    /// From the reference's JSON: `artifactHash`, `hashAlgorithm`, and perhaps `nonce`, `certificates`, `tsaPolicyOID`.
    /// What else stands there is passed over, as the reference does.
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        check_size(json, MAX_JSON)?;
        // RFC 8259 §8.1, of what is passed over too.
        let text = std::str::from_utf8(json).map_err(|_| malformed("The body is not UTF-8."))?;
        let Object(request): Object<JsonRequest> = serde_json::from_str(text).map_err(|_| {
            malformed(
                "The body must be a JSON object with `artifactHash` (base64) and `hashAlgorithm`, and may have \
                 `nonce` (a whole number), `certificates` (true or false) and `tsaPolicyOID`.",
            )
        })?;
        let algorithm = HashAlgorithm::ALL
            .into_iter()
            .find(|known| request.hash_algorithm.eq_ignore_ascii_case(known.plain_name()))
            .ok_or(Reason::TimestampHashUnsupported)?;
        let hash = BASE64_STANDARD
            .decode(&request.artifact_hash)
            .map_err(|_| malformed("`artifactHash` is not base64."))?;
        if hash.len() != algorithm.length() {
            return Err(Reason::TimestampHashLength.into());
        }
        let policy = request
            .tsa_policy_oid
            .map(|text| ObjectIdentifier::new(&text))
            .transpose()
            .map_err(|_| malformed("`tsaPolicyOID` is not an object identifier."))?;
        Ok(Self {
            imprint: imprint(algorithm, hash)?,
            policy,
            nonce: request.nonce.as_ref().map(number).transpose()?,
            certificates: request.certificates.unwrap_or_default(),
        })
    }

    /// DER MessageImprint.
    pub fn imprint(&self) -> &[u8] {
        &self.imprint
    }

    /// The policy that is asked for.
    pub const fn policy(&self) -> Option<&ObjectIdentifier> {
        self.policy.as_ref()
    }

    /// DER INTEGER.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// Whether the authority's certificate shall be in the token.
    pub const fn wants_certificates(&self) -> bool {
        self.certificates
    }
}

/// The reference's message. Members that are null count as absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest {
    artifact_hash: String,
    hash_algorithm: String,
    nonce: Option<Scalar>,
    certificates: Option<bool>,
    #[serde(rename = "tsaPolicyOID")]
    tsa_policy_oid: Option<String>,
}

fn check_size(body: &[u8], most: usize) -> Result<(), Refusal> {
    if body.is_empty() {
        Err(Reason::RequestEmpty.into())
    } else if body.len() > most {
        Err(Refusal::new(Reason::RequestTooLarge).because(format!("It may have {most} octets at most.")))
    } else {
        Ok(())
    }
}

fn check_imprint(imprint: &MessageImprint) -> Result<(), Refusal> {
    let algorithm = &imprint.hash_algorithm;
    let known = HashAlgorithm::identified(algorithm.oid).ok_or(Reason::TimestampHashUnsupported)?;
    // RFC 5754 §2: parameters are absent or NULL.
    if !algorithm.parameters.as_ref().is_none_or(der::asn1::Any::is_null) {
        return Err(malformed("The hash algorithm has parameters; it takes none."));
    }
    if imprint.hashed_message.as_bytes().len() != known.length() {
        return Err(Reason::TimestampHashLength.into());
    }
    Ok(())
}

/// The MessageImprint of a JSON request, with NULL as the reference writes it.
fn imprint(algorithm: HashAlgorithm, hash: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let made = || -> der::Result<Vec<u8>> {
        let hash_algorithm = x509_cert::spki::AlgorithmIdentifierOwned {
            oid: algorithm.oid(),
            parameters: Some(der::asn1::Any::from_der(&NULL)?),
        };
        MessageImprint { hash_algorithm, hashed_message: der::asn1::OctetString::new(hash)? }.to_der()
    };
    made().map_err(|_| Reason::Internal.into())
}

/// A whole number of JSON; `1e3` and `1.0` are none to the reference either.
fn number(nonce: &Scalar) -> Result<Vec<u8>, Refusal> {
    let wrong = || malformed("`nonce` must be a whole number.");
    let Scalar::Number(text) = nonce else { return Err(wrong()) };
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = BigInt::parse_bytes(text.as_bytes(), 10).ok_or_else(wrong)?;
    let nonce = Int::new(&number.to_signed_bytes_be()).map_err(|_| wrong())?;
    check_nonce(&nonce)
}

/// Any INTEGER of a sane length: some clients' nonces are negative.
fn check_nonce(nonce: &Int) -> Result<Vec<u8>, Refusal> {
    if nonce.as_bytes().len() > MAX_NONCE {
        return Err(malformed("The nonce may have 64 octets at most."));
    }
    nonce.to_der().map_err(|_| Reason::Internal.into())
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).because(detail)
}

/// What RFC 3161 §2.4.2 calls a refusal, with the name that the RFC gives the bit.
pub const fn failure(reason: Reason) -> (PkiFailure, &'static str) {
    match reason {
        Reason::TimestampHashUnsupported => (PkiFailure::BadAlg, "badAlg"),
        Reason::RequestMalformed
        | Reason::RequestEmpty
        | Reason::RequestTooLarge
        | Reason::TimestampHashLength => (PkiFailure::BadDataFormat, "badDataFormat"),
        Reason::TimestampPolicyUnknown => (PkiFailure::UnacceptedPolicy, "unacceptedPolicy"),
        Reason::TimestampExtensionUnknown => (PkiFailure::UnacceptedExtension, "unacceptedExtension"),
        Reason::TimeUnavailable => (PkiFailure::TimeNotAvailable, "timeNotAvailable"),
        Reason::TimestampUnavailable
        | Reason::Overloaded
        | Reason::ShuttingDown
        | Reason::RequestTimeout
        | Reason::Internal => (PkiFailure::SystemFailure, "systemFailure"),
        _ => (PkiFailure::BadRequest, "badRequest"),
    }
}

#[cfg(test)]
pub(super) mod tests;
