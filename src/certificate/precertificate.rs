//! From the signed precertificate to the final certificate (RFC 6962 §3.1 to §3.3).

use super::template::{Template, ToBeSigned};
use super::{CaChain, pem};
use crate::refusal::Refusal;
use crate::transparency::precertificate::{LogEntry, LoggedCertificate};
use std::fmt;
use std::sync::Arc;

/// A precertificate (RFC 6962 §3.1), signed by the CA.
pub struct Precertificate {
    template: Template,
    der: Vec<u8>,
    logged_tbs: Vec<u8>,
}

/// A precertificate that the log promised, with its SCT.
pub struct LoggedPrecertificate {
    precertificate: Precertificate,
    sct: Vec<u8>,
}

/// A template whose final TBSCertificate is proven to correspond to its logged precertificate.
pub struct CorrespondingTemplate {
    template: Template,
    tbs: ToBeSigned,
}

/// A template whose certificate gets no embedded SCT: by the operator's choice of how certificates are logged.
pub struct UnpromisedTemplate {
    template: Template,
    tbs: ToBeSigned,
}

/// The final certificate.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    serial: String,
}

impl Precertificate {
    pub(super) fn new(template: Template, der: Vec<u8>, logged_tbs: Vec<u8>) -> Self {
        Self { template, der, logged_tbs }
    }

    /// Its DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The TBSCertificate without the CT slot: what the log hashes and the SCT signs (RFC 6962 §3.2).
    pub fn logged_tbs(&self) -> &[u8] {
        &self.logged_tbs
    }

    /// The chain that issued it.
    pub fn chain(&self) -> &Arc<CaChain> {
        self.template.chain()
    }

    /// With the SCT (TLS-encoded, without its length) that the log gave.
    pub fn logged(self, sct: Vec<u8>) -> LoggedPrecertificate {
        LoggedPrecertificate { precertificate: self, sct }
    }
}

impl LoggedPrecertificate {
    /// Builds the final TBSCertificate and proves that it corresponds: without the SCT list it equals, octet for octet, the
    /// precertificate without the poison, and both equal what was logged.
    ///
    /// # Errors
    /// [`crate::refusal::Reason::Internal`] when it does not: a fault of this program or of its memory.
    pub fn prove_correspondence(self) -> Result<CorrespondingTemplate, Refusal> {
        let Precertificate { template, der, logged_tbs } = self.precertificate;
        let tbs = template.certificate_tbs(&self.sct, &der, &logged_tbs)?;
        Ok(CorrespondingTemplate { template, tbs })
    }
}

impl CorrespondingTemplate {
    /// The final TBSCertificate: what the CA signs second.
    pub fn certificate_tbs(&self) -> &ToBeSigned {
        &self.tbs
    }

    /// With the CA's signature over [`Self::certificate_tbs`].
    pub fn into_certificate(self, signature: &[u8]) -> Certificate {
        let der = self.template.certificate(&self.tbs, signature);
        Certificate { der, serial: self.template.serial().to_owned() }
    }
}

impl UnpromisedTemplate {
    pub(super) fn new(template: Template, tbs: ToBeSigned) -> Self {
        Self { template, tbs }
    }

    /// The final TBSCertificate: what the CA signs.
    pub fn certificate_tbs(&self) -> &ToBeSigned {
        &self.tbs
    }

    /// With the CA's signature over [`Self::certificate_tbs`].
    pub fn into_certificate(self, signature: &[u8]) -> Certificate {
        let der = self.template.certificate(&self.tbs, signature);
        Certificate { der, serial: self.template.serial().to_owned() }
    }
}

impl Certificate {
    /// Its DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM, without a newline at the end (as clients of the reference know it).
    pub fn pem(&self) -> String {
        let mut pem = String::with_capacity(self.der.len() * 3 / 2 + 64);
        self.push_pem(&mut pem, "\n");
        pem
    }

    /// Appends [`Self::pem`] with its lines parted by `newline`, in whatever way the text around it spells that.
    pub fn push_pem(&self, out: &mut String, newline: &str) {
        pem::push_certificate(out, &self.der, newline);
    }

    /// The serial number in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }
}

/// Shows the serial number and no value of any claim.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl From<&Precertificate> for LogEntry {
    fn from(precertificate: &Precertificate) -> Self {
        let chain = precertificate.chain();
        let logged = LoggedCertificate::Precertificate {
            issuer_key_hash: chain.issuer_key_hash(),
            tbs: &precertificate.logged_tbs,
            precertificate: &precertificate.der,
        };
        Self::new(logged, chain.fingerprints())
    }
}
