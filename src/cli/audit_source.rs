//! Where `log audit` gets a log's tiles from: a [`LogReader`], some tiles ahead of the audit.
//!
//! The audit is blocking and asks for one tile after the other; here a task fetches those that come next, and a CA
//! certificate is fetched when it is asked for. Must run outside of the runtime's own threads.

use super::log_reader::LogReader;
use crate::certificate::inspect::Inspected;
use crate::log::KnownLog;
use crate::log::audit::{SourceError, TileSource};
use crate::log::kind::LoggedEntry;
use crate::transparency::precertificate::LoggedCertificate;
use crate::transparency::tile::TilePath;
use crate::transparency::{Hash, sha256};
use std::cell::RefCell;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Tiles on their way at the same time; a full data tile has half a megabyte.
const READ_AHEAD: usize = 16;

type Fetched = Result<Option<Vec<u8>>, String>;

/// A log's tiles, fetched ahead.
pub struct AuditSource {
    reader: Arc<LogReader>,
    runtime: Handle,
    ahead: mpsc::Receiver<(TilePath, JoinHandle<Fetched>)>,
    next: Option<(TilePath, JoinHandle<Fetched>)>,
}

impl AuditSource {
    /// `tiles`: those that will be asked for, in this order; others are fetched when asked for.
    pub fn new(
        reader: Arc<LogReader>,
        runtime: &Handle,
        tiles: impl Iterator<Item = TilePath> + Send + 'static,
    ) -> Self {
        let (sender, ahead) = mpsc::channel(READ_AHEAD);
        let shared = reader.clone();
        runtime.spawn(async move {
            for path in tiles {
                // The place comes first: no more tiles than places are on their way.
                let Ok(place) = sender.reserve().await else { return };
                let reader = shared.clone();
                place.send((path, tokio::spawn(async move { reader.tile(&path).await })));
            }
        });
        Self { reader, runtime: runtime.clone(), ahead, next: None }
    }
}

impl TileSource for AuditSource {
    fn tile(&mut self, path: &TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        let Self { reader, runtime, ahead, next } = self;
        let fetched = runtime.block_on(async {
            if next.is_none() {
                *next = ahead.recv().await;
            }
            match next.take() {
                Some((fetched, content)) if fetched == *path => {
                    content.await.map_err(|error| error.to_string())?
                }
                other => {
                    *next = other;
                    reader.tile(path).await
                }
            }
        });
        fetched.map_err(SourceError)
    }

    fn issuer(&mut self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, SourceError> {
        self.runtime.block_on(self.reader.issuer(fingerprint)).map_err(SourceError)
    }
}

/// What is asked of every entry of a log.
pub struct EntryCheck {
    log: KnownLog,
    correspondence: Correspondence,
}

impl EntryCheck {
    /// For the entries of this log.
    pub fn of(log: &KnownLog) -> Self {
        Self { log: log.clone(), correspondence: Correspondence::default() }
    }

    /// Whether what was logged belongs together, and there; `issuer` is the DER of the issuing certificate, where the log has it.
    pub fn check(&self, index: u64, entry: &LoggedEntry<'_>, issuer: Option<&[u8]>) -> Result<(), String> {
        if let LoggedEntry::Certificate(entry) = entry {
            self.correspondence.check(&entry.certificate(), issuer)?;
        }
        self.log.check(index, entry)
    }
}

/// Whether what was logged belongs together: the precertificate's TBS is the logged one, and the CA that issuer_key_hash
/// names signed it; of a certificate, its issuer signed it. Remembers the last CA, since a log has few.
#[derive(Default)]
struct Correspondence {
    last: RefCell<Option<(Vec<u8>, Inspected)>>,
}

impl Correspondence {
    /// Judges one entry; `issuer` is the DER of its issuing certificate, where the log has it.
    pub fn check(&self, logged: &LoggedCertificate<'_>, issuer: Option<&[u8]>) -> Result<(), String> {
        let (issuer_key_hash, tbs, precertificate) = match *logged {
            LoggedCertificate::Precertificate { issuer_key_hash, tbs, precertificate } => {
                (issuer_key_hash, tbs, precertificate)
            }
            LoggedCertificate::X509(certificate) => return self.check_final(certificate, issuer),
        };
        let precertificate = Inspected::from_der(precertificate)
            .map_err(|error| format!("the precertificate cannot be read: {error}"))?;
        if !precertificate.is_precertificate() {
            return Err("what should be a precertificate has no poison".to_owned());
        }
        if precertificate.logged_tbs().map_err(|error| error.to_string())? != tbs {
            return Err("the logged TBSCertificate is not the precertificate's".to_owned());
        }
        // A CA certificate that is missing is a finding of its own.
        let Some(issuer) = issuer else { return Ok(()) };
        let spki = self.spki_of(issuer)?;
        if sha256(&spki) != *issuer_key_hash {
            return Err("issuer_key_hash is not that of its CA certificate".to_owned());
        }
        precertificate.verify_signed_by(&spki).map_err(|error| error.to_string())
    }

    /// A certificate that another CA has submitted by add-chain.
    fn check_final(&self, certificate: &[u8], issuer: Option<&[u8]>) -> Result<(), String> {
        let certificate = Inspected::from_der(certificate)
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        if certificate.is_precertificate() {
            return Err("what should be a certificate is a precertificate".to_owned());
        }
        let Some(issuer) = issuer else { return Ok(()) };
        certificate.verify_signed_by(&self.spki_of(issuer)?).map_err(|error| error.to_string())
    }

    fn spki_of(&self, issuer: &[u8]) -> Result<Vec<u8>, String> {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(der, _)| der != issuer) {
            let inspected = Inspected::from_der(issuer)
                .map_err(|error| format!("its CA certificate cannot be read: {error}"))?;
            *last = Some((issuer.to_vec(), inspected));
        }
        Ok(last.as_ref().map(|(_, inspected)| inspected.spki_der().to_vec()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::{self, NOW};

    #[test]
    fn a_certificate_that_another_ca_submitted_is_sound_when_its_issuer_signed_it() {
        let chain = testing::chain();
        let certificate = testing::issue(&chain, NOW);
        let check = |der: &[u8], issuer: usize| {
            let issuer = chain.certificates().get(issuer).map(Vec::as_slice);
            Correspondence::default().check(&LoggedCertificate::X509(der), issuer)
        };
        assert_eq!(check(certificate.der(), 0), Ok(()));
        assert!(check(certificate.der(), 1).is_err(), "the root did not sign it");
        assert!(check(&certificate.der()[1..], 0).is_err());
        let template = testing::template(&chain, NOW).unwrap();
        let signature = testing::sign(template.precertificate_tbs());
        assert!(check(template.into_precertificate(&signature).der(), 0).is_err());
    }
}
