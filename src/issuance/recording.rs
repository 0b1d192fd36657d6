//! Recording a signature in our signature log: who may, in which order it is checked, and how many are under way.
//!
//! The order is that of rising cost: is there a place for anybody, can the request be read, would whom the key names get a place,
//! did a CA that may write sign the certificate, do the signatures hold, and is there a place. So a place is counted for nobody who has
//! not shown a signature of the key: a certificate alone, which is public, takes nothing from whom it names. A signature that was
//! published anybody can show again, and then the place counts as its maker's.
//!
//! Places are [`Admission`]'s, apart from those of certificates: another work has another pace. They are shared first between the
//! CA's own certificates, those that are listed, and all others; then by project (Source Repository URI), by the certificate's name
//! where it names no project, and by the key where there is no certificate.

use super::Admission;
use super::admission::Sharer;
use crate::certificate::{CaChain, IssuedLately};
use crate::log::SignatureLog;
use crate::log::signatures::Recorded;
use crate::refusal::{Reason, Refusal};
use crate::rekor::{Prepared, Request, VerifiedEntry, Writer, Writers};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Requests up to this size are read and verified where they are; larger ones on threads of their own, a few at a time.
const SMALL: usize = 128 * 1024;
/// How many large requests are verified at once.
const LARGE_AT_ONCE: usize = 2;

/// The signature log with everything that recording needs.
pub struct Recording {
    log: Arc<SignatureLog>,
    writers: Writers,
    chain: Arc<CaChain>,
    lately: Arc<IssuedLately>,
    admission: Admission,
    large: Semaphore,
}

/// What was recorded.
#[derive(Debug)]
pub struct Receipt {
    /// The entry: its kind and its octets.
    pub entry: VerifiedEntry,
    /// Where it stands, and the proof of it.
    pub recorded: Recorded,
}

impl Recording {
    /// For this log; `chain` is our own CA's, and `lately` what it has issued.
    pub fn new(
        log: Arc<SignatureLog>,
        writers: Writers,
        chain: Arc<CaChain>,
        lately: Arc<IssuedLately>,
        admission: Admission,
    ) -> Self {
        Self { log, writers, chain, lately, admission, large: Semaphore::new(LARGE_AT_ONCE) }
    }

    /// The log.
    pub const fn log(&self) -> &Arc<SignatureLog> {
        &self.log
    }

    /// The places.
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Records what a request asks for; answers once it is durable.
    ///
    /// # Errors
    /// Every reason of the signature log, with what was wrong.
    pub async fn record(
        self: &Arc<Self>,
        request: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<Receipt, Refusal> {
        let (entry, sharer) = if request.as_ref().len() <= SMALL {
            self.verify(request.as_ref())?
        } else {
            let _turn = self.large.acquire().await.map_err(|_| Reason::ShuttingDown)?;
            let this = self.clone();
            let verifying = tokio::task::spawn_blocking(move || this.verify(request.as_ref()));
            verifying.await.map_err(|_| Reason::Internal)??
        };
        let place = self.admission.admit(sharer)?;
        let recorded = self.log.record(&entry).await?;
        place.finish();
        Ok(Receipt { entry, recorded })
    }

    /// Everything but the log.
    fn verify(&self, request: &[u8]) -> Result<(VerifiedEntry, Sharer), Refusal> {
        let prepared = Request::parse(request)?.prepare()?;
        let first = prepared.verifiers().first().ok_or(Reason::VerifierMissing)?;
        self.admission.foresee(&self.sharer(&self.writers.claimed(first, &self.chain)))?;
        let writer = self.admit_all(&prepared)?;
        let entry = prepared.verify()?;
        Ok((entry, self.sharer(&writer)))
    }

    /// Every key of an entry must be one that may write; the first one's place is taken.
    fn admit_all(&self, prepared: &Prepared) -> Result<Writer, Refusal> {
        let mut writers = Vec::with_capacity(prepared.verifiers().len());
        for verifier in prepared.verifiers() {
            writers.push(self.writers.admit(verifier, &self.chain, &self.lately)?);
        }
        writers.into_iter().next().ok_or_else(|| Reason::VerifierMissing.into())
    }

    fn sharer(&self, writer: &Writer) -> Sharer {
        self.admission.sharer(writer.group.into(), writer.group, &hex::encode(writer.name))
    }
}
