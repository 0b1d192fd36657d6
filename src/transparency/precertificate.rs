//! Precertificates as log entries (RFC 6962 §3.2, static-ct-api "Log Entries").

use super::{Entry, Hash, Place};
use std::sync::Arc;

/// A precertificate on its way into the log; its bytes depend on the place that it gets.
#[derive(Clone, Debug)]
pub struct PrecertificateEntry {
    /// SHA-256 of the issuing CA's DER SubjectPublicKeyInfo.
    pub issuer_key_hash: Hash,
    /// DER TBSCertificate without poison and SCT list.
    pub tbs: Vec<u8>,
    /// DER of the precertificate as signed.
    pub precertificate: Vec<u8>,
    /// SHA-256 of each CA certificate's DER, issuing certificate first, root last.
    pub fingerprints: Arc<[Hash]>,
}

impl PrecertificateEntry {
    /// The entry at `place`: its leaf hash and its bytes in the data tile.
    pub fn at(&self, _place: Place) -> Entry {
        todo!()
    }
    /// What the log key signs for the SCT at `place` (RFC 6962 §3.2, digitally-signed struct).
    pub fn sct_input(&self, _place: Place) -> Vec<u8> {
        todo!()
    }
}
