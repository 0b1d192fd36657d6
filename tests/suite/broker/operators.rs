//! What operators see, and what they may order.

use super::World;
use crate::support::Answer;
use crate::support::gitlab::Fault;
use countersign::leasing::{Method, Rotation};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

async fn post(world: &World, path: &str, form: &str) -> Answer {
    let request = world.ca.http.post(world.ca.admin_url(path));
    Answer::of(request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned()))
        .await
}

async fn leases(world: &World, query: &str) -> Vec<Value> {
    let answer = world.ca.get_admin(&format!("/v1/leases{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["leases"].as_array().expect("leases").clone()
}

/// Weakness 8: nothing was written down.
#[tokio::test(flavor = "multi_thread")]
async fn weakness_8_every_attempt_can_be_listed() {
    let world = World::start().await;
    let lease = world.tag().await;
    world.exchange(&world.id_token(), &[("role", "other")]).await;
    let listed = leases(&world, "").await;
    let [one] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(one["id"], lease["lease_id"]);
    assert_eq!(
        (&one["role"], &one["phase"], &one["kind"]),
        (&json!("tag"), &json!("active"), &json!("project"))
    );
    assert_eq!(one["job"]["job_id"], "302");
    assert!(one["deadline"].as_str().is_some_and(|time| time.ends_with('Z')), "{one}");
    let token = lease["access_token"].as_str().expect("a token");
    assert_eq!(one["minted"]["sha256"], hex::encode(sha256(token)));
    // What is left to whoever has nothing but the log: where the token is, and what it is called there.
    let log = crate::support::logs::text();
    let id = lease["lease_id"].as_str().expect("an id");
    let lines: Vec<_> =
        log.lines().filter(|line| line.contains(id) && line.contains("\"token-issue\"")).collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["target_name"], &line["token_name"]), (&json!("gitlab"), &one["name"]), "{line}");
    assert!(one["name"].as_str().is_some_and(|name| name.ends_with(id)), "{one}");
    let refused = world.ca.get_admin("/v1/attempts").await.json();
    let refused = refused["refused"].as_array().expect("attempts").clone();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["outcome"], "BROKER_TARGET_REFUSED");
    assert_eq!(refused[0]["job"]["project_path"], "my-group/my-project");
    world.revoke_all().await;
}

fn sha256(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_listed_in_pages_and_ended_by_what_they_are_of() {
    let world = World::start().await;
    for _ in 0..5 {
        world.tag().await;
    }
    let first = world.ca.get_admin("/v1/leases?limit=3").await.json();
    assert_eq!(first["leases"].as_array().map(Vec::len), Some(3));
    let next = first["next"].as_str().expect("more");
    let second = world.ca.get_admin(&format!("/v1/leases?limit=3&cursor={next}")).await.json();
    assert_eq!((second["leases"].as_array().map(Vec::len), &second["next"]), (Some(2), &Value::Null));
    for (query, count) in [
        ("?role=tag", 5),
        ("?role=other", 0),
        ("?project=my-group/my-project", 5),
        ("?job=302", 5),
        ("?user=ada", 5),
        ("?user=eve", 0),
        ("?state=active", 5),
        ("?state=revoked", 0),
    ] {
        assert_eq!(leases(&world, query).await.len(), count, "{query}");
    }
    for wrong in ["?limit=0", "?limit=x", "?cursor=x"] {
        assert_eq!(world.ca.get_admin(&format!("/v1/leases{wrong}")).await.status, 400, "{wrong}");
    }
    // Nothing is ended by an order that says nothing.
    for wrong in ["", "all=false", "all=true&role=tag"] {
        assert_eq!(post(&world, "/v1/leases/revoke", wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(world.live().len(), 5);
    let one = leases(&world, "").await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(post(&world, &format!("/v1/leases/{one}/revoke"), "").await.status, 202);
    assert_eq!(post(&world, &format!("/v1/leases/{}/revoke", "0".repeat(32)), "").await.status, 404);
    world.until_listed("revoked", 1).await;
    let answer = post(&world, "/v1/leases/revoke", "project=my-group/my-project").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["revoking"]), (202, &json!(4)));
    world.until_dead().await;
}

/// What can be ended is not given up, and nothing is by what it is of.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_lease_that_cannot_end_is_given_up() {
    let world = World::start().await;
    let lease = world.tag().await["lease_id"].as_str().expect("a lease").to_owned();
    let answer = post(&world, &format!("/v1/leases/{lease}/abandon"), "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("invalid_request")));
    for (path, form, status) in [
        (format!("/v1/leases/{}/abandon", "0".repeat(32)), "", 404),
        ("/v1/leases/x/abandon".to_owned(), "", 404),
        ("/v1/leases/abandon".to_owned(), "all=true", 405),
    ] {
        assert_eq!(post(&world, &path, form).await.status, status, "{path}");
    }
    assert_eq!(leases(&world, "?state=active").await.len(), 1);
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_orders_nothing() {
    let world = World::start().await;
    world.tag().await;
    let request =
        world.ca.http.post(world.ca.admin_url("/v1/leases/revoke")).header("origin", "https://evil.example");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("all=true");
    assert_eq!(Answer::of(request).await.status, 400);
    assert_eq!(world.live().len(), 1);
    world.revoke_all().await;
}

/// A page whose name leads to this listener since a moment ago reads what it likes without an `Origin`; its name it cannot change.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_reads_nothing() {
    let world = World::start().await;
    world.tag().await;
    let get = |path: &str, header: &str, value: &str| {
        Answer::of(world.ca.http.get(world.ca.admin_url(path)).header(header, value))
    };
    for path in ["/v1/leases", "/v1/attempts", "/v1/roles", "/v1/targets"] {
        for (header, value) in [("host", "evil.example:2112"), ("sec-fetch-site", "cross-site")] {
            let answer = get(path, header, value).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["error"]),
                (400, &json!("invalid_request")),
                "{path} {value}"
            );
            assert!(!answer.text().contains("my-group"), "{}", answer.text());
        }
        for (header, value) in
            [("host", "countersign:2112"), ("host", "localhost"), ("sec-fetch-site", "none")]
        {
            assert_eq!(get(path, header, value).await.status, 200, "{path} {value}");
        }
    }
    let order = world.ca.http.post(world.ca.admin_url("/v1/leases/revoke")).header("host", "evil.example");
    let order = order.header("content-type", "application/x-www-form-urlencoded").body("all=true");
    assert_eq!(Answer::of(order).await.status, 400);
    assert_eq!(world.live().len(), 1);
    // Whoever watches it may call it what he likes.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(path, "host", "probe.example").await.status, 200, "{path}");
    }
    world.revoke_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_may_have_names() {
    let world = World::start().await;
    let (gitlab, mut stopped, _directory) = world.stop().await;
    stopped.config.admin_names = vec!["ops.example.com".to_owned()];
    let world = World { gitlab, ca: stopped.start().await, _directory };
    for (host, status) in [("ops.example.com", 200), ("ca.example.com", 400)] {
        let request = world.ca.http.get(world.ca.admin_url("/v1/leases")).header("host", host);
        assert_eq!(Answer::of(request).await.status, status, "{host}");
    }
}

/// An order that is half understood would end what nobody meant, and a list would hide what there is.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_anything_odd_in_it_is_none() {
    let world = World::start().await;
    world.tag().await;
    let names = "there are role, project, job, user, state";
    let table = [
        (
            "project=my-group/my-project&job_id=301",
            format!("\"job_id\" is not one of its parameters; {names}"),
        ),
        ("role=tag&Role=tag", format!("\"Role\" is not one of its parameters; {names}")),
        ("role=tag&job=", "job is empty".to_owned()),
        ("role=tag&job", "job is empty".to_owned()),
        ("role=", "role is empty".to_owned()),
        ("role=tag&role=tag", "role is given twice".to_owned()),
        ("role=tag&role=", "role is given twice".to_owned()),
        (
            "state=bogus",
            "state is one of intent, active, revoking, stuck, settling, revoked, aborted, abandoned, expired"
                .to_owned(),
        ),
    ];
    for (asked, why) in &table {
        let ordered = post(&world, "/v1/leases/revoke", asked).await;
        let listed = world.ca.get_admin(&format!("/v1/leases?{asked}")).await;
        for answer in [ordered, listed] {
            assert_eq!(answer.status, 400, "{asked}: {}", answer.text());
            let said = answer.json()["error_description"].as_str().expect("words").to_owned();
            assert!(said.contains(why.as_str()), "{asked}: {said}");
        }
    }
    for list in [
        "/v1/roles?x=1",
        "/v1/targets?x=1",
        "/v1/attempts?x=1",
        "/v1/attempts?state=active",
        "/v1/attempts?limit=0",
    ] {
        assert_eq!(world.ca.get_admin(list).await.status, 400, "{list}");
    }
    let one = leases(&world, "").await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(world.ca.get_admin(&format!("/v1/leases/{one}?x=1")).await.status, 400);
    for order in ["revoke", "abandon"] {
        assert_eq!(
            post(&world, &format!("/v1/leases/{one}/{order}"), "role=xx").await.status,
            400,
            "{order}"
        );
        assert_eq!(
            post(&world, &format!("/v1/leases/{one}/{order}?role=xx"), "").await.status,
            400,
            "{order}"
        );
    }
    assert_eq!(post(&world, "/v1/targets/gitlab/rotate", "method=create").await.status, 400);
    assert_eq!(post(&world, "/v1/leases/revoke?role=other", "all=true").await.status, 400);
    for wrong in ["role=tag&all=true", "all=1", "all=", "all=true&all=true", "limit=1", "role=tag&limit=1"] {
        assert_eq!(post(&world, "/v1/leases/revoke", wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(world.ca.get_admin("/v1/leases?all=true").await.status, 400);
    // What was in the wrong place is shown to nobody at length.
    let secret = format!("glpat-{}", "s".repeat(60));
    let answer = post(&world, "/v1/leases/revoke", &secret).await;
    assert!(answer.status == 400 && !answer.text().contains(&secret), "{}", answer.text());
    assert_eq!(world.live().len(), 1);
    let answer = post(&world, "/v1/leases/revoke", "project=my-group/my-project&job=302").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["revoking"]), (202, &json!(1)));
    world.until_dead().await;
}

/// Who looks for a token that was used in a wrong place has its number or its digest, long after its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_over_still_says_which_token_it_was_and_why_it_ended() {
    let world = World::start().await;
    let lease = world.tag().await;
    world.exchange(&world.id_token(), &[("role", "other")]).await;
    let id = lease["lease_id"].as_str().expect("a lease").to_owned();
    let shown = async || world.ca.get_admin(&format!("/v1/leases/{id}")).await.json();
    let before = shown().await;
    let day = lease["gitlab_expires_at"].clone();
    assert_eq!((&before["asked_expiry"], &before["minted"]["expires"]), (&day, &day), "{before}");
    let minted = json!({
        "id": lease["gitlab_token_id"], "sha256": hex::encode(sha256(lease["access_token"].as_str().expect("a token"))), "expires": day,
    });
    let is_time = |value: &Value| {
        value.as_str().is_some_and(|text| text.len() == 20 && text.starts_with("20") && text.ends_with('Z'))
    };
    assert!(is_time(&before["job"]["expires"]), "{before}");
    assert_eq!(before["minted"], minted);
    world.revoke_all().await;
    world.until_listed("revoked", 1).await;
    let after = shown().await;
    assert_eq!(
        (&after["phase"], &after["why"], &after["minted"]),
        (&json!("revoked"), &json!("operator"), &minted)
    );
    assert!(is_time(&after["at"]) && is_time(&after["job"]["expires"]), "{after}");
    assert_eq!(after["asked_expiry"], day);
    assert_eq!(leases(&world, "").await, [after]);
    let refused = world.ca.get_admin("/v1/attempts").await.json();
    let refused = &refused["refused"][0];
    assert!(is_time(&refused["time"]) && is_time(&refused["job"]["expires"]), "{refused}");
}

/// What is no UTF-8 names nothing: that is told like any other refusal, on both listeners.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_text_is_nobodys() {
    let world = World::start().await;
    let of_the_job = world.ca.http.get(world.ca.url("/v1/leases/%ff")).bearer_auth(world.id_token());
    for (answer, status, reason) in [
        (world.ca.get_admin("/v1/leases/%ff").await, 404, "BROKER_LEASE_UNKNOWN"),
        (post(&world, "/v1/leases/%ff/revoke", "").await, 404, "BROKER_LEASE_UNKNOWN"),
        (post(&world, "/v1/targets/%ff/rotate", "").await, 404, "BROKER_TARGET_UNKNOWN"),
        (post(&world, "/v1/targets/gitlab/rotate", "").await, 409, "BROKER_NOT_ROTATED"),
        (Answer::of(of_the_job).await, 404, "BROKER_LEASE_UNKNOWN"),
        (world.ca.get("/v1/leases/%ff").await, 400, "BROKER_TOKEN_REFUSED"),
    ] {
        let told = (answer.status.as_u16(), answer.json()["reason"].as_str().map(str::to_owned));
        assert_eq!(told, (status, Some(reason.to_owned())), "{}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store", "{reason}");
    }
}

/// An operator who is told that nothing was replaced orders it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_was_replaced_is_told_of_whatever_became_of_the_old_one() {
    let (gitlab, mut stopped, directory) = World::start().await.stop().await;
    let key = directory.path().join("seal.key");
    fs::write(&key, "1".repeat(64)).expect("a file");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode");
    let broker = stopped.config.broker.as_mut().expect("a broker");
    broker.seal_key = Some(key);
    let day = Duration::from_secs(24 * 3600);
    broker.targets[0].rotate = Some(Rotation { before: day, lifetime: 30 * day, method: Method::Auto });
    let world = World { gitlab, ca: stopped.start().await, _directory: directory };
    let no = Fault::Status(403, r#"{"message":"403 Forbidden"}"#);
    world.gitlab.faults().script("DELETE /personal_access_tokens/{token_id}", [no]);
    let rotated = post(&world, "/v1/targets/gitlab/rotate", "").await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let rotated = rotated.json();
    assert!(rotated["credential_expires_at"].is_string(), "{rotated}");
    let target = world.ca.get_admin("/v1/targets").await.json()["targets"][0].clone();
    assert!(rotated["credential_id"].is_u64(), "{rotated}");
    assert_eq!(target["credential_id"], rotated["credential_id"]);
    assert_eq!(target["credentials_to_revoke"].as_array().map(Vec::len), Some(1), "{target}");
    assert!(world.gitlab.opens(world.gitlab.credential()));
    let ready = world.ca.get_admin("/readyz").await;
    assert!(ready.text().contains("is to be revoked: refused with 403"), "{}", ready.text());
    // The next one ends both.
    let again = post(&world, "/v1/targets/gitlab/rotate", "").await.json();
    assert_ne!(again["credential_id"], rotated["credential_id"]);
    let target = world.ca.get_admin("/v1/targets").await.json()["targets"][0].clone();
    assert_eq!(target["credentials_to_revoke"], json!([]), "{target}");
    assert!(!world.gitlab.opens(world.gitlab.credential()));
}
