//! A GitLab that is too old for a role.

use crate::broker::{Code, Draft, Grant, Kind, Refused, Roles};
use crate::leasing::memory::MemoryLeases;
use crate::leasing::testing::{Fault, Machine, Watch, World, grant_of, role_of};
use std::sync::Arc;

/// Of 17.9.
fn rotating(draft: &mut Draft) {
    draft.scopes = Some(vec!["read_api".to_owned(), "self_rotate".to_owned()]);
}

/// A broker whose GitLab is 17.8, and has said so.
async fn old() -> Machine {
    let watch = Watch::new();
    let world = World::new(&watch);
    world.upgrade(17, 8);
    let machine = Machine::start(&watch, &world, MemoryLeases::default(), i64::MAX, 1, None).await.unwrap();
    machine.pass(1).await;
    machine
}

async fn check(machine: &Machine, grant: &Grant) -> Result<(), Refused> {
    machine.broker.inner.check_version_anew(grant).await
}

fn full() -> Grant {
    grant_of(Kind::Project, 60, "one", rotating)
}

#[tokio::test(start_paused = true)]
async fn what_a_job_asks_for_is_judged_and_not_what_its_role_has_besides() {
    let machine = old().await;
    let refused = check(&machine, &full()).await.unwrap_err();
    assert_eq!(refused.code(), Code::TargetRefused);
    assert_eq!(refused.record(), "self_rotate is there since GitLab 17.9, and this one is 17.8");
    assert_eq!(check(&machine, &full().narrowed(&["read_api"])).await, Ok(()));
    // A level cannot be narrowed.
    let level = |draft: &mut Draft| {
        draft.access_level = Some(Some(crate::broker::AccessLevel::SecurityManager));
    };
    assert!(check(&machine, &grant_of(Kind::Project, 60, "one", level)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn operators_are_told_of_roles_that_a_gitlab_is_too_old_for() {
    let machine = old().await;
    let role = || role_of(Kind::Project, 60, rotating);
    let elsewhere = role_of(Kind::Group, 60, |draft| {
        rotating(draft);
        draft.target = Some("elsewhere".to_owned());
    });
    machine.broker.replace_roles(Arc::new(Roles::new("a", [role(), role_of(Kind::Personal, 60, |_| {})])));
    assert_eq!(machine.events("role-too-new"), 1);
    let told = "role role-project: self_rotate is there since GitLab 17.9, and this one is 17.8";
    assert_eq!(machine.broker.problems(), [told]);
    // Heard again, it is nothing new.
    machine.pass(3700).await;
    assert_eq!(machine.events("role-too-new"), 1);
    machine.world.upgrade(17, 9);
    machine.pass(3700).await;
    assert_eq!((machine.events("role-too-new"), machine.broker.problems()), (1, vec![]));
    machine.broker.replace_roles(Arc::new(Roles::new("a", [role(), elsewhere])));
    assert_eq!(machine.events("role-too-new"), 1, "of a target that is not there nothing is known");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_asks_whether_the_gitlab_is_newer_by_now_once_a_minute() {
    let machine = old().await;
    let before = machine.world.calls("metadata");
    for _ in 0..20 {
        check(&machine, &full()).await.unwrap_err();
    }
    assert_eq!(machine.world.calls("metadata"), before + 1);
    machine.world.upgrade(19, 1);
    check(&machine, &full()).await.unwrap_err();
    machine.pass(60).await;
    // Whoever comes meanwhile waits for the same answer.
    let (one, other) = (full(), full());
    let both = tokio::join!(check(&machine, &one), check(&machine, &other));
    assert_eq!((both, machine.world.calls("metadata")), ((Ok(()), Ok(())), before + 2));
    assert_eq!(machine.broker.reading().targets[0].version.map(|version| version.major), Some(19));
}

#[tokio::test(start_paused = true)]
async fn a_gitlab_that_does_not_say_its_version_is_as_old_as_before() {
    let machine = old().await;
    machine.world.script("metadata", [Some(Fault::Lost)]);
    check(&machine, &full()).await.unwrap_err();
    assert_eq!(machine.world.calls("metadata"), 2);
}
