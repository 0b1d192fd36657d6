//! What earlier main credentials leave behind: nothing of it is forgotten, and nothing of it hinders the next rotation.

use super::rotation::{due, rotation};
use crate::broker::{Kind, expiry_after};
use crate::leasing::Method;
use crate::leasing::testing::{Fault, Machine, World, finish, grant};
use std::time::Duration;

const DAY: u64 = 24 * 3600;
/// GitLab says no to an end, again and again.
const NO: [Option<Fault>; 99] = [Some(Fault::Refused(403)); 99];

/// A second credential was made, and no reply told of it; meanwhile another user's, which ends soon as well, stands in the file.
async fn another_users() -> Machine {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, |world| {
        due(true)(world);
        world.script("make-credential", [Some(Fault::LostAfter)]);
    })
    .await;
    machine.pass(1).await;
    assert_eq!(machine.world.seconds(), 1);
    machine.world.give_weak("glpat-weak");
    due(true)(&machine.world);
    machine.restart_configured("c1", "glpat-weak").await
}

fn tells_of_a_lost_one(machine: &Machine) -> bool {
    let problems = machine.broker.problems();
    problems.iter().any(|line| {
        line.contains("a credential countersign-default-") && line.contains(" of user 1 may have been made")
    })
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_may_have_been_made_hinders_no_other_users() {
    let machine = another_users().await;
    machine.pass(5).await;
    assert_ne!(machine.client.text(), "glpat-weak", "it was due, and has replaced itself");
    assert!(tells_of_a_lost_one(&machine), "{:?}", machine.broker.problems());
    assert_eq!((machine.world.calls("find-credential"), machine.world.seconds()), (0, 1));
    machine.broker.rotate("default").await.unwrap();
    machine.pass(7200).await;
    assert!(tells_of_a_lost_one(&machine));
    assert_eq!(machine.events("config-rotate-failed"), 1, "said once");
    // An administrator's may see it, and looks for as long as it may still appear.
    machine.world.give("glpat-admin");
    let machine = machine.restart_configured("c2", "glpat-admin").await;
    machine.pass(5).await;
    assert_eq!(machine.world.seconds(), 0);
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    machine.pass(1300).await;
    let looks = machine.world.calls("find-credential");
    machine.pass(7200).await;
    assert_eq!(machine.world.calls("find-credential"), looks, "it is settled");
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn no_crash_forgets_a_credential_that_may_have_been_made() {
    for steps in 0.. {
        let machine = another_users().await;
        machine.fuse.burn_after(steps);
        machine.pass(30).await;
        let crashed = machine.fuse.is_out();
        let machine = machine.restart().await;
        machine.world.give("glpat-admin");
        let machine = machine.restart_configured("c2", "glpat-admin").await;
        machine.fuse.burn_after(steps);
        machine.pass(30).await;
        let crashed = crashed || machine.fuse.is_out();
        let machine = machine.restart_configured("c2", "glpat-admin").await;
        machine.pass(1300).await;
        assert_eq!(machine.world.seconds(), 0, "{steps}");
        // One that replaced itself in the moment of the crash lives on, and is told of.
        let problems = machine.broker.problems();
        assert!(
            problems.iter().all(|line| line.contains("may have replaced itself")),
            "{steps} {problems:?}"
        );
        if !crashed {
            assert!(steps > 15, "{steps}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_may_have_been_made_is_told_of_until_its_own_end() {
    let machine = another_users().await;
    machine.world.set_end(None);
    for (days, tells) in [(20, true), (12, false)] {
        machine.watch.sleep(days * DAY);
        machine.pass(3700).await;
        assert_eq!(tells_of_a_lost_one(&machine), tells, "{days}");
    }
}

/// Whoever is told that nothing was replaced orders it again.
#[tokio::test(start_paused = true)]
async fn a_credential_that_was_replaced_is_said_to_be_whatever_becomes_of_the_old_one() {
    let faults: [fn(&World); 4] = [
        |world| world.script("revoke-credential", [Some(Fault::Refused(403))]),
        |world| world.script("revoke-credential", [Some(Fault::Lost)]),
        |world| world.script("revoke-credential", [Some(Fault::NotDone(None))]),
        // The credential in use, and the new one, and then no more.
        |world| world.script("self", [None, None, Some(Fault::Lost)]),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, |_| {}).await;
        machine.pass(1).await;
        fault(&machine.world);
        let rotated = machine.broker.rotate("default").await.unwrap();
        let credentials = machine.world.credentials();
        let (new, text) = credentials.last().unwrap();
        assert_eq!((rotated.id, &machine.client.text()), (*new, text), "{number}");
        assert!(rotated.expires.is_some());
        if number < 3 {
            assert_eq!(machine.broker.reading().targets[0].to_revoke, [1], "{number}");
            assert!(
                machine.broker.problems()[0].starts_with("credential 1 of target default is to be revoked")
            );
        }
        machine.pass(3700).await;
        assert_eq!((machine.world.credentials().len(), machine.broker.problems()), (1, vec![]), "{number}");
        assert_eq!(machine.world.calls("make-credential"), 1, "{number}");
    }
}

/// What was begun before is what the order wants: it is not done twice.
#[tokio::test(start_paused = true)]
async fn an_order_that_finds_a_rotation_half_done_ends_it() {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, |_| {}).await;
    machine.pass(1).await;
    // The new one cannot be tried, neither now nor when the broker itself tries again at once; then it can, and nothing is asked after that.
    let lost = Some(Fault::Lost);
    machine.world.script("self", [None, lost, lost, lost, None, lost]);
    machine.broker.rotate("default").await.unwrap_err();
    let rotated = machine.broker.rotate("default").await.unwrap();
    assert_eq!(machine.world.calls("make-credential"), 1);
    assert_eq!(machine.world.credentials(), [(rotated.id, machine.client.text())]);
}

#[tokio::test(start_paused = true)]
async fn a_configured_credential_that_gitlab_does_not_end_is_told_of_until_it_is() {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, due(true)).await;
    machine.world.script("revoke-credential", NO);
    machine.pass(5).await;
    // Neither time nor a restart makes it go away.
    machine.pass(3 * 3600).await;
    let machine = machine.restart().await;
    machine.pass(5).await;
    assert_eq!(machine.broker.reading().targets[0].to_revoke, [1]);
    assert!(machine.broker.problems().iter().any(|line| line.contains("credential 1 of target default")));
    machine.world.heal();
    machine.pass(3700).await;
    assert_eq!((machine.world.credentials().len(), machine.broker.problems()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn it_is_told_of_no_longer_than_it_lives_or_for_a_year() {
    for (end, days) in [(Some(2), [1, 2]), (None, [360, 7])] {
        let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, |_| {}).await;
        let end = end.map(|days| expiry_after(machine.watch.true_time(), Duration::from_secs(days * DAY)));
        machine.world.set_end(end);
        machine.world.script("revoke-credential", NO);
        machine.pass(1).await;
        if end.is_none() {
            machine.broker.rotate("default").await.unwrap();
        }
        machine.pass(1).await;
        assert_eq!(machine.broker.reading().targets[0].to_revoke, [1]);
        // The new one lives on meanwhile.
        machine.world.set_end(None);
        machine.watch.sleep(days[0] * DAY);
        machine.pass(3700).await;
        assert_eq!(machine.broker.reading().targets[0].to_revoke, [1]);
        machine.watch.sleep(days[1] * DAY);
        machine.pass(3700).await;
        assert_eq!(machine.broker.problems(), [] as [String; 0], "{end:?}");
        assert_eq!(machine.events("config-rotate-failed"), 2, "told of, and let go");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_was_told_of_it_and_orders_a_rotation_has_seen_to_it() {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, due(true)).await;
    machine.world.script("revoke-credential", NO);
    machine.pass(5).await;
    let first = machine.broker.reading().targets[0].credential.unwrap();
    // One whose order fails has seen to nothing.
    machine.world.script("make-credential", [Some(Fault::Refused(403))]);
    machine.broker.rotate("default").await.unwrap_err();
    assert_eq!(machine.broker.reading().targets[0].to_revoke, [1]);
    machine.broker.rotate("default").await.unwrap();
    // The text of the next one is here: it stays until it says itself that it is dead.
    assert_eq!(machine.broker.reading().targets[0].to_revoke, [first]);
    machine.broker.rotate("default").await.unwrap();
    assert!(machine.broker.reading().targets[0].to_revoke.contains(&first));
}

#[tokio::test(start_paused = true)]
async fn what_hinders_a_rotation_and_what_the_credential_says_are_told_side_by_side() {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, |world| {
        due(true)(world);
        world.script("make-credential", NO);
    })
    .await;
    machine.pass(5).await;
    let told = |part: &str| machine.broker.problems().iter().any(|line| line.contains(part));
    assert!(told("is not replaced: refused with 403"), "{:?}", machine.broker.problems());
    assert!(!told("not accepted"));
    machine.world.script("self", [Some(Fault::Credential(401))]);
    machine.pass(11).await;
    assert!(
        told("is not replaced: refused with 403") && told("not accepted"),
        "{:?}",
        machine.broker.problems()
    );
    machine.world.heal();
    machine.pass(400).await;
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    assert_ne!(machine.client.text(), "glpat-main");
}

/// A credential has replaced itself, the reply was lost, and its user has put another one of the same name into the file.
async fn successor() -> (Machine, u64, String) {
    let machine = Machine::rotating(rotation(Method::Itself), i64::MAX, |world| {
        due(false)(world);
        world.script("rotate-credential", [Some(Fault::LostAfter)]);
    })
    .await;
    machine.pass(60).await;
    let (id, text) = machine.world.credentials().remove(0);
    assert!(machine.broker.problems().iter().any(|line| line.contains("configure a new one")));
    machine.world.give("glpat-new");
    (machine.restart_configured("c1", "glpat-new").await, id, text)
}

#[tokio::test(start_paused = true)]
async fn a_successor_whose_reply_was_lost_is_told_of_until_it_is_dead() {
    let (machine, id, text) = successor().await;
    let told = format!(
        "credential 1 of user 1, main, may have replaced itself by another one, which is to be revoked: by hand, since others may have its name: {id}"
    );
    let tells = |machine: &Machine| machine.broker.problems().iter().any(|line| line.contains(&told));
    machine.pass(7200).await;
    assert!(tells(&machine), "{:?}", machine.broker.problems());
    assert_eq!(machine.events("config-rotate-failed"), 1, "said once");
    // What has the same name is another's as well: nothing of that is revoked, and a rotation is not held up.
    assert_eq!(machine.world.credentials().len(), 2);
    machine.broker.rotate("default").await.unwrap();
    let machine = machine.restart_configured("c1", "glpat-new").await;
    machine.pass(5).await;
    assert!(tells(&machine), "{:?}", machine.broker.problems());
    machine.world.end_by_hand(&text);
    machine.pass(5000).await;
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    let looks = machine.world.calls("find-credential");
    machine.pass(7200).await;
    assert_eq!(machine.world.calls("find-credential"), looks, "it is settled");
}

/// Its end is known: that GitLab was asked for.
#[tokio::test(start_paused = true)]
async fn a_successor_whose_reply_was_lost_is_told_of_no_longer_than_it_lives() {
    let (machine, ..) = successor().await;
    for (days, problems) in [(20, 1), (12, 0)] {
        machine.watch.sleep(days * DAY);
        machine.pass(3700).await;
        assert_eq!(machine.broker.problems().len(), problems, "{:?}", machine.broker.problems());
    }
}
