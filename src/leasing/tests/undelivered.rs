//! Nobody got the token: the ID token is as good as before, once the token's end is durable.

use crate::broker::{Code, Draft, Kind};
use crate::leasing::memory::Fault;
use crate::leasing::testing::{Machine, finish, grant, grant_of};
use std::time::Duration;

const HOUR: u64 = 3600;

async fn ask(machine: &Machine, jti: &str) -> Option<Code> {
    machine.mint(grant(Kind::Project, HOUR, jti)).await.err().map(|refused| refused.code())
}

#[tokio::test(start_paused = true)]
async fn an_id_token_whose_token_nobody_got_can_be_used_again() {
    for gone_meanwhile in [false, true] {
        let machine = Machine::new().await;
        machine.pass(1).await;
        if gone_meanwhile {
            machine.world.set_slow(Duration::from_secs(2));
            let asking = machine.mint(grant(Kind::Project, HOUR, "one"));
            assert!(tokio::time::timeout(Duration::from_secs(3), asking).await.is_err());
            machine.world.set_slow(Duration::from_millis(3));
        } else {
            let handed = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap();
            machine.broker.not_delivered(handed.lease.id).await;
        }
        machine.pass(10).await;
        assert_eq!((machine.world.orders().len(), machine.world.live()), (1, vec![]));
        assert_eq!(machine.phases(), ["revoked"]);
        // The store knows it, too.
        let machine = machine.restart().await;
        assert_eq!(ask(&machine, "one").await, None, "{gone_meanwhile}");
        assert_eq!(ask(&machine, "one").await, Some(Code::TokenUsed));
        finish(&machine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_use_is_given_back_once_and_for_nothing_else() {
    let machine = Machine::new().await;
    let twice = |draft: &mut Draft| draft.max_per_token = Some(2);
    let again = || machine.mint(grant_of(Kind::Project, HOUR, "one", twice));
    let first = again().await.unwrap().lease.id;
    let second = again().await.unwrap();
    machine.broker.not_delivered(first).await;
    machine.broker.not_delivered(first).await;
    machine.pass(10).await;
    machine.broker.not_delivered(first).await;
    again().await.unwrap();
    assert_eq!(again().await.unwrap_err().code(), Code::TokenUsed);
    // Its job had that one, and wants it no more.
    machine.broker.revoke_token(second.token.expose()).await.unwrap();
    machine.broker.not_delivered(second.lease.id).await;
    machine.pass(10).await;
    assert_eq!(again().await.unwrap_err().code(), Code::TokenUsed);
    finish(&machine).await;
}

/// After a crash the first token would live on, and another one beside it.
#[tokio::test(start_paused = true)]
async fn as_long_as_the_tokens_end_is_not_durable_its_id_token_is_used() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap();
    machine.store.fail([Some(Fault::Refused)]);
    machine.broker.not_delivered(handed.lease.id).await;
    assert_eq!(ask(&machine, "one").await, Some(Code::TokenUsed));
    finish(&machine).await;
    assert_eq!(ask(&machine, "one").await, Some(Code::TokenUsed));
}
