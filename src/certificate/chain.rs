//! The CA's own certificates: the issuing one first, the root last (RFC 5280 §6.1, for a chain that never changes).
//!
//! Everything is checked once, when the chain is read, and what every certificate needs of it is prepared then.
//! Revocation and policies are not looked at; critical name constraints and policy constraints are refused.

use super::algorithm::CaAlgorithm;
use super::encode;
use super::link::{Link, check_links};
use super::oids;
use super::pem;
use super::reader::SEQUENCE;
use crate::environment::UnixMillis;
use crate::transparency::{Hash, sha256};
use std::fmt;
use std::sync::Arc;

/// The largest chain file that is read, in octets.
pub const MAX_CHAIN_FILE: usize = 256 * 1024;

/// The most certificates in a chain: log entries and every answer carry them all.
pub const MAX_CHAIN_LENGTH: usize = 8;

/// Why a chain cannot be used to issue. The texts are for operators: which certificate, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The file is not a list of certificates.
    #[error("the chain of CA certificates cannot be read: {0}")]
    Unreadable(String),
    /// One of them cannot stand where it stands.
    #[error("{certificate}: {problem}")]
    Unusable {
        /// Its place in the file and its subject.
        certificate: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// One of them has expired.
    #[error("{certificate}: expired at {not_after}; renew it, or issue from another chain")]
    Expired {
        /// Its place in the file and its subject.
        certificate: String,
        /// The last second of its validity.
        not_after: UnixMillis,
    },
    /// One of them is not valid yet.
    #[error("{certificate}: not valid before {not_before}; wait, or set the machine's clock right")]
    NotYetValid {
        /// Its place in the file and its subject.
        certificate: String,
        /// The first second of its validity.
        not_before: UnixMillis,
    },
}

/// A chain that chains: every certificate is signed by the next, the last by itself.
#[derive(Clone)]
pub struct CaChain {
    certificates: Vec<Vec<u8>>,
    pem: Vec<String>,
    fingerprints: Arc<[Hash]>,
    /// Place and subject of each, for messages.
    titles: Vec<String>,
    validities: Vec<(UnixMillis, UnixMillis)>,
    algorithm: CaAlgorithm,
    issuing_subject: Vec<u8>,
    issuing_spki: Vec<u8>,
    issuer_key_hash: Hash,
    issuing_key_id: Vec<u8>,
    authority_key_id: Vec<u8>,
}

impl CaChain {
    /// Parses PEM, issuing certificate first, root last. Checks signatures, names, key identifiers, basicConstraints,
    /// key usage, extended key usage, path lengths. A root alone may issue.
    ///
    /// Validity is for [`Self::check_validity`], since it needs the time.
    pub fn from_pem(text: &[u8]) -> Result<Self, ChainError> {
        Self::from_der(read_pem(text).map_err(ChainError::Unreadable)?)
    }

    /// The same for DER certificates.
    pub fn from_der(certificates: Vec<Vec<u8>>) -> Result<Self, ChainError> {
        if certificates.len() > MAX_CHAIN_LENGTH {
            let problem =
                format!("it has {} certificates, at most {MAX_CHAIN_LENGTH} may be", certificates.len());
            return Err(ChainError::Unreadable(problem));
        }
        let mut links = Vec::with_capacity(certificates.len());
        for (index, der) in certificates.iter().enumerate() {
            links.push(Link::read("CA certificate", index, der)?);
        }
        let (Some(issuing), Some(root)) = (links.first(), links.last()) else {
            let problem = "it is empty; give the issuing certificate first and the root last, as PEM".into();
            return Err(ChainError::Unreadable(problem));
        };
        check_links(&links, root, oids::CODE_SIGNING)?;
        let algorithm = issuing.algorithm()?;
        let issuing_key_id = issuing.key_id.clone().unwrap_or_else(|| issuing.computed_key_id.clone());
        let chain = Self {
            pem: certificates.iter().map(|der| pem::encode("CERTIFICATE", der)).collect(),
            fingerprints: certificates.iter().map(|der| sha256(der)).collect(),
            titles: links.iter().map(|link| link.title.clone()).collect(),
            validities: links.iter().map(|link| (link.raw.tbs.not_before, link.raw.tbs.not_after)).collect(),
            algorithm,
            issuing_subject: issuing.raw.tbs.subject.to_vec(),
            issuing_spki: issuing.raw.tbs.spki.to_vec(),
            issuer_key_hash: sha256(issuing.raw.tbs.spki),
            authority_key_id: authority_key_identifier(&issuing_key_id),
            issuing_key_id,
            certificates: Vec::new(),
        };
        Ok(Self { certificates, ..chain })
    }

    /// Refuses a chain of which any certificate is expired or not valid yet.
    pub fn check_validity(&self, now: UnixMillis) -> Result<(), ChainError> {
        check_validity(&self.titles, &self.validities, now)
    }

    /// Place and subject of each certificate, and the last second of its validity; issuing certificate first.
    pub fn ends(&self) -> impl Iterator<Item = (&str, UnixMillis)> {
        self.titles.iter().zip(&self.validities).map(|(title, &(_, not_after))| (&**title, not_after))
    }

    /// DER, issuing certificate first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// PEM of each, issuing certificate first, each ending in a newline.
    pub fn pem(&self) -> &[String] {
        &self.pem
    }

    /// DER Name of the issuing certificate's subject: the issuer of everything that it signs.
    pub fn issuing_subject(&self) -> &[u8] {
        &self.issuing_subject
    }

    /// DER SubjectPublicKeyInfo of the issuing certificate.
    pub fn issuing_spki(&self) -> &[u8] {
        &self.issuing_spki
    }

    /// SHA-256 of it (RFC 6962 §3.2, issuer_key_hash).
    pub fn issuer_key_hash(&self) -> &Hash {
        &self.issuer_key_hash
    }

    /// The issuing certificate's subject key identifier; computed from its key where it has none.
    pub fn issuing_key_id(&self) -> &[u8] {
        &self.issuing_key_id
    }

    /// SHA-256 of each certificate's DER, in order (static-ct-api, chain fingerprints).
    pub fn fingerprints(&self) -> &Arc<[Hash]> {
        &self.fingerprints
    }

    /// The latest notBefore in the chain: nothing can be issued earlier.
    pub fn not_before(&self) -> UnixMillis {
        self.validities.iter().map(|validity| validity.0).max().unwrap_or_default()
    }

    /// The earliest notAfter in the chain, inclusive: nothing that is issued may live longer.
    pub fn not_after(&self) -> UnixMillis {
        self.validities.iter().map(|validity| validity.1).min().unwrap_or_default()
    }

    /// What the issuing key signs with.
    pub fn algorithm(&self) -> CaAlgorithm {
        self.algorithm
    }

    /// The value of the authorityKeyIdentifier extension of everything that it signs.
    pub(super) fn authority_key_id_extension(&self) -> &[u8] {
        &self.authority_key_id
    }
}

impl fmt::Debug for CaChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaChain").field("certificates", &self.titles).finish_non_exhaustive()
    }
}

/// That none of these certificates is expired or not valid yet.
pub(super) fn check_validity(
    titles: &[String],
    validities: &[(UnixMillis, UnixMillis)],
    now: UnixMillis,
) -> Result<(), ChainError> {
    let now = UnixMillis::from_secs(now.as_secs());
    for (title, &(not_before, not_after)) in titles.iter().zip(validities) {
        let certificate = title.clone();
        if now < not_before {
            return Err(ChainError::NotYetValid { certificate, not_before });
        }
        if now > not_after {
            return Err(ChainError::Expired { certificate, not_after });
        }
    }
    Ok(())
}

/// The certificates of a PEM file.
pub(super) fn read_pem(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if text.len() > MAX_CHAIN_FILE {
        return Err(format!("it is larger than {MAX_CHAIN_FILE} octets"));
    }
    let mut certificates = Vec::new();
    for block in pem::blocks(text)? {
        if block.label != "CERTIFICATE" {
            let problem = "only CERTIFICATE may be in it; keys have files of their own";
            return Err(format!("it has a block {:?}; {problem}", block.label));
        }
        certificates.push(block.der.to_vec());
    }
    Ok(certificates)
}

/// AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier `[0]` IMPLICIT OCTET STRING } (RFC 5280 §4.2.1.1)
fn authority_key_identifier(key_id: &[u8]) -> Vec<u8> {
    let mut inner = Vec::with_capacity(encode::tlv_len(key_id.len()));
    encode::push_tlv(&mut inner, 0x80, key_id);
    let mut whole = Vec::with_capacity(encode::tlv_len(inner.len()));
    encode::push_tlv(&mut whole, SEQUENCE, &inner);
    whole
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use rcgen::{
        BasicConstraints as Constraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
        ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
        PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
        SignatureAlgorithm, date_time_ymd,
    };

    /// A certificate and its key, to issue others.
    struct Authority {
        params: CertificateParams,
        key: KeyPair,
        pem: String,
    }

    /// A CA certificate as it should be, before `change`; self-signed without an issuer.
    fn authority(
        name: &str,
        key: KeyPair,
        issuer: Option<&Authority>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Authority {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(Constraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.use_authority_key_identifier_extension = issuer.is_some();
        change(&mut params);
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
            None => params.self_signed(&key),
        };
        Authority { pem: certificate.unwrap().pem(), params, key }
    }

    fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
        KeyPair::generate_for(algorithm).unwrap()
    }

    fn p256() -> KeyPair {
        key(&PKCS_ECDSA_P256_SHA256)
    }

    fn nothing(_: &mut CertificateParams) {}

    fn refusal(parts: &[&Authority]) -> String {
        let text: String = parts.iter().map(|authority| authority.pem.as_str()).collect();
        CaChain::from_pem(text.as_bytes()).unwrap_err().to_string()
    }

    fn accepted(parts: &[&Authority]) -> CaChain {
        let text: String = parts.iter().map(|authority| authority.pem.as_str()).collect();
        CaChain::from_pem(text.as_bytes()).unwrap()
    }

    #[test]
    fn chains_that_do_not_chain_are_refused_naming_the_certificate_and_the_way_out() {
        let root = authority("root", key(&PKCS_ECDSA_P384_SHA384), None, nothing);
        let issuing = authority("issuing", p256(), Some(&root), nothing);
        let below = authority("below", p256(), Some(&issuing), nothing);
        let with = |change: fn(&mut CertificateParams)| authority("issuing", p256(), Some(&root), change);
        let namesake = authority("root", key(&PKCS_ECDSA_P384_SHA384), None, nothing);
        let orphan = with(|params| params.use_authority_key_identifier_extension = false);
        let other_root = authority("other root", p256(), None, nothing);
        let narrow_root =
            authority("root", p256(), None, |p| p.is_ca = IsCa::Ca(Constraints::Constrained(0)));
        let narrow = authority("issuing", p256(), Some(&narrow_root), nothing);
        let narrow_below = authority("below", p256(), Some(&narrow), nothing);
        let leaf = with(|params| params.is_ca = IsCa::NoCa);
        let explicit_leaf = with(|params| params.is_ca = IsCa::ExplicitNoCa);
        let server = with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        let signer = with(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
        let no_usage = with(|params| params.key_usages = vec![]);
        let nameless = authority("", p256(), None, |p| p.distinguished_name = DistinguishedName::new());
        let backwards = with(|params| params.not_after = date_time_ymd(2025, 1, 1));
        let extended = |oid: &[u64]| {
            authority("issuing", p256(), Some(&root), |params| {
                let mut extension = CustomExtension::from_oid_content(oid, vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions = vec![extension];
            })
        };
        let critical = extended(&[1, 2, 3, 4]);
        let (names, policies) = (extended(&[2, 5, 29, 30]), extended(&[2, 5, 29, 36]));
        for (parts, expected) in [
            (
                &[&root, &issuing][..],
                "CA certificate 2 (CN=issuing): the last certificate is not self-signed",
            ),
            (
                &[&issuing],
                "CA certificate 1 (CN=issuing): the last certificate is not self-signed; append its issuer",
            ),
            (
                &[&issuing, &below, &root],
                "CA certificate 1 (CN=issuing): its issuer is not the subject of CA certificate 2 (CN=below)",
            ),
            (&[&issuing, &other_root], "its issuer is not the subject of CA certificate 2 (CN=other root)"),
            (&[&issuing, &namesake], "another key of the same name"),
            (&[&orphan, &namesake], "not signed by the key of CA certificate 2 (CN=root)"),
            (&[&issuing, &root, &root], "CA certificate 3 (CN=root): stands in the file twice"),
            (&[&narrow_below, &narrow, &narrow_root], "CA certificate 3 (CN=root): its pathLenConstraint"),
            (&[&leaf, &root], "CA certificate 1 (CN=issuing): not a CA certificate"),
            (&[&explicit_leaf, &root], "not a CA certificate"),
            (&[&server, &root], "extendedKeyUsage lacks codeSigning"),
            (&[&signer, &root], "keyUsage lacks keyCertSign"),
            (&[&no_usage, &root], "keyUsage lacks keyCertSign"),
            (&[&nameless], "has no subject"),
            (&[&backwards, &root], "ends before it begins"),
            (&[&critical, &root], "unknown critical extension 1.2.3.4"),
            (&[&names, &root], "has the critical extension nameConstraints, whose limits are not evaluated"),
            (&[&policies, &root], "has the critical extension policyConstraints"),
        ] {
            let refusal = refusal(parts);
            assert!(refusal.contains(expected), "expected {expected:?}, got {refusal:?}");
        }
    }

    #[test]
    fn files_that_are_no_chain_are_refused() {
        let root = authority("root", p256(), None, nothing);
        let nine = root.pem.repeat(9);
        let with_key = format!("{}{}", root.pem, root.key.serialize_pem());
        let huge = " ".repeat(MAX_CHAIN_FILE + 1);
        let garbage = pem::encode("CERTIFICATE", &[0x30, 3, 1, 2, 3]);
        for (text, expected) in [
            ("", "it is empty; give the issuing certificate first"),
            ("hello", "it is empty"),
            (&nine, "it has 9 certificates, at most 8"),
            (&with_key, "it has a block \"PRIVATE KEY\"; only CERTIFICATE may be in it"),
            (&huge, "larger than"),
            (&garbage, "CA certificate 1: cannot be read"),
        ] {
            let refusal = CaChain::from_pem(text.as_bytes()).unwrap_err().to_string();
            assert!(refusal.contains(expected), "expected {expected:?}, got {refusal:?}");
            assert!(!refusal.contains("BEGIN") && refusal.len() < 300, "{refusal}");
        }
    }

    #[test]
    fn upper_certificates_may_sign_with_every_algorithm_in_use() {
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        for key in
            [p256(), key(&PKCS_ECDSA_P384_SHA384), key(&PKCS_ECDSA_P521_SHA512), key(&PKCS_ED25519), rsa]
        {
            let root = authority("root", key, None, nothing);
            let middle = authority("middle", p256(), Some(&root), nothing);
            let usage = |params: &mut CertificateParams| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            };
            let issuing = authority("issuing", p256(), Some(&middle), usage);
            assert_eq!(accepted(&[&issuing, &middle, &root]).certificates().len(), 3);
        }
    }

    #[test]
    fn a_root_alone_may_issue_and_its_key_decides_the_algorithm() {
        let small = accepted(&[&authority("root", p256(), None, nothing)]);
        let large = accepted(&[&authority("root", key(&PKCS_ECDSA_P384_SHA384), None, nothing)]);
        assert_eq!(small.algorithm(), CaAlgorithm::EcdsaP256Sha256);
        assert_eq!(large.algorithm(), CaAlgorithm::EcdsaP384Sha384);
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        for (key, algorithm) in [
            (key(&PKCS_ECDSA_P521_SHA512), CaAlgorithm::EcdsaP521Sha512),
            (key(&PKCS_ED25519), CaAlgorithm::Ed25519),
            (rsa, CaAlgorithm::RsaSha256),
        ] {
            assert_eq!(accepted(&[&authority("root", key, None, nothing)]).algorithm(), algorithm);
        }
    }

    #[test]
    fn the_validity_of_every_certificate_counts_to_the_second() {
        let root = authority("root", p256(), None, |p| p.not_after = date_time_ymd(2028, 1, 1));
        let issuing = authority("issuing", p256(), Some(&root), |p| p.not_before = date_time_ymd(2027, 1, 1));
        let chain = accepted(&[&issuing, &root]);
        let (begin, end) = (UnixMillis::from_secs(1_798_761_600), UnixMillis::from_secs(1_830_297_600));
        assert_eq!((chain.not_before(), chain.not_after()), (begin, end));
        let checked = |millis| chain.check_validity(UnixMillis(millis)).map_err(|error| error.to_string());
        assert_eq!(checked(begin.0), Ok(()));
        assert_eq!(checked(end.0 + 999), Ok(()), "notAfter is inclusive");
        let early = checked(begin.0 - 1).unwrap_err();
        assert!(
            early.starts_with("CA certificate 1 (CN=issuing): not valid before 2027-01-01T00:00:00Z"),
            "{early}"
        );
        let late = checked(end.0 + 1000).unwrap_err();
        assert!(late.starts_with("CA certificate 2 (CN=root): expired at 2028-01-01T00:00:00Z"), "{late}");
    }

    #[test]
    fn what_is_prepared_agrees_with_the_certificates() {
        let chain = testing::chain();
        assert_eq!(chain.pem().concat(), testing::CHAIN);
        let prints: Vec<_> = chain.certificates().iter().map(|der| sha256(der)).collect();
        assert_eq!(chain.fingerprints()[..], prints);
        assert_eq!(*chain.issuer_key_hash(), sha256(chain.issuing_spki()));
        assert_eq!(hex::encode(chain.issuing_key_id()), "a225e14bc4c5e55e6ef0121b99859196ac277a51");
        assert_eq!(chain.certificates().len(), 2);
    }
}
