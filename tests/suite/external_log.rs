//! Logs that are not in the same process: one countersign as the log of another, and what becomes of a log's faults.

use crate::support::key::TestKey;
use crate::support::{Answer, StoppedCa, TestCa, client};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::certificate::accepted::AcceptedCas;
use countersign::certificate::inspect::Inspected;
use countersign::cli::trust;
use countersign::config::{CaMaterial, ExternalLogConfig, LogConfig};
use countersign::transparency::checkpoint::Checkpoint;
use countersign::transparency::precertificate::{DataTileEntry, LoggedCertificate};
use countersign::transparency::sct::ReceivedSct;
use countersign::transparency::{Hash, merkle, sha256};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A CA that is not started, and a running log that takes what it issues.
async fn ca_and_log() -> (StoppedCa, TestCa) {
    let ca = TestCa::builder().prepare().await;
    let mut accepted = AcceptedCas::default();
    accepted.add_pem(&fs::read(ca.config.ca.certificates().unwrap()).unwrap()).unwrap();
    let accept = move |log: &mut LogConfig| {
        if let LogConfig::Embedded(log) = log {
            log.accept = accepted;
        }
    };
    let log = TestCa::builder().configure(move |config| accept(&mut config.log)).start().await;
    (ca, log)
}

fn external(url: String, log: &TestCa, precertificates: bool) -> LogConfig {
    LogConfig::External(ExternalLogConfig {
        url,
        public_key: log.log_spki(),
        precertificates,
        timeout: Duration::from_secs(10),
        ca_certificate: None,
    })
}

fn leaf(certificates: &[String]) -> Inspected {
    Inspected::parse(certificates[0].as_bytes()).unwrap()
}

fn issuer_key_hash(certificates: &[String]) -> Hash {
    let issuer = Inspected::parse(certificates[1].as_bytes()).unwrap();
    sha256(issuer.spki_der())
}

/// Proves that a leaf is in the tree of the log's present checkpoint; answers with its index.
async fn included(log: &TestCa, leaf_hash: &Hash) -> u64 {
    let checkpoint = log.get("/ct/checkpoint").await;
    let checkpoint = Checkpoint::verify(&checkpoint.body, "ca.example.com/ct", &log.log_spki()).unwrap();
    let head = *checkpoint.head();
    let hash = BASE64_STANDARD.encode(leaf_hash).replace('+', "%2B");
    let path = format!("/ct/ct/v1/get-proof-by-hash?hash={hash}&tree_size={}", head.size);
    let proof = log.get(&path).await.json();
    let index = proof["leaf_index"].as_u64().unwrap();
    let audit_path: Vec<Hash> = proof["audit_path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| BASE64_STANDARD.decode(hash.as_str().unwrap()).unwrap().try_into().unwrap())
        .collect();
    assert!(merkle::verify_inclusion(leaf_hash, index, head.size, &audit_path, &head.root));
    index
}

fn chain_of(answer: &Answer, form: &str) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let chain = &answer.json()[form]["chain"]["certificates"];
    chain.as_array().unwrap().iter().map(|pem| pem.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_countersign_is_the_log_of_another_with_embedded_scts() {
    let (mut ca, log) = ca_and_log().await;
    ca.config.log = external(log.url("/ct"), &log, true);
    let ca = ca.start().await;
    log.issue().await;
    for _ in 0..2 {
        let certificates = ca.issue().await;
        let certificate = leaf(&certificates);
        let [sct] = &ReceivedSct::parse_list(certificate.sct_list().unwrap()).unwrap()[..] else { panic!() };
        let (hash, tbs) = (issuer_key_hash(&certificates), certificate.logged_tbs().unwrap());
        sct.verify_precertificate(&log.log_spki(), &hash, &tbs).unwrap();
        let index = included(&log, &sct.leaf_hash(&hash, &tbs).unwrap()).await;
        assert_eq!(sct.place().unwrap().index, index);
        assert!(index > 0, "the log's own CA has the first entry");
    }
    let size = log.get("/ct/ct/v1/get-sth").await.json()["tree_size"].clone();
    assert_eq!(size, 3);
    // Every CA certificate that entries name can be had.
    let data = log.get("/ct/tile/data/000.p/3").await.body;
    let mut rest = data.as_slice();
    while !rest.is_empty() {
        let (entry, after) = DataTileEntry::parse(rest).unwrap();
        assert!(matches!(entry.certificate(), LoggedCertificate::Precertificate { .. }));
        assert_eq!(entry.fingerprints().len(), 2);
        for fingerprint in entry.fingerprints() {
            let issuer = log.get(&format!("/ct/issuer/{}", hex::encode(fingerprint))).await;
            assert_eq!(sha256(&issuer.body), *fingerprint);
        }
        rest = after;
    }
    let entries = log.get("/ct/ct/v1/get-entries?start=0&end=2").await.json();
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(3));
    // A CA without a log of its own serves none, and is well.
    assert_eq!(ca.get("/ct/checkpoint").await.status, 404);
    assert_eq!(ca.get("/healthz").await.status, 200);
    assert!(!ca.config().data.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_precertificates_the_sct_is_beside_the_certificate() {
    let (mut ca, log) = ca_and_log().await;
    ca.config.log = external(log.url("/ct"), &log, false);
    let ca = ca.start().await;
    let answer = ca.sign(&ca.signing_request()).await;
    let certificates = chain_of(&answer, "signedCertificateDetachedSct");
    assert_eq!(certificates.len(), 3);
    let certificate = leaf(&certificates);
    assert!(certificate.sct_list().is_none() && !certificate.is_precertificate());
    let json = answer.json()["signedCertificateDetachedSct"]["signedCertificateTimestamp"].clone();
    let json = BASE64_STANDARD.decode(json.as_str().unwrap()).unwrap();
    let members: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(members["sct_version"], 0);
    assert_eq!(members["id"], BASE64_STANDARD.encode(sha256(&log.log_spki())));
    let sct = ReceivedSct::from_json(&json).unwrap();
    sct.verify_certificate(&log.log_spki(), certificate.der()).unwrap();
    let tile = log.get("/ct/tile/data/000.p/1").await;
    let entry = DataTileEntry::parse_one(&tile.body).unwrap();
    assert_eq!(entry.certificate(), LoggedCertificate::X509(certificate.der()));
    assert_eq!(included(&log, &entry.leaf_hash()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_log_the_answer_is_detached_and_empty() {
    let ca = TestCa::builder().configure(|config| config.log = LogConfig::None).start().await;
    let answer = ca.sign(&ca.signing_request()).await;
    let certificate = leaf(&chain_of(&answer, "signedCertificateDetachedSct"));
    assert!(certificate.sct_list().is_none());
    assert_eq!(answer.json()["signedCertificateDetachedSct"]["signedCertificateTimestamp"], "");
    assert_eq!(ca.get("/healthz").await.status, 200);
    assert_eq!(ca.get("/ct/checkpoint").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_proper_chains_of_accepted_cas_are_taken() {
    let (mut ca, log) = ca_and_log().await;
    // A precertificate and its chain as a CA submits them, kept by a log in between.
    let (recorder, seen) = FakeLog::start(vec![Step::Forward], &log).await;
    ca.config.log = external(recorder.clone(), &log, true);
    let ca = ca.start().await;
    let certificates = ca.issue().await;
    let submitted: Value = serde_json::from_slice(&seen.bodies.lock().unwrap()[0]).unwrap();
    let chain: Vec<String> =
        submitted["chain"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
    let post = async |path: &str, chain: &[&str]| {
        let body = json!({ "chain": chain }).to_string();
        Answer::of(log.http.post(log.url(&format!("/ct/ct/v1/{path}"))).body(body)).await
    };
    let [precertificate, issuing, root] = [&chain[0], &chain[1], &chain[2]].map(String::as_str);
    let final_certificate = BASE64_STANDARD.encode(leaf(&certificates).der());
    let certificate = final_certificate.as_str();

    // What was submitted before gets the same SCT, with its issuers or without those that the log knows.
    let again = post("add-pre-chain", &[precertificate, issuing, root]).await.json();
    for chain in [&[precertificate, issuing][..], &[precertificate]] {
        let answer = post("add-pre-chain", chain).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, again.clone()));
    }
    assert_eq!(log.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 1);
    let sct = post("add-chain", &[certificate, issuing, root]).await.json();
    let sct = ReceivedSct::from_json(sct.to_string().as_bytes()).unwrap();
    sct.verify_certificate(&log.log_spki(), leaf(&certificates).der()).unwrap();

    let own = log.issue().await;
    let [foreign, foreign_issuing] =
        [0, 1].map(|at| BASE64_STANDARD.encode(Inspected::parse(own[at].as_bytes()).unwrap().der()));
    for (path, chain, expected) in [
        ("add-chain", &[precertificate, issuing, root][..], "submit it to add-pre-chain"),
        ("add-pre-chain", &[certificate, issuing, root], "lacks the poison"),
        ("add-chain", &[foreign.as_str()], "entered by that CA alone"),
        ("add-chain", &[foreign.as_str(), foreign_issuing.as_str()], "entered by that CA alone"),
        ("add-chain", &[foreign.as_str(), issuing, root], "Certificate 1 is not issued by certificate 2"),
        ("add-chain", &[certificate, root], "Certificate 1 is not issued by certificate 2"),
        ("add-chain", &[certificate, certificate, issuing, root], "Certificate 2 is not a CA's"),
        ("add-chain", &[root], "A root itself is not logged"),
        ("add-chain", &["AQID"], "Certificate 1 cannot be read"),
        ("add-chain", &[issuing; 12], "more than 9 certificates"),
    ] {
        let answer = post(path, chain).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (400, "CHAIN_NOT_ACCEPTED".to_owned()));
        assert!(answer.text().contains(expected), "{path}: {}", answer.text());
    }
    for body in ["", "{}", r#"{"chain":[]}"#, r#"{"chain":["*"]}"#, "\u{0}"] {
        let answer = Answer::of(log.http.post(log.url("/ct/ct/v1/add-chain")).body(body)).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (400, "REQUEST_MALFORMED".to_owned()));
    }
    let get = log.get("/ct/ct/v1/add-chain").await;
    assert_eq!((get.status.as_u16(), get.reason()), (501, "METHOD_NOT_ALLOWED".to_owned()));
    let roots = log.get("/ct/ct/v1/get-roots").await.json();
    let roots = roots["certificates"].as_array().unwrap();
    assert!(roots.len() == 2 && roots.contains(&json!(root)), "{roots:?}");
    // The other CA's entries are those that it asked for, and its own log takes nothing from others.
    assert_eq!(log.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_fails_for_a_moment_is_asked_again() {
    let (mut ca, log) = ca_and_log().await;
    let steps = vec![
        Step::Status(429, Some("0"), "slow down"),
        Step::Status(503, Some("0"), ""),
        Step::Status(500, None, "oops"),
        Step::Forward,
    ];
    let (url, seen) = FakeLog::start(steps, &log).await;
    ca.config.log = external(url, &log, true);
    let ca = ca.start().await;
    ca.issue().await;
    assert_eq!(seen.count(), 4);
    assert_eq!(ca.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_says_at_once_for_ever_is_not_asked_in_a_tight_loop() {
    let (mut ca, log) = ca_and_log().await;
    let (url, seen) = FakeLog::start(vec![Step::Status(503, Some("0"), "")], &log).await;
    ca.config.log = external(url, &log, true);
    let ca = ca.start().await;
    let answer = ca.sign(&ca.signing_request()).await;
    assert_eq!(answer.status, 503);
    // Waits of 100, 200, 400 … milliseconds within the time-out.
    assert!((2..=10).contains(&seen.count()), "{}", seen.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_too_large_for_the_log_does_not_take_the_server_out_of_service() {
    let (mut ca, log) = ca_and_log().await;
    ca.config.log = external(log.url("/ct"), &log, true);
    let ca = ca.start().await;
    let mut claims = ca.gitlab.claims();
    let path = format!("group/{}", "p".repeat(8000));
    for (name, of) in [
        ("project_path", "{}"),
        ("job_project_path", "{}"),
        ("sub", "project_path:{}:ref_type:branch:ref:main"),
    ] {
        claims[name] = json!(of.replace("{}", &path));
    }
    let host = ca.gitlab.url().split_once("://").unwrap().1;
    claims["ci_config_ref_uri"] = json!(format!("{host}/{path}//.gitlab-ci.yml@refs/heads/main"));
    let mut request = TestKey::new().request(claims["sub"].as_str().unwrap());
    request["credentials"] = json!({ "oidcIdentityToken": ca.gitlab.token(&claims) });
    let answer = ca.sign(&request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (400, "CLAIM_INVALID".to_owned()),
        "{}",
        answer.text()
    );
    assert_eq!(ca.get("/healthz").await.status, 200);
    ca.issue().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_does_wrong_is_503_and_never_a_certificate() {
    let huge = "x".repeat(70_000);
    let cases: Vec<(&str, Step, &str, usize)> = vec![
        ("busy", Step::Status(429, Some("77"), ""), "77", 1),
        ("wait for ever", Step::Status(503, Some("99999999999"), ""), "3600", 1),
        ("refused", Step::Status(400, None, "unknown root"), "10", 1),
        ("a redirect", Step::Redirect, "10", 1),
        ("no JSON", Step::Status(200, None, "<html>"), "10", 1),
        ("an empty object", Step::Status(200, None, "{}"), "10", 1),
        ("a huge answer", Step::Status(200, None, huge.leak()), "10", 1),
        (
            "a false signature",
            Step::Changed(|sct| sct["timestamp"] = json!(sct["timestamp"].as_u64().unwrap() + 1)),
            "10",
            1,
        ),
        (
            "another log's id",
            Step::Changed(|sct| sct["id"] = json!(BASE64_STANDARD.encode([7; 32]))),
            "10",
            1,
        ),
        ("another version", Step::Changed(|sct| sct["sct_version"] = json!(1)), "10", 1),
        ("no answer", Step::Hang, "10", 1),
    ];
    let (mut ca, log) = ca_and_log().await;
    for precertificates in [true, false] {
        for (name, step, wait, tries) in &cases {
            let (url, seen) = FakeLog::start(vec![step.clone()], &log).await;
            ca.config.log = external(url, &log, precertificates);
            if let (LogConfig::External(config), Step::Hang) = (&mut ca.config.log, step) {
                config.timeout = Duration::from_millis(150);
            }
            let running = ca.start().await;
            let answer = running.sign(&running.signing_request()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.reason()),
                (503, "LOG_UNAVAILABLE".to_owned()),
                "{name}"
            );
            assert_eq!(answer.header("retry-after"), *wait, "{name}");
            assert_eq!(seen.count(), *tries, "{name}");
            // What one entry may be to blame for takes nobody out of service, until it happens to all of them; nor does a log
            // that has too much to do, however often it says so.
            let (busy, down) = (*name == "busy", matches!(step, Step::Hang | Step::Status(503, ..)));
            if !down {
                for _ in 0..2 {
                    assert_eq!(running.get("/healthz").await.status, 200, "{name}");
                    running.sign(&running.signing_request()).await;
                }
            }
            if busy {
                assert_eq!(running.get("/healthz").await.status, 200, "{name}");
                ca = running.stop().await;
                continue;
            }
            // Out of service for a while, and for operators to see why.
            assert_eq!(running.get("/healthz").await.status, 503, "{name}");
            let ready = Answer::of(running.http.get(running.admin_url("/readyz"))).await;
            assert!(ready.text().contains("gave no SCT"), "{name}: {}", ready.text());
            running.clock.advance(Duration::from_secs(31));
            assert_eq!(running.get("/healthz").await.status, 200, "{name}");
            ca = running.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_down_or_has_another_key_or_clock_is_503() {
    let (mut ca, log) = ca_and_log().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    ca.config.log = external(nowhere, &log, true);
    if let LogConfig::External(config) = &mut ca.config.log {
        config.timeout = Duration::from_millis(300);
    }
    let ca = ca.start().await;
    let answer = ca.sign(&ca.signing_request()).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (503, "LOG_UNAVAILABLE".to_owned()));

    let mut ca = ca.stop().await;
    ca.config.log = external(log.url("/ct"), &log, true);
    if let LogConfig::External(config) = &mut ca.config.log {
        config.public_key =
            Inspected::parse(ca_issuing(&config.public_key, &log).as_bytes()).unwrap().spki_der().to_vec();
    }
    let ca = ca.start().await;
    let answer = ca.sign(&ca.signing_request()).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (503, "LOG_UNAVAILABLE".to_owned()));

    let mut ca = ca.stop().await;
    ca.config.log = external(log.url("/ct"), &log, true);
    let ca = ca.start().await;
    ca.issue().await;
    log.clock.advance(Duration::from_secs(301));
    let answer = ca.sign(&ca.signing_request()).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (503, "LOG_UNAVAILABLE".to_owned()));
}

/// A certificate with a P-256 key that is not the log's.
fn ca_issuing(_: &[u8], log: &TestCa) -> String {
    let chain = fs::read_to_string(log.config().ca.certificates().unwrap()).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    format!("{}{end}", chain.split(end).next().unwrap())
}

/// What a [`FakeLog`] does with a request.
#[derive(Clone)]
enum Step {
    /// Status, `Retry-After`, body.
    Status(u16, Option<&'static str>, &'static str),
    /// Sends it elsewhere.
    Redirect,
    /// Never answers.
    Hang,
    /// Lets the true log answer.
    Forward,
    /// Lets the true log answer, and changes that.
    Changed(fn(&mut Value)),
}

/// A log between a CA and a true log: it does one step after another, the last one for ever.
struct FakeLog {
    steps: Vec<Step>,
    truth: String,
    seen: Arc<Seen>,
}

/// What a [`FakeLog`] was asked.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    bodies: std::sync::Mutex<Vec<Bytes>>,
}

impl Seen {
    fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl FakeLog {
    async fn start(steps: Vec<Step>, truth: &TestCa) -> (String, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let log = Arc::new(Self { steps, truth: truth.url("/ct"), seen: seen.clone() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/log", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(log);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, seen)
    }
}

async fn answer(State(log): State<Arc<FakeLog>>, uri: Uri, body: Bytes) -> Response {
    let number = log.seen.requests.fetch_add(1, Ordering::SeqCst);
    log.seen.bodies.lock().unwrap().push(body.clone());
    let respond = |status: u16, header: Option<(&str, &str)>, body: String| {
        let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        response.body(Body::from(body)).unwrap()
    };
    let forward = async || {
        let url = format!("{}{}", log.truth, uri.path().strip_prefix("/log").unwrap());
        Answer::of(client().post(url).body(body)).await
    };
    match log.steps.get(number).or(log.steps.last()).unwrap() {
        Step::Status(status, wait, text) => {
            respond(*status, wait.map(|wait| ("retry-after", wait)), (*text).to_owned())
        }
        Step::Redirect => respond(307, Some(("location", &log.truth)), String::new()),
        Step::Hang => std::future::pending().await,
        Step::Forward => {
            let answer = forward().await;
            respond(answer.status.as_u16(), None, answer.text().to_owned())
        }
        Step::Changed(change) => {
            let mut sct = forward().await.json();
            change(&mut sct);
            respond(200, None, sct.to_string())
        }
    }
}

#[tokio::test]
async fn trust_material_names_the_log_that_promises() {
    let (mut ca, log) = ca_and_log().await;
    ca.config.log = external("https://log.example.com/2026".into(), &log, true);
    let root = trust::load(&ca.config).unwrap().trusted_root();
    let [ct_log] = &root["ctlogs"].as_array().unwrap()[..] else { panic!("{root}") };
    assert_eq!(ct_log["baseUrl"], "https://log.example.com/2026");
    assert_eq!(ct_log["publicKey"]["rawBytes"], BASE64_STANDARD.encode(log.log_spki()));
    assert_eq!(ct_log["logId"]["keyId"], BASE64_STANDARD.encode(sha256(&log.log_spki())));
    ca.config.log = LogConfig::None;
    assert_eq!(trust::load(&ca.config).unwrap().trusted_root()["ctlogs"], json!([]));
    ca.config.ca.material = CaMaterial::Ephemeral;
    let refused = trust::load(&ca.config).err().unwrap();
    assert!(refused.contains("ask the running server for /trust"), "{refused}");
}
