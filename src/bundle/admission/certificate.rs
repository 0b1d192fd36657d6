//! A certificate by itself, without a bundle.

use super::Evidence;
use crate::bundle::error::{Problem, VerificationError, problem};
use crate::bundle::verified::Promised;
use crate::certificate::inspect::Inspected;
use crate::certificate::{CaChain, VerificationError as Untrusted};
use crate::environment::UnixMillis;
use crate::transparency::SignatureError;
use crate::transparency::sct::ReceivedSct;

const PLACE: &str = "certificate";

/// A certificate that a trusted CA issued and that a trusted log promised to hold. When and what it signed is not known.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedCertificate<'c> {
    certificate: &'c Inspected,
    promised: Promised,
}

impl<'c> VerifiedCertificate<'c> {
    /// Verifies chain and validity at `at`, and the SCT of the log with the key `log_spki` (DER SubjectPublicKeyInfo). Whether CA and log count
    /// then is for the caller.
    ///
    /// # Errors
    /// `CERTIFICATE_UNTRUSTED`, `CERTIFICATE_NOT_VALID`, `CERTIFICATE_MALFORMED`, `SCT_UNTRUSTED`, `SCT_INVALID`.
    pub fn verify(
        certificate: &'c Inspected,
        chain: &CaChain,
        at: UnixMillis,
        log_spki: &[u8],
    ) -> Result<Self, VerificationError> {
        certificate.verify_issued_by(chain, at).map_err(|error| {
            let kind = match &error {
                Untrusted::NotValid { .. } | Untrusted::Chain(_) => Problem::CertificateNotValid,
                Untrusted::Malformed(_) => Problem::CertificateMalformed,
                _ => Problem::CertificateUntrusted,
            };
            problem(kind, PLACE, error.to_string())
        })?;
        let invalid = |words: String| problem(Problem::SctInvalid, PLACE, words);
        let untrusted = || problem(Problem::SctUntrusted, PLACE, "the log gave it no SCT");
        let tbs = certificate.logged_tbs().map_err(|error| invalid(error.to_string()))?;
        let list = certificate.sct_list().ok_or_else(untrusted)?;
        let scts = ReceivedSct::parse_list(list).map_err(|error| invalid(error.to_string()))?;
        let mut promised = None;
        for sct in &scts {
            match sct.verify_precertificate(log_spki, chain.issuer_key_hash(), &tbs) {
                Ok(()) => {
                    promised.get_or_insert_with(|| Promised::by(sct));
                }
                Err(SignatureError::OtherLog) => {}
                Err(error) => return Err(invalid(error.to_string())),
            }
        }
        Ok(Self { certificate, promised: promised.ok_or_else(untrusted)? })
    }

    /// What policies may ask about.
    pub const fn evidence(&self) -> Evidence<'c> {
        Evidence {
            certificate: Some(self.certificate),
            promised: Some(self.promised),
            times: &[],
            logged: &[],
            attested: None,
            artifact: None,
        }
    }
}
