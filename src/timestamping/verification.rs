//! Whether a timestamp holds (RFC 3161 §2.4.2, RFC 5652 §5.4, RFC 5035, RFC 5816).
//!
//! The token is walked as slices: what is hashed and what is verified are the octets that came. Who is trusted is for the
//! caller; [`Token::names`] says which certificate to look for, [`Token::verify_signed_by`] whether it signed.

use super::asn1::{
    CONTENT_TYPE, CT_TST_INFO, MESSAGE_DIGEST, SIGNED_DATA, SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2,
};
use crate::certificate::path::MAX_LENGTH;
use crate::certificate::raw::{Malformed, RawCertificate};
use crate::certificate::reader::{
    BOOLEAN, Element, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE,
};
use crate::certificate::{SignatureError, verify_signature};
use crate::environment::UnixMillis;
use crate::hash::HashAlgorithm;
use aws_lc_rs::digest;
use der::Decode;
use der::asn1::ObjectIdentifier;
use std::time::Duration;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

/// The largest TimeStampResp that is read, in octets: one with a long chain is far below.
pub const MAX_RESPONSE: usize = 64 * 1024;

const SET: u8 = 0x31;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]` and `[1]`, constructed: explicit contents, certificates, signed attributes; revocation lists, unsigned attributes.
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
/// `[0]` IMPLICIT SubjectKeyIdentifier in a SignerIdentifier.
const KEY_ID: u8 = 0x80;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Why a timestamp was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// It is no answer of a timestamp authority.
    #[error("the timestamp cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The authority refused: PKIStatus is neither granted nor grantedWithMods.
    #[error("the authority did not grant the timestamp")]
    NotGranted,
    /// A digest algorithm that is not SHA-256, SHA-384 or SHA-512.
    #[error("the timestamp uses the digest algorithm {0}, which is not accepted")]
    Digest(ObjectIdentifier),
    /// The timestamp is over something else.
    #[error("the timestamp is of something else: its message imprint is another")]
    Imprint,
    /// A signed attribute is missing or says something else.
    #[error("the timestamp's signed attributes: {0}")]
    Attributes(&'static str),
    /// The signature does not hold.
    #[error("the timestamp's signature: {0}")]
    Signature(#[from] SignatureError),
}

/// A timestamp that was read, not yet believed.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    content: &'a [u8],
    info: Info<'a>,
    certificates: Vec<&'a [u8]>,
    signer: SignerInfo<'a>,
}

/// TSTInfo.
#[derive(Clone, Debug)]
struct Info<'a> {
    policy: ObjectIdentifier,
    imprint_algorithm: ObjectIdentifier,
    imprint: &'a [u8],
    serial: &'a [u8],
    time: UnixMillis,
    nonce: Option<&'a [u8]>,
}

#[derive(Clone, Debug)]
struct SignerInfo<'a> {
    identifier: Identifier<'a>,
    digest_algorithm: ObjectIdentifier,
    /// The content of the `[0]`, which is signed as a SET.
    attributes: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Identifier<'a> {
    /// DER Name and INTEGER content.
    IssuerAndSerial(&'a [u8], &'a [u8]),
    KeyId(&'a [u8]),
}

impl<'a> Token<'a> {
    /// Reads a DER TimeStampResp that grants a token.
    pub fn from_response(der: &'a [u8]) -> Result<Self, TimestampError> {
        if der.len() > MAX_RESPONSE {
            return Err(Malformed(format!("larger than {MAX_RESPONSE} octets")).into());
        }
        let mut response = Element::only(der, SEQUENCE)?.inside();
        let status = response.expect(SEQUENCE)?.inside().expect(INTEGER)?.value;
        if !matches!(status, [0 | 1]) {
            return Err(TimestampError::NotGranted);
        }
        let token = response.expect(SEQUENCE)?;
        response.finish()?;
        Self::from_content_info(token)
    }

    /// ContentInfo ::= SEQUENCE { id-signedData, `[0]` EXPLICIT SignedData }
    fn from_content_info(token: Element<'a>) -> Result<Self, TimestampError> {
        let mut fields = token.inside();
        expect_oid(&mut fields, SIGNED_DATA)?;
        let signed_data = Element::only(fields.expect(CONTEXT_0)?.value, SEQUENCE)?;
        fields.finish()?;
        let mut fields = signed_data.inside();
        fields.expect(INTEGER)?;
        fields.expect(SET)?;
        let mut encapsulated = fields.expect(SEQUENCE)?.inside();
        expect_oid(&mut encapsulated, CT_TST_INFO)?;
        let content = Element::only(encapsulated.expect(CONTEXT_0)?.value, OCTET_STRING)?.value;
        encapsulated.finish()?;
        let certificates = match fields.optional(CONTEXT_0)? {
            Some(set) => certificates(set)?,
            None => Vec::new(),
        };
        fields.optional(CONTEXT_1)?;
        let signers = fields.expect(SET)?;
        fields.finish()?;
        // RFC 3161 §2.4.2: the signature of the TSA and no other.
        let signer = SignerInfo::parse(Element::only(signers.value, SEQUENCE)?)?;
        Ok(Self { content, info: Info::parse(content)?, certificates, signer })
    }

    /// genTime, to the millisecond.
    pub const fn time(&self) -> UnixMillis {
        self.info.time
    }

    /// The policy.
    pub const fn policy(&self) -> ObjectIdentifier {
        self.info.policy
    }

    /// The serial number's octets.
    pub const fn serial(&self) -> &'a [u8] {
        self.info.serial
    }

    /// The nonce's octets, as the request had it.
    pub const fn nonce(&self) -> Option<&'a [u8]> {
        self.info.nonce
    }

    /// The certificates that came with it, DER. Nothing is known of them.
    pub fn certificates(&self) -> &[&'a [u8]] {
        &self.certificates
    }

    /// That it is a timestamp of `message`.
    pub fn verify_imprint(&self, message: &[u8]) -> Result<(), TimestampError> {
        let expected = hash(self.info.imprint_algorithm)?.digest(message);
        if self.info.imprint == expected { Ok(()) } else { Err(TimestampError::Imprint) }
    }

    /// Whether it names this DER certificate as its signer's.
    pub fn names(&self, certificate: &[u8]) -> bool {
        let Ok(raw) = RawCertificate::parse(certificate) else { return false };
        match self.signer.identifier {
            Identifier::IssuerAndSerial(issuer, serial) => {
                raw.tbs.issuer == issuer && raw.tbs.serial == serial
            }
            Identifier::KeyId(wanted) => {
                let id = raw.tbs.decoded::<SubjectKeyIdentifier>().ok().flatten();
                id.is_some_and(|id| id.0.as_bytes() == wanted)
            }
        }
    }

    /// That the key of this DER certificate signed it, and that it was signed with this certificate and no other
    /// (ESSCertID or ESSCertIDv2).
    pub fn verify_signed_by(&self, certificate: &[u8]) -> Result<(), TimestampError> {
        let raw = RawCertificate::parse(certificate)?;
        let signer = &self.signer;
        let attributes = Attributes::parse(signer.attributes)?;
        if attributes.content_type != CT_TST_INFO {
            return Err(TimestampError::Attributes("contentType is not id-ct-TSTInfo"));
        }
        if attributes.message_digest != hash(signer.digest_algorithm)?.digest(self.content) {
            return Err(TimestampError::Attributes("messageDigest is not the digest of the content"));
        }
        attributes.check_certificate(certificate)?;
        let mut signed = Vec::with_capacity(signer.attributes.len() + 6);
        crate::certificate::push_tlv(&mut signed, SET, signer.attributes);
        let algorithm = signer.signature_algorithm()?;
        Ok(verify_signature(raw.tbs.spki, &algorithm, &signed, signer.signature)?)
    }
}

impl<'a> Info<'a> {
    /// TSTInfo ::= SEQUENCE { version 1, policy, messageImprint, serialNumber, genTime, accuracy OPTIONAL, ordering DEFAULT
    /// FALSE, nonce OPTIONAL, tsa `[0]` OPTIONAL, extensions `[1]` OPTIONAL }
    fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Element::only(der, SEQUENCE)?.inside();
        if fields.expect(INTEGER)?.value != [1] {
            return Err(Malformed("no such version of TSTInfo".into()));
        }
        let policy = oid(&mut fields)?;
        let mut imprint = fields.expect(SEQUENCE)?.inside();
        let imprint_algorithm = algorithm_oid(imprint.expect(SEQUENCE)?)?;
        let hashed = imprint.expect(OCTET_STRING)?.value;
        imprint.finish()?;
        let serial = fields.expect(INTEGER)?.value;
        let time = generalized_time(fields.expect(GENERALIZED_TIME)?.value)
            .ok_or_else(|| Malformed("genTime is no time in UTC".into()))?;
        fields.optional(SEQUENCE)?;
        fields.optional(BOOLEAN)?;
        let nonce = fields.optional(INTEGER)?.map(|nonce| nonce.value);
        fields.optional(CONTEXT_0)?;
        if let Some(extensions) = fields.optional(CONTEXT_1)? {
            check_extensions(extensions)?;
        }
        fields.finish()?;
        Ok(Self { policy, imprint_algorithm, imprint: hashed, serial, time, nonce })
    }
}

/// Extensions ::= SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, OCTET STRING }. None is known, so one that
/// is critical cannot be honoured (RFC 3161 §2.4.2, RFC 5280 §4.2).
fn check_extensions(extensions: Element<'_>) -> Result<(), Malformed> {
    let mut list = extensions.inside();
    while !list.is_finished() {
        let mut fields = list.expect(SEQUENCE)?.inside();
        let kind = oid(&mut fields)?;
        if fields.optional(BOOLEAN)?.is_some() {
            return Err(Malformed(format!("TSTInfo has the unknown critical extension {kind}")));
        }
        fields.expect(OCTET_STRING)?;
        fields.finish()?;
    }
    Ok(())
}

impl<'a> SignerInfo<'a> {
    fn parse(signer: Element<'a>) -> Result<Self, Malformed> {
        let mut fields = signer.inside();
        fields.expect(INTEGER)?;
        let identifier = match fields.optional(KEY_ID)? {
            Some(id) => Identifier::KeyId(id.value),
            None => {
                let mut named = fields.expect(SEQUENCE)?.inside();
                let identifier =
                    Identifier::IssuerAndSerial(named.expect(SEQUENCE)?.der, named.expect(INTEGER)?.value);
                named.finish()?;
                identifier
            }
        };
        let digest_algorithm = algorithm_oid(fields.expect(SEQUENCE)?)?;
        // RFC 3161 asks for signed attributes; without them the signature would be over the bare content.
        let attributes = fields.expect(CONTEXT_0)?.value;
        let algorithm = fields.expect(SEQUENCE)?.der;
        let signature = fields.expect(OCTET_STRING)?.value;
        fields.optional(CONTEXT_1)?;
        fields.finish()?;
        Ok(Self { identifier, digest_algorithm, attributes, algorithm, signature })
    }

    /// DER AlgorithmIdentifier of the signature. OpenSSL names only the key's kind for RSA (RFC 3370 §3.2); the digest then
    /// comes from the field of its own.
    fn signature_algorithm(&self) -> Result<Vec<u8>, TimestampError> {
        if algorithm_oid(Element::only(self.algorithm, SEQUENCE)?)? != RSA_ENCRYPTION {
            return Ok(self.algorithm.to_vec());
        }
        let last = match hash(self.digest_algorithm)? {
            HashAlgorithm::Sha256 => 11,
            HashAlgorithm::Sha384 => 12,
            HashAlgorithm::Sha512 => 13,
        };
        Ok(vec![0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last, 5, 0])
    }
}

/// The signed attributes that count.
struct Attributes<'a> {
    content_type: ObjectIdentifier,
    message_digest: &'a [u8],
    certificate: Option<Element<'a>>,
    certificate_v2: Option<Element<'a>>,
}

impl<'a> Attributes<'a> {
    fn parse(attributes: &'a [u8]) -> Result<Self, TimestampError> {
        let mut list = Elements::over(attributes);
        let (mut content_type, mut message_digest) = (None, None);
        let (mut certificate, mut certificate_v2) = (None, None);
        while !list.is_finished() {
            let mut fields = list.expect(SEQUENCE)?.inside();
            let kind = oid(&mut fields)?;
            let values = fields.expect(SET)?;
            fields.finish()?;
            let slot = match kind {
                CONTENT_TYPE => &mut content_type,
                MESSAGE_DIGEST => &mut message_digest,
                SIGNING_CERTIFICATE => &mut certificate,
                SIGNING_CERTIFICATE_V2 => &mut certificate_v2,
                _ => continue,
            };
            let mut values = values.inside();
            let value = values.element()?;
            values.finish()?;
            if slot.replace(value).is_some() {
                return Err(TimestampError::Attributes("one is given twice"));
            }
        }
        let content_type = content_type.ok_or(TimestampError::Attributes("contentType is missing"))?;
        let message_digest = message_digest.ok_or(TimestampError::Attributes("messageDigest is missing"))?;
        Ok(Self {
            content_type: oid(&mut Elements::over(content_type.der))?,
            message_digest: Element::only(message_digest.der, OCTET_STRING)?.value,
            certificate,
            certificate_v2,
        })
    }

    /// RFC 5816 §2.2.1: the first certificate identifier is the TSA's. Where both attributes are there, both must hold.
    fn check_certificate(&self, certificate: &[u8]) -> Result<(), TimestampError> {
        if self.certificate.is_none() && self.certificate_v2.is_none() {
            return Err(TimestampError::Attributes("the signing certificate is not named"));
        }
        let other = TimestampError::Attributes("another certificate is named as the signer's");
        if let Some(attribute) = self.certificate {
            let mut first = first_identifier(attribute)?;
            // ESSCertID: SHA-1, which still binds for as long as nobody finds second preimages.
            let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
            if first.expect(OCTET_STRING)?.value != sha1.as_ref() {
                return Err(other);
            }
        }
        if let Some(attribute) = self.certificate_v2 {
            let mut first = first_identifier(attribute)?;
            let hash = match first.optional(SEQUENCE)? {
                Some(identifier) => algorithm_oid(identifier).map(hash)?,
                None => Ok(HashAlgorithm::Sha256),
            };
            if first.expect(OCTET_STRING)?.value != hash?.digest(certificate) {
                return Err(other);
            }
        }
        Ok(())
    }
}

/// SigningCertificate ::= SEQUENCE { certs SEQUENCE OF ESSCertID, policies OPTIONAL }, and the same of version 2.
fn first_identifier(attribute: Element<'_>) -> Result<Elements<'_>, Malformed> {
    let mut fields = Element::only(attribute.der, SEQUENCE)?.inside();
    Ok(fields.expect(SEQUENCE)?.inside().expect(SEQUENCE)?.inside())
}

fn certificates(set: Element<'_>) -> Result<Vec<&[u8]>, Malformed> {
    let mut list = set.inside();
    let mut found = Vec::new();
    while !list.is_finished() {
        let element = list.element()?;
        // Attribute certificates and other relics are passed over.
        if element.tag == SEQUENCE {
            found.push(element.der);
        }
        if found.len() > MAX_LENGTH {
            return Err(Malformed(format!("more than {MAX_LENGTH} certificates")));
        }
    }
    Ok(found)
}

fn oid(fields: &mut Elements<'_>) -> Result<ObjectIdentifier, Malformed> {
    let value = fields.expect(OBJECT_IDENTIFIER)?.value;
    ObjectIdentifier::from_bytes(value).map_err(|error| Malformed(format!("not valid DER: {error}")))
}

fn expect_oid(fields: &mut Elements<'_>, expected: ObjectIdentifier) -> Result<(), Malformed> {
    match oid(fields)? {
        found if found == expected => Ok(()),
        found => Err(Malformed(format!("content of kind {found}, not {expected}"))),
    }
}

fn algorithm_oid(identifier: Element<'_>) -> Result<ObjectIdentifier, Malformed> {
    oid(&mut identifier.inside())
}

fn hash(oid: ObjectIdentifier) -> Result<HashAlgorithm, TimestampError> {
    HashAlgorithm::identified(oid).ok_or(TimestampError::Digest(oid))
}

/// `YYYYMMDDhhmmss[.s…]Z`, fractions without zeros at their end (RFC 3161 §2.4.2).
fn generalized_time(text: &[u8]) -> Option<UnixMillis> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((_, fraction)) if fraction.is_empty() || fraction.ends_with('0') => return None,
        Some(parts) => parts,
        None => (text, "0"),
    };
    if !fraction.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let whole = format!("{whole}Z");
    let tlv: Vec<u8> =
        [GENERALIZED_TIME, u8::try_from(whole.len()).ok()?].into_iter().chain(whole.bytes()).collect();
    let time = der::asn1::GeneralizedTime::from_der(&tlv).ok()?;
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let seconds = UnixMillis::from_secs(time.to_unix_duration().as_secs());
    Some(seconds.plus(Duration::from_millis(millis.parse().ok()?)))
}

#[cfg(test)]
mod tests;
