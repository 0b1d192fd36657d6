//! RFC 7009: a token, or a lease, ended by whoever has it.

use super::{World, refusal, told};
use crate::support::Answer;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn weakness_11_whoever_has_the_token_ends_it_early() {
    let world = World::start().await;
    let token = world.tag().await["access_token"].as_str().expect("a token").to_owned();
    assert!(world.gitlab.opens(&token));
    for _ in 0..2 {
        // RFC 7009 §2.2: the second time there is none, and nobody is told.
        let answer = Answer::of(
            world.form("/v1/token-revoke", &[("token", &token), ("token_type_hint", "access_token")]),
        );
        let answer = answer.await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "{}"));
        world.until_dead().await;
    }
    let unknown = Answer::of(world.form("/v1/token-revoke", &[("token", "glpat-nobody-has-this")])).await;
    assert_eq!((unknown.status.as_u16(), unknown.text()), (200, "{}"));
    for wrong in [vec![], vec![("token", "a"), ("lease_id", "b")], vec![("lease_id", "b")]] {
        let answer = Answer::of(world.form("/v1/token-revoke", &wrong)).await;
        assert_eq!(refusal(&answer), told(400, "invalid_request", "BROKER_REQUEST_INVALID"), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_that_has_a_lease_sees_and_ends_it_and_nobody_else_does() {
    let world = World::start().await;
    let lease = world.tag().await["lease_id"].as_str().expect("a lease").to_owned();
    let mut others = world.claims();
    others["job_id"] = json!("303");
    let (own, others) = (world.id_token(), world.token_of(&others));
    let see = |token: &str, lease: &str| {
        let request = world.ca.http.get(world.ca.url(&format!("/v1/leases/{lease}"))).bearer_auth(token);
        Answer::of(request)
    };
    let seen = see(&own, &lease).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(seen.json()["phase"], "active");
    assert_eq!(seen.json()["job"]["project_path"], "my-group/my-project");
    assert_eq!(seen.header("cache-control"), "no-store");
    let nothing = told(404, "invalid_request", "BROKER_LEASE_UNKNOWN");
    assert_eq!(refusal(&see(&others, &lease).await), nothing);
    assert_eq!(refusal(&see(&own, &"0".repeat(32)).await), nothing);
    assert_eq!(refusal(&see(&own, "x").await), nothing);
    let end = |token: &str| {
        let form = [("lease_id", &*lease), ("subject_token", token)];
        Answer::of(world.form("/v1/token-revoke", &form))
    };
    let theirs = end(&others).await;
    assert_eq!(refusal(&theirs), told(403, "access_denied", "BROKER_LEASE_OF_ANOTHER"));
    assert_eq!(world.live().len(), 1);
    assert_eq!(end(&own).await.status, 200);
    world.until_dead().await;
    assert_eq!(end(&own).await.status, 200);
}
