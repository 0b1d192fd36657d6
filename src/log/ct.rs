//! The certificate transparency log: precertificates in, SCTs out, and everything that readers may ask.

use crate::refusal::Refusal;
use crate::transparency::precertificate::PrecertificateEntry;

/// A CT log of ours.
pub struct CtLog {}

impl CtLog {
    /// Enters a precertificate; answers with the SCT (RFC 6962 §3.2, TLS encoding) once the entry is durable.
    pub async fn enter(&self, _entry: PrecertificateEntry) -> Result<crate::transparency::sct::Sct, Refusal> {
        todo!()
    }
}
