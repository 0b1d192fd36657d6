//! A CA without a network: the router, a key, one issuer whose keys are at hand, no log.

use super::world::{self, Always, ISSUER, ISSUING_KEY, NOW};
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use countersign::api::{self, ApiState};
use countersign::certificate::inspect::{AlternativeName, Inspected};
use countersign::environment::{Clock, Stopwatch, UnixMillis};
use countersign::identity::types::{self, Settings};
use countersign::identity::{Entry, Issuer, Issuers, KeySource};
use countersign::issuance::{
    self, Admission, CertificateAuthority, Course, CurrentRules, IssuerKeys, LogMode, Rules,
};
use countersign::refusal::{Reason, Refusal};
use countersign::signer::FileSigner;
use countersign::token::KeySet;
use http_body_util::BodyExt as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tower::ServiceExt as _;

/// Whom the token is for.
const SUBJECT: &str = "https://gitlab.example.com/ada";

/// What came back, trailers among the headers.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers and trailers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

struct Still;

impl Clock for Still {
    fn now(&self) -> UnixMillis {
        NOW
    }
}
impl Stopwatch for Still {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
impl issuance::Observer for Still {
    fn ended(&self, _: &Course, _: Option<Reason>) {}
}
impl api::Observer for Still {
    fn answered(&self, _: &api::Answered<'_>) {}
}
impl IssuerKeys for Still {
    fn keys<'a>(
        &'a self,
        _: &'a Issuer,
        _: Option<&'a str>,
    ) -> issuance::Answer<'a, Result<Arc<KeySet>, Refusal>> {
        Box::pin(async { Ok(world::key_set().clone()) })
    }
}

/// A good token of the issuer.
pub fn token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| {
        let payload = format!(
            r#"{{"iss":"{ISSUER}","aud":"sigstore","sub":"{SUBJECT}","iat":1795251600,"exp":1795252000}}"#
        );
        world::signed(br#"{"alg":"EdDSA","kid":"k1"}"#, payload.as_bytes())
    })
}

fn public() -> api::Around {
    let settings = Settings { issuer: ISSUER, subject_domain: Some(ISSUER), ..Settings::default() };
    let row = types::find("uri").expect("a type");
    let kind = (row.build)(&settings).expect("settings");
    let entry = Entry { audience: "sigstore".to_owned(), allow_multiple_audiences: false, kind };
    let key_source = Arc::new(KeySource::Static(Vec::new()));
    let issuer = Issuer { url: ISSUER.to_owned(), entries: [entry].into(), key_source };
    let chain = world::chain().clone();
    let signer = FileSigner::from_pem(ISSUING_KEY.as_bytes(), None, &chain).expect("the chain's key");
    let authority = CertificateAuthority {
        admission: Admission::new(Arc::new(Still), Arc::new(Always)),
        chain,
        lately: Arc::default(),
        signer: Box::new(signer),
        rules: CurrentRules::new(Rules {
            issuers: Issuers::new(vec![issuer], Vec::new()),
            policy: Default::default(),
        }),
        keys: Arc::new(Still),
        log: LogMode::None,
        lifetime: Duration::from_secs(600),
        clock: Arc::new(Still),
        random: Arc::new(Always),
        stopwatch: Arc::new(Still),
        observer: Arc::new(Still),
    };
    api::public(Arc::new(ApiState::new(Arc::new(authority), Arc::new(Still))))
}

thread_local! {
    static SERVER: (tokio::runtime::Runtime, api::Around) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let api = runtime.block_on(async { public() });
        (runtime, api)
    };
}

/// Posts a body, with the good token in the header.
pub fn ask(path: &str, media_type: &str, body: &[u8]) -> Answer {
    SERVER.with(|(runtime, api)| {
        let request = Request::post(path)
            .header("host", "ca")
            .header("content-type", media_type)
            .header("authorization", format!("Bearer {}", token()))
            .header("te", "trailers")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        runtime.block_on(async {
            let response = api.clone().oneshot(request).await.expect("an answer");
            let (head, body) = response.into_parts();
            let collected = body.collect().await.expect("a body");
            let mut headers = head.headers;
            headers.extend(collected.trailers().cloned().unwrap_or_default());
            Answer { status: head.status, headers, body: collected.to_bytes().to_vec() }
        })
    })
}

/// That the first certificate in a text is for the token's subject, and no CA.
pub fn check_certificate(pem: &str) {
    const END: &str = "-----END CERTIFICATE-----";
    let begin = pem.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
    let end = pem.find(END).expect("its end") + END.len();
    let leaf = Inspected::parse(&pem.as_bytes()[begin..end]).expect("a certificate");
    assert_eq!(leaf.names(), [AlternativeName::Uri(SUBJECT.to_owned())]);
    assert!(!leaf.is_ca() && leaf.is_for_code_signing());
}

/// That a refusal has the reference's shape, and one of our reasons.
pub fn check_error(body: &[u8]) {
    let error: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    assert!(error["code"].is_number() && error["message"].as_str().is_some_and(|it| !it.is_empty()));
    let reason = error["details"][0]["reason"].as_str().expect("a reason");
    assert!(Reason::ALL.iter().any(|it| it.code() == reason), "{reason}");
}
