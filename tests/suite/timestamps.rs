//! The timestamp authority, seen from outside: its API, its errors, its clocks.

use crate::support::{Answer, StoppedCa, TestCa, client, logs};
use countersign::config::{TimestampsConfig, TimestampsMaterial};
use countersign::environment::{Clock, Stopwatch, UnixMillis};
use countersign::rekor::Writers;
use countersign::server::Running;
use countersign::server::environment::Environment;
use countersign::timestamping::{DEFAULT_ACCURACY, DEFAULT_POLICY};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A wall clock and a monotonic one, each as it is set.
struct Clocks {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl Clock for Clocks {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }
}

impl Stopwatch for Clocks {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::SeqCst))
    }
}

/// A server with an authority, and its clocks.
struct Stamping {
    running: Running,
    clocks: Arc<Clocks>,
    ca: StoppedCa,
}

impl Stamping {
    async fn start() -> Self {
        Self::on(Self::prepare().await, 0).await
    }

    async fn prepare() -> StoppedCa {
        TestCa::builder()
            .signature_log(Writers::Own)
            .configure(|config| {
                let directory = config.data.parent().expect("a directory").to_owned();
                config.timestamps = Some(TimestampsConfig {
                    material: TimestampsMaterial::Files {
                        certificates: directory.join("timestamps.pem"),
                        key: directory.join("timestamps.key"),
                    },
                    policy: DEFAULT_POLICY,
                    accuracy: DEFAULT_ACCURACY,
                    ntp: None,
                });
            })
            .prepare()
            .await
    }

    /// Starts so many milliseconds after the clock of `ca`.
    async fn on(ca: StoppedCa, later: u64) -> Self {
        let clocks = Arc::new(Clocks {
            wall: AtomicU64::new(Clock::now(&*ca.clock).0 + later),
            monotonic: AtomicU64::new(7_000),
        });
        let environment =
            Environment { clock: clocks.clone(), stopwatch: clocks.clone(), ..Environment::system() };
        let running = Running::start(ca.config.clone(), environment).await.expect("it starts");
        Self { running, clocks, ca }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address())
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(client().get(self.url(path))).await
    }

    async fn post(&self, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = client()
            .post(self.url("/api/v1/timestamp"))
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(body.into());
        Answer::of(request).await
    }

    async fn ready(&self) -> (u16, Value) {
        let admin = self.running.admin_address().expect("operators' listener");
        let answer = Answer::of(client().get(format!("http://{admin}/readyz"))).await;
        (answer.status.as_u16(), answer.json())
    }
}

/// A JSON request that is answered.
fn good() -> String {
    json!({ "artifactHash": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "hashAlgorithm": "sha256" })
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_asks_over_http_and_verifies_the_answer() {
    let server = Stamping::start().await;
    let chain = server.get("/api/v1/timestamp/certchain").await;
    assert_eq!(chain.header("content-type"), "application/pem-certificate-chain");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let own = chain.text().rfind("-----BEGIN").expect("two certificates");
    std::fs::write(path("root.pem"), &chain.text()[own..]).unwrap();
    std::fs::write(path("artifact"), "an artifact").unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().ok()?;
        Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (artifact, query, reply, root) = (path("artifact"), path("query"), path("reply"), path("root.pem"));
    let Some((true, _)) = openssl(&["ts", "-query", "-data", &artifact, "-sha256", "-cert", "-out", &query])
    else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let answer = server.post("application/timestamp-query", std::fs::read(&query).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/timestamp-reply"));
    assert_eq!(answer.header("cache-control"), "no-store");
    std::fs::write(&reply, &answer.body).unwrap();
    let (verified, said) =
        openssl(&["ts", "-verify", "-in", &reply, "-queryfile", &query, "-CAfile", &root]).unwrap();
    assert!(verified, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_the_references_with_what_the_rfc_calls_them() {
    let server = Stamping::start().await;
    assert_eq!(server.post("application/json; charset=utf-8", good()).await.status, 200);
    assert_eq!(server.get("/ping").await.status, 200);
    let with = |key: &str, value: Value| {
        let mut request: Value = serde_json::from_str(&good()).unwrap();
        request[key] = value;
        request.to_string()
    };
    let json = "application/json";
    let der = "application/timestamp-query";
    for (content_type, body, status, reason, failure) in [
        (json, with("hashAlgorithm", "sha1".into()), 400, "TIMESTAMP_HASH_UNSUPPORTED", "badAlg"),
        (json, with("hashAlgorithm", "sha512".into()), 400, "TIMESTAMP_HASH_LENGTH", "badDataFormat"),
        (json, with("tsaPolicyOID", "1.2.3".into()), 400, "TIMESTAMP_POLICY_UNKNOWN", "unacceptedPolicy"),
        (json, with("nonce", "x".into()), 400, "REQUEST_MALFORMED", "badDataFormat"),
        (json, "x".repeat(1025), 413, "REQUEST_TOO_LARGE", "badDataFormat"),
        (der, "x".repeat(4097), 413, "REQUEST_TOO_LARGE", "badDataFormat"),
        (der, good(), 400, "REQUEST_MALFORMED", "badDataFormat"),
        (der, String::new(), 422, "REQUEST_EMPTY", "badDataFormat"),
        ("text/plain", good(), 415, "CONTENT_TYPE_UNSUPPORTED", "badRequest"),
    ] {
        let answer = server.post(content_type, body).await;
        assert_eq!((answer.status.as_u16(), &*answer.reason()), (status, reason));
        let body = answer.json();
        assert_eq!(body["code"], status);
        assert_eq!(body["details"][0]["metadata"]["failure_info"], failure);
    }
    for (method, path) in
        [("GET", "/api/v1/timestamp"), ("POST", "/ping"), ("PUT", "/api/v1/timestamp/certchain")]
    {
        let answer = Answer::of(client().request(method.parse().unwrap(), server.url(path))).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_u64()), (405, Some(405)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_clock_stops_timestamps_alone_and_readiness_says_so() {
    let server = Stamping::start().await;
    assert_eq!(server.ready().await.1["checks"]["timestamps"], "ok");
    server.clocks.wall.fetch_add(3_600_000, Ordering::SeqCst);
    let answer = server.post("application/json", good()).await;
    assert_eq!((answer.status.as_u16(), &*answer.reason()), (503, "TIME_UNAVAILABLE"));
    assert!(!answer.header("retry-after").is_empty() && !answer.text().contains("jumped"));
    let (status, ready) = server.ready().await;
    assert_eq!((status, &ready["status"]), (503, &json!("NOT_READY")));
    assert!(ready["checks"]["timestamps"].as_str().unwrap().contains("the clock jumped by 3600000 ms"));
    assert_eq!(server.get("/ping").await.status, 503);
    assert_eq!(server.get("/healthz").await.status, 200, "certificates are issued");
    server.clocks.wall.fetch_sub(3_600_000, Ordering::SeqCst);
    assert_eq!(server.post("application/json", good()).await.status, 200);
    assert_eq!(server.ready().await.0, 200);
    drop(server.ca);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_timestamp_is_before_what_either_log_has_dated() {
    let mut ca = Stamping::prepare().await;
    let signatures = ca.config.signature_log.take();
    let Stamping { running, mut ca, .. } = Stamping::on(ca, 0).await;
    running.shut_down().await;
    // Made five seconds after the certificate log, which has nothing later to tell of.
    ca.config.signature_log = signatures;
    let Stamping { running, ca, .. } = Stamping::on(ca, 5_000).await;
    running.shut_down().await;
    let server = Stamping::on(ca, 2_000).await;
    let answer = server.post("application/json", good()).await;
    assert_eq!((answer.status.as_u16(), &*answer.reason()), (503, "TIME_UNAVAILABLE"));
    let said = server.ready().await.1["checks"]["timestamps"].to_string();
    assert!(said.contains("the log has attested"), "{said}");
    // Less than a second behind it is told the log's time.
    server.clocks.wall.fetch_add(2_500, Ordering::SeqCst);
    server.clocks.monotonic.fetch_add(2_500, Ordering::SeqCst);
    assert_eq!(server.post("application/json", good()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_must_be_the_certificates_and_for_its_owner_alone() {
    let server = Stamping::start().await;
    let Stamping { running, mut ca, .. } = server;
    running.shut_down().await;
    let directory = ca.config.data.parent().unwrap().to_owned();
    let mut refusal = async |certificates: &str, key: &str| {
        ca.config.timestamps.as_mut().unwrap().material = TimestampsMaterial::Files {
            certificates: directory.join(certificates),
            key: directory.join(key),
        };
        ca.refused().await.to_string()
    };
    assert!(refusal("timestamps.pem", "log.key").await.contains("not the key of the timestamp certificate"));
    assert!(refusal("chain.pem", "timestamps.key").await.contains("timestamps.certificates"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(directory.join("timestamps.key"), mode).unwrap();
        assert!(refusal("timestamps.pem", "timestamps.key").await.contains("chmod 600"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_in_the_configuration_there_is_no_authority() {
    let ca = TestCa::start().await;
    for path in ["/api/v1/timestamp", "/api/v1/timestamp/certchain", "/ping"] {
        assert_eq!(ca.get(path).await.status, 404, "{path}");
    }
}

/// Where the status is not the reason's own, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_line_in_the_log_has_the_status_that_the_caller_got() {
    logs::collect();
    let ca = Stamping::prepare().await.start().await;
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    for (index, (method, url)) in [
        ("GET", ca.url("/api/v1/timestamp")),
        ("HEAD", ca.url("/ping")),
        ("HEAD", ca.admin_url("/readyz")),
        ("POST", ca.admin_url("/readyz")),
        ("POST", ca.url("/healthz")),
        ("GET", ca.url("/healthz")),
    ]
    .into_iter()
    .enumerate()
    {
        for (version, http) in [("1", &ca.http), ("2", &http2)] {
            let id = format!("log-status-{index}-{version}");
            let asked = http.request(method.parse().expect("a method"), &url).header("x-request-id", &*id);
            let answer = Answer::of(asked).await;
            assert_eq!(logs::event(&id)["status"], answer.status.as_u16(), "{method} {url}");
        }
    }
}

/// RFC 9110 §15.5.16, wherever there is a body; and RFC 9110 §10.2.1, §15.5.6: `Allow` has what is taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_told_with_what_is() {
    let ca = Stamping::prepare().await.start().await;
    for path in ["/api/v2/signingCert", "/api/v1/signingCert", "/api/v2/log/entries", "/api/v1/timestamp"] {
        let sent = |encoding: &str| {
            let request = ca.http.post(ca.url(path)).header("content-type", "application/json");
            Answer::of(request.header("content-encoding", encoding).body("\u{1f}\u{8b}"))
        };
        let refused = sent("gzip").await;
        assert_eq!((refused.status.as_u16(), &*refused.reason()), (415, "ENCODING_UNSUPPORTED"), "{path}");
        assert_eq!(refused.header("accept-encoding"), "identity", "{path}");
        let plain = sent("identity").await;
        assert_eq!((plain.status.as_u16(), &*plain.reason()), (400, "REQUEST_MALFORMED"), "{path}");
    }

    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    for (url, allowed, status) in [
        (ca.url("/api/v2/signingCert"), "POST", 501),
        (ca.url("/api/v2/log/entries"), "POST", 501),
        (ca.url("/api/v1/timestamp"), "POST", 405),
        (ca.url("/api/v2/trustBundle"), "GET", 501),
        (ca.url("/healthz"), "GET", 501),
        (ca.url("/ping"), "GET", 405),
        (ca.url("/api/v1/timestamp/certchain"), "GET", 405),
        (ca.admin_url("/readyz"), "GET", 405),
        (ca.admin_url("/issuers/refresh"), "POST", 405),
        (ca.url("/ct/checkpoint"), "GET,HEAD", 501),
    ] {
        for method in ["OPTIONS", "HEAD", "PUT", "GET"] {
            if allowed.split(',').any(|it| it == method) {
                continue;
            }
            for http in [&ca.http, &http2] {
                let answer = Answer::of(http.request(method.parse().expect("a method"), &url)).await;
                assert_eq!(
                    (answer.status.as_u16(), answer.header("allow")),
                    (status, allowed),
                    "{method} {url}"
                );
            }
        }
    }
}
