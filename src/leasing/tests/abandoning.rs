//! Leases that an operator gives up.

use crate::broker::{Code, Draft, Kind, LeaseId, Phase};
use crate::leasing::testing::{Fault, Machine, finish, grant, grant_of};

const HOUR: u64 = 3600;

/// The project is deleted, and the main credential cannot tell: GitLab says 404 for ever.
#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_end_is_given_up_by_an_operator_and_leaves_its_place() {
    let machine = Machine::new().await;
    let only = |jti: &str| grant_of(Kind::Project, 60, jti, |draft: &mut Draft| draft.max_active = Some(1));
    let lease = machine.mint(only("one")).await.unwrap().lease;
    machine.world.script("revoke", [Some(Fault::Refused(404)); 1000]);
    machine.pass(HOUR).await;
    assert_eq!((machine.phases(), machine.late()), (vec!["stuck"], 1));
    assert_eq!(machine.mint(only("two")).await.unwrap_err().code(), Code::LimitReached);
    assert_eq!(machine.broker.abandon(lease.id).await, Ok(true));
    assert_eq!((machine.phases(), machine.late()), (vec!["abandoned"], 0));
    assert_eq!((machine.events("token-abandon"), machine.broker.reading().leases["abandoned"]), (1, 1));
    // What is to be looked for by hand, and why, stands in the record.
    let stored = machine.store.leases().remove(0);
    let Phase::Abandoned { at, why } = &stored.phase else { panic!() };
    assert_eq!(stored.minted().unwrap().id, machine.world.live()[0]);
    assert!(at.since(lease.created).as_secs() >= HOUR && why.contains("404"), "{why}");
    // Said twice it is the same; GitLab is not asked any more; and a crash does not bring it back.
    assert_eq!(machine.broker.abandon(lease.id).await, Ok(true));
    assert_eq!(machine.events("token-abandon"), 1);
    let calls = machine.world.calls("revoke");
    let machine = machine.restart().await;
    machine.pass(HOUR).await;
    assert_eq!((machine.phases(), machine.world.calls("revoke")), (vec!["abandoned"], calls));
    machine.mint(only("two")).await.unwrap();
    machine.world.heal();
    machine.pass(62).await;
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_may_still_end_is_not_given_up() {
    let machine = Machine::new().await;
    let unknown = LeaseId::parse(&"0".repeat(32)).unwrap();
    assert_eq!(machine.broker.abandon(unknown).await.unwrap_err().code(), Code::LeaseUnknown);
    let lease = machine.mint(grant(Kind::Project, 60, "one")).await.unwrap().lease;
    assert_eq!(machine.broker.abandon(lease.id).await, Ok(false), "it is active");
    machine.world.set_down(Some(Fault::Lost));
    machine.pass(70).await;
    assert_eq!(machine.phases(), ["revoking"]);
    assert_eq!(machine.broker.abandon(lease.id).await, Ok(false), "it is not late");
    machine.world.heal();
    machine.pass(HOUR).await;
    assert_eq!(machine.broker.abandon(lease.id).await, Ok(false), "it has ended");
    assert_eq!((machine.phases(), machine.events("token-abandon")), (vec!["revoked"], 0));
}

/// A call that was under way when the lease was given up does not take it up again, however it ends.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_up_stays_so() {
    for fault in [None, Some(Fault::Lost), Some(Fault::Refused(404))] {
        let machine = Machine::new().await;
        let lease = machine.mint(grant(Kind::Project, 60, "one")).await.unwrap().lease;
        machine.world.script("revoke", [Some(Fault::Refused(404)); 1000]);
        machine.pass(HOUR).await;
        assert_eq!(machine.phases(), ["stuck"]);
        machine.world.heal();
        machine.world.script("revoke", [fault]);
        machine.broker.revoke(lease.id).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let calls = machine.world.calls("revoke");
        assert_eq!(machine.broker.abandon(lease.id).await, Ok(true));
        machine.pass(HOUR).await;
        assert_eq!(
            (machine.phases(), machine.world.calls("revoke")),
            (vec!["abandoned"], calls),
            "{fault:?}"
        );
        machine.world.live().iter().for_each(|id| machine.world.remove_by_hand(*id));
        finish(&machine).await;
    }
}

/// Where a whole instance is gone one call fails for all its leases: they can be given up without a call for each.
#[tokio::test(start_paused = true)]
async fn leases_of_an_instance_that_is_gone_are_given_up_whether_or_not_they_were_tried() {
    let machine = Machine::new().await;
    let mut leases = Vec::new();
    for job in 0..60 {
        let many = |draft: &mut Draft| draft.max_active = Some(100);
        let token = machine.mint(grant_of(Kind::Project, 60, &job.to_string(), many)).await.unwrap();
        leases.push(token.lease.id);
    }
    machine.world.set_down(Some(Fault::Lost));
    machine.pass(900).await;
    assert!(machine.phases().contains(&"active"), "{:?}", machine.phases());
    for id in leases {
        assert_eq!(machine.broker.abandon(id).await, Ok(true));
    }
    assert_eq!(machine.phases(), ["abandoned"; 60]);
    machine.world.live().iter().for_each(|id| machine.world.remove_by_hand(*id));
    machine.world.heal();
    finish(&machine).await;
}
