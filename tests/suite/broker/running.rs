//! The server around it: restarts, reload, readiness, metrics.

use super::World;
use crate::support::key::TestKey;
use crate::support::{Answer, secrets};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn leases_outlive_the_server_and_are_ended_after_it() {
    let world = World::start().await;
    let token = world.tag().await["access_token"].as_str().expect("a token").to_owned();
    let World { gitlab, ca, _directory } = world;
    let stopped = ca.stop().await;
    assert!(gitlab.opens(&token), "a restart ends nothing");
    let world = World { gitlab, ca: stopped.start().await, _directory };
    let answer = Answer::of(world.form("/v1/token-revoke", &[("token", &token)])).await;
    assert_eq!(answer.status, 200);
    world.until_dead().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_leaves_nothing_behind() {
    let world = World::with(super::ROLES, "  drain: true\n").await;
    for _ in 0..3 {
        world.tag().await;
    }
    let (gitlab, ..) = world.stop().await;
    assert!(gitlab.live_tokens().is_empty(), "{:?}", gitlab.live_tokens());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_gitlab_does_not_take_is_told_and_certificates_go_on() {
    let world = World::start().await;
    let credential = world.gitlab.credential().to_owned();
    world.gitlab.revoke(&credential);
    let answer = world.exchange(&world.id_token(), &[("role", "tag")]).await;
    assert_eq!(super::refusal(&answer).2, "BROKER_GITLAB_UNAVAILABLE", "{}", answer.text());
    let ready = world.ca.get_admin("/readyz").await;
    // An orchestrator that took the server out of service for it would end certificates, too.
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (200, &json!("READY")));
    for text in [&ready.json()["checks"]["broker"], &ready.json()["warnings"][0]] {
        assert!(text.as_str().is_some_and(|said| said.contains("gitlab")), "{}", ready.text());
    }
    let metrics = world.ca.get_admin("/metrics").await.text().to_owned();
    for line in ["countersign_ready 1", r#"countersign_check{check="broker"} 0"#] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    assert_eq!(world.ca.get("/healthz").await.status, 200);
    let claims = world.gitlab.issuer.claims();
    let mut request = TestKey::new().request(claims["sub"].as_str().expect("a subject"));
    request["credentials"] = json!({ "oidcIdentityToken": world.token_of(&claims) });
    world.ca.sign(&request).await.certificates();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_when_the_main_credential_ends() {
    let world = World::start().await;
    world.tag().await;
    let ready = world.ca.get_admin("/readyz").await;
    let body = ready.json();
    assert_eq!((ready.status.as_u16(), &body["checks"]["broker"]), (200, &json!("ok")), "{body}");
    let [credential] = &**body["credentials"].as_array().expect("one for each target") else {
        panic!("{body}")
    };
    let metrics = world.ca.get_admin("/metrics").await.text().to_owned();
    let measured = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix(r#"countersign_broker_credential_expiry_seconds{target="gitlab"} "#)
        })
        .map(|seconds| seconds.parse::<f64>().expect("a number") as u64);
    assert_eq!(credential["target"], "gitlab");
    assert_eq!((credential["expires_in"].as_u64(), measured.is_some()), (measured, true));
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_the_log_have_every_attempt_and_no_token() {
    let world = World::start().await;
    let token = world.tag().await["access_token"].as_str().expect("a token").to_owned();
    world.exchange(&world.id_token(), &[("role", "other")]).await;
    world.exchange("x.y.z", &[("role", "made up by a caller")]).await;
    Answer::of(world.form("/v1/token-revoke", &[("token", &token)])).await;
    world.until_listed("revoked", 1).await;
    let metrics = world.ca.get_admin("/metrics").await;
    let metrics = metrics.text();
    for line in [
        r#"countersign_broker_exchanges_total{result="issued",role="tag"} 1"#,
        r#"countersign_broker_exchanges_total{result="BROKER_TARGET_REFUSED",role="other"} 1"#,
        r#"countersign_broker_exchanges_total{result="BROKER_TOKEN_REFUSED",role="unknown"} 1"#,
        r#"countersign_broker_leases{phase="revoked"} 1"#,
        r#"countersign_broker_revocation_attempts_total{result="revoked"} 1"#,
        r#"countersign_broker_events_total{event="revoke-stuck"} 0"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("made up"), "no caller's text is a label");
    let text = crate::support::logs::text();
    assert!(text.contains("token-issue") && text.contains("token-refuse") && text.contains("token-revoke"));
    secrets::check("the log", text.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_broker_of_living_tokens_does_not_start() {
    let world = World::start().await;
    world.tag().await;
    let (gitlab, mut stopped, _directory) = world.stop().await;
    let broker = stopped.config.broker.take();
    let refused = stopped.refused().await.to_string();
    assert!(refused.contains("1 leases") && refused.contains("revoke --all"), "{refused}");
    // Nor with another GitLab behind the target's name, which has tokens of the same numbers.
    let mut elsewhere = broker.clone().expect("there was one");
    elsewhere.targets[0].url = "http://127.0.0.1:9".to_owned();
    stopped.config.broker = Some(elsewhere);
    let refused = stopped.refused().await.to_string();
    assert!(refused.contains(gitlab.url()), "{refused}");
    stopped.config.broker = broker;
    let world = World { gitlab, ca: stopped.start().await, _directory };
    world.revoke_all().await;
}
