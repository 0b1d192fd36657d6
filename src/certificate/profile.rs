//! The profile of the certificates that are issued, as DER: which fields, which extensions, in which order.
//!
//! RFC 5280 §4 as Fulcio narrows it: empty subject, key usage digitalSignature, extended key usage codeSigning, both key
//! identifiers, one critical SAN, then the identity extensions; no basicConstraints. The CT slot is not written here.

use super::chain::CaChain;
use super::encode::{push_extension, push_header, push_tlv, tlv_len};
use super::reader::{INTEGER, OCTET_STRING, SEQUENCE};
use super::{key_identifier, oids};
use crate::environment::{Random, UnixMillis};
use crate::identity::{IdentityExtension, SubjectAltName, extensions::OTHER_NAME};
use der::asn1::{Any, Ia5String, Utf8StringRef};
use der::{DateTime, Decode, Encode};
use std::time::Duration;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::Time;

/// `[0] EXPLICIT INTEGER { v3(2) }`
const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];
/// A Name without relative distinguished names.
const EMPTY_NAME: [u8; 2] = [SEQUENCE, 0];
/// KeyUsage: BIT STRING with digitalSignature alone (RFC 5280 §4.2.1.3).
const DIGITAL_SIGNATURE: [u8; 4] = [3, 2, 7, 0x80];
/// ExtKeyUsageSyntax with id-kp-codeSigning alone (RFC 5280 §4.2.1.12).
const CODE_SIGNING: [u8; 12] = [SEQUENCE, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Milliseconds that fit into 48 bits and leave the number positive: until the year 6429.
const MAX_SERIAL_TIME: u64 = (1 << 47) - 1;

/// What the fields are made of.
pub(super) struct Contents<'a> {
    pub(super) chain: &'a CaChain,
    pub(super) name: &'a SubjectAltName,
    pub(super) identity: &'a [IdentityExtension],
    pub(super) spki: &'a [u8],
    pub(super) not_before: UnixMillis,
    pub(super) not_after: UnixMillis,
}

/// The content octets of a serial number: `now` as 48 bits of milliseconds, then 104 random bits; in the fewest octets,
/// which are 19 since 2004. Positive, and at most 20 octets (RFC 5280 §4.1.2.2). `None` when `now` leaves no room.
pub(super) fn serial(now: UnixMillis, random: &dyn Random) -> Option<Vec<u8>> {
    if now.0 > MAX_SERIAL_TIME {
        return None;
    }
    let mut octets = [0; 19];
    let (time, noise) = octets.split_at_mut(6);
    for (octet, milliseconds) in time.iter_mut().zip(now.0.to_be_bytes().into_iter().skip(2)) {
        *octet = milliseconds;
    }
    random.fill(noise);
    let zeros = octets.iter().take_while(|octet| **octet == 0).count().min(18);
    let significant: Vec<u8> = octets.into_iter().skip(zeros).collect();
    match significant.first() {
        // X.690 §8.3.2: the first bit is the sign.
        Some(0x80..) => Some([&[0], significant.as_slice()].concat()),
        _ => Some(significant),
    }
}

/// The first and the last second of a certificate of that lifetime; the last one never beyond the chain's. `None` when
/// the chain has ended or not begun, or ends in this very second.
pub(super) fn validity(
    chain: &CaChain,
    lifetime: Duration,
    now: UnixMillis,
) -> Option<(UnixMillis, UnixMillis)> {
    let not_before = UnixMillis::from_secs(now.as_secs());
    let wanted = UnixMillis::from_secs(now.as_secs().saturating_add(lifetime.as_secs()));
    let not_after = wanted.min(chain.not_after());
    (chain.not_before() <= not_before && not_before < not_after).then_some((not_before, not_after))
}

/// The fields of a TBSCertificate from version to subjectPublicKeyInfo (RFC 5280 §4.1).
pub(super) fn fields(serial: &[u8], contents: &Contents<'_>) -> der::Result<Vec<u8>> {
    let chain = contents.chain;
    let mut validity = Vec::with_capacity(34);
    time(contents.not_before)?.encode_to_vec(&mut validity)?;
    time(contents.not_after)?.encode_to_vec(&mut validity)?;
    let mut out = Vec::with_capacity(128 + chain.issuing_subject().len() + contents.spki.len());
    out.extend_from_slice(&VERSION_3);
    push_tlv(&mut out, INTEGER, serial);
    out.extend_from_slice(chain.algorithm().identifier());
    out.extend_from_slice(chain.issuing_subject());
    push_tlv(&mut out, SEQUENCE, &validity);
    out.extend_from_slice(&EMPTY_NAME);
    out.extend_from_slice(contents.spki);
    Ok(out)
}

/// Every extension but the CT slot, concatenated in the order of the profile.
pub(super) fn extensions(contents: &Contents<'_>) -> der::Result<Vec<u8>> {
    let subject_key_id = subject_key_identifier(contents.spki)?;
    let identity_len: usize = contents.identity.iter().map(|extension| extension.content.len() + 48).sum();
    let mut out = Vec::with_capacity(512 + identity_len);
    push_extension(&mut out, &oids::KEY_USAGE, true, &DIGITAL_SIGNATURE);
    push_extension(&mut out, &oids::EXTENDED_KEY_USAGE, false, &CODE_SIGNING);
    push_extension(&mut out, &oids::SUBJECT_KEY_ID, false, &subject_key_id);
    push_extension(&mut out, &oids::AUTHORITY_KEY_ID, false, contents.chain.authority_key_id_extension());
    // RFC 5280 §4.2.1.6: critical, since the subject is empty.
    push_extension(&mut out, &oids::SUBJECT_ALT_NAME, true, &subject_alt_name(contents.name)?);
    for extension in contents.identity {
        push_extension(&mut out, &extension.oid, false, &extension.content);
    }
    Ok(out)
}

/// The extension in the CT slot of a precertificate: critical, NULL (RFC 6962 §3.1).
pub(super) fn poison() -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    push_extension(&mut out, &oids::POISON, true, &[5, 0]);
    out
}

/// The extension in the CT slot of a certificate, with this one SCT: an OCTET STRING inside the extension's own, holding
/// `u16 total | u16 length | SCT` (RFC 6962 §3.3). `None` when the SCT is larger than that allows.
pub(super) fn sct_list(sct: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(sct.len()).ok()?;
    let total = length.checked_add(2)?;
    let mut value = Vec::with_capacity(sct.len() + 8);
    push_header(&mut value, OCTET_STRING, usize::from(total) + 2);
    value.extend_from_slice(&total.to_be_bytes());
    value.extend_from_slice(&length.to_be_bytes());
    value.extend_from_slice(sct);
    let mut out = Vec::with_capacity(tlv_len(value.len()) + 24);
    push_extension(&mut out, &oids::SCT_LIST, false, &value);
    Some(out)
}

/// UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5).
fn time(at: UnixMillis) -> der::Result<Time> {
    DateTime::from_unix_duration(Duration::from_secs(at.as_secs())).map(Time::from)
}

/// SubjectKeyIdentifier ::= OCTET STRING
fn subject_key_identifier(spki: &[u8]) -> der::Result<Vec<u8>> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki)?;
    let mut out = Vec::with_capacity(22);
    let identifier = key_identifier(spki.subject_public_key.raw_bytes());
    push_tlv(&mut out, OCTET_STRING, &identifier);
    Ok(out)
}

/// GeneralNames with one name.
fn subject_alt_name(name: &SubjectAltName) -> der::Result<Vec<u8>> {
    let name = match name {
        SubjectAltName::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
        SubjectAltName::Email(address) => GeneralName::Rfc822Name(Ia5String::new(address)?),
        SubjectAltName::OtherName(name) => GeneralName::OtherName(OtherName {
            type_id: OTHER_NAME,
            value: Any::encode_from(&Utf8StringRef::new(name)?)?,
        }),
    };
    vec![name].to_der()
}
