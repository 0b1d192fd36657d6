//! Whoever hangs up before the answer gets no token that lives.

use super::{GRANT, ID_TOKEN, World};
use crate::support::gitlab::{Fault, Gate};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_gone_leaves_no_token() {
    let world = World::start().await;
    let route = "POST /projects/{id}/access_tokens";
    for held in [Fault::HeldBefore as fn(Gate) -> Fault, Fault::HeldAfter] {
        let gate = Gate::closed();
        world.gitlab.faults().script(route, [held(gate.clone())]);
        let token = world.id_token();
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
    }
    let leases = world.ca.get_admin("/v1/leases").await.json();
    let leases = leases["leases"].as_array().expect("leases").clone();
    assert_eq!(leases.len(), 2);
    assert!(
        leases.iter().all(|lease| lease["phase"] == "revoked" || lease["phase"] == "aborted"),
        "{leases:?}"
    );
}
