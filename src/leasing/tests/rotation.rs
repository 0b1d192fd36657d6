//! The main credential is replaced, and no crash locks anybody out.

use crate::broker::{Code, Draft, Kind, expiry_after};
use crate::leasing::memory::Fault as StoreFault;
use crate::leasing::testing::{Fault, Machine, World, finish, grant, grant_of};
use crate::leasing::{Method, Rotation};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) const fn rotation(method: Method) -> Rotation {
    Rotation {
        before: Duration::from_secs(3 * 24 * 3600),
        lifetime: Duration::from_secs(30 * 24 * 3600),
        method,
    }
}

/// Ends in two days, so that it is due.
pub(super) fn due(is_admin: bool) -> impl FnOnce(&World) {
    move |world| {
        world.set_admin(is_admin);
        world.set_end(Some(expiry_after(crate::environment::UnixMillis(1_782_691_200_000), 2 * DAY)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_ends_soon_is_replaced_by_itself_or_by_a_second_one() {
    for (is_admin, makes, rotates) in [(true, 1, 0), (false, 0, 1)] {
        let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, due(is_admin)).await;
        machine.pass(5).await;
        let credentials = machine.world.credentials();
        assert_eq!(credentials.len(), 1, "the old one is dead");
        assert_ne!(credentials[0].1, "glpat-main");
        assert_eq!(machine.client.text(), credentials[0].1);
        assert_eq!(
            (machine.world.calls("make-credential"), machine.world.calls("rotate-credential")),
            (makes, rotates)
        );
        assert_eq!(machine.told.events.lock().unwrap()[0], ("config-rotate", "default".to_owned()));
        let left = machine.broker.reading().targets[0].credential_left.unwrap();
        assert!(left > 29 * DAY && machine.broker.problems().is_empty());
        // The configured one is dead; the store has the new one, and nobody can read it there.
        let machine = machine.restart().await;
        machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
        finish(&machine).await;
        assert_eq!(machine.world.credentials(), credentials, "once");
    }
}

/// Defect 5 of the Vault plugin: a crash at the wrong moment locked it out. By a second credential there is no such moment.
#[tokio::test(start_paused = true)]
async fn defect_5_a_crash_at_any_step_of_a_second_credential_locks_nobody_out() {
    let mut steps = 0;
    loop {
        let machine = Machine::rotating(rotation(Method::Auto), steps, due(true)).await;
        machine.pass(5).await;
        let crashed = machine.fuse.is_out();
        assert!(!machine.world.credentials().is_empty());
        let machine = machine.restart().await;
        machine.pass(1300).await;
        let credentials = machine.world.credentials();
        assert_eq!(credentials.len(), 1, "{steps}: losers are found and revoked, {credentials:?}");
        assert_ne!(credentials[0].1, "glpat-main");
        assert_eq!(machine.client.text(), credentials[0].1);
        machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
        assert_eq!(machine.broker.problems(), [] as [String; 0], "{steps}");
        finish(&machine).await;
        if !crashed {
            break;
        }
        steps += 1;
    }
    assert!(steps > 15, "{steps}");
}

/// Of a credential that replaces itself there is one such moment, which GitLab gives and nobody can take: then it is known, and not made worse.
#[tokio::test(start_paused = true)]
async fn defect_5_a_credential_that_replaces_itself_is_never_asked_twice() {
    let (mut steps, mut lost) = (0, 0);
    loop {
        let machine = Machine::rotating(rotation(Method::Auto), steps, due(false)).await;
        machine.pass(5).await;
        let crashed = machine.fuse.is_out();
        let machine = machine.restart().await;
        machine.pass(1300).await;
        assert!(!machine.world.saw_reuse(), "{steps}");
        let known = machine.world.credentials().iter().any(|(_, text)| *text == machine.client.text());
        if known {
            machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
            finish(&machine).await;
        } else {
            lost += 1;
            assert_eq!(machine.world.calls("rotate-credential"), 1, "{steps}");
            let problems = machine.broker.problems();
            assert!(problems.iter().any(|line| line.contains("configure a new one")), "{problems:?}");
        }
        if !crashed {
            break;
        }
        steps += 1;
    }
    assert!(steps > 8 && (1..=3).contains(&lost), "{steps} {lost}");
}

#[tokio::test(start_paused = true)]
async fn defect_5_a_lost_reply_is_found_out_by_asking() {
    for fault in [Fault::Lost, Fault::LostAfter, Fault::Late(300)] {
        // A second credential: what was made is found by its name, and another one is made.
        let machine = Machine::rotating(rotation(Method::Create), i64::MAX, |world| {
            due(true)(world);
            world.script("make-credential", [Some(fault)]);
        })
        .await;
        machine.pass(1300).await;
        let credentials = machine.world.credentials();
        assert_eq!((credentials.len(), &credentials[0].1), (1, &machine.client.text()), "{fault:?}");
        assert_eq!(machine.world.calls("make-credential"), 2);
        // By itself: it works still, or it is lost.
        let machine = Machine::rotating(rotation(Method::Itself), i64::MAX, |world| {
            due(false)(world);
            world.script("rotate-credential", [Some(fault)]);
        })
        .await;
        machine.pass(1300).await;
        let is_lost = fault != Fault::Lost;
        assert_eq!(machine.world.calls("rotate-credential"), if is_lost { 1 } else { 2 }, "{fault:?}");
        assert!(!machine.world.saw_reuse());
        assert_eq!(machine.broker.problems().is_empty(), !is_lost, "{:?}", machine.broker.problems());
    }
}

#[tokio::test(start_paused = true)]
async fn defect_5_a_store_that_fails_at_any_write_locks_nobody_out() {
    for is_admin in [true, false] {
        for write in 0..5 {
            let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, due(is_admin)).await;
            machine.store.fail((0..write).map(|_| None).chain([Some(StoreFault::Refused)]));
            machine.pass(1500).await;
            let credentials = machine.world.credentials();
            assert_eq!(
                (credentials.len(), &credentials[0].1),
                (1, &machine.client.text()),
                "{is_admin} {write}"
            );
            let machine = machine.restart().await;
            machine.pass(5).await;
            assert_eq!(machine.client.text(), credentials[0].1);
            machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
            finish(&machine).await;
        }
    }
}

/// Whoever orders it may hang up at any moment: GitLab has ended the old one by then, and shows the new one once.
#[tokio::test(start_paused = true)]
async fn a_rotation_goes_on_to_its_end_when_whoever_ordered_it_hangs_up() {
    for millis in (1..12_000).step_by(500) {
        let machine =
            Machine::rotating(rotation(Method::Itself), i64::MAX, |world| world.set_admin(false)).await;
        machine.pass(1).await;
        machine.world.set_slow(Duration::from_secs(2));
        let order = machine.broker.rotate("default");
        let _ = tokio::time::timeout(Duration::from_millis(millis), order).await;
        machine.world.set_slow(Duration::from_millis(3));
        machine.pass(30).await;
        let credentials = machine.world.credentials();
        assert_eq!((credentials.len(), &credentials[0].1), (1, &machine.client.text()), "{millis}");
        assert_ne!(credentials[0].1, "glpat-main", "{millis}");
        assert_eq!(machine.broker.problems(), [] as [String; 0], "{millis}");
    }
}

/// A stop waits for a credential that is being replaced, and begins no other.
#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_of_a_rotation_locks_nobody_out() {
    for at in (1..170).step_by(7) {
        let machine = Machine::rotating(rotation(Method::Itself), i64::MAX, |world| {
            due(false)(world);
            world.set_slow(Duration::from_secs(40));
        })
        .await;
        machine.pass(at).await;
        let begun = machine.world.calls("rotate-credential");
        machine.broker.close(false).await;
        assert_eq!(machine.world.calls("rotate-credential"), begun, "{at}");
        machine.world.set_slow(Duration::from_millis(3));
        let machine = machine.restart().await;
        machine.pass(1300).await;
        let credentials = machine.world.credentials();
        assert_eq!((credentials.len(), &credentials[0].1), (1, &machine.client.text()), "{at}");
        assert_eq!(machine.world.calls("rotate-credential"), 1, "{at}");
        assert_eq!(machine.broker.problems(), [] as [String; 0], "{at}");
    }
}

/// Until the store takes it again: whoever does not know that stops the server, and is locked out.
#[tokio::test(start_paused = true)]
async fn a_new_credential_that_only_memory_has_is_told_of_until_the_store_has_it() {
    let machine = Machine::rotating(rotation(Method::Itself), i64::MAX, |world| world.set_admin(false)).await;
    machine.pass(1).await;
    // The intent is written, and what comes of it is not.
    machine.store.fail(std::iter::once(None).chain(std::iter::repeat_n(Some(StoreFault::Refused), 12)));
    let warns = |line: &String| line.contains("in memory alone, so the server must not be stopped");
    let refused = machine.broker.rotate("default").await.unwrap_err();
    assert!(warns(&refused.record().to_owned()), "{refused:?}");
    for _ in 0..20 {
        machine.pass(30).await;
        assert!(machine.broker.problems().iter().any(warns), "{:?}", machine.broker.problems());
    }
    machine.broker.rotate("default").await.unwrap_err();
    assert!(machine.broker.problems().iter().any(warns));
    machine.pass(3600).await;
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    let text = machine.client.text();
    let machine = machine.restart().await;
    assert_eq!(machine.client.text(), text);
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    finish(&machine).await;
}

/// Defect 6 of the Vault plugin: whoever made tokens during a rotation met a client that was gone.
#[tokio::test(start_paused = true)]
async fn defect_6_tokens_are_made_while_the_credential_is_replaced() {
    for is_admin in [true, false] {
        let machine =
            Machine::rotating(rotation(Method::Auto), i64::MAX, |world| world.set_admin(is_admin)).await;
        machine.pass(1).await;
        let mut tasks = tokio::task::JoinSet::new();
        for job in 0..60 {
            let inner = machine.broker.inner.clone();
            let many = |draft: &mut Draft| draft.max_active = Some(99);
            let grant = grant_of(Kind::Project, 60, &job.to_string(), many);
            let attempt = crate::leasing::attempt::Attempt::of(
                &Default::default(),
                &Default::default(),
                Default::default(),
            );
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(job)).await;
                inner.make(grant, attempt).await.map(drop)
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        machine.broker.rotate("default").await.unwrap();
        for result in tasks.join_all().await {
            assert_eq!(result, Ok(()), "{is_admin}");
        }
        assert_eq!(machine.world.credentials().len(), 1);
        finish(&machine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn defect_11_an_event_names_its_target() {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, due(true)).await;
    machine.pass(5).await;
    let events = machine.told.events.lock().unwrap().clone();
    assert!(!events.is_empty() && events.iter().all(|(_, target)| target == "default"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_the_operator_configures_anew_goes_before_the_one_in_the_store() {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, due(true)).await;
    machine.pass(5).await;
    machine.world.give("glpat-new");
    let machine = machine.restart_configured("c1", "glpat-new").await;
    machine.pass(5).await;
    assert_eq!(machine.client.text(), "glpat-new");
    assert_eq!(machine.world.credentials().len(), 1, "the one that was made before is revoked");
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    finish(&machine).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_without_rotation_is_not_rotated_and_its_end_is_told() {
    let machine = Machine::new().await;
    let refused = machine.broker.rotate("default").await.unwrap_err();
    assert_eq!((refused.code(), refused.record()), (Code::NotRotated, "The target has no `rotate`."));
    assert_eq!(machine.broker.rotate("another").await.unwrap_err().code(), Code::TargetUnknown);
    machine.world.set_end(Some(expiry_after(machine.watch.true_time(), Duration::from_secs(1))));
    machine.pass(3600).await;
    assert!(machine.broker.problems().iter().any(|line| line.contains("ends in")));
    machine.pass(7200).await;
    assert!(
        machine.broker.problems().iter().any(|line| line.contains("401")),
        "{:?}",
        machine.broker.problems()
    );
}

/// Whoever believes that GitLab is away orders it again, and each order is a POST.
#[tokio::test(start_paused = true)]
async fn an_order_is_told_why_nothing_was_replaced() {
    let methods = [(Method::Create, true, "make-credential"), (Method::Itself, false, "rotate-credential")];
    for (method, is_admin, route) in methods {
        let machine = Machine::rotating(rotation(method), i64::MAX, |world| world.set_admin(is_admin)).await;
        machine.pass(5).await;
        for status in [400, 403, 405] {
            machine.world.script(route, [Some(Fault::Refused(status))]);
            let refused = machine.broker.rotate("default").await.unwrap_err();
            assert_eq!((refused.code(), refused.wait()), (Code::GitlabRefused, None), "{route} {status}");
            assert!(refused.record().contains(&format!("refused with {status}")), "{}", refused.record());
        }
        assert_eq!(machine.events("config-rotate-failed"), 3, "{route}");
        machine.world.script(route, [Some(Fault::Lost)]);
        let refused = machine.broker.rotate("default").await.unwrap_err();
        assert_eq!((refused.code(), refused.wait().is_some()), (Code::GitlabUnavailable, true), "{route}");
        machine.pass(100).await;
        // GitLab may still be at work on that one.
        let refused = machine.broker.rotate("default").await.unwrap_err();
        let wait = refused.wait().expect("a wait");
        assert_eq!(refused.code(), Code::NotRotated, "{route}: {}", refused.record());
        assert!((480..=510).contains(&wait.as_secs()), "{route}: {wait:?}");
        assert!(refused.record().contains(&format!("{} s", wait.as_secs())), "{}", refused.record());
        assert_eq!(machine.world.calls(route), 4, "{route}");
        machine.pass(wait.as_secs()).await;
        machine.broker.rotate("default").await.unwrap();
    }
}
