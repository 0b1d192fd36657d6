//! The certificate transparency log: precertificates and certificates in, SCTs out, and everything that readers may ask
//! (RFC 6962, c2sp.org/static-ct-api).
//!
//! What the CA beside it made is taken as it is: that names its issuers when the log is opened. What others submit is taken
//! when its chain leads to a root that the operator accepts.

use super::ports::{Identity, LogSigner, StoreError};
use super::reader::LogReader;
use super::submissions::Submissions;
use super::view::View;
use super::{Candidate, Lifecycle, Log, StartError, Stores, recovery};
use crate::certificate::accepted::{AcceptedCas, Submission, SubmissionKind};
use crate::environment::{Clock, Stopwatch, UnixMillis};
use crate::refusal::{Reason, Refusal};
use crate::transparency::checkpoint::{SignedTreeHead, TreeHead, check_origin};
use crate::transparency::precertificate::{DataTileEntry, LogEntry, UnsignedSct};
use crate::transparency::sct::Sct;
use crate::transparency::{Entry, Hash, Place, sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A signed tree head is signed anew when it is this old.
const STH_LIFETIME: Duration = Duration::from_secs(60);

/// What a log is opened with.
pub struct CtLogSettings {
    /// The submission prefix without scheme and trailing slash (static-ct-api); fixed when the log is made.
    pub origin: String,
    /// DER of every CA certificate that entries name, issuing certificate first, root last.
    pub issuers: Vec<Vec<u8>>,
}

/// How large a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// All entries.
    pub entries: u64,
    /// Those among them that no durable tile holds yet. Up to 255 are no backlog.
    pub unsealed: u64,
}

/// Why a CT log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The origin cannot be one.
    #[error("`log.origin` {0:?} is not usable: {1}")]
    Origin(String, crate::transparency::Malformed),
    /// The log does not start.
    #[error("the certificate log: {0}")]
    Start(#[from] StartError),
    /// The issuers' certificates cannot be written.
    #[error(
        "cannot write a CA certificate into the log's data directory: {0}; where a damaged file stands in the way, delete it \
         and start again: it is named by the SHA-256 of what belongs into it, and written anew"
    )]
    Issuer(StoreError),
}

/// A CT log of ours.
pub struct CtLog {
    log: Log<LogEntry>,
    reader: LogReader,
    signer: Arc<dyn LogSigner>,
    origin: String,
    log_id: Hash,
    issuers: Vec<Vec<u8>>,
    signed: Mutex<Option<SignedTreeHead>>,
    submissions: Submissions,
}

impl Candidate for LogEntry {
    type Answer = UnsignedSct;

    fn at(self, place: Place) -> (Entry, UnsignedSct) {
        Self::at(self, place)
    }

    fn leaf_hash(bytes: &[u8]) -> Option<Hash> {
        DataTileEntry::parse_one(bytes).ok().map(|entry| entry.leaf_hash())
    }
}

impl CtLog {
    /// Opens the log, or makes a new one in an empty store. Blocks while it recovers.
    ///
    /// # Errors
    /// See [`OpenError`] and [`StartError`].
    pub fn open(
        settings: CtLogSettings,
        signer: Arc<dyn LogSigner>,
        stores: Stores,
        clock: Arc<dyn Clock>,
        stopwatch: Arc<dyn Stopwatch>,
    ) -> Result<Self, OpenError> {
        let CtLogSettings { origin, issuers } = settings;
        check_origin(&origin).map_err(|error| OpenError::Origin(origin.clone(), error))?;
        let log_id = sha256(signer.public_key());
        let identity = Identity { origin: origin.clone(), log_id };
        let log = Log::open(&identity, stores, clock, stopwatch)?;
        // Before any entry can name them.
        for issuer in &issuers {
            log.tiles().put(&issuer_path(&sha256(issuer)), issuer).map_err(OpenError::Issuer)?;
        }
        let reader = LogReader::new(log.tiles().clone(), log.view().clone(), DataTileEntry::length);
        let (signed, submissions) = (Mutex::default(), Submissions::default());
        Ok(Self { log, reader, signer, origin, log_id, issuers, signed, submissions })
    }

    /// The log at rest: what a server would go on from, checked as at its start, with nothing made and nothing written.
    /// `None`: there is no log.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn at_rest(
        identity: &Identity,
        stores: &Stores,
        clock: &dyn Clock,
    ) -> Result<Option<View>, StartError> {
        recovery::read(identity, stores, <LogEntry as Candidate>::leaf_hash, clock)
    }

    /// The same log, which also takes what others submit: chains of these CAs.
    #[must_use]
    pub fn accepting(mut self, accepted: AcceptedCas) -> Self {
        self.submissions.accepted = accepted;
        self
    }

    /// Whether others may submit anything.
    pub fn accepts_submissions(&self) -> bool {
        !self.submissions.accepted.is_empty()
    }

    /// Checks what somebody submits, and stores the CA certificates that its entry will name. Blocks meanwhile. `chain`: DER,
    /// the certificate first.
    ///
    /// # Errors
    /// [`Reason::ChainNotAccepted`] with the cause, [`Reason::LogUnavailable`] when the store fails.
    pub fn check_submission(&self, chain: Vec<Vec<u8>>, kind: SubmissionKind) -> Result<Submission, Refusal> {
        let submission = self.submissions.accepted.check(chain, kind);
        let submission =
            submission.map_err(|problem| Refusal::new(Reason::ChainNotAccepted).because(problem))?;
        for issuer in &submission.issuers {
            let fingerprint = sha256(issuer);
            if !self.submissions.is_stored(&fingerprint) {
                self.log.tiles().put(&issuer_path(&fingerprint), issuer).map_err(|error| {
                    tracing::error!(%error, "cannot write an issuer's certificate");
                    Refusal::new(Reason::LogUnavailable).retry_after(Duration::from_secs(30))
                })?;
                self.submissions.stored(fingerprint);
            }
        }
        Ok(submission)
    }

    /// Enters what was checked; a certificate that was submitted lately gets the SCT that it got then.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub async fn submit(&self, submission: Submission) -> Result<Sct, Refusal> {
        if let Some(sct) = self.submissions.answered(&submission.identity) {
            return Ok(sct);
        }
        let sct = self.enter(submission.entry).await?;
        self.submissions.remember(submission.identity, sct.clone());
        Ok(sct)
    }

    /// Enters a precertificate or a certificate; answers with the SCT (RFC 6962 §3.2) once the entry is durable.
    ///
    /// # Errors
    /// [`Reason::LogUnavailable`], [`Reason::Overloaded`], [`Reason::ShuttingDown`]. The entry may stand in the log then,
    /// but there is no SCT for it.
    pub async fn enter(&self, entry: LogEntry) -> Result<Sct, Refusal> {
        let UnsignedSct { place, input } = self.log.enter(entry).await?;
        let signature = self.signer.sign(&input).map_err(cannot_sign)?;
        Ok(Sct { log_id: self.log_id, place, signature })
    }

    /// The present signed tree head (RFC 6962 §3.5). Signed when it is asked for, once for each head, and served again for
    /// a minute; timestamps strictly increase.
    ///
    /// # Errors
    /// [`Reason::LogUnavailable`] when the key fails.
    pub fn sth(&self) -> Result<SignedTreeHead, Refusal> {
        let now = self.log.now();
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let (head, last) = {
            let view = self.log.view().read().unwrap_or_else(PoisonError::into_inner);
            (TreeHead { size: view.head.size, root: view.head.root, timestamp: now }, view.head.timestamp)
        };
        let mut timestamp = now.max(last);
        if let Some(signed) = &*signed {
            let fresh = signed.head.size == head.size && now.since(signed.head.timestamp) < STH_LIFETIME;
            if fresh {
                return Ok(signed.clone());
            }
            // RFC 6962 §3.5: more recent than the one before, whatever the clock says. A head that grew is signed even
            // where that is ahead of the clock (more than one new head a millisecond, or a clock that was set back):
            // what was answered is covered by every tree head that is asked for afterwards.
            timestamp = timestamp.max(UnixMillis(signed.head.timestamp.0.saturating_add(1)));
        }
        let head = TreeHead { timestamp, ..head };
        let signature = self.signer.sign(&head.signature_input()).map_err(cannot_sign)?;
        Ok(signed.insert(SignedTreeHead { head, signature }).clone())
    }

    /// The same tree head as a checkpoint (static-ct-api, "Checkpoints").
    ///
    /// # Errors
    /// As [`sth`](Self::sth).
    pub fn checkpoint(&self) -> Result<String, Refusal> {
        Ok(self.sth()?.to_note(&self.origin, &self.log_id))
    }

    /// Tiles, entries and proofs.
    pub const fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// DER of the CA certificate with this SHA-256, if an entry may name it.
    ///
    /// # Errors
    /// [`Reason::LogUnavailable`] when the store fails.
    pub fn issuer(&self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, Refusal> {
        if let Some(issuer) = self.issuers.iter().find(|issuer| sha256(issuer) == *fingerprint) {
            return Ok(Some(issuer.clone()));
        }
        self.log.tiles().get(&issuer_path(fingerprint)).map_err(|error| {
            tracing::error!(%error, "cannot read an issuer's certificate");
            Refusal::new(Reason::LogUnavailable)
        })
    }

    /// DER of the roots that entries chain to (RFC 6962 §4.7): the CA's own, then those that are accepted.
    pub fn roots(&self) -> impl Iterator<Item = &Vec<u8>> {
        let own = self.issuers.last();
        let accepted = self.submissions.accepted.roots().iter();
        own.into_iter().chain(accepted.filter(move |root| Some(*root) != own))
    }

    /// How large the log is now.
    pub fn extent(&self) -> Extent {
        self.log.extent()
    }

    /// The last time that the log has signed; zero for an empty one.
    pub fn last_timestamp(&self) -> UnixMillis {
        self.log.view().read().unwrap_or_else(PoisonError::into_inner).head.timestamp
    }

    /// All is well, or what is wrong, for operators; see [`Log::health`].
    ///
    /// # Errors
    /// What is wrong.
    pub fn health(&self) -> Result<(), String> {
        self.log.health()
    }

    /// What whoever runs it does with it.
    pub const fn lifecycle(&self) -> &dyn Lifecycle {
        &self.log
    }

    /// SHA-256 of the log key's DER SubjectPublicKeyInfo.
    pub const fn log_id(&self) -> &Hash {
        &self.log_id
    }

    /// The log key's DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        self.signer.public_key()
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Answers what is pending, seals what is complete, and ends. Blocks meanwhile; readers are answered on.
    pub fn close(&self) {
        self.log.close();
    }
}

/// static-ct-api, "Issuers".
fn issuer_path(fingerprint: &Hash) -> String {
    format!("issuer/{}", hex::encode(fingerprint))
}

fn cannot_sign(reason: String) -> Refusal {
    tracing::error!(reason, "the log's key cannot sign");
    Refusal::new(Reason::LogUnavailable).retry_after(Duration::from_secs(5))
}
