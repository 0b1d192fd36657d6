//! What a verification found.

use super::admission::Provenance;
use super::dsse::Statement;
use crate::certificate::inspect::Inspected;
use crate::environment::UnixMillis;
use crate::transparency::sct::ReceivedSct;
use std::fmt;

/// A time at which the signature was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTime {
    /// When.
    pub at: UnixMillis,
    /// Who says so.
    pub source: TimeSource,
}

/// Who states a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// A timestamp authority.
    Timestamp {
        /// Its URI in the trusted root.
        authority: String,
    },
    /// A log of Rekor's first version, by its signed entry timestamp.
    Log {
        /// Its base URL in the trusted root.
        log: String,
    },
}

impl fmt::Display for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timestamp { authority } => write!(f, "the timestamp authority {authority}"),
            Self::Log { log } => write!(f, "the log {log}"),
        }
    }
}

/// Where the signature is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedAt {
    /// The log's base URL in the trusted root.
    pub log: String,
    /// The entry's index.
    pub index: u64,
    /// Kind and version of the entry.
    pub kind: String,
}

/// When a certificate log promised to hold the certificate, by an SCT that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    /// When.
    pub at: UnixMillis,
    /// At which index, where the SCT says so (static-ct-api).
    pub index: Option<u64>,
}

impl Promised {
    pub(super) fn by(sct: &ReceivedSct) -> Self {
        Self { at: sct.timestamp(), index: sct.place().ok().map(|place| place.index) }
    }
}

/// One thing that was found to hold, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What was checked.
    pub name: &'static str,
    /// What was found.
    pub words: String,
}

/// A statement that was signed, and is about the artifact.
#[derive(Clone, Debug)]
pub(super) struct Attested {
    pub statement: Statement,
    /// What it calls the artifact.
    pub subject: String,
    pub provenance: Provenance,
}

/// A bundle that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) certificate: Option<Inspected>,
    pub(super) promised: Option<Promised>,
    pub(super) times: Vec<SignedTime>,
    pub(super) logged: Vec<LoggedAt>,
    pub(super) attested: Option<Attested>,
    pub(super) facts: Vec<Fact>,
    pub(super) admitted_by: Option<String>,
}

impl Verified {
    /// The signing certificate, unless a managed key signed.
    pub fn certificate(&self) -> Option<&Inspected> {
        self.certificate.as_ref()
    }

    /// When a trusted certificate log promised to hold the certificate, unless a managed key signed.
    pub fn promised(&self) -> Option<Promised> {
        self.promised
    }

    /// When the signature was there; at least one, unless a managed key signed.
    pub fn times(&self) -> &[SignedTime] {
        &self.times
    }

    /// Where it is logged; at least one place.
    pub fn logged(&self) -> &[LoggedAt] {
        &self.logged
    }

    /// The statement, where one was signed.
    pub fn statement(&self) -> Option<&Statement> {
        self.attested.as_ref().map(|attested| &attested.statement)
    }

    /// The name of the policy that admits it; `None`: the verifier has no policies.
    pub fn admitted_by(&self) -> Option<&str> {
        self.admitted_by.as_deref()
    }

    /// All that was found to hold, in the order in which it was checked.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }
}
