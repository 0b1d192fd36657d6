//! A certificate's content, frozen once and issued twice.

use super::CaChain;
use crate::environment::{Random, UnixMillis};
use crate::identity::Principal;
use crate::possession::ProvenKey;
use crate::refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;

/// Every octet of the certificate but the CT slot and the signature.
pub struct Template {
    chain: Arc<CaChain>,
}

/// A precertificate (RFC 6962 §3.1), signed by the CA.
pub struct Precertificate {
    template: Template,
    der: Vec<u8>,
}

/// A precertificate that the log promised, with its SCT.
pub struct LoggedPrecertificate {
    precertificate: Precertificate,
    sct: Vec<u8>,
}

/// The final certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    serial: String,
}

impl Template {
    /// Fixes serial number, validity (`lifetime`, clamped to the chain's end), key identifiers and every extension.
    pub fn new(
        _chain: &Arc<CaChain>,
        _principal: &Principal,
        _key: &ProvenKey,
        _lifetime: Duration,
        _now: UnixMillis,
        _random: &dyn Random,
    ) -> Result<Self, Refusal> {
        todo!()
    }
    /// The DER TBSCertificate with the poison extension: what the CA signs first.
    pub fn precertificate_tbs(&self) -> Vec<u8> {
        todo!()
    }
    /// With the CA's signature over [`Self::precertificate_tbs`]; the signature is verified against the chain's key? (cheap alternative: lengths only) - see contract.
    pub fn into_precertificate(self, _signature: &[u8]) -> Precertificate {
        let _ = &self.chain;
        todo!()
    }
}

impl Precertificate {
    /// Its DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
    /// The TBSCertificate without the CT slot: what the log hashes and the SCT signs (RFC 6962 §3.2).
    pub fn logged_tbs(&self) -> &[u8] {
        let _ = &self.template;
        todo!()
    }
    pub fn chain(&self) -> &Arc<CaChain> {
        todo!()
    }
    /// With the SCT (TLS-encoded SerializedSCT without its length) that the log gave.
    pub fn logged(self, sct: Vec<u8>) -> LoggedPrecertificate {
        LoggedPrecertificate { precertificate: self, sct }
    }
}

impl LoggedPrecertificate {
    /// The final TBSCertificate, proven to correspond: with the SCT list removed it equals the precertificate with the poison removed.
    pub fn certificate_tbs(&self) -> Result<Vec<u8>, Refusal> {
        let _ = (&self.sct, &self.precertificate);
        todo!()
    }
    /// With the CA's signature over [`Self::certificate_tbs`].
    pub fn into_certificate(self, _tbs: Vec<u8>, _signature: &[u8]) -> Certificate {
        todo!()
    }
}

impl Certificate {
    pub fn der(&self) -> &[u8] {
        &self.der
    }
    /// PEM, without a newline at the end (as clients of the reference know it).
    pub fn pem(&self) -> String {
        todo!()
    }
    /// The serial number in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }
}

impl From<&Precertificate> for crate::transparency::precertificate::PrecertificateEntry {
    fn from(_precertificate: &Precertificate) -> Self {
        todo!()
    }
}
