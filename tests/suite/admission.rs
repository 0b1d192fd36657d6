//! More requests than the server takes: who gets a place, who is refused, and that every place comes back.

use crate::support::grpc::{GrpcClient, detail};
use crate::support::key::TestKey;
use crate::support::{Answer, StoppedCa, TestCa, client};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use countersign::api::{self, ApiState};
use countersign::certificate::{CaChain, ToBeSigned};
use countersign::issuance::{
    self, Admission, CaSigner, CertificateAuthority, Course, CurrentRules, LogMode, Rules, SignerError,
};
use countersign::oidc::JwksCache;
use countersign::refusal::Reason;
use countersign::server::environment::Environment;
use countersign::signer::FileSigner;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// Places that everybody may take on a machine that has shown nothing yet.
const PLACES: usize = 256;

/// A key that signs once it is told to.
struct Held {
    key: FileSigner,
    open: watch::Receiver<bool>,
}

impl CaSigner for Held {
    fn sign<'a>(&'a self, tbs: &'a ToBeSigned) -> issuance::Answer<'a, Result<Vec<u8>, SignerError>> {
        let mut open = self.open.clone();
        Box::pin(async move {
            open.wait_for(|open| *open).await.expect("the test goes on");
            self.key.sign(tbs).await
        })
    }
}

struct Nobody;

impl issuance::Observer for Nobody {
    fn ended(&self, _: &Course, _: Option<Reason>) {}
}

impl api::Observer for Nobody {
    fn answered(&self, _: &api::Answered<'_>) {}
}

/// A CA without a log, whose certificates stay in the making as long as the test likes.
struct Busy {
    ca: StoppedCa,
    authority: Arc<CertificateAuthority>,
    api: api::Around,
    open: watch::Sender<bool>,
}

impl Busy {
    async fn start() -> Self {
        let ca = TestCa::builder().prepare().await;
        let pem = std::fs::read(ca.config.ca.certificates().expect("files")).expect("a chain");
        let chain = Arc::new(CaChain::from_pem(&pem).expect("a chain"));
        let key = FileSigner::open(ca.config.ca.key().expect("files"), None, &chain).expect("a key");
        let Environment { random, stopwatch, .. } = Environment::system();
        let (open, is_open) = watch::channel(false);
        let authority = Arc::new(CertificateAuthority {
            chain,
            lately: Arc::default(),
            signer: Box::new(Held { key, open: is_open }),
            rules: CurrentRules::new(Rules {
                issuers: ca.config.issuers.clone(),
                policy: Default::default(),
            }),
            keys: Arc::new(JwksCache::new(ca.clock.clone()).expect("a cache")),
            log: LogMode::None,
            lifetime: ca.config.ca.validity,
            admission: Admission::new(stopwatch.clone(), random.clone()),
            clock: ca.clock.clone(),
            random,
            stopwatch,
            observer: Arc::new(Nobody),
        });
        let api = api::public(Arc::new(ApiState::new(authority.clone(), Arc::new(Nobody))));
        Self { ca, authority, api, open }
    }

    /// A request by a job of this project.
    fn request(&self, project: &str) -> Value {
        let mut claims = self.ca.gitlab.claims();
        let instance = self.ca.gitlab.url().split_once("://").expect("a URL").1.to_owned();
        claims["project_path"] = json!(project);
        claims["job_project_path"] = json!(project);
        claims["ci_config_ref_uri"] = json!(format!("{instance}/{project}//.gitlab-ci.yml@refs/heads/main"));
        let mut request = TestKey::new().request(claims["sub"].as_str().expect("a string"));
        request["credentials"] = json!({ "oidcIdentityToken": self.ca.gitlab.token(&claims) });
        request
    }

    /// Sends it, without a socket.
    fn send(&self, request: &Value) -> JoinHandle<(u16, String)> {
        let request = Request::post("/api/v2/signingCert")
            .header("host", "ca")
            .body(Body::from(request.to_string()))
            .unwrap();
        let answer = self.api.clone().oneshot(request);
        tokio::spawn(async move {
            let answer = answer.await.expect("it never fails");
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            (status, body["details"][0]["reason"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// Its answer, which must be a refusal.
    async fn refused(&self, request: &Value) -> (u16, String) {
        self.send(request).await.expect("an answer")
    }

    fn making(&self) -> usize {
        self.authority.admission.occupancy().making
    }

    /// Waits until so many are in the making.
    async fn reaches(&self, making: usize) {
        while self.making() != making {
            tokio::task::yield_now().await;
        }
    }

    /// Sends so many of a project, and waits until they are in the making.
    async fn fill(&self, project: &str, count: usize) -> Vec<JoinHandle<(u16, String)>> {
        let (request, before) = (self.request(project), self.making());
        let sent = (0..count).map(|_| self.send(&request)).collect();
        self.reaches(before + count).await;
        sent
    }

    /// Refused so far, by stage.
    fn stages(&self) -> Vec<(&'static str, u64)> {
        let mut refused = self.authority.admission.occupancy().refused;
        refused.retain(|(_, count)| *count > 0);
        refused
    }
}

/// The same request with another token's signature.
fn forged(request: &Value, other: &Value) -> Value {
    let token = |request: &Value| request["credentials"]["oidcIdentityToken"].as_str().unwrap().to_owned();
    let (genuine, foreign) = (token(request), token(other));
    let (signed, signature) = (genuine.rsplit_once('.').unwrap().0, foreign.rsplit_once('.').unwrap().1);
    let mut forged = request.clone();
    forged["credentials"]["oidcIdentityToken"] = json!(format!("{signed}.{signature}"));
    forged
}

fn overloaded() -> (u16, String) {
    (429, "OVERLOADED".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_are_never_refused() {
    let ca = Arc::new(TestCa::start().await);
    let request = ca.signing_request();
    let callers = (0..64).map(|_| {
        let (ca, request) = (ca.clone(), request.clone());
        tokio::spawn(async move {
            for _ in 0..4 {
                ca.sign(&request).await.certificates();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("certificates");
    }
    let metrics = ca.get_admin("/metrics").await;
    for line in [
        "countersign_refusals_total{reason=\"OVERLOADED\"} 0",
        "countersign_issuances_in_flight 0",
        "countersign_admission_refusals_total{stage=\"verified\"} 0",
    ] {
        assert!(metrics.text().lines().any(|other| other == line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_over_its_share_is_refused_while_another_passes() {
    let busy = Busy::start().await;
    let greedy = busy.fill("greedy/project", PLACES).await;
    assert_eq!(busy.refused(&busy.request("greedy/project")).await, overloaded());
    let modest = busy.fill("modest/project", PLACES / 2).await;
    assert_eq!(busy.refused(&busy.request("modest/project")).await, overloaded());
    assert_eq!(busy.stages(), [("claimed", 2)]);

    busy.open.send_replace(true);
    for issued in greedy.into_iter().chain(modest) {
        assert_eq!(issued.await.expect("an answer").0, 200);
    }
    assert_eq!(busy.making(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_changes_nothing_for_whom_it_names() {
    let busy = Busy::start().await;
    let held = busy.fill("greedy/project", PLACES).await;
    let (victim, greedy) = (busy.request("victim/project"), busy.request("greedy/project"));
    let names_victim = forged(&victim, &greedy);
    for _ in 0..PLACES {
        assert_eq!(busy.refused(&names_victim).await, (400, "TOKEN_SIGNATURE_INVALID".to_owned()));
    }
    // Whom this one names has its share: it is refused before anybody looks at its signature.
    assert_eq!(busy.refused(&forged(&greedy, &victim)).await, overloaded());
    assert_eq!(busy.stages(), [("claimed", 1)]);
    assert_eq!(busy.making(), PLACES);
    let share = busy.fill("victim/project", PLACES / 2).await;
    assert_eq!(busy.making(), PLACES + PLACES / 2);
    drop((held, share));
}

#[tokio::test(flavor = "multi_thread")]
async fn places_come_back_after_success_refusal_and_a_connection_that_is_dropped() {
    let busy = Busy::start().await;
    let request = busy.request("a/project");
    let held = busy.fill("a/project", 8).await;
    // Its caller goes away.
    for request in held.iter().take(4) {
        request.abort();
    }
    busy.reaches(4).await;
    // Its proof is none.
    let mut unproven = request.clone();
    unproven["publicKeyRequest"]["proofOfPossession"] = json!("MAYCAQECAQE=");
    assert_eq!(busy.refused(&unproven).await.1, "PROOF_INVALID");
    assert_eq!(busy.making(), 4);
    busy.open.send_replace(true);
    for request in held.into_iter().skip(4) {
        assert_eq!(request.await.expect("an answer").0, 200);
    }
    assert_eq!(busy.making(), 0);
    assert_eq!(busy.stages(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_has_its_shape_in_every_api() {
    let busy = Busy::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let router = Router::new().fallback_service(busy.api.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _held = busy.fill("a/project", PLACES).await;
    let request = busy.request("a/project");
    let token = request["credentials"]["oidcIdentityToken"].as_str().unwrap().to_owned();
    let key = &request["publicKeyRequest"];
    let legacy = json!({
        "publicKey": {
            "algorithm": "ECDSA",
            "content": base64_of(key["publicKey"]["content"].as_str().unwrap()),
        },
        "signedEmailAddress": key["proofOfPossession"],
    });

    for (path, body) in [("/api/v2/signingCert", request.clone()), ("/api/v1/signingCert", legacy.clone())] {
        let asking = client().post(format!("{url}{path}")).bearer_auth(&token).body(body.to_string());
        let answer = Answer::of(asking).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), overloaded(), "{path}");
        assert!(["1", "2", "3"].contains(&answer.header("retry-after")), "{:?}", answer.headers);
        assert_eq!(answer.json()["code"], 8);
        assert_eq!(answer.json()["message"], "The server has more work than it can take");
    }
    let grpc = GrpcClient::connect(url).await;
    for (method, message) in [
        ("dev.sigstore.fulcio.v2.CA/CreateSigningCertificate", request),
        ("dev.sigstore.fulcio.v1beta.CA/CreateSigningCertificate", legacy),
    ] {
        let authorization = format!("Bearer {token}");
        let metadata = [("authorization", authorization.as_str())];
        let status = grpc.call_with(method, message, &metadata).await.expect_err("refused");
        assert_eq!((status.code(), detail(&status).reason), (tonic::Code::ResourceExhausted, overloaded().1));
        let wait = status.metadata().get("retry-after").expect("a time to wait").to_str().unwrap();
        assert!(["1", "2", "3"].contains(&wait), "{wait}");
    }
    assert_eq!(busy.stages(), [("claimed", 4)]);
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_get_a_place_the_body_is_read_away_but_not_looked_at() {
    let busy = Busy::start().await;
    // With each project's first place one issuer goes up to twice the limit, and what is left is another's.
    let mut held = Vec::new();
    for number in 0..2 * PLACES {
        held.push(busy.send(&busy.request(&format!("p/{number}"))));
    }
    busy.reaches(2 * PLACES).await;
    let admission = &busy.authority.admission;
    let elsewhere = "https://elsewhere.example.com";
    let _others: Vec<_> = (0..PLACES)
        .map(|number| admission.sharer(elsewhere.into(), elsewhere, &number.to_string()))
        .map(|sharer| admission.admit(sharer).unwrap_or_else(|_| panic!("no place")))
        .collect();
    assert_eq!(busy.refused(&json!("no message at all")).await, overloaded());
    assert_eq!(busy.stages(), [("full", 1)]);

    // A caller that is still writing gets its answer, not a reset.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let router = Router::new().fallback_service(busy.api.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let body = Bytes::from(vec![b' '; 3 << 20]);
    let head =
        format!("POST /api/v2/signingCert HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(&body).await.expect("written to its end");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 429");
    busy.open.send_replace(true);
    for request in held {
        assert_eq!(request.await.expect("an answer").0, 200);
    }
}
