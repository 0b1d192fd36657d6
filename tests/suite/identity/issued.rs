//! What is issued: the worked examples, and genuine tokens of many kinds.

use super::*;

#[test]
fn the_worked_examples_give_their_san_and_every_extension() {
    let vectors = FIXTURE["vectors"].as_array().expect("vectors");
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        assert_eq!(said(&vector["claims"]), Said::expected(vector), "{}", vector["name"]);
    }
}

#[test]
fn fulcios_recorded_answers_are_met_where_they_are_sound() {
    let recorded: Value =
        serde_json::from_str(include_str!("../../fixtures/fulcio-gitlab.json")).expect("the fixture is JSON");
    let cases = recorded["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 29);
    for case in cases {
        let mut claims = case["claims"].clone();
        claims["exp"] = (NOW.as_secs() + 600).into();
        let ours = principal(&claims).map(|principal| Said::of(&principal));
        let refused = case.get("refused").is_some();
        match (case["quirk"].as_str(), ours) {
            (None, ours) if refused => assert!(ours.is_err(), "{case}"),
            (None, Ok(said)) => assert_eq!((said.san, said.fulcio), recorded_identity(case)),
            (Some("gitlab-environment"), Ok(mut said)) => {
                assert_eq!(said.fulcio.remove(&23).as_deref(), Some("production"));
                assert_eq!((said.san, said.fulcio), recorded_identity(case));
            }
            // Its own URLs in place of gitlab.com's, or the raw text in .9 and .18.
            (Some("gitlab-host" | "gitlab-stricter"), Ok(said)) => assert_eq!(case["san"], said.san),
            (Some("gitlab-host" | "gitlab-stricter" | "control-characters"), Err(_)) => {}
            (_, ours) => panic!("{ours:?}\n{case}"),
        }
    }
}

fn recorded_identity(case: &Value) -> (String, BTreeMap<u32, String>) {
    let expected = Said::expected(&json!({"san": case["san"], "fulcio": case["fulcio"], "gitlab": {}}));
    (expected.san, expected.fulcio)
}

#[test]
fn the_principal_carries_issuer_and_challenge() {
    let principal = principal(&base()).expect("a principal");
    assert_eq!(principal.issuer(), "https://gitlab.com");
    assert_eq!(principal.challenge(), "project_path:acme/widgets:ref_type:branch:ref:main");
    let debug = format!("{principal:?}");
    assert!(debug.contains("https://gitlab.com") && !debug.contains("acme"), "{debug}");
}

#[test]
fn extensions_ascend_fulcios_first() {
    let claims = &FIXTURE["vectors"][4]["claims"];
    let principal = principal(claims).expect("a principal");
    let oids: Vec<String> =
        principal.extensions().iter().map(|extension| extension.oid.to_string()).collect();
    let arc = ClaimsArc::default();
    let fulcio = FULCIO_NAMES.iter().map(|(oid, _)| *oid).filter(|oid| *oid != extensions::OTHER_NAME);
    let fulcio = fulcio.filter(|oid| *oid == extensions::ISSUER || !extensions::is_raw(oid));
    let all: Vec<String> =
        fulcio.chain(GitlabClaim::ALL.map(|claim| arc.oid(claim))).map(|oid| oid.to_string()).collect();
    assert_eq!(oids, all, "a job with an environment has every extension there is");
}

#[test]
fn the_issuer_is_raw_in_1_and_a_utf8string_in_8() {
    let principal = principal(&base()).expect("a principal");
    let content = |oid: ObjectIdentifier| {
        principal.extensions().iter().find(|extension| extension.oid == oid).expect("present").content.clone()
    };
    assert_eq!(content(extensions::ISSUER), b"https://gitlab.com"[..]);
    assert_eq!(content(extensions::ISSUER_V2), b"\x0c\x12https://gitlab.com"[..]);
}

#[test]
fn nothing_about_a_person_enters() {
    let claims = with(json!({
        "user_login": "ada-login", "user_email": "ada@people.example", "user_id": "4711", "user_access_level": "owner-ada",
        "user_identities": [{"provider": "github", "extern_uid": "ada-extern"}], "groups_direct": ["ada-group"],
        "ref": "main",
    }));
    let principal = principal(&claims).expect("a principal");
    for extension in principal.extensions() {
        let content = String::from_utf8_lossy(&extension.content);
        assert!(
            !content.contains("ada") && !content.contains("4711") && !content.contains("jdoe"),
            "{content}"
        );
    }
}

#[test]
fn claims_about_people_may_have_any_shape() {
    for value in [json!(null), json!(7), json!([]), json!({"a": "\u{0}"}), json!("\u{0}")] {
        for claim in [
            "user_login",
            "user_email",
            "user_id",
            "user_access_level",
            "groups_direct",
            "user_identities",
            "jti",
        ] {
            principal(&with(json!({claim: value}))).unwrap_or_else(|refusal| panic!("{claim}: {refusal}"));
        }
    }
}

#[test]
fn an_optional_claim_that_is_absent_null_or_empty_has_no_extension() {
    let optional = [
        (11, "ref_protected", None),
        (12, "environment", Some(23)),
        (13, "environment_protected", None),
        (14, "deployment_tier", None),
        (15, "runner_id", None),
        (19, "job_source", None),
        (20, "project_visibility", Some(22)),
        (23, "ci_config_sha", Some(10)),
    ];
    let full = &FIXTURE["vectors"][4]["claims"];
    for (arc, claim, fulcio) in optional {
        for value in [json!(ABSENT), json!(null), json!("")] {
            if claim == "runner_id" && value == "" {
                continue; // A number cannot be empty.
            }
            let mut claims = full.clone();
            let members = claims.as_object_mut().expect("an object");
            members.insert(claim.to_owned(), value.clone());
            members.retain(|_, value| value != ABSENT);
            let said = said(&claims);
            assert!(!said.gitlab.contains_key(&arc), "{claim} {value}");
            assert!(fulcio.is_none_or(|arc| !said.fulcio.contains_key(&arc)), "{claim} {value}");
            assert_eq!(said.gitlab.len(), 22, "the others stay");
        }
    }
}

#[test]
fn the_full_ref_is_made_where_the_token_lacks_it() {
    for value in [json!(ABSENT), json!(null)] {
        let said = said(&with(json!({"ref_path": value})));
        assert_eq!(said.fulcio[&14], "refs/heads/main");
        assert!(!said.gitlab.contains_key(&10), "the raw claim is not made up");
    }
    let tag = with(json!({
        "ref": "v1", "ref_type": "tag", "ref_path": ABSENT,
        "ci_config_ref_uri": "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/tags/v1",
    }));
    assert_eq!(said(&tag).fulcio[&14], "refs/tags/v1");
}

#[test]
fn genuine_tokens_of_many_kinds_are_taken() {
    let sources = [
        "push",
        "web",
        "trigger",
        "schedule",
        "api",
        "external",
        "pipeline",
        "parent_pipeline",
        "merge_request_event",
        "external_pull_request_event",
        "chat",
        "webide",
        "ondemand_dast_scan",
        "security_orchestration_policy",
        "duo_workflow",
        "a_source_of_the_future",
    ];
    for source in sources {
        let said = said(&with(json!({"pipeline_source": source, "job_source": source})));
        assert_eq!((said.fulcio[&20].as_str(), said.gitlab[&19].as_str()), (source, source));
    }
    let mut genuine = vec![
        with(json!({"runner_environment": "self-hosted", "runner_id": 1})),
        with(json!({"runner_id": 9_223_372_036_854_775_807_u64})),
        with(json!({"project_visibility": "internal"})),
        with(json!({"ref_protected": ""})),
        with(json!({"sub": "project_id:42831435"})),
        with(json!({"sub": "a sub with spaces, é and <>"})),
        with(json!({"sha": "a".repeat(64), "ci_config_sha": "b".repeat(64)})),
        with(json!({"aud": ["sigstore"]})),
        with(
            json!({"job_config": {"url": "https://example.com", "sha": "x"}, "job_source": "pipeline_execution_policy"}),
        ),
        with(json!({"source_project_id": "1", "source_project_path": "acme/widgets"})),
        with(json!({"environment": "review/ünïcode #1", "deployment_tier": "other"})),
        with(json!({"job_project_id": ABSENT, "job_project_path": ABSENT})),
        with(json!({"job_project_id": null, "job_project_path": null})),
        with(json!({"job_project_id": "", "job_project_path": ""})),
        with(json!({"url": "https://evil.example", "server_url": "https://evil.example"})),
    ];
    genuine.extend(["8gears/x", "_a/.b", "a/b/c/d/e/f/g", "A.B/c-d_e", "a/b.git-x", "acme/widgets.js"].map(
        |path| {
            with(json!({
                "project_path": path, "job_project_path": path,
                "ci_config_ref_uri": format!("gitlab.com/{path}//.gitlab-ci.yml@refs/heads/main"),
            }))
        },
    ));
    for claims in genuine {
        principal(&claims).unwrap_or_else(|refusal| panic!("{refusal}\n{claims}"));
    }
}

#[test]
fn the_runner_is_spelled_as_the_token_spells_it() {
    for number in ["1", "12270807", "9223372036854775807", "18446744073709551615"] {
        let claims = with(json!({"runner_id": serde_json::from_str::<Value>(number).expect("a number")}));
        assert_eq!(said(&claims).gitlab[&15], number);
    }
}
