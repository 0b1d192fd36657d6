//! The main credential in the file, or the instance itself, is another one than before.

use super::rotation::{due, rotation};
use crate::broker::Kind;
use crate::leasing::ports::{Change, LeaseStore as _};
use crate::leasing::testing::{HERE, Machine, World, finish, grant};
use crate::leasing::{Method, place_of_sealed_token};

/// A broker whose credential was replaced by a second one: it, and the text that only the store has.
async fn replaced() -> (Machine, String) {
    let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, due(true)).await;
    machine.pass(5).await;
    let text = machine.client.text();
    assert_ne!(text, "glpat-main");
    (machine, text)
}

#[tokio::test(start_paused = true)]
async fn numbers_of_credentials_at_one_instance_are_not_used_at_another() {
    let (machine, text) = replaced().await;
    let (here, there) = (machine.world.clone(), World::new(&machine.watch));
    // Somebody there has a credential with the number that one has here.
    there.give("glpat-of-a-stranger");
    let strangers = there.credentials();
    let machine = machine.restart_at(&there, ("https://other.example.com", "c1", "glpat-main")).await;
    machine.pass(5).await;
    assert_eq!((there.calls("revoke-credential"), there.credentials()), (0, strangers));
    assert_eq!((machine.client.text().as_str(), machine.events("config-elsewhere")), ("glpat-main", 1));
    // Nothing of the first one is lost.
    let machine = machine.restart_at(&here, (HERE, "c0", "glpat-main")).await;
    machine.pass(5).await;
    assert_eq!(machine.client.text(), text);
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    finish(&machine).await;
}

/// What an operator has sealed stands beside rotation's record, and is missed by nobody while its target is there.
#[tokio::test(start_paused = true)]
async fn a_sealed_credential_is_elsewhere_when_its_target_is() {
    for (url, elsewhere) in [(HERE, 0), ("https://gone.example.com", 1)] {
        let machine = Machine::new().await;
        let place = place_of_sealed_token("default", url);
        machine.store.clone().write(&[Change::Credential { place, record: b"sealed".to_vec() }]).unwrap();
        let machine = machine.restart().await;
        assert_eq!(machine.events("config-elsewhere"), elsewhere, "{url}");
        machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
        finish(&machine).await;
    }
}

/// A credential of the broker's own making is in nobody's file: it is kept as long as it opens something.
#[tokio::test(start_paused = true)]
async fn a_weaker_credential_in_the_file_throws_the_living_one_not_away() {
    let (machine, text) = replaced().await;
    let id = machine.world.credentials()[0].0;
    machine.world.give_weak("glpat-weak");
    let machine = machine.restart_configured("c1", "glpat-weak").await;
    machine.pass(5).await;
    assert_eq!(machine.client.text(), "glpat-weak");
    assert!(machine.world.credentials().contains(&(id, text.clone())), "it lives");
    assert_eq!(machine.broker.reading().targets[0].to_revoke, [id]);
    let told = format!("credential {id} of target default is to be revoked");
    assert!(machine.broker.problems().iter().any(|line| line.contains(&told)));
    assert_eq!(machine.events("config-rotate-failed"), 1);
    machine.mint(grant(Kind::Project, 60, "one")).await.unwrap();
    // The old file is put back.
    let machine = machine.restart_configured("c0", "glpat-main").await;
    machine.pass(5).await;
    assert_eq!((machine.client.text(), machine.broker.problems()), (text.clone(), vec![]));
    machine.mint(grant(Kind::Project, 60, "two")).await.unwrap();
    // Somebody ends it by hand: then it is dead by its own word, and forgotten.
    let machine = machine.restart_configured("c1", "glpat-weak").await;
    machine.pass(5).await;
    machine.world.end_by_hand(&text);
    machine.pass(3700).await;
    assert_eq!((machine.broker.problems(), machine.events("target-down")), (vec![], 0));
    assert_eq!(machine.broker.reading().targets[0].to_revoke, [] as [u64; 0]);
    finish(&machine).await;
}

/// What GitLab says of a number counts where the credential itself does not say otherwise.
#[tokio::test(start_paused = true)]
async fn a_credential_that_answers_for_itself_is_not_taken_for_dead() {
    let (machine, text) = replaced().await;
    machine.world.give("glpat-new");
    machine.world.keep_credentials();
    let machine = machine.restart_configured("c1", "glpat-new").await;
    machine.pass(5).await;
    assert_eq!(machine.broker.reading().targets[0].to_revoke.len(), 1);
    machine.world.heal();
    machine.pass(3700).await;
    assert!(machine.world.credentials().iter().all(|(_, own)| *own != text));
    assert_eq!(machine.broker.problems(), [] as [String; 0]);
    finish(&machine).await;
}

/// Whose seal key is lost nobody can ask it whether it is dead: it is told of until an operator has seen to it, or for a year.
#[tokio::test(start_paused = true)]
async fn a_credential_that_nobody_can_open_any_more_is_not_told_of_for_ever() {
    for is_ordered in [true, false] {
        let machine = Machine::rotating(rotation(Method::Auto), i64::MAX, |_| {}).await;
        let place = format!("default {HERE}");
        let record =
            br#"{"configured":"c0","current":{"id":1,"text":"AAAA"},"step":{"step":"rest"}}"#.to_vec();
        machine.store.clone().write(&[Change::Credential { place, record }]).unwrap();
        machine.world.give_weak("glpat-weak");
        let machine = machine.restart_configured("c1", "glpat-weak").await;
        machine.pass(5).await;
        assert_eq!(machine.broker.reading().targets[0].to_revoke, [1]);
        machine.watch.sleep(360 * 24 * 3600);
        machine.pass(3700).await;
        assert_eq!(machine.broker.reading().targets[0].to_revoke, [1]);
        if is_ordered {
            machine.broker.rotate("default").await.unwrap();
        } else {
            machine.watch.sleep(7 * 24 * 3600);
            machine.pass(3700).await;
        }
        assert_eq!(machine.broker.problems(), [] as [String; 0], "{is_ordered}");
        let machine = machine.restart_configured("c1", "glpat-weak").await;
        machine.pass(5).await;
        assert_eq!(machine.broker.reading().targets[0].to_revoke, [] as [u64; 0]);
    }
}
