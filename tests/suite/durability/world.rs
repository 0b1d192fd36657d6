//! A log of either kind on a real data directory, with a clock and a key of the test's, and the audit of it.

use crate::support::TestClock;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use countersign::log::audit::{Audit, SourceError, TileSource};
use countersign::log::ct::{CtLogSettings, OpenError};
use countersign::log::kind::LoggedEntry;
use countersign::log::ports::LogSigner;
use countersign::log::reader::LogReader;
use countersign::log::{CtLog, KnownLog, LogKind, SignatureLog, Stores};
use countersign::rekor::canonical::{KeyMaterial, SignatureOf};
use countersign::rekor::{CanonicalBody, HashAlgorithm, KeyDetails, VerifiedEntry};
use countersign::store::{DataDirectory, LockedDirectory};
use countersign::transparency::checkpoint::TreeHead;
use countersign::transparency::precertificate::{LogEntry, LoggedCertificate};
use countersign::transparency::sct::Sct;
use countersign::transparency::tile::{TileKind, TilePath};
use countersign::transparency::{Hash, merkle, sha256};
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

pub const NOW: u64 = 1_800_000_000_000;
pub const ORIGIN: &str = "ca.example.com/ct";

/// The key of a log of one kind, which can be handed to another process.
pub struct TestKey {
    pub kind: LogKind,
    key: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl TestKey {
    /// Of a certificate log.
    pub fn generate() -> Arc<Self> {
        Self::generate_for(LogKind::Certificates)
    }

    pub fn generate_for(kind: LogKind) -> Arc<Self> {
        Self::of(kind, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    pub fn from_hex(kind: LogKind, pkcs8: &str) -> Arc<Self> {
        let pkcs8 = hex::decode(pkcs8).expect("hexadecimal");
        Self::of(kind, EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).expect("a key"))
    }

    pub fn to_hex(&self) -> String {
        hex::encode(self.key.to_pkcs8v1().expect("PKCS #8").as_ref())
    }

    fn of(kind: LogKind, key: EcdsaKeyPair) -> Arc<Self> {
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("DER").as_ref().to_vec();
        Arc::new(Self { kind, key, spki })
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
pub fn precertificate(number: u64) -> LogEntry {
    let length = if number % 50 == 49 { 20_000 } else { 300 + (number as usize * 37) % 1500 };
    let (tbs, precertificate) = (format!("tbs {number}"), sha256(&number.to_be_bytes()).repeat(length / 32));
    let logged = LoggedCertificate::Precertificate {
        issuer_key_hash: &[5; 32],
        tbs: tbs.as_bytes(),
        precertificate: &precertificate,
    };
    LogEntry::new(logged, &[sha256(b"intermediate"), sha256(b"root")])
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
                Some((sct.clone(), entry.at(sct.place).0.leaf_hash))
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

/// The entry of a signature log that the driver calls `number`, of the sizes of [`precertificate`].
pub fn signature(number: u64) -> VerifiedEntry {
    let length = if number % 50 == 49 { 20_000 } else { 300 + (number as usize * 37) % 1500 };
    let content = sha256(&number.to_be_bytes()).repeat(length / 32);
    let key = KeyMaterial::PublicKey(&[0x30, 0]);
    let signature = SignatureOf { content: &content, key, details: KeyDetails::P256Sha256 };
    let body = CanonicalBody::hashedrekord(HashAlgorithm::Sha256, &[5; 32], signature).expect("short");
    VerifiedEntry { kind: "hashedrekord", body }
}

/// A log of either kind.
pub enum TestLog {
    Certificates(Arc<CtLog>),
    Signatures(Arc<SignatureLog>),
}

impl TestLog {
    /// Starts the log of the key's kind in `data` as the server does, which has both in one directory.
    pub fn start(data: &Path, key: &Arc<TestKey>, clock: &Arc<TestClock>) -> Result<Self, String> {
        let stores = LockedDirectory::open(data).and_then(|data| data.log(key.kind));
        Self::start_on(stores.map_err(|error| format!("{error}"))?, key, clock)
    }

    pub fn start_on(stores: Stores, key: &Arc<TestKey>, clock: &Arc<TestClock>) -> Result<Self, String> {
        match key.kind {
            LogKind::Certificates => {
                start_on(stores, key, clock).map(Self::Certificates).map_err(|error| error.to_string())
            }
            LogKind::Signatures => {
                let log =
                    SignatureLog::open(ORIGIN.into(), key.clone(), stores, clock.clone(), clock.clone());
                let log = runtime().block_on(log);
                log.map(|log| Self::Signatures(Arc::new(log))).map_err(|error| error.to_string())
            }
        }
    }

    /// Enters as many at once. What was answered: index and leaf hash, in the order of indices.
    pub fn enter_many(&self, numbers: std::ops::Range<u64>) -> Vec<(u64, Hash)> {
        let log = match self {
            Self::Certificates(log) => {
                let answers = enter_many(log, numbers);
                return answers.into_iter().map(|(sct, leaf)| (sct.place.index, leaf)).collect();
            }
            Self::Signatures(log) => log,
        };
        let answers = runtime().block_on(async {
            let mut tasks = JoinSet::new();
            for number in numbers {
                let log = log.clone();
                tasks.spawn(async move {
                    let entry = signature(number);
                    let leaf = entry.body.leaf_hash();
                    let recorded = log.record(&entry).await.ok()?;
                    let proven = merkle::verify_inclusion(
                        &leaf,
                        recorded.index,
                        recorded.size,
                        &recorded.proof,
                        &recorded.root,
                    );
                    assert!(proven, "entry {} is answered with its proof", recorded.index);
                    Some((recorded.index, leaf))
                });
            }
            tasks.join_all().await
        });
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        answers.sort_unstable();
        answers
    }

    /// What the log signs now; a signature log's has no time.
    pub fn head(&self, key: &TestKey) -> Result<TreeHead, String> {
        let checkpoint = match self {
            Self::Certificates(log) => log.checkpoint().map(|note| note.to_string()),
            Self::Signatures(log) => log.checkpoint().map(|note| note.to_string()),
        };
        let checkpoint = checkpoint.map_err(|refusal| format!("no checkpoint: {refusal:?}"))?;
        let known = KnownLog::new(key.kind, ORIGIN, &key.spki).expect("a key");
        known.verify(checkpoint.as_bytes()).map_err(|error| error.to_string())
    }

    pub fn entries(&self) -> u64 {
        match self {
            Self::Certificates(log) => log.extent().entries,
            Self::Signatures(log) => log.extent().entries,
        }
    }

    pub fn health(&self) -> Result<(), String> {
        match self {
            Self::Certificates(log) => log.health(),
            Self::Signatures(log) => log.health(),
        }
    }

    pub fn close(&self) {
        match self {
            Self::Certificates(log) => log.close(),
            Self::Signatures(log) => log.close(),
        }
    }

    /// Audits the whole log against its checkpoint, and looks for what was promised. The first thing that is wrong.
    pub fn audit(&self, key: &TestKey, promises: &Promises) -> Result<(), String> {
        let reader = match self {
            Self::Certificates(log) => log.reader(),
            Self::Signatures(log) => log.reader(),
        };
        audit_reader(reader, key, self.head(key)?, promises)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// As [`TestLog::audit`], of a certificate log.
pub fn audit(log: &Arc<CtLog>, key: &TestKey, promises: &Promises) -> Result<(), String> {
    TestLog::Certificates(log.clone()).audit(key, promises)
}

fn audit_reader(
    reader: &LogReader,
    key: &TestKey,
    head: TreeHead,
    promises: &Promises,
) -> Result<(), String> {
    let known = KnownLog::new(key.kind, ORIGIN, &key.spki).expect("a key");
    let check = |index: u64, entry: &LoggedEntry<'_>, _: Option<&[u8]>| known.check(index, entry);
    let audit = Audit::of_head(head).of_kind(key.kind).corresponding(&check);
    let audit = promises.heads.iter().fold(audit, |audit, head| audit.extending(*head));
    let mut source = Source { reader, leaves: Vec::new() };
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
