//! What gitlab-jwt-2-pat answers, so that its users change one URL.

use super::World;
use crate::support::{Answer, secrets};
use serde_json::json;

const COMPAT: &str = "  compat: { role: tag }\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_old_paths_answer_as_they_did() {
    let world = World::with(super::ROLES, COMPAT).await;
    let health = world.ca.get("/health").await;
    assert_eq!((health.status.as_u16(), health.text()), (200, "Healthy"));
    let head = Answer::of(world.ca.http.head(world.ca.url("/health"))).await;
    assert_eq!((head.status.as_u16(), head.text()), (200, ""));
    // Of other methods it knew nothing at all.
    for (method, path) in [("POST", "/token"), ("HEAD", "/token"), ("PUT", "/token"), ("POST", "/health")] {
        let method = method.parse().expect("a method");
        let request = world.ca.http.request(method, world.ca.url(path)).bearer_auth(world.id_token());
        assert_eq!(Answer::of(request).await.status, 404, "{path}");
    }
    assert!(world.live().is_empty());
    let get = |path: &str, token: Option<String>| {
        let request = world.ca.http.get(world.ca.url(path));
        Answer::of(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    };
    let answer = get("/token", Some(world.id_token())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    secrets::note(answer.text().as_bytes());
    assert!(world.gitlab.opens(answer.text()), "it is the token and nothing else");
    assert!(answer.header("content-type").starts_with("text/plain"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let chosen = get("/token?role=chosen", Some(world.id_token())).await;
    assert_eq!(super::refusal(&chosen), super::refused_target(), "it needs a path");
    let mut expired = world.claims();
    expired["exp"] = json!(1);
    for token in [None, Some("x".to_owned()), Some(world.token_of(&expired))] {
        let answer = get("/token", token).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (401, ""));
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="gitlab-pat""#);
    }
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_role_of_its_own_the_old_path_asks_for_one() {
    let world = World::start().await;
    let get = |path: &str| Answer::of(world.ca.http.get(world.ca.url(path)).bearer_auth(world.id_token()));
    assert_eq!(super::refusal(&get("/token").await), super::refused_target());
    let answer = get("/token?role=tag").await;
    assert_eq!(answer.status, 200);
    secrets::note(answer.text().as_bytes());
    world.revoke_all().await;
}

/// A deploy token is of no use without its name, and the body is the token alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_tokens_user_name_stands_in_a_header() {
    let deploy = r#"
    - name: deploy
      kind: project-deploy
      path: "{project_path}"
      scopes: [read_repository]
      ttl: 5m
      when: claims.namespace_path == "my-group"
"#;
    let world = World::with(&format!("{}{}", super::ROLES, deploy.trim_start_matches('\n')), COMPAT).await;
    let get = |path: &str| Answer::of(world.ca.http.get(world.ca.url(path)).bearer_auth(world.id_token()));
    let answer = get("/token?role=deploy").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    secrets::note(answer.text().as_bytes());
    assert!(world.gitlab.opens(answer.text()), "it is the token and nothing else");
    let name = answer.header("deploy-token-username").to_owned();
    assert!(name.starts_with("gitlab+deploy-token-"), "{name}");
    let answer = get("/token").await;
    secrets::note(answer.text().as_bytes());
    assert_eq!((answer.status.as_u16(), answer.header("deploy-token-username")), (200, ""));
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_broker_there_is_nothing() {
    let ca = crate::support::TestCa::start().await;
    for path in ["/token", "/health", "/v1/leases/0"] {
        assert_eq!(ca.get(path).await.status, 404, "{path}");
    }
    assert_eq!(ca.get_admin("/v1/leases").await.status, 404);
}
