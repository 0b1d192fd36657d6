//! Whether a certificate was issued below authorities that a verifier trusts, at a time in the past (RFC 5280 §6.1).
//!
//! [`super::CaChain`] is the CA's own chain, held to this CA's profile. Here stand the chains of others: of a trusted root, for
//! signing certificates as for timestamps. Names, signatures, validity, basicConstraints, path lengths, key usage,
//! extended key usage and unknown critical extensions are checked. Revocation and policies are
//! not, and certificates with critical name constraints or policy constraints are refused.

use super::raw::{Malformed, RawCertificate};
use super::signature::{self, SignatureError};
use super::{oids, pem};
use crate::environment::UnixMillis;
use der::Decode;
use der::asn1::ObjectIdentifier;
use der::oid::db::rfc5280;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::name::Name;

/// The most certificates in a chain of authorities.
pub const MAX_LENGTH: usize = 16;

/// What the certificate at the end of a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing code: extended key usage codeSigning, among others perhaps.
    CodeSigning,
    /// Timestamps: extended key usage timeStamping, alone and critical (RFC 3161 §2.3).
    Timestamping,
}

impl Purpose {
    const fn usage(self) -> ObjectIdentifier {
        match self {
            Self::CodeSigning => oids::CODE_SIGNING,
            Self::Timestamping => rfc5280::ID_KP_TIME_STAMPING,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::CodeSigning => "codeSigning",
            Self::Timestamping => "timeStamping",
        }
    }
}

/// Why a path does not hold. The texts name the certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// These authorities did not issue it: another name, or another key.
    #[error("{0}")]
    NotIssued(String),
    /// It or an authority was not valid at that time.
    #[error("{certificate} is valid from {not_before} to {not_after}, not at {at}")]
    NotValid {
        /// Which.
        certificate: String,
        /// The first second.
        not_before: UnixMillis,
        /// The last second.
        not_after: UnixMillis,
        /// The time asked for.
        at: UnixMillis,
    },
    /// It or an authority may not be used for this.
    #[error("{0}")]
    Unfit(String),
    /// Something cannot be read.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// Authorities in the order of a trusted root: whoever issues first, the anchor last. The anchor is trusted as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities {
    certificates: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authorities({})", self.certificates.len())
    }
}

impl Authorities {
    /// Reads DER certificates; at least one, each of them readable. That they chain is found out on use.
    pub fn new(certificates: Vec<Vec<u8>>) -> Result<Self, Malformed> {
        if certificates.is_empty() {
            return Err(Malformed("it has no certificates".into()));
        }
        if certificates.len() > MAX_LENGTH {
            return Err(Malformed(format!("it has more than {MAX_LENGTH} certificates")));
        }
        for der in &certificates {
            RawCertificate::parse(der)?;
        }
        Ok(Self { certificates })
    }

    /// DER, whoever issues first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// DER SubjectPublicKeyInfo of the issuing authority.
    pub fn issuing_spki(&self) -> Result<&[u8], Malformed> {
        let der = self.certificates.first().ok_or_else(|| Malformed("no certificate".into()))?;
        Ok(RawCertificate::parse(der)?.tbs.spki)
    }

    /// Whether the first one issued the certificate, by name and signature, and nothing else.
    pub fn have_issued(&self, certificate: &RawCertificate<'_>) -> Result<(), PathError> {
        let der = self.certificates.first().ok_or_else(|| Malformed("no certificate".into()))?;
        issued_by("the certificate", certificate, &RawCertificate::parse(der)?)
    }

    /// Verifies the path from a DER certificate to the anchor, at a time, for a purpose.
    pub fn verify(&self, certificate: &[u8], purpose: Purpose, at: UnixMillis) -> Result<(), PathError> {
        let leaf = RawCertificate::parse(certificate)?;
        let chain =
            self.certificates.iter().map(|der| RawCertificate::parse(der)).collect::<Result<Vec<_>, _>>()?;
        let mut below = ("the certificate".to_owned(), &leaf);
        let mut intermediates = 0_usize;
        for authority in &chain {
            let title = title(authority);
            issued_by(&below.0, below.1, authority)?;
            check_authority(&title, authority, intermediates, purpose)?;
            // RFC 5280 §6.1.4 (l): self-issued certificates do not count.
            intermediates += usize::from(authority.tbs.issuer != authority.tbs.subject);
            below = (title, authority);
        }
        check_leaf(&leaf, purpose)?;
        valid_at("the certificate", &leaf, at)?;
        chain.iter().try_for_each(|authority| valid_at(&title(authority), authority, at))
    }
}

fn title(certificate: &RawCertificate<'_>) -> String {
    match Name::from_der(certificate.tbs.subject) {
        Ok(name) => format!("the CA certificate `{name}`"),
        Err(_) => "a CA certificate".to_owned(),
    }
}

fn issued_by(title: &str, below: &RawCertificate<'_>, issuer: &RawCertificate<'_>) -> Result<(), PathError> {
    if below.tbs.issuer != issuer.tbs.subject {
        return Err(PathError::NotIssued(format!("{title} names another issuer than the trusted one")));
    }
    signature::verify(issuer.tbs.spki, below.algorithm, below.tbs_der, below.signature).map_err(|error| {
        match error {
            SignatureError::Wrong => {
                PathError::NotIssued(format!("{title} is not signed by the key of its issuer"))
            }
            other => PathError::Unfit(format!("{title}: {other}")),
        }
    })
}

fn check_authority(
    title: &str,
    authority: &RawCertificate<'_>,
    below: usize,
    purpose: Purpose,
) -> Result<(), PathError> {
    let unfit = |words: &str| Err(PathError::Unfit(format!("{title} {words}")));
    let tbs = &authority.tbs;
    let Some(constraints) = tbs.decoded::<BasicConstraints>()?.filter(|constraints| constraints.ca) else {
        return unfit("is no CA's (basicConstraints lacks CA:TRUE)");
    };
    if constraints.path_len_constraint.is_some_and(|limit| usize::from(limit) < below) {
        return unfit("has a pathLenConstraint that forbids so many certificates below it");
    }
    if tbs.decoded::<KeyUsage>()?.is_some_and(|usage| !usage.key_cert_sign()) {
        return unfit("may not sign certificates (keyUsage lacks keyCertSign)");
    }
    if let Some(usages) = tbs.decoded::<ExtendedKeyUsage>()?
        && !usages.0.iter().any(|usage| *usage == purpose.usage() || *usage == oids::ANY_USAGE)
    {
        return unfit(&format!("is not for this use (extendedKeyUsage lacks {})", purpose.name()));
    }
    let mut critical = tbs.extensions.iter().filter(|extension| extension.critical);
    match critical.find_map(|extension| oids::objection_in_ca(extension.oid)) {
        Some(objection) => unfit(&format!("has {objection}")),
        None => Ok(()),
    }
}

fn check_leaf(leaf: &RawCertificate<'_>, purpose: Purpose) -> Result<(), PathError> {
    let unfit = |words: String| Err(PathError::Unfit(format!("the certificate {words}")));
    let tbs = &leaf.tbs;
    if tbs.decoded::<BasicConstraints>()?.is_some_and(|constraints| constraints.ca) {
        return unfit("is a CA's".into());
    }
    if tbs.extension(oids::POISON).is_some() {
        return unfit("is a precertificate".into());
    }
    // RFC 3161 leaves the key usage open: a timestamp is a signature, and evidence.
    let may_sign = |usage: KeyUsage| {
        usage.digital_signature() || purpose == Purpose::Timestamping && usage.non_repudiation()
    };
    if tbs.decoded::<KeyUsage>()?.is_some_and(|usage| !may_sign(usage)) {
        return unfit("may not sign (keyUsage lacks digitalSignature)".into());
    }
    let usages = tbs.decoded::<ExtendedKeyUsage>()?.map(|usages| usages.0).unwrap_or_default();
    if !usages.contains(&purpose.usage()) {
        return unfit(format!("is not for this use (extendedKeyUsage lacks {})", purpose.name()));
    }
    let critical = tbs.extension(oids::EXTENDED_KEY_USAGE).is_some_and(|extension| extension.critical);
    if purpose == Purpose::Timestamping && (usages.len() != 1 || !critical) {
        return unfit("has an extendedKeyUsage that is not timeStamping alone and critical".into());
    }
    let unknown = |oid| !oids::UNDERSTOOD_IN_LEAF.contains(&oid);
    match tbs.extensions.iter().find(|extension| extension.critical && unknown(extension.oid)) {
        Some(extension) => unfit(format!("has the unknown critical extension {}", extension.oid)),
        None => Ok(()),
    }
}

fn valid_at(title: &str, certificate: &RawCertificate<'_>, at: UnixMillis) -> Result<(), PathError> {
    let (not_before, not_after) = (certificate.tbs.not_before, certificate.tbs.not_after);
    let second = UnixMillis::from_secs(at.as_secs());
    if second < not_before || second > not_after {
        return Err(PathError::NotValid { certificate: title.to_owned(), not_before, not_after, at });
    }
    Ok(())
}

/// Whether a DER certificate is a CA's.
pub fn is_ca(der: &[u8]) -> Result<bool, Malformed> {
    let raw = RawCertificate::parse(der)?;
    Ok(raw.tbs.decoded::<BasicConstraints>()?.is_some_and(|constraints| constraints.ca))
}

/// Whether a DER certificate names itself as its issuer, as roots do.
pub fn is_self_issued(der: &[u8]) -> Result<bool, Malformed> {
    let raw = RawCertificate::parse(der)?;
    Ok(raw.tbs.issuer == raw.tbs.subject)
}

/// The DER of the one certificate or public key that a log entry carries as PEM.
pub fn verifier_der(pem: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut blocks = pem::blocks(pem).map_err(Malformed)?;
    match (blocks.pop(), blocks.is_empty()) {
        (Some(block), true) => Ok(block.der.to_vec()),
        _ => Err(Malformed("not one PEM block".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOW};
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_path_holds_for_its_purpose_while_all_of_it_is_valid() {
        let chain = testing::chain();
        let leaf = testing::issue(&chain, NOW);
        let authorities = Authorities::new(chain.certificates().to_vec()).unwrap();
        assert_eq!(authorities.verify(leaf.der(), Purpose::CodeSigning, NOW), Ok(()));
        assert_eq!(authorities.issuing_spki(), Ok(chain.issuing_spki()));
        let late =
            authorities.verify(leaf.der(), Purpose::CodeSigning, NOW.plus(Duration::from_secs(86_400)));
        assert!(matches!(late, Err(PathError::NotValid { .. })));
        let other_use = authorities.verify(leaf.der(), Purpose::Timestamping, NOW);
        assert!(matches!(other_use, Err(PathError::Unfit(_))));
        let root = Authorities::new(chain.certificates()[1..].to_vec()).unwrap();
        let skipped = root.verify(leaf.der(), Purpose::CodeSigning, NOW);
        assert!(matches!(skipped, Err(PathError::NotIssued(_))));
        let ca = root.verify(&chain.certificates()[0], Purpose::CodeSigning, NOW);
        assert_eq!(ca, Err(PathError::Unfit("the certificate is a CA's".into())));
    }

    #[test]
    fn limits_that_are_not_evaluated_are_refused_where_they_are_critical() {
        use rcgen::{CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
        let verified = |arc: u64, critical: bool| {
            let params = |name: &str| {
                let mut params = CertificateParams::default();
                params.not_before = rcgen::date_time_ymd(2026, 1, 1);
                params.not_after = rcgen::date_time_ymd(2030, 1, 1);
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, name);
                params
            };
            let mut ca = params("ca");
            ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, arc], vec![0x30, 0]);
            extension.set_criticality(critical);
            ca.custom_extensions = vec![extension];
            let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
            let anchor = ca.self_signed(&ca_key).unwrap().der().to_vec();
            let mut leaf = params("leaf");
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
            let leaf = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap();
            Authorities::new(vec![anchor]).unwrap().verify(leaf.der(), Purpose::CodeSigning, NOW)
        };
        for (arc, name) in [(30, "nameConstraints"), (36, "policyConstraints")] {
            let Err(PathError::Unfit(words)) = verified(arc, true) else { panic!("{name} was taken") };
            assert!(words.contains(name), "{words}");
        }
        // certificatePolicies, policyMappings, inhibitAnyPolicy
        for arc in [32, 33, 54] {
            assert_eq!(verified(arc, true), Ok(()), "{arc}");
        }
        assert_eq!(verified(30, false), Ok(()));
    }

    #[test]
    fn only_readable_certificates_are_authorities() {
        assert!(Authorities::new(Vec::new()).is_err());
        assert!(Authorities::new(vec![vec![0x30, 0]]).is_err());
        let root = testing::chain().certificates()[1].clone();
        assert!(Authorities::new(vec![root.clone(); MAX_LENGTH + 1]).is_err());
        assert_eq!((is_ca(&root), is_self_issued(&root)), (Ok(true), Ok(true)));
    }
}
