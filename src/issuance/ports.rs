//! What issuing needs of the world.

use crate::certificate::{CaChain, Certificate, Precertificate, ToBeSigned};
use crate::identity::Issuer;
use crate::log::CtLog;
use crate::refusal::{Reason, Refusal};
use crate::token::KeySet;
use crate::transparency::precertificate::{LogEntry, LoggedCertificate};
use crate::transparency::sct::ReceivedSct;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A future behind a pointer, so that the ports stay object-safe.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The verification keys of issuers. Implemented by `oidc`.
pub trait IssuerKeys: Send + Sync {
    /// The issuer's keys, fetched where need be. With a `key_id` that the keys at hand do not have they are fetched
    /// anew, within the issuer's allowance; the answer may lack it all the same.
    ///
    /// # Errors
    /// [`Reason::IssuerUnavailable`], with a time to wait.
    fn keys<'a>(
        &'a self,
        issuer: &'a Issuer,
        key_id: Option<&'a str>,
    ) -> Answer<'a, Result<Arc<KeySet>, Refusal>>;
}

/// The key of the issuing certificate. Implemented by `signer`.
pub trait CaSigner: Send + Sync {
    /// Signs a TBSCertificate with the algorithm of [`crate::certificate::CaChain::algorithm`]; DER for ECDSA.
    ///
    /// Only a [`crate::certificate::Template`] leads to a [`ToBeSigned`], so the key signs nothing else.
    fn sign<'a>(&'a self, tbs: &'a ToBeSigned) -> Answer<'a, Result<Vec<u8>, SignerError>>;
}

/// A certificate transparency log (RFC 6962). Implemented by our own, and by `ct_client` for one elsewhere.
pub trait CertificateLog: Send + Sync {
    /// Enters a precertificate. The SCT is for exactly this one and verifies with the log's key.
    ///
    /// # Errors
    /// [`Reason::LogUnavailable`], [`Reason::Overloaded`], [`Reason::ShuttingDown`], each with a time to wait.
    fn enter_precertificate<'a>(
        &'a self,
        precertificate: &'a Precertificate,
    ) -> Answer<'a, Result<ReceivedSct, Refusal>>;

    /// The same for a final certificate that `chain` issued.
    ///
    /// # Errors
    /// As [`Self::enter_precertificate`].
    fn enter_certificate<'a>(
        &'a self,
        certificate: &'a Certificate,
        chain: &'a CaChain,
    ) -> Answer<'a, Result<ReceivedSct, Refusal>>;

    /// Whether entries could be taken now.
    ///
    /// # Errors
    /// Why not, in words for the operator.
    fn health(&self) -> Result<(), String>;
}

impl CertificateLog for CtLog {
    fn enter_precertificate<'a>(
        &'a self,
        precertificate: &'a Precertificate,
    ) -> Answer<'a, Result<ReceivedSct, Refusal>> {
        let entry = LogEntry::from(precertificate);
        Box::pin(async move { Ok(self.enter(entry).await?.into()) })
    }

    fn enter_certificate<'a>(
        &'a self,
        certificate: &'a Certificate,
        chain: &'a CaChain,
    ) -> Answer<'a, Result<ReceivedSct, Refusal>> {
        let entry = LogEntry::new(LoggedCertificate::X509(certificate.der()), chain.fingerprints());
        Box::pin(async move { Ok(self.enter(entry).await?.into()) })
    }

    fn health(&self) -> Result<(), String> {
        Self::health(self)
    }
}

/// The CA's key could not be used. The text is for operators, callers never see it.
#[derive(Debug, thiserror::Error)]
#[error("the CA's key could not be used: {0}")]
pub struct SignerError(pub String);

impl From<SignerError> for Refusal {
    fn from(error: SignerError) -> Self {
        tracing::error!(%error, "cannot sign");
        Self::new(Reason::CaUnavailable).retry_after(std::time::Duration::from_secs(5))
    }
}
