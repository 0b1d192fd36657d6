//! What signatures cost beside certificates: entries of the signature log, and timestamps, each held against its bare cryptography.

use crate::driver::connection::Connection;
use crate::driver::load::{Load, Manner};
use crate::driver::requests::{self, TestKey, Wire, post};
use crate::figures::Figures;
use crate::measure;
use crate::replies::certificates;
use crate::subject::Subject;
use crate::yardstick::Signing;
use countersign::bundle::LogEntry;
use countersign::certificate::TimestampChain;
use countersign::certificate::inspect::Inspected;
use countersign::cli::signing_services::{log_request, timestamp_request};
use countersign::demo::gitlab::Gitlab;
use countersign::hash::HashAlgorithm;
use countersign::log::ports::LogSigner as _;
use countersign::rekor::KeyDetails;
use countersign::rekor::canonical::{CanonicalBody, KeyMaterial, SignatureOf};
use countersign::signer::NoteSigningKey;
use countersign::timestamping::verification::Token;
use countersign::transparency::note::{self, NoteKey};
use countersign::transparency::{Hash, merkle, sha256};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Connections of each load.
pub const CONNECTIONS: [usize; 2] = [1, 64];
/// More entries a second than any machine of today takes: none may be sent twice, since the second time is no new entry.
const ENTRIES_A_SECOND: u64 = 24_000;
/// Different questions for timestamps; nobody remembers those.
const TIMESTAMPS: usize = 1024;
/// As `init` has it for a server on loopback.
const ORIGIN: &str = "127.0.0.1";

/// What a row is called.
pub fn name(what: &str, connections: usize) -> String {
    match connections {
        1 => format!("signing: {what}, 1 connection"),
        _ => format!("signing: {what}, {connections} connections"),
    }
}

/// Every row, each answer checked.
pub async fn measure(
    subject: &Subject,
    gitlab: &Gitlab,
    duration: Duration,
) -> Result<Vec<(String, Figures)>, String> {
    let bare = Signing::prepare();
    let home = subject.own.as_ref().expect("our own server").server.home.path();
    let job = Job::start(subject, gitlab).await?;
    let log = SignatureLog::of(home.join("log/signatures.pem"));
    let authority = std::fs::read(home.join("timestamps/chain.pem")).map_err(|error| error.to_string())?;
    let authority = TimestampChain::from_pem(&authority).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for (at, connections) in CONNECTIONS.into_iter().enumerate() {
        let entries = job.entries(at, (ENTRIES_A_SECOND * duration.as_secs()) as usize);
        let asked = (subject, connections, duration);
        let (figures, answers) = under(asked, entries.requests.clone(), || bare.entry()).await?;
        checked(&answers, |answer| log.check(answer, &entries, &job))?;
        rows.push((name("log entries", connections), figures));

        let questions: Arc<[Wire]> = (0..TIMESTAMPS).map(question).collect();
        let (figures, answers) = under(asked, questions, || bare.timestamp()).await?;
        checked(&answers, |answer| check_timestamp(answer, &authority))?;
        rows.push((name("timestamps", connections), figures));
    }
    Ok(rows)
}

/// A load, held against the yardstick as it is before and after.
async fn under(
    (subject, connections, duration): (&Subject, usize, Duration),
    requests: Arc<[Wire]>,
    bare: impl Fn() -> Duration,
) -> Result<(Figures, Vec<Box<[u8]>>), String> {
    let before = bare();
    let most = requests.len() as u64;
    let load = Load { address: subject.address, connections, manner: Manner::Greedy, requests, keep: true };
    let (mut figures, seen) = measure::cost(subject, load, duration).await?;
    let bare = (before + bare()).as_secs_f64() / 2.0 * 1e6;
    if most != TIMESTAMPS as u64 && seen.accepted.count() > most {
        return Err("more entries were taken than there were different ones: raise ENTRIES_A_SECOND".into());
    }
    let ratio = figures.get("cpu_us").unwrap_or_default() / bare;
    // That is the other log's.
    figures.0.retain(|(name, _)| *name != "group");
    figures.put("bare_us", bare);
    figures.put("cpu_to_bare", ratio);
    Ok((figures, seen.kept))
}

/// Whoever signs: a key, and the certificate that our own CA has issued for it.
struct Job {
    key: TestKey,
    certificate: Vec<u8>,
}

/// Requests for entries that nobody has sent, and the signature over each digest.
struct Entries {
    requests: Arc<[Wire]>,
    signatures: HashMap<Hash, Vec<u8>>,
    /// Indices that were answered.
    indices: Mutex<HashSet<u64>>,
}

impl Job {
    async fn start(subject: &Subject, gitlab: &Gitlab) -> Result<Self, String> {
        let key = TestKey::new();
        let mut connection = Connection::open(subject.address).await.map_err(|error| error.to_string())?;
        let asked = connection.ask(&requests::of_key(gitlab, &key)).await;
        asked.map_err(|error| error.to_string())?;
        let chain = certificates(connection.content())?;
        let leaf = Inspected::parse(chain.first().ok_or("no certificate")?.as_bytes());
        let leaf = leaf.map_err(|error| error.to_string())?;
        Ok(Self { key, certificate: leaf.der().to_vec() })
    }

    fn entries(&self, turn: usize, count: usize) -> Entries {
        let mut signatures = HashMap::with_capacity(count);
        let made = (0..count).map(|number| {
            let message = format!("artifact {turn}.{number}");
            let (digest, signature) = (sha256(message.as_bytes()), self.key.signature(message.as_bytes()));
            let body = log_request(&digest, &signature, &self.certificate).to_string();
            signatures.insert(digest, signature);
            post("/api/v2/log/entries", "application/json", body.as_bytes())
        });
        let requests = made.collect();
        Entries { requests, signatures, indices: Mutex::default() }
    }
}

/// The log that answers.
struct SignatureLog {
    key: NoteKey,
}

impl SignatureLog {
    fn of(file: PathBuf) -> Self {
        let key = NoteSigningKey::open(&file).expect("what init made");
        Self { key: NoteKey::from_spki(key.public_key()).expect("its public half") }
    }

    /// The entry is the one that was sent, its proof leads to a root, and the log has signed that; no index comes twice.
    fn check(&self, answer: &[u8], entries: &Entries, job: &Job) -> Result<(), String> {
        let entry: LogEntry = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        let body: serde_json::Value =
            serde_json::from_slice(&entry.canonicalized_body).map_err(|error| error.to_string())?;
        let digest = body["spec"]["hashedRekordV002"]["data"]["digest"].as_str().unwrap_or_default();
        let digest = countersign::bundle::from_base64(digest).unwrap_or_default();
        let digest: Hash = digest.try_into().map_err(|_| "no digest")?;
        let signature = entries.signatures.get(&digest).ok_or("an entry that nobody has sent")?;
        let details = KeyDetails::P256Sha256;
        let signed =
            SignatureOf { content: signature, key: KeyMaterial::Certificate(&job.certificate), details };
        let expected = CanonicalBody::hashedrekord(HashAlgorithm::Sha256, &digest, signed);
        if expected.is_none_or(|expected| expected.as_bytes() != &*entry.canonicalized_body) {
            return Err("another body".into());
        }
        let proof = entry.inclusion_proof.ok_or("no proof")?;
        let head = proof.checkpoint.ok_or("no checkpoint")?;
        let head =
            note::verify(head.envelope.as_bytes(), ORIGIN, &self.key).map_err(|error| error.to_string())?;
        let hashes: Vec<Hash> = proof.hashes.iter().filter_map(|hash| Hash::try_from(&**hash).ok()).collect();
        let leaf = merkle::leaf_hash(&entry.canonicalized_body);
        let (index, size) = (proof.log_index.0, proof.tree_size.0);
        if head.size != size || !merkle::verify_inclusion(&leaf, index, size, &hashes, &head.root) {
            return Err(format!("the entry {index} is not in the tree of {size}"));
        }
        let is_new = entries.indices.lock().expect("nobody panicked").insert(index);
        if is_new { Ok(()) } else { Err(format!("the index {index} twice")) }
    }
}

/// The question with that number: its nonce says which it is.
fn question(number: usize) -> Wire {
    let asked = timestamp_request(&message(number), &nonce(number)).expect("a request");
    post("/api/v1/timestamp", "application/timestamp-query", &asked)
}

fn message(number: usize) -> Vec<u8> {
    format!("signature {number}").into_bytes()
}

fn nonce(number: usize) -> [u8; 8] {
    (0x4000_0000_0000_0000 + number as u64).to_be_bytes()
}

/// It answers the question whose nonce it has, and the authority has signed it.
fn check_timestamp(answer: &[u8], authority: &TimestampChain) -> Result<(), String> {
    let token = Token::from_response(answer).map_err(|error| error.to_string())?;
    let nonce: [u8; 8] = token.nonce().unwrap_or_default().try_into().map_err(|_| "another nonce")?;
    let number = u64::from_be_bytes(nonce) & 0xffff;
    token.verify_imprint(&message(number as usize)).map_err(|error| error.to_string())?;
    token.verify_signed_by(&authority.certificates()[0]).map_err(|error| error.to_string())
}

/// Checks all answers, on all cores.
fn checked(answers: &[Box<[u8]>], check: impl Fn(&[u8]) -> Result<(), String> + Sync) -> Result<(), String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let check = &check;
    std::thread::scope(|scope| {
        let part = |part: &'_ [Box<[u8]>]| part.iter().try_for_each(|answer| check(answer));
        let parts: Vec<_> = answers
            .chunks(answers.len().div_ceil(cores).max(1))
            .map(|answers| scope.spawn(move || part(answers)))
            .collect();
        parts.into_iter().try_for_each(|part| part.join().expect("it does not panic"))
    })
}
