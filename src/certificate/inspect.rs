//! Reading certificates back: what `inspect` and `verify` show.
//!
//! Everything read here may be hostile. Whether an SCT's signature holds is not decided here: [`Inspected::sct_list`] and
//! [`Inspected::logged_tbs`] are what that needs.

use super::raw::{Malformed, RawCertificate, RawTbs, without_extension};
use super::signature::PublicKeyKind;
use super::{oids, pem};
use crate::environment::UnixMillis;
use crate::transparency::{Hash, sha256};
use der::Decode;
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, Utf8StringRef};
use std::fmt;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;

/// The largest file of certificates that is read, in octets.
pub const MAX_FILE: usize = 1024 * 1024;

/// Fulcio's arc of identity extensions. Below it `.1` to `.6` are raw text, the others DER.
const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

/// Extensions with a meaning of their own, and so not among [`Inspected::identity_extensions`].
const STANDARD: [ObjectIdentifier; 8] = [
    oids::KEY_USAGE,
    oids::EXTENDED_KEY_USAGE,
    oids::SUBJECT_KEY_ID,
    oids::AUTHORITY_KEY_ID,
    oids::SUBJECT_ALT_NAME,
    oids::BASIC_CONSTRAINTS,
    oids::SCT_LIST,
    oids::POISON,
];

/// A certificate, decoded for people.
#[derive(Clone)]
pub struct Inspected {
    der: Vec<u8>,
    serial: String,
    not_before: UnixMillis,
    not_after: UnixMillis,
    issuer: Name,
    subject: Name,
    spki: Vec<u8>,
    public_key: PublicKeyKind,
    names: Vec<AlternativeName>,
    key_usage: Vec<&'static str>,
    extended_key_usages: Vec<ObjectIdentifier>,
    is_ca: bool,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    identity_extensions: Vec<ExtensionValue>,
    sct_list: Option<Vec<u8>>,
    is_precertificate: bool,
}

/// One of the names in subjectAltName (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// uniformResourceIdentifier
    Uri(String),
    /// rfc822Name
    Email(String),
    /// dNSName
    Dns(String),
    /// otherName with a text.
    Other {
        /// type-id
        oid: ObjectIdentifier,
        /// The UTF8String.
        text: String,
    },
    /// Any other kind, not shown.
    Unknown,
}

/// An extension that says something of the identity, or at least nothing of the certificate itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionValue {
    /// Its object identifier; [`crate::identity::extensions`] knows names.
    pub oid: ObjectIdentifier,
    /// Whether it is critical; identity extensions never are.
    pub critical: bool,
    /// The octets inside the OCTET STRING.
    pub content: Vec<u8>,
}

impl ExtensionValue {
    /// The text: `content` itself for Fulcio's `.1` to `.6`, the DER UTF8String in it for all others. `None` when it is
    /// neither.
    pub fn text(&self) -> Option<&str> {
        // An arc below 128 is one octet.
        if let Some([1..=6]) = self.oid.as_bytes().strip_prefix(FULCIO.as_bytes()) {
            return std::str::from_utf8(&self.content).ok();
        }
        let value = AnyRef::from_der(&self.content).ok()?;
        value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str())
    }
}

impl Inspected {
    /// The first certificate of a file, PEM or DER.
    pub fn parse(file: &[u8]) -> Result<Self, Malformed> {
        let mut all = Self::parse_all(file)?;
        Ok(all.swap_remove(0)) // never empty
    }

    /// Every certificate of a PEM file, at least one, other blocks left out; or the one of a DER file.
    pub fn parse_all(file: &[u8]) -> Result<Vec<Self>, Malformed> {
        if file.len() > MAX_FILE {
            return Err(Malformed(format!("larger than {MAX_FILE} octets")));
        }
        if file.first() == Some(&super::reader::SEQUENCE) {
            return Ok(vec![Self::from_der(file)?]);
        }
        let blocks = pem::blocks(file).map_err(Malformed)?;
        let certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE");
        let all: Vec<Self> =
            certificates.map(|block| Self::from_der(&block.der)).collect::<Result<_, _>>()?;
        if all.is_empty() {
            return Err(Malformed("there is no certificate in it, neither PEM nor DER".into()));
        }
        Ok(all)
    }

    /// A DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, Malformed> {
        let raw = RawCertificate::parse(der)?;
        let tbs = &raw.tbs;
        Ok(Self {
            serial: hex::encode(tbs.serial),
            not_before: tbs.not_before,
            not_after: tbs.not_after,
            issuer: Name::from_der(tbs.issuer)?,
            subject: Name::from_der(tbs.subject)?,
            spki: tbs.spki.to_vec(),
            public_key: PublicKeyKind::of(tbs.spki)?,
            names: alternative_names(tbs)?,
            key_usage: tbs.decoded::<KeyUsage>()?.map(key_usages).unwrap_or_default(),
            extended_key_usages: tbs
                .decoded::<ExtendedKeyUsage>()?
                .map(|usages| usages.0)
                .unwrap_or_default(),
            is_ca: tbs.decoded::<BasicConstraints>()?.is_some_and(|constraints| constraints.ca),
            subject_key_id: tbs.decoded::<SubjectKeyIdentifier>()?.map(|id| id.0.as_bytes().to_vec()),
            authority_key_id: tbs
                .decoded::<AuthorityKeyIdentifier>()?
                .and_then(|authority| authority.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            identity_extensions: identity_extensions(tbs),
            sct_list: sct_list(tbs)?,
            is_precertificate: tbs.extension(oids::POISON).is_some(),
            der: der.to_vec(),
        })
    }

    /// Its DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM, ending in a newline.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> Hash {
        sha256(&self.der)
    }

    /// The serial number's octets in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The first second of its validity.
    pub fn not_before(&self) -> UnixMillis {
        self.not_before
    }

    /// The last second of its validity.
    pub fn not_after(&self) -> UnixMillis {
        self.not_after
    }

    /// The issuer's name (RFC 4514).
    pub fn issuer(&self) -> String {
        self.issuer.to_string()
    }

    /// The subject's name (RFC 4514); empty in what this CA issues.
    pub fn subject(&self) -> String {
        self.subject.to_string()
    }

    /// The organization in the subject's name; CA certificates have one.
    pub fn subject_organization(&self) -> Option<String> {
        self.subject.organization().ok().flatten().map(|text| text.value().into_owned())
    }

    /// The common name in the subject's name; CA certificates have one.
    pub fn subject_common_name(&self) -> Option<String> {
        self.subject.common_name().ok().flatten().map(|text| text.value().into_owned())
    }

    /// DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// What sort of key it certifies.
    pub fn public_key(&self) -> PublicKeyKind {
        self.public_key
    }

    /// The subject alternative names; one in what this CA issues.
    pub fn names(&self) -> &[AlternativeName] {
        &self.names
    }

    /// The key usages, by the names of RFC 5280 §4.2.1.3.
    pub fn key_usage(&self) -> &[&'static str] {
        &self.key_usage
    }

    /// The extended key usages.
    pub fn extended_key_usages(&self) -> &[ObjectIdentifier] {
        &self.extended_key_usages
    }

    /// Whether it may be used to sign code.
    pub fn is_for_code_signing(&self) -> bool {
        self.extended_key_usages.contains(&oids::CODE_SIGNING)
    }

    /// Whether it is a CA's.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether it is a precertificate, of no use but to be logged.
    pub fn is_precertificate(&self) -> bool {
        self.is_precertificate
    }

    /// The subjectKeyIdentifier.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }

    /// The authorityKeyIdentifier's key identifier.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }

    /// The extensions that carry the identity, in the order of the certificate: all that are not part of X.509's own
    /// machinery and not of Certificate Transparency.
    pub fn identity_extensions(&self) -> &[ExtensionValue] {
        &self.identity_extensions
    }

    /// The TLS-encoded SignedCertificateTimestampList, `u16 total | (u16 length | SCT)*` (RFC 6962 §3.3).
    pub fn sct_list(&self) -> Option<&[u8]> {
        self.sct_list.as_deref()
    }

    /// The TBSCertificate as the log hashes it and an SCT signs it: without SCT list or, in a precertificate, without
    /// poison (RFC 6962 §3.2).
    pub fn logged_tbs(&self) -> Result<Vec<u8>, Malformed> {
        let slot = if self.is_precertificate { oids::POISON } else { oids::SCT_LIST };
        without_extension(RawCertificate::parse(&self.der)?.tbs_der, slot)
    }
}

impl fmt::Debug for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspected").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(text) | Self::Email(text) | Self::Dns(text) | Self::Other { text, .. } => {
                f.write_str(text)
            }
            Self::Unknown => f.write_str("(a name of another kind)"),
        }
    }
}

/// The names of the bits (RFC 5280 §4.2.1.3).
fn key_usages(usage: KeyUsage) -> Vec<&'static str> {
    let bits = [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ];
    bits.into_iter().filter_map(|(set, name)| set.then_some(name)).collect()
}

fn alternative_names(tbs: &RawTbs<'_>) -> Result<Vec<AlternativeName>, Malformed> {
    let names = tbs.decoded::<SubjectAltName>()?.map(|names| names.0).unwrap_or_default();
    Ok(names.into_iter().map(alternative_name).collect())
}

fn alternative_name(name: GeneralName) -> AlternativeName {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => AlternativeName::Uri(uri.to_string()),
        GeneralName::Rfc822Name(email) => AlternativeName::Email(email.to_string()),
        GeneralName::DnsName(host) => AlternativeName::Dns(host.to_string()),
        GeneralName::OtherName(other) => match other.value.decode_as::<Utf8StringRef<'_>>() {
            Ok(text) => AlternativeName::Other { oid: other.type_id, text: text.as_str().to_owned() },
            Err(_) => AlternativeName::Unknown,
        },
        _ => AlternativeName::Unknown,
    }
}

fn identity_extensions(tbs: &RawTbs<'_>) -> Vec<ExtensionValue> {
    let mut found = Vec::with_capacity(tbs.extensions.len());
    found.extend(tbs.extensions.iter().filter(|extension| !STANDARD.contains(&extension.oid)).map(
        |extension| {
            let content = extension.value.to_vec();
            ExtensionValue { oid: extension.oid, critical: extension.critical, content }
        },
    ));
    found
}

/// The list inside the OCTET STRING inside the extension's OCTET STRING.
fn sct_list(tbs: &RawTbs<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    match tbs.extension(oids::SCT_LIST) {
        Some(extension) => Ok(Some(<&OctetStringRef>::from_der(extension.value)?.as_bytes().to_vec())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOW};
    use super::*;

    fn issued() -> Inspected {
        Inspected::from_der(testing::issue(&testing::chain(), NOW).der()).unwrap()
    }

    #[test]
    fn every_identity_extension_is_read_with_its_text() {
        let expected = testing::identity_extensions();
        let inspected = issued();
        let shown = inspected.identity_extensions();
        assert_eq!(shown.len(), expected.len());
        for (shown, expected) in shown.iter().zip(expected) {
            assert_eq!(
                (shown.oid, &shown.content[..], shown.critical),
                (expected.oid, &expected.content[..], false)
            );
        }
        let texts: Vec<_> = shown.iter().map(|extension| extension.text().unwrap()).collect();
        assert_eq!(texts[..2], ["https://gitlab.example.com"; 2]);
        assert_eq!(texts[2..4], [testing::NAME, "refs/heads/größe"]);
        assert_eq!(texts[5], "group/project");
    }

    #[test]
    fn text_is_raw_up_to_fulcios_sixth_extension_and_der_from_then_on() {
        let fulcio = |arc| FULCIO.push_arc(arc).unwrap();
        let text = |oid, content: &[u8]| {
            let value = ExtensionValue { oid, critical: false, content: content.to_vec() };
            value.text().map(str::to_owned)
        };
        let der = [0x0c, 2, b'h', b'i'];
        assert_eq!(text(fulcio(6), b"hi").as_deref(), Some("hi"));
        assert_eq!(text(fulcio(8), b"hi"), None);
        assert_eq!(text(fulcio(8), &der).as_deref(), Some("hi"));
        assert_eq!(text(FULCIO, &der).as_deref(), Some("hi"));
        assert_eq!(text(fulcio(1), &[0xff]), None);
        assert_eq!(text(fulcio(9), &[0x0c, 1, 0xff]), None);
        assert_eq!(text(fulcio(9), &[0x0c, 2, b'h', b'i', 0]), None);
    }

    #[test]
    fn pem_and_der_read_alike_and_a_bundle_gives_all() {
        let certificate = testing::issue(&testing::chain(), NOW);
        let pem = certificate.pem();
        assert!(pem.ends_with("-----END CERTIFICATE-----"));
        assert_eq!(Inspected::parse(pem.as_bytes()).unwrap().der(), certificate.der());
        assert_eq!(Inspected::parse(certificate.der()).unwrap().der(), certificate.der());
        let bundle = format!("a key\n{}{pem}\n{}", testing::ISSUING_KEY, testing::CHAIN);
        let all = Inspected::parse_all(bundle.as_bytes()).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[1].pem() + &all[2].pem(), testing::CHAIN);
        assert_eq!(all[1].subject_common_name().as_deref(), Some("Example issuing CA"));
        assert_eq!(all[2].subject_organization().as_deref(), Some("Example"));
        assert_eq!((all[1].public_key(), all[2].public_key()), (PublicKeyKind::P256, PublicKeyKind::P384));
        assert_eq!(all[1].key_usage(), ["keyCertSign", "cRLSign"]);
        assert!(Inspected::parse(b"").is_err() && Inspected::parse(testing::ISSUING_KEY.as_bytes()).is_err());
    }
}
