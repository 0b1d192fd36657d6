//! A certificate as slices of its DER (RFC 5280 §4.1), and the removal of one extension from a TBSCertificate.
//!
//! Signatures and logs speak of octets, so nothing is decoded and encoded again: what is compared, hashed or verified is
//! what stood in the file. Values inside the slices are decoded by whoever needs them.

use super::encode::{push_header, tlv_len};
use super::reader::{
    BIT_STRING, BOOLEAN, EXTENSIONS, Element, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE,
    VERSION,
};
use crate::environment::UnixMillis;
use der::Decode;
use der::asn1::ObjectIdentifier;
use x509_cert::time::Time;

/// The largest certificate that is read, in octets.
pub const MAX_CERTIFICATE: usize = 256 * 1024;

/// More extensions than any certificate has.
const MAX_EXTENSIONS: usize = 256;
/// Octets for which there is room for one extension from the start: somewhat fewer than they have.
const OCTETS_AN_EXTENSION: usize = 24;

/// Octets that are not the DER of what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) String);

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
        let mut fields = Element::only(der, SEQUENCE)?.inside();
        let tbs = fields.expect(SEQUENCE)?;
        let algorithm = fields.expect(SEQUENCE)?.der;
        let [0, signature @ ..] = fields.expect(BIT_STRING)?.value else {
            return Err(Malformed("the signature is not whole octets".into()));
        };
        fields.finish()?;
        let tbs_der = tbs.der;
        let (tbs, inner_algorithm) = RawTbs::parse(tbs)?;
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
    fn parse(tbs: Element<'a>) -> Result<(Self, &'a [u8]), Malformed> {
        let mut fields = tbs.inside();
        let version = version(&mut fields)?;
        let serial = fields.expect(INTEGER)?.value;
        let algorithm = fields.expect(SEQUENCE)?.der;
        let issuer = fields.expect(SEQUENCE)?.der;
        let mut validity = fields.expect(SEQUENCE)?.inside();
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        validity.finish()?;
        let subject = fields.expect(SEQUENCE)?.der;
        let spki = fields.expect(SEQUENCE)?.der;
        let extensions = extensions(&mut fields)?;
        Ok((Self { version, serial, issuer, not_before, not_after, subject, spki, extensions }, algorithm))
    }
}

/// The TBSCertificate `tbs` without its extension `oid`, every other octet kept but the lengths around it. With poison or
/// SCT list as `oid` this is what the log hashes (RFC 6962 §3.2).
///
/// It reads only `tbs`, so it can judge whoever built it. An error when the extension does not occur exactly once.
pub fn without_extension(tbs: &[u8], oid: ObjectIdentifier) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(tbs.len());
    Remainder::of(tbs, oid)?.each_piece(|piece| out.extend_from_slice(piece));
    Ok(out)
}

/// Whether `tbs` is [`without_extension`] what `expected` is, octet for octet; nothing is copied to find out.
pub(super) fn is_without_extension(
    tbs: &[u8],
    oid: ObjectIdentifier,
    expected: &[u8],
) -> Result<bool, Malformed> {
    let mut rest = Some(expected);
    Remainder::of(tbs, oid)?.each_piece(|piece| rest = rest.and_then(|rest| rest.strip_prefix(piece)));
    Ok(rest.is_some_and(<[u8]>::is_empty))
}

/// What is left of a TBSCertificate when an extension is taken out.
struct Remainder<'t> {
    /// The fields before the extensions and after them.
    around: (&'t [u8], &'t [u8]),
    /// The extensions before that one and after it.
    extensions: (&'t [u8], &'t [u8]),
}

impl<'t> Remainder<'t> {
    fn of(tbs: &'t [u8], oid: ObjectIdentifier) -> Result<Self, Malformed> {
        let whole = Element::only(tbs, SEQUENCE)?;
        let mut fields = whole.inside();
        let (mut found, mut times) = (None, 0);
        while !fields.is_finished() {
            let at_field = fields.clone();
            let field = fields.element()?;
            if field.tag != EXTENSIONS {
                continue;
            }
            let around = (at_field.before(whole), fields.octets());
            let list = Element::only(field.value, SEQUENCE)?;
            let mut rest = list.inside();
            while !rest.is_finished() {
                let (at_extension, extension) = (rest.clone(), rest.expect(SEQUENCE)?);
                if extension.inside().expect(OBJECT_IDENTIFIER)?.value == oid.as_bytes() {
                    let extensions = (at_extension.before(list), rest.octets());
                    found = Some(Self { around, extensions });
                    times += 1;
                }
            }
        }
        found
            .filter(|_| times == 1)
            .ok_or_else(|| Malformed(format!("extension {oid} occurs {times} times, not once")))
    }

    /// The DER in order.
    fn each_piece(&self, mut take: impl FnMut(&[u8])) {
        let ((before, after), (earlier, later)) = (self.around, self.extensions);
        let extensions = earlier.len() + later.len();
        let field = if extensions == 0 { 0 } else { tlv_len(tlv_len(extensions)) };
        let mut headers = Vec::with_capacity(16);
        push_header(&mut headers, SEQUENCE, before.len() + field + after.len());
        take(&headers);
        take(before);
        // RFC 5280 §4.1: SIZE (1..MAX)
        if extensions > 0 {
            headers.clear();
            push_header(&mut headers, EXTENSIONS, tlv_len(extensions));
            push_header(&mut headers, SEQUENCE, extensions);
            take(&headers);
            take(earlier);
            take(later);
        }
        take(after);
    }
}

/// The TBSCertificate of a certificate, without a look at its fields.
pub(super) fn tbs_of(certificate: &[u8]) -> Result<&[u8], Malformed> {
    Ok(Element::only(certificate, SEQUENCE)?.inside().expect(SEQUENCE)?.der)
}

/// `version [0] EXPLICIT INTEGER DEFAULT v1`
fn version(fields: &mut Elements<'_>) -> Result<u8, Malformed> {
    let Some(version) = fields.optional(VERSION)? else { return Ok(1) };
    match Element::only(version.value, INTEGER)?.value {
        [version @ 0..=2] => Ok(version + 1),
        _ => Err(Malformed("no such version of certificates".into())),
    }
}

/// UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5), from 1970 on.
fn time(validity: &mut Elements<'_>) -> Result<UnixMillis, Malformed> {
    let time = Time::from_der(validity.element()?.der)?;
    Ok(UnixMillis::from_secs(time.to_unix_duration().as_secs()))
}

/// The optional fields after the key: unique identifiers, of no use to anybody, and the extensions.
fn extensions<'a>(fields: &mut Elements<'a>) -> Result<Vec<RawExtension<'a>>, Malformed> {
    let mut extensions: Vec<RawExtension<'a>> = Vec::new();
    while !fields.is_finished() {
        let field = fields.element()?;
        if field.tag != EXTENSIONS {
            continue;
        }
        let mut list = Element::only(field.value, SEQUENCE)?.inside();
        extensions.reserve((list.octets().len() / OCTETS_AN_EXTENSION).min(MAX_EXTENSIONS));
        while !list.is_finished() {
            let extension = extension(list.expect(SEQUENCE)?)?;
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

/// Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }
fn extension(extension: Element<'_>) -> Result<RawExtension<'_>, Malformed> {
    let mut parts = extension.inside();
    let oid = parts.expect(OBJECT_IDENTIFIER)?.value;
    let oid =
        ObjectIdentifier::from_bytes(oid).map_err(|error| Malformed(format!("not valid DER: {error}")))?;
    let critical = match parts.optional(BOOLEAN)?.map(|flag| flag.value) {
        None | Some([0]) => false,
        Some([0xff]) => true,
        Some(_) => return Err(Malformed("not valid DER: neither true nor false".into())),
    };
    let value = parts.expect(OCTET_STRING)?.value;
    parts.finish()?;
    Ok(RawExtension { oid, critical, value })
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
            assert!(is_without_extension(tbs, removed.extn_id, &ours).unwrap());
            for at in 0..ours.len() {
                let mut other = ours.clone();
                other[at] ^= 1;
                assert!(!is_without_extension(tbs, removed.extn_id, &other).unwrap(), "octet {at}");
                assert!(!is_without_extension(tbs, removed.extn_id, &ours[..at]).unwrap(), "octet {at}");
            }
            let longer = [&ours[..], &[0]].concat();
            assert!(!is_without_extension(tbs, removed.extn_id, &longer).unwrap());
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
        assert!(is_without_extension(&once, oids::SCT_LIST, &once).is_err());
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
