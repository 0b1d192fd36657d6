//! A certificate as slices of its DER (RFC 5280 §4.1), and the removal of one extension from a TBSCertificate.
//!
//! Signatures and logs speak of octets, so nothing is decoded and encoded again: what is compared, hashed or verified is
//! what stood in the file. Values inside the slices are decoded by whoever needs them.

use super::encode::{self, EXTENSIONS, SEQUENCE, push_header, tlv_len};
use crate::environment::UnixMillis;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Header, Reader, SliceReader, Tag, TagNumber};
use x509_cert::time::Time;

/// The largest certificate that is read, in octets.
pub const MAX_CERTIFICATE: usize = 256 * 1024;

/// More extensions than any certificate has.
const MAX_EXTENSIONS: usize = 256;

/// Octets that are not the DER of what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) String);

impl From<der::Error> for Malformed {
    fn from(error: der::Error) -> Self {
        Self(format!("not valid DER: {error}"))
    }
}

/// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
#[derive(Clone, Debug)]
pub struct RawCertificate<'a> {
    /// TBSCertificate, what the signature is over.
    pub tbs_der: &'a [u8],
    /// Its fields.
    pub tbs: RawTbs<'a>,
    /// DER AlgorithmIdentifier; equal to the one inside the TBSCertificate.
    pub algorithm: &'a [u8],
    /// The signature's octets.
    pub signature: &'a [u8],
}

/// The fields of a TBSCertificate.
#[derive(Clone, Debug)]
pub struct RawTbs<'a> {
    /// 1, 2 or 3.
    pub version: u8,
    /// The INTEGER's content octets, big-endian, two's complement.
    pub serial: &'a [u8],
    /// DER Name.
    pub issuer: &'a [u8],
    /// Whole seconds.
    pub not_before: UnixMillis,
    /// Whole seconds, inclusive.
    pub not_after: UnixMillis,
    /// DER Name.
    pub subject: &'a [u8],
    /// DER SubjectPublicKeyInfo.
    pub spki: &'a [u8],
    /// In the order of the certificate; no object identifier occurs twice.
    pub extensions: Vec<RawExtension<'a>>,
}

/// One extension.
#[derive(Clone, Copy, Debug)]
pub struct RawExtension<'a> {
    /// Its object identifier.
    pub oid: ObjectIdentifier,
    /// Whether who does not know it must refuse the certificate.
    pub critical: bool,
    /// The octets inside the OCTET STRING.
    pub value: &'a [u8],
}

impl<'a> RawCertificate<'a> {
    /// Reads one certificate and nothing after it.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        if der.len() > MAX_CERTIFICATE {
            return Err(Malformed(format!("larger than {MAX_CERTIFICATE} octets")));
        }
        let mut fields = SliceReader::new(content(der, Tag::Sequence)?)?;
        let tbs_der = fields.tlv_bytes()?;
        let algorithm = fields.tlv_bytes()?;
        let signature = BitStringRef::decode(&mut fields)?
            .as_bytes()
            .ok_or_else(|| Malformed("the signature is not whole octets".into()))?;
        fields.finish()?;
        let (tbs, inner_algorithm) = RawTbs::parse(tbs_der)?;
        if algorithm != inner_algorithm {
            // RFC 5280 §4.1.1.2
            return Err(Malformed("the two signature algorithms differ".into()));
        }
        Ok(Self { tbs_der, tbs, algorithm, signature })
    }
}

impl<'a> RawTbs<'a> {
    /// The extension with this object identifier.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&RawExtension<'a>> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    /// The extension of that type, decoded.
    pub fn decoded<T>(&self) -> Result<Option<T>, Malformed>
    where
        T: for<'d> Decode<'d, Error = der::Error> + der::oid::AssociatedOid,
    {
        match self.extension(T::OID) {
            Some(extension) => Ok(Some(T::from_der(extension.value)?)),
            None => Ok(None),
        }
    }

    /// The fields, and the DER AlgorithmIdentifier among them.
    fn parse(der: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let mut fields = SliceReader::new(content(der, Tag::Sequence)?)?;
        let version = version(&mut fields)?;
        let serial = content(fields.tlv_bytes()?, Tag::Integer)?;
        let algorithm = fields.tlv_bytes()?;
        let issuer = fields.tlv_bytes()?;
        let mut validity = SliceReader::new(content(fields.tlv_bytes()?, Tag::Sequence)?)?;
        let (not_before, not_after) = (Time::decode(&mut validity)?, Time::decode(&mut validity)?);
        validity.finish()?;
        let subject = fields.tlv_bytes()?;
        let spki = fields.tlv_bytes()?;
        let extensions = extensions(&mut fields)?;
        let time = |time: Time| UnixMillis::from_secs(time.to_unix_duration().as_secs());
        let (not_before, not_after) = (time(not_before), time(not_after));
        Ok((Self { version, serial, issuer, not_before, not_after, subject, spki, extensions }, algorithm))
    }
}

/// The TBSCertificate `tbs` without its extension `oid`, every other octet kept but the lengths around it. With poison or
/// SCT list as `oid` this is what the log hashes (RFC 6962 §3.2).
///
/// It reads only `tbs`, so it can judge whoever built it. An error when the extension does not occur exactly once.
pub fn without_extension(tbs: &[u8], oid: ObjectIdentifier) -> Result<Vec<u8>, Malformed> {
    let mut fields = SliceReader::new(content(tbs, Tag::Sequence)?)?;
    let mut kept = Vec::with_capacity(tbs.len());
    let mut removed = 0;
    while !fields.is_finished() {
        let header = Header::peek(&fields)?;
        let field = fields.tlv_bytes()?;
        if header.tag() != context_specific(3) {
            kept.extend_from_slice(field);
            continue;
        }
        let mut list = SliceReader::new(content(content(field, header.tag())?, Tag::Sequence)?)?;
        let mut others = Vec::with_capacity(field.len());
        while !list.is_finished() {
            let extension = list.tlv_bytes()?;
            let mut parts = SliceReader::new(content(extension, Tag::Sequence)?)?;
            if ObjectIdentifier::decode(&mut parts)? == oid {
                removed += 1;
            } else {
                others.extend_from_slice(extension);
            }
        }
        push_extensions(&mut kept, &others);
    }
    if removed != 1 {
        return Err(Malformed(format!("extension {oid} occurs {removed} times, not once")));
    }
    let mut whole = Vec::with_capacity(tlv_len(kept.len()));
    encode::push_tlv(&mut whole, SEQUENCE, &kept);
    Ok(whole)
}

/// Appends the field for `extensions`, concatenated Extensions; nothing when there is none (RFC 5280 §4.1: SIZE (1..MAX)).
pub(super) fn push_extensions(out: &mut Vec<u8>, extensions: &[u8]) {
    if !extensions.is_empty() {
        push_header(out, EXTENSIONS, tlv_len(extensions.len()));
        encode::push_tlv(out, SEQUENCE, extensions);
    }
}

/// The TBSCertificate of a certificate, without a look at its fields.
pub(super) fn tbs_of(certificate: &[u8]) -> Result<&[u8], Malformed> {
    Ok(SliceReader::new(content(certificate, Tag::Sequence)?)?.tlv_bytes()?)
}

/// The value of the one element that `der` is, which must have this tag.
fn content(der: &[u8], tag: Tag) -> Result<&[u8], Malformed> {
    let element = AnyRef::from_der(der)?;
    if element.header().tag() != tag {
        return Err(Malformed(format!("{tag} expected, {} found", element.header().tag())));
    }
    Ok(element.value())
}

/// `version [0] EXPLICIT INTEGER DEFAULT v1`
fn version(fields: &mut SliceReader<'_>) -> Result<u8, Malformed> {
    if Header::peek(fields)?.tag() != context_specific(0) {
        return Ok(1);
    }
    match content(content(fields.tlv_bytes()?, context_specific(0))?, Tag::Integer)? {
        [version @ 0..=2] => Ok(version + 1),
        _ => Err(Malformed("no such version of certificates".into())),
    }
}

/// The optional fields after the key: unique identifiers, of no use to anybody, and the extensions.
fn extensions<'a>(fields: &mut SliceReader<'a>) -> Result<Vec<RawExtension<'a>>, Malformed> {
    let mut extensions: Vec<RawExtension<'a>> = Vec::new();
    while !fields.is_finished() {
        let tag = Header::peek(fields)?.tag();
        let field = fields.tlv_bytes()?;
        if tag != context_specific(3) {
            continue;
        }
        let mut list = SliceReader::new(content(content(field, tag)?, Tag::Sequence)?)?;
        while !list.is_finished() {
            let extension = extension(list.tlv_bytes()?)?;
            if extensions.iter().any(|earlier| earlier.oid == extension.oid) {
                return Err(Malformed(format!("extension {} occurs twice", extension.oid)));
            }
            if extensions.len() == MAX_EXTENSIONS {
                return Err(Malformed(format!("more than {MAX_EXTENSIONS} extensions")));
            }
            extensions.push(extension);
        }
    }
    Ok(extensions)
}

fn extension(der: &[u8]) -> Result<RawExtension<'_>, Malformed> {
    let mut parts = SliceReader::new(content(der, Tag::Sequence)?)?;
    let oid = ObjectIdentifier::decode(&mut parts)?;
    let critical =
        if Header::peek(&parts)?.tag() == Tag::Boolean { bool::decode(&mut parts)? } else { false };
    let value = <&OctetStringRef>::decode(&mut parts)?.as_bytes();
    parts.finish()?;
    Ok(RawExtension { oid, critical, value })
}

const fn context_specific(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOW};
    use super::super::{inspect::Inspected, oids};
    use super::*;
    use der::Encode;
    use proptest::prelude::*;

    fn certificate() -> Vec<u8> {
        testing::issue(&testing::chain(), NOW).der().to_vec()
    }

    /// The same removal by decoding and encoding with `x509-cert`.
    #[test]
    fn removing_an_extension_agrees_with_an_independent_implementation() {
        use x509_cert::certificate::Certificate;
        let der = certificate();
        let tbs = tbs_of(&der).unwrap();
        let decoded = Certificate::from_der(&der).unwrap();
        assert_eq!(decoded.tbs_certificate().to_der().unwrap(), tbs);
        for removed in decoded.tbs_certificate().extensions().unwrap() {
            let ours = without_extension(tbs, removed.extn_id).unwrap();
            let all = decoded.tbs_certificate().extensions().unwrap().iter();
            let kept: Vec<_> =
                all.filter(|extension| extension.extn_id != removed.extn_id).cloned().collect();
            let encoded = kept.to_der().unwrap();
            assert!(ours.ends_with(&encoded), "{}", removed.extn_id);
            let gone = removed.to_der().unwrap();
            assert!(!ours.windows(gone.len()).any(|window| window == gone), "{}", removed.extn_id);
        }
    }

    #[test]
    fn removing_what_is_not_there_once_is_an_error() {
        let der = certificate();
        let tbs = tbs_of(&der).unwrap();
        assert!(without_extension(tbs, oids::POISON).unwrap_err().to_string().contains("0 times"));
        let once = without_extension(tbs, oids::SCT_LIST).unwrap();
        assert!(without_extension(&once, oids::SCT_LIST).is_err());
        assert!(without_extension(&[], oids::SCT_LIST).is_err());
        assert!(without_extension(&der, oids::SCT_LIST).is_err(), "a certificate is no TBSCertificate");
    }

    #[test]
    fn a_certificate_that_says_two_algorithms_or_has_a_tail_is_refused() {
        let der = certificate();
        assert!(RawCertificate::parse(&[&der[..], &[0]].concat()).is_err());
        let mut other = der.clone();
        let outer = other.windows(4).rposition(|window| window == [0x3d, 4, 3, 2]).unwrap();
        other[outer + 3] = 3;
        assert!(RawCertificate::parse(&other).unwrap_err().to_string().contains("differ"));
    }

    #[test]
    fn no_cut_and_no_flipped_bit_is_accepted_or_makes_the_reader_panic() {
        let (der, chain) = (certificate(), testing::chain());
        for end in 0..der.len() {
            assert!(Inspected::from_der(&der[..end]).is_err());
        }
        for index in 0..der.len() {
            let mut bad = der.clone();
            bad[index] ^= 1 << (index % 8);
            if let Ok(inspected) = Inspected::from_der(&bad) {
                let _ = inspected.logged_tbs();
                assert!(inspected.verify_issued_by(&chain, NOW).is_err(), "octet {index}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            at in 0usize..2000,
        ) {
            let _ = Inspected::parse(&bytes);
            let _ = without_extension(&bytes, oids::SCT_LIST);
            let mut spliced = certificate();
            let at = at.min(spliced.len());
            let end = (at + bytes.len()).min(spliced.len());
            spliced.splice(at..end, bytes);
            if let Ok(inspected) = Inspected::from_der(&spliced) {
                let _ = inspected.logged_tbs();
            }
        }
    }
}
