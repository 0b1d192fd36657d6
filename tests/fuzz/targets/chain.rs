//! A chain that somebody submits to the log: PEM here, base64 of DER in the request.

use super::world::CHAIN;
use countersign::certificate::accepted::{AcceptedCas, SubmissionKind};
use countersign::certificate::pem;
use countersign::environment::UnixMillis;
use countersign::transparency::precertificate::{DataTileEntry, LoggedCertificate};
use countersign::transparency::{Place, sha256};
use std::sync::OnceLock;

fn accepted() -> &'static AcceptedCas {
    static ACCEPTED: OnceLock<AcceptedCas> = OnceLock::new();
    ACCEPTED.get_or_init(|| {
        let mut accepted = AcceptedCas::default();
        accepted.add_pem(CHAIN.as_bytes()).expect("a root");
        accepted
    })
}

/// What is accepted leads to an accepted root, and its entry is read back as what was submitted.
pub fn target(data: &[u8]) {
    let mut own = AcceptedCas::default();
    match own.add_pem(data) {
        Err(words) => assert!(!words.is_empty()),
        Ok(()) => assert!(!own.is_empty()),
    }
    let Ok(blocks) = pem::blocks(data) else { return };
    let chain: Vec<Vec<u8>> = blocks.iter().take(16).map(|block| block.der.to_vec()).collect();
    for kind in [SubmissionKind::Certificate, SubmissionKind::Precertificate] {
        let submission = match accepted().check(chain.clone(), kind) {
            Ok(submission) => submission,
            Err(words) => {
                assert!(!words.is_empty());
                continue;
            }
        };
        let leaf = chain.first().expect("a certificate");
        assert_eq!(submission.identity, sha256(leaf));
        let root = submission.issuers.last().expect("a root");
        assert!(accepted().roots().contains(root));
        let (entry, _) = submission.entry.at(Place { index: 7, timestamp: UnixMillis(1) });
        let read = DataTileEntry::parse_one(&entry.bytes).expect("an entry");
        assert!(read.fingerprints().iter().copied().eq(submission.issuers.iter().map(|der| sha256(der))));
        let logged = match read.certificate() {
            LoggedCertificate::X509(certificate) => certificate,
            LoggedCertificate::Precertificate { precertificate, .. } => precertificate,
        };
        assert_eq!(logged, leaf);
    }
}
