//! The signature log: verified signatures in; index, inclusion proof and checkpoint out (Rekor v2, c2sp.org/tlog-tiles).
//!
//! What is different from the certificate log stands here: what an entry's octets are ([`SignatureEntry`]), how checkpoints are signed
//! ([`note`]), the first entry, and that the same signature within minutes is the same entry (`log::recent`). Everything else is
//! [`Log`]'s.

use super::ct::Extent;
use super::ports::{Identity, LogSigner};
use super::reader::{LogReader, ReadError};
use super::recent::Recent;
use super::view::View;
use super::{Candidate, Lifecycle, Log, StartError, Stores, recovery};
use crate::environment::{Clock, Stopwatch, UnixMillis};
use crate::refusal::{Reason, Refusal};
use crate::rekor::canonical::{KeyMaterial, SignatureOf};
use crate::rekor::dsse::pre_authentication_encoding;
use crate::rekor::logged::LoggedKind;
use crate::rekor::{CanonicalBody, HashAlgorithm, KeyDetails, LoggedBody, VerifiedEntry};
use crate::transparency::checkpoint::check_origin;
use crate::transparency::note::{self, NoteKey, NoteKeyKind};
use crate::transparency::{Entry, Hash, Place, SignatureError, merkle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The payload's type of the log's own first entry; its payload is the origin.
const FIRST_ENTRY: &str = "application/vnd.countersign.signature-log";

/// Whether an entry is the log's own first one, with its signature over its origin.
pub fn is_first_entry(body: &LoggedBody, origin: &str, spki: &[u8]) -> bool {
    let Ok(key) = NoteKey::from_spki(spki) else { return false };
    let digest = HashAlgorithm::Sha256.digest(origin.as_bytes());
    let message = pre_authentication_encoding(FIRST_ENTRY, origin.as_bytes());
    let mut signatures = body.signatures();
    let (first, others) = (signatures.next(), signatures.len());
    body.kind() == LoggedKind::Dsse
        && body.digest() == (HashAlgorithm::Sha256, &digest)
        && others == 0
        && first.is_some_and(|signature| {
            signature.key == KeyMaterial::PublicKey(spki) && key.verifies(&message, signature.content)
        })
}

/// Why a signature log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The origin cannot be one.
    #[error("`signature_log.origin` {0:?} is not usable: {1}")]
    Origin(String, crate::transparency::Malformed),
    /// The key is of another kind.
    #[error("the signature log's key is neither Ed25519 nor ECDSA P-256")]
    Key(#[from] SignatureError),
    /// The log does not start.
    #[error("the signature log, in `signatures` of the data directory: {0}")]
    Start(#[from] StartError),
    /// The log's own first entry cannot be made or written.
    #[error("the signature log cannot write its first entry: {0}")]
    First(Refusal),
}

/// An entry: the canonical body, with its length before it (c2sp.org/tlog-tiles, "Log Entries").
pub struct SignatureEntry(Entry);

impl SignatureEntry {
    /// How long the first entry in the octets of an entry tile is, with the length before it. `None`: there is none.
    pub fn length(tile: &[u8]) -> Option<usize> {
        let (length, rest) = tile.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        (rest.len() >= length).then_some(2 + length)
    }

    /// The body of one entry and nothing after it.
    pub fn body(bytes: &[u8]) -> Option<&[u8]> {
        (Self::length(bytes)? == bytes.len()).then(|| bytes.get(2..)).flatten()
    }

    /// Its place is no part of it, so all of it is made here, and not by the thread that gives places.
    fn new(body: &CanonicalBody, leaf_hash: Hash) -> Self {
        let body = body.as_bytes();
        let length = u16::try_from(body.len()).expect("a canonical body has at most 65,535 octets");
        Self(Entry { bytes: [&length.to_be_bytes(), body].concat().into(), leaf_hash })
    }
}

impl Candidate for SignatureEntry {
    type Answer = Place;

    fn at(self, place: Place) -> (Entry, Place) {
        (self.0, place)
    }

    fn leaf_hash(bytes: &[u8]) -> Option<Hash> {
        Self::body(bytes).map(merkle::leaf_hash)
    }
}

/// An entry in the log, and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands: never 0.
    pub index: u64,
    /// The tree that the proof is for.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The audit path, lowest node first (RFC 6962 §2.1.1).
    pub proof: Vec<Hash>,
    /// The checkpoint of that tree, a signed note.
    pub checkpoint: Arc<str>,
}

/// A signature log of ours.
pub struct SignatureLog {
    log: Log<SignatureEntry>,
    reader: LogReader,
    signer: Arc<dyn LogSigner>,
    key: NoteKey,
    clock: Arc<dyn Clock>,
    origin: String,
    log_id: Hash,
    signed: Mutex<Option<(u64, Arc<str>)>>,
    recent: Recent,
}

impl SignatureLog {
    /// Opens the log, or makes a new one in an empty store, with its own first entry. Blocks while it recovers, on a thread for
    /// that.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        origin: String,
        signer: Arc<dyn LogSigner>,
        stores: Stores,
        clock: Arc<dyn Clock>,
        stopwatch: Arc<dyn Stopwatch>,
    ) -> Result<Self, OpenError> {
        check_origin(&origin).map_err(|error| OpenError::Origin(origin.clone(), error))?;
        let key = NoteKey::from_spki(signer.public_key())?;
        let log_id = key.log_id(&origin);
        let identity = Identity { origin: origin.clone(), log_id };
        let opening = tokio::task::spawn_blocking({
            let clock = clock.clone();
            move || Log::open(&identity, stores, clock, stopwatch)
        });
        let log = opening.await.map_err(|_| OpenError::First(Reason::Internal.into()))??;
        let reader = LogReader::new(log.tiles().clone(), log.view().clone(), SignatureEntry::length);
        let (signed, recent) = (Mutex::default(), Recent::default());
        let log = Self { log, reader, signer, key, clock, origin, log_id, signed, recent };
        log.make_first().await.map_err(OpenError::First)?;
        Ok(log)
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
        recovery::read(identity, stores, <SignatureEntry as Candidate>::leaf_hash, clock)
    }

    /// Clients leave out fields that are zero and then miss them, so nobody gets index 0: it is an envelope that the log itself
    /// signed over its origin. Its signature is none over a checkpoint: an origin has no space in it.
    async fn make_first(&self) -> Result<(), Refusal> {
        if self.reader.size() > 0 {
            return Ok(());
        }
        let message = pre_authentication_encoding(FIRST_ENTRY, self.origin.as_bytes());
        let content = self.signer.sign(&message).map_err(cannot_sign)?;
        let details = match self.key.kind() {
            NoteKeyKind::Ed25519 => KeyDetails::Ed25519,
            NoteKeyKind::EcdsaP256 => KeyDetails::P256Sha256,
        };
        let key = KeyMaterial::PublicKey(self.signer.public_key());
        let signature = SignatureOf { content: &content, key, details };
        let body = CanonicalBody::dsse(self.origin.as_bytes(), &[signature]).ok_or(Reason::Internal)?;
        let entry = SignatureEntry::new(&body, body.leaf_hash());
        self.log.enter(entry).await.map_err(unavailable)?;
        Ok(())
    }

    /// Records an entry; answers once it is durable. The same entry within ten minutes is the one that exists, also
    /// where its first sender did not wait for the answer.
    ///
    /// # Errors
    /// [`Reason::SignatureLogUnavailable`], [`Reason::Overloaded`], [`Reason::ShuttingDown`]. The entry may stand in the log
    /// then.
    pub async fn record(self: &Arc<Self>, entry: &VerifiedEntry) -> Result<Recorded, Refusal> {
        let place = self.enter(&entry.body).await?;
        self.prove(place.index).await
    }

    async fn enter(self: &Arc<Self>, body: &CanonicalBody) -> Result<Place, Refusal> {
        let leaf_hash = body.leaf_hash();
        let cell = self.recent.cell(leaf_hash, self.clock.now());
        if let Some(place) = cell.get() {
            return Ok(*place);
        }
        let (log, entry) = (self.clone(), SignatureEntry::new(body, leaf_hash));
        // On its own, so that it ends well even where the caller goes away: the next try finds it.
        let entering =
            tokio::spawn(async move { cell.get_or_try_init(|| log.log.enter(entry)).await.copied() });
        entering.await.map_err(|_| Reason::Internal)?.map_err(unavailable)
    }

    /// The proof that an entry is in the present tree, and that tree's checkpoint.
    async fn prove(self: &Arc<Self>, index: u64) -> Result<Recorded, Refusal> {
        let (size, root, proof) = match self.reader.live_inclusion_proof(index) {
            Some(live) => live,
            None => {
                let log = self.clone();
                let reading = tokio::task::spawn_blocking(move || log.stored_proof(index));
                reading.await.map_err(|_| Reason::Internal)?.map_err(|error| {
                    tracing::error!(%error, "the signature log cannot be read");
                    Refusal::new(Reason::SignatureLogUnavailable)
                })?
            }
        };
        let checkpoint = self.sign(size, &root)?;
        Ok(Recorded { index, size, root, proof, checkpoint })
    }

    fn stored_proof(&self, index: u64) -> Result<(u64, Hash, Vec<Hash>), ReadError> {
        let size = self.reader.size();
        Ok((size, self.reader.root(size)?, self.reader.inclusion_proof(index, size)?))
    }

    /// The checkpoint of the present tree.
    ///
    /// # Errors
    /// [`Reason::SignatureLogUnavailable`] when the key fails.
    pub fn checkpoint(&self) -> Result<Arc<str>, Refusal> {
        let (size, root) = {
            let view = self.log.view().read().unwrap_or_else(PoisonError::into_inner);
            (view.head.size, view.head.root)
        };
        self.sign(size, &root)
    }

    /// One signature for all that ask for the same tree.
    fn sign(&self, size: u64, root: &Hash) -> Result<Arc<str>, Refusal> {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, note)) = signed.as_ref().filter(|(known, _)| *known == size) {
            return Ok(note.clone());
        }
        let text = note::text(&self.origin, size, root);
        let signature = self.signer.sign(text.as_bytes()).map_err(cannot_sign)?;
        let note: Arc<str> = note::signed(&text, &self.origin, &self.log_id, &signature).into();
        // Whoever comes late with an older tree leaves the newer one to the others.
        if signed.as_ref().is_none_or(|(known, _)| *known < size) {
            *signed = Some((size, note.clone()));
        }
        Ok(note)
    }

    /// Tiles, entries and proofs.
    pub const fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// How large the log is now.
    pub fn extent(&self) -> Extent {
        self.log.extent()
    }

    /// The time of the newest entry; when the log was made, for one without entries.
    pub fn last_timestamp(&self) -> UnixMillis {
        self.log.view().read().unwrap_or_else(PoisonError::into_inner).head.timestamp
    }

    /// All is well, or what is wrong, for operators; see [`Log::health`].
    ///
    /// # Errors
    /// What is wrong.
    pub fn health(&self) -> Result<(), String> {
        self.log.health().map_err(|problem| format!("the signature log: {problem}"))
    }

    /// What whoever runs it does with it.
    pub const fn lifecycle(&self) -> &dyn Lifecycle {
        &self.log
    }

    /// The log's id: `logId.keyId` of every entry, 32 octets.
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

/// The log machinery speaks of certificates.
fn unavailable(refusal: Refusal) -> Refusal {
    match (refusal.reason(), refusal.retry_after_seconds()) {
        (Reason::LogUnavailable, Some(seconds)) => {
            Refusal::new(Reason::SignatureLogUnavailable).retry_after(Duration::from_secs(seconds))
        }
        (Reason::LogUnavailable, None) => Reason::SignatureLogUnavailable.into(),
        _ => refusal,
    }
}

fn cannot_sign(reason: String) -> Refusal {
    tracing::error!(reason, "the signature log's key cannot sign");
    Refusal::new(Reason::SignatureLogUnavailable).retry_after(Duration::from_secs(5))
}
