//! Tokens that can replace themselves (`api`, `self_rotate`) by another of the same name that lives for a year.

use crate::broker::{Draft, Grant, Kind};
use crate::leasing::Filter;
use crate::leasing::ports::Holder;
use crate::leasing::testing::{Fault, Machine, finish, finish_asleep, grant_of};
use std::time::Duration;

const HOUR: u64 = 3600;

/// A token that can replace itself.
fn lasting(ttl: u64, jti: &str) -> Grant {
    grant_of(Kind::Project, ttl, jti, with_api)
}

fn with_api(draft: &mut Draft) {
    draft.scopes = Some(vec!["api".to_owned()]);
    draft.max_active = Some(1);
}

/// The successor of a machine's only token comes into being now.
fn succeed(machine: &Machine) -> u64 {
    let holder = Holder { kind: Kind::Project, path: "acme/app".to_owned(), owner: vec![7] };
    machine.world.foreign(&holder, &machine.world.orders()[0].1)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_replaced_by_its_job_dies_with_its_successor() {
    let machine = Machine::new().await;
    machine.mint(lasting(300, "one")).await.unwrap();
    let first = machine.world.live()[0];
    machine.world.replace(machine.world.replace(first));
    assert_eq!(machine.world.live().len(), 1);
    machine.pass(302).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["settling"]));
    finish(&machine).await;
    assert_eq!(machine.phases(), ["revoked"]);
}

/// What cannot be looked up is looked up later, beyond the first token's own end.
#[tokio::test(start_paused = true)]
async fn a_successor_outlives_an_outage_of_gitlab_by_no_more_than_the_next_try() {
    let machine = Machine::new().await;
    machine.mint(lasting(300, "one")).await.unwrap();
    machine.world.replace(machine.world.live()[0]);
    machine.world.set_down(Some(Fault::Lost));
    machine.pass(3 * 24 * HOUR).await;
    assert_eq!((machine.world.live().len(), machine.phases()), (1, vec!["stuck"]));
    machine.world.heal();
    finish(&machine).await;
}

/// A request to replace itself that GitLab had let in before the token was revoked makes its successor afterwards: GitLab asks whether the token
/// is revoked once, when the request begins.
#[tokio::test(start_paused = true)]
async fn a_successor_that_comes_after_the_revocation_dies_too() {
    for (late, seen) in [(1, 2), (30, 42), (200, 600), (590, 600)] {
        let machine = Machine::new().await;
        let handed = machine.mint(lasting(HOUR, "one")).await.unwrap();
        machine.broker.revoke_token(handed.token.expose()).await.unwrap();
        machine.pass(1).await;
        assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["settling"]), "{late}");
        machine.pass(late - 1).await;
        succeed(&machine);
        machine.pass(seen + 1 - late).await;
        assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["settling"]), "{late}");
        assert_eq!(machine.events("reconcile-orphan"), 1);
        // The successor could have replaced itself as well.
        machine.pass(597).await;
        assert_eq!(machine.phases(), ["settling"], "{late}");
        machine.pass(6).await;
        assert_eq!(machine.phases(), ["revoked"], "{late}");
        assert_eq!(machine.broker.problems(), [] as [String; 0]);
        finish(&machine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_settling_lease_costs_little_takes_no_place_and_alarms_nobody() {
    let machine = Machine::new().await;
    let handed = machine.mint(lasting(300, "one")).await.unwrap();
    machine.pass(301).await;
    machine.mint(lasting(HOUR, "two")).await.unwrap();
    machine.broker.revoke_where(&Filter { phase: Some("active".into()), ..Filter::default() }).await.unwrap();
    // Whoever has the token cannot make the broker call GitLab more often, and no order counts it.
    for _ in 0..9 {
        machine.broker.revoke_token(handed.token.expose()).await.unwrap();
        assert!(machine.broker.revoke_where(&Filter::default()).await.unwrap() <= 1);
        machine.pass(30).await;
    }
    let finds = machine.world.calls("find");
    assert_eq!(machine.phases(), ["settling"; 2]);
    assert_eq!(machine.broker.reading().oldest_overdue.as_secs(), 0);
    machine.pass(600).await;
    assert_eq!((machine.phases(), machine.world.calls("revoke")), (vec!["revoked"; 2], 2));
    let all = machine.world.calls("find");
    assert!(all <= 14, "{finds} {all} looks for two tokens");
    finish(&machine).await;
}

/// Neither a crash nor a GitLab that is away makes the time of looking shorter, and who waits for a stop does not wait for it.
#[tokio::test(start_paused = true)]
async fn looking_goes_on_after_a_crash_and_after_an_outage() {
    let machine = Machine::new().await;
    machine.mint(lasting(300, "one")).await.unwrap();
    machine.pass(500).await;
    let machine = machine.restart().await;
    machine.pass(590).await;
    assert_eq!(machine.phases(), ["settling"]);
    succeed(&machine);
    machine.world.set_down(Some(Fault::Lost));
    machine.pass(2 * HOUR).await;
    // Nobody can say that there is none: that is worth an alarm.
    assert_eq!((machine.world.live().len(), machine.phases()), (1, vec!["stuck"]));
    assert!(machine.broker.problems().iter().any(|line| line.contains("should have been revoked")));
    machine.world.heal();
    machine.pass(601).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["settling"]));
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    let began = machine.watch.true_time();
    machine.broker.close(true).await;
    assert!(machine.watch.true_time().since(began).as_secs() < 2);
    let machine = machine.restart().await;
    machine.pass(601).await;
    assert_eq!(machine.phases(), ["revoked"]);
}

#[tokio::test(start_paused = true)]
async fn no_crash_forgets_to_look_for_a_successor() {
    for steps in 0.. {
        let machine = Machine::crashing_after(steps).await;
        {
            let life = async {
                let Ok(handed) = machine.mint(lasting(300, "one")).await else { return };
                let _ = machine.broker.revoke_token(handed.token.expose()).await;
                machine.pass(700).await;
            };
            // A call that ends never has been cut by the crash.
            let _ = tokio::time::timeout(Duration::from_secs(900), life).await;
        }
        let crashed = machine.fuse.is_out();
        if machine.store.leases().iter().any(|lease| !lease.phase.is_over())
            && !machine.world.orders().is_empty()
        {
            succeed(&machine);
        }
        let machine = machine.restart().await;
        finish_asleep(&machine).await;
        if !crashed {
            assert!(steps > 30, "{steps}");
            break;
        }
    }
}
