//! The two kinds of log for whoever reads one from outside, audits it or copies it: what its entries are, how its checkpoints are
//! signed, which log it is.

use super::ports::Identity;
use super::signatures::{SignatureEntry, is_first_entry};
use super::view::View;
use super::{CtLog, SignatureLog, StartError, Stores};
use crate::environment::{Clock, UnixMillis};
use crate::rekor::LoggedBody;
use crate::transparency::checkpoint::{Checkpoint, CheckpointError, TreeHead};
use crate::transparency::note::{self, NoteKey};
use crate::transparency::precertificate::{DataTileEntry, LoggedCertificate};
use crate::transparency::{Hash, Place, SignatureError, merkle, sha256};

/// What a log is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogKind {
    /// Precertificates and certificates (RFC 6962, static-ct-api).
    #[default]
    Certificates,
    /// Signatures (Rekor v2, tlog-tiles).
    Signatures,
}

impl LogKind {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificates => "certificate log",
            Self::Signatures => "signature log",
        }
    }

    /// The section of the configuration that it stands in.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Certificates => "log",
            Self::Signatures => "signature_log",
        }
    }

    /// Whether entries and checkpoints have a time in them.
    pub const fn is_dated(self) -> bool {
        matches!(self, Self::Certificates)
    }

    /// How long the first entry in the octets of a tile of entries is; `None`: there is none.
    pub fn entry_length(self) -> fn(&[u8]) -> Option<usize> {
        match self {
            Self::Certificates => DataTileEntry::length,
            Self::Signatures => SignatureEntry::length,
        }
    }

    /// The first entry in the octets of a tile of entries, and what follows it.
    ///
    /// # Errors
    /// In words: it is cut, or no entry of such a log.
    pub fn take(self, tile: &[u8]) -> Result<(LoggedEntry<'_>, &[u8]), String> {
        match self {
            Self::Certificates => {
                let (entry, rest) = DataTileEntry::parse(tile).map_err(|error| error.to_string())?;
                Ok((LoggedEntry::Certificate(entry), rest))
            }
            Self::Signatures => {
                let length = SignatureEntry::length(tile).ok_or("it is cut")?;
                let (own, rest) = tile.split_at_checked(length).ok_or("it is cut")?;
                let body = SignatureEntry::body(own).ok_or("it is cut")?;
                let leaf_hash = merkle::leaf_hash(body);
                Ok((LoggedEntry::Signature { leaf_hash, body: LoggedBody::parse(body)? }, rest))
            }
        }
    }

    /// The log at rest: what a server would go on from, checked as at its start. `None`: there is no log.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn at_rest(
        self,
        identity: &Identity,
        stores: &Stores,
        clock: &dyn Clock,
    ) -> Result<Option<View>, StartError> {
        match self {
            Self::Certificates => CtLog::at_rest(identity, stores, clock),
            Self::Signatures => SignatureLog::at_rest(identity, stores, clock),
        }
    }
}

/// An entry that was read.
pub enum LoggedEntry<'t> {
    /// A certificate log's.
    Certificate(DataTileEntry<'t>),
    /// A signature log's.
    Signature {
        /// Its leaf hash.
        leaf_hash: Hash,
        /// What it says.
        body: LoggedBody,
    },
}

impl LoggedEntry<'_> {
    /// RFC 6962 §2.1.
    pub fn leaf_hash(&self) -> Hash {
        match self {
            Self::Certificate(entry) => entry.leaf_hash(),
            Self::Signature { leaf_hash, .. } => *leaf_hash,
        }
    }

    /// Where and when it says that it was logged; a signature says neither.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Certificate(entry) => Some(entry.place()),
            Self::Signature { .. } => None,
        }
    }

    /// SHA-256 of the CA certificates that it names, issuing certificate first.
    pub fn fingerprints(&self) -> &[Hash] {
        match self {
            Self::Certificate(entry) => entry.fingerprints(),
            Self::Signature { .. } => &[],
        }
    }

    /// Whether it is a certificate, not a precertificate.
    pub fn is_final_certificate(&self) -> bool {
        matches!(self, Self::Certificate(entry) if matches!(entry.certificate(), LoggedCertificate::X509(_)))
    }
}

/// A log by its name and its key: what its checkpoints are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    kind: LogKind,
    origin: String,
    spki: Vec<u8>,
    log_id: Hash,
}

impl KnownLog {
    /// The log with this origin and this key (DER SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`SignatureError::Key`]: no signature log has such a key.
    pub fn new(kind: LogKind, origin: &str, spki: &[u8]) -> Result<Self, SignatureError> {
        let spki = spki.to_vec();
        match kind {
            LogKind::Certificates => Ok(Self::certificates(origin, spki)),
            LogKind::Signatures => {
                let log_id = NoteKey::from_spki(&spki)?.log_id(origin);
                Ok(Self { kind, origin: origin.to_owned(), spki, log_id })
            }
        }
    }

    /// The certificate log with this origin and this key (DER SubjectPublicKeyInfo).
    pub fn certificates(origin: &str, spki: Vec<u8>) -> Self {
        let log_id = sha256(&spki);
        Self { kind: LogKind::Certificates, origin: origin.to_owned(), spki, log_id }
    }

    /// What it is of.
    pub const fn kind(&self) -> LogKind {
        self.kind
    }

    /// The first line of its checkpoints.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its key, DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Its id.
    pub const fn log_id(&self) -> &Hash {
        &self.log_id
    }

    /// What its stores must say that they are of.
    pub fn identity(&self) -> Identity {
        Identity { origin: self.origin.clone(), log_id: self.log_id }
    }

    /// Reads a checkpoint of this log. That of a signature log has no time: `timestamp` is 0 then.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn verify(&self, checkpoint: &[u8]) -> Result<TreeHead, CheckpointError> {
        match self.kind {
            LogKind::Certificates => Ok(*Checkpoint::verify(checkpoint, &self.origin, &self.spki)?.head()),
            LogKind::Signatures => {
                let key = NoteKey::from_spki(&self.spki)?;
                let head = note::verify(checkpoint, &self.origin, &key)?;
                Ok(TreeHead { size: head.size, root: head.root, timestamp: UnixMillis(0) })
            }
        }
    }

    /// What is asked of an entry beyond its place in the tree, where that can be told by the log's name and key: a signature log
    /// begins with an entry of its own.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self, index: u64, entry: &LoggedEntry<'_>) -> Result<(), String> {
        match entry {
            LoggedEntry::Signature { body, .. }
                if index == 0 && !is_first_entry(body, &self.origin, &self.spki) =>
            {
                Err("it is not the log's own, with which a signature log begins".to_owned())
            }
            _ => Ok(()),
        }
    }
}
