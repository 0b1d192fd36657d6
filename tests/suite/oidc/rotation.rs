//! Keys that come and go: rotation with and without an overlap, keys that are withdrawn, issuers that come and go, and the
//! multitude of issuers that a pattern admits.

use super::web::Reply;
use super::{Case, DISCOVERY, HOUR, clock, key_set, keys};
use countersign::identity::gitlab::GitlabRules;
use countersign::identity::{Entry, IssuerPattern, Issuers, KeySource};
use countersign::issuance::IssuerKeys;
use countersign::oidc::{JwksCache, MAX_FRESHNESS, MIN_FRESHNESS};
use countersign::refusal::Reason;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_key_that_appears_beside_the_old_one_costs_one_fetch_and_both_verify() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    case.web.reply("/keys", keys(&["k1", "k2"]));
    for kid in ["k1", "k2", "k1", "k2"] {
        assert_eq!(case.has(kid).await, Ok(true), "{kid}");
    }
    assert_eq!(case.discoveries(), 2);
    case.web.reply("/keys", keys(&["k2"]));
    for kid in ["k2", "k1"] {
        assert_eq!(case.has(kid).await, Ok(true), "{kid}: nobody has said yet that k1 is gone");
    }
    assert_eq!(case.discoveries(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_verifies_until_the_issuers_max_age_is_over_and_once_more_while_the_keys_are_fetched()
{
    for (max_age, fresh) in [
        ("max-age=600", Duration::from_secs(600)),
        ("no-store", MIN_FRESHNESS),
        ("max-age=31536000", MAX_FRESHNESS),
    ] {
        let header = format!("cache-control: {max_age}");
        let case = Case::new().await;
        case.web.reply("/keys", Reply::json(&key_set(&["k1", "k2"])).with_header(&header));
        assert_eq!(case.has("k1").await, Ok(true));
        case.web.reply("/keys", Reply::json(&key_set(&["k2"])).with_header(&header));
        case.clock.advance(fresh - Duration::from_secs(1));
        assert_eq!((case.has("k1").await, case.discoveries()), (Ok(true), 1), "{max_age}");
        case.advance(1);
        assert_eq!(case.has("k1").await, Ok(true), "{max_age}: stale, and fetched anew beside");
        case.settle().await;
        while case.has("k2").await == Ok(true) && case.has("k1").await == Ok(true) {
            tokio::task::yield_now().await;
        }
        // The second fetch brought the news; the third was for the unknown key.
        assert_eq!((case.has("k2").await, case.discoveries()), (Ok(true), 3), "{max_age}");
    }
    // Where nobody asked for more than a minute past that, the first who asks waits, and is refused.
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    case.web.reply("/keys", keys(&["k2"]));
    case.advance(600 + 60);
    assert_eq!((case.has("k1").await, case.discoveries()), (Ok(false), 2));
}

#[tokio::test]
async fn one_bad_key_among_good_ones_harms_nobody_and_keys_of_one_name_are_both_tried() {
    let good = key_set(&["k1", "k2", "k2"]);
    let [one, two, again] = good["keys"].as_array().expect("keys").as_slice() else { panic!("three keys") };
    let bad = [
        json!({ "kty": "oct", "k": "AQAB", "kid": "symmetric", "alg": "HS256" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "private", "x": one["x"], "d": one["x"] }),
        json!({ "kty": "EC", "crv": "P-256", "kid": "off-curve", "x": one["x"], "y": one["x"] }),
        json!({ "kty": "RSA", "kid": "tiny", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "?" }),
        json!([[[]]]),
    ];
    let case = Case::new().await;
    let all = json!({ "keys": [bad[0], one, bad[1], bad[2], two, bad[3], again, bad[4], bad[5]] });
    case.web.reply("/keys", Reply::json(&all));
    let set = case.ask("k1").await.expect("the good ones");
    assert_eq!(set.iter().filter_map(|key| key.id()).collect::<Vec<_>>(), ["k1", "k2", "k2"]);
    assert_eq!(case.discoveries(), 1);
    for kid in ["symmetric", "private", "off-curve", "tiny"] {
        assert_eq!(case.has(kid).await, Ok(false), "{kid}");
    }
    assert_eq!(case.discoveries(), 1 + 4, "each was worth a look, until the bucket was empty");
}

#[tokio::test]
async fn an_issuer_that_comes_and_goes_is_asked_no_oftener_than_the_bucket_and_the_backoff_allow() {
    let case = Case::new().await;
    assert_eq!(case.has("k1").await, Ok(true));
    let mut outages = 0;
    for second in 0..120 {
        case.set_down(second % 2 == 1);
        for n in 0..5 {
            let answer = case.has(&format!("forged-{second}-{n}")).await;
            let reason = answer.err();
            assert!(
                matches!(reason, None | Some(Reason::IssuerUnavailable | Reason::KeyFetchLimited)),
                "{reason:?}"
            );
            outages += usize::from(reason == Some(Reason::IssuerUnavailable));
            assert_eq!(case.has("k1").await, Ok(true), "who has a known key never notices");
        }
        case.advance(1);
    }
    assert!(outages > 0, "it was down at times");
    // The bucket gives 4 + 120 / 5; each may fail and be repeated once, a second later.
    assert!(case.discoveries() <= 1 + 2 * (4 + 24), "{} fetches", case.discoveries());
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "the paused clock of tokio")]
async fn octet_by_octet_is_in_time_or_an_outage_after_five_seconds() {
    let case = Case::new().await;
    let body = key_set(&["k1"]).to_string().into_bytes();
    case.web.reply("/keys", Reply::Trickle(Duration::from_secs(1), body.clone()));
    let start = tokio::time::Instant::now();
    assert_eq!(case.has("k1").await, Err(Reason::IssuerUnavailable));
    assert!(start.elapsed() <= Duration::from_millis(5001), "{:?}", start.elapsed());
    assert_eq!(case.has("k1").await, Err(Reason::IssuerUnavailable));
    assert_eq!(case.discoveries(), 1, "it is left alone for a second");
    case.web.reply("/keys", Reply::Trickle(Duration::from_millis(10), body));
    case.advance(1);
    assert_eq!(case.has("k1").await, Ok(true));
    assert_eq!(case.discoveries(), 2);
}

#[tokio::test]
async fn issuers_that_a_pattern_admits_share_a_bound_and_delay_nobody_who_is_listed() {
    let case = Case::new().await;
    let source = || KeySource::Discovery { ca_certificate: None, outage_grace: HOUR };
    let kind = GitlabRules::default().into();
    let entry = Entry { audience: "sigstore".into(), allow_multiple_audiences: false, kind };
    let pattern = format!("{}/id/*", case.issuer.url);
    let pattern = IssuerPattern::parse(&pattern, vec![entry], source()).expect("a pattern");
    let list = Arc::new(Issuers::new(vec![], vec![pattern]));
    let clock = clock();
    let cache = Arc::new(JwksCache::new(clock.clone()).expect("an HTTP client"));
    let flood = async |round: usize| {
        let mut requests = JoinSet::new();
        for n in 0..2000 {
            let issuer = list.find(&format!("{}/id/{round}-{n}", case.issuer.url)).expect("admitted");
            let cache = cache.clone();
            requests
                .spawn(async move { cache.keys(&issuer, Some("k1")).await.map_err(|it| it.reason()).err() });
        }
        let reasons = requests.join_all().await;
        let count = |reason| reasons.iter().filter(|it| **it == Some(reason)).count();
        (count(Reason::IssuerUnavailable), count(Reason::KeyFetchLimited))
    };
    assert_eq!(flood(0).await, (128, 2000 - 128));
    assert_eq!(case.web.seen().len(), 128, "there is nothing there, so each is one request");
    assert!(
        cache.keys(&case.issuer, Some("k1")).await.is_ok(),
        "one that is listed by name has its own bound"
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(flood(1).await, (10, 2000 - 10), "ten a second from then on");
    assert_eq!(case.web.seen().iter().filter(|path| path.ends_with(DISCOVERY)).count(), 128 + 1 + 10);
}
