//! The weaknesses of gitlab-jwt-2-pat and the defects of vault-plugin-secrets-gitlab, by their numbers.

use crate::broker::{Code, Draft, Kind, Phase, Revocation};
use crate::leasing::memory::Fault as StoreFault;
use crate::leasing::ports::Holder;
use crate::leasing::testing::{Fault, Machine, finish, grant, grant_of};
use crate::leasing::{ALLOWED, Filter};
use std::collections::BTreeSet;

const HOUR: u64 = 3600;

#[tokio::test(start_paused = true)]
async fn weakness_1_revocations_survive_a_crash() {
    let machine = Machine::new().await;
    for job in 0..3 {
        machine.mint(grant(Kind::Project, 300, &job.to_string())).await.unwrap();
    }
    let machine = machine.restart().await;
    assert_eq!(machine.phases(), ["active"; 3]);
    machine.pass(295).await;
    assert_eq!(machine.world.live().len(), 3);
    machine.pass(10).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"; 3]));
}

#[tokio::test(start_paused = true)]
async fn weakness_2_a_revocation_that_fails_is_tried_until_gitlab_confirms_it() {
    for fault in [
        Fault::Lost,
        Fault::NotDone(None),
        Fault::Refused(500),
        Fault::Credential(401),
        Fault::Credential(403),
    ] {
        let machine = Machine::new().await;
        machine.mint(grant(Kind::PipelineTrigger, 60, "jti")).await.unwrap();
        machine.world.set_down(Some(fault));
        machine.pass(3 * HOUR).await;
        assert_eq!((machine.world.live().len(), machine.phases()), (1, vec!["stuck"]), "{fault:?}");
        assert_eq!(machine.events("revoke-stuck"), 1, "the alarm is raised once");
        let calls = machine.world.calls("revoke") + machine.world.calls("metadata");
        assert!((30..400).contains(&calls), "{calls} tries in three hours");
        assert!(machine.broker.problems().iter().any(|line| line.contains("should have been revoked")));
        machine.world.heal();
        machine.pass(601).await;
        assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]), "{fault:?}");
        assert_eq!(machine.broker.problems(), [] as [String; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn weakness_5_an_id_token_is_used_as_often_as_the_role_says_and_no_crash_forgets_it() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 300, "one")).await.unwrap();
    let code = |result: Result<_, crate::broker::Refused>| {
        result.map(|_: crate::leasing::Handed| ()).unwrap_err().code()
    };
    assert_eq!(code(machine.mint(grant(Kind::Project, 300, "one")).await), Code::TokenUsed);
    machine.mint(grant(Kind::Group, 300, "one")).await.unwrap();
    machine.mint(grant(Kind::Project, 300, "two")).await.unwrap();
    let machine = machine.restart().await;
    assert_eq!(code(machine.mint(grant(Kind::Project, 300, "one")).await), Code::TokenUsed);
    // To its end, and for the leeway that verification gives.
    machine.pass(HOUR + 30).await;
    assert_eq!(code(machine.mint(grant(Kind::Project, 300, "one")).await), Code::TokenUsed);
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn two_at_once_with_one_id_token_are_one_token() {
    let machine = Machine::new().await;
    let (one, two) = tokio::join!(
        machine.mint(grant(Kind::Project, 60, "one")),
        machine.mint(grant(Kind::Project, 60, "one"))
    );
    assert!(one.is_ok() != two.is_ok());
    assert_eq!(machine.world.calls("mint"), 1);
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn an_id_token_whose_exchange_gave_nothing_may_be_used_again() {
    for fault in [Fault::Lost, Fault::LostAfter, Fault::Refused(403)] {
        let machine = Machine::new().await;
        machine.world.script("mint", [Some(fault)]);
        machine.mint(grant(Kind::Project, 60, "one")).await.unwrap_err();
        let machine = machine.restart().await;
        machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
        finish(&machine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn weakness_8_every_attempt_leaves_a_record_without_a_token() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap_err();
    let attempts = machine.told.attempts.lock().unwrap().clone();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| &*attempt.outcome).collect();
    assert_eq!(outcomes, [ALLOWED, "BROKER_TOKEN_USED"]);
    assert_eq!(attempts[0].lease, Some(handed.lease.id));
    assert_eq!(attempts[0].token_name.as_ref(), Some(&handed.lease.name));
    assert_eq!(attempts[0].target.as_deref(), Some("default"));
    assert_eq!(attempts[0].sha256, Some(handed.token.sha256()));
    assert!(attempts[0].gitlab_token_id.is_some());
    let written = serde_json::to_string(&(&attempts, machine.store.leases())).unwrap();
    assert!(!written.contains(handed.token.expose()));
    machine.pass(1).await;
    let machine = machine.restart().await;
    let refused = machine.broker.refused(&Default::default(), None, 10).attempts;
    assert_eq!(refused.iter().map(|attempt| &*attempt.outcome).collect::<Vec<_>>(), ["BROKER_TOKEN_USED"]);
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn weakness_11_whoever_has_a_token_can_end_it() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap();
    machine.broker.revoke_token("glpat-of-somebody").await.unwrap();
    machine.pass(1).await;
    assert!(machine.world.accepts(handed.token.expose()));
    machine.broker.revoke_token(handed.token.expose()).await.unwrap();
    // The answer is durable: a crash now changes nothing.
    let machine = machine.restart().await;
    machine.pass(1).await;
    assert!(!machine.world.accepts(handed.token.expose()));
    machine.broker.revoke_token(handed.token.expose()).await.unwrap();
    finish(&machine).await;
}

/// Who is told that it is done relies on it: as long as the store does not take it, nobody is.
#[tokio::test(start_paused = true)]
async fn an_end_is_confirmed_to_nobody_before_it_is_durable() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap();
    machine.world.set_down(Some(Fault::Lost));
    machine.store.set_full(true);
    let token = handed.token.expose();
    for seconds in [0, 2, 60] {
        machine.pass(seconds).await;
        let full = Err(Code::StoreUnavailable);
        assert_eq!(machine.broker.revoke_token(token).await.map_err(|error| error.code()), full);
        let one = machine.broker.revoke(handed.lease.id).await;
        assert_eq!(one.map(drop).map_err(|error| error.code()), full);
        let all = machine.broker.revoke_where(&Filter::default()).await;
        assert_eq!(all.map(drop).map_err(|error| error.code()), full);
    }
    machine.store.set_full(false);
    assert_eq!(machine.broker.revoke_token(token).await, Ok(()));
    let machine = machine.restart().await;
    machine.world.heal();
    machine.pass(5).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]));
}

/// Two who ask at once are both told what has become of it.
#[tokio::test(start_paused = true)]
async fn an_end_that_is_being_written_is_waited_for_by_whoever_asks_for_it_again() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap();
    machine.world.set_down(Some(Fault::Lost));
    machine.store.set_full(true);
    let token = handed.token.expose();
    let (one, two) = tokio::join!(machine.broker.revoke_token(token), machine.broker.revoke_token(token));
    assert!(one.is_err() && two.is_err());
    machine.store.set_full(false);
    machine.world.heal();
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn weakness_13_no_two_tokens_have_one_name() {
    let machine = Machine::new().await;
    for job in 0..20 {
        machine.mint(grant(Kind::Project, 60, &job.to_string())).await.unwrap();
    }
    let orders = machine.world.orders();
    let names: BTreeSet<_> = orders.iter().map(|(_, name, _)| name).collect();
    assert_eq!(names.len(), 20);
    finish(&machine).await;
}

/// And a name that begins like one of ours is not ours.
#[tokio::test(start_paused = true)]
async fn weakness_13_what_is_found_by_name_has_the_whole_name() {
    let machine = Machine::new().await;
    machine.world.script("mint", [Some(Fault::LostAfter)]);
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap_err();
    let (_, name, _) = machine.world.orders().remove(0);
    let holder = Holder { kind: Kind::Project, path: "acme/app".to_owned(), owner: vec![7] };
    let others = [
        machine.world.foreign(&holder, &format!("{name}0")),
        machine.world.foreign(&holder, name.trim_start_matches("bot-")),
    ];
    machine.pass(700).await;
    assert_eq!(machine.world.live(), others);
    assert_eq!(machine.phases(), ["revoked"]);
}

/// There GitLab's midnight was all that ended a token whose revocation was lost, up to two days later.
#[tokio::test(start_paused = true)]
async fn weakness_14_what_is_overdue_after_an_outage_of_ours_ends_at_once() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.fuse.blow();
    machine.pass(HOUR).await;
    assert_eq!(machine.world.live().len(), 1);
    let machine = machine.restart().await;
    machine.pass(1).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]));
    let (at, _, expiry) = machine.world.orders().remove(0);
    assert!(expiry.unwrap().moment().since(at).as_secs() <= 2 * HOUR, "the next midnight is the net below");
}

#[tokio::test(start_paused = true)]
async fn defect_4_gone_is_gone_for_every_kind() {
    for kind in Kind::ALL {
        let machine = Machine::new().await;
        machine.world.user(42, (true, false, false));
        let handed = machine.mint(grant(*kind, 60, "one")).await.unwrap();
        let Phase::Active { minted } = &handed.lease.phase else { panic!("active") };
        machine.world.remove_by_hand(minted.id);
        machine.pass(62).await;
        assert_eq!((machine.phases(), machine.world.calls("revoke")), (vec!["revoked"], 1), "{kind}");
    }
}

/// There a role could leave triggers to GitLab, which never ends them.
#[tokio::test(start_paused = true)]
async fn defect_8_triggers_are_ended_by_the_broker_however_long_that_takes() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::PipelineTrigger, 60, "one")).await.unwrap();
    assert_eq!((handed.lease.revocation, handed.lease.asked_expiry), (Revocation::Broker, None));
    machine.world.set_down(Some(Fault::Lost));
    machine.pass(HOUR).await;
    machine.watch.sleep(400 * 24 * HOUR);
    machine.pass(HOUR).await;
    assert_eq!(machine.phases(), ["stuck"], "it is tried for ever");
    machine.world.heal();
    finish(&machine).await;
}

/// GitLab ends the role's tokens.
fn by_gitlab(draft: &mut Draft) {
    draft.revocation = Some(Revocation::Gitlab);
}

/// There the time left was that to the year 1.
#[tokio::test(start_paused = true)]
async fn defect_9_a_deploy_token_without_a_date_has_the_one_that_was_asked_for() {
    for kind in [Kind::ProjectDeploy, Kind::GroupDeploy] {
        let machine = Machine::new().await;
        machine.world.tell_no_expiry();
        let handed = machine.mint(grant_of(kind, 24 * HOUR, "one", by_gitlab)).await.unwrap();
        let left = handed.lease.deadline.since(handed.lease.created).as_secs();
        assert!((24 * HOUR..=48 * HOUR).contains(&left), "{left}");
        machine.watch.sleep(left - 60);
        machine.pass(50).await;
        assert_eq!(machine.phases(), ["active"]);
        machine.pass(HOUR + 20).await;
        assert_eq!((machine.phases(), machine.world.calls("revoke")), (vec!["expired"], 0));
        finish(&machine).await;
    }
}

/// A token of another kind without a date would live for ever: the broker ends it, although the role leaves it to GitLab.
#[tokio::test(start_paused = true)]
async fn a_token_that_gitlab_gave_no_end_is_ended_by_the_broker() {
    let machine = Machine::new().await;
    machine.world.tell_no_expiry();
    let handed = machine.mint(grant_of(Kind::Project, 24 * HOUR, "one", by_gitlab)).await.unwrap();
    machine.watch.sleep(handed.lease.deadline.since(handed.lease.created).as_secs() - 60);
    machine.pass(65).await;
    assert_eq!((machine.phases(), machine.world.calls("revoke")), (vec!["revoked"], 1));
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn defect_10_a_store_that_does_not_take_the_token_ends_it() {
    for fault in [StoreFault::Refused, StoreFault::Kept, StoreFault::Lost] {
        let machine = Machine::new().await;
        // The intent is taken, the token is not.
        machine.store.fail([None, Some(fault)]);
        let refused = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap_err();
        assert_eq!((refused.code(), refused.wait().is_some()), (Code::StoreUnavailable, true));
        machine.pass(1).await;
        assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]), "{fault:?}: at once");
        let again = machine.mint(grant(Kind::Project, 60, "two")).await;
        assert_eq!(again.is_ok(), fault == StoreFault::Refused, "after a lost sync nothing is issued");
        let machine = machine.restart().await;
        finish(&machine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_take_the_intent_lets_gitlab_alone() {
    for fault in [StoreFault::Refused, StoreFault::Kept, StoreFault::Lost] {
        let machine = Machine::new().await;
        machine.store.fail([Some(fault)]);
        let refused = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap_err();
        assert_eq!(refused.code(), Code::StoreUnavailable);
        assert_eq!((machine.world.calls("mint"), machine.phases().len()), (0, 0));
        let machine = machine.restart().await;
        finish(&machine).await;
        assert_eq!(machine.world.calls("mint"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn weakness_1_a_full_disk_delays_records_and_no_revocation() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.store.set_full(true);
    machine.pass(70).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]));
    assert_eq!(machine.store.leases()[0].phase.code(), "active");
    assert!(machine.broker.problems().iter().any(|line| line.contains("store")));
    machine.store.set_full(false);
    machine.pass(20).await;
    assert_eq!(machine.store.leases()[0].phase.code(), "revoked");
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    assert_eq!(machine.broker.revoke_where(&Filter::default()).await, Ok(0));
}
