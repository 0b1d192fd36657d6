//! Clocks that are set, targets and roles that go, callers that go away, stops.

use crate::broker::{Code, Draft, Kind, Revocation};
use crate::leasing::memory::MemoryLeases;
use crate::leasing::ports::LeaseStore as _;
use crate::leasing::testing::{Fault, Machine, finish, grant, grant_of};
use crate::leasing::{Filter, OpenError};
use std::sync::Arc;
use std::time::Duration;

const HOUR: u64 = 3600;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_gives_no_token_more_time() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 300, "one")).await.unwrap();
    machine.watch.set_wrong(-3 * 3_600_000);
    machine.pass(302).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_before_a_start_gives_no_more_than_the_time_again() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 300, "one")).await.unwrap();
    machine.watch.set_wrong(-3 * 3_600_000);
    let machine = machine.restart().await;
    machine.pass(302).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]));
}

/// A clock that is wrong by years must not make a token count as ended by GitLab.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_ahead_ends_tokens_and_believes_none_dead() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap();
    machine.watch.set_wrong(365 * 24 * 3_600_000);
    machine.pass(10).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_for_a_while_lets_no_token_go() {
    let machine = Machine::new().await;
    machine.world.set_down(Some(Fault::Lost));
    machine.watch.set_wrong(365 * 24 * 3_600_000);
    machine.pass(10).await;
    machine.watch.set_wrong(0);
    machine.world.heal();
    machine.pass(90).await;
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.world.set_down(Some(Fault::Lost));
    machine.pass(HOUR).await;
    assert_eq!((machine.world.live().len(), machine.phases()), (1, vec!["stuck"]));
    machine.world.heal();
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_for_a_while_makes_no_id_token_good_again() {
    let used = |machine: &Machine| machine.store.load().unwrap().used.len();
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.watch.set_wrong(3 * 3_600_000);
    machine.pass(6).await;
    let machine = machine.restart().await;
    machine.pass(6).await;
    machine.watch.set_wrong(0);
    let again = machine.mint(grant(Kind::Project, 60, "one")).await.map(drop);
    assert_eq!((again.unwrap_err().code(), used(&machine)), (Code::TokenUsed, 1));
    // It is forgotten when it has ended by GitLab's clock as well, which is asked every hour.
    machine.pass(2 * HOUR).await;
    assert_eq!(used(&machine), 1);
    machine.pass(HOUR + 120).await;
    assert_eq!(used(&machine), 0);
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_gitlab_ended_itself_is_let_go_when_gitlabs_own_clock_says_so() {
    for silent in [false, true] {
        let machine = Machine::new().await;
        machine.mint(grant_of(Kind::Project, 300, "one", plain)).await.unwrap();
        // It answers, and says nothing of the token; or it does not answer.
        machine.world.set_down(Some(if silent { Fault::Lost } else { Fault::Refused(404) }));
        machine.pass(2 * HOUR).await;
        assert_eq!(machine.phases(), ["stuck"], "midnight has passed, and a clock there may be behind");
        machine.pass(2 * HOUR).await;
        assert_eq!(machine.phases(), [if silent { "stuck" } else { "expired" }]);
        machine.world.heal();
        machine.pass(HOUR).await;
        assert_eq!(machine.phases(), [if silent { "revoked" } else { "expired" }]);
    }
}

/// After a start with a clock that is wrong and without a network there is nothing that shows that it is wrong.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_while_gitlab_is_away_forgets_no_living_token() {
    for (ttl, edit) in [(HOUR, plain as fn(&mut Draft)), (24 * HOUR, plain_by_gitlab)] {
        let machine = Machine::new().await;
        let deadline = machine.mint(grant_of(Kind::Project, ttl, "one", edit)).await.unwrap().lease.deadline;
        machine.world.set_down(Some(Fault::Lost));
        machine.watch.set_wrong(500 * 24 * 3_600_000);
        let machine = machine.restart().await;
        machine.pass(60).await;
        assert_ne!(machine.phases(), ["expired"], "{ttl}");
        machine.watch.set_wrong(0);
        machine.world.heal();
        machine.pass(1200).await;
        assert!(deadline > machine.watch.true_time());
        assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]), "{ttl}");
    }
}

/// The job's project was renamed, and somebody has made another one at its path.
#[tokio::test(start_paused = true)]
async fn a_path_that_is_anothers_by_now_gets_no_token() {
    for kind in [Kind::Project, Kind::Group, Kind::ProjectDeploy, Kind::ProjectServiceAccount] {
        let machine = Machine::new().await;
        let refused = machine.mint(grant(kind, HOUR, "one").at(99)).await.unwrap_err();
        assert_eq!(refused.code(), Code::TargetRefused, "{kind}");
        assert_eq!((machine.world.calls("mint"), machine.phases().len()), (0, 0), "before anything is made");
        // The make-believe GitLab's number for every path.
        machine.mint(grant(kind, 60, "one").at(7)).await.unwrap();
        finish(&machine).await;
    }
}

/// The same of what lies in the job's group, by the numbers of what it lies in now.
#[tokio::test(start_paused = true)]
async fn a_path_in_a_group_that_is_anothers_by_now_gets_no_token() {
    let machine = Machine::new().await;
    let below = |jti, id, above| machine.mint(grant(Kind::Project, 60, jti).below(id, above));
    for (id, above) in [(500, 1), (71, 1), (72, 2), (72, 3)] {
        assert_eq!(below("one", id, above).await.unwrap_err().code(), Code::TargetRefused, "{id} {above}");
    }
    assert_eq!((machine.world.calls("mint"), machine.phases().len()), (0, 0), "before anything is made");
    below("one", 72, 1).await.unwrap();
    below("two", 71, 2).await.unwrap();
    finish(&machine).await;
}

fn plain(draft: &mut Draft) {
    draft.scopes = Some(vec!["read_api".to_owned()]);
}

fn plain_by_gitlab(draft: &mut Draft) {
    plain(draft);
    draft.revocation = Some(Revocation::Gitlab);
}

#[tokio::test(start_paused = true)]
async fn two_leases_of_one_job_live_and_end_apart() {
    let machine = Machine::new().await;
    let one = machine.mint(grant(Kind::Project, HOUR, "one")).await.unwrap();
    let two = machine.mint(grant(Kind::Project, HOUR, "two")).await.unwrap();
    machine.broker.revoke_token(one.token.expose()).await.unwrap();
    machine.pass(1).await;
    assert!(!machine.world.accepts(one.token.expose()) && machine.world.accepts(two.token.expose()));
    let job = Filter { job_id: Some("1000".to_owned()), ..Filter::default() };
    assert_eq!(machine.broker.revoke_where(&job).await, Ok(1));
    machine.pass(1).await;
    assert_eq!(machine.world.live(), [] as [u64; 0]);
}

#[tokio::test(start_paused = true)]
async fn leases_of_a_role_that_is_gone_end_as_they_would_have() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.broker.replace_roles(Arc::default());
    machine.pass(62).await;
    assert_eq!((machine.world.live(), machine.phases()), (vec![], vec!["revoked"]));
}

#[tokio::test(start_paused = true)]
async fn a_target_with_live_leases_cannot_be_taken_away() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    let mut lease = machine.store.leases().remove(0);
    lease.target = "gone".to_owned();
    let write = |lease| {
        let store = MemoryLeases::default();
        let change = crate::leasing::ports::Change::Lease(Box::new(lease));
        crate::leasing::ports::LeaseStore::write(&mut store.clone(), &[change]).unwrap();
        store
    };
    let store = write(lease.clone());
    let started = Machine::start(&machine.watch, &machine.world, store, i64::MAX, 9, None).await;
    let Err(error @ OpenError::TargetGone { live: 1, .. }) = started.map(drop) else { panic!("it starts") };
    assert!(
        error.to_string().contains("target gone") && error.to_string().contains("Put it back"),
        "{error}"
    );
    lease.phase = crate::broker::Phase::Revoked { at: lease.created };
    let store = write(lease);
    assert!(Machine::start(&machine.watch, &machine.world, store, i64::MAX, 9, None).await.is_ok());
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_no_token() {
    let machine = Machine::new().await;
    for millis in 0..12 {
        let jti = millis.to_string();
        let minting = machine.mint(grant(Kind::Project, HOUR, &jti));
        let _ = tokio::time::timeout(Duration::from_millis(millis), minting).await;
        machine.pass(2).await;
        if machine.world.live().is_empty() {
            continue;
        }
        // It was quick enough: the answer was there.
        assert!(millis > 5, "{millis}");
        let lease = machine.broker.leases(&Filter::default(), None, 1).leases.remove(0);
        machine.broker.not_delivered(lease.id).await;
        machine.pass(1).await;
        assert_eq!(machine.world.live(), [] as [u64; 0]);
    }
    assert!(machine.phases().iter().all(|phase| *phase == "revoked"), "{:?}", machine.phases());
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_what_it_is_told_to_drain_and_leaves_the_rest_to_the_next_start() {
    for drain in [true, false] {
        let machine = Machine::new().await;
        for job in 0..9 {
            machine.mint(grant(Kind::Project, HOUR, &job.to_string())).await.unwrap();
        }
        machine.broker.close(drain).await;
        assert_eq!(machine.world.live().len(), if drain { 0 } else { 9 });
        let refused = machine.mint(grant(Kind::Project, HOUR, "late")).await.unwrap_err();
        assert_eq!(refused.code(), Code::ShuttingDown);
        machine.broker.close(drain).await;
        let machine = machine.restart().await;
        finish(&machine).await;
        assert_eq!(machine.phases(), ["revoked"; 9]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_under_way_and_for_no_gitlab_that_hangs() {
    let machine = Machine::new().await;
    let minting = machine.mint(grant(Kind::Project, HOUR, "one"));
    let closing = async {
        tokio::task::yield_now().await;
        machine.broker.close(false).await;
    };
    let (handed, ()) = tokio::join!(minting, closing);
    assert!(handed.is_ok());
    assert_eq!(machine.store.leases()[0].phase.code(), "active");
    let machine = machine.restart().await;
    // Defect 7 of the Vault plugin: calls that nothing could end.
    machine.world.set_down(Some(Fault::Hang));
    machine.pass(HOUR + 5).await;
    let began = machine.watch.true_time();
    machine.broker.close(true).await;
    assert!(machine.watch.true_time().since(began).as_secs() <= 180);
    machine.world.heal();
    let machine = machine.restart().await;
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn work_that_fails_in_a_way_it_should_not_is_taken_up_again() {
    let machine = Machine::new().await;
    machine.world.script("revoke", [Some(Fault::Panic)]);
    machine.world.script("mint", [None, Some(Fault::Panic)]);
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.mint(grant(Kind::Project, 60, "two")).await.unwrap_err();
    machine.pass(800).await;
    assert_eq!(machine.world.live(), [] as [u64; 0]);
    assert_eq!(machine.phases(), ["aborted", "revoked"]);
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages_the_newest_first() {
    let machine = Machine::new().await;
    for job in 0..7 {
        machine.mint(grant(Kind::Project, 60, &job.to_string())).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = machine.broker.leases(&Filter::default(), after, 3);
        seen.extend(page.leases.iter().map(|lease| (lease.created, lease.id)));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|one, two| one > two));
    let none = Filter { user: Some("bob".to_owned()), ..Filter::default() };
    assert_eq!(machine.broker.leases(&none, None, 3).leases.len(), 0);
    finish(&machine).await;
    // And in the end they are forgotten.
    machine.watch.sleep(31 * 24 * HOUR);
    machine.pass(HOUR + 20).await;
    assert_eq!((machine.phases().len(), machine.store.leases().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn impersonation_is_of_people_who_may_be_impersonated() {
    let table = [
        (Some((true, false, false)), true),
        (Some((true, true, false)), false),
        (Some((false, false, false)), false),
        (Some((true, false, true)), false),
        (None, false),
    ];
    for (user, allowed) in table {
        let machine = Machine::new().await;
        if let Some(user) = user {
            machine.world.user(42, user);
        }
        let result = machine.mint(grant(Kind::Impersonation, 60, "one")).await;
        assert_eq!(result.is_ok(), allowed, "{user:?}");
        if let Err(refused) = result {
            assert_eq!((refused.code(), machine.world.calls("mint")), (Code::TargetRefused, 0));
            // Nothing was written, and the ID token is as good as before.
            assert_eq!(machine.store.leases().len(), 0);
            machine.world.user(42, (true, false, false));
            machine.mint(grant(Kind::Impersonation, 60, "one")).await.unwrap();
        }
        finish(&machine).await;
    }
}

/// The role's tokens are left to GitLab, which ends them at midnight, and may be a while behind: nobody is called at night for that.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_left_to_gitlab_is_late_when_gitlab_should_have_ended_it() {
    for can_replace_itself in [false, true] {
        let machine = Machine::new().await;
        let lent = grant_of(Kind::Project, 24 * HOUR, "one", |draft| {
            draft.revocation = Some(Revocation::Gitlab);
            draft.scopes = Some(vec![if can_replace_itself { "api" } else { "read_api" }.to_owned()]);
        });
        let handed = machine.mint(lent).await.unwrap();
        machine.watch.sleep(handed.lease.deadline.since(machine.watch.true_time()).as_secs() - 60);
        machine.world.set_down(Some(Fault::Lost));
        // From a minute before midnight to a minute before the allowance ends.
        for _ in 0..60 {
            assert_eq!(machine.broker.reading().oldest_overdue, Duration::ZERO);
            assert_eq!((machine.phases(), machine.late()), (vec!["active"], 0));
            machine.pass(60).await;
        }
        if !can_replace_itself {
            // It is there again, and says what time it is.
            machine.world.heal();
            machine.pass(90).await;
            assert_eq!((machine.phases(), machine.late()), (vec!["expired"], 0));
            continue;
        }
        machine.pass(90).await;
        // Its successor would live on, and GitLab cannot be asked for one.
        assert_eq!((machine.phases(), machine.late()), (vec!["revoking"], 0));
        machine.pass(960).await;
        assert_eq!((machine.phases(), machine.late()), (vec!["stuck"], 1));
        machine.world.heal();
        finish(&machine).await;
    }
}

/// Calls that were under way when a target went down are one outage, and not one each.
#[tokio::test(start_paused = true)]
async fn a_short_outage_delays_revocations_by_little_however_many_were_under_way() {
    let machine = Machine::allowed(64).await;
    for job in 0..64 {
        let many = |draft: &mut crate::broker::Draft| draft.max_active = Some(100);
        machine.mint(grant_of(Kind::Project, 60, &job.to_string(), many)).await.unwrap();
    }
    machine.pass(55).await;
    machine.world.set_down(Some(Fault::Lost));
    machine.world.set_slow(Duration::from_secs(2));
    machine.pass(8).await;
    assert_eq!((machine.world.live().len(), machine.world.most_at_once()), (64, 64));
    machine.world.heal();
    machine.world.set_slow(Duration::from_millis(3));
    machine.pass(12).await;
    assert_eq!(machine.world.live(), [] as [u64; 0]);
    finish(&machine).await;
}
