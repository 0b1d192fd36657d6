//! The little DER that is written by hand on the hot path: headers, extensions, the certificate around a signature.
//!
//! X.690 §8.1 and §10.1, definite lengths in the fewest octets. Types with a structure of their own (names of subjects,
//! key usages) are encoded by `x509-cert`.

use super::reader::{BIT_STRING, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};
use der::asn1::ObjectIdentifier;

const BOOLEAN_TRUE: [u8; 3] = [0x01, 0x01, 0xff];

/// Appends tag and length of a value of `length` octets.
pub(crate) fn push_header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
        return;
    }
    let octets = length.to_be_bytes();
    let zeros = length.leading_zeros() as usize / 8;
    let significant = octets.get(zeros..).unwrap_or_default();
    out.push(0x80 | significant.len() as u8);
    out.extend_from_slice(significant);
}

/// The octets that tag, length and value take together.
pub(crate) const fn tlv_len(length: usize) -> usize {
    let significant = (usize::BITS - length.leading_zeros()).div_ceil(8) as usize;
    length + if length < 0x80 { 2 } else { 2 + significant }
}

/// Appends a whole value.
pub(crate) fn push_tlv(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    push_header(out, tag, value.len());
    out.extend_from_slice(value);
}

/// Appends an Extension (RFC 5280 §4.1): `critical` is a DEFAULT FALSE and so only written when true.
pub(super) fn push_extension(out: &mut Vec<u8>, oid: &ObjectIdentifier, critical: bool, value: &[u8]) {
    let flag: &[u8] = if critical { &BOOLEAN_TRUE } else { &[] };
    push_header(out, SEQUENCE, tlv_len(oid.as_bytes().len()) + flag.len() + tlv_len(value.len()));
    push_tlv(out, OBJECT_IDENTIFIER, oid.as_bytes());
    out.extend_from_slice(flag);
    push_tlv(out, OCTET_STRING, value);
}

/// The Certificate (RFC 5280 §4.1) of a TBSCertificate, the AlgorithmIdentifier and the signature over it.
pub(super) fn certificate(tbs: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let bits = signature.len() + 1;
    let content = tbs.len() + algorithm.len() + tlv_len(bits);
    let mut out = Vec::with_capacity(tlv_len(content));
    push_header(&mut out, SEQUENCE, content);
    out.extend_from_slice(tbs);
    out.extend_from_slice(algorithm);
    push_header(&mut out, BIT_STRING, bits);
    out.push(0); // no unused bits
    out.extend_from_slice(signature);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Encode;
    use der::asn1::OctetString;
    use x509_cert::ext::Extension;

    #[test]
    fn lengths_agree_with_an_independent_encoder_around_every_boundary() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x1_0001] {
            let value = vec![7; length];
            let mut ours = Vec::new();
            push_tlv(&mut ours, OCTET_STRING, &value);
            assert_eq!(tlv_len(length), ours.len(), "{length}");
            assert_eq!(ours, OctetString::new(value).unwrap().to_der().unwrap(), "{length}");
        }
    }

    #[test]
    fn extensions_agree_with_an_independent_encoder() {
        for (critical, length) in [(true, 3), (false, 3), (true, 120), (false, 300)] {
            let oid = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
            let mut ours = Vec::new();
            push_extension(&mut ours, &oid, critical, &vec![9; length]);
            let theirs =
                Extension { extn_id: oid, critical, extn_value: OctetString::new(vec![9; length]).unwrap() };
            assert_eq!(ours, theirs.to_der().unwrap());
        }
    }
}
