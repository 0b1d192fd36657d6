//! The main credential in the file, or the instance itself, is another one than before.

use super::rotation::{due, rotation};
use crate::broker::Kind;
use crate::leasing::Method;
use crate::leasing::testing::{HERE, Machine, World, finish, grant};

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
