//! Whoever hangs up before the answer gets no token that lives.

use super::{GRANT, ID_TOKEN, World, refusal, told};
use crate::support::gitlab::{Fault, Gate};
use crate::support::secrets;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_gone_leaves_no_token() {
    let once = super::ROLES.replacen("max_per_token: 20", "max_per_token: 1", 1);
    let world = World::with(&once, "  rate_per_project: 60000\n").await;
    let route = "POST /projects/{id}/access_tokens";
    for (jti, held) in [("one", Fault::HeldBefore as fn(Gate) -> Fault), ("two", Fault::HeldAfter)] {
        let gate = Gate::closed();
        world.gitlab.faults().script(route, [held(gate.clone())]);
        let mut claims = world.claims();
        claims["jti"] = jti.into();
        let token = world.token_of(&claims);
        let form = [
            ("grant_type", GRANT),
            ("subject_token", &*token),
            ("subject_token_type", ID_TOKEN),
            ("role", "tag"),
        ];
        let request = world.form("/v1/token-exchange", &form).timeout(Duration::from_secs(60));
        let asking = tokio::spawn(request.send());
        gate.reached(1).await;
        asking.abort();
        assert!(asking.await.expect_err("it was aborted").is_cancelled());
        gate.open();
        world.until_listed("active", 0).await;
        world.until_dead().await;
        again(&world, &token).await;
    }
    let leases = world.ca.get_admin("/v1/leases").await.json();
    let leases = leases["leases"].as_array().expect("leases").clone();
    assert_eq!(leases.len(), 4);
    assert!(
        leases.iter().all(|lease| lease["phase"] == "revoked" || lease["phase"] == "aborted"),
        "{leases:?}"
    );
}

/// Its ID token is as good as before: the job asks once more, and has what it wanted.
async fn again(world: &World, token: &str) {
    for _ in 0..6000 {
        let answer = world.exchange(token, &[("role", "tag")]).await;
        if answer.status == 200 {
            secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
            return world.revoke_all().await;
        }
        // Until the end of the one that nobody got is durable.
        assert_eq!(refusal(&answer), told(400, "invalid_request", "BROKER_TOKEN_USED"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it counts as used");
}
