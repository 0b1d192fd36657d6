//! Issuers as they are and as they are not: what the CA asks of them, how often, and what it does when they are down,
//! slow or flapping. `faults` has wrong answers, `rotation` keys that come and go, `callers` what callers see of it all, `trust`
//! TLS and proxies.

pub mod callers;
mod faults;
mod rotation;
mod trust;
pub mod web;

use crate::support::TestClock;
use countersign::demo::gitlab::Gitlab;
use countersign::environment::UnixMillis;
use countersign::identity::{Issuer, KeySource};
use countersign::issuance::IssuerKeys;
use countersign::oidc::JwksCache;
use countersign::refusal::{Reason, Refusal};
use countersign::token::KeySet;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use web::{Reply, Web};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const HOUR: Duration = Duration::from_secs(3600);

/// Any time.
pub fn clock() -> Arc<TestClock> {
    TestClock::at(UnixMillis(1_800_000_000_000))
}

/// An issuer at the root of a web server, and a cache that asks it.
struct Case {
    web: Web,
    issuer: Issuer,
    clock: Arc<TestClock>,
    cache: Arc<JwksCache>,
}

impl Case {
    /// An issuer in order, with a key `k1`.
    async fn new() -> Self {
        let web = Web::plain().await;
        let url = format!("http://127.0.0.1:{}", web.port);
        web.reply(DISCOVERY, Reply::json(&json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })));
        web.reply("/keys", keys(&["k1"]));
        let clock = clock();
        let cache = Arc::new(JwksCache::new(clock.clone()).expect("an HTTP client"));
        Self { issuer: issuer(&url, None), web, clock, cache }
    }

    async fn ask(&self, kid: &str) -> Result<Arc<KeySet>, Refusal> {
        self.cache.keys(&self.issuer, Some(kid)).await
    }

    /// Whether the keys that serve for a token with this `kid` have it; the reason where none serve.
    async fn has(&self, kid: &str) -> Result<bool, Reason> {
        self.ask(kid).await.map(|keys| keys.contains(kid)).map_err(|refusal| refusal.reason())
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn discoveries(&self) -> usize {
        self.web.seen().iter().filter(|path| *path == DISCOVERY).count()
    }

    /// Makes every path fail, or work again.
    fn set_down(&self, down: bool) {
        let url = &self.issuer.url;
        let document = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        self.web.reply(DISCOVERY, if down { Reply::HangUp } else { Reply::json(&document) });
    }

    /// Waits for the fetch that is under way beside the requests.
    async fn settle(&self) {
        while self.cache.counters().fetches > self.ended() {
            tokio::task::yield_now().await;
        }
    }

    fn ended(&self) -> u64 {
        let counters = self.cache.counters();
        counters.failures + self.web.seen().iter().filter(|path| *path == "/keys").count() as u64
    }
}

fn issuer(url: &str, ca_certificate: Option<&str>) -> Issuer {
    let ca_certificate = ca_certificate.map(|pem| pem.as_bytes().to_vec());
    let key_source = Arc::new(KeySource::Discovery { ca_certificate, outage_grace: HOUR });
    Issuer { url: url.to_owned(), entries: Arc::new([]), key_source }
}

fn key_set(kids: &[&str]) -> Value {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = |kid: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": x });
    json!({ "keys": kids.iter().map(jwk).collect::<Vec<_>>() })
}

fn keys(kids: &[&str]) -> Reply {
    Reply::json(&key_set(kids)).with_header("cache-control: max-age=600, public")
}

#[tokio::test]
async fn a_gitlab_is_asked_once_for_a_day() {
    let clock = clock();
    let gitlab = Gitlab::builder().relative_root("/gitlab").start(clock.clone()).await.expect("a GitLab");
    let cache = JwksCache::new(clock.clone()).expect("an HTTP client");
    let issuer = issuer(gitlab.url(), None);
    for _ in 0..100 {
        let keys = cache.keys(&issuer, Some(&gitlab.key_id())).await.expect("its keys");
        assert!(keys.contains(&gitlab.key_id()));
        clock.advance(Duration::from_secs(863));
    }
    assert_eq!(gitlab.fetches(), 1);
}

#[tokio::test]
async fn sixty_four_tokens_at_once_cost_one_fetch() {
    let case = Case::new().await;
    let gate = Arc::new(Semaphore::new(0));
    case.web.reply("/keys", Reply::Gated(gate.clone(), Box::new(keys(&["k1"]))));
    let mut requests = JoinSet::new();
    for _ in 0..64 {
        let (cache, issuer) = (case.cache.clone(), case.issuer.clone());
        requests.spawn(
            async move { cache.keys(&issuer, Some("k1")).await.is_ok_and(|keys| keys.contains("k1")) },
        );
    }
    gate.add_permits(64);
    assert!(requests.join_all().await.into_iter().all(|found| found));
    assert_eq!(case.web.seen(), [DISCOVERY, "/keys"]);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_began_it_is_gone() {
    let case = Case::new().await;
    let gate = Arc::new(Semaphore::new(0));
    case.web.reply("/keys", Reply::Gated(gate.clone(), Box::new(keys(&["k1"]))));
    let (cache, issuer) = (case.cache.clone(), case.issuer.clone());
    let request = tokio::spawn(async move { cache.keys(&issuer, None).await.is_ok() });
    while case.web.seen().len() < 2 {
        tokio::task::yield_now().await;
    }
    request.abort();
    assert!(request.await.is_err());
    gate.add_permits(1);
    assert_eq!(case.has("k1").await, Ok(true));
    assert_eq!(case.discoveries(), 1);
}

#[tokio::test]
async fn a_rotation_is_seen_by_the_first_token_that_carries_it() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    case.web.reply("/keys", keys(&["k2"]));
    assert_eq!(case.has("k1").await, Ok(true), "nobody has said yet that it is gone");
    assert_eq!(case.has("k2").await, Ok(true));
    assert_eq!(case.has("k1").await, Ok(false), "the new keys have replaced the old ones");
    assert_eq!(case.discoveries(), 3);
}

#[tokio::test]
async fn a_thousand_forged_key_ids_cost_four_fetches_and_then_one_in_five_seconds() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    for n in 0..4 {
        assert_eq!(case.has(&format!("forged-{n}")).await, Ok(false));
    }
    for n in 4..1000 {
        let refusal = case.ask(&format!("forged-{n}")).await.expect_err("the bucket is empty");
        assert_eq!((refusal.reason(), refusal.retry_after_seconds()), (Reason::KeyFetchLimited, Some(5)));
    }
    assert_eq!(case.discoveries(), 1 + 4);
    assert_eq!(case.has("k1").await, Ok(true));
    case.advance(4);
    case.web.reply("/keys", keys(&["k2"]));
    let refusal = case.ask("k2").await.expect_err("a true rotation is no unknown key");
    assert_eq!((refusal.reason(), refusal.retry_after_seconds()), (Reason::KeyFetchLimited, Some(1)));
    assert_eq!(case.discoveries(), 5);
    case.advance(1);
    assert_eq!(case.has("another-forged").await, Ok(false));
    assert_eq!(case.has("k2").await, Ok(true), "whoever got the fetch, everybody has its keys");
    assert_eq!(case.has("forged").await, Err(Reason::KeyFetchLimited));
    assert_eq!(case.discoveries(), 6);
    let counters = case.cache.counters();
    assert_eq!((counters.fetches, counters.unknown_key_fetches, counters.failures), (6, 5, 0));
    assert_eq!((counters.unknown_key_fetches_denied, counters.unavailable), (996 + 1 + 1, 0));
}

#[tokio::test]
async fn five_thousand_forged_key_ids_at_once_share_their_fetches() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    let mut requests = JoinSet::new();
    for n in 0..5000 {
        let (cache, issuer) = (case.cache.clone(), case.issuer.clone());
        requests.spawn(async move { cache.keys(&issuer, Some(&format!("forged-{n}"))).await.is_ok() });
    }
    assert!(requests.join_all().await.into_iter().all(|answered| answered));
    assert!(case.discoveries() <= 1 + 2, "{} fetches", case.discoveries());
    case.web.reply("/keys", keys(&["k2"]));
    assert_eq!(case.has("k2").await, Ok(true), "the bucket still has a token for a true rotation");
}

#[tokio::test]
async fn an_outage_is_lived_through_with_the_last_good_keys_until_the_grace_is_over() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    case.set_down(true);
    case.advance(600);
    for _ in 0..359 {
        assert_eq!(case.has("k1").await, Ok(true));
        case.settle().await;
        case.advance(10);
    }
    let refusal = case.ask("k2").await.expect_err("nobody can tell whether k2 is the issuer's");
    assert_eq!(refusal.reason(), Reason::IssuerUnavailable);
    assert_eq!(case.has("k1").await, Ok(true));
    case.advance(10);
    assert_eq!(case.has("k1").await, Err(Reason::IssuerUnavailable));
    case.set_down(false);
    case.advance(10);
    assert_eq!(case.has("k1").await, Ok(true));
}

#[tokio::test]
async fn stale_keys_serve_while_they_are_fetched_anew_beside() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    let gate = Arc::new(Semaphore::new(0));
    case.web.reply("/keys", Reply::Gated(gate.clone(), Box::new(keys(&["k2"]))));
    case.advance(600);
    for _ in 0..10 {
        assert_eq!(case.has("k1").await, Ok(true), "the issuer has not answered yet");
    }
    gate.add_permits(2);
    assert_eq!(case.has("k2").await, Ok(true));
    assert_eq!(case.discoveries(), 2);
}

#[tokio::test]
async fn a_failed_issuer_is_asked_again_after_one_to_ten_seconds() {
    let case = Case::new().await;
    case.set_down(true);
    for (fetches, wait) in [1, 2, 4, 8, 10, 10].into_iter().enumerate() {
        let refusal = case.ask("k1").await.expect_err("it is down");
        assert_eq!(refusal.reason(), Reason::IssuerUnavailable);
        assert_eq!(refusal.retry_after_seconds(), Some(wait));
        case.clock.advance(Duration::from_millis(wait * 1000 - 500));
        for _ in 0..20 {
            let refusal = case.ask("k1").await.expect_err("it is left alone");
            assert_eq!(refusal.retry_after_seconds(), Some(1));
        }
        assert_eq!(case.discoveries(), fetches + 1);
        case.clock.advance(Duration::from_millis(500));
    }
    case.set_down(false);
    assert_eq!(case.has("k1").await, Ok(true));
}

#[tokio::test]
async fn a_forgery_during_an_outage_costs_nothing_but_the_attempts_that_are_due() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    case.set_down(true);
    for n in 0..100 {
        assert_eq!(case.has(&format!("forged-{n}")).await, Err(Reason::IssuerUnavailable));
        assert_eq!(case.has("k1").await, Ok(true));
    }
    assert_eq!(case.discoveries(), 2);
}

#[tokio::test]
async fn one_silent_issuer_delays_nobody_else() {
    let silent = Case::new().await;
    silent.web.reply(DISCOVERY, Reply::Silence);
    let (cache, stuck) = (silent.cache.clone(), silent.issuer.clone());
    let waiting = tokio::spawn(async move { cache.keys(&stuck, None).await.is_ok() });
    while silent.web.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let other = Case::new().await;
    assert!(silent.cache.keys(&other.issuer, Some("k1")).await.is_ok());
    assert!(!waiting.is_finished());
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "the paused clock of tokio")]
async fn a_fetch_ends_after_five_seconds_whatever_the_issuer_does() {
    for reply in [Reply::Silence, Reply::Unfinished] {
        for path in [DISCOVERY, "/keys"] {
            let case = Case::new().await;
            case.web.reply(path, reply.clone());
            let start = tokio::time::Instant::now();
            assert_eq!(case.has("k1").await, Err(Reason::IssuerUnavailable));
            assert!(start.elapsed() <= Duration::from_millis(5001), "{:?}", start.elapsed());
        }
    }
}

#[tokio::test]
async fn keys_from_a_file_need_no_issuer() {
    let case = Case::new().await;
    let from_file =
        |json: Vec<u8>| Issuer { key_source: Arc::new(KeySource::Static(json)), ..case.issuer.clone() };
    let good = from_file(key_set(&["k9"]).to_string().into_bytes());
    assert!(case.cache.keys(&good, Some("k9")).await.expect("the file's keys").contains("k9"));
    assert!(!case.cache.keys(&good, Some("k1")).await.expect("the file's keys").contains("k1"));
    let refusal = case.cache.keys(&from_file(b"{}".to_vec()), None).await.expect_err("no key set");
    assert_eq!(refusal.reason(), Reason::IssuerUnavailable);
    assert!(case.web.seen().is_empty());
    assert_eq!(case.has("k1").await, Ok(true), "a reloaded configuration names another source");
}

#[tokio::test]
async fn an_operator_can_refresh_and_purge() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    case.web.reply("/keys", keys(&["k2"]));
    assert!(case.cache.refresh(&case.issuer).await.expect("new keys").contains("k2"));
    case.set_down(true);
    let error = case.cache.refresh(&case.issuer).await.expect_err("it is down");
    assert!(error.contains(DISCOVERY), "{error}");
    assert_eq!(case.has("k2").await, Ok(true));
    assert!(case.cache.purge(&case.issuer.url) && !case.cache.purge(&case.issuer.url));
    assert_eq!(case.has("k2").await, Err(Reason::IssuerUnavailable));
}
