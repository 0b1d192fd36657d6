//! Ten kinds × (mint, use, revoke early, revoke at the deadline, crash before and after each step, reconcile), from a job's request to GitLab's
//! answer: the whole server, its store on disk, its client, over HTTP. The same with a crash at every write is in `leasing`, where a store and
//! a GitLab in memory can be stopped anywhere; here it is what a real call can be caught at.

mod given;
mod machine;

use crate::gitlab::routes;
use crate::support::gitlab::{Fault, Gate};
use countersign::broker::Kind;
use given::Given;
use machine::{Machine, all};
use std::collections::BTreeSet;

/// All of them open what they are for, or none does.
async fn all_open(machine: &Machine, given: &[Given], expected: bool) {
    for one in given {
        assert_eq!(machine.opens(one).await, expected, "{one:?}");
    }
}

/// How often tokens were looked for by their name.
fn looks(machine: &Machine) -> usize {
    let routes: BTreeSet<_> = Kind::ALL.iter().map(|kind| routes(*kind)[1].clone()).collect();
    routes.iter().map(|route| machine.gitlab.asked(route)).sum()
}

/// Weakness 7 of gitlab-jwt-2-pat: it knows one kind.
#[tokio::test(flavor = "multi_thread")]
async fn weakness_7_every_kind_is_given_used_and_ended() {
    let mut machine = Machine::start().await;
    let (by_token, by_lease, by_time) =
        (machine.all_given().await, machine.all_given().await, machine.all_given().await);
    all_open(&machine, &by_token, true).await;
    let names = machine.live();
    assert_eq!(names.len(), 30, "{names:?}");
    assert!(by_token.iter().all(|given| names.iter().any(|name| name.ends_with(&given.lease))));
    // The job's user is who is acted as, and nobody else.
    let acted = machine.gitlab.live_tokens().into_iter().filter(|live| live.table == "impersonation");
    assert!(acted.map(|live| live.user_id).all(|user| user == machine.alice));
    for given in &by_token {
        machine.end_token(given).await;
    }
    machine.until("ended by their tokens", || machine.live().len() == 20).await;
    all_open(&machine, &by_token, false).await;
    for given in &by_lease {
        machine.end_lease(given).await;
    }
    machine.until("ended by their leases", || machine.live().len() == 10).await;
    all_open(&machine, &by_lease, false).await;
    machine.pass(298).await;
    all_open(&machine, &by_time, true).await;
    machine.pass(3).await;
    machine.until_dead().await;
    all_open(&machine, &by_time, false).await;
    assert_eq!(machine.settled().await, all(&["revoked"; 3]));
    machine.finish(&[by_token, by_lease, by_time].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_leaves_no_token_and_no_second_call_makes_one() {
    let mut machine = Machine::start().await;
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::Truncated] {
        for kind in Kind::ALL {
            let [make, ..] = routes(*kind);
            let before = machine.gitlab.asked(&make);
            machine.gitlab.faults().script(&make, [fault.clone()]);
            let answer = machine.ask(*kind, &machine.id_token()).await.expect("an answer");
            assert_eq!(answer.status, 503, "{kind} {fault:?}: {}", answer.text());
            assert_eq!(machine.gitlab.asked(&make), before + 1, "{kind} {fault:?}");
        }
    }
    machine.until_dead().await;
    assert_eq!(machine.settled().await, all(&["aborted", "revoked", "revoked"]));
    let mut given = Vec::new();
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::StatusAfter(502)] {
        for kind in Kind::ALL {
            let [.., end] = routes(*kind);
            let one = machine.given(*kind).await;
            let before = machine.gitlab.asked(&end);
            machine.gitlab.faults().script(&end, [fault.clone()]);
            machine.end_token(&one).await;
            machine.until("GitLab is asked", || machine.gitlab.asked(&end) > before).await;
            given.push(one);
        }
    }
    machine.pass(2).await;
    machine.until_dead().await;
    assert_eq!(machine.settled().await, all(&["revoked"; 3]));
    machine.finish(&given).await;
}

/// Defect 10 of the Vault plugin, and weakness 1 of gitlab-jwt-2-pat, at the moments which a GitLab can see.
#[tokio::test(flavor = "multi_thread")]
async fn defect_10_a_crash_while_a_token_is_made_leaves_none_without_a_lease() {
    let mut machine = Machine::start().await;
    // While the path is looked up: nothing has been written, and the ID token is as good as before.
    let gate = Gate::closed();
    for (route, kinds) in
        [("GET /users/{user_id}", 1), ("GET /users", 2), ("GET /groups/{id}", 3), ("GET /projects/{id}", 4)]
    {
        machine.gitlab.faults().script(route, vec![Fault::HeldBefore(gate.clone()); kinds]);
    }
    let tokens = machine.crash_at(&gate).await;
    gate.open();
    machine.restart().await;
    assert_eq!((machine.leases().await.len(), machine.live()), (0, vec![]));
    let mut known = Vec::new();
    for (kind, token) in &tokens {
        known.push(machine.given_for(*kind, token).await);
    }

    // GitLab has been asked, and never does it.
    let gate = machine.hold(0, Fault::HeldBefore);
    machine.crash_at(&gate).await;
    machine.restart().await;
    assert_eq!((machine.phases().await, machine.live().len()), (vec!["active".into(), "intent".into()], 10));
    // The others are overdue by then.
    assert_eq!(machine.settled().await, all(&["aborted", "revoked"]));

    // It does it when it has been looked for already.
    let gate = machine.hold(0, Fault::HeldBefore);
    let before = looks(&machine);
    machine.crash_at(&gate).await;
    machine.restart().await;
    machine.until("each is looked for", || looks(&machine) >= before + 10).await;
    gate.open();
    machine.until("made too late", || machine.live().len() == 10).await;
    assert_eq!(machine.settled().await, all(&["revoked"]));

    // It has done it, and its answer is on the way.
    let gate = machine.hold(0, Fault::HeldAfter);
    machine.crash_at(&gate).await;
    assert_eq!(machine.live().len(), 10);
    machine.restart().await;
    machine.until_dead().await;
    assert_eq!(machine.settled().await, all(&["revoked"]));
    machine.finish(&known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weakness_1_a_token_that_was_given_before_a_crash_ends_as_it_would_have() {
    let mut machine = Machine::start().await;
    // By whoever has it.
    let early = machine.all_given().await;
    machine.restart().await;
    all_open(&machine, &early, true).await;
    for given in &early {
        machine.end_token(given).await;
    }
    machine.until_dead().await;
    // At its deadline.
    let late = machine.all_given().await;
    machine.restart().await;
    machine.pass(298).await;
    all_open(&machine, &late, true).await;
    machine.pass(3).await;
    machine.until_dead().await;
    // At the start, where the deadline has passed by then.
    let overdue = machine.all_given().await;
    machine.crash().await;
    machine.sleep(400);
    all_open(&machine, &overdue, true).await;
    machine.restart().await;
    machine.until_dead().await;
    all_open(&machine, &overdue, false).await;
    assert_eq!(machine.settled().await, all(&["revoked"; 3]));
    machine.finish(&[early, late, overdue].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weakness_1_a_crash_while_a_token_is_ended_ends_it_at_the_next_start() {
    let mut machine = Machine::start().await;
    let mut known = Vec::new();
    for early in [true, false] {
        for (held, live) in [(Fault::HeldBefore as fn(Gate) -> Fault, 10), (Fault::HeldAfter, 0)] {
            let given = machine.all_given().await;
            let gate = machine.hold(2, held);
            if early {
                for one in &given {
                    machine.end_token(one).await;
                }
            } else {
                machine.pass(301).await;
            }
            gate.reached(10).await;
            machine.crash().await;
            assert_eq!(machine.live().len(), live);
            machine.restart().await;
            machine.until_dead().await;
            // What the first call was at is done a second time, or too late: nobody minds.
            gate.open();
            all_open(&machine, &given, false).await;
            assert_eq!(machine.settled().await, all(&["revoked"]));
            known.extend(given);
        }
    }
    machine.finish(&known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_token_is_looked_for_is_made_up_for_by_the_next_start() {
    let mut machine = Machine::start().await;
    let made = machine.hold(0, Fault::HeldAfter);
    machine.crash_at(&made).await;
    // Found; about to be ended; ended. Each time nobody hears the answer.
    for (route, held, live) in
        [(1, Fault::HeldAfter as fn(Gate) -> Fault, 10), (2, Fault::HeldBefore, 10), (2, Fault::HeldAfter, 0)]
    {
        let gate = machine.hold(route, held);
        machine.restart().await;
        gate.reached(10).await;
        machine.crash().await;
        assert_eq!(machine.live().len(), live);
    }
    machine.restart().await;
    assert_eq!(machine.settled().await, all(&["revoked"]));
    let posts: usize = machine
        .gitlab
        .calls()
        .iter()
        .filter(|call| call.route.starts_with("POST") && !call.uri.contains("/triggers"))
        .count();
    assert_eq!(posts, 9, "no token is asked for twice");
    machine.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_up_what_gitlab_does_not_end() {
    let mut machine = Machine::start().await;
    let given = machine.given(Kind::Project).await;
    for (seconds, phase) in [(301, "revoking"), (601, "stuck")] {
        assert_eq!(machine.abandon(&given).await.status, 400);
        let route = &routes(Kind::Project)[2];
        machine.gitlab.faults().script(route, [Fault::Status(500, "no")]);
        machine.pass(seconds).await;
        for _ in 0..2000 {
            if machine.phases().await == [phase] {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(machine.phases().await, [phase]);
    }
    let answer = machine.abandon(&given).await;
    let lease = answer.json()["lease"].clone();
    assert_eq!((answer.status.as_u16(), &lease["phase"]), (200, &"abandoned".into()), "{lease}");
    assert!(
        lease["minted"]["id"].is_u64() && lease["why"].as_str().is_some_and(|why| why.contains("500")),
        "{lease}"
    );
    assert_eq!(machine.live().len(), 1, "nobody ends it any more");
    machine.gitlab.revoke(&given.token);
    assert_eq!(machine.settled().await, ["project abandoned"]);
    machine.finish(&[given]).await;
}
