//! The harness: a CA on loopback with a make-believe GitLab beside it, in a directory that goes away with it.

#![allow(dead_code, reason = "no single test module uses all of it")]

pub mod gitlab;
pub mod grpc;
pub mod key;
pub mod logs;
pub mod secrets;

use countersign::certificate::accepted::AcceptedCas;
use countersign::config::{CaConfig, CaMaterial, Config, EmbeddedLogConfig, LogConfig, SignatureLogConfig};
use countersign::demo::gitlab::Gitlab;
use countersign::environment::{Clock, Stopwatch, UnixMillis};
use countersign::identity::gitlab::GitlabRules;
use countersign::identity::{Entry, Issuer, Issuers, KeySource};
use countersign::rekor::Writers;
use countersign::server::environment::Environment;
use countersign::server::{Running, StartError};
use countersign::signer::ceremony::{NewCa, Options};
use key::TestKey;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A clock that a test turns by hand.
pub struct TestClock(AtomicU64);

impl TestClock {
    /// At this time.
    pub fn at(time: UnixMillis) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(time.0)))
    }
    /// Goes forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
    /// Goes anywhere.
    pub fn set(&self, time: UnixMillis) {
        self.0.store(time.0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// Both hands of one clock, so that it never leaps.
impl Stopwatch for TestClock {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A running CA, its GitLab, its clock and its directory.
pub struct TestCa {
    running: Running,
    /// The issuer.
    pub gitlab: Gitlab,
    /// The CA's and the issuer's clock.
    pub clock: Arc<TestClock>,
    /// A client without any special settings.
    pub http: Client,
    config: Config,
    directory: TempDir,
}

/// How a [`TestCa`] is set up.
pub struct TestCaBuilder {
    rules: GitlabRules,
    edit: Box<dyn FnOnce(&mut Config)>,
    signature_log: Option<Writers>,
}

impl TestCa {
    /// One with everything at its default.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// For one that is set up otherwise.
    pub fn builder() -> TestCaBuilder {
        TestCaBuilder { rules: GitlabRules::default(), edit: Box::new(|_| {}), signature_log: None }
    }

    /// A URL of the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.config.scheme(), self.running.address())
    }

    /// A URL of the operators' listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.admin_address().expect("there is one"))
    }

    /// The configuration that it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The directory that holds everything of it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The log's public key, PEM of it in the log's key file.
    pub fn log_spki(&self) -> Vec<u8> {
        let key =
            countersign::signer::LogKey::open(&self.config.log.embedded().expect("a log of its own").key)
                .expect("the log's key");
        key.spki_der().to_vec()
    }

    /// A token of the GitLab's usual job.
    pub fn token(&self) -> String {
        self.gitlab.token(&self.gitlab.claims())
    }

    /// The `sub` of that token: what the proof signs.
    pub fn challenge(&self) -> String {
        self.gitlab.claims()["sub"].as_str().expect("a string").to_owned()
    }

    /// A v2 request with a fresh key and the token in the body.
    pub fn signing_request(&self) -> Value {
        let mut request = TestKey::new().request(&self.challenge());
        request["credentials"] = json!({ "oidcIdentityToken": self.token() });
        request
    }

    /// `POST /api/v2/signingCert`, not sent yet.
    pub fn signing(&self) -> RequestBuilder {
        self.http.post(self.url("/api/v2/signingCert"))
    }

    /// Asks for a certificate.
    pub async fn sign(&self, request: &Value) -> Answer {
        Answer::of(self.signing().body(request.to_string())).await
    }

    /// A certificate for a fresh key, which must be issued.
    pub async fn issue(&self) -> Vec<String> {
        self.sign(&self.signing_request()).await.certificates()
    }

    /// A GET on the operators' listener.
    pub async fn get_admin(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.admin_url(path))).await
    }

    /// A GET on the public listener.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.url(path))).await
    }

    /// Ends it; the directory and the GitLab stay.
    pub async fn stop(self) -> StoppedCa {
        let Self { running, gitlab, clock, http, config, directory } = self;
        running.shut_down().await;
        StoppedCa { gitlab, clock, http, config, directory }
    }

    /// As SIGHUP does.
    pub async fn reload(&self) {
        self.running.reload().await;
    }

    /// As the clock does every ten seconds.
    pub async fn look(&self) {
        self.running.look().await;
    }

    /// Starts another server with the same configuration while this one runs.
    pub async fn start_second(&self) -> Result<Running, StartError> {
        Running::start(self.config.clone(), environment(&self.clock)).await
    }
}

/// What is left of a [`TestCa`] that ended.
pub struct StoppedCa {
    /// The issuer, still up.
    pub gitlab: Gitlab,
    /// The clock.
    pub clock: Arc<TestClock>,
    http: Client,
    /// What the next one runs with.
    pub config: Config,
    directory: TempDir,
}

impl StoppedCa {
    /// Starts it again.
    pub async fn start(self) -> TestCa {
        let Self { gitlab, clock, http, config, directory } = self;
        let running = Running::start(config.clone(), environment(&clock)).await.expect("it starts again");
        TestCa { running, gitlab, clock, http, config, directory }
    }

    /// Tries to start it again, which must fail.
    pub async fn refused(&self) -> StartError {
        match Running::start(self.config.clone(), environment(&self.clock)).await {
            Ok(_) => panic!("it started"),
            Err(error) => error,
        }
    }
}

impl TestCaBuilder {
    /// With these rules for the GitLab's tokens.
    pub fn rules(mut self, rules: GitlabRules) -> Self {
        self.rules = rules;
        self
    }

    /// With changes to the configuration, made last.
    pub fn configure(mut self, edit: impl FnOnce(&mut Config) + 'static) -> Self {
        self.edit = Box::new(edit);
        self
    }

    /// With a signature log for these writers.
    pub fn signature_log(mut self, writers: Writers) -> Self {
        self.signature_log = Some(writers);
        self
    }

    /// Everything up to a running server.
    pub async fn start(self) -> TestCa {
        self.prepare().await.start().await
    }

    /// Everything but the server.
    pub async fn prepare(self) -> StoppedCa {
        // The machine's time, for tools that look at the real one.
        let clock = TestClock::at(Environment::system().clock.now());
        let gitlab = Gitlab::start(clock.clone()).await.expect("a GitLab");
        let directory = tempfile::tempdir().expect("a directory");
        let ca = NewCa::make(&Options::default(), clock.now()).expect("a CA");
        logs::collect();
        [&ca.issuing_key, &ca.root_key, &ca.log_key, &ca.signature_log_key, &ca.timestamps_key]
            .iter()
            .for_each(|key| secrets::note_key(key));
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
            path
        };
        let entry =
            Entry { audience: "sigstore".into(), allow_multiple_audiences: false, kind: self.rules.into() };
        let issuer = Issuer {
            url: gitlab.url().to_owned(),
            entries: [entry].into(),
            key_source: Arc::new(KeySource::Discovery {
                ca_certificate: None,
                outage_grace: Duration::from_secs(3600),
            }),
        };
        // For those who switch the timestamp authority on.
        file("timestamps.pem", &ca.timestamps_chain());
        file("timestamps.key", &ca.timestamps_key);
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config {
            listen: loopback,
            tls: None,
            public_url: None,
            admin: Some(loopback),
            admin_names: Vec::new(),
            data: directory.path().join("data"),
            ca: CaConfig {
                material: CaMaterial::Files {
                    certificates: file("chain.pem", &ca.chain()),
                    key: file("ca.key", &ca.issuing_key),
                    password_file: None,
                },
                validity: Duration::from_secs(600),
            },
            timestamps: None,
            log: LogConfig::Embedded(EmbeddedLogConfig {
                key: file("log.key", &ca.log_key),
                origin: "ca.example.com/ct".into(),
                accept: AcceptedCas::default(),
            }),
            signature_log: None,
            also_trusted: Vec::new(),
            issuers: Issuers::new(vec![issuer], vec![]),
            claims_arc: None,
            policy: Default::default(),
            broker: None,
            origin: None,
        };
        if let Some(writers) = self.signature_log {
            config.signature_log = Some(SignatureLogConfig {
                key: file("signatures.key", &ca.signature_log_key),
                origin: "127.0.0.1".into(),
                writers,
            });
        }
        (self.edit)(&mut config);
        StoppedCa { gitlab, clock, http: client(), config, directory }
    }
}

fn environment(clock: &Arc<TestClock>) -> Environment {
    Environment { clock: clock.clone(), ..Environment::system() }
}

/// A client without proxies.
pub fn client() -> Client {
    Client::builder().no_proxy().build().expect("a client")
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// Sends and reads.
    pub async fn of(request: RequestBuilder) -> Self {
        secrets::note_request(&request);
        Self::read(request.send().await.expect("an answer")).await
    }

    /// Reads.
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("the whole body").to_vec();
        secrets::check("an answer's headers", format!("{headers:?}").as_bytes());
        secrets::check("an answer", &body);
        Self { status, headers, body }
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON: {}", self.text()))
    }

    /// A header's text; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The certificates of a v2 answer: leaf, intermediate, root.
    pub fn certificates(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text());
        let body = self.json();
        let chain =
            body["signedCertificateEmbeddedSct"]["chain"]["certificates"].as_array().expect("a chain");
        chain.iter().map(|pem| pem.as_str().expect("PEM").to_owned()).collect()
    }

    /// The reason's code of a refusal.
    pub fn reason(&self) -> String {
        self.json()["details"][0]["reason"].as_str().unwrap_or_default().to_owned()
    }
}
