//! The timestamp authority's certificates: its own first, the root last (RFC 3161 §2.3).

use super::algorithm::CaAlgorithm;
use super::chain::{self, ChainError, MAX_CHAIN_LENGTH};
use super::link::{self, Link};
use super::{oids, pem};
use crate::environment::UnixMillis;
use std::fmt;

/// A chain under which timestamps can be made.
#[derive(Clone)]
pub struct TimestampChain {
    certificates: Vec<Vec<u8>>,
    titles: Vec<String>,
    validities: Vec<(UnixMillis, UnixMillis)>,
    algorithm: CaAlgorithm,
    issuer: Vec<u8>,
    serial: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
}

impl TimestampChain {
    /// Parses PEM: the authority's certificate first, the root last. Checks signatures, names, key identifiers; of the first that
    /// it is for timestamps and nothing else (extendedKeyUsage critical, timeStamping alone), and no CA; of the others what
    /// CA certificates must have.
    ///
    /// Validity is for [`Self::check_validity`], since it needs the time.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn from_pem(text: &[u8]) -> Result<Self, ChainError> {
        let certificates = chain::read_pem(text).map_err(ChainError::Unreadable)?;
        if !(2..=MAX_CHAIN_LENGTH).contains(&certificates.len()) {
            let problem = format!(
                "it has {} certificates; give the authority's own first and the root last, {MAX_CHAIN_LENGTH} at most",
                certificates.len()
            );
            return Err(ChainError::Unreadable(problem));
        }
        let mut links = Vec::with_capacity(certificates.len());
        for (index, der) in certificates.iter().enumerate() {
            links.push(Link::read("timestamp certificate", index, der)?);
        }
        let [own, issuers @ ..] = links.as_slice() else { return Err(ChainError::Unreadable(String::new())) };
        let (Some(issuer), Some(root)) = (issuers.first(), issuers.last()) else {
            return Err(ChainError::Unreadable(String::new()));
        };
        own.check_is_for_timestamps()?;
        own.check_issued_by(issuer)?;
        link::check_links(issuers, root, oids::TIME_STAMPING)?;
        let chain = Self {
            titles: links.iter().map(|link| link.title.clone()).collect(),
            validities: links.iter().map(|link| (link.raw.tbs.not_before, link.raw.tbs.not_after)).collect(),
            algorithm: own.algorithm()?,
            issuer: own.raw.tbs.issuer.to_vec(),
            serial: own.raw.tbs.serial.to_vec(),
            subject: own.raw.tbs.subject.to_vec(),
            spki: own.raw.tbs.spki.to_vec(),
            certificates: Vec::new(),
        };
        Ok(Self { certificates, ..chain })
    }

    /// Refuses a chain of which any certificate is expired or not valid yet.
    ///
    /// # Errors
    /// Which one.
    pub fn check_validity(&self, now: UnixMillis) -> Result<(), ChainError> {
        chain::check_validity(&self.titles, &self.validities, now)
    }

    /// Place and subject of each certificate, and the last second of its validity; the authority's own first.
    pub fn ends(&self) -> impl Iterator<Item = (&str, UnixMillis)> {
        self.titles.iter().zip(&self.validities).map(|(title, &(_, not_after))| (&**title, not_after))
    }

    /// Since when all of its certificates are valid.
    pub fn not_before(&self) -> UnixMillis {
        self.validities.iter().map(|(start, _)| *start).max().unwrap_or(UnixMillis(0))
    }

    /// DER, the authority's own certificate first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// All of them as PEM, the authority's own first.
    pub fn pem(&self) -> String {
        self.certificates.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
    }

    /// What the authority's key signs with.
    pub const fn algorithm(&self) -> CaAlgorithm {
        self.algorithm
    }

    /// DER Name of the own certificate's issuer.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The content octets of the own certificate's serial number.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// DER Name of the own certificate's subject.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// DER SubjectPublicKeyInfo of the own certificate.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl fmt::Debug for TimestampChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimestampChain").field("certificates", &self.titles).finish_non_exhaustive()
    }
}
