//! Each kind of token: looked up, made, found by its name, ended, ended again.

use super::{Alone, Scene, mint, outcome, routes};
use crate::support::gitlab::{MakeBelieve, Place};
use countersign::broker::{Expiry, Kind};
use countersign::leasing::ports::Gitlab as _;

async fn walk(scene: &Scene) {
    let client = scene.client();
    for kind in Kind::ALL.iter().copied() {
        let holder = scene.holder(&client, kind).await;
        let numbers = if kind.code().ends_with("p-service-account") || kind == Kind::ProjectServiceAccount {
            2
        } else {
            1
        };
        assert_eq!((holder.kind, holder.owner.len()), (kind, numbers), "{kind}");
        let name = format!("ci-{kind}-1");
        let made = mint(&client, &holder, &name).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        // Its name begins like the other's.
        let other = mint(&client, &holder, &format!("{name}0")).await.unwrap();
        assert!(scene.gitlab.opens(made.token.expose()), "{kind}");
        assert_eq!(made.minted.sha256, Some(made.token.sha256()));
        let end = kind.expires_at_gitlab().then(|| Expiry::parse("2026-06-30").unwrap());
        assert_eq!(made.minted.expires, end, "{kind}");
        let is_deploy = matches!(kind, Kind::ProjectDeploy | Kind::GroupDeploy);
        assert_eq!(made.username.is_some(), is_deploy, "{kind}");
        let found = client.find(&holder, &name, &Alone).await.unwrap();
        assert_eq!(
            found.iter().map(|one| (one.id, one.expires)).collect::<Vec<_>>(),
            [(made.minted.id, end)],
            "{kind}"
        );
        assert_eq!(found[0].sha256, None);
        assert_eq!(outcome(&client.revoke(&holder, made.minted.id, &Alone).await), "done", "{kind}");
        assert!(
            !scene.gitlab.opens(made.token.expose()) && scene.gitlab.opens(other.token.expose()),
            "{kind}"
        );
        assert_eq!(client.find(&holder, &name, &Alone).await.unwrap(), [], "{kind}");
        assert_eq!(outcome(&client.revoke(&holder, made.minted.id, &Alone).await), "done", "{kind}: again");
        assert_eq!(outcome(&client.revoke(&holder, other.minted.id, &Alone).await), "done", "{kind}");
        assert_eq!(scene.live(), [""; 0], "{kind}");
    }
}

#[tokio::test]
async fn every_kind_is_made_found_and_ended() {
    let scene = Scene::new().await;
    walk(&scene).await;
    // Everything went where the kind lives, and metrics have a bounded set of names.
    for kind in Kind::ALL {
        for route in routes(*kind) {
            assert!(scene.gitlab.asked(&route) > 0, "{kind}: {route}");
        }
    }
    let heard = scene.heard.0.lock().unwrap();
    assert!(
        heard.iter().all(|(route, status)| !route.contains(|c: char| c.is_ascii_digit()) && *status >= 200)
    );
    assert_eq!(heard.iter().filter(|(route, _)| route.starts_with("POST ")).count(), 20);
}

#[tokio::test]
async fn older_gitlabs_and_relative_roots_are_the_same() {
    walk(&Scene::of(MakeBelieve::builder().version("16.11.6").relative_root("/git/lab")).await).await;
}

/// Defect 4 of the Vault plugin: deleted by hand, deploy tokens and triggers were an error for ever.
#[tokio::test]
async fn defect_4_gone_is_gone_for_every_kind() {
    let scene = Scene::new().await;
    for version in ["19.1.1-ee", "17.10.3"] {
        scene.gitlab.upgrade(version);
        let client = scene.client();
        for kind in Kind::ALL.iter().copied() {
            let holder = scene.holder(&client, kind).await;
            let made = mint(&client, &holder, "by hand").await.unwrap();
            let live = scene.gitlab.live_tokens();
            assert_eq!(live.len(), 1, "{kind}");
            scene.gitlab.revoke_by_hand(&live[0]);
            assert_eq!(
                outcome(&client.revoke(&holder, made.minted.id, &Alone).await),
                "done",
                "{version} {kind}"
            );
        }
    }
}

#[tokio::test]
async fn a_path_leads_to_what_is_called_so_and_to_nothing_else() {
    let scene = Scene::new().await;
    let client = scene.client();
    for (kind, path) in [
        (Kind::Project, "acme/none"),
        (Kind::Group, "none"),
        (Kind::Personal, "nobody"),
        (Kind::Impersonation, "user/alice"),
        (Kind::GroupServiceAccount, "none/group-bot"),
        (Kind::GroupServiceAccount, "acme/nobody"),
        (Kind::GroupServiceAccount, "group-bot"),
        (Kind::ProjectServiceAccount, "acme/none/project-bot"),
        // A group is no project.
        (Kind::ProjectDeploy, "acme"),
        (Kind::PipelineTrigger, "acme/app/../other"),
    ] {
        assert_eq!(outcome(&client.holder(kind, path).await), "refused", "{kind} {path}");
    }
    // By its number a project is that number; names of users and paths are the same in any case.
    let Place::Project(number) = scene.project else { panic!() };
    for path in ["acme/app", "Acme/App", &number.to_string()] {
        assert_eq!(client.holder(Kind::Project, path).await.unwrap().owner, [number], "{path}");
    }
    assert_eq!(client.holder(Kind::Personal, "ALICE").await.unwrap().owner, [scene.alice]);
    // Paths are one segment.
    let asked = scene.gitlab.calls();
    assert!(asked.iter().any(|call| call.uri.ends_with("/projects/acme%2Fapp")));
    // GitLab answers for old paths with the project of today, which somebody else may have had in mind.
    scene.gitlab.rename(scene.project, "other/app");
    let answer =
        Box::leak(format!(r#"{{"id":{number},"path_with_namespace":"other/app"}}"#).into_boxed_str());
    scene.gitlab.faults().script("GET /projects/{id}", [crate::support::gitlab::Fault::Status(200, answer)]);
    assert_eq!(outcome(&client.holder(Kind::Project, "acme/app").await), "refused");
}

/// A token made for a project is ended there, whatever the project is called by then.
#[tokio::test]
async fn a_project_that_moves_keeps_its_tokens_revocable() {
    let scene = Scene::new().await;
    let client = scene.client();
    for kind in [Kind::Project, Kind::ProjectDeploy, Kind::PipelineTrigger, Kind::ProjectServiceAccount] {
        scene.gitlab.rename(scene.project, "acme/app");
        let holder = scene.holder(&client, kind).await;
        let made = mint(&client, &holder, "moves").await.unwrap();
        scene.gitlab.rename(scene.project, "acme/moved");
        assert_eq!(client.find(&holder, "moves", &Alone).await.unwrap().len(), 1, "{kind}");
        assert_eq!(outcome(&client.revoke(&holder, made.minted.id, &Alone).await), "done", "{kind}");
        assert_eq!(scene.live(), [""; 0], "{kind}");
    }
}

#[tokio::test]
async fn long_lists_are_read_to_their_end() {
    let scene = Scene::new().await;
    let client = scene.client();
    let holder = scene.holder(&client, Kind::PipelineTrigger).await;
    let mut made = Vec::new();
    for number in 0..205 {
        made.push(mint(&client, &holder, &format!("t{number}")).await.unwrap().minted.id);
    }
    let route = &routes(Kind::PipelineTrigger)[1];
    assert_eq!(client.find(&holder, "t204", &Alone).await.unwrap()[0].id, made[204]);
    assert_eq!(scene.gitlab.asked(route), 3);
    // While the second page is on its way, the first gets shorter, and what was to come moves up into it.
    let gate = crate::support::gitlab::Gate::closed();
    use crate::support::gitlab::Fault::{HeldBefore, Pass};
    scene.gitlab.faults().script(route, [Pass, HeldBefore(gate.clone())]);
    let (found, ()) = tokio::join!(client.find(&holder, "t100", &Alone), async {
        gate.reached(1).await;
        scene.gitlab.live_tokens().iter().take(2).for_each(|live| scene.gitlab.revoke_by_hand(live));
        gate.open();
    });
    assert_eq!(found.unwrap()[0].id, made[100]);
    scene.gitlab.remove(scene.project);
    assert_eq!(scene.live(), [""; 0]);
}

#[tokio::test]
async fn users_are_told_apart() {
    let scene = Scene::new().await;
    let client = scene.client();
    let user = async |id| {
        let user = client.user(id).await.unwrap();
        (user.is_active, user.is_admin, user.is_bot)
    };
    let bot = scene.gitlab.service_account(None, "robot");
    assert_eq!(user(scene.alice).await, (true, false, false));
    assert_eq!(user(1).await, (true, true, false));
    assert_eq!(user(bot).await, (true, false, true));
    scene.gitlab.set_state(scene.alice, "blocked");
    assert_eq!(user(scene.alice).await, (false, false, false));
    assert_eq!(outcome(&client.user(999).await), "refused");
    // Whoever is no administrator is not told who is one: then nobody is taken for none.
    let bob = scene.gitlab.user("bob");
    let other = scene.client_of(&scene.gitlab.credential_of(bob, &["api"], None));
    assert!(other.user(scene.alice).await.unwrap().is_admin);
}
