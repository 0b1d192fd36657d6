//! What a credential may not do, told from a credential that is lost.

use super::{Alone, Scene, mint, outcome, word};
use crate::support::gitlab::MakeBelieve;
use countersign::broker::Kind;
use countersign::leasing::ports::{CallError, Gitlab as _};

/// 401 is what GitLab says of a project in which one may make no tokens. A job that names such a project must not take the target
/// out of service for all.
#[tokio::test]
async fn a_project_without_rights_is_no_lost_credential() {
    let scene = Scene::new().await;
    let bob = scene.gitlab.user("bob");
    let credential = scene.gitlab.credential_of(bob, &["api"], None);
    let client = scene.client_of(&credential);
    let holder = scene.holder(&scene.client(), Kind::Project).await;
    let made = |name| mint(&client, &holder, name);
    assert_eq!(outcome(&made("unseen").await), "refused");
    scene.gitlab.invite(bob, scene.project);
    assert!(matches!(made("a guest").await.err(), Some(CallError::Refused { status: 401, .. })));
    let personal = scene.holder(&scene.client(), Kind::Personal).await;
    assert!(matches!(
        mint(&client, &personal, "n").await.err(),
        Some(CallError::Refused { status: 403, .. })
    ));
    scene.gitlab.join(bob, scene.project);
    let id = made("a member").await.unwrap().minted.id;
    // Out again: GitLab says 404 of the project, and the token lives.
    scene.gitlab.leave(bob, scene.project);
    let error = client.revoke(&holder, id, &Alone).await.unwrap_err();
    assert!(error.to_string().contains("not seen by the main credential any more"), "{error}");
    assert_eq!(scene.live(), ["a member"]);
    scene.gitlab.join(bob, scene.project);
    assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "done");
    // A project that is gone is gone for an administrator, and not known to be for others.
    let id = made("a member").await.unwrap().minted.id;
    scene.gitlab.remove(scene.project);
    assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "refused");
    assert_eq!(outcome(&scene.client().revoke(&holder, id, &Alone).await), "done");
    assert_eq!(scene.live(), [""; 0]);
}

/// Whoever can tell says of a project, group or user that is gone that it has no tokens: nothing is looked for there for a year. A service account
/// may outlive the project or group that it belongs to, and its tokens with it.
#[tokio::test]
async fn a_holder_that_is_gone_has_no_live_tokens_for_an_administrator() {
    for version in ["19.1.1-ee", "17.10.3"] {
        for kind in Kind::ALL.iter().copied() {
            let scene = Scene::of(MakeBelieve::builder().version(version)).await;
            let bob = scene.gitlab.user("bob");
            scene.gitlab.join(bob, scene.group);
            let credential = scene.gitlab.credential_of(bob, &["api"], None);
            let (admin, member) = (scene.client(), scene.client_of(&credential));
            let holder = scene.holder(&admin, kind).await;
            let id = mint(&admin, &holder, "n").await.unwrap().minted.id;
            let is_account = matches!(kind, Kind::GroupServiceAccount | Kind::ProjectServiceAccount);
            match kind {
                Kind::Impersonation | Kind::Personal => scene.gitlab.remove_user(scene.alice),
                Kind::UserServiceAccount => scene.gitlab.remove_user(scene.gitlab.user("robot")),
                _ => {
                    scene.gitlab.remove(scene.project);
                    scene.gitlab.remove(scene.group);
                }
            }
            assert_eq!(scene.live().len(), usize::from(is_account), "{kind}");
            assert_ne!(outcome(&member.find(&holder, "n", &Alone).await), "done", "{version} {kind}");
            assert_ne!(outcome(&member.revoke(&holder, id, &Alone).await), "done", "{version} {kind}");
            let found = admin.find(&holder, "n", &Alone).await.unwrap();
            assert_eq!(found.len(), usize::from(is_account), "{version} {kind}");
            assert_eq!(outcome(&admin.revoke(&holder, id, &Alone).await), "done", "{version} {kind}");
            assert_eq!(admin.find(&holder, "n", &Alone).await.unwrap(), [], "{version} {kind}");
            assert_eq!(scene.live(), [""; 0], "{version} {kind}");
        }
    }
}

#[tokio::test]
async fn a_lost_credential_is_one_whatever_is_asked() {
    let scene = Scene::new().await;
    let lost = scene.gitlab.credential_of(1, &["api"], None);
    let narrow = scene.gitlab.credential_of(1, &["read_user"], None);
    let holder = scene.holder(&scene.client(), Kind::Project).await;
    let client = scene.client_of(&lost);
    let id = mint(&client, &holder, "before").await.unwrap().minted.id;
    scene.gitlab.revoke(&lost);
    for client in [&client, &scene.client_of("glpat-of-nobody"), &scene.client_of(&narrow)] {
        assert_eq!(outcome(&mint(client, &holder, "n").await), "credential");
        assert_eq!(outcome(&client.find(&holder, "n", &Alone).await), "credential");
        assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "credential");
        assert_eq!(outcome(&client.holder(Kind::Project, "acme/app").await), "credential");
    }
    assert_eq!(outcome(&client.itself(None).await), "credential");
    assert_eq!(scene.live(), ["before"]);
    assert_eq!(outcome(&scene.client().revoke(&holder, id, &Alone).await), "done");
    assert_eq!(scene.live(), [""; 0]);
}

/// Before 17.11 nobody but an administrator can revoke a service account's token without having it.
#[tokio::test]
async fn old_gitlabs_give_tokens_of_service_accounts_only_to_administrators() {
    let scene = Scene::of(MakeBelieve::builder().version("17.10.3-ee")).await;
    let bob = scene.gitlab.user("bob");
    scene.gitlab.join(bob, scene.group);
    let credential = scene.gitlab.credential_of(bob, &["api"], None);
    for kind in [Kind::GroupServiceAccount, Kind::ProjectServiceAccount] {
        let client = scene.client_of(&credential);
        let error = client.holder(kind, &scene.path(kind)).await.unwrap_err();
        assert_eq!(word(&error), "refused");
        assert!(error.to_string().contains("17.11"), "{error}");
        let admin = scene.client();
        let holder = scene.holder(&admin, kind).await;
        let id = mint(&admin, &holder, "by number").await.unwrap().minted.id;
        assert_eq!(admin.find(&holder, "by number", &Alone).await.unwrap()[0].id, id);
        assert_eq!(outcome(&admin.revoke(&holder, id, &Alone).await), "done");
        assert_eq!(scene.live(), [""; 0]);
    }
    scene.gitlab.upgrade("17.11.0-ee");
    let client = scene.client_of(&credential);
    let holder = scene.holder(&client, Kind::GroupServiceAccount).await;
    let id = mint(&client, &holder, "by account").await.unwrap().minted.id;
    assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "done");
    assert_eq!(scene.live(), [""; 0]);
}

#[tokio::test]
async fn impersonation_tokens_are_made_as_somebody_else() {
    let scene = Scene::new().await;
    scene.gitlab.administrator("deputy");
    let as_user = |credential: &str, user: &'static str| {
        scene.client_with(credential, |settings| settings.sudo_user = Some(user.into()))
    };
    let root = scene.gitlab.credential();
    let client = as_user(root, "deputy");
    let holder = scene.holder(&client, Kind::Impersonation).await;
    let id = mint(&client, &holder, "sudo").await.unwrap().minted.id;
    assert_eq!(client.find(&holder, "sudo", &Alone).await.unwrap()[0].id, id);
    assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "done");
    let calls = scene.gitlab.calls();
    let of_tokens: Vec<_> = calls.iter().filter(|call| call.route.contains("impersonation")).collect();
    assert_eq!(of_tokens.len(), 3);
    assert!(of_tokens.iter().all(|call| call.sudo.as_deref() == Some("deputy")));
    // No administrator; nobody; and a credential that may not.
    assert_eq!(outcome(&mint(&as_user(root, "alice"), &holder, "n").await), "refused");
    // 404, but of the one who is acted as: the token is not dead for that.
    let id = mint(&client, &holder, "alive").await.unwrap().minted.id;
    assert_eq!(outcome(&as_user(root, "a-token").revoke(&holder, id, &Alone).await), "refused");
    let without = scene.gitlab.credential_of(1, &["api"], None);
    assert_eq!(outcome(&as_user(&without, "deputy").revoke(&holder, id, &Alone).await), "credential");
    assert_eq!(scene.live(), ["alive"]);
    assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "done");
    assert_eq!(scene.live(), [""; 0]);
}
