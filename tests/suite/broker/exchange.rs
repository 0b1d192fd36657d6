//! RFC 8693: an ID token in, a GitLab token out.

use super::World;
use crate::support::Answer;
use crate::support::secrets;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_gets_the_token_of_its_role_and_it_works() {
    let world = World::start().await;
    let answer = world.exchange(&world.id_token(), &[("role", "tag")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    let body = answer.json();
    let token = body["access_token"].as_str().expect("a token");
    secrets::note(token.as_bytes());
    assert!(world.gitlab.opens(token));
    assert_eq!(body["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["scope"], "read_api write_repository");
    assert_eq!((&body["role"], &body["token_kind"]), (&"tag".into(), &"project".into()));
    let lives = body["expires_in"].as_u64().expect("seconds");
    assert!((290..=300).contains(&lives), "{lives}");
    assert_eq!(body["lease_id"].as_str().map(str::len), Some(32));
    assert!(body["gitlab_token_id"].is_u64() && body["gitlab_expires_at"].is_string(), "{body}");
    let live = world.live();
    assert!(live[0].name.ends_with(body["lease_id"].as_str().expect("a lease")), "{live:?}");
    world.form("/v1/token-revoke", &[("token", token)]).send().await.expect("an answer");
    world.until_dead().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_ask_for_less() {
    let world = World::start().await;
    let asked = [("role", "tag"), ("scope", "read_api"), ("ttl", "60")];
    let body = world.exchange(&world.id_token(), &asked).await.json();
    secrets::note(body["access_token"].as_str().expect("a token").as_bytes());
    assert_eq!(body["scope"], "read_api");
    assert!(body["expires_in"].as_u64().is_some_and(|lives| (50..=60).contains(&lives)), "{body}");
    // Parameters that OAuth's clients send besides are nobody's business; `audience` names the role too.
    let asked = [("audience", "tag"), ("client_id", "ci"), ("requested_token_type", super::ACCESS)];
    let body = world.exchange(&world.id_token(), &asked).await.json();
    secrets::note(body["access_token"].as_str().expect("a token").as_bytes());
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_asked_for_by_itself_or_as_the_whole_url() {
    let world = World::start().await;
    let resource = format!("{}/my-group/tools", world.gitlab.url());
    for asked in [("path", "my-group/tools"), ("resource", &resource)] {
        let answer = world.exchange(&world.id_token(), &[("role", "chosen"), asked]).await;
        assert_eq!(answer.status, 200, "{asked:?}: {}", answer.text());
        secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
    }
    let call =
        world.gitlab.calls().into_iter().rev().find(|call| call.route.starts_with("POST")).expect("a call");
    let tools = world.gitlab.project("my-group/tools");
    assert!(call.uri.contains(&format!("/projects/{tools}/access_tokens")), "{}", call.uri);
    for wrong in ["https://gitlab.example.com/my-group/tools", "my-group/tools", "", "//"] {
        let asked = [("role", "chosen"), ("resource", wrong)];
        let answer = world.exchange(&world.id_token(), &asked).await;
        assert_eq!(super::refusal(&answer), super::refused_target(), "{wrong}");
    }
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_buys_as_many_tokens_as_the_role_says() {
    let role = super::ROLES.replacen("max_per_token: 20", "max_per_token: 2", 1);
    let world = World::with(&role, "").await;
    let token = world.id_token();
    for _ in 0..2 {
        let answer = world.exchange(&token, &[("role", "tag")]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
    }
    let answer: Answer = world.exchange(&token, &[("role", "tag")]).await;
    assert_eq!(super::refusal(&answer), super::told(400, "invalid_request", "BROKER_TOKEN_USED"));
    world.revoke_all().await;
}

/// A bot is called as its token, and GitLab has a limit for users' names: the longest paths got no token.
#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_a_long_path_gets_its_token() {
    let (project, group) = (format!("my-group/{}", "a".repeat(107)), format!("my-group/{}", "b".repeat(240)));
    let roles = ["project", "group"].map(|kind| {
        format!(
            "\n    - name: {kind}\n      kind: {kind}\n      path: {{ requested: \"my-group/[ab]+\" }}\n      scopes: [read_api]\n      \
             access_level: reporter\n      ttl: 5m\n      token_name: \"{{role}}-{{path}}\"\n      \
             when: claims.namespace_path == \"my-group\""
        )
    });
    let world = World::with(&format!("{}\n", roles.concat()), "").await;
    world.gitlab.project(&project);
    world.gitlab.group(&group);
    assert_eq!(project.len(), 116);
    for (role, path) in [("project", &project), ("group", &group)] {
        let answer = world.exchange(&world.id_token(), &[("role", role), ("path", path)]).await;
        assert_eq!(answer.status, 200, "{role}: {}", answer.text());
        let body = answer.json();
        secrets::note(body["access_token"].as_str().expect("a token").as_bytes());
        let lease = body["lease_id"].as_str().expect("a lease").to_owned();
        let listed = world.ca.get_admin(&format!("/v1/leases/{lease}")).await.json();
        let name = listed["name"].as_str().expect("a name");
        assert_eq!(name, format!("{:.94}-{lease}", format!("{role}-{path}")));
    }
    world.revoke_all().await;
}
