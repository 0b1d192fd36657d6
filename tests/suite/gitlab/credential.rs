//! The main credential: what it is, a second one, and rotation.

use super::{Alone, NOW, Scene, outcome};
use crate::support::gitlab::{Fault, MakeBelieve};
use countersign::broker::{Expiry, GitlabVersion};
use countersign::leasing::ports::{CallError, Gitlab as _, Secret};
use std::time::Duration;

#[tokio::test]
async fn a_credential_says_what_it_is() {
    let scene = Scene::new().await;
    let root = scene.client().itself(None).await.unwrap();
    assert_eq!((root.user_id, root.is_admin, root.scopes.join(" ").as_str()), (1, true, "api sudo"));
    assert_eq!((root.expires, root.created), (Expiry::parse("2027-06-29"), Some(NOW)));
    let bob = scene.gitlab.user("bob");
    let endless = scene.gitlab.credential_of(bob, &["api"], None);
    let other = scene.client().itself(Some(&Secret::new(endless.clone()))).await.unwrap();
    assert_eq!((other.user_id, other.is_admin, other.expires), (bob, false, None));
    // One that may look at nothing but itself is no administrator's as far as anybody can tell.
    let narrow = scene.gitlab.credential_of(1, &["self_rotate"], Some(7));
    assert!(!scene.client_of(&narrow).itself(None).await.unwrap().is_admin);
    scene.clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert!(matches!(
        scene.client_of(&narrow).itself(None).await,
        Err(CallError::Credential { status: 401, .. })
    ));
    scene.gitlab.faults().script("GET /users/{user_id}", [Fault::Status(500, "{}")]);
    assert_eq!(outcome(&scene.client().itself(None).await), "unknown");
}

#[tokio::test]
async fn the_version_is_the_number_and_the_edition() {
    let scene = Scene::new().await;
    for (version, major, minor) in [("19.1.1-ee", 19, 1), ("17.9.0", 17, 9)] {
        scene.gitlab.upgrade(version);
        let told = scene.client().version().await.unwrap();
        assert_eq!(told, (Some(GitlabVersion::of(major, minor)), true));
    }
    scene.gitlab.faults().script("GET /metadata", [Fault::Status(200, r#"{"version":"strange"}"#)]);
    assert_eq!(scene.client().version().await.unwrap(), (None, false));
}

#[tokio::test]
async fn a_second_credential_takes_over_before_the_first_one_ends() {
    let scene = Scene::of(MakeBelieve::builder()).await;
    let first = scene.gitlab.credential_of(1, &["api", "sudo"], Some(3));
    let client = scene.client_of(&first);
    let old = client.itself(None).await.unwrap();
    let (new, secret) =
        client.make_credential(&old, "countersign-1", Expiry::parse("2026-07-29").unwrap()).await.unwrap();
    assert_eq!((&new.scopes, new.user_id, new.is_admin), (&old.scopes, 1, true));
    assert_eq!(new.expires, Expiry::parse("2026-07-29"));
    assert_eq!(client.find_credentials(1, "countersign-1", &Alone).await.unwrap(), [new.id]);
    assert_eq!(client.find_credentials(1, "countersign", &Alone).await.unwrap(), [0; 0]);
    assert_eq!(client.itself(Some(&secret)).await.unwrap(), new);
    client.switch(secret.clone());
    assert_eq!(outcome(&client.revoke_credential(old.id).await), "done");
    assert_eq!(outcome(&client.revoke_credential(old.id).await), "done");
    assert!(!scene.gitlab.opens(&first));
    assert_eq!(client.itself(None).await.unwrap().id, new.id);
    // What no header can carry replaces nothing.
    client.switch(Secret::new("a\nb".into()));
    assert_eq!(client.itself(None).await.unwrap().id, new.id);
    assert_eq!(scene.live(), ["countersign-1"]);
    client.revoke_credential(new.id).await.unwrap();
    assert_eq!(outcome(&client.itself(None).await), "credential");
    assert_eq!(scene.live(), [""; 0]);
}

#[tokio::test]
async fn a_credential_that_rotates_itself_is_another_one_then() {
    let scene = Scene::new().await;
    let bob = scene.gitlab.user("bob");
    let first = scene.gitlab.credential_of(bob, &["api"], Some(3));
    let client = scene.client_of(&first);
    let end = Expiry::parse("2026-07-29").unwrap();
    let route = "POST /personal_access_tokens/self/rotate";
    for (fault, said) in [
        (Fault::Status(403, r#"{"message":"403 Forbidden"}"#), "refused"),
        (Fault::RetryLater(None), "not done"),
        (Fault::DropBefore, "unknown"),
    ] {
        scene.gitlab.faults().script(route, [fault]);
        assert_eq!(outcome(&client.rotate_credential(end).await), said);
        assert!(scene.gitlab.opens(&first));
    }
    let (new, secret) = client.rotate_credential(end).await.unwrap();
    assert_eq!((new.user_id, new.is_admin, new.expires), (bob, false, Some(end)));
    assert!(!scene.gitlab.opens(&first) && scene.gitlab.opens(secret.expose()));
    client.switch(secret);
    assert_eq!(client.itself(None).await.unwrap().id, new.id);
    // The reply is lost: the credential with it. It is asked once, since asking again would end the family.
    let before = scene.gitlab.asked(route);
    scene.gitlab.faults().script(route, [Fault::DropAfter]);
    assert_eq!(outcome(&client.rotate_credential(end).await), "unknown");
    assert_eq!(scene.gitlab.asked(route), before + 1);
    assert_eq!(outcome(&client.itself(None).await), "credential");
}
