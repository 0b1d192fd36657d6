//! What is refused, with which error; nobody learns more than that, and GitLab is not asked.

use super::{ACCESS, GRANT, ID_TOKEN, World, refusal, refused_target, told};
use crate::support::Answer;
use crate::support::gitlab::Fault;
use serde_json::{Value, json};

const INVALID: (u16, &str, &str) = (400, "invalid_request", "BROKER_REQUEST_INVALID");
const TOKEN: (u16, &str, &str) = (400, "invalid_request", "BROKER_TOKEN_REFUSED");

fn is(answer: &Answer, (status, error, reason): (u16, &str, &str), case: &str) {
    assert_eq!(refusal(answer), told(status, error, reason), "{case}: {}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
}

/// Whether anything was made.
fn nothing_was_asked(world: &World) {
    let made = world.gitlab.calls().into_iter().filter(|call| call.route.starts_with("POST")).count();
    assert_eq!(made, 0, "{:?}", world.gitlab.calls());
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_as_the_rfc_has_them() {
    let world = World::start().await;
    let token = world.id_token();
    let whole = [
        ("grant_type", GRANT),
        ("subject_token", &*token),
        ("subject_token_type", ID_TOKEN),
        ("role", "tag"),
    ];
    let without = |name: &str| whole.iter().copied().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &'static str| [&whole[..], &[(name, value)]].concat();
    let instead = |name: &'static str, value: &'static str| [without(name), vec![(name, value)]].concat();
    let unsupported = (400, "unsupported_grant_type", "BROKER_GRANT_TYPE_UNSUPPORTED");
    let ttl = (400, "invalid_request", "BROKER_TTL_REFUSED");
    let table = [
        (without("grant_type"), INVALID),
        (instead("grant_type", "authorization_code"), unsupported),
        (without("subject_token"), INVALID),
        (instead("subject_token", ""), INVALID),
        (without("subject_token_type"), INVALID),
        (instead("subject_token_type", ACCESS), INVALID),
        (without("role"), INVALID),
        (with("role", "other"), INVALID),
        (with("role", ""), INVALID),
        ([&whole[..], &[("unknown", "1"), ("unknown", "1")]].concat(), INVALID),
        (with("audience", "other"), INVALID),
        (with("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), INVALID),
        (with("actor_token", "x"), INVALID),
        (with("actor_token_type", "x"), INVALID),
        (with("scope", "api"), (400, "invalid_scope", "BROKER_SCOPE_REFUSED")),
        (with("scope", "read_api sudo"), (400, "invalid_scope", "BROKER_SCOPE_REFUSED")),
        (with("ttl", "0"), ttl),
        (with("ttl", "-5"), ttl),
        (with("ttl", "9"), ttl),
        (with("ttl", "3601"), ttl),
        (with("ttl", "1.5"), ttl),
        (with("ttl", "99999999999999999999"), ttl),
        (instead("subject_token", "a.b"), TOKEN),
        (instead("subject_token", "a.b.c"), TOKEN),
    ];
    for (form, expected) in table {
        let answer = Answer::of(world.form("/v1/token-exchange", &form)).await;
        is(&answer, expected, &format!("{:?}", form.iter().map(|(name, _)| name).collect::<Vec<_>>()));
    }
    let request = world.ca.http.post(world.ca.url("/v1/token-exchange"));
    let json = request.try_clone().expect("no body").header("content-type", "application/json").body("{}");
    is(&Answer::of(json).await, INVALID, "JSON");
    let form = request.header("content-type", "application/x-www-form-urlencoded");
    let large = form.try_clone().expect("no body").body("a=".to_owned() + &"x".repeat(140_000));
    is(&Answer::of(large).await, INVALID, "140 KB");
    let many = form.try_clone().expect("no body").body("a=1&".repeat(70));
    is(&Answer::of(many).await, INVALID, "70 parameters");
    is(&Answer::of(form.body("grant_type=%ff")).await, INVALID, "not UTF-8");
    nothing_was_asked(&world);
}

/// A user in hundreds of groups has such a token: it is as good as a small one, up to what certificates take.
#[tokio::test(flavor = "multi_thread")]
async fn large_id_tokens_are_taken_up_to_64_kib() {
    let world = World::start().await;
    let token_of = |groups: usize| {
        let mut claims = world.claims();
        claims["groups_direct"] = (0..groups).map(|n| Value::from(format!("group-{n:032}"))).collect();
        world.token_of(&claims)
    };
    let (large, larger) = (token_of(1_120), token_of(1_250));
    assert!(
        (60_000..65_536).contains(&large.len()) && larger.len() > 65_536,
        "{} {}",
        large.len(),
        larger.len()
    );
    let refused = world.exchange(&larger, &[("role", "tag")]).await;
    is(&refused, TOKEN, "above 64 KiB");
    let words = refused.json()["error_description"].to_string();
    assert!(words.contains("The ID token is larger than 64 KiB."), "{words}");
    nothing_was_asked(&world);
    let given = world.exchange(&large, &[("role", "tag")]).await;
    assert_eq!(given.status, 200, "{}", given.text());
}

/// Weakness 4 of gitlab-jwt-2-pat, and what is wrong with tokens besides: one answer for all.
#[tokio::test(flavor = "multi_thread")]
async fn weakness_4_a_token_for_anybody_else_buys_nothing() {
    let world = World::start().await;
    let claims = world.claims();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        world.token_of(&claims)
    };
    let now = claims["iat"].as_u64().expect("a time");
    let table = [
        ("signing", with("aud", json!("sigstore"))),
        ("both", with("aud", json!([super::AUDIENCE, "sigstore"]))),
        ("twice", with("aud", json!([super::AUDIENCE, super::AUDIENCE]))),
        ("none", with("aud", json!([]))),
        ("no audience", with("aud", Value::Null)),
        ("almost", with("aud", json!(format!("{}/", super::AUDIENCE)))),
        ("expired", with("exp", json!(now - 3600))),
        ("not yet", with("nbf", json!(now + 3600))),
        ("another issuer", with("iss", json!("https://gitlab.example.com"))),
        ("no jti", with("jti", Value::Null)),
        ("a fork", with("job_project_path", json!("mallory/my-project"))),
        ("no project", with("project_path", Value::Null)),
        ("changed", format!("{}x", world.id_token())),
    ];
    let mut bodies = Vec::new();
    for (case, token) in table {
        let answer = world.exchange(&token, &[("role", "tag")]).await;
        is(&answer, TOKEN, case);
        bodies.push(answer.text().to_owned());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    nothing_was_asked(&world);
    // The reverse: the broker's token is none for a certificate.
    let mut request = world.ca.signing_request();
    request["credentials"]["oidcIdentityToken"] = world.id_token().into();
    assert_eq!(world.ca.sign(&request).await.reason(), "TOKEN_AUDIENCE_MISMATCH");
}

/// Every attempt is an event and a record, whatever is wrong with it, and counts for its project.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_understood_is_an_attempt_all_the_same() {
    let world = World::start().await;
    let token = world.id_token();
    let elsewhere = "https://elsewhere.example/my-group/tools";
    let whole = [("subject_token", &*token), ("subject_token_type", ID_TOKEN), ("role", "tag")];
    let unsupported = "BROKER_GRANT_TYPE_UNSUPPORTED";
    for (form, reason) in [
        ([&whole[..], &[("grant_type", "password")]].concat(), unsupported),
        (whole.to_vec(), "BROKER_REQUEST_INVALID"),
        ([&whole[..2], &[("grant_type", GRANT)]].concat(), "BROKER_REQUEST_INVALID"),
        ([&whole[..], &[("grant_type", GRANT), ("ttl", "5m")]].concat(), "BROKER_TTL_REFUSED"),
        ([&whole[..], &[("grant_type", GRANT), ("resource", elsewhere)]].concat(), "BROKER_TARGET_REFUSED"),
        ([&whole[..], &[("grant_type", GRANT), ("actor_token", "x")]].concat(), "BROKER_REQUEST_INVALID"),
    ] {
        let answer = Answer::of(world.form("/v1/token-exchange", &form)).await;
        assert_eq!(refusal(&answer).2, reason, "{}", answer.text());
        let newest = world.ca.get_admin("/v1/attempts?limit=1&job=302").await.json()["refused"][0].clone();
        assert_eq!(
            (&newest["outcome"], &newest["job"]["job_id"]),
            (&json!(reason), &json!("302")),
            "{newest}"
        );
        assert!(
            newest["detail"].as_str().is_some_and(|why| !why.is_empty())
                || reason == unsupported
                || reason == "BROKER_TTL_REFUSED",
            "{newest}"
        );
    }
    // On the old path as well.
    let request = world.ca.http.get(world.ca.url("/token?role=&role=tag")).bearer_auth(&token);
    is(&Answer::of(request).await, INVALID, "twice");
    assert_eq!(world.ca.get_admin("/v1/attempts").await.json()["refused"].as_array().map(Vec::len), Some(7));
    // Without a token that holds there is a line, and no record that could push out another.
    for form in [
        &[("grant_type", GRANT)][..],
        &[("grant_type", "x"), ("subject_token", "a.b.c")],
        &[("a", "1"), ("a", "2")],
    ] {
        assert_eq!(Answer::of(world.form("/v1/token-exchange", form)).await.status, 400);
    }
    assert_eq!(world.ca.get_admin("/v1/attempts").await.json()["refused"].as_array().map(Vec::len), Some(7));
    let metrics = world.ca.get_admin("/metrics").await.text().to_owned();
    for line in [
        r#"countersign_broker_exchanges_total{result="BROKER_REQUEST_INVALID",role="tag"} 2"#,
        r#"countersign_broker_exchanges_total{result="BROKER_TTL_REFUSED",role="tag"} 1"#,
        r#"countersign_broker_exchanges_total{result="BROKER_REQUEST_INVALID",role="unknown"} 4"#,
        r#"countersign_broker_exchanges_total{result="BROKER_GRANT_TYPE_UNSUPPORTED",role="unknown"} 1"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    nothing_was_asked(&world);
    let world = World::with(super::ROLES, "  rate_per_project: 1\n").await;
    let (one, other) = (world.id_token(), world.id_token());
    is(
        &world.exchange(&one, &[("role", "tag"), ("path", "a"), ("resource", "b")]).await,
        INVALID,
        "the first",
    );
    let limited = (429, "temporarily_unavailable", "BROKER_LIMIT_REACHED");
    is(&world.exchange(&other, &[("role", "tag"), ("ttl", "5m")]).await, limited, "the second");
}

/// Which instances are configured is learnt by nobody without an ID token that holds, nor by whoever has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_tells_nothing_of_the_targets() {
    let world = World::start().await;
    let here = format!("{}/my-group/tools", world.gitlab.url());
    let elsewhere = "https://elsewhere.example/my-group/tools";
    let (token, other) = (world.id_token(), [("role", "other")]);
    for (token, expected) in [("x.y.z", TOKEN), (&*token, (400, "invalid_target", "BROKER_TARGET_REFUSED"))] {
        let mut bodies = Vec::new();
        for resource in [&*here, elsewhere, "no URL"] {
            let answer = world.exchange(token, &[&other[..], &[("resource", resource)]].concat()).await;
            is(&answer, expected, resource);
            bodies.push(answer.text().to_owned());
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_says_no_and_one_that_is_not_there_answer_alike() {
    let world = World::start().await;
    let token = world.id_token();
    let mut answers = Vec::new();
    for asked in [
        vec![("role", "nobody-has-this")],
        vec![("role", "other")],
        vec![("role", "tag"), ("path", "my-group/tools")],
        vec![("role", "chosen")],
        vec![("role", "chosen"), ("path", "my-group/tools/more")],
        vec![("role", "chosen"), ("path", "elsewhere/my-group/tools")],
        vec![("role", "chosen"), ("path", "my-group/../elsewhere/app")],
        vec![("role", "chosen"), ("path", "my-group%2Ftools")],
        vec![("role", "chosen"), ("path", "my-group/tools.git")],
        vec![("role", "other"), ("scope", "sudo")],
        vec![("role", "other"), ("ttl", "1")],
    ] {
        let answer = world.exchange(&token, &asked).await;
        assert_eq!(refusal(&answer), refused_target(), "{asked:?}");
        answers.push(answer.text().to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    nothing_was_asked(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_wrong_place_is_written_down_nowhere() {
    let world = World::start().await;
    let secret = "glpat-a-token-in-the-wrong-place";
    for asked in [
        vec![("role", secret)],
        vec![("role", "tag"), ("path", secret)],
        vec![("role", "chosen"), ("path", "my-group/glpat-a-token-in-the-wrong-place/x")],
        vec![("role", "tag"), ("scope", secret)],
    ] {
        let answer = world.exchange(&world.id_token(), &asked).await;
        assert_eq!(answer.status, 400, "{asked:?}");
        assert!(!answer.text().contains(secret), "{asked:?}");
    }
    let listed = world.ca.get_admin("/v1/attempts").await;
    assert_eq!(listed.json()["refused"].as_array().map(Vec::len), Some(4));
    assert!(!listed.text().contains("wrong-place"), "{}", listed.text());
    assert!(!crate::support::logs::text().contains("token-in-the-wrong-place"));
}

/// Weakness 9: the machine's own words went to the caller.
#[tokio::test(flavor = "multi_thread")]
async fn weakness_9_gitlabs_words_are_for_the_operator() {
    let world = World::start().await;
    let post = "POST /projects/{id}/access_tokens";
    let refused = (502, "invalid_target", "BROKER_GITLAB_REFUSED");
    let unavailable = (503, "temporarily_unavailable", "BROKER_GITLAB_UNAVAILABLE");
    let table = [
        (Fault::Status(400, "scopes are wrong, secretly"), refused),
        (Fault::Status(404, "404 Project Not Found"), refused),
        (Fault::Status(503, "maintenance of rack 7"), unavailable),
        (Fault::DropBefore, unavailable),
    ];
    for (fault, expected) in table {
        let case = format!("{fault:?}");
        world.gitlab.faults().script(post, [fault]);
        let answer = world.exchange(&world.id_token(), &[("role", "tag")]).await;
        is(&answer, expected, &case);
        assert_eq!(answer.header("retry-after").is_empty(), expected.0 == 502, "{case}");
        let text = answer.text();
        assert!(!text.contains("secretly") && !text.contains("rack") && !text.contains("404"), "{text}");
    }
    world.until_dead().await;
}

/// What buys a token of GitLab's is held to tighter times than what buys a certificate.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_is_good_until_its_end_and_half_a_minute_for_a_day_at_most() {
    let world = World::start().await;
    let now = world.claims()["iat"].as_i64().expect("a time");
    let with = |changes: &[(&str, i64)]| {
        let mut claims = world.claims();
        for (name, by) in changes {
            claims[*name] = json!(now + by);
        }
        world.token_of(&claims)
    };
    const DAY: i64 = 86_400;
    for good in [
        &[("exp", -20)][..],
        &[("nbf", 20)],
        &[("iat", 20)],
        &[("iat", 60 - DAY), ("nbf", 60 - DAY), ("exp", 20)],
        &[("nbf", -2 * DAY)],
    ] {
        let answer = world.exchange(&with(good), &[("role", "tag")]).await;
        assert_eq!(answer.status, 200, "{good:?}: {}", answer.text());
    }
    let mut ageless = world.claims();
    ageless.as_object_mut().expect("claims").remove("iat");
    let bad = [
        ("over", with(&[("exp", -31)])),
        ("not yet", with(&[("nbf", 90)])),
        ("from the future", with(&[("iat", 90)])),
        ("old", with(&[("iat", -1 - DAY), ("exp", 3600)])),
        ("ageless", world.token_of(&ageless)),
    ];
    for (case, token) in &bad {
        is(&world.exchange(token, &[("role", "tag")]).await, TOKEN, case);
    }
    world.revoke_all().await;
}

/// What a role refuses and what GitLab refuses count as much as what is given: nobody makes the broker ask without an end.
#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_asks_too_often_waits_and_gitlab_hears_nothing_of_it() {
    let world = World::with(super::ROLES, "  rate_per_project: 2\n").await;
    let tag = [("role", "tag")];
    assert_eq!(refusal(&world.exchange(&world.id_token(), &[("role", "other")]).await), refused_target());
    let lookup = "GET /projects/{id}";
    world.gitlab.faults().script(lookup, [Fault::Status(404, "404 Project Not Found")]);
    let refused = (502, "invalid_target", "BROKER_GITLAB_REFUSED");
    is(&world.exchange(&world.id_token(), &tag).await, refused, "the second");
    let before = world.gitlab.calls().len();
    let limited = (429, "temporarily_unavailable", "BROKER_LIMIT_REACHED");
    for role in ["tag", "other", "nobody-has-this"] {
        let answer = world.exchange(&world.id_token(), &[("role", role)]).await;
        is(&answer, limited, role);
        let wait: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=30).contains(&wait), "{wait}");
    }
    let kept = world.ca.get_admin("/v1/attempts").await.json();
    assert_eq!(
        kept["refused"].as_array().map(Vec::len),
        Some(2),
        "those beyond the rate push none out: {kept}"
    );
    let calls: Vec<_> = world.gitlab.calls().split_off(before).into_iter().map(|call| call.route).collect();
    assert!(!calls.iter().any(|route| route.contains("projects")), "{calls:?}");
    // A token that does not hold says nothing of any project; another project is not concerned.
    is(&world.exchange("a.b.c", &tag).await, TOKEN, "no token");
    let mut claims = world.claims();
    claims["project_id"] = json!("99");
    claims["job_project_id"] = json!("99");
    let answer = world.exchange(&world.token_of(&claims), &tag).await;
    assert_eq!(refusal(&answer), refused_target(), "GitLab has another project at its path");
    let metrics = world.ca.get_admin("/metrics").await;
    let counted = r#"countersign_broker_exchanges_total{result="BROKER_LIMIT_REACHED",role="tag"} 1"#;
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    world.revoke_all().await;
}

/// Defect 3 of the Vault plugin: what a release has was refused by that release, since `17.9.0-ee` counted as older than 17.9.
#[tokio::test(flavor = "multi_thread")]
async fn defect_3_what_the_instance_is_too_old_for_is_refused_and_the_operator_is_told_why() {
    let role = |name: &str, scopes: &str, level: &str| {
        format!(
            "\n    - {{ name: {name}, kind: project, path: '{{project_path}}', scopes: [{scopes}], access_level: {level}, ttl: 5m,\n        \
             max_per_token: 20, when: 'claims.namespace_path == \"my-group\"' }}"
        )
    };
    let roles =
        [role("rotating", "read_api, self_rotate", "developer"), role("planning", "read_api", "planner")];
    for (version, rotating, planning) in [
        ("17.6.9", false, false),
        ("17.7.0-ee", false, true),
        ("17.8.9-ee", false, true),
        ("17.9.0-ee", true, true),
        ("17.10.0", true, true),
    ] {
        let gitlab = crate::support::gitlab::MakeBelieve::builder().version(version);
        let world = World::of(gitlab, &format!("{}\n", roles.concat()), "").await;
        world.until_known().await;
        for (name, allowed, why) in [
            ("rotating", rotating, "self_rotate is there since GitLab 17.9, and this one is 17."),
            ("planning", planning, "planner is there since GitLab 17.7, and this one is 17.6"),
        ] {
            let answer = world.exchange(&world.id_token(), &[("role", name)]).await;
            if allowed {
                assert_eq!(answer.status, 200, "{version} {name}: {}", answer.text());
                crate::support::secrets::note(
                    answer.json()["access_token"].as_str().expect("a token").as_bytes(),
                );
                continue;
            }
            assert_eq!(refusal(&answer), refused_target(), "{version} {name}");
            assert!(!answer.text().contains("17."), "{}", answer.text());
            let attempts = world.ca.get_admin("/v1/attempts").await.json();
            let detail = attempts["refused"][0]["detail"].as_str().expect("a reason");
            assert!(detail.contains(why), "{version} {name}: {detail}");
        }
        let made = [rotating, planning].into_iter().filter(|allowed| *allowed).count();
        assert_eq!(world.live().len(), made, "{version}");
        world.revoke_all().await;
    }
}

/// The job that asks for less has it, operators see why the others have nothing, and after an upgrade nobody waits for long.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_too_new_for_its_gitlab_is_told_of_and_works_after_an_upgrade() {
    let role = "
    - { name: rotating, kind: project, path: '{project_path}', scopes: [read_api, self_rotate], access_level: developer, ttl: 5m,
        max_per_token: 20, when: 'claims.namespace_path == \"my-group\"' }\n";
    let gitlab = crate::support::gitlab::MakeBelieve::builder().version("17.8.9-ee");
    let world = World::of(gitlab, role, "").await;
    world.until_known().await;
    let told = "role rotating: self_rotate is there since GitLab 17.9, and this one is 17.8";
    assert!(world.ca.get_admin("/readyz").await.text().contains(told));
    let ask = async |more: &[(&str, &str)]| {
        let answer = world.exchange(&world.id_token(), &[&[("role", "rotating")], more].concat()).await;
        assert_eq!(answer.status, 200, "{more:?}: {}", answer.text());
        crate::support::secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
    };
    ask(&[("scope", "read_api")]).await;
    world.gitlab.upgrade("17.9.0-ee");
    ask(&[]).await;
    assert!(!world.ca.get_admin("/readyz").await.text().contains("rotating"));
    world.revoke_all().await;
}
