//! Rules 4, 6 and 10: refs, forks, and the order of the rules.

use super::*;

#[test]
fn ref_type_is_branch_or_tag() {
    for kind in ["Branch", "branch ", "tags", "heads", "workload", "merge_request", "refs/heads/", "<nil>"] {
        assert_refused(&with(json!({"ref_type": kind})), Reason::RefTypeUnknown, "ref_type", "gitlab-4");
    }
    let workload =
        with(json!({"ref": "refs/workloads/1", "ref_type": "workload", "ref_path": "refs/workloads/1"}));
    assert_refused(&workload, Reason::RefTypeUnknown, "ref_type", "gitlab-4");
}

#[test]
fn ref_path_is_what_ref_type_and_ref_make() {
    for path in [
        "",
        "main",
        "refs/heads/other",
        "refs/tags/main",
        "refs/heads/main/",
        "refs/heads//main",
        "refs/heads/Main",
        "refs/heads/",
        "/refs/heads/main",
        "refs/heads/main ",
        "heads/main",
        "refs/workloads/main",
        "refs/merge-requests/1/head",
    ] {
        assert_refused(
            &with(json!({"ref_path": path})),
            Reason::RefPathContradiction,
            "ref_path",
            "gitlab-4",
        );
    }
    assert_refused(&with(json!({"ref": "other"})), Reason::RefPathContradiction, "ref_path", "gitlab-4");
    assert_refused(&with(json!({"ref_type": "tag"})), Reason::RefPathContradiction, "ref_path", "gitlab-4");
}

/// The parent's merge request pipeline for a fork whose branch is called `main`: it has the parent's identity in its config URI.
fn fork() -> Value {
    with(json!({
        "pipeline_source": "merge_request_event",
        "project_id": "666", "project_path": "mallory/widgets", "namespace_id": "667", "namespace_path": "mallory",
        "sub": "project_path:mallory/widgets:ref_type:branch:ref:main",
    }))
}

#[test]
fn a_fork_in_its_parent_is_refused_unless_the_operator_allows_it() {
    assert_refused(&fork(), Reason::ForkPipeline, "job_project_id", "gitlab-6");
    let elsewhere = with(json!({"job_project_id": "1"}));
    assert_refused(&elsewhere, Reason::ForkPipeline, "job_project_id", "gitlab-6");
    let zeros = with(json!({"job_project_id": "042831435"}));
    assert_refused(&zeros, Reason::ForkPipeline, "job_project_id", "gitlab-6");
    let path_only = with(json!({"job_project_id": ABSENT, "job_project_path": "acme/parent"}));
    assert_refused(&path_only, Reason::ForkPipeline, "job_project_path", "gitlab-6");
    let same_id = with(json!({"job_project_path": "acme/parent"}));
    assert_refused(&same_id, Reason::ForkPipeline, "job_project_path", "gitlab-6");

    let rules = GitlabRules { allow_fork_pipelines: true, ..GitlabRules::default() };
    let said = Said::of(&principal_under(rules, &fork()).expect("allowed"));
    assert_eq!(said.san, "https://gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main", "where it runs");
    assert_eq!(said.fulcio[&12], "https://gitlab.com/mallory/widgets", "whose it is");
    assert_eq!(said.fulcio[&15], "666");
    assert_eq!(said.fulcio[&21], "https://gitlab.com/acme/widgets/-/jobs/3659681386");
    assert_eq!((said.gitlab[&3].as_str(), said.gitlab[&17].as_str()), ("mallory/widgets", "acme/widgets"));
}

#[test]
fn a_merge_request_of_an_old_gitlab_is_refused_unless_the_operator_allows_it() {
    let unsaid = [
        (json!(ABSENT), json!(ABSENT)),
        (json!(null), json!(null)),
        (json!(""), json!("")),
        (json!(ABSENT), json!("acme/widgets")),
    ];
    // A child pipeline may be a merge request's: GitLab hands its branch on to it.
    let sources = ["merge_request_event", "parent_pipeline"];
    for ((id, path), source) in unsaid.iter().flat_map(|unsaid| sources.map(|source| (unsaid, source))) {
        let claims = with(json!({
            "pipeline_source": source, "job_project_id": id, "job_project_path": path,
        }));
        assert_refused(&claims, Reason::ForkUndecidable, "pipeline_source", "gitlab-6");
        let rules = GitlabRules { allow_undecidable_forks: true, ..GitlabRules::default() };
        assert_eq!(
            san_under(rules, &claims),
            "https://gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main"
        );
        let rules = GitlabRules { allow_fork_pipelines: true, ..GitlabRules::default() };
        assert_refused_under(rules, &claims, Reason::ForkUndecidable, "pipeline_source", "gitlab-6");
    }
    for source in sources {
        let own = with(json!({"pipeline_source": source}));
        assert_eq!(said(&own).fulcio[&20], source, "the project's own");
    }
    let rules = GitlabRules { allow_undecidable_forks: true, ..GitlabRules::default() };
    assert_refused_under(rules, &fork(), Reason::ForkPipeline, "job_project_id", "gitlab-6");
}

#[test]
fn the_rules_are_tried_in_their_order() {
    let mut broken: Map<String, Value> = Map::new();
    let mut expect = |changes: Value, reason, claim, rule| {
        // Later rules stay broken: the earlier one speaks.
        for (name, value) in changes.as_object().expect("an object") {
            broken.insert(name.clone(), value.clone());
        }
        assert_refused(&with(Value::Object(broken.clone())), reason, claim, rule);
    };
    expect(
        json!({"ci_config_ref_uri": "evil.example/x"}),
        Reason::ConfigUriContradiction,
        "ci_config_ref_uri",
        "gitlab-5",
    );
    expect(json!({"job_project_id": "1"}), Reason::ForkPipeline, "job_project_id", "gitlab-6");
    expect(json!({"ref_path": "refs/heads/other"}), Reason::RefPathContradiction, "ref_path", "gitlab-4");
    expect(json!({"environment": "a\nb"}), Reason::ClaimControlCharacter, "environment", "gitlab-9");
    expect(json!({"runner_environment": ABSENT}), Reason::ClaimMissing, "runner_environment", "gitlab-3");
    expect(json!({"aud": ["sigstore", "vault"]}), Reason::TokenAudienceAmbiguous, "aud", "gitlab-2");
}
