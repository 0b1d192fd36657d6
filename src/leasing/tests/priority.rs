//! Revocations go before exchanges, however many ask.

use super::rotation::rotation;
use crate::broker::{Kind, PathText};
use crate::leasing::Method;
use crate::leasing::attempt::Attempt;
use crate::leasing::testing::{Fault, Machine, finish, grant, grant_of};
use std::time::Duration;
use tokio::task::JoinSet;

/// Jobs that ask without end, and get nothing: their project is not there.
fn flood(machine: &Machine, callers: usize) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    for caller in 0..callers {
        let inner = machine.broker.inner.clone();
        flood.spawn(async move {
            for round in 0.. {
                let grant = grant_of(Kind::Group, 60, &format!("{caller} {round}"), |draft| {
                    draft.path = Some(Some(PathText::Made("acme/missing".to_owned())));
                    draft.max_active = Some(1000);
                });
                let attempt = Attempt::of(&Default::default(), &Default::default(), Default::default());
                inner.make(grant, attempt).await.unwrap_err();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    flood
}

#[tokio::test(start_paused = true)]
async fn revocations_do_not_wait_behind_exchanges_without_end() {
    // Forty calls of a fifth of a second, as many at once as there may be, and one exchange that is under way.
    for (max_inflight, seconds) in [(1, 9), (2, 5), (4, 3), (16, 1)] {
        let machine = Machine::allowed(max_inflight).await;
        for job in 0..40 {
            let many = |draft: &mut crate::broker::Draft| draft.max_active = Some(100);
            machine.mint(grant_of(Kind::Project, 60, &job.to_string(), many)).await.unwrap();
        }
        let deadline = machine.broker.leases(&Default::default(), None, 1).leases[0].deadline;
        machine.world.set_slow(Duration::from_millis(200));
        machine.pass(40).await;
        let flood = flood(&machine, 64);
        tokio::time::sleep(deadline.since(machine.watch.true_time())).await;
        let before = machine.world.calls("holder");
        assert!(before > 50, "{max_inflight}: exchanges are under way");
        machine.pass(seconds).await;
        assert_eq!(machine.world.live(), [] as [u64; 0], "{max_inflight}");
        assert!(machine.world.most_at_once() <= max_inflight as usize);
        machine.pass(10).await;
        assert!(machine.world.calls("holder") > before + 40, "{max_inflight}: exchanges go on");
        drop(flood);
        finish(&machine).await;
    }
}

/// An early end, and one that a lost reply needs, are no less urgent than a deadline.
#[tokio::test(start_paused = true)]
async fn what_a_holder_or_an_operator_ends_and_what_is_looked_up_goes_first_as_well() {
    let machine = Machine::allowed(2).await;
    let one = machine.mint(grant(Kind::Project, 3600, "one")).await.unwrap();
    let two = machine.mint(grant(Kind::Project, 3600, "two")).await.unwrap();
    machine.world.set_slow(Duration::from_millis(200));
    let flood = flood(&machine, 64);
    machine.pass(20).await;
    machine.broker.revoke_token(one.token.expose()).await.unwrap();
    assert!(machine.broker.revoke(two.lease.id).await.unwrap());
    machine.pass(1).await;
    assert_eq!(machine.world.live(), [] as [u64; 0]);
    drop(flood);
    machine.world.script("mint", [Some(Fault::LostAfter)]);
    machine.mint(grant(Kind::Project, 3600, "three")).await.unwrap_err();
    machine.pass(2).await;
    assert_eq!(machine.world.live(), [] as [u64; 0]);
    finish(&machine).await;
}

/// Exchanges to which GitLab does not answer leave a place to what has to die.
#[tokio::test(start_paused = true)]
async fn exchanges_that_hang_take_no_place_of_the_revocations() {
    for max_inflight in [2, 4, 16] {
        let machine = Machine::allowed(max_inflight).await;
        machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
        machine.world.script("holder", [Some(Fault::Hang); 20]);
        let flood = flood(&machine, 20);
        machine.pass(62).await;
        assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]), "{max_inflight}");
        drop(flood);
    }
}

/// A token that could have replaced itself is looked for after it is dead; for that nobody waits.
#[tokio::test(start_paused = true)]
async fn no_exchange_waits_for_looks_after_tokens_that_are_dead() {
    let machine = Machine::allowed(4).await;
    for job in 0..40 {
        let grant = grant_of(Kind::Project, 3600, &job.to_string(), |draft| {
            draft.scopes = Some(vec!["api".to_owned()]);
            draft.max_active = Some(100);
        });
        machine.mint(grant).await.unwrap();
    }
    let all = crate::leasing::Filter::default();
    machine.broker.revoke_where(&all).await.unwrap();
    machine.pass(1).await;
    assert_eq!(machine.phases(), ["settling"; 40]);
    machine.world.set_slow(Duration::from_secs(2));
    machine.pass(3).await;
    let begun = machine.watch.true_time();
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    assert_eq!(machine.watch.true_time().since(begun).as_secs(), 4, "the two calls that it takes");
    machine.pass(62).await;
    assert_eq!(machine.world.live(), [] as [u64; 0], "and no revocation waits for them");
    machine.world.set_slow(Duration::from_millis(3));
    finish(&machine).await;
}

/// What GitLab does not end it does not end sooner because the job asks again and again.
#[tokio::test(start_paused = true)]
async fn a_holder_makes_no_try_come_sooner_that_has_failed() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.world.script("revoke", [Some(Fault::Refused(404)); 1000]);
    machine.pass(3600).await;
    let calls = machine.world.calls("revoke");
    for _ in 0..100 {
        machine.broker.revoke_token(handed.token.expose()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(machine.world.calls("revoke") <= calls + 1);
    machine.broker.revoke(handed.lease.id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(machine.world.calls("revoke") > calls, "an operator does");
    machine.world.heal();
    machine.pass(3600).await;
    finish(&machine).await;
}

/// A list of ten minutes, in which a token is looked for of which no reply has told.
#[tokio::test(start_paused = true)]
async fn a_look_up_in_a_long_list_holds_up_nobody_and_comes_to_its_end() {
    for max_inflight in [1, 4] {
        let machine = Machine::rotating(rotation(Method::Itself), i64::MAX, |world| {
            world.set_admin(false);
            world.allow(max_inflight);
        })
        .await;
        machine.pass(1).await;
        machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
        machine.world.script("mint", [Some(Fault::LostAfter)]);
        machine.world.set_pages(600);
        machine.mint(grant(Kind::Project, 60, "two")).await.unwrap_err();
        machine.world.set_slow(Duration::from_secs(1));
        machine.pass(10).await;
        let began = machine.watch.true_time();
        let (rotated, made) =
            tokio::join!(machine.broker.rotate("default"), machine.mint(grant(Kind::Project, 600, "three")));
        assert!(rotated.is_ok() && made.is_ok(), "{max_inflight}: {rotated:?}");
        assert!(machine.watch.true_time().since(began).as_secs() <= 20, "{max_inflight}");
        machine.pass(60).await;
        assert_eq!(machine.phases(), ["active", "intent", "revoked"], "{max_inflight}");
        machine.pass(900).await;
        assert_eq!(machine.world.live(), [] as [u64; 0], "{max_inflight}");
        machine.world.set_pages(1);
        finish(&machine).await;
    }
}
