//! What GitLab does not end, and says nothing about, holds up nothing else: an instance is left alone where it does not answer for itself.

use crate::broker::{Draft, Kind, PathText};
use crate::leasing::testing::{Fault, Machine, finish, grant, grant_of};

/// So many tokens of a project of which GitLab ends none, while all else goes well.
async fn beside(count: usize) -> Machine {
    let machine = Machine::new().await;
    machine.world.script("revoke-broken", std::iter::repeat_n(Some(Fault::Lost), 100_000));
    for job in 0..count {
        let broken = |draft: &mut Draft| {
            draft.max_active = Some(200);
            draft.name = Some("broken".to_owned());
            draft.path = Some(Some(PathText::Made("acme/broken".to_owned())));
        };
        machine.mint(grant_of(Kind::Project, 10, &format!("broken {job}"), broken)).await.unwrap();
    }
    machine
}

#[tokio::test(start_paused = true)]
async fn tokens_that_gitlab_does_not_end_keep_no_other_alive() {
    for count in [1, 12, 100] {
        let machine = beside(count).await;
        for ttl in [15, 240, 1800] {
            machine.mint(grant(Kind::Project, ttl, &ttl.to_string())).await.unwrap();
        }
        for (until, left) in [(30, 2), (250, 1), (1810, 0)] {
            machine
                .pass(until - machine.watch.true_time().since(machine.world.orders()[0].0).as_secs())
                .await;
            assert_eq!(machine.world.live().len(), count + left, "{count} {until}");
        }
        assert_eq!((machine.events("target-down"), machine.broker.problems().len()), (0, 1), "{count}");
        machine.world.heal();
        finish(&machine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_gitlab_does_not_end_hold_up_no_exchange() {
    for (count, every) in [(1, 420), (5, 420), (25, 420), (25, 10)] {
        let machine = beside(count).await;
        machine.pass(900).await;
        for number in 0..2 * 3600 / every {
            machine.pass(every).await;
            let made = machine.mint(grant(Kind::Project, 10, &number.to_string())).await;
            assert!(made.is_ok(), "{count} {every} {number}: {:?}", made.map(drop));
        }
        machine.world.heal();
        finish(&machine).await;
    }
}
