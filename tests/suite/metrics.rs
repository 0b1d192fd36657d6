//! What operators see: metrics, readiness, keys fetched anew, and that none of it shows what is secret.

use crate::support::key::{TestKey, csr};
use crate::support::{Answer, StoppedCa, TestCa, TestClock, logs};
use axum::body::Body;
use countersign::api::{self, ApiState, Refreshed};
use countersign::certificate::{CaChain, ToBeSigned};
use countersign::identity::{IssuerPattern, Issuers};
use countersign::issuance::{
    self, Admission, CaSigner, CertificateAuthority, Course, CurrentRules, Rules, SignerError,
};
use countersign::log::ct::CtLogSettings;
use countersign::log::{CtLog, Stores};
use countersign::oidc::JwksCache;
use countersign::refusal::Reason;
use countersign::server::environment::Environment;
use countersign::signer::{FileSigner, LogKey};
use countersign::store::memory::{Fault, MemoryStore};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tower::ServiceExt as _;

/// A text in Prometheus' format, taken apart.
#[derive(Debug, Default)]
struct Exposition {
    /// Type by family.
    types: BTreeMap<String, String>,
    /// Value by sample, as it is written: `name{label="value"}`.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    async fn of(ca: &TestCa) -> Self {
        let answer = ca.get_admin("/metrics").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        Self::parse(answer.text())
    }

    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends too");
        let mut parsed = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(parsed.types.insert(name.into(), kind.into()).is_none(), "{name} twice");
            } else if !line.starts_with("# HELP ") {
                let (sample, value) = line.rsplit_once(' ').expect("a value");
                let value = value.parse().expect("a number");
                assert!(parsed.samples.insert(sample.into(), value).is_none(), "{sample} twice");
                assert!(parsed.types.contains_key(parsed.family(sample)), "{sample} has no type");
            }
        }
        parsed
    }

    fn family<'s>(&self, sample: &'s str) -> &'s str {
        let name = sample.split('{').next().unwrap();
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        stem.filter(|stem| self.types.get(*stem).is_some_and(|kind| kind == "histogram")).unwrap_or(name)
    }

    /// The names of a sample's labels, without the bound of a bucket.
    fn labels(sample: &str) -> BTreeSet<String> {
        let inner = sample.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
        let names = inner.split("=\"").filter_map(|part| part.rsplit(['"', ',', '{']).next());
        let names =
            names.filter(|name| !name.is_empty() && *name != "le" && inner.contains(&format!("{name}=\"")));
        names.map(str::to_owned).collect()
    }

    fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("{sample} is not in {:#?}", self.samples))
    }
}

/// What `--metrics-file` writes, for another exporter.
fn left_by_cron() -> impl Iterator<Item = String> {
    use countersign::cli::metrics_file::{AUDIT, BACKUP, GAUGES};
    [AUDIT, BACKUP].into_iter().flat_map(|family| GAUGES.map(|end| format!("{}_{end}", family.prefix)))
}

/// What a server with a token broker serves, once it has given a token and ended it.
async fn of_a_broker() -> Exposition {
    let world = crate::broker::World::start().await;
    world.tag().await;
    world.revoke_all().await;
    world.until_listed("revoked", 1).await;
    Exposition::of(&world.ca).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_every_metric_that_is_served_and_no_other() {
    let rule = crate::policy::put("rules: [{ name: everybody, effect: allow }]");
    let ca = TestCa::builder().configure(rule).start().await;
    ca.issue().await;
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for served in [Exposition::of(&ca).await, of_a_broker().await] {
        for (name, kind) in &served.types {
            found.entry(name.clone()).or_default().0.clone_from(kind);
        }
        for sample in served.samples.keys() {
            found.get_mut(served.family(sample)).expect("a type").1.extend(Exposition::labels(sample));
        }
    }

    for name in left_by_cron() {
        found.insert(name, ("gauge".to_owned(), BTreeSet::new()));
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let document = std::fs::read_to_string(path).expect("docs/METRICS.md");
    let mut described = BTreeMap::new();
    for row in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _unit, meaning] = cells[..] else { continue };
        assert!(!meaning.is_empty(), "{name}");
        let labels =
            labels.split(", ").filter(|label| !label.is_empty()).map(|label| label.trim_matches('`').into());
        described.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels.collect()));
    }
    assert_eq!(found, described);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_rules_name_nothing_that_is_not_served() {
    let ca = TestCa::start().await;
    ca.issue().await;
    let served = [Exposition::of(&ca).await, of_a_broker().await];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus-rules.yml");
    let rules = std::fs::read_to_string(path).expect("deploy/prometheus-rules.yml");
    let mut seen = 0;
    for expression in rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for name in words.filter(|word| word.starts_with("countersign_")) {
            let is_served = |it: &Exposition| it.types.contains_key(it.family(name));
            let known = served.iter().any(is_served) || left_by_cron().any(|left| left == name);
            assert!(known, "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_under_its_issuer_and_its_reason() {
    let ca = TestCa::start().await;
    let before = Exposition::of(&ca).await;
    ca.issue().await;
    ca.issue().await;
    let mut bad_proof = ca.signing_request();
    bad_proof["publicKeyRequest"]["proofOfPossession"] = json!(TestKey::new().proof("x"));
    ca.sign(&bad_proof).await;
    let mut stranger = ca.gitlab.claims();
    stranger["iss"] = json!("https://evil.example/SECRETISSUER");
    ca.sign(&json!({ "credentials": { "oidcIdentityToken": ca.gitlab.token(&stranger) } })).await;
    ca.sign(&json!("no request")).await;
    ca.get("/nothing/SECRETPATH").await;
    ca.get("/ct/checkpoint").await;
    Answer::of(ca.http.request("SECRETMETHOD".parse().unwrap(), ca.url("/healthz"))).await;
    let after = Exposition::of(&ca).await;

    let issuer = ca.gitlab.url();
    let certificates = |issuer: &str, result: &str| {
        format!("countersign_certificates_total{{issuer=\"{issuer}\",result=\"{result}\"}}")
    };
    let table = [
        ("fulcio_new_certs".to_owned(), 2.0),
        (certificates(issuer, "issued"), 2.0),
        (certificates(issuer, "refused"), 1.0),
        (certificates(issuer, "failed"), 0.0),
        (certificates("unknown", "refused"), 1.0),
        (certificates("unknown", "failed"), 0.0),
        ("countersign_refusals_total{reason=\"PROOF_INVALID\"}".to_owned(), 1.0),
        ("countersign_refusals_total{reason=\"TOKEN_ISSUER_UNKNOWN\"}".to_owned(), 1.0),
        ("countersign_refusals_total{reason=\"REQUEST_MALFORMED\"}".to_owned(), 1.0),
        ("countersign_refusals_total{reason=\"NOT_FOUND\"}".to_owned(), 1.0),
        ("countersign_refusals_total{reason=\"METHOD_NOT_ALLOWED\"}".to_owned(), 1.0),
        ("countersign_refusals_total{reason=\"TOKEN_EXPIRED\"}".to_owned(), 0.0),
        ("http_requests_total{code=\"200\",method=\"post\"}".to_owned(), 2.0),
        ("http_requests_total{code=\"400\",method=\"post\"}".to_owned(), 3.0),
        ("http_requests_total{code=\"200\",method=\"get\"}".to_owned(), 1.0),
        ("http_requests_total{code=\"404\",method=\"get\"}".to_owned(), 1.0),
        ("http_requests_total{code=\"501\",method=\"unknown\"}".to_owned(), 1.0),
        ("fulcio_api_latency_count{code=\"200\",method=\"post\"}".to_owned(), 2.0),
        ("countersign_issuance_step_seconds_count{step=\"token\"}".to_owned(), 3.0),
        ("countersign_issuance_step_seconds_count{step=\"possession\"}".to_owned(), 2.0),
        ("countersign_issuance_step_seconds_count{step=\"certificate\"}".to_owned(), 2.0),
        ("countersign_log_entries".to_owned(), 2.0),
        ("countersign_log_unsealed_entries".to_owned(), 2.0),
        ("countersign_log_group_entries_sum".to_owned(), 2.0),
        ("countersign_log_sync_seconds_count".to_owned(), 2.0),
        ("countersign_store_errors_total{part=\"head\"}".to_owned(), 0.0),
        ("countersign_jwks_fetches_total".to_owned(), 1.0),
        (format!("countersign_jwks_consecutive_failures{{issuer=\"{issuer}\"}}"), 0.0),
        ("countersign_issuances_in_flight".to_owned(), 0.0),
        ("countersign_ready".to_owned(), 1.0),
        ("countersign_check{check=\"log\"}".to_owned(), 1.0),
        ("countersign_log_lines_dropped_total".to_owned(), 0.0),
    ];
    for (sample, expected) in table {
        assert_eq!(after.value(&sample), expected, "{sample}");
    }
    // Whatever was to come was at zero before it came, so that the first of it is an increase.
    for sample in
        ["fulcio_new_certs".to_owned(), certificates(issuer, "issued"), certificates("unknown", "refused")]
    {
        assert_eq!(before.value(&sample), 0.0, "{sample}");
    }
    let seen = format!("{after:?}");
    assert!(!seen.contains("SECRET"), "no caller's text becomes a label");
    assert!(after.value("process_resident_memory_bytes") > 1e6 && after.value("process_open_fds") > 3.0);
    assert!(after.value("process_cpu_seconds_total") > 0.0);
    assert!(after.value("countersign_open_connections{listener=\"public\"}") >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_are_counted_under_the_code_that_their_callers_saw() {
    let ca = TestCa::start().await;
    let method = "CreateSigningCertificate";
    let url = ca.url(&format!("/dev.sigstore.fulcio.v2.CA/{method}"));
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    for (body, code, name) in
        [(vec![], "13", "Internal"), (vec![0, 0xff, 0xff, 0xff, 0xff, 1], "8", "ResourceExhausted")]
    {
        let call = http2.post(&url).header("content-type", "application/grpc").body(body);
        assert_eq!(Answer::of(call).await.header("grpc-status"), code);
        let sample = format!(
            "grpc_server_handled_total{{grpc_code=\"{name}\",grpc_method=\"{method}\",\
             grpc_service=\"dev.sigstore.fulcio.v2.CA\",grpc_type=\"unary\"}}"
        );
        assert_eq!(Exposition::of(&ca).await.value(&sample), 1.0, "{sample}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_hold_together() {
    let ca = TestCa::start().await;
    ca.issue().await;
    let served = Exposition::of(&ca).await;
    for (name, _) in served.types.iter().filter(|(_, kind)| *kind == "histogram") {
        let counts = served.samples.iter().filter(|(sample, _)| sample.starts_with(&format!("{name}_count")));
        for (sample, count) in counts {
            let labels = sample.strip_prefix(&format!("{name}_count")).unwrap().trim_matches(['{', '}']);
            let bound =
                if labels.is_empty() { "le=\"+Inf\"".to_owned() } else { format!("{labels},le=\"+Inf\"") };
            assert_eq!(served.value(&format!("{name}_bucket{{{bound}}}")), *count, "{sample}");
        }
    }
    // The reference's own bounds are among ours.
    for bound in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"] {
        served.value(&format!("fulcio_api_latency_bucket{{code=\"200\",method=\"post\",le=\"{bound}\"}}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_that_a_pattern_admits_share_its_label() {
    let ca = TestCa::builder()
        .configure(|config| {
            let issuer = config.issuers.iter().next().expect("the GitLab").clone();
            let text = issuer.url.replace("//127.", "//1*.");
            let pattern = IssuerPattern::parse(&text, issuer.entries, issuer.key_source).expect("a pattern");
            config.issuers = Issuers::new(vec![], vec![pattern]);
        })
        .start()
        .await;
    ca.issue().await;
    let served = Exposition::of(&ca).await;
    let label = ca.gitlab.url().replace("//127.", "//1*.");
    assert_eq!(
        served.value(&format!("countersign_certificates_total{{issuer=\"{label}\",result=\"issued\"}}")),
        1.0
    );
    served.value(&format!("countersign_jwks_age_seconds{{issuer=\"{label}\"}}"));
    assert!(!served.samples.keys().any(|sample| sample.contains(ca.gitlab.url())));
    // An operator's purge reaches what came through the pattern.
    let refreshed = Answer::of(ca.http.post(ca.admin_url("/issuers/refresh"))).await;
    assert_eq!(refreshed.json()["issuers"][0]["issuer"], ca.gitlab.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_keys_and_the_days_of_the_chain_go_with_the_clock() {
    let ca = TestCa::start().await;
    ca.issue().await;
    let age = format!("countersign_jwks_age_seconds{{issuer=\"{}\"}}", ca.gitlab.url());
    let days = |served: &Exposition| {
        let mut days: Vec<f64> = served
            .samples
            .iter()
            .filter(|(sample, _)| sample.starts_with("countersign_ca_expiry_days"))
            .map(|(_, days)| *days)
            .collect();
        days.sort_by(f64::total_cmp);
        days
    };
    let before = Exposition::of(&ca).await;
    assert_eq!(before.value(&age), 0.0);
    ca.clock.advance(Duration::from_secs(10 * 86_400));
    let after = Exposition::of(&ca).await;
    assert_eq!(after.value(&age), 864_000.0);
    assert_eq!(days(&before).len(), 2, "one for each certificate");
    for (before, after) in days(&before).iter().zip(days(&after)) {
        assert!((before - after - 10.0).abs() < 1e-6, "{before} {after}");
    }
    ca.clock.advance(Duration::from_secs(6 * 365 * 86_400));
    let expired = Exposition::of(&ca).await;
    assert!(days(&expired)[0] < 0.0);
    assert_eq!(expired.value("countersign_ready"), 0.0);
    assert_eq!(expired.value("countersign_check{check=\"ca_certificates\"}"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_have_keys_fetched_anew() {
    let ca = TestCa::start().await;
    let refresh =
        async |query: &str| Answer::of(ca.http.post(ca.admin_url(&format!("/issuers/refresh{query}")))).await;
    let one = json!({ "issuers": [{ "issuer": ca.gitlab.url(), "status": "REFRESHED", "keys": 1 }] });
    let all = refresh("").await;
    assert_eq!((all.status.as_u16(), all.json()), (200, one.clone()));
    assert_eq!(all.header("content-type"), "application/json");
    let fetched = ca.gitlab.fetches();
    assert!(fetched > 0, "it was fetched although nobody had asked before");
    let url = url::form_urlencoded::byte_serialize(ca.gitlab.url().as_bytes()).collect::<String>();
    let named = refresh(&format!("?issuer={url}")).await;
    assert_eq!((named.status.as_u16(), named.json()), (200, one));
    assert!(ca.gitlab.fetches() > fetched, "whatever is at hand, it is fetched");

    let stranger = refresh("?issuer=https://evil.example").await;
    assert_eq!((stranger.status.as_u16(), stranger.reason()), (404, "NOT_FOUND".to_owned()));
    let unknown = refresh("?isuer=x").await;
    assert_eq!((unknown.status.as_u16(), unknown.reason()), (400, "REQUEST_MALFORMED".to_owned()));
    for (method, path, status, reason) in [
        ("GET", "/issuers/refresh", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/metrics", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/issuers", 404, "NOT_FOUND"),
        ("POST", "/api/v2/signingCert", 404, "NOT_FOUND"),
    ] {
        let answer = Answer::of(ca.http.request(method.parse().unwrap(), ca.admin_url(path))).await;
        assert_eq!((answer.status.as_u16(), &*answer.reason()), (status, reason), "{method} {path}");
        assert_eq!(
            answer.header("allow").is_empty(),
            status != 405,
            "RFC 9110 §15.5.6: {:?}",
            answer.headers
        );
    }
    let foreign =
        Answer::of(ca.http.get(ca.admin_url("/metrics")).header("origin", "https://evil.example")).await;
    assert_eq!(foreign.header("access-control-allow-origin"), "", "no web page may read it");
    let public = Answer::of(ca.http.post(ca.url("/issuers/refresh"))).await;
    assert_eq!(public.status, 404, "it is for operators alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_be_fetched_is_named_and_its_last_keys_go_on_serving() {
    let ca = TestCa::builder()
        .configure(|config| {
            let gitlab = config.issuers.iter().next().expect("the GitLab").clone();
            // Nobody listens there (RFC 6335 §6: port 0 is nobody's).
            let gone = countersign::identity::Issuer { url: "http://127.0.0.1:1".into(), ..gitlab.clone() };
            config.issuers = Issuers::new(vec![gitlab, gone], vec![]);
        })
        .start()
        .await;
    let answer = Answer::of(ca.http.post(ca.admin_url("/issuers/refresh"))).await;
    assert_eq!(answer.status, 502);
    let issuers = answer.json()["issuers"].clone();
    assert_eq!((&issuers[0]["status"], &issuers[1]["status"]), (&json!("REFRESHED"), &json!("FAILED")));
    assert!(issuers[1]["error"].as_str().is_some_and(|error| !error.is_empty()));
    let served = Exposition::of(&ca).await;
    assert_eq!(served.value("countersign_jwks_consecutive_failures{issuer=\"http://127.0.0.1:1\"}"), 1.0);
    assert_eq!(served.value("countersign_jwks_fetch_failures_total"), 1.0);
    assert!(!served.samples.contains_key("countersign_jwks_age_seconds{issuer=\"http://127.0.0.1:1\"}"));
    ca.issue().await;
}

/// Somebody who listens to nothing.
struct Nobody;

impl issuance::Observer for Nobody {
    fn ended(&self, _: &Course, _: Option<Reason>) {}
}

impl api::Observer for Nobody {
    fn answered(&self, _: &api::Answered<'_>) {}
}

impl api::Operations for Nobody {
    fn metrics(&self, _: &ApiState) -> Result<(&'static str, String), String> {
        Err("SECRETREASON".into())
    }
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
    fn refresh<'a>(&'a self, _: Option<&'a str>) -> issuance::Answer<'a, Vec<Refreshed>> {
        Box::pin(async { Vec::new() })
    }
}

/// The CA's key, which can be made to fail, and to take long.
struct Faulty {
    key: FileSigner,
    fails: Arc<AtomicBool>,
    clock: Arc<TestClock>,
    seconds: Arc<AtomicU64>,
}

impl CaSigner for Faulty {
    fn sign<'a>(&'a self, tbs: &'a ToBeSigned) -> issuance::Answer<'a, Result<Vec<u8>, SignerError>> {
        if self.fails.load(Ordering::SeqCst) {
            return Box::pin(async { Err(SignerError("SECRETTOKENPIN is wrong".into())) });
        }
        self.clock.advance(Duration::from_secs(self.seconds.load(Ordering::SeqCst)));
        self.key.sign(tbs)
    }
}

/// A CA without sockets, on a store and with a key that fail on demand.
struct Fragile {
    ca: StoppedCa,
    public: api::Around,
    admin: api::Around,
    store: MemoryStore,
    signer_fails: Arc<AtomicBool>,
    /// How far the clock goes at each signature of the CA.
    signer_takes: Arc<AtomicU64>,
}

impl Fragile {
    async fn start() -> Self {
        let ca = TestCa::builder().prepare().await;
        let pem = std::fs::read(ca.config.ca.certificates().expect("files")).expect("a chain");
        let chain = Arc::new(CaChain::from_pem(&pem).expect("a chain"));
        let (store, signer_fails) = (MemoryStore::default(), Arc::new(AtomicBool::new(false)));
        let signer_takes = Arc::new(AtomicU64::new(0));
        let stores = Stores {
            head: Box::new(store.head.clone()),
            record: Box::new(store.record.clone()),
            tiles: Arc::new(store.tiles.clone()),
            guard: Box::new(()),
        };
        let settings =
            CtLogSettings { origin: "ca.example.com/ct".into(), issuers: chain.certificates().to_vec() };
        let log_key = LogKey::open(&ca.config.log.embedded().expect("our own").key).expect("a key");
        let Environment { random, stopwatch, .. } = Environment::system();
        let log = CtLog::open(settings, Arc::new(log_key), stores, ca.clock.clone(), stopwatch.clone())
            .expect("a log");
        let key = FileSigner::open(ca.config.ca.key().expect("files"), None, &chain).expect("a key");
        let admission = Admission::new(stopwatch.clone(), random.clone());
        let authority = CertificateAuthority {
            admission,
            chain,
            lately: Arc::default(),
            signer: Box::new(Faulty {
                key,
                fails: signer_fails.clone(),
                clock: ca.clock.clone(),
                seconds: signer_takes.clone(),
            }),
            rules: CurrentRules::new(Rules {
                issuers: ca.config.issuers.clone(),
                policy: Default::default(),
            }),
            keys: Arc::new(JwksCache::new(ca.clock.clone()).expect("a cache")),
            log: countersign::issuance::LogMode::Embedded(Arc::new(log)),
            lifetime: ca.config.ca.validity,
            clock: ca.clock.clone(),
            random,
            stopwatch,
            observer: Arc::new(Nobody),
        };
        let state = Arc::new(ApiState::new(Arc::new(authority), Arc::new(Nobody)));
        let admin = api::operators(state.clone(), Arc::new(Nobody));
        Self { ca, public: api::public(state), admin, store, signer_fails, signer_takes }
    }

    async fn ask(api: &api::Around, method: &str, path: &str, body: String) -> (u16, Value) {
        let request = axum::http::Request::builder().method(method).uri(path).header("host", "ca");
        let request = request.body(Body::from(body)).unwrap();
        let answer = api.clone().oneshot(request).await.expect("it never fails");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn sign(&self) -> u16 {
        let claims = self.ca.gitlab.claims();
        let mut request = TestKey::new().request(claims["sub"].as_str().unwrap());
        request["credentials"] = json!({ "oidcIdentityToken": self.ca.gitlab.token(&claims) });
        Self::ask(&self.public, "POST", "/api/v2/signingCert", request.to_string()).await.0
    }

    async fn health(&self) -> (u16, Value) {
        Self::ask(&self.public, "GET", "/healthz", String::new()).await
    }

    async fn ready(&self) -> (u16, Value) {
        Self::ask(&self.admin, "GET", "/readyz", String::new()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_no_while_the_log_takes_nothing_and_yes_when_it_does_again() {
    let ca = Fragile::start().await;
    let ok = json!({ "serving": "ok", "ca_certificates": "ok", "ca_key": "ok", "log": "ok" });
    assert_eq!(ca.health().await, (200, json!({ "status": "SERVING" })));
    assert_eq!(ca.ready().await, (200, json!({ "status": "READY", "checks": ok })));
    ca.store.head.fail([Some(Fault::Refused); 2]);
    assert_eq!(ca.sign().await, 503);
    assert_eq!(ca.health().await, (503, json!({ "status": "NOT_SERVING" })));
    let (status, ready) = ca.ready().await;
    assert_eq!(
        (status, &ready["status"], &ready["checks"]["ca_key"]),
        (503, &json!("NOT_READY"), &json!("ok"))
    );
    for text in [&ready["reason"], &ready["checks"]["log"]] {
        assert!(text.as_str().is_some_and(|text| text.contains("no space left")), "{ready}");
    }
    // The store works again, and asking is enough to find that out: no certificate is needed for it.
    while ca.health().await.0 != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ca.sign().await, 200);
    assert_eq!(ca.health().await, (200, json!({ "status": "SERVING" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_whose_sct_is_outside_its_life_is_not_answered() {
    let ca = Fragile::start().await;
    assert_eq!(ca.sign().await, 200);
    // The clock is set between the certificate's dates and the log's.
    ca.signer_takes.store(1800, Ordering::SeqCst);
    assert_eq!(ca.sign().await, 503);
    ca.signer_takes.store(0, Ordering::SeqCst);
    assert_eq!(ca.sign().await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_no_for_good_once_the_log_has_stopped() {
    let ca = Fragile::start().await;
    ca.store.head.fail([Some(Fault::Lost)]);
    assert_eq!(ca.sign().await, 503);
    for _ in 0..3 {
        assert_eq!(ca.health().await, (503, json!({ "status": "NOT_SERVING" })));
        assert!(
            ca.ready().await.1["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("the log has stopped"))
        );
        assert_eq!(ca.sign().await, 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_no_while_the_key_fails_and_yes_when_it_signs_again() {
    let ca = Fragile::start().await;
    ca.signer_fails.store(true, Ordering::SeqCst);
    assert_eq!(ca.health().await.0, 200, "nobody has tried yet");
    assert_eq!(ca.sign().await, 503);
    assert_eq!(ca.health().await, (503, json!({ "status": "NOT_SERVING" })));
    let (status, ready) = ca.ready().await;
    assert_eq!((status, &ready["checks"]["log"]), (503, &json!("ok")));
    assert!(ready["checks"]["ca_key"].as_str().is_some_and(|reason| reason.contains("could not be used")));

    ca.signer_fails.store(false, Ordering::SeqCst);
    assert_eq!(ca.sign().await, 200);
    assert_eq!(ca.health().await.0, 200, "a signature is proof");

    // Where health keeps callers away nothing would ever be tried again: after a while it is worth another one.
    ca.signer_fails.store(true, Ordering::SeqCst);
    assert_eq!(ca.sign().await, 503);
    ca.ca.clock.advance(Duration::from_secs(31));
    assert_eq!(ca.health().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_inside_is_not_told_outside() {
    let ca = Fragile::start().await;
    let (status, body) = Fragile::ask(&ca.admin, "GET", "/metrics", String::new()).await;
    assert_eq!((status, &body["details"][0]["reason"]), (500, &json!("INTERNAL")));
    ca.signer_fails.store(true, Ordering::SeqCst);
    let mut request = TestKey::new().request(ca.ca.gitlab.claims()["sub"].as_str().unwrap());
    request["credentials"] = json!({ "oidcIdentityToken": ca.ca.gitlab.token(&ca.ca.gitlab.claims()) });
    let (_, refused) = Fragile::ask(&ca.public, "POST", "/api/v2/signingCert", request.to_string()).await;
    for text in [body, refused, ca.health().await.1, ca.ready().await.1] {
        assert!(!text.to_string().contains("SECRET"), "{text}");
    }
}

/// What must be in no log line, no metric and no answer.
struct Secrets(Vec<String>);

impl Secrets {
    fn check(&self, place: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret.as_str()), "{place} shows {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_any_log_line_metric_or_answer() {
    logs::collect();
    let ca = TestCa::start().await;
    let mut claims = ca.gitlab.claims();
    for (name, value) in [
        ("user_email", "secret-mail-q7xzk@example.com"),
        ("user_login", "secret-login-q7xzk"),
        ("jti", "secret-jti-q7xzk"),
        ("user_access_level", "secret-level-q7xzk"),
    ] {
        claims[name] = json!(value);
    }
    let good = ca.gitlab.token(&claims);
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        ca.gitlab.token(&claims)
    };
    let tokens = [
        with("aud", json!("secret-audience-q7xzk")),
        with("aud", json!(["sigstore", "secret-audience-q7xzk"])),
        with("iss", json!("https://secret-issuer-q7xzk.example")),
        with("exp", json!(1)),
        with("nbf", json!(99_999_999_999_u64)),
        with("project_path", Value::Null),
        with("project_path", json!(7)),
        with("sha", json!("")),
        with("ref", json!("secret-\u{7}-q7xzk")),
        with("ref_type", json!("secret-type-q7xzk")),
        with("ref_path", json!("secret-path-q7xzk")),
        with("ci_config_ref_uri", json!("secret-uri-q7xzk")),
        with("job_project_path", json!("secret-job-q7xzk")),
        format!("{good}AAAA"),
        format!("{good}.x"),
        good.replace('.', "!"),
        format!("{good}{}", "A".repeat(70_000)),
    ];
    let key = TestKey::new();
    let mut request = key.request(&ca.challenge());
    let proof = request["publicKeyRequest"]["proofOfPossession"].as_str().expect("a proof").to_owned();
    let wrong_proof = TestKey::new().proof("x");
    let certificate_request = csr();
    let pem = key.pem();
    let mut secrets: Vec<String> = tokens
        .iter()
        .chain([&good])
        .flat_map(|token| token.split(['.', '!']).skip(1))
        .filter(|segment| segment.len() > 20)
        .map(str::to_owned)
        .collect();
    secrets.extend([
        proof,
        wrong_proof.clone(),
        certificate_request.clone(),
        "q7xzk".into(),
        "PRIVATE KEY".into(),
    ]);
    secrets.extend(pem.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    let secrets = Secrets(secrets);

    let mut bodies = Vec::new();
    for token in &tokens {
        request["credentials"] = json!({ "oidcIdentityToken": token });
        bodies.push(request.to_string());
    }
    request["credentials"] = json!({ "oidcIdentityToken": good });
    let issued = request.to_string();
    for edit in [
        json!({ "proofOfPossession": wrong_proof, "publicKey": { "content": pem } }),
        json!({ "proofOfPossession": good, "publicKey": { "content": pem } }),
        json!({ "proofOfPossession": wrong_proof, "publicKey": { "content": format!("{pem}{good}") } }),
        json!({ "proofOfPossession": wrong_proof, "publicKey": { "content": good } }),
        json!({ "publicKey": good }),
    ] {
        request["publicKeyRequest"] = edit;
        bodies.push(request.to_string());
    }
    bodies.push(
        json!({ "credentials": { "oidcIdentityToken": good }, "certificateSigningRequest": good })
            .to_string(),
    );
    bodies.push(issued.replace('}', ""));
    bodies.push(good.clone());

    for body in &bodies {
        let answer = Answer::of(ca.signing().body(body.clone())).await;
        assert!(answer.status.is_client_error(), "{} {}", answer.status, answer.text());
        secrets.check("a refusal", &format!("{:?}{}", answer.headers, answer.text()));
        let in_header = ca.signing().bearer_auth(body.replace(['\n', '\u{7}'], "")).body("{}");
        let answer = Answer::of(in_header).await;
        secrets.check("a refusal", &format!("{:?}{}", answer.headers, answer.text()));
    }
    let with_csr = json!({ "credentials": { "oidcIdentityToken": good }, "certificateSigningRequest": certificate_request });
    for body in [issued, with_csr.to_string()] {
        let answer = Answer::of(ca.signing().body(body)).await;
        assert_eq!(answer.status, 200);
        secrets.check("a certificate", &format!("{:?}{}", answer.headers, answer.text()));
    }
    let paths = [
        "/healthz",
        "/api/v2/trustBundle",
        "/api/v2/configuration",
        "/ct/checkpoint",
        "/ct/ct/v1/get-sth",
        "/ct/ct/v1/get-roots",
        "/ct/tile/0/000.p/1",
        "/nothing",
        "/livez",
        "/readyz",
        "/metrics",
        "/issuers/refresh",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            for url in [ca.url(path), ca.admin_url(path)] {
                let url = format!("{url}?token={good}");
                let request = ca.http.request(method.parse().unwrap(), url).bearer_auth(&good);
                let request = request.header("x-request-id", good.as_str()).header("cookie", good.as_str());
                let answer = Answer::of(request.header("x-forwarded-for", good.as_str())).await;
                let seen = format!("{:?}{}", answer.headers, String::from_utf8_lossy(&answer.body));
                secrets.check(path, &seen);
            }
        }
    }
    secrets.check("/metrics", ca.get_admin("/metrics").await.text());
    ca.stop().await;
    let text = logs::text();
    assert!(text.contains("TOKEN_AUDIENCE_MISMATCH"), "refusals are in the log");
    for line in text.lines() {
        // Other tests have private keys of their own to speak of.
        secrets.check("the log", &line.replace("PRIVATE KEY", ""));
    }
}
