//! How many, how often, how soon again.

use crate::broker::{Code, Draft, Grant, Kind};
use crate::leasing::memory::MemoryLeases;
use crate::leasing::testing::{Fault, Machine, finish, grant, grant_of};

const HOUR: u64 = 3600;

#[tokio::test(start_paused = true)]
async fn a_role_has_so_many_live_tokens_and_no_more() {
    let machine = Machine::new().await;
    let few = |jti: &str| grant_of(Kind::Project, 300, jti, |draft| draft.max_active = Some(3));
    let minted = futures(&machine, 8, few).await;
    assert_eq!(minted.iter().filter(|code| code.is_none()).count(), 3);
    assert!(minted.iter().flatten().all(|code| *code == Code::LimitReached));
    let machine = machine.restart().await;
    assert_eq!(machine.mint(few("x")).await.unwrap_err().code(), Code::LimitReached);
    // Another role is not concerned, and those who failed have taken no place.
    machine.mint(grant(Kind::Group, 60, "x")).await.unwrap();
    machine.pass(310).await;
    machine.mint(few("x")).await.unwrap();
    finish(&machine).await;
}

/// One project of a group must not take the places of all others.
#[tokio::test(start_paused = true)]
async fn a_project_has_so_many_of_a_roles_tokens_and_leaves_the_others_theirs() {
    let machine = Machine::new().await;
    let of = |project: &str, jti: &str| {
        let project = project.to_owned();
        let few = |draft: &mut Draft| {
            draft.max_active = Some(3);
            draft.max_active_per_project = Some(Some(2));
        };
        grant_of(Kind::Project, 300, jti, few).of_project(&project)
    };
    machine.mint(of("7", "1")).await.unwrap();
    machine.mint(of("7", "2")).await.unwrap();
    let refused = machine.mint(of("7", "3")).await.unwrap_err();
    assert_eq!((refused.code(), refused.wait().is_some()), (Code::LimitReached, true));
    assert!(refused.record().contains("the project has 2"), "{}", refused.record());
    // A start counts as a running broker does.
    let machine = machine.restart().await;
    assert_eq!(machine.mint(of("7", "3")).await.unwrap_err().code(), Code::LimitReached);
    machine.mint(of("8", "4")).await.unwrap();
    let refused = machine.mint(of("8", "5")).await.unwrap_err();
    assert!(refused.record().contains("the role has 3"), "{}", refused.record());
    machine.pass(302).await;
    machine.mint(of("7", "3")).await.unwrap();
    finish(&machine).await;
}

async fn futures(machine: &Machine, count: usize, grant: impl Fn(&str) -> Grant) -> Vec<Option<Code>> {
    let mut tasks = tokio::task::JoinSet::new();
    for job in 0..count {
        let (inner, grant) = (machine.broker.inner.clone(), grant(&format!("job {job}")));
        let attempt = crate::leasing::attempt::Attempt::of(
            &Default::default(),
            &Default::default(),
            Default::default(),
        );
        tasks.spawn(async move { inner.make(grant, attempt).await.err().map(|refused| refused.code()) });
    }
    tasks.join_all().await
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_at_once_than_the_target_may_have() {
    let machine = Machine::new().await;
    let many = |jti: &str| grant_of(Kind::Project, 60, jti, |draft| draft.max_active = Some(100));
    assert_eq!(futures(&machine, 60, many).await, [None; 60]);
    finish(&machine).await;
    assert_eq!(machine.world.most_at_once(), 4);
    assert_eq!(machine.phases(), ["revoked"; 60]);
    assert!(machine.store.writes() < 200, "{} groups for 180 changes and more", machine.store.writes());
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_again_only_where_nothing_was_done_and_the_caller_still_waits() {
    let table = [
        (vec![Some(Fault::NotDone(Some(2))), Some(Fault::NotDone(None))], true, 3),
        (vec![Some(Fault::NotDone(Some(60)))], false, 1),
        (vec![Some(Fault::Lost)], false, 1),
        (vec![Some(Fault::Refused(403))], false, 1),
        (vec![Some(Fault::Credential(401))], false, 1),
        (vec![Some(Fault::NotDone(None)), Some(Fault::LostAfter)], false, 2),
    ];
    for (faults, allowed, posts) in table {
        let machine = Machine::new().await;
        machine.world.script("mint", faults.clone());
        let began = machine.watch.true_time();
        let result = machine.mint(grant(Kind::Project, 60, "one")).await;
        assert_eq!((result.is_ok(), machine.world.calls("mint")), (allowed, posts), "{faults:?}");
        assert!(machine.watch.true_time().since(began).as_secs() < 11);
        if faults == [Some(Fault::NotDone(Some(60)))] {
            assert_eq!(result.unwrap_err().wait().unwrap().as_secs(), 60, "GitLab's wait is handed on");
        }
        machine.world.heal();
        finish(&machine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_gitlab_asks_for_is_kept() {
    let machine = Machine::new().await;
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    machine.world.script("revoke", [Some(Fault::NotDone(Some(50)))]);
    machine.pass(108).await;
    assert_eq!((machine.world.calls("revoke"), machine.phases()), (1, vec!["revoking"]));
    machine.pass(10).await;
    assert_eq!((machine.world.calls("revoke"), machine.phases()), (2, vec!["revoked"]));
}

/// A living token is worse than one more 429: of what GitLab asks for no more than a minute is heeded where a token is to die, while no
/// token is made before GitLab wants it.
#[tokio::test(start_paused = true)]
async fn an_hour_that_gitlab_asks_for_holds_new_tokens_and_no_revocation() {
    let machine = Machine::new().await;
    let one = machine.mint(grant(Kind::Project, 300, "one")).await.unwrap();
    let two = machine.mint(grant(Kind::Project, 200, "two")).await.unwrap();
    machine.world.script("revoke", [Some(Fault::NotDone(Some(3600)))]);
    machine.broker.revoke_token(one.token.expose()).await.unwrap();
    machine.pass(58).await;
    assert_eq!((machine.world.calls("revoke"), machine.world.live().len()), (1, 2), "a minute is heeded");
    machine.pass(4).await;
    assert!(!machine.world.accepts(one.token.expose()));
    machine.pass(140).await;
    assert!(!machine.world.accepts(two.token.expose()), "at its deadline");
    assert_eq!(machine.world.calls("revoke"), 3);
    // Nothing new meanwhile, without a call, and the caller is told how long.
    let refused = machine.mint(grant(Kind::Project, 60, "three")).await.unwrap_err();
    let wait = refused.wait().unwrap().as_secs();
    assert_eq!(refused.code(), Code::GitlabUnavailable);
    assert!((3390..3400).contains(&wait), "{wait}");
    assert!(machine.broker.problems().iter().any(|line| line.contains("left alone")));
    machine.pass(wait + 1).await;
    machine.mint(grant(Kind::Project, 60, "three")).await.unwrap();
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    // What GitLab says to a caller holds no revocation either.
    machine.world.script("mint", [Some(Fault::NotDone(Some(3600)))]);
    machine.mint(grant(Kind::Project, 60, "four")).await.unwrap_err();
    machine.pass(62).await;
    assert_eq!(machine.world.live(), [] as [u64; 0]);
    finish(&machine).await;
}

/// While a target is down it is asked by one, now and then, however many tokens wait for it; and callers are told at once.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_left_alone_and_taken_up_again() {
    let machine = Machine::new().await;
    let many = |jti: &str| grant_of(Kind::Project, 60, jti, |draft| draft.max_active = Some(100));
    futures(&machine, 50, many).await;
    machine.world.set_down(Some(Fault::Lost));
    machine.pass(200).await;
    machine.world.count_anew();
    machine.pass(HOUR - 200).await;
    assert_eq!(machine.world.most_at_once(), 1);
    let calls = machine.world.calls("revoke") + machine.world.calls("metadata");
    assert!((10..150).contains(&calls), "{calls} calls in an hour for fifty tokens");
    assert_eq!(machine.events("target-down"), 1);
    let refused = machine.mint(many("late")).await.unwrap_err();
    assert_eq!((refused.code(), refused.wait().is_some()), (Code::GitlabUnavailable, true));
    assert_eq!(machine.world.calls("mint"), 50);
    machine.world.heal();
    machine.pass(900).await;
    assert_eq!((machine.world.live(), machine.events("target-up")), (vec![], 1));
    finish(&machine).await;
}

/// Ten thousand leases are taken up at a start, and revoked in their order. How long that takes is for the benchmark; here it shows that it
/// is not quadratic: this test would take minutes.
#[tokio::test(start_paused = true)]
async fn ten_thousand_leases_are_taken_up_and_end() {
    let machine = Machine::new().await;
    let handed = machine.mint(grant(Kind::PipelineTrigger, 300, "one")).await.unwrap();
    let holder = crate::leasing::ports::Holder {
        kind: Kind::PipelineTrigger,
        path: "acme/app".to_owned(),
        owner: vec![7],
    };
    let mut changes = Vec::new();
    for number in 0..10_000_u64 {
        let id = machine.world.foreign(&holder, "x");
        let random = crate::leasing::testing::Seeded::new(1 << 40 | number << 8);
        let minted = crate::broker::Minted { id, sha256: None, expires: None };
        let deadline = handed.lease.created.plus(std::time::Duration::from_millis(number));
        let phase = crate::broker::Phase::Active { minted };
        let id = crate::broker::LeaseId::random(&random);
        let lease = crate::broker::Lease { id, deadline, phase, ..(*handed.lease).clone() };
        changes.push(crate::leasing::ports::Change::Lease(Box::new(lease)));
    }
    let mut store = MemoryLeases::default();
    crate::leasing::ports::LeaseStore::write(&mut store, &changes).unwrap();
    machine.fuse.blow();
    machine.broker.revoke_token(handed.token.expose()).await.ok();
    let again = Machine::start(&machine.watch, &machine.world, store, i64::MAX, 9, None).await.unwrap();
    assert_eq!(again.broker.reading().leases.get("active"), Some(&10_000));
    again.pass(60).await;
    assert_eq!(again.broker.reading().leases.get("revoked"), Some(&10_000));
    assert!(again.store.leases().iter().all(|lease| lease.phase.is_over()));
}
