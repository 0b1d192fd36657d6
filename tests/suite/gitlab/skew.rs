//! Two clocks that do not agree: GitLab's, and this machine's.

use super::{Alone, NOW, Scene, mint, outcome};
use crate::support::TestClock;
use crate::support::gitlab::Fault;
use countersign::broker::{Expiry, Kind};
use countersign::environment::UnixMillis;
use countersign::leasing::ports::{CallError, Gitlab as _};
use std::time::Duration;

/// A scene whose GitLab is this many hours ahead of the client, or behind it.
async fn apart(hours: i64) -> Scene {
    let mut scene = Scene::new().await;
    let now = UnixMillis((NOW.0 as i64 + hours * 3_600_000) as u64);
    scene.clock.set(now);
    // The client's, which the GitLab does not see.
    scene.clock = TestClock::at(NOW);
    scene
}

/// By the date that was asked for it is dead when it is made: whoever got it would be refused, and nobody would know why.
#[tokio::test]
async fn a_token_that_is_dead_when_it_is_made_is_given_to_nobody() {
    let scene = apart(15).await;
    let client = scene.client();
    for kind in Kind::ALL.iter().filter(|kind| kind.expires_at_gitlab()) {
        let holder = scene.holder(&client, *kind).await;
        let made = mint(&client, &holder, "late").await;
        let Err(CallError::Unknown { detail, .. }) = &made else { panic!("{kind}: {:?}", outcome(&made)) };
        assert!(detail.contains("clock"), "{kind}: {detail}");
        assert_eq!(client.find(&holder, "late", &Alone).await.unwrap(), [], "{kind}");
    }
    assert_eq!(scene.live(), [""; 0]);
}

/// A GitLab that is behind ends a token later than was asked for: what is ours to end is ended all the same.
#[tokio::test]
async fn a_gitlab_that_is_behind_changes_nothing() {
    let scene = apart(-15).await;
    let client = scene.client();
    for kind in Kind::ALL {
        let holder = scene.holder(&client, *kind).await;
        let made = mint(&client, &holder, "early").await.unwrap();
        let end = kind.expires_at_gitlab().then(|| Expiry::parse("2026-06-30").unwrap());
        assert_eq!(made.minted.expires, end, "{kind}");
        assert_eq!(outcome(&client.revoke(&holder, made.minted.id, &Alone).await), "done", "{kind}");
    }
    assert_eq!(scene.live(), [""; 0]);
}

/// Whether a token has ended by itself goes by GitLab's clock, which every answer has, one that refuses too.
#[tokio::test]
async fn an_answer_tells_gitlabs_own_time() {
    for hours in [-15, 15] {
        let scene = apart(hours).await;
        let client = scene.client();
        assert_eq!(client.heard_time(), None);
        assert!(client.user(99).await.is_err());
        assert_eq!(client.heard_time(), Some(UnixMillis((NOW.0 as i64 + hours * 3_600_000) as u64)));
    }
}

/// `RateLimit-Reset` is a time by GitLab's clock: by one that is far ahead it would hold the target for hours.
#[tokio::test]
async fn a_wait_that_gitlab_asks_for_does_not_depend_on_the_clocks() {
    for hours in [-15, 15] {
        let scene = apart(hours).await;
        let client = scene.client();
        let holder = scene.holder(&client, Kind::Project).await;
        scene.gitlab.faults().script("POST /projects/{id}/access_tokens", [Fault::RetryLater(Some(7))]);
        let Err(CallError::NotDone { retry_after, .. }) = mint(&client, &holder, "n").await else { panic!() };
        assert_eq!(retry_after, Some(Duration::from_secs(7)), "{hours}");
        scene.gitlab.faults().script(
            "POST /projects/{id}/access_tokens",
            [Fault::Status(429, r#"{"message":"Retry later"}"#)],
        );
        let Err(CallError::NotDone { retry_after, .. }) = mint(&client, &holder, "n").await else { panic!() };
        assert_eq!(retry_after, None, "{hours}");
    }
}

/// Whoever fails for one project has not been asked too often: nobody waits for what the rate's end is said to be beside it.
#[tokio::test]
async fn a_rate_that_is_told_beside_an_error_holds_nothing() {
    let scene = apart(0).await;
    let client = scene.client();
    let holder = scene.holder(&client, Kind::Project).await;
    scene.gitlab.faults().script("POST /projects/{id}/access_tokens", [Fault::Status(503, "{}")]);
    let error = mint(&client, &holder, "n").await.err().expect("an error");
    assert!(
        matches!(
            error,
            CallError::NotDone { retry_after: None, .. } | CallError::Unknown { retry_after: None, .. }
        ),
        "{error:?}"
    );
}
