//! Over HTTP: what is answered, to whom, and what is refused.

use crate::support::key::TestKey;
use crate::support::{Answer, TestCa};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::certificate::inspect::Inspected;
use countersign::log::ports::LogSigner as _;
use countersign::rekor::{Listed, Writers};
use countersign::signer::NoteSigningKey;
use countersign::transparency::note::{self, NoteKey};
use countersign::transparency::{Hash, merkle, sha256};
use serde_json::{Value, json};
use std::time::Duration;

/// A signer: a key, and what its entries name.
struct Signer {
    key: TestKey,
    verifier: Value,
}

fn base64(octets: &[u8]) -> String {
    BASE64_STANDARD.encode(octets)
}

fn octets(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().expect("text")).expect("base64")
}

impl Signer {
    /// With a certificate of the CA.
    async fn certified(ca: &TestCa) -> Self {
        let key = TestKey::new();
        let mut request = key.request(&ca.challenge());
        request["credentials"] = json!({ "oidcIdentityToken": ca.token() });
        let leaf = ca.sign(&request).await.certificates().remove(0);
        let der = Inspected::parse(leaf.as_bytes()).expect("a certificate").der().to_vec();
        let verifier = json!({ "x509Certificate": { "rawBytes": base64(&der) }, "keyDetails": "PKIX_ECDSA_P256_SHA_256" });
        Self { key, verifier }
    }

    /// With a bare key.
    fn bare() -> Self {
        let key = TestKey::new();
        let spki = base64(&key.spki());
        let verifier = json!({ "publicKey": { "rawBytes": spki }, "keyDetails": "PKIX_ECDSA_P256_SHA_256" });
        Self { key, verifier }
    }

    fn request(&self, artifact: &[u8]) -> Value {
        json!({ "hashedRekordRequestV002": {
            "digest": base64(&sha256(artifact)),
            "signature": { "content": base64(&self.key.signature(artifact)), "verifier": self.verifier },
        }})
    }
}

async fn post(ca: &TestCa, request: &Value) -> Answer {
    Answer::of(ca.http.post(ca.url("/api/v2/log/entries")).body(request.to_string())).await
}

/// The log's key, and its origin.
fn identity(ca: &TestCa) -> (NoteKey, String) {
    let config = ca.config().signature_log.as_ref().expect("a signature log");
    let key = NoteSigningKey::open(&config.key).expect("its key");
    (NoteKey::from_spki(key.public_key()).expect("a key"), config.origin.clone())
}

/// Everything that a bundle's verifier checks of an entry; answers with its index.
fn verified(ca: &TestCa, answer: &Answer) -> u64 {
    assert_eq!(answer.status, 201, "{}", answer.text());
    let entry = answer.json();
    let number = |value: &Value| value.as_str().expect("a string").parse::<u64>().expect("a number");
    let (key, origin) = identity(ca);
    assert_eq!(octets(&entry["logId"]["keyId"]), key.log_id(&origin));
    let proof = &entry["inclusionProof"];
    let (index, size) = (number(&entry["logIndex"]), number(&proof["treeSize"]));
    assert!(index > 0 && proof["logIndex"] == entry["logIndex"]);
    let root: Hash = octets(&proof["rootHash"]).try_into().expect("a hash");
    let hashes: Vec<Hash> = proof["hashes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|hash| octets(hash).try_into().expect("a hash"))
        .collect();
    assert!(!hashes.is_empty());
    let leaf = merkle::leaf_hash(&octets(&entry["canonicalizedBody"]));
    assert!(merkle::verify_inclusion(&leaf, index, size, &hashes, &root));
    let envelope = proof["checkpoint"]["envelope"].as_str().expect("a note");
    let checkpoint = note::verify(envelope.as_bytes(), &origin, &key).expect("a checkpoint");
    assert_eq!((checkpoint.size, checkpoint.root), (size, root));
    index
}

async fn with(writers: Writers) -> TestCa {
    TestCa::builder().signature_log(writers).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_answered_with_its_proof_in_the_references_shape() {
    let ca = with(Writers::Own).await;
    let signer = Signer::certified(&ca).await;
    let request = signer.request(b"artifact");
    let answer = post(&ca, &request).await;
    assert_eq!(verified(&ca, &answer), 1);
    assert_eq!(answer.header("content-type"), "application/json");
    let entry = answer.json();
    let members: Vec<&String> = entry.as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        [
            "logIndex",
            "logId",
            "kindVersion",
            "integratedTime",
            "inclusionPromise",
            "inclusionProof",
            "canonicalizedBody"
        ]
    );
    assert_eq!(entry["kindVersion"], json!({ "kind": "hashedrekord", "version": "0.0.2" }));
    assert_eq!((&entry["integratedTime"], &entry["inclusionPromise"]), (&json!("0"), &Value::Null));
    let sent = &request["hashedRekordRequestV002"];
    let body: Value = serde_json::from_slice(&octets(&entry["canonicalizedBody"])).expect("JSON");
    let logged = &body["spec"]["hashedRekordV002"];
    assert_eq!(logged["signature"], sent["signature"]);
    assert_eq!(logged["data"], json!({ "algorithm": "SHA2_256", "digest": sent["digest"] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_entry_that_exists_for_some_minutes_and_so_do_those_at_once() {
    let ca = with(Writers::Own).await;
    let signer = Signer::certified(&ca).await;
    let request = signer.request(b"artifact");
    let at_once = futures(&ca, &request, 20).await;
    assert!(at_once.iter().all(|answer| verified(&ca, answer) == 1));
    assert_eq!(verified(&ca, &post(&ca, &signer.request(b"another")).await), 2);
    ca.clock.advance(Duration::from_secs(599));
    assert_eq!(verified(&ca, &post(&ca, &request).await), 1);
    ca.clock.advance(Duration::from_secs(2));
    assert_eq!(verified(&ca, &post(&ca, &request).await), 3, "later it is a new entry");
}

async fn futures(ca: &TestCa, request: &Value, count: usize) -> Vec<Answer> {
    let sent: Vec<_> = (0..count)
        .map(|_| {
            let request = ca.http.post(ca.url("/api/v2/log/entries")).body(request.to_string());
            tokio::spawn(async move { Answer::of(request).await })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.expect("an answer"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_write_do_and_a_certificate_counts_however_old_it_is() {
    let ca = with(Writers::Own).await;
    let (own, bare) = (Signer::certified(&ca).await, Signer::bare());
    let refused = post(&ca, &bare.request(b"a")).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (403, "WRITER_NOT_ADMITTED".into()));
    assert_eq!(refused.json()["code"], 7);
    ca.clock.advance(Duration::from_secs(3600));
    verified(&ca, &post(&ca, &own.request(b"a")).await);

    let bare_key = countersign::certificate::pem::encode("PUBLIC KEY", &bare.key.spki());
    let mut listed = Listed::default();
    listed.add_pem(bare_key.as_bytes()).expect("a key");
    for (writers, own_may, bare_may) in [(Writers::Any, true, true), (Writers::Listed(listed), false, true)] {
        let ca = with(writers).await;
        let own = Signer::certified(&ca).await;
        assert_eq!(post(&ca, &own.request(b"a")).await.status == 201, own_may);
        assert_eq!(post(&ca, &bare.request(b"a")).await.status == 201, bare_may);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_is_an_entry_of_its_own_kind() {
    let ca = with(Writers::Own).await;
    let signer = Signer::certified(&ca).await;
    let (kind, payload) = ("application/vnd.in-toto+json", vec![b'x'; 300_000]);
    let message = countersign::rekor::dsse::pre_authentication_encoding(kind, &payload);
    let request = json!({ "dsseRequestV002": {
        "envelope": {
            "payload": base64(&payload),
            "payloadType": kind,
            "signatures": [{ "sig": base64(&signer.key.signature(&message)), "keyid": "" }],
        },
        "verifiers": [signer.verifier],
    }});
    let answer = post(&ca, &request).await;
    verified(&ca, &answer);
    assert_eq!(answer.json()["kindVersion"]["kind"], "dsse");
    assert!(answer.body.len() < 10_000, "the payload is not in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why_and_nothing_of_it_is_logged() {
    let ca = with(Writers::Own).await;
    let signer = Signer::certified(&ca).await;
    let mut wrong = signer.request(b"artifact");
    wrong["hashedRekordRequestV002"]["digest"] = base64(&sha256(b"other")).into();
    for (body, status, code, reason, message) in [
        (wrong.to_string(), 400, 3, "ENTRY_SIGNATURE_INVALID", "invalid hashedrekord request"),
        ("{}".into(), 400, 3, "ENTRY_KIND_MISSING", "invalid type, must be hashedrekord or dsse"),
        ("nonsense".into(), 400, 3, "REQUEST_MALFORMED", "The request could not be parsed"),
        ("x".repeat((4 << 20) + 1), 413, 3, "REQUEST_TOO_LARGE", "The request is too large"),
    ] {
        let answer = Answer::of(ca.http.post(ca.url("/api/v2/log/entries")).body(body)).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason));
        assert_eq!((&answer.json()["code"], &answer.json()["message"]), (&json!(code), &json!(message)));
    }
    let get = ca.get("/api/v2/log/entries").await;
    assert_eq!((get.status.as_u16(), get.json()["code"].clone()), (501, json!(12)));
    let checkpoint = ca.get("/api/v2/checkpoint").await;
    let (key, origin) = identity(&ca);
    assert_eq!(note::verify(&checkpoint.body, &origin, &key).expect("a checkpoint").size, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_rebuild_the_tree_from_the_tiles_whatever_the_slashes() {
    let ca = with(Writers::Own).await;
    let signer = Signer::certified(&ca).await;
    for number in 0..5_u8 {
        verified(&ca, &post(&ca, &signer.request(&[number])).await);
    }
    let (key, origin) = identity(&ca);
    let checkpoint = ca.get("//api/v2/checkpoint").await;
    let head = note::verify(&checkpoint.body, &origin, &key).expect("a checkpoint");
    assert_eq!(head.size, 6);
    let entries = ca.get("/api/v2/tile/entries/000.p/6").await;
    assert_eq!(entries.header("cache-control"), "public, max-age=604800, immutable");
    let mut rest = &entries.body[..];
    let mut leaves = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk() {
        let (body, more) = more.split_at(u16::from_be_bytes(*length).into());
        serde_json::from_slice::<Value>(body).expect("JSON");
        leaves.push(merkle::leaf_hash(body));
        rest = more;
    }
    let hashes = ca.get("/api/v2/tile/0/000.p/6").await;
    assert_eq!(hashes.body, leaves.concat());
    let root = merkle::tree_root(6, &mut |level, index| {
        let start = (index << level) as usize;
        Ok::<_, ()>(merkle::subtree_root(&leaves[start..start + (1 << level)]))
    });
    assert_eq!(root, Ok(head.root));
    for wrong in ["tile/entries/000", "tile/data/000.p/6", "tile/0/000.p/7", "tile/entries/000.p/0", "tile/x"]
    {
        assert_eq!(ca.get(&format!("/api/v2/{wrong}")).await.status, 404, "{wrong}");
    }
    let request = ca.http.post(ca.url("//api/v2/log/entries")).body(signer.request(b"slashes").to_string());
    verified(&ca, &Answer::of(request).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_section_there_is_no_signature_log_and_with_it_operators_see_it() {
    let without = TestCa::start().await;
    assert_eq!(without.get("/api/v2/checkpoint").await.status, 404);
    assert_eq!(post(&without, &json!({})).await.status, 404);
    let ca = with(Writers::Own).await;
    let ready = ca.get_admin("/readyz").await;
    assert!(ready.status == 200 && ready.text().contains("signature_log"), "{}", ready.text());
    let metrics = ca.get_admin("/metrics").await;
    assert!(metrics.text().contains("countersign_signature_log_entries 1"), "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_outlive_the_server_and_the_first_one_stays_the_logs_own() {
    let ca = with(Writers::Own).await;
    let signer = Signer::certified(&ca).await;
    assert_eq!(verified(&ca, &post(&ca, &signer.request(b"before")).await), 1);
    let before = ca.get("/api/v2/tile/entries/000.p/2").await.body;
    let ca = ca.stop().await.start().await;
    assert_eq!(verified(&ca, &post(&ca, &signer.request(b"after")).await), 2);
    assert_eq!(ca.get("/api/v2/tile/entries/000.p/2").await.body, before);
    let first: Value =
        serde_json::from_slice(&before[2..2 + usize::from(u16::from_be_bytes([before[0], before[1]]))])
            .expect("JSON");
    assert_eq!(first["kind"], "dsse");
}
