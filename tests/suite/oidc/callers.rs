//! What callers see of an issuer's faults, and how often the issuer is asked meanwhile: never a 400 for an outage, one fetch
//! however many ask, and a certificate as soon as the issuer is back.

use super::web::{Closed, Reply, TestCa as TlsCa, Web};
use super::{DISCOVERY, HOUR};
use crate::support::key::TestKey;
use crate::support::{Answer, TestCa};
use countersign::identity::gitlab::GitlabRules;
use countersign::identity::{Entry, Issuer, Issuers, KeySource};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A CA whose issuers are servers of our own making; the GitLab beside it lends its key.
pub struct Faulty {
    pub ca: TestCa,
    pub urls: Vec<String>,
}

impl Faulty {
    /// A CA that trusts these issuers, each with the certificates that are trusted for it.
    pub async fn trusting(issuers: Vec<(String, Option<String>)>) -> Self {
        let urls = issuers.iter().map(|(url, _)| url.clone()).collect();
        let issuers = issuers.into_iter().map(|(url, pem)| listed(url, pem)).collect();
        let ca = TestCa::builder()
            .configure(move |config| config.issuers = Issuers::new(issuers, vec![]))
            .start()
            .await;
        Self { ca, urls }
    }

    /// A CA that trusts these servers, each in order.
    pub async fn with(webs: &[&Web]) -> Self {
        let faulty = Self::trusting(webs.iter().map(|web| (url_of(web.port), None)).collect()).await;
        webs.iter().for_each(|web| faulty.repair(web));
        faulty
    }

    /// Makes a server answer as the issuer should.
    pub fn repair(&self, web: &Web) {
        let url = url_of(web.port);
        web.reply(DISCOVERY, Reply::json(&json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })));
        web.reply("/keys", Reply::json(&self.ca.gitlab.key_set()).with_header("cache-control: max-age=600"));
    }

    /// The claims of a job of the issuer at that URL.
    pub fn claims(&self, url: &str) -> Value {
        let host = |url: &str| url.split_once("://").map(|(_, host)| host.to_owned()).expect("a URL");
        let own = self.ca.gitlab.url();
        let text = self.ca.gitlab.claims().to_string();
        let text = text.replace(own, url).replace(&host(own), &host(url));
        serde_json::from_str(&text).expect("JSON")
    }

    /// What a caller gets for this token.
    pub async fn sign(&self, token: &str) -> Answer {
        let mut request = TestKey::new().request(&self.ca.challenge());
        request["credentials"] = json!({ "oidcIdentityToken": token });
        self.ca.sign(&request).await
    }

    /// What a caller gets for an honest token of the first issuer.
    pub async fn ask(&self) -> Answer {
        self.sign(&self.ca.gitlab.token(&self.claims(&self.urls[0]))).await
    }

    /// How many entries the log has.
    pub async fn issued(&self) -> u64 {
        let sth = self.ca.get("/ct/ct/v1/get-sth").await;
        sth.json()["tree_size"].as_u64().unwrap_or_else(|| panic!("a size: {}", sth.text()))
    }
}

pub fn url_of(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn listed(url: String, pem: Option<String>) -> Issuer {
    let kind = GitlabRules::default().into();
    let entry = Entry { audience: "sigstore".into(), allow_multiple_audiences: false, kind };
    let ca_certificate = pem.map(String::into_bytes);
    let key_source = Arc::new(KeySource::Discovery { ca_certificate, outage_grace: HOUR });
    Issuer { url, entries: [entry].into(), key_source }
}

fn discoveries(web: &Web) -> usize {
    web.seen().iter().filter(|path| *path == DISCOVERY).count()
}

/// 503, its reason, a time to wait of these seconds, and no word of the operator's network.
fn assert_out(answer: &Answer, wait: u64, fault: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 503, "{fault}: {text}");
    assert_eq!(answer.reason(), "ISSUER_UNAVAILABLE", "{fault}");
    assert_eq!(answer.header("retry-after"), wait.to_string(), "{fault}");
    assert!(!text.contains("127.0.0.1") && !text.contains("invalid"), "{fault}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_an_issuer_callers_come_back_later_and_it_is_asked_once() {
    let elsewhere = Web::plain().await;
    let mut webs = Vec::new();
    for _ in 0..27 {
        webs.push(Web::plain().await);
    }
    let faulty = Faulty::with(&webs.iter().collect::<Vec<_>>()).await;
    let document =
        |issuer: &str, jwks_uri: &str| Reply::json(&json!({ "issuer": issuer, "jwks_uri": jwks_uri }));
    let jwk = faulty.ca.gitlab.key_set()["keys"][0].clone();
    let changed = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        Reply::json(&json!({ "keys": [jwk] }))
    };
    let symmetric = json!({ "keys": [{ "kty": "oct", "k": "AQAB", "kid": jwk["kid"] }] });
    let text = |body: &str| Reply::Whole(200, vec![], body.into());
    let huge = || Reply::Whole(200, vec![], vec![b' '; 300_000]);
    let away = |path: &str| Reply::redirect(&format!("{}{path}", url_of(elsewhere.port)));
    elsewhere.reply("/keys", Reply::json(&faulty.ca.gitlab.key_set()));
    let faults = [
        ("closes the connection", DISCOVERY, Reply::HangUp),
        ("status 500", DISCOVERY, Reply::status(500)),
        ("status 429", DISCOVERY, Reply::status(429)),
        ("status 404", DISCOVERY, Reply::status(404)),
        ("a login page", DISCOVERY, text("<html>sign in</html>")),
        ("another issuer", DISCOVERY, document("https://other.invalid", "{url}/keys")),
        ("another case", DISCOVERY, document("{URL}", "{url}/keys")),
        ("keys in a file", DISCOVERY, document("{url}", "file:///etc/passwd")),
        ("keys behind a name", DISCOVERY, document("{url}", "http://ada:pw@127.0.0.1/keys")),
        ("keys at no host", DISCOVERY, document("{url}", "http://no-such-host.invalid/keys")),
        ("a huge document", DISCOVERY, huge()),
        ("redirects elsewhere", DISCOVERY, away(DISCOVERY)),
        (
            "redirects to TLS",
            DISCOVERY,
            Reply::redirect("https://127.0.0.1:1/.well-known/openid-configuration"),
        ),
        ("redirects inwards", DISCOVERY, Reply::redirect("http://169.254.169.254/latest/meta-data/")),
        ("deep nesting", "/keys", text(&format!("{{\"keys\":{}", "[".repeat(100_000)))),
        ("huge keys", "/keys", huge()),
        ("keys elsewhere by redirect", "/keys", away("/keys")),
        ("no keys", "/keys", Reply::json(&json!({ "keys": [] }))),
        ("keys twice", "/keys", text(r#"{"keys":[],"keys":[]}"#)),
        ("a symmetric key", "/keys", Reply::json(&symmetric)),
        ("a private key", "/keys", changed("d", json!("AQAB"))),
        ("a key for encryption", "/keys", changed("use", json!("enc"))),
        ("a key of no algorithm", "/keys", changed("alg", json!("none"))),
        ("a key for an HMAC", "/keys", changed("alg", json!("HS256"))),
        ("a key with the exponent 1", "/keys", changed("e", json!("AQ"))),
        ("a short key", "/keys", changed("n", json!("AQAB"))),
        ("no JSON", "/keys", text("\u{0}\u{1}garbage")),
    ];
    assert_eq!(faults.len(), webs.len());
    for (issued, ((fault, path, reply), web)) in (0..).step_by(2).zip(faults.into_iter().zip(&webs)) {
        let url = url_of(web.port);
        let reply = match reply {
            Reply::Whole(status, headers, body) => {
                let body = String::from_utf8(body).expect("text").replace("{url}", &url);
                Reply::Whole(status, headers, body.replace("{URL}", &url.to_uppercase()).into())
            }
            other => other,
        };
        web.reply(path, reply);
        let token = faulty.ca.gitlab.token(&faulty.claims(&url));
        assert_out(&faulty.sign(&token).await, 1, fault);
        assert_out(&faulty.sign(&token).await, 1, fault);
        assert_eq!(discoveries(web), 1, "{fault}: it is left alone for a second");
        assert_eq!(faulty.issued().await, issued, "{fault}");
        faulty.repair(web);
        faulty.ca.clock.advance(Duration::from_secs(1));
        faulty.sign(&token).await.certificates();
        faulty.sign(&token).await.certificates();
        assert_eq!(discoveries(web), 2, "{fault}: back after a second, with one fetch");
        assert_eq!(faulty.issued().await, issued + 2, "{fault}");
    }
    assert!(elsewhere.seen().is_empty(), "a redirect was followed: {:?}", elsewhere.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_not_there_is_tried_at_growing_intervals_and_found_within_ten_seconds() {
    let closed = Closed::new();
    let faulty = Faulty::trusting(vec![(url_of(closed.port()), None)]).await;
    // Failed fetches, by the clock: at 0, 1, 3, 7, 15, 25, 35 … seconds.
    for wait in [1, 2, 4, 8, 10, 10] {
        assert_out(&faulty.ask().await, wait, "refuses connections");
        faulty.ca.clock.advance(Duration::from_secs(wait));
    }
    let failures = "countersign_jwks_fetch_failures_total";
    let metric = faulty.ca.get_admin("/metrics").await.text().to_owned();
    let line = metric.lines().find(|line| line.starts_with(failures)).expect("the metric");
    assert_eq!(line.split(' ').next_back().and_then(|n| n.parse::<f64>().ok()), Some(6.0), "{line}");
    let web = closed.open();
    faulty.repair(&web);
    faulty.ask().await.certificates();
    assert_eq!(web.seen(), [DISCOVERY, "/keys"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_and_a_certificate_out_of_date_are_outages() {
    let expired = TlsCa::self_signed(&["127.0.0.1"], 2002);
    let untrusted = TlsCa::new();
    let (web, stranger) = (Web::tls(&expired).await, Web::tls(&untrusted).await);
    let https = |web: &Web| format!("https://127.0.0.1:{}", web.port);
    let faulty = Faulty::trusting(vec![
        ("http://no-such-host.invalid".into(), None),
        (https(&web), Some(expired.pem.clone())),
        (https(&stranger), None),
    ])
    .await;
    for url in &faulty.urls {
        let token = faulty.ca.gitlab.token(&faulty.claims(url));
        assert_out(&faulty.sign(&token).await, 1, "no name, or no certificate");
        assert_out(&faulty.sign(&token).await, 1, "no name, or no certificate");
    }
    assert!(web.seen().is_empty() && stranger.seen().is_empty(), "nothing is asked over such a connection");
    assert_eq!(faulty.issued().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_issuer_holds_up_its_own_callers_alone() {
    let (silent, sound) = (Web::plain().await, Web::plain().await);
    let faulty = Arc::new(Faulty::with(&[&silent, &sound]).await);
    silent.reply("/keys", Reply::Silence);
    let stuck: Vec<_> = (0..20)
        .map(|_| {
            let faulty = faulty.clone();
            tokio::spawn(async move { faulty.ask().await })
        })
        .collect();
    while silent.seen().len() < 2 {
        tokio::task::yield_now().await;
    }
    let token = faulty.ca.gitlab.token(&faulty.claims(&faulty.urls[1]));
    for _ in 0..5 {
        faulty.sign(&token).await.certificates();
    }
    assert!(stuck.iter().all(|caller| !caller.is_finished()));
    assert_eq!(silent.seen(), [DISCOVERY, "/keys"], "twenty callers wait for one fetch");
    assert_eq!(sound.seen(), [DISCOVERY, "/keys"]);
    stuck.iter().for_each(|caller| caller.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_right_after_a_flood_of_forgeries_waits_seconds_and_is_never_refused() {
    let ca = TestCa::start().await;
    ca.issue().await;
    let forged = |n: usize| {
        let header = json!({ "alg": "RS256", "kid": format!("forged-{n}") });
        let mut request = TestKey::new().request(&ca.challenge());
        let token = ca.gitlab.token_with_header(&header, &ca.gitlab.claims());
        request["credentials"] = json!({ "oidcIdentityToken": token });
        request
    };
    for n in 0..100 {
        let answer = ca.sign(&forged(n)).await;
        let expected = if n < 4 { (400, "TOKEN_KEY_UNKNOWN") } else { (429, "KEY_FETCH_LIMITED") };
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), expected);
    }
    assert_eq!(ca.gitlab.fetches(), 1 + 4);
    ca.gitlab.rotate().expect("a key");
    let answer = ca.sign(&ca.signing_request()).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "5"), "{}", answer.text());
    ca.clock.advance(Duration::from_secs(5));
    ca.issue().await;
    assert_eq!(ca.gitlab.fetches(), 1 + 4 + 1);
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 2);
}
