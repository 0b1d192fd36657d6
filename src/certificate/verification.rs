//! Whether a certificate is one for signing that a chain issued (RFC 5280 §6.1).
//!
//! The SCTs in it are for the caller: [`Inspected::sct_list`] and [`Inspected::logged_tbs`] are what that needs.

use super::inspect::Inspected;
use super::raw::{Malformed, RawCertificate, RawTbs};
use super::signature::{self, SignatureError};
use super::{CaChain, ChainError, oids};
use crate::environment::UnixMillis;
use der::asn1::ObjectIdentifier;

/// Why a certificate was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// The certificate names another issuer.
    #[error("the certificate's issuer is {found}, not the subject of the CA's issuing certificate")]
    IssuerMismatch {
        /// The issuer it names.
        found: String,
    },
    /// The authorityKeyIdentifier is absent, or of another key.
    #[error("the certificate's authorityKeyIdentifier is not the key of the CA's issuing certificate")]
    KeyIdMismatch,
    /// The signature is not by that key.
    #[error("the certificate's signature: {0}")]
    Signature(#[from] SignatureError),
    /// Not valid at that time.
    #[error("the certificate is valid from {not_before} to {not_after}, not at {at}")]
    NotValid {
        /// The first second.
        not_before: UnixMillis,
        /// The last second.
        not_after: UnixMillis,
        /// The time asked for.
        at: UnixMillis,
    },
    /// The CA was not valid at that time.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It is no code-signing certificate of this profile.
    #[error("the certificate is not one for signing: {0}")]
    Profile(&'static str),
    /// A critical extension that nobody here knows.
    #[error("the certificate has the unknown critical extension {0}")]
    UnknownCriticalExtension(ObjectIdentifier),
    /// It cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Malformed(#[from] Malformed),
}

impl Inspected {
    /// Verifies its signature with the key of a DER SubjectPublicKeyInfo, and nothing else.
    pub fn verify_signed_by(&self, spki: &[u8]) -> Result<(), VerificationError> {
        let raw = RawCertificate::parse(self.der())?;
        Ok(signature::verify(spki, raw.algorithm, raw.tbs_der, raw.signature)?)
    }

    /// Verifies it as a code-signing certificate that `chain` issued, at the time `at`: names, key identifiers, signature,
    /// validity of all certificates, usages, an SCT list to be there. The SCTs themselves are for the caller.
    pub fn verify_issued_by(&self, chain: &CaChain, at: UnixMillis) -> Result<(), VerificationError> {
        let raw = RawCertificate::parse(self.der())?;
        if raw.tbs.issuer != chain.issuing_subject() {
            return Err(VerificationError::IssuerMismatch { found: self.issuer() });
        }
        if self.authority_key_id() != Some(chain.issuing_key_id()) {
            return Err(VerificationError::KeyIdMismatch);
        }
        signature::verify(chain.issuing_spki(), raw.algorithm, raw.tbs_der, raw.signature)?;
        self.check_usage(&raw.tbs)?;
        let second = UnixMillis::from_secs(at.as_secs());
        if second < self.not_before() || second > self.not_after() {
            let (not_before, not_after) = (self.not_before(), self.not_after());
            return Err(VerificationError::NotValid { not_before, not_after, at });
        }
        Ok(chain.check_validity(at)?)
    }

    fn check_usage(&self, tbs: &RawTbs<'_>) -> Result<(), VerificationError> {
        let problem = if self.is_precertificate() {
            "it is a precertificate"
        } else if self.is_ca() {
            "it is a CA's"
        } else if !self.is_for_code_signing() {
            "its extendedKeyUsage lacks codeSigning"
        } else if !self.key_usage().contains(&"digitalSignature") {
            "its keyUsage lacks digitalSignature"
        } else if self.names().is_empty() {
            "it has no subjectAltName"
        } else if self.sct_list().is_none() {
            "it has no signed certificate timestamps"
        } else {
            let unknown = |oid| !oids::UNDERSTOOD_IN_LEAF.contains(&oid);
            return match tbs.extensions.iter().find(|e| e.critical && unknown(e.oid)) {
                Some(extension) => Err(VerificationError::UnknownCriticalExtension(extension.oid)),
                None => Ok(()),
            };
        };
        Err(VerificationError::Profile(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, LEAF_SPKI, NOW};
    use super::*;
    use std::time::Duration;

    fn issued() -> Inspected {
        Inspected::from_der(testing::issue(&testing::chain(), NOW).der()).unwrap()
    }

    #[test]
    fn a_certificate_verifies_with_its_chain_while_it_is_valid() {
        let (certificate, chain) = (issued(), testing::chain());
        let last = certificate.not_after();
        assert_eq!(certificate.verify_issued_by(&chain, last), Ok(()));
        let late = certificate.verify_issued_by(&chain, last.plus(Duration::from_secs(1)));
        assert!(matches!(late, Err(VerificationError::NotValid { .. })));
        let early = certificate.verify_issued_by(&chain, UnixMillis(certificate.not_before().0 - 1));
        assert!(matches!(early, Err(VerificationError::NotValid { .. })));
        assert_eq!(certificate.verify_signed_by(chain.issuing_spki()), Ok(()));
        let wrong = certificate.verify_signed_by(LEAF_SPKI);
        assert_eq!(wrong, Err(VerificationError::Signature(SignatureError::Wrong)));
    }

    #[test]
    fn what_is_no_signing_certificate_of_the_chain_is_refused() {
        let chain = testing::chain();
        let template = testing::template(&chain, NOW).unwrap();
        let signature = testing::sign(template.precertificate_tbs());
        let precertificate = template.into_precertificate(&signature);
        let precertificate = Inspected::from_der(precertificate.der()).unwrap();
        let refused = precertificate.verify_issued_by(&chain, NOW);
        assert_eq!(refused, Err(VerificationError::Profile("it is a precertificate")));
        assert_eq!(precertificate.logged_tbs(), issued().logged_tbs());
        let root = Inspected::from_der(&chain.certificates()[1]).unwrap();
        let foreign = CaChain::from_pem(root.pem().as_bytes()).unwrap();
        let refused = issued().verify_issued_by(&foreign, NOW);
        assert!(matches!(refused, Err(VerificationError::IssuerMismatch { .. })));
        assert_eq!(root.verify_issued_by(&foreign, NOW), Err(VerificationError::KeyIdMismatch));
        let issuing = Inspected::from_der(&chain.certificates()[0]).unwrap();
        assert_eq!(issuing.verify_issued_by(&foreign, NOW), Err(VerificationError::Profile("it is a CA's")));
    }
}
