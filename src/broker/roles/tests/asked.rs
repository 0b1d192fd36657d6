//! What jobs ask for, and what roles must not be.

use super::*;
use crate::broker::Lease;

/// Defect 1: a pattern was looked for anywhere in what was asked for.
#[test]
fn defect_1_a_requested_path_is_matched_whole() {
    let of = |pattern: &str| role(|draft| draft.path = Some(Some(PathText::Requested(pattern.to_owned()))));
    let asked = |path: &str| TokenRequest { path: Some(path.into()), ..request() };
    for (pattern, path, expected) in [
        ("team/[a-z]+", "team/app", None),
        ("team/[a-z]+", "evil-team/app", Some(Code::TargetRefused)),
        ("team/[a-z]+", "team/app/x", Some(Code::TargetRefused)),
        ("team/a|team/b", "team/ax", Some(Code::TargetRefused)),
        ("team/a|team/b", "xteam/b", Some(Code::TargetRefused)),
        ("team/[a-z]+$", "team/app", None),
        ("team/.*", "team/..", Some(Code::TargetRefused)),
        ("team/.*", "team/a%2fb", Some(Code::TargetRefused)),
        ("team/.*", "team/app.git", Some(Code::TargetRefused)),
    ] {
        assert_eq!(code(of(pattern), json!({}), &asked(path)), expected, "{pattern} {path}");
    }
    // Nothing asked for where something must be.
    assert_eq!(code(of("team/a"), json!({}), &request()), Some(Code::TargetRefused));
}

/// Defect 2: with a pattern for paths, what was wrong with the name's template was forgotten.
#[test]
fn defect_2_everything_that_is_wrong_is_said_at_once() {
    let faults = faults(|draft| {
        draft.name = Some("-".into());
        draft.kind = Some(Kind::ProjectDeploy);
        draft.path = Some(Some(PathText::Requested("(".into())));
        draft.token_name = Some("{nobody}".into());
        draft.scopes = Some(vec!["api".into(), "sudo".into()]);
        draft.ttl = Some(Duration::from_secs(9));
        draft.max_ttl = Some(Some(Duration::from_secs(8)));
        draft.when = Some(condition("true"));
        draft.max_active = Some(0);
        draft.allow_admin = Some(true);
    });
    assert_eq!(
        keys(&faults),
        [
            "name",
            "path",
            "scopes",
            "scopes",
            "access_level",
            "ttl",
            "max_ttl",
            "max_ttl",
            "token_name",
            "when",
            "max_active",
            "allow_admin"
        ],
    );
}

fn lease_of(grant: &Grant) -> Lease {
    let id = LeaseId::parse(&"0".repeat(32)).expect("an id");
    grant.lease(id, ISSUER, Vec::new(), NOW, NOW)
}

/// The broker's deadline goes by the time that does not go back, GitLab's by its date.
#[test]
fn a_clock_that_was_set_back_moves_what_gitlab_is_asked_for_and_no_deadline() {
    let grant = ask(role(|_| {}), json!({}), &request()).expect("granted");
    let id = LeaseId::parse(&"0".repeat(32)).expect("an id");
    let day = Duration::from_secs(24 * 3600);
    let lease = grant.lease(id, ISSUER, vec![2], NOW.plus(day), NOW);
    assert_eq!((lease.created, lease.deadline), (NOW.plus(day), NOW.plus(day + Duration::from_secs(300))));
    assert_eq!(lease.asked_expiry.map(|expiry| expiry.date()).as_deref(), Some("2026-06-30"));
    assert_eq!((&*lease.instance, lease.name.ends_with(&id.to_string())), (ISSUER, true));
}

/// Defect 8: GitLab was to end triggers, which it never does; and a life of nothing was taken.
#[test]
fn defect_8_nobody_leaves_triggers_to_gitlab() {
    let trigger = |draft: &mut Draft| {
        draft.kind = Some(Kind::PipelineTrigger);
        draft.scopes = Some(Vec::new());
        draft.access_level = Some(None);
    };
    let faults = faults(|draft| {
        trigger(draft);
        draft.revocation = Some(Revocation::Gitlab);
        draft.ttl = Some(Duration::ZERO);
        draft.max_ttl = Some(None);
    });
    assert_eq!(keys(&faults), ["ttl", "revoke"]);
    let mut role = role(trigger);
    for revocation in [Revocation::Broker, Revocation::Gitlab] {
        role.revocation = revocation;
        let lease = lease_of(&ask(role.clone(), json!({}), &request()).expect("granted"));
        assert_eq!(
            (lease.asked_expiry, lease.revocation),
            (None, Revocation::Broker),
            "whatever a role says"
        );
        assert_eq!(lease.deadline, NOW.plus(Duration::from_secs(300)));
    }
}

/// Defect 9: of deploy tokens GitLab does not say when they end, and a lease ended before it began.
#[test]
fn defect_9_what_was_asked_for_is_known_where_gitlab_does_not_say() {
    let role = role(|draft| {
        draft.kind = Some(Kind::ProjectDeploy);
        draft.access_level = Some(None);
        draft.scopes = Some(vec!["read_repository".into()]);
        draft.revocation = Some(Revocation::Gitlab);
        draft.ttl = Some(LONGEST_TTL);
        draft.max_ttl = Some(None);
    });
    let lease = lease_of(&ask(role, json!({}), &request()).expect("granted"));
    let expiry = lease.asked_expiry.expect("one");
    assert_eq!((expiry.date().as_str(), lease.revocation), ("2026-07-01", Revocation::Gitlab));
    assert_eq!((lease.deadline, lease.deadline > NOW.plus(LONGEST_TTL)), (expiry.moment(), true));
}

/// Defect 12: nothing lived for less than an hour, and a path behind a role that has its own was ignored.
#[test]
fn defect_12_seconds_are_possible_and_nothing_asked_for_is_ignored() {
    let asked = |millis: u64| TokenRequest { ttl: Some(Duration::from_millis(millis)), ..request() };
    for (millis, expected) in [
        (10_000, None),
        (3_600_000, None),
        (9_999, Some(Code::TtlRefused)),
        (10_500, Some(Code::TtlRefused)),
        (0, Some(Code::TtlRefused)),
        (3_601_000, Some(Code::TtlRefused)),
    ] {
        assert_eq!(code(role(|_| {}), json!({}), &asked(millis)), expected, "{millis}");
    }
    let path = TokenRequest { path: Some("acme/widgets".into()), ..request() };
    assert_eq!(code(role(|_| {}), json!({}), &path), Some(Code::TargetRefused));
}

#[test]
fn a_role_that_is_not_there_and_one_that_says_no_have_one_answer() {
    let unknown = TokenRequest { role: "nobody".into(), ..request() };
    let bad_scope = TokenRequest { scopes: Some(vec!["api".into()]), ttl: Some(Duration::ZERO), ..request() };
    let unprotected = json!({ "ref_protected": "false" });
    for (changes, request) in
        [(json!({}), &unknown), (unprotected.clone(), &request()), (unprotected, &bad_scope)]
    {
        assert_eq!(code(role(|_| {}), changes, request), Some(Code::TargetRefused));
    }
    // What cannot be decided is refused.
    let typed = role(|draft| {
        draft.when = Some(condition(
            r#"claims.project_path == "acme/widgets" && has(claims.runner_id) && claims.runner_id == 7"#,
        ));
    });
    assert_eq!(code(typed.clone(), json!({}), &request()), None);
    assert_eq!(code(typed.clone(), json!({ "runner_id": null }), &request()), Some(Code::TargetRefused));
    assert!(code(typed, json!({ "runner_id": "7" }), &request()).is_some());
}

#[test]
fn only_jobs_of_the_roles_own_gitlab_have_it() {
    let elsewhere = role(|draft| draft.issuer = Some("https://gitlab.com".into()));
    assert_eq!(code(elsewhere, json!({}), &request()), Some(Code::TargetRefused));
    let roles = Roles::new(AUDIENCE, [role(|_| {})]);
    let none = issuer(Vec::new());
    assert_eq!(
        roles.grant(&none, &token(json!({})), &request()).expect_err("refused").code(),
        Code::TokenRefused
    );
}

/// A fork's merge request that runs in its parent has the parent's name.
#[test]
fn forks_get_nothing_whatever_certificates_they_may_have() {
    let rules =
        GitlabRules { allow_fork_pipelines: true, allow_undecidable_forks: true, ..GitlabRules::default() };
    let generous = issuer(vec![entry("sigstore", rules)]);
    let roles = Roles::new(AUDIENCE, [role(|_| {})]);
    for changes in [
        json!({ "job_project_id": "9", "job_project_path": "mallory/widgets" }),
        json!({ "job_project_id": null, "job_project_path": null, "pipeline_source": "merge_request_event" }),
    ] {
        let refused = roles.grant(&generous, &token(changes), &request()).expect_err("refused");
        assert_eq!(refused.code(), Code::TokenRefused);
        assert!(refused.record().contains("FORK"), "{}", refused.record());
    }
}

#[test]
fn a_user_is_a_number_above_zero() {
    for user_id in [
        json!(null),
        json!(""),
        json!("0"),
        json!("042"),
        json!("+42"),
        json!("4 2"),
        json!(42),
        json!("18446744073709551616"),
    ] {
        let changes = json!({ "user_id": user_id });
        assert_eq!(code(role(impersonation), changes, &request()), Some(Code::TargetRefused), "{user_id}");
    }
}

#[test]
fn personal_tokens_of_users_that_jobs_choose_are_no_administrators() {
    let personal = |path: PathText| {
        role(|draft| {
            draft.kind = Some(Kind::Personal);
            draft.access_level = Some(None);
            draft.path = Some(Some(path));
        })
    };
    let chosen = TokenRequest { path: Some("bot-a".into()), ..request() };
    let grant = ask(personal(PathText::Requested("bot-[a-z]".into())), json!({}), &chosen).expect("granted");
    assert!(grant.denies_admin());
    let grant = ask(personal(PathText::Made("root".into())), json!({}), &request()).expect("granted");
    assert!(!grant.denies_admin(), "the operator wrote it out");
}

/// A group that is called by digits is not the group with that number.
#[test]
fn a_path_of_digits_is_no_number() {
    let group = |path: PathText| {
        role(|draft| {
            draft.kind = Some(Kind::Group);
            draft.path = Some(Some(path));
            draft.when = Some(condition(r#"claims.namespace_id == "1""#));
        })
    };
    let digits = json!({ "namespace_path": "1234", "project_path": "1234/widgets", "job_project_path": "1234/widgets",
        "ci_config_ref_uri": "gitlab.example.com/1234/widgets//.gitlab-ci.yml@refs/heads/main" });
    let made = |text: &str| PathText::Made(text.into());
    assert_eq!(code(group(made("{namespace_path}")), digits.clone(), &request()), Some(Code::TargetRefused));
    assert_eq!(ask(group(made("{namespace_id}")), digits, &request()).expect("granted").path(), "1");
    assert_eq!(ask(group(made("77")), json!({}), &request()).expect("granted").path(), "77");
    let asked = TokenRequest { path: Some("1234".into()), ..request() };
    assert_eq!(code(group(PathText::Requested(".*".into())), json!({}), &asked), Some(Code::TargetRefused));
}

#[test]
fn conditions_see_the_path_that_is_asked_for() {
    let role = role(|draft| {
        draft.path = Some(Some(PathText::Requested("[a-z/]+".into())));
        draft.when = Some(condition(
            r#"claims.namespace_path == "acme" && request.path.startsWith(claims.namespace_path + "/")"#,
        ));
    });
    let asked = |path: &str| TokenRequest { path: Some(path.into()), ..request() };
    assert_eq!(code(role.clone(), json!({}), &asked("acme/other")), None);
    assert_eq!(code(role.clone(), json!({}), &asked("evil/other")), Some(Code::TargetRefused));
    assert_eq!(role.pin(), Pin::Namespace);
}

#[test]
fn a_dry_run_says_which_part_says_no_and_gives_nothing() {
    let roles = Roles::new(AUDIENCE, [role(|_| {})]);
    let explain = |changes: Json| {
        let token = token(changes);
        roles.explain(ISSUER, Ok(()), token.claims(), &request(), |_| Ok(())).expect("a role")
    };
    let yes = explain(json!({}));
    assert_eq!(yes.outcome.expect("granted").path, "acme/widgets");
    let no = explain(json!({ "ref_protected": "false" }));
    assert_eq!(no.outcome.expect_err("refused").code(), Code::TargetRefused);
    let failing: Vec<_> =
        no.steps.iter().filter(|step| step.holds == Ok(false)).map(|step| &*step.text).collect();
    assert_eq!(failing, ["all of", r#"claims.ref_protected == "true""#]);
    let nobody = TokenRequest { role: "x".into(), ..request() };
    let claims = token(json!({}));
    assert!(roles.explain(ISSUER, Ok(()), claims.claims(), &nobody, |_| Ok(())).is_none());
}

/// A dry run that says yes where the exchange says no is of no use.
#[test]
fn a_dry_run_says_what_the_exchange_says() {
    let roles = Roles::new(AUDIENCE, [role(|_| {})]);
    let long = TokenRequest { ttl: Some(Duration::from_secs(7200)), ..request() };
    let wide = TokenRequest { scopes: Some(vec!["api".into()]), ..request() };
    let elsewhere = TokenRequest { target: Some("other".into()), ..request() };
    for (changes, asked) in [
        (json!({}), request()),
        (json!({ "aud": "sigstore" }), request()),
        (json!({ "aud": [AUDIENCE, "sigstore"] }), request()),
        (json!({ "job_project_path": "mallory/widgets", "job_project_id": "66" }), request()),
        (json!({ "job_project_id": null, "pipeline_source": "merge_request_event" }), request()),
        (json!({ "jti": null }), request()),
        (json!({ "ref_path": "refs/heads/other" }), request()),
        (json!({ "ref_protected": "false" }), request()),
        (json!({}), long),
        (json!({}), wide),
        (json!({}), elsewhere),
    ] {
        let token = token(changes.clone());
        let said = roles.grant(&gitlab(), &token, &asked).map(|grant| grant.describe());
        let held = roles.check_claims(&gitlab(), token.claims());
        let explained = roles.explain(ISSUER, held, token.claims(), &asked, |_| Ok(()));
        assert_eq!(explained.expect("a role").outcome, said, "{changes} {asked:?}");
    }
    let no = || Refused::new(Code::TargetRefused).because("too old");
    let said = |held, check: fn(&Grant) -> Result<(), Refused>| {
        roles.explain(ISSUER, held, token(json!({})).claims(), &request(), check).expect("a role").outcome
    };
    assert_eq!(said(Err(no()), |_| Ok(())), Err(no()));
    assert_eq!(said(Ok(()), |_| Err(Code::LimitReached.into())), Err(Code::LimitReached.into()));
}

#[test]
fn instances_refuse_kinds_that_they_do_not_have() {
    for (hosting, kind, refused) in [
        (Hosting::Saas, Kind::Impersonation, true),
        (Hosting::Saas, Kind::UserServiceAccount, true),
        (Hosting::Dedicated, Kind::UserServiceAccount, true),
        (Hosting::Dedicated, Kind::Personal, false),
        (Hosting::SelfManaged, Kind::UserServiceAccount, false),
        (Hosting::Saas, Kind::GroupServiceAccount, false),
    ] {
        assert_eq!(hosting.refuses(kind).is_some(), refused, "{hosting:?} {kind}");
    }
}

/// One project of a group has a quarter of the places; one that the role names may have them all.
#[test]
fn a_project_has_a_part_of_the_roles_places() {
    let named = r#"claims.project_path in ["acme/a", "acme/widgets"]"#;
    let group = r#"claims.namespace_path == "acme""#;
    for (when, active, of_project, expected) in [
        (named, 20, None, 20),
        (group, 100, None, 25),
        (group, 5, None, 2),
        (group, 1, None, 1),
        (group, 20, Some(20), 20),
        (named, 20, Some(1), 1),
    ] {
        let role = role(|draft| {
            draft.when = Some(condition(when));
            draft.max_active = Some(active);
            draft.max_active_per_project = Some(of_project);
        });
        let grant = ask(role, json!({}), &request()).expect("granted");
        assert_eq!(grant.max_active_per_project(), expected, "{when} {active} {of_project:?}");
    }
    for wrong in [0, 21] {
        assert_eq!(
            keys(&faults(|draft| draft.max_active_per_project = Some(Some(wrong)))),
            ["max_active_per_project"]
        );
    }
}

/// Renamed and made anew: GitLab has somebody else's project at the path that the token has.
#[test]
fn a_path_of_the_jobs_own_goes_with_the_number_that_the_token_has() {
    let of = |kind: Kind, path: PathText| {
        role(|draft| {
            draft.kind = Some(kind);
            draft.path = Some(Some(path));
            draft.scopes = Some(vec!["read_repository".into()]);
            draft.access_level = Some(kind.has_access_level().then_some(AccessLevel::Reporter));
        })
    };
    let made = |path: &str| PathText::Made(path.into());
    let at = |path: &str| TokenRequest { path: Some(path.into()), ..request() };
    let requested = PathText::Requested("acme/[a-zA-Z]+".into());
    for (kind, path, request, expected) in [
        (Kind::Project, made("{project_path}"), request(), Some((2, 0))),
        (Kind::ProjectDeploy, made("acme/Widgets"), request(), Some((2, 0))),
        (Kind::Project, requested.clone(), at("acme/widgets"), Some((2, 0))),
        // What is not the job's own lies in its group, and the token has that one's number.
        (Kind::Project, requested, at("acme/gadgets"), Some((1, 1))),
        (Kind::ProjectDeploy, made("{namespace_path}/sub/tools"), request(), Some((1, 2))),
        (Kind::ProjectServiceAccount, made("ACME/tools/bot"), request(), Some((1, 1))),
        (Kind::Group, made("{namespace_path}/sub"), request(), Some((1, 1))),
        (Kind::Project, made("acme-mirror/tools"), request(), None),
        (Kind::Project, made("{project_id}"), request(), None),
        (Kind::ProjectServiceAccount, made("{project_path}/bot"), request(), Some((2, 0))),
        (Kind::GroupDeploy, made("{namespace_path}"), request(), Some((1, 0))),
        (Kind::Group, made("acme/widgets"), request(), Some((1, 1))),
        (Kind::Group, made("other/widgets"), request(), None),
        (Kind::GroupServiceAccount, made("{namespace_path}/bot"), request(), Some((1, 0))),
        (Kind::Personal, made("acme"), request(), None),
    ] {
        let grant = ask(of(kind, path.clone()), json!({}), &request).unwrap();
        assert_eq!(grant.number(), expected.map(|(id, above)| Number { id, above }), "{kind} {path:?}");
    }
    let number = |id: Json| {
        let claims = json!({ "namespace_id": id });
        ask(of(Kind::Group, made("{namespace_path}")), claims, &request()).map(|grant| grant.number())
    };
    assert_eq!(number(json!("8")), Ok(Some(Number { id: 8, above: 0 })));
    for wrong in [json!("8x"), json!("-8"), json!([8]), Json::Null] {
        assert!(number(wrong.clone()).is_err(), "{wrong}");
    }
}
