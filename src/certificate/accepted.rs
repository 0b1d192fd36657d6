//! Chains that others submit to our log (RFC 6962 §3.1): which CAs are accepted, and what a proper chain is.
//!
//! A log records what CAs did, so it is lenient where a verifier is strict: validity, extended key usage and path lengths
//! are not looked at. Precertificates signed by a Precertificate Signing Certificate are not taken.

use super::chain::MAX_CHAIN_LENGTH;
use super::raw::{RawCertificate, RawTbs, without_extension};
use super::{oids, pem, signature};
use crate::transparency::precertificate::{LogEntry, LoggedCertificate};
use crate::transparency::{Hash, sha256};
use der::asn1::ObjectIdentifier;
use std::collections::HashSet;
use std::fmt;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

/// The largest certificate that is taken, in octets: a data tile has 256 entries.
pub const MAX_SUBMITTED: usize = 64 * 1024;

/// RFC 6962 §3.1: extended key usage of a Precertificate Signing Certificate.
const PRECERTIFICATE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.4");

/// Whose certificates the log takes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AcceptedCas {
    roots: Vec<Vec<u8>>,
    intermediates: Vec<Vec<u8>>,
}

/// What is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmissionKind {
    /// add-chain: final certificates.
    Certificate,
    /// add-pre-chain: precertificates.
    Precertificate,
}

/// A chain that may be logged.
#[derive(Debug)]
pub struct Submission {
    /// The entry.
    pub entry: LogEntry,
    /// DER of the CA certificates that the entry names, issuing certificate first, root last.
    pub issuers: Vec<Vec<u8>>,
    /// SHA-256 of the submitted certificate.
    pub identity: Hash,
}

impl AcceptedCas {
    /// Adds the certificates of a PEM file: its self-signed ones are roots that are accepted, the others complete chains
    /// that lack them.
    ///
    /// # Errors
    /// In words: what is wrong with the file.
    pub fn add_pem(&mut self, text: &[u8]) -> Result<(), String> {
        let mut roots = 0;
        for (index, block) in pem::blocks(text)?.into_iter().enumerate() {
            if block.label != "CERTIFICATE" {
                return Err(format!("has a block {:?}; only CERTIFICATE may be in it", block.label));
            }
            let place = format!("certificate {}", index + 1);
            let parsed = parse(&block.der, &place)?;
            check_is_ca(&parsed.tbs, &place)?;
            if is_issued_by(&parsed, &parsed) {
                roots += 1;
                push_new(&mut self.roots, &block.der);
            } else {
                push_new(&mut self.intermediates, &block.der);
            }
        }
        match roots {
            0 => Err("has no root: a self-signed certificate is expected".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// DER of the roots.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Checks a chain, DER, certificate first: each is issued by the next, and the last by an accepted root, be it in the
    /// chain or not.
    ///
    /// # Errors
    /// In words for the submitter.
    pub fn check(&self, mut chain: Vec<Vec<u8>>, kind: SubmissionKind) -> Result<Submission, String> {
        if chain.iter().any(|der| der.len() > MAX_SUBMITTED) {
            return Err(format!("A certificate has more than {} KiB.", MAX_SUBMITTED / 1024));
        }
        self.complete(&mut chain)?;
        let mut parsed = Vec::with_capacity(chain.len());
        for (index, der) in chain.iter().enumerate() {
            parsed.push(parse(der, &format!("Certificate {}", index + 1))?);
        }
        for (index, (below, above)) in parsed.iter().zip(parsed.iter().skip(1)).enumerate() {
            check_is_ca(&above.tbs, &format!("Certificate {}", index + 2))?;
            if !is_issued_by(below, above) {
                return Err(format!("Certificate {} is not issued by certificate {}.", index + 1, index + 2));
            }
        }
        // A root is its own issuer, so a chain could go on for ever.
        let distinct: HashSet<_> = chain.iter().collect();
        if distinct.len() < chain.len() {
            return Err("A certificate is in the chain twice.".to_owned());
        }
        let [leaf, issuer, ..] = parsed.as_slice() else {
            return Err("A root itself is not logged.".to_owned());
        };
        check_poison(&leaf.tbs, kind)?;
        let (issuer_key_hash, tbs) = match kind {
            SubmissionKind::Certificate => (Hash::default(), Vec::new()),
            SubmissionKind::Precertificate => {
                check_is_no_precertificate_signer(&issuer.tbs)?;
                let tbs = without_extension(leaf.tbs_der, oids::POISON)
                    .map_err(|error| format!("Certificate 1 cannot be read: {error}."))?;
                (sha256(issuer.tbs.spki), tbs)
            }
        };
        Ok(submission(chain, kind, issuer_key_hash, tbs))
    }

    /// Appends what is missing up to a root.
    fn complete(&self, chain: &mut Vec<Vec<u8>>) -> Result<(), String> {
        const UNKNOWN: &str = "The chain does not lead to a root that this log accepts from others: get-roots lists them, and the root of \
            the log's own CA, whose certificates are entered by that CA alone.";
        while chain.len() <= MAX_CHAIN_LENGTH + 1 {
            let last = chain.last().ok_or("The chain is empty.")?;
            if self.roots.contains(last) {
                return Ok(());
            }
            let parsed = parse(last, &format!("Certificate {}", chain.len()))?;
            let known = self.roots.iter().chain(&self.intermediates).filter(|der| *der != last);
            let mut issuers =
                known.filter(|der| RawCertificate::parse(der).is_ok_and(|it| is_issued_by(&parsed, &it)));
            let issuer = issuers.next().ok_or(UNKNOWN)?.clone();
            chain.push(issuer);
        }
        Err(format!("The chain has more than {} certificates.", MAX_CHAIN_LENGTH + 1))
    }
}

impl fmt::Debug for AcceptedCas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedCas").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

fn submission(chain: Vec<Vec<u8>>, kind: SubmissionKind, issuer_key_hash: Hash, tbs: Vec<u8>) -> Submission {
    let mut chain = chain.into_iter();
    let leaf = chain.next().unwrap_or_default();
    let issuers: Vec<Vec<u8>> = chain.collect();
    let fingerprints: Vec<Hash> = issuers.iter().map(|der| sha256(der)).collect();
    let identity = sha256(&leaf);
    let logged = match kind {
        SubmissionKind::Certificate => LoggedCertificate::X509(&leaf),
        SubmissionKind::Precertificate => LoggedCertificate::Precertificate {
            issuer_key_hash: &issuer_key_hash,
            tbs: &tbs,
            precertificate: &leaf,
        },
    };
    Submission { entry: LogEntry::new(logged, &fingerprints), issuers, identity }
}

fn parse<'d>(der: &'d [u8], place: &str) -> Result<RawCertificate<'d>, String> {
    RawCertificate::parse(der).map_err(|error| format!("{place} cannot be read: {error}."))
}

fn push_new(list: &mut Vec<Vec<u8>>, der: &[u8]) {
    if !list.iter().any(|known| known == der) {
        list.push(der.to_vec());
    }
}

/// By name and signature.
fn is_issued_by(certificate: &RawCertificate<'_>, issuer: &RawCertificate<'_>) -> bool {
    let RawCertificate { tbs_der, algorithm, signature, .. } = certificate;
    certificate.tbs.issuer == issuer.tbs.subject
        && signature::verify(issuer.tbs.spki, algorithm, tbs_der, signature).is_ok()
}

fn check_is_ca(tbs: &RawTbs<'_>, place: &str) -> Result<(), String> {
    let unreadable = |error| format!("{place} cannot be read: {error}.");
    let is_ca = tbs.decoded::<BasicConstraints>().map_err(unreadable)?.is_some_and(|it| it.ca);
    let signs = tbs.decoded::<KeyUsage>().map_err(unreadable)?.is_none_or(|usage| usage.key_cert_sign());
    if is_ca && signs { Ok(()) } else { Err(format!("{place} is not a CA's.")) }
}

/// RFC 6962 §3.1: critical, and ASN.1 NULL.
fn check_poison(tbs: &RawTbs<'_>, kind: SubmissionKind) -> Result<(), String> {
    let problem = match (kind, tbs.extension(oids::POISON)) {
        (SubmissionKind::Certificate, None) => return Ok(()),
        (SubmissionKind::Precertificate, Some(poison)) if poison.critical && poison.value == [5, 0] => {
            return Ok(());
        }
        (SubmissionKind::Certificate, Some(_)) => {
            "Certificate 1 is a precertificate: submit it to add-pre-chain."
        }
        (SubmissionKind::Precertificate, Some(_)) => {
            "The poison of certificate 1 must be critical, and its value NULL."
        }
        (SubmissionKind::Precertificate, None) => {
            "Certificate 1 is no precertificate, for it lacks the poison: submit it to add-chain."
        }
    };
    Err(problem.to_owned())
}

fn check_is_no_precertificate_signer(tbs: &RawTbs<'_>) -> Result<(), String> {
    let usages = tbs.decoded::<ExtendedKeyUsage>();
    let usages = usages.map_err(|error| format!("Certificate 2 cannot be read: {error}."))?;
    match usages {
        Some(usages) if usages.0.contains(&PRECERTIFICATE_SIGNING) => {
            Err("Precertificate Signing Certificates are not supported: sign with the issuing key."
                .to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, CHAIN, NOW};
    use super::*;
    use proptest::prelude::*;

    fn accepted() -> AcceptedCas {
        let mut accepted = AcceptedCas::default();
        accepted.add_pem(CHAIN.as_bytes()).unwrap();
        accepted
    }

    fn precertificate() -> Vec<u8> {
        let template = testing::template(&testing::chain(), NOW).unwrap();
        let signature = testing::sign(template.precertificate_tbs());
        template.into_precertificate(&signature).der().to_vec()
    }

    #[test]
    fn what_a_ca_submits_is_the_entry_that_it_would_log_itself() {
        let template = testing::template(&testing::chain(), NOW).unwrap();
        let signature = testing::sign(template.precertificate_tbs());
        let precertificate = template.into_precertificate(&signature);
        let theirs = LogEntry::from(&precertificate);
        let submission =
            accepted().check(vec![precertificate.der().to_vec()], SubmissionKind::Precertificate).unwrap();
        assert_eq!(submission.entry, theirs);
        assert_eq!(submission.issuers, testing::chain().certificates());
    }

    #[test]
    fn files_without_a_root_or_with_keys_are_refused() {
        let issuing = testing::chain().pem()[0].clone();
        let mut accepted = AcceptedCas::default();
        for (text, expected) in [
            (String::new(), "has no root"),
            (issuing, "has no root"),
            (testing::ISSUING_KEY.to_owned(), "only CERTIFICATE may be in it"),
            (testing::issue(&testing::chain(), NOW).pem(), "certificate 1 is not a CA's"),
        ] {
            let refusal = accepted.add_pem(text.as_bytes()).unwrap_err();
            assert!(refusal.contains(expected), "expected {expected:?}, got {refusal:?}");
        }
        assert!(accepted.is_empty());
    }

    #[test]
    fn no_cut_and_no_flipped_bit_is_taken() {
        let (accepted, good) = (accepted(), precertificate());
        let check = |der: &[u8]| accepted.check(vec![der.to_vec()], SubmissionKind::Precertificate);
        assert!(check(&good).is_ok());
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(check(&bad).is_err() && check(&good[..at]).is_err(), "octet {at}");
        }
        let large = accepted.check(vec![vec![0; MAX_SUBMITTED + 1]], SubmissionKind::Certificate);
        assert!(large.unwrap_err().contains("64 KiB"));
        assert!(accepted.check(Vec::new(), SubmissionKind::Certificate).is_err());
    }

    proptest! {
        #[test]
        fn any_chain_is_survived(chain in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..4)) {
            prop_assert!(accepted().check(chain, SubmissionKind::Certificate).is_err());
        }
    }
}
