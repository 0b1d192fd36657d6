//! The token: a CMS SignedData around a TSTInfo (RFC 3161 §2.4.2, RFC 5652 §5), in the response that carries it.
//!
//! Deterministic: request, time and serial number make what is signed, and with the signature the response. What is the same in
//! every token is encoded once.

use super::asn1::{
    self, Accuracy, CT_TST_INFO, EssCertIdV2, GenTime, IssuerSerial, SIGNED_DATA, SigningCertificateV2,
};
use super::request::TimestampRequest;
use crate::certificate::encode::{push_header, tlv_len};
use crate::certificate::{CaAlgorithm, TimestampChain};
use crate::environment::UnixMillis;
use crate::hash::HashAlgorithm;
use crate::transparency::sha256;
use der::asn1::{ObjectIdentifier, OctetString, UtcTime};
use der::{Decode, Encode};
use std::time::Duration;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;
/// `[4]`, constructed: GeneralName's directoryName.
const DIRECTORY_NAME: u8 = 0xa4;

/// INTEGER 1: the version of a TSTInfo and of a SignerInfo.
const ONE: [u8; 3] = [INTEGER, 1, 1];
/// INTEGER 3: the version of a SignedData whose content is not id-data (RFC 5652 §5.1).
const THREE: [u8; 3] = [INTEGER, 1, 3];
/// PKIStatusInfo: granted.
const GRANTED: [u8; 5] = [SEQUENCE, 3, INTEGER, 1, 0];

/// The octets of a serial number. Tokens' are random: this many make no two alike.
pub const SERIAL_LENGTH: usize = 16;

/// Why there can be no tokens, or not this one: in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a timestamp cannot be made: {0}")]
pub struct TokenError(der::Error);

impl From<der::Error> for TokenError {
    fn from(error: der::Error) -> Self {
        Self(error)
    }
}

/// What the authority's key signs: the DER of the signed attributes, as a SET (RFC 5652 §5.4). Only [`TokenMaker`] makes it.
pub struct SignedAttributes {
    der: Vec<u8>,
    tst_info: Vec<u8>,
    certificates: bool,
}

impl SignedAttributes {
    /// The octets to sign.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// Makes the tokens of one authority.
pub struct TokenMaker {
    algorithm: CaAlgorithm,
    policy: ObjectIdentifier,
    /// DER of the TSTInfo's fields that never change: version and policy.
    head: Vec<u8>,
    /// The same: Accuracy.
    accuracy: Vec<u8>,
    /// The same: `tsa`.
    name: Vec<u8>,
    /// DER AlgorithmIdentifier of the digest under the signature.
    digest_algorithm: Vec<u8>,
    /// Attribute contentType.
    content_type: Vec<u8>,
    /// Attribute signingCertificateV2.
    signing_certificate: Vec<u8>,
    /// IssuerAndSerialNumber.
    signer_id: Vec<u8>,
    /// The authority's certificate, as the CertificateSet.
    certificates: Vec<u8>,
}

impl TokenMaker {
    /// For the first certificate of the chain.
    ///
    /// # Errors
    /// A field cannot be encoded.
    pub fn new(
        chain: &TimestampChain,
        policy: ObjectIdentifier,
        accuracy: Duration,
    ) -> Result<Self, TokenError> {
        let certificate = chain.certificates().first().map(Vec::as_slice).unwrap_or_default();
        let serial = wrap(INTEGER, &[chain.serial()]);
        Ok(Self {
            algorithm: chain.algorithm(),
            policy,
            head: [&ONE[..], &policy.to_der()?].concat(),
            accuracy: accuracy_of(accuracy).to_der()?,
            name: wrap(CONTEXT_0, &[&wrap(DIRECTORY_NAME, &[chain.subject()])]),
            digest_algorithm: wrap(SEQUENCE, &[&hash_under(chain.algorithm()).oid().to_der()?]),
            content_type: attribute(asn1::CONTENT_TYPE, &CT_TST_INFO.to_der()?),
            signing_certificate: attribute(
                asn1::SIGNING_CERTIFICATE_V2,
                &signing_certificate(certificate, chain)?.to_der()?,
            ),
            signer_id: wrap(SEQUENCE, &[chain.issuer(), &serial]),
            certificates: wrap(CONTEXT_0, &[certificate]),
        })
    }

    /// The authority's policy.
    pub const fn policy(&self) -> &ObjectIdentifier {
        &self.policy
    }

    /// What is to be signed for this request at this time, in whole seconds, rounded down. The serial number is made positive.
    ///
    /// # Errors
    /// The time is none.
    pub fn prepare(
        &self,
        request: &TimestampRequest,
        time: UnixMillis,
        mut serial: [u8; SERIAL_LENGTH],
    ) -> Result<SignedAttributes, TokenError> {
        // X.690 §8.3: the first bit is the sign, and the first nine are not alike. So all have one length.
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x7f | 0x40;
        }
        let tst_info = wrap(
            SEQUENCE,
            &[
                &self.head,
                request.imprint(),
                &wrap(INTEGER, &[&serial]),
                &GenTime::whole_seconds(time)?.to_der()?,
                &self.accuracy,
                // `ordering` is FALSE, which DER leaves out.
                request.nonce().unwrap_or_default(),
                &self.name,
            ],
        );

        let hash = hash_under(self.algorithm).digest(&tst_info);
        let digest = attribute(asn1::MESSAGE_DIGEST, &wrap(OCTET_STRING, &[&hash]));
        let signing_time = attribute(asn1::SIGNING_TIME, &signing_time(time)?);
        let mut attributes: [&[u8]; 4] =
            [&self.content_type, &signing_time, &digest, &self.signing_certificate];
        // X.690 §11.6: the elements of a SET OF stand in the order of their octets.
        attributes.sort_unstable();
        let der = wrap(SET, &attributes);
        Ok(SignedAttributes { der, tst_info, certificates: request.wants_certificates() })
    }

    /// The TimeStampResp with the token whose attributes were signed.
    pub fn response(&self, signed: &SignedAttributes, signature: &[u8]) -> Vec<u8> {
        let mut attributes = signed.der.clone();
        // In its place the SET is `[0]` IMPLICIT (RFC 5652 §5.3).
        if let Some(tag) = attributes.first_mut() {
            *tag = CONTEXT_0;
        }
        let signer = wrap(
            SEQUENCE,
            &[
                &ONE[..],
                &self.signer_id,
                &self.digest_algorithm,
                &attributes,
                self.algorithm.identifier(),
                &wrap(OCTET_STRING, &[signature]),
            ],
        );
        let content = wrap(CONTEXT_0, &[&wrap(OCTET_STRING, &[&signed.tst_info])]);
        let certificates: &[u8] = if signed.certificates { &self.certificates } else { &[] };
        let signed_data = wrap(
            SEQUENCE,
            &[
                &THREE[..],
                &wrap(SET, &[&self.digest_algorithm]),
                &wrap(SEQUENCE, &[&identifier(CT_TST_INFO), &content]),
                certificates,
                &wrap(SET, &[&signer]),
            ],
        );
        let token = wrap(SEQUENCE, &[&identifier(SIGNED_DATA), &wrap(CONTEXT_0, &[&signed_data])]);
        wrap(SEQUENCE, &[&GRANTED, &token])
    }
}

/// The hash under the signatures of an algorithm (RFC 5754 §3, RFC 8419 §3.1).
const fn hash_under(algorithm: CaAlgorithm) -> HashAlgorithm {
    match algorithm {
        CaAlgorithm::EcdsaP256Sha256 | CaAlgorithm::RsaSha256 => HashAlgorithm::Sha256,
        CaAlgorithm::EcdsaP384Sha384 => HashAlgorithm::Sha384,
        CaAlgorithm::EcdsaP521Sha512 | CaAlgorithm::Ed25519 => HashAlgorithm::Sha512,
    }
}

fn accuracy_of(accuracy: Duration) -> Accuracy {
    let part = |value: u32| u16::try_from(value).ok().filter(|value| *value > 0);
    Accuracy {
        seconds: u32::try_from(accuracy.as_secs()).ok().filter(|seconds| *seconds > 0),
        millis: part(accuracy.subsec_millis()),
        micros: part(accuracy.subsec_micros() % 1000),
    }
}

/// SHA-256 of the certificate, which is the default and left out, with issuer and serial number.
fn signing_certificate(
    certificate: &[u8],
    chain: &TimestampChain,
) -> Result<SigningCertificateV2, TokenError> {
    let issuer = GeneralName::DirectoryName(Name::from_der(chain.issuer())?);
    Ok(SigningCertificateV2 {
        certs: vec![EssCertIdV2 {
            hash_algorithm: None,
            cert_hash: OctetString::new(sha256(certificate))?,
            issuer_serial: Some(IssuerSerial {
                issuer: vec![issuer],
                serial_number: SerialNumber::new(chain.serial())?,
            }),
        }],
        policies: None,
    })
}

/// Time (RFC 5652 §11.3): UTCTime until the year 2049.
fn signing_time(time: UnixMillis) -> Result<Vec<u8>, TokenError> {
    let date = der::DateTime::from_unix_duration(Duration::from_secs(time.as_secs()))?;
    Ok(if date.year() < 2050 {
        UtcTime::from_date_time(date)?.to_der()?
    } else {
        GenTime::whole_seconds(time)?.to_der()?
    })
}

/// Attribute ::= SEQUENCE { attrType, attrValues SET } with one value.
fn attribute(oid: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    wrap(SEQUENCE, &[&identifier(oid), &wrap(SET, &[value])])
}

fn identifier(oid: ObjectIdentifier) -> Vec<u8> {
    wrap(OBJECT_IDENTIFIER, &[oid.as_bytes()])
}

/// A value with these contents, one behind the other.
fn wrap(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length = contents.iter().map(|content| content.len()).sum();
    let mut out = Vec::with_capacity(tlv_len(length));
    push_header(&mut out, tag, length);
    contents.iter().for_each(|content| out.extend_from_slice(content));
    out
}
