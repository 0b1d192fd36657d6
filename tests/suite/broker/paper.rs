//! `POST /v1/policy/test`: what an operator is told that a job would be told.

use super::World;
use crate::support::Answer;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn roles_can_be_tried_on_paper() {
    let world = World::start().await;
    let roles = world.ca.get_admin("/v1/roles").await.json();
    assert_eq!(roles["roles"].as_array().map(Vec::len), Some(3));
    let targets = world.ca.get_admin("/v1/targets").await.json();
    assert_eq!(targets["targets"][0]["url"], world.gitlab.url());
    let test = async |body: Value| {
        let request = world.ca.http.post(world.ca.admin_url("/v1/policy/test")).body(body.to_string());
        Answer::of(request).await
    };
    let said = test(json!({ "role": "tag", "claims": world.claims() })).await.json();
    assert_eq!((&said["allowed"], &said["path"]), (&json!(true), &json!("my-group/my-project")), "{said}");
    let said = test(json!({ "role": "other", "token": world.id_token() })).await.json();
    assert_eq!(
        (&said["allowed"], &said["reason"]),
        (&json!(false), &json!("BROKER_TARGET_REFUSED")),
        "{said}"
    );
    assert_eq!(said["when"][0]["holds"], false);
    assert_eq!(test(json!({ "role": "nobody", "claims": world.claims() })).await.status, 400);
    assert_eq!(test(json!({ "role": "tag" })).await.status, 400);
    // What the exchange refuses is not allowed on paper, be it for the token alone.
    let with = |name: &str, value: Value| {
        let mut claims = world.claims();
        claims[name] = value;
        claims
    };
    for (case, claims) in [
        ("for signing", with("aud", json!("sigstore"))),
        ("expired", with("exp", json!(1))),
        ("a fork's", with("job_project_path", json!("mallory/my-project"))),
        ("of nobody", with("iss", json!("https://gitlab.example.com"))),
    ] {
        for asked in [
            json!({ "role": "tag", "claims": claims }),
            json!({ "role": "tag", "token": world.token_of(&claims) }),
        ] {
            let said = test(asked).await.json();
            let (allowed, reason) = (&said["allowed"], &said["reason"]);
            assert_eq!((allowed, reason), (&json!(false), &json!("BROKER_TOKEN_REFUSED")), "{case}: {said}");
            assert!(said["when"][0]["text"].is_string(), "{said}");
        }
    }
    let asking = |more: Value| {
        let mut asked = json!({ "role": "chosen", "claims": world.claims() });
        asked.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        test(asked)
    };
    let resource = format!("{}/my-group/tools", world.gitlab.url());
    let said = asking(json!({ "resource": resource, "scope": "read_api", "ttl": 60 })).await.json();
    assert_eq!((&said["path"], &said["ttl_seconds"]), (&json!("my-group/tools"), &json!(60)), "{said}");
    for (more, reason) in [
        (json!({ "path": "my-group/tools", "scope": "api" }), "BROKER_SCOPE_REFUSED"),
        (json!({ "path": "my-group/tools", "ttl": 7200 }), "BROKER_TTL_REFUSED"),
        (json!({ "resource": "https://elsewhere.example/my-group/tools" }), "BROKER_TARGET_REFUSED"),
    ] {
        assert_eq!(asking(more).await.json()["reason"], reason);
    }
    for odd in [
        json!({ "scopes": "api" }),
        json!({ "ttl": "60" }),
        json!({ "ttl": -1 }),
        json!({ "path": 7 }),
        json!({ "path": "a", "resource": "b" }),
    ] {
        assert_eq!(asking(odd.clone()).await.status, 400, "{odd}");
    }
    assert!(world.live().is_empty());
}
