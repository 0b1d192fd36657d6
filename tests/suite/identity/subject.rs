//! Rules 5 and 7: the SAN, and what reads as another one.

use super::*;

#[test]
fn refs_and_config_paths_are_percent_encoded_in_the_san_alone() {
    let san = |rest: &str| format!("https://gitlab.com/acme/widgets//{rest}");
    let refs = [
        ("main", "main"),
        ("feature/login", "feature/login"),
        ("a-b_c.d~e".trim_end_matches("~e"), "a-b_c.d"),
        ("!$&'()+,;=", "!$&'()+,;="),
        ("user@host", "user@host"),
        ("@", "@"),
        ("#1", "%231"),
        ("100%", "100%25"),
        ("100%25", "100%2525"),
        ("%2e%2e", "%252e%252e"),
        ("%00", "%2500"),
        ("a<b>c", "a%3Cb%3Ec"),
        ("\"quoted\"", "%22quoted%22"),
        ("{a|b}", "%7Ba%7Cb%7D"),
        ("`x`", "%60x%60"),
        ("été", "%C3%A9t%C3%A9"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
        ("\u{1f600}", "%F0%9F%98%80"),
        ("a\u{2028}b", "a%E2%80%A8b"),
        ("a\u{202e}b", "a%E2%80%AEb"),
        ("a\u{a0}b", "a%C2%A0b"),
        ("e\u{301}", "e%CC%81"),
        ("refs/heads/main", "refs/heads/main"),
    ];
    for (name, encoded) in refs {
        let said = said(&on_branch(name));
        assert_eq!(said.san, san(&format!(".gitlab-ci.yml@refs/heads/{encoded}")));
        let text = san(&format!(".gitlab-ci.yml@refs/heads/{name}"));
        assert_eq!((&said.fulcio[&9], &said.fulcio[&18]), (&text, &text));
        assert_eq!(said.fulcio[&14], format!("refs/heads/{name}"));
        assert_eq!(said.gitlab[&8], name);
    }
    let paths = [
        ("ci/my pipeline.yml", "ci/my%20pipeline.yml"),
        ("a?b#c.yml", "a%3Fb%23c.yml"),
        ("a:b.yml", "a:b.yml"),
        ("[a]\\^.yml", "%5Ba%5D%5C%5E.yml"),
        ("größe.yml", "gr%C3%B6%C3%9Fe.yml"),
        ("a//b.yml", "a//b.yml"),
        ("a..b/...yml", "a..b/...yml"),
        ("50%.yml", "50%25.yml"),
        ("*~.yml", "*~.yml"),
    ];
    for (path, encoded) in paths {
        let said = said(&with_config_path(path));
        assert_eq!(said.san, san(&format!("{encoded}@refs/heads/main")));
        assert_eq!(said.fulcio[&9], san(&format!("{path}@refs/heads/main")));
    }
}

#[test]
fn self_managed_instances_are_named_by_their_own_url() {
    let table = [
        ("https://gitlab.example.com", "gitlab.example.com"),
        ("https://gitlab.example.com:8443", "gitlab.example.com:8443"),
        ("https://gitlab.example.com/gitlab", "gitlab.example.com/gitlab"),
        ("https://gitlab.example.com:8443/a/b", "gitlab.example.com:8443/a/b"),
        ("https://gitlab.example.com/", "gitlab.example.com"),
        ("https://gitlab.example.com/gitlab/", "gitlab.example.com/gitlab"),
        ("http://127.0.0.1:3000", "127.0.0.1:3000"),
        ("http://localhost:3000", "localhost:3000"),
        ("http://[::1]:3000", "[::1]:3000"),
        ("https://[2001:db8::1]", "[2001:db8::1]"),
        ("https://GitLab.Example.com", "GitLab.Example.com"),
        ("https://gitlab.example.com:443", "gitlab.example.com:443"),
    ];
    for (iss, location) in table {
        let said = said(&on_instance(iss, location));
        let instance = iss.strip_suffix('/').unwrap_or(iss);
        assert_eq!(said.san, format!("{instance}/acme/widgets//.gitlab-ci.yml@refs/heads/main"));
        assert_eq!(said.fulcio[&12], format!("{instance}/acme/widgets"));
        assert_eq!(said.fulcio[&16], format!("{instance}/acme"));
        assert_eq!(said.fulcio[&21], format!("{instance}/acme/widgets/-/jobs/3659681386"));
        assert_eq!((said.fulcio[&1].as_str(), said.fulcio[&8].as_str()), (iss, iss), "byte for byte");
    }
}

#[test]
fn a_bucket_issuer_needs_the_instances_url() {
    for iss in ["https://bucket.s3.example.com/oidc", "https://bucket.s3.example.com/oidc/"] {
        for url in ["https://gitlab.internal:8443/root", "https://gitlab.internal:8443/root/"] {
            let rules = GitlabRules { instance_url: Some(url.to_owned()), ..GitlabRules::default() };
            let claims = on_instance(iss, "gitlab.internal:8443/root");
            let said = Said::of(&principal_under(rules, &claims).expect("a principal"));
            assert_eq!(
                said.san,
                "https://gitlab.internal:8443/root/acme/widgets//.gitlab-ci.yml@refs/heads/main"
            );
            assert_eq!(said.fulcio[&12], "https://gitlab.internal:8443/root/acme/widgets");
            assert_eq!((said.fulcio[&1].as_str(), said.fulcio[&8].as_str()), (iss, iss));
        }
        let claims = on_instance(iss, "gitlab.internal:8443/root");
        assert_refused(&claims, Reason::ConfigUriContradiction, "ci_config_ref_uri", "gitlab-5");
    }
}

#[test]
fn project_mode_names_the_project_and_asks_for_no_config() {
    let rules = || GitlabRules { subject: SubjectMode::Project, ..GitlabRules::default() };
    for uri in [json!(ABSENT), json!(null), json!(""), json!("elsewhere.example/x//y@z")] {
        let claims = with(json!({"ci_config_ref_uri": uri}));
        assert_eq!(san_under(rules(), &claims), "https://gitlab.com/acme/widgets@refs/heads/main");
    }
    let claims = with(json!({"ref": "50%", "ref_path": "refs/heads/50%"}));
    let said = Said::of(&principal_under(rules(), &claims).expect("a principal"));
    assert_eq!(said.san, "https://gitlab.com/acme/widgets@refs/heads/50%25");
    assert_eq!(said.fulcio[&9], "https://gitlab.com/acme/widgets@refs/heads/50%");
    assert_eq!(said.fulcio[&18], said.fulcio[&9]);

    let old = with(
        json!({"iss": "https://gitlab.example.com:8443/gitlab/", "ci_config_ref_uri": ABSENT, "ref_path": ABSENT}),
    );
    assert_eq!(
        san_under(rules(), &old),
        "https://gitlab.example.com:8443/gitlab/acme/widgets@refs/heads/main"
    );

    let claims = on_branch("x@refs/heads/main");
    assert_refused_under(rules(), &claims, Reason::ConfigUriAmbiguous, "ref", "gitlab-5");
    let claims = with(json!({"ci_config_ref_uri": 7}));
    assert_refused_under(rules(), &claims, Reason::ClaimWrongType, "ci_config_ref_uri", "gitlab-3");
}

#[test]
fn the_config_uri_must_be_exactly_the_pipelines_own() {
    let contradictions = [
        "gitlab.com",
        "gitlab.com/",
        "gitlab.com//",
        "gitlab.com/acme/widgets",
        "gitlab.com/acme/widgets//",
        "gitlab.com/acme/widgets//.gitlab-ci.yml",
        "gitlab.com/acme/widgets//.gitlab-ci.yml@",
        "gitlab.com/acme/widgets//.gitlab-ci.yml@main",
        "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/mai",
        "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main ",
        "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main/x",
        "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/Main",
        "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/tags/main",
        "gitlab.com/acme/widgets//.gitlab-ci.ymlrefs/heads/main",
        "gitlab.com/acme/widgets//@refs/heads/main",
        "gitlab.com/acme/widgets/.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/acme/widget//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/acme/widgets2//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/acme/widgets/sub//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/acme//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/acme//widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/Acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/evil/templates//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/evil/templates//acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com//acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com:8443/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com:443/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com./acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com.evil.example/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com@evil.example/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "evil.example/gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.com/gitlab/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "GitLab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "gitlab.example:8443/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "127.0.0.1:8443/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "https://gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        " gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "itlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/main",
        "@refs/heads/main",
        "x",
    ];
    for uri in contradictions {
        let claims = with(json!({"ci_config_ref_uri": uri}));
        assert_refused(&claims, Reason::ConfigUriContradiction, "ci_config_ref_uri", "gitlab-5");
    }
    let elsewhere = [
        ("https://gitlab.example.com:8443/gitlab", "gitlab.example.com/gitlab"),
        ("https://gitlab.example.com:8443/gitlab", "gitlab.example.com:8443"),
        ("https://gitlab.example.com:8443/gitlab", "gitlab.example.com:8443/gitlab2"),
        ("https://gitlab.example.com:8443/gitlab", "gitlab.example.com:8443/gitlab/"),
        ("https://gitlab.example.com:8443", "gitlab.example.com:84430"),
        ("https://gitlab.example.com", "gitlab.com"),
        ("http://127.0.0.1:3000", "gitlab.com"),
    ];
    for (iss, location) in elsewhere {
        let claims = on_instance(iss, location);
        assert_refused(&claims, Reason::ConfigUriContradiction, "ci_config_ref_uri", "gitlab-5");
    }
    let tag = with(json!({"ref": "main", "ref_type": "tag", "ref_path": "refs/tags/main"}));
    assert_refused(&tag, Reason::ConfigUriContradiction, "ci_config_ref_uri", "gitlab-5");
    for (value, reason) in [
        (ABSENT.into(), Reason::ClaimMissing),
        (Value::Null, Reason::ClaimMissing),
        ("".into(), Reason::ClaimEmpty),
    ] {
        assert_refused(&with(json!({"ci_config_ref_uri": value})), reason, "ci_config_ref_uri", "gitlab-5");
    }
}

#[test]
fn what_reads_as_another_identity_is_refused() {
    let paths = [
        ".gitlab-ci.yml@other/proj:main",
        ".gitlab-ci.yml@refs/heads/main",
        "x@refs/heads/release",
        "a@b.yml",
        "@",
        "https://evil.example/ci.yml",
        "http://evil.example/ci.yml",
        "x://y",
        "../evil/.gitlab-ci.yml",
        "../../evil/proj//.gitlab-ci.yml",
        "ci/../../../evil/proj//.gitlab-ci.yml",
        "./x.yml",
        "a/..",
        "/abs.yml",
        "//x.yml",
        "/evil.example/x.yml",
    ];
    for path in paths {
        let claims = with_config_path(path);
        assert_refused(&claims, Reason::ConfigUriAmbiguous, "ci_config_ref_uri", "gitlab-5");
    }
    for name in [
        "x@refs/heads/main",
        "x@refs/tags/v1",
        "@refs/heads/main",
        "main@refs/x",
        "a/b@refs/heads/main@refs/heads/main",
    ] {
        assert_refused(&on_branch(name), Reason::ConfigUriAmbiguous, "ref", "gitlab-5");
    }
    for name in ["x@refs", "x@ref/heads/main", "refs/heads/main", "x@heads/main", "@"] {
        assert_eq!(said(&on_branch(name)).gitlab[&8], name);
    }
}
