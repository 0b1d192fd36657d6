//! What goes wrong on the way, for each kind: nothing is sent twice, nothing that may have been done is said not to have been.

use super::{Alone, Scene, mint, outcome, routes};
use crate::support::gitlab::{Fault, Gate, MakeBelieve};
use crate::support::secrets;
use countersign::broker::{Expiry, Kind};
use countersign::gitlab::Settings;
use countersign::leasing::ports::{CallError, Gitlab as _};
use std::time::Duration;

#[tokio::test]
async fn a_token_is_asked_for_once_and_found_by_its_name_when_its_reply_is_lost() {
    let scene = Scene::new().await;
    let client = scene.client();
    // The fault, what is said of it, and whether there is a token all the same.
    let table = [
        (Fault::DropBefore, "unknown", false),
        (Fault::DropAfter, "unknown", true),
        (Fault::Truncated, "unknown", true),
        (Fault::StatusAfter(502), "unknown", true),
        (Fault::Huge(2 << 20), "unknown", true),
        (Fault::Status(500, "{}"), "unknown", false),
        (Fault::Status(503, r#"{"message":"maintenance"}"#), "unknown", false),
        (Fault::Status(201, r#"{"id":7}"#), "unknown", false),
        (Fault::Status(201, r#"{"token":"glpat-without-a-number"}"#), "unknown", false),
        (Fault::Status(202, "{}"), "unknown", false),
        (Fault::RetryLater(Some(7)), "not done", false),
        (Fault::Status(400, r#"{"message":"no"}"#), "refused", false),
        (Fault::Status(403, r#"{"message":"403 Forbidden"}"#), "refused", false),
        (Fault::Status(401, r#"{"message":"401 Unauthorized"}"#), "refused", false),
        (Fault::Status(401, r#"{"error":"invalid_token"}"#), "credential", false),
        (Fault::Redirect("/elsewhere".into()), "refused", false),
    ];
    for kind in Kind::ALL.iter().copied() {
        let holder = scene.holder(&client, kind).await;
        let [make, ..] = routes(kind);
        for (fault, said, is_made) in &table {
            let before = scene.gitlab.asked(&make);
            scene.gitlab.faults().script(&make, [fault.clone()]);
            let made = mint(&client, &holder, "lost").await;
            assert_eq!(outcome(&made), *said, "{kind} {fault:?}");
            assert_eq!(scene.gitlab.asked(&make), before + 1, "{kind} {fault:?}: sent once");
            if let (Fault::RetryLater(_), Err(CallError::NotDone { retry_after, detail })) = (fault, &made) {
                assert_eq!(
                    (*retry_after, detail.as_str()),
                    (Some(Duration::from_secs(7)), "429: Retry later")
                );
            }
            let found = client.find(&holder, "lost", &Alone).await.unwrap();
            assert_eq!(found.len(), usize::from(*is_made), "{kind} {fault:?}");
            for minted in found {
                assert_eq!(
                    outcome(&client.revoke(&holder, minted.id, &Alone).await),
                    "done",
                    "{kind} {fault:?}"
                );
            }
            assert_eq!(scene.live(), [""; 0], "{kind} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_token_is_dead_only_when_gitlab_says_so() {
    let scene = Scene::new().await;
    let client = scene.client();
    // The fault, what is said of it, and whether the token is dead all the same.
    let table = [
        (Fault::DropBefore, "unknown", false),
        (Fault::DropAfter, "unknown", true),
        (Fault::StatusAfter(500), "unknown", true),
        (Fault::Status(500, "{}"), "unknown", false),
        (Fault::Status(202, "{}"), "unknown", false),
        (Fault::RetryLater(None), "not done", false),
        (Fault::Status(403, r#"{"message":"403 Forbidden"}"#), "refused", false),
        (Fault::Status(412, r#"{"message":"412 Precondition Failed"}"#), "refused", false),
        (Fault::Status(401, r#"{"message":"401 Unauthorized"}"#), "refused", false),
        (Fault::Redirect("/elsewhere".into()), "refused", false),
        // 404 that no GitLab said of the token: it is looked up, and lives.
        (Fault::Status(404, r#"{"error":"404 Not Found"}"#), "refused", false),
        (Fault::Status(404, r#"{"message":"404 Project Not Found"}"#), "refused", false),
        (Fault::Status(404, "page not found"), "refused", false),
    ];
    for kind in Kind::ALL.iter().copied() {
        let holder = scene.holder(&client, kind).await;
        let [_, _, end] = routes(kind);
        for (fault, said, is_dead) in &table {
            let id = mint(&client, &holder, "ending").await.unwrap().minted.id;
            scene.gitlab.faults().script(&end, [fault.clone()]);
            let ended = client.revoke(&holder, id, &Alone).await;
            assert_eq!(outcome(&ended), *said, "{kind} {fault:?}");
            assert_eq!(scene.live().is_empty(), *is_dead, "{kind} {fault:?}");
            assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "done", "{kind} {fault:?}");
            assert_eq!(scene.live(), [""; 0], "{kind} {fault:?}");
        }
        // The same 404, and the token is not there.
        let id = mint(&client, &holder, "ending").await.unwrap().minted.id;
        assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "done");
        scene.gitlab.faults().script(&end, [Fault::Status(404, r#"{"message":"no such thing"}"#)]);
        assert_eq!(outcome(&client.revoke(&holder, id, &Alone).await), "done", "{kind}");
    }
}

#[tokio::test]
async fn a_list_that_does_not_come_whole_is_no_list() {
    let scene = Scene::new().await;
    let client = scene.client();
    for kind in Kind::ALL.iter().copied() {
        let holder = scene.holder(&client, kind).await;
        let id = mint(&client, &holder, "there").await.unwrap().minted.id;
        let [_, list, _] = routes(kind);
        for fault in [Fault::Truncated, Fault::DropBefore, Fault::Huge(2 << 20), Fault::Status(200, "{}")] {
            scene.gitlab.faults().script(&list, [fault.clone()]);
            assert_eq!(outcome(&client.find(&holder, "there", &Alone).await), "unknown", "{kind} {fault:?}");
        }
        assert_eq!(client.find(&holder, "there", &Alone).await.unwrap().len(), 1);
        client.revoke(&holder, id, &Alone).await.unwrap();
    }
    assert_eq!(scene.live(), [""; 0]);
}

#[tokio::test]
async fn nobody_waits_for_a_gitlab_that_does_not_answer() {
    let scene = Scene::new().await;
    let client = scene
        .client_with(scene.gitlab.credential(), |settings| settings.timeout = Duration::from_millis(300));
    let holder = scene.holder(&scene.client(), Kind::Project).await;
    let gate = Gate::closed();
    let [make, ..] = routes(Kind::Project);
    scene.gitlab.faults().script(&make, [Fault::HeldAfter(gate.clone())]);
    let made = mint(&client, &holder, "late").await;
    let Err(CallError::Unknown { detail, .. }) = &made else { panic!("{:?}", outcome(&made)) };
    assert_eq!(detail, "no answer in time");
    assert_eq!(scene.live(), ["late"]);
    gate.open();
    let client = scene.client();
    for minted in client.find(&holder, "late", &Alone).await.unwrap() {
        client.revoke(&holder, minted.id, &Alone).await.unwrap();
    }
    assert_eq!(scene.live(), [""; 0]);
    // Where nobody listens nothing was sent.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = scene.client_with("glpat-x", |settings| settings.url = format!("http://{nobody}"));
    assert_eq!(outcome(&mint(&client, &holder, "none").await), "not done");
    assert!(scene.heard.0.lock().unwrap().contains(&("POST projects/:id/access_tokens", 0)));
}

/// Defect 7 of the Vault plugin: some calls, those about users and of rotation, could not be ended by anybody.
#[tokio::test]
async fn defect_7_every_call_ends_in_its_time() {
    let scene = Scene::new().await;
    let short = |settings: &mut Settings| settings.timeout = Duration::from_secs(1);
    let client = scene.client_with(scene.gitlab.credential(), short);
    let calm = scene.client();
    let holder = scene.holder(&calm, Kind::Project).await;
    let root = calm.itself(None).await.unwrap();
    let end = Expiry::parse("2026-07-29").unwrap();
    // Nobody is ever let through.
    scene.gitlab.faults().script_all(vec![Fault::HeldBefore(Gate::closed()); 50]);
    let ended = tokio::join!(
        async { outcome(&client.user(1).await) },
        async { outcome(&client.itself(None).await) },
        async { outcome(&client.version().await) },
        async { outcome(&client.holder(Kind::Project, "acme/app").await) },
        async { outcome(&client.find(&holder, "n", &Alone).await) },
        async { outcome(&client.revoke(&holder, 999, &Alone).await) },
        async { outcome(&mint(&client, &holder, "n").await) },
        async { outcome(&client.rotate_credential(end).await) },
        async { outcome(&client.make_credential(&root, "n", end).await) },
        async { outcome(&client.find_credentials(1, "n", &Alone).await) },
        async { outcome(&client.revoke_credential(999).await) },
    );
    assert_eq!(<[&str; 11]>::from(ended), ["unknown"; 11]);
}

#[tokio::test]
async fn the_credential_goes_to_its_own_gitlab_and_is_said_by_nobody() {
    let scene = Scene::new().await;
    let other = MakeBelieve::start(scene.clock.clone()).await;
    let client = scene.client();
    let holder = scene.holder(&client, Kind::Project).await;
    let [make, list, end] = routes(Kind::Project);
    let elsewhere = format!("{}/api/v4/personal_access_tokens/self", other.url());
    for route in [&make, &list, &end] {
        scene.gitlab.faults().script(route, [Fault::Redirect(elsewhere.clone())]);
    }
    assert_eq!(outcome(&mint(&client, &holder, "n").await), "refused");
    assert_eq!(outcome(&client.find(&holder, "n", &Alone).await), "refused");
    assert_eq!(outcome(&client.revoke(&holder, 1, &Alone).await), "refused");
    // Nor do links of a list lead anywhere.
    scene.gitlab.faults().clear();
    assert_eq!(other.asked("GET /personal_access_tokens/self"), 0);
    assert!(other.calls().is_empty());
    // GitLab might say a token in a failure, its own words of it or the credential itself.
    let credential = scene.gitlab.credential().to_owned();
    let minted = mint(&client, &holder, "said").await.unwrap();
    for said in [&credential, minted.token.expose()] {
        for body in [
            format!(r#"{{"message":"token {said} is bad"}}"#),
            format!(r#"{{"id":"{said}"}}"#),
            said.to_owned(),
        ] {
            for status in [201, 400, 403, 404, 429, 500] {
                let body = Box::leak(body.clone().into_boxed_str());
                scene.gitlab.faults().script(&make, [Fault::Status(status, body)]);
                let error = mint(&client, &holder, "n").await.err().expect("an error");
                let words = format!("{error} {error:?}");
                assert!(!words.contains(said), "{status}: {words}");
            }
        }
    }
    let debug = format!("{client:?} {minted:?}", minted = minted.token);
    assert!(!debug.contains(&credential) && !debug.contains(minted.token.expose()), "{debug}");
    secrets::check("the client's Debug", debug.as_bytes());
    client.revoke(&holder, minted.minted.id, &Alone).await.unwrap();
    assert_eq!(scene.live(), [""; 0]);
}
