//! The make-believe GitLab held to recorded answers, endpoint by endpoint: what is read, what is refused, and where tokens are used that
//! are none of the API's. What makes tokens is in `shapes`.

use super::shapes::{PERSONAL, Tried};
use crate::support::client;
use crate::support::gitlab::{MakeBelieve, Place};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn has_all(text: &Value, members: &[&str]) {
    let known: BTreeSet<_> = text.as_object().expect("an object").keys().map(String::as_str).collect();
    for member in members {
        assert!(known.contains(member), "{member} in {text}");
    }
}

#[tokio::test]
async fn what_is_read_has_the_members_that_were_recorded() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let (project, group) = (it.gitlab.project("acme/app"), it.gitlab.group("acme"));
    let user = it.gitlab.user("alice");
    let own = it.ask("GET", "/personal_access_tokens/self", None).await;
    assert_eq!((own.status.as_u16(), own.members()), (200, PERSONAL.map(String::from).to_vec()));
    let metadata = it.ask("GET", "/metadata", None).await;
    assert_eq!(metadata.members(), ["version", "revision", "kas", "enterprise"]);
    assert_eq!(
        (&metadata.json()["version"], &metadata.json()["enterprise"]),
        (&json!("19.1.1-ee"), &json!(true))
    );
    has_all(&metadata.json()["kas"], &["enabled", "externalUrl", "version"]);
    let named = it.ask("GET", "/users?username=ALICE", None).await;
    assert_eq!(named.header("x-total"), "1");
    assert!(named.header("link").contains("rel=\"first\""), "{}", named.header("link"));
    let listed = named.json();
    let [one] = listed.as_array().expect("a list").as_slice() else { panic!("{listed}") };
    let told = ["id", "username", "name", "state", "avatar_url", "web_url", "created_at", "bot", "is_admin"];
    has_all(one, &told);
    assert_eq!(it.ask("GET", "/users?username=nobody", None).await.json(), json!([]));
    let shown = it.ask("GET", &format!("/users/{user}"), None).await.json();
    assert_eq!(
        (&shown["state"], &shown["bot"], &shown["is_admin"]),
        (&json!("active"), &json!(false), &json!(false))
    );
    // Who is an administrator is for administrators to know.
    let hers = it.gitlab.credential_of(user, &["api"], None);
    assert_eq!(it.by(&hers, "GET", &format!("/users/{user}"), None).await.json()["is_admin"], Value::Null);
    for (path, key, number) in
        [("/projects/acme%2Fapp", "path_with_namespace", project), ("/groups/acme", "full_path", group)]
    {
        let place = it.ask("GET", path, None).await.json();
        assert_eq!(place["id"], number, "{path}");
        assert!(place[key].as_str().is_some_and(|text| text.starts_with("acme")), "{place}");
    }
    // Before 18.0 tokens had two members less.
    it.gitlab.upgrade("17.11.2-ee");
    let old = it.ask("GET", "/personal_access_tokens/self", None).await.members();
    assert_eq!(old.len(), PERSONAL.len() - 2, "{old:?}");
    for path in
        ["/metadata", "/users?username=alice", &format!("/users/{user}"), "/personal_access_tokens/self"]
    {
        let refused = it.by("glpat-of-nobody", "GET", path, None).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()),
            (401, json!({ "message": "401 Unauthorized" })),
            "{path}"
        );
    }
}

#[tokio::test]
async fn tokens_are_found_ended_and_rotated_as_recorded() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let (alice, bob) = (it.gitlab.user("alice"), it.gitlab.user("bob"));
    let hers = it.gitlab.credential_of(alice, &["api"], None);
    let wanted =
        |name: &str| Some(json!({ "name": name, "scopes": ["read_api"], "expires_at": "2026-06-30" }));
    let made = it.ask("POST", &format!("/users/{bob}/impersonation_tokens"), wanted("as bob")).await.json();
    let one = format!("/users/{bob}/impersonation_tokens/{}", made["id"]);
    let seen = it.ask("GET", &one, None).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["impersonation"], &seen.json()["token"]),
        (200, &json!(true), &Value::Null)
    );
    // Nobody but an administrator sees another's tokens, and 401 says so.
    for (method, path) in [
        ("GET", format!("/personal_access_tokens?user_id={bob}")),
        ("DELETE", format!("/personal_access_tokens/{}", made["id"])),
        ("DELETE", "/personal_access_tokens/999".into()),
        ("POST", format!("/personal_access_tokens/{}/rotate", made["id"])),
    ] {
        let refused = it.by(&hers, method, &path, None).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()),
            (401, json!({ "message": "401 Unauthorized" })),
            "{path}"
        );
    }
    assert_eq!(it.by(&hers, "GET", &one, None).await.json(), json!({ "message": "403 Forbidden" }));
    assert_eq!(it.ask("DELETE", &one, None).await.status, 204);
    assert_eq!(
        it.ask("GET", &format!("/users/{bob}/impersonation_tokens?state=active"), None).await.json(),
        json!([])
    );
    // Rotated by number, the old one is dead, and the family with it when it is tried again.
    let first = it.ask("POST", &format!("/users/{bob}/personal_access_tokens"), wanted("his")).await.json();
    let rotate = format!("/personal_access_tokens/{}/rotate", first["id"]);
    let past = Some(json!({ "expires_at": "2026-06-01" }));
    assert_eq!(it.ask("POST", &rotate, past).await.status, 400);
    let second = it.ask("POST", &rotate, Some(json!({ "expires_at": "2026-07-10" }))).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.json()["id"], first["id"]);
    assert!(!it.gitlab.opens(first["token"].as_str().unwrap()));
    assert_eq!(
        it.ask("POST", "/personal_access_tokens/999/rotate", None).await.json(),
        json!({ "message": "404 Not found" })
    );
    let narrow = it.gitlab.credential_of(alice, &["read_user"], None);
    let refused = it.by(&narrow, "POST", "/personal_access_tokens/self/rotate", None).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (403, &json!("insufficient_scope")));
    assert_eq!(it.ask("PUT", "/personal_access_tokens/self", None).await.status, 405);
    // Whoever has a token may end it.
    let text = second.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(it.by(&text, "DELETE", "/personal_access_tokens/self", None).await.status, 204);
    let again = it.by(&text, "DELETE", "/personal_access_tokens/self", None).await;
    assert_eq!((again.status.as_u16(), &again.json()["error"]), (401, &json!("invalid_token")));
    assert_eq!(it.gitlab.live_tokens(), []);
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_as_recorded() {
    let it = Tried::new(MakeBelieve::builder()).await;
    let group = it.gitlab.group("acme");
    let project = Place::Project(it.gitlab.project("acme/app"));
    let bot = it.gitlab.service_account(Some(project), "bot");
    let guest = it.gitlab.user("guest");
    it.gitlab.invite(guest, project);
    let his = it.gitlab.credential_of(guest, &["api"], None);
    let accounts = format!("/projects/acme%2Fapp/service_accounts/{bot}/personal_access_tokens");
    for (path, body, status, message) in [
        ("/projects/acme%2Fapp/access_tokens", json!({ "name": "n" }), 400, "scopes is missing"),
        ("/projects/acme%2Fapp/access_tokens", json!({}), 400, "name is missing, scopes is missing"),
        (
            "/groups/acme/access_tokens",
            json!({ "name": "n", "scopes": ["api"], "access_level": 7 }),
            400,
            "access_level does not have a valid value",
        ),
        (&accounts, json!({ "name": "n", "scopes": ["sudo"] }), 400, "scopes does not have a valid value"),
        (
            "/groups/acme/deploy_tokens",
            json!({ "name": "n", "scopes": [] }),
            400,
            "scopes does not have a valid value",
        ),
        (
            "/projects/acme%2Fapp/deploy_tokens",
            json!({ "name": "n", "scopes": ["read_registry"], "expires_at": "soon" }),
            400,
            "expires_at is invalid",
        ),
        ("/projects/acme%2Fapp/triggers", json!({}), 400, "description is missing"),
    ] {
        let refused = it.ask("POST", path, Some(body)).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()),
            (status, json!({ "error": message })),
            "{path}"
        );
    }
    let body = Some(json!({ "name": "n", "description": "n", "scopes": ["read_api"], "username": "b" }));
    for (path, status) in [
        ("/projects/acme%2Fapp/access_tokens", 401),
        (&*accounts, 403),
        ("/projects/acme%2Fapp/service_accounts", 403),
        ("/service_accounts", 403),
        ("/projects/acme%2Fapp/triggers", 403),
        ("/groups/acme/deploy_tokens", 404),
    ] {
        assert_eq!(it.by(&his, "POST", path, body.clone()).await.status.as_u16(), status, "{path}");
    }
    // Accounts, of all three kinds; their names are unique.
    for path in [
        "/service_accounts",
        &format!("/groups/{group}/service_accounts"),
        "/projects/acme%2Fapp/service_accounts",
    ] {
        let made = it.ask("POST", path, Some(json!({}))).await;
        assert_eq!(
            (made.status.as_u16(), made.members()),
            (201, ["id", "username", "public_email", "name", "email"].map(String::from).to_vec())
        );
    }
    assert_eq!(it.ask("POST", "/service_accounts", Some(json!({ "username": "bot" }))).await.status, 400);
    assert_eq!(it.gitlab.live_tokens(), []);
}

/// Defect 13 of the Vault plugin: each token of a project or a group makes a user that GitLab keeps for a while, and nobody can do
/// anything about that but choose another kind.
#[tokio::test]
async fn defect_13_only_tokens_of_projects_and_groups_leave_a_user_behind() {
    use super::{Alone, Scene, mint};
    use countersign::broker::Kind;
    use countersign::leasing::ports::Gitlab as _;

    let scene = Scene::new().await;
    let client = scene.client();
    for kind in Kind::ALL {
        let holder = scene.holder(&client, *kind).await;
        let before = scene.gitlab.users();
        for name in ["one", "two"] {
            let made = mint(&client, &holder, name).await.unwrap();
            client.revoke(&holder, made.minted.id, &Alone).await.unwrap();
        }
        let left = if matches!(kind, Kind::Project | Kind::Group) { 2 } else { 0 };
        assert_eq!(scene.gitlab.users() - before, left, "{kind}");
    }
    let said = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BROKER.md");
    let said = std::fs::read_to_string(said).expect("the document");
    assert!(said.contains("leave users behind at GitLab"), "it is told to whoever chooses a kind");
}

#[tokio::test]
async fn deploy_tokens_and_triggers_open_what_they_are_for_and_nothing_else() {
    let it = Tried::new(MakeBelieve::builder()).await;
    it.gitlab.group("acme");
    for project in ["acme/app", "acme/other", "elsewhere/app"] {
        it.gitlab.project(project);
    }
    let deploy = |path: &'static str, scopes: Value| {
        let body = json!({ "name": "d", "scopes": scopes, "expires_at": "2026-06-30T00:00:00Z" });
        async { it.ask("POST", path, Some(body)).await.json() }
    };
    let of_project = deploy("/projects/acme%2Fapp/deploy_tokens", json!(["read_repository"])).await;
    let of_group = deploy("/groups/acme/deploy_tokens", json!(["read_registry"])).await;
    let login = |path: String, of: &Value, name: Option<&str>| {
        let name = name.unwrap_or_else(|| of["username"].as_str().unwrap()).to_owned();
        let url = format!("{}{path}", it.gitlab.url());
        let request = client().get(url).basic_auth(name, Some(of["token"].as_str().unwrap()));
        async { request.send().await.unwrap() }
    };
    let refs = |project: &str, service: &str| format!("/{project}.git/info/refs?service=git-{service}-pack");
    let registry = |project: &str, does: &str| {
        format!("/jwt/auth?service=container_registry&scope=repository:{project}:{does}")
    };
    let open = login(refs("acme/app", "upload"), &of_project, None).await;
    assert_eq!(open.headers()["content-type"], "application/x-git-upload-pack-advertisement");
    assert_eq!(open.text().await.unwrap(), "001e# service=git-upload-pack\n0000");
    for (path, of, name) in [
        (refs("acme/app", "receive"), &of_project, None),
        (refs("acme/other", "upload"), &of_project, None),
        (refs("acme/app", "upload"), &of_project, Some("somebody")),
        (refs("acme/app", "upload"), &of_group, None),
        (registry("acme/app", "pull"), &of_project, None),
        (registry("elsewhere/app", "pull"), &of_group, None),
        (registry("acme/app", "push"), &of_group, None),
    ] {
        assert_eq!(login(path.clone(), of, name).await.status(), 401, "{path}");
    }
    assert_eq!(login(registry("acme/other", "pull"), &of_group, None).await.status(), 200);
    let denied =
        client().get(format!("{}{}", it.gitlab.url(), refs("acme/app", "upload"))).send().await.unwrap();
    assert_eq!(
        (denied.status().as_u16(), &denied.headers()["www-authenticate"]),
        (401, &r#"Basic realm="GitLab""#.parse().unwrap())
    );
    // Neither is anything to the API.
    for of in [&of_project, &of_group] {
        assert_eq!(
            it.by(of["token"].as_str().unwrap(), "GET", "/personal_access_tokens/self", None).await.status,
            401
        );
    }
    let trigger =
        it.ask("POST", "/projects/acme%2Fapp/triggers", Some(json!({ "description": "t" }))).await.json();
    let run = async |project: &str, token: &Value| {
        let body = json!({ "token": token, "ref": "main" });
        it.by("", "POST", &format!("/projects/{project}/trigger/pipeline"), Some(body)).await
    };
    let started = run("acme%2Fapp", &trigger["token"]).await;
    assert_eq!((started.status.as_u16(), &started.json()["source"]), (201, &json!("trigger")));
    for (project, token) in [("acme%2Fother", &trigger["token"]), ("acme%2Fapp", &json!("glptt-wrong"))] {
        let refused = run(project, token).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()),
            (404, json!({ "message": "404 Not Found" })),
            "{project}"
        );
    }
    for path in [
        format!("/projects/acme%2Fapp/deploy_tokens/{}", of_project["id"]),
        format!("/groups/acme/deploy_tokens/{}", of_group["id"]),
        format!("/projects/acme%2Fapp/triggers/{}", trigger["id"]),
    ] {
        assert_eq!(it.ask("DELETE", &path, None).await.status, 204, "{path}");
    }
    assert_eq!(login(refs("acme/app", "upload"), &of_project, None).await.status(), 401);
    assert_eq!(it.gitlab.live_tokens(), []);
}
