//! A certificate log on a real data directory, with a clock and a key of the test's, and the audit of it.

use crate::support::TestClock;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use countersign::log::audit::{Audit, SourceError, TileSource};
use countersign::log::ct::{CtLogSettings, OpenError};
use countersign::log::ports::LogSigner;
use countersign::log::reader::LogReader;
use countersign::log::{CtLog, Stores};
use countersign::store::DataDirectory;
use countersign::transparency::checkpoint::TreeHead;
use countersign::transparency::precertificate::PrecertificateEntry;
use countersign::transparency::sct::Sct;
use countersign::transparency::tile::{TileKind, TilePath};
use countersign::transparency::{Hash, sha256};
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

pub const NOW: u64 = 1_800_000_000_000;
pub const ORIGIN: &str = "ca.example.com/ct";

/// The log's key, which can be handed to another process.
pub struct TestKey {
    key: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl TestKey {
    pub fn generate() -> Arc<Self> {
        Self::of(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    pub fn from_hex(pkcs8: &str) -> Arc<Self> {
        let pkcs8 = hex::decode(pkcs8).expect("hexadecimal");
        Self::of(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).expect("a key"))
    }

    pub fn to_hex(&self) -> String {
        hex::encode(self.key.to_pkcs8v1().expect("PKCS #8").as_ref())
    }

    fn of(key: EcdsaKeyPair) -> Arc<Self> {
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("DER").as_ref().to_vec();
        Arc::new(Self { key, spki })
    }
}

impl LogSigner for TestKey {
    fn public_key(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        #[expect(clippy::disallowed_methods, reason = "a nonce for a test's signature")]
        let random = aws_lc_rs::rand::SystemRandom::new();
        Ok(self.key.sign(&random, message).expect("a signature").as_ref().to_vec())
    }
}

/// Starts the log in `data` as the server does.
pub fn start(data: &Path, key: &Arc<TestKey>, clock: &Arc<TestClock>) -> Result<Arc<CtLog>, String> {
    let stores = DataDirectory::open(data).map_err(|error| format!("{error}"))?;
    start_on(stores.into(), key, clock).map_err(|error| format!("{error}"))
}

pub fn start_on(stores: Stores, key: &Arc<TestKey>, clock: &Arc<TestClock>) -> Result<Arc<CtLog>, OpenError> {
    start_as(ORIGIN, stores, key, clock)
}

pub fn start_as(
    origin: &str,
    stores: Stores,
    key: &Arc<TestKey>,
    clock: &Arc<TestClock>,
) -> Result<Arc<CtLog>, OpenError> {
    let issuers = vec![b"intermediate".to_vec(), b"root".to_vec()];
    let settings = CtLogSettings { origin: origin.to_owned(), issuers };
    CtLog::open(settings, key.clone(), stores, clock.clone(), clock.clone()).map(Arc::new)
}

/// The precertificate that the driver calls `number`. Most are of the size of real ones, one in fifty is cut by the store.
pub fn precertificate(number: u64) -> PrecertificateEntry {
    let length = if number % 50 == 49 { 20_000 } else { 300 + (number as usize * 37) % 1500 };
    PrecertificateEntry {
        issuer_key_hash: [5; 32],
        tbs: format!("tbs {number}").into_bytes(),
        precertificate: sha256(&number.to_be_bytes()).repeat(length / 32),
        fingerprints: [sha256(b"intermediate"), sha256(b"root")].into(),
    }
}

/// Enters as many at once. What was answered: the SCT and the leaf hash that it promises.
pub fn enter_many(log: &Arc<CtLog>, numbers: std::ops::Range<u64>) -> Vec<(Sct, Hash)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let answers = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for number in numbers {
            let log = log.clone();
            tasks.spawn(async move {
                let entry = precertificate(number);
                let sct = log.enter(entry.clone()).await.ok()?;
                Some((sct.clone(), entry.at(sct.place).leaf_hash))
            });
        }
        tasks.join_all().await
    });
    let mut answers: Vec<_> = answers.into_iter().flatten().collect();
    answers.sort_by_key(|(sct, _)| sct.place.index);
    answers
}

/// What clients hold: none of it may ever become untrue.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Index and leaf hash of every entry that was answered.
    pub entries: Vec<(u64, Hash)>,
    /// Every checkpoint that was served.
    pub heads: Vec<TreeHead>,
}

/// Audits the whole log against its checkpoint, and looks for what was promised. The first thing that is wrong.
pub fn audit(log: &CtLog, key: &TestKey, promises: &Promises) -> Result<(), String> {
    let checkpoint = log.checkpoint().map_err(|refusal| format!("no checkpoint: {refusal:?}"))?;
    let audit =
        Audit::of_checkpoint(checkpoint.as_bytes(), ORIGIN, &key.spki).map_err(|error| error.to_string())?;
    let audit = promises.heads.iter().fold(audit, |audit, head| audit.extending(*head));
    let mut source = Source { reader: log.reader(), leaves: Vec::new() };
    let report = audit.run(&mut source, &mut |_, _| {}).map_err(|error| error.to_string())?;
    if let Some(problem) = report.problems.first() {
        return Err(format!("the audit found {} problems, first: {problem}", report.problems.len()));
    }
    if report.earlier.len() != promises.heads.len() {
        return Err("a checkpoint that was served was not reached".to_owned());
    }
    for (index, leaf) in &promises.entries {
        if source.leaves.get(*index as usize) != Some(leaf) {
            let other = source.leaves.get(*index as usize).map_or("nothing", |_| "another entry");
            return Err(format!("entry {index} was answered, and there is {other} at its index"));
        }
    }
    Ok(())
}

/// The log's own reader, with a note of every leaf hash.
struct Source<'l> {
    reader: &'l LogReader,
    leaves: Vec<Hash>,
}

impl TileSource for Source<'_> {
    fn tile(&mut self, path: &TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        // What cannot be read is missing to the audit, which says so.
        let content = self.reader.tile(path).ok().flatten();
        if path.kind() == TileKind::Hashes(0) {
            self.leaves.truncate(path.index() as usize * 256);
            self.leaves.extend(content.iter().flat_map(|content| content.as_chunks().0.to_vec()));
        }
        Ok(content)
    }

    fn issuer(&mut self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, SourceError> {
        self.reader.issuer(fingerprint).map_err(|error| SourceError(error.to_string()))
    }
}
