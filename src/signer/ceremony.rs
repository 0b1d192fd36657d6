//! Makes what a new CA needs: a root, an issuing certificate, and the keys of both and of the log;
//! and a timestamp authority under the same root.
//!
//! The shape is what Fulcio's clients know: a root without extended key usage that may have one CA below it, an issuing
//! certificate for code signing that may have none, a certificate for timestamps alone. rcgen draws its own randomness.

use crate::certificate::pem;
use crate::environment::UnixMillis;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    SignatureAlgorithm,
};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long the root is valid: ten years of 365.25 days.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(315_576_000);
/// How long the issuing certificate is valid: five of them.
pub const ISSUING_LIFETIME: Duration = Duration::from_secs(157_788_000);

/// ExtKeyUsageSyntax with id-kp-timeStamping alone (RFC 3161 §2.3), which rcgen cannot mark as critical.
const TIME_STAMPING: [u8; 12] = [0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8];
/// id-ce-extKeyUsage
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];

/// Validity begins that much earlier, so that a machine whose clock is a little slow can start at once.
const BACKDATE: Duration = Duration::from_secs(300);

/// The longest organization, in characters: a common name made of it has at most 64 (RFC 5280 §A.1, ub-common-name).
const MAX_ORGANIZATION: usize = 53;

/// The role in the common name of the timestamp authority.
const TIMESTAMPS: &str = "timestamps";

/// Curve of the issuing key. The root's is always P-384, the log's P-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IssuingCurve {
    /// Fast, and every client verifies it.
    #[default]
    P256,
    /// Slower, for who wants the root's strength all the way.
    P384,
}

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// `O` in the names of both certificates, `CN` is `{organization} root` and `{organization} issuing CA`.
    pub organization: String,
    /// Curve of the issuing key.
    pub issuing_curve: IssuingCurve,
}

impl Default for Options {
    fn default() -> Self {
        Self { organization: "countersign".into(), issuing_curve: IssuingCurve::default() }
    }
}

/// Everything of a new CA, as PEM; keys as PKCS#8.
pub struct NewCa {
    /// The root certificate.
    pub root: String,
    /// The issuing certificate.
    pub issuing: String,
    /// The root's key: needed again only for the next issuing certificate, so keep it off the machine.
    pub root_key: Zeroizing<String>,
    /// The issuing certificate's key.
    pub issuing_key: Zeroizing<String>,
    /// The log's key.
    pub log_key: Zeroizing<String>,
    /// The timestamp authority's certificate, issued by the root, valid as long as the issuing one.
    pub timestamps: String,
    /// The timestamp authority's key, P-256.
    pub timestamps_key: Zeroizing<String>,
    /// The signature log's key, Ed25519.
    pub signature_log_key: Zeroizing<String>,
}

/// Why there is no new CA.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The organization cannot stand in a name.
    #[error(
        "the organization must have 1 to {MAX_ORGANIZATION} characters, none of them a control character"
    )]
    Organization,
    /// The clock is too far off to make certificates that live for years.
    #[error("the clock says {0}, which is no time to make a CA")]
    Clock(UnixMillis),
    /// rcgen failed.
    #[error("cannot make keys and certificates: {0}")]
    Crypto(#[from] rcgen::Error),
}

impl NewCa {
    /// Makes it; validity begins five minutes before `now`.
    pub fn make(options: &Options, now: UnixMillis) -> Result<Self, CeremonyError> {
        let organization = options.organization.as_str();
        if !(1..=MAX_ORGANIZATION).contains(&organization.chars().count())
            || organization.chars().any(char::is_control)
        {
            return Err(CeremonyError::Organization);
        }
        let issuing_algorithm = match options.issuing_curve {
            IssuingCurve::P256 => &PKCS_ECDSA_P256_SHA256,
            IssuingCurve::P384 => &PKCS_ECDSA_P384_SHA384,
        };
        let root_key = new_key(&PKCS_ECDSA_P384_SHA384)?;
        let issuing_key = new_key(issuing_algorithm)?;
        let root = root_params(organization, now)?;
        let issuing = issuing_params(organization, now)?;
        let root_certificate = root.self_signed(&*root_key)?;
        let issuing_certificate =
            issuing.signed_by(&*issuing_key, &Issuer::from_params(&root, &*root_key))?;
        let timestamps_key = new_key(&PKCS_ECDSA_P256_SHA256)?;
        let timestamps_certificate = timestamps_params(organization, now)?
            .signed_by(&*timestamps_key, &Issuer::from_params(&root, &*root_key))?;
        Ok(Self {
            root: pem::encode("CERTIFICATE", root_certificate.der()),
            issuing: pem::encode("CERTIFICATE", issuing_certificate.der()),
            root_key: key_pem(&root_key),
            issuing_key: key_pem(&issuing_key),
            log_key: key_pem(&*new_key(&PKCS_ECDSA_P256_SHA256)?),
            timestamps: pem::encode("CERTIFICATE", timestamps_certificate.der()),
            timestamps_key: key_pem(&timestamps_key),
            signature_log_key: ed25519_pem(&*new_key(&PKCS_ED25519)?),
        })
    }

    /// The chain file: issuing certificate first, root last.
    pub fn chain(&self) -> String {
        format!("{}{}", self.issuing, self.root)
    }

    /// The timestamp authority's chain file: its certificate first, root last.
    pub fn timestamps_chain(&self) -> String {
        format!("{}{}", self.timestamps, self.root)
    }
}

/// A key whose DER is wiped when it is dropped; aws-lc wipes its own form of it.
fn new_key(algorithm: &'static SignatureAlgorithm) -> Result<Zeroizing<KeyPair>, rcgen::Error> {
    KeyPair::generate_for(algorithm).map(Zeroizing::new)
}

/// PKCS#8 in PEM. rcgen's own would leave a copy behind.
fn key_pem(key: &KeyPair) -> Zeroizing<String> {
    Zeroizing::new(pem::encode("PRIVATE KEY", key.serialized_der()))
}

/// The seed alone (RFC 8410 §7): with the public key beside it (RFC 5958, version 2), as rcgen has it, other tools do not read it.
fn ed25519_pem(key: &KeyPair) -> Zeroizing<String> {
    const PREFIX: [u8; 16] = [0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32];
    // Version 2 has the same layout up to the seed's end.
    let seed = key.serialized_der().get(PREFIX.len()..PREFIX.len() + 32).unwrap_or_default();
    let der = Zeroizing::new([&PREFIX, seed].concat());
    Zeroizing::new(pem::encode("PRIVATE KEY", &der))
}

fn root_params(organization: &str, now: UnixMillis) -> Result<CertificateParams, CeremonyError> {
    let mut params = ca_params(organization, "root", now, ROOT_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    Ok(params)
}

fn issuing_params(organization: &str, now: UnixMillis) -> Result<CertificateParams, CeremonyError> {
    let mut params = ca_params(organization, "issuing CA", now, ISSUING_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// RFC 3161 §2.3: for timestamps alone, and critical.
fn timestamps_params(organization: &str, now: UnixMillis) -> Result<CertificateParams, CeremonyError> {
    let mut params = params(organization, TIMESTAMPS, now, ISSUING_LIFETIME)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut usage = CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, TIME_STAMPING.to_vec());
    usage.set_criticality(true);
    params.custom_extensions = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What the CA certificates have in common.
fn ca_params(
    organization: &str,
    role: &str,
    now: UnixMillis,
    lifetime: Duration,
) -> Result<CertificateParams, CeremonyError> {
    let mut params = params(organization, role, now, lifetime)?;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// What all have in common.
fn params(
    organization: &str,
    role: &str,
    now: UnixMillis,
    lifetime: Duration,
) -> Result<CertificateParams, CeremonyError> {
    let mut params = CertificateParams::default();
    let begin = now.as_secs().saturating_sub(BACKDATE.as_secs());
    let end = begin.saturating_add(lifetime.as_secs());
    // Certificates end with the year 9999 (RFC 5280 §4.1.2.5), and so does the type.
    if der::DateTime::from_unix_duration(Duration::from_secs(end)).is_err() {
        return Err(CeremonyError::Clock(now));
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(begin);
    params.not_after = epoch + Duration::from_secs(end);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, format!("{organization} {role}"));
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::inspect::Inspected;
    use crate::certificate::testing::NOW;
    use crate::certificate::{CaChain, PublicKeyKind, TimestampChain};

    #[test]
    fn a_new_ca_is_a_chain_with_the_shape_that_clients_know() {
        let options = Options { organization: "Müller & Co".into(), ..Options::default() };
        let ca = NewCa::make(&options, NOW).unwrap();
        let chain = CaChain::from_pem(ca.chain().as_bytes()).unwrap();
        let issuing = Inspected::parse(ca.issuing.as_bytes()).unwrap();
        let root = Inspected::parse(ca.root.as_bytes()).unwrap();
        assert_eq!((issuing.public_key(), root.public_key()), (PublicKeyKind::P256, PublicKeyKind::P384));
        assert!(issuing.is_for_code_signing() && root.extended_key_usages().is_empty());
        for (certificate, common_name) in [(&issuing, "Müller & Co issuing CA"), (&root, "Müller & Co root")]
        {
            assert!(certificate.is_ca());
            assert_eq!(certificate.key_usage(), ["keyCertSign", "cRLSign"]);
            assert_eq!(certificate.subject_organization().as_deref(), Some("Müller & Co"));
            assert_eq!(certificate.subject_common_name().as_deref(), Some(common_name));
        }
        assert_eq!(issuing.authority_key_id(), root.subject_key_id());
        let begin = UnixMillis::from_secs(NOW.as_secs() - 300);
        assert_eq!(root.not_after().since(begin), ROOT_LIFETIME);
        assert_eq!((chain.not_before(), chain.not_after()), (begin, begin.plus(ISSUING_LIFETIME)));
        // The issuing certificate may have no CA below it, the root one.
        assert!(chain.certificates().iter().zip([0, 1]).all(|(der, limit)| {
            let constraints = [0x30, 6, 1, 1, 0xff, 2, 1, limit];
            der.windows(constraints.len()).any(|window| window == constraints)
        }));
    }

    #[test]
    fn the_timestamp_authority_stands_under_the_same_root_for_timestamps_alone() {
        let ca = NewCa::make(&Options::default(), NOW).unwrap();
        let chain = TimestampChain::from_pem(ca.timestamps_chain().as_bytes()).unwrap();
        chain.check_validity(NOW).unwrap();
        let certificate = Inspected::parse(ca.timestamps.as_bytes()).unwrap();
        assert_eq!(certificate.public_key(), PublicKeyKind::P256);
        assert_eq!(certificate.key_usage(), ["digitalSignature"]);
        assert_eq!(certificate.subject_common_name().as_deref(), Some("countersign timestamps"));
        assert!(!certificate.is_ca());
        let root = Inspected::parse(ca.root.as_bytes()).unwrap();
        assert_eq!(certificate.authority_key_id(), root.subject_key_id());
    }

    #[test]
    fn every_ceremony_makes_other_keys() {
        let [one, two] = [(), ()].map(|()| NewCa::make(&Options::default(), NOW).unwrap());
        let keys = [&one, &two]
            .map(|ca| [&*ca.root_key, &*ca.issuing_key, &*ca.log_key, &*ca.timestamps_key])
            .concat();
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), 8);
        assert!(
            keys.iter().all(|key| key.starts_with("-----BEGIN PRIVATE KEY-----\n") && key.ends_with('\n'))
        );
    }

    #[test]
    fn names_and_times_that_do_not_fit_are_refused() {
        let make = |organization: &str, now| {
            let options = Options { organization: organization.into(), ..Options::default() };
            NewCa::make(&options, now).map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(make(&"ä".repeat(53), NOW).is_ok());
        for organization in ["", &"ä".repeat(54), "a\nb"] {
            assert!(make(organization, NOW).unwrap_err().contains("1 to 53 characters"));
        }
        assert!(make("o", UnixMillis(u64::MAX)).unwrap_err().contains("no time to make a CA"));
        assert!(make("o", UnixMillis(0)).is_ok());
    }
}
