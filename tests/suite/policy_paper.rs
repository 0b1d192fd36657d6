//! What `countersign policy` says on paper is what the server does: a rule that allows may ask for what cannot be made of the claims.

use crate::cli_user::{Ended, run_in};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const RULES: &str = r#"rules:
- name: acme
  when: claims.project_path.startsWith("acme/") && claims.ref_protected == "true"
  effect: allow
  extensions:
  - { oid: 1.3.6.1.4.1.99999.2.1, claim: team }
  - { oid: 1.3.6.1.4.1.99999.2.2, claim: aud }
"#;

/// The claims that the server asks for, all of them.
fn whole() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policy/release.json");
    let mut claims: Value =
        serde_json::from_str(&fs::read_to_string(path).expect("the sample is there")).expect("JSON");
    claims["ci_config_ref_uri"] = json!("gitlab.com/acme/widgets//.gitlab-ci.yml@refs/tags/v1.0");
    claims["exp"] = json!(1_800_000_000);
    claims
}

fn with(changes: &Value) -> Value {
    let mut claims = whole();
    changes.as_object().expect("changes").iter().for_each(|(name, value)| claims[name] = value.clone());
    claims
}

fn directory(rules: &str, files: &[(&str, String)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("policy.yaml"), rules).expect("written");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("written");
    }
    directory
}

fn run(directory: &TempDir, arguments: &[&str]) -> Ended {
    run_in(directory.path(), &[&["policy"], arguments].concat())
}

/// Changes of a token's claims, and what the server says to them.
const ANSWERS: [(&str, &str); 21] = [
    (r#"{}"#, ""),
    (r#"{"team": "red"}"#, ""),
    (r#"{"team": ""}"#, ""),
    (r#"{"team": 7}"#, "CLAIM_WRONG_TYPE"),
    (r#"{"team": "a\tb"}"#, "CLAIM_CONTROL_CHARACTER"),
    (r#"{"ref_path": "refs/heads/other"}"#, "REF_PATH_CONTRADICTION"),
    (r#"{"sha": 7}"#, "CLAIM_WRONG_TYPE"),
    (r#"{"ref_protected": "false"}"#, "POLICY_DENIED"),
    (r#"{"aud": ["sigstore"]}"#, ""),
    // What names somebody comes before any rule is read, whatever that would say.
    (r#"{"sha": null}"#, "CLAIM_MISSING"),
    (r#"{"sub": null}"#, "CLAIM_MISSING"),
    (r#"{"ci_config_ref_uri": null}"#, "CLAIM_MISSING"),
    (r#"{"exp": null}"#, "CLAIM_MISSING"),
    (r#"{"exp": "soon"}"#, "CLAIM_WRONG_TYPE"),
    (r#"{"aud": null}"#, "CLAIM_MISSING"),
    (r#"{"aud": [7]}"#, "CLAIM_WRONG_TYPE"),
    (r#"{"ref_protected": "false", "project_id": 7}"#, "CLAIM_WRONG_TYPE"),
    (r#"{"ref_protected": "false", "sha": null}"#, "CLAIM_MISSING"),
    // Nobody reads these.
    (r#"{"groups_direct": 5}"#, ""),
    (r#"{"ref_path": null}"#, ""),
    (r#"{"iat": "then"}"#, "CLAIM_WRONG_TYPE"),
];

#[test]
fn an_explanation_is_what_the_server_says() {
    for (changes, reason) in ANSWERS {
        let mut claims = whole();
        let changes: Value = serde_json::from_str(changes).expect("JSON");
        changes.as_object().expect("changes").iter().for_each(|(name, value)| claims[name] = value.clone());
        let directory = directory(RULES, &[("claims.json", claims.to_string())]);
        let arguments = ["explain", "--claims", "claims.json", "--policy", "policy.yaml"];
        let ended = run(&directory, &[&arguments[..], &["--json"]].concat());
        let document = ended.json();
        let said = document["refusal"]["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(said, reason, "{changes}\n{document:#}");
        assert_eq!((ended.code == 0, &document["allowed"]), (reason.is_empty(), &json!(reason.is_empty())));
        assert_eq!(document["certificate"].is_null(), !reason.is_empty(), "{document:#}");
        let ended = run(&directory, &arguments);
        assert_eq!(ended.out.contains("Allowed by"), reason.is_empty(), "{}", ended.out);
        assert!(ended.err.contains(reason), "{}", ended.err);
        if changes["team"] == 7 {
            assert!(
                ended.err.contains("the rule \"acme\" allows it, and the certificate cannot be made"),
                "{}",
                ended.err
            );
        }
    }
}

#[test]
fn cases_and_claims_sets_are_refused_as_the_server_refuses_them() {
    let cases = "cases:\n- { name: a number, claims: whole.json, set: { team: 7 }, expect: allow, rule: acme }\n\
        - { name: a text, claims: whole.json, set: { team: red }, expect: allow, rule: acme }\n\
        - { name: a number again, claims: whole.json, set: { team: 7 }, expect: deny, rule: acme }\n";
    let sets: String = [json!({"team": 7}), json!({"team": "red"}), json!({"iss": 5}), json!({"iss": null})]
        .iter()
        .map(|changes| format!("{}\n", with(changes)))
        .collect();
    let cut = format!("[{}, {}", whole(), whole());
    let directory = directory(
        RULES,
        &[
            ("whole.json", whole().to_string()),
            ("cases.yaml", cases.to_owned()),
            ("sets.jsonl", sets),
            ("cut", cut),
        ],
    );
    let ended = run(&directory, &["test", ".", "--json"]);
    // What is no rules, no cases and no case's claims is no document of the directory's.
    let document = ended.json();
    let outcomes: Vec<_> = document["cases"]
        .as_array()
        .unwrap_or_else(|| panic!("{document:#}"))
        .iter()
        .map(|case| (case["effect"].clone(), case["ok"].clone()))
        .collect();
    assert_eq!(
        outcomes,
        [(json!("deny"), json!(false)), (json!("allow"), json!(true)), (json!("deny"), json!(true))],
        "{document:#}"
    );
    assert!(document["cases"][0]["message"].as_str().expect("words").contains("CLAIM_WRONG_TYPE"));

    let dry_run =
        |file: &str| run(&directory, &["dry-run", "--policy", "policy.yaml", "--claims", file, "--json"]);
    let document = dry_run("sets.jsonl").json();
    assert_eq!(
        (&document["refused"], &document["still_allowed"], &document["not_judged"]),
        (&json!(1), &json!(2), &json!(1)),
        "{document:#}"
    );
    assert_eq!(document["groups"][0]["rule"], "acme");
    assert!(
        document["groups"][0]["message"].as_str().expect("words").contains("CLAIM_WRONG_TYPE"),
        "{document:#}"
    );
    assert_eq!(document["reasons_not_to_judge"][0]["reason"], "it has an iss that is no string");
    let ended = dry_run("cut");
    assert_eq!(ended.code, 1);
    assert!(ended.json()["error"].as_str().expect("words").contains("ends within the list"), "{}", ended.out);

    fs::write(directory.path().join("odd.json"), with(&json!({"iss": 5})).to_string()).expect("written");
    let ended = run(&directory, &["explain", "--claims", "odd.json", "--policy", "policy.yaml"]);
    assert!(ended.code == 1 && ended.err.contains("an iss that is no string"), "{}", ended.err);
}

/// The subject that a rule asks for, too.
#[test]
fn another_subject_is_tried_on_paper() {
    let rules = "rules: [{ name: by project, effect: allow, subject: project }]";
    let uri = |text: &str| json!({ "ci_config_ref_uri": text });
    let ours = "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/tags/v1.0";
    for (changes, reason) in [
        (uri(ours), ""),
        (json!({ "ci_config_ref_uri": null }), "CLAIM_MISSING"),
        (uri("gitlab.example.com/acme/widgets//.gitlab-ci.yml@refs/tags/v1.0"), "CONFIG_URI_CONTRADICTION"),
    ] {
        let directory = directory(rules, &[("claims.json", with(&changes).to_string())]);
        let ended =
            run(&directory, &["explain", "--claims", "claims.json", "--policy", "policy.yaml", "--json"]);
        let document = ended.json();
        let said = document["refusal"]["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(said, reason, "{changes}\n{document:#}");
    }
}

/// What would be larger than a log takes is refused on paper as well.
#[test]
fn a_certificate_that_is_too_large_is_none() {
    let extensions: String =
        (0..32).map(|number| format!("  - {{ oid: 1.3.6.1.4.1.99999.2.{number}, claim: team }}\n")).collect();
    let rules = format!("rules:\n- name: much\n  effect: allow\n  extensions:\n{extensions}");
    let uri = "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/tags/v1.0";
    for (length, reason) in [(1000, ""), (4000, "CLAIM_INVALID")] {
        let claims = with(&json!({ "ci_config_ref_uri": uri, "team": "x".repeat(length) }));
        let directory = directory(&rules, &[("claims.json", claims.to_string())]);
        let ended =
            run(&directory, &["explain", "--claims", "claims.json", "--policy", "policy.yaml", "--json"]);
        assert_eq!(ended.json()["refusal"]["reason"].as_str().unwrap_or_default(), reason, "{}", ended.out);
    }
}

/// Several entries of one issuer.
const ISSUERS: &str = "issuers:
  - { url: https://gitlab.com, type: gitlab-pipeline, audience: forks, allow_fork_pipelines: true, subject: project }
  - { url: https://people.example.com, type: email, audience: sigstore }
";

/// A server's configuration with them.
fn configuration() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let ended = run_in(directory.path(), &["init", "ca", "--gitlab", "https://gitlab.com"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let file = directory.path().join("ca/countersign.yaml");
    let text = fs::read_to_string(&file).expect("it is there").replacen("issuers:\n", ISSUERS, 1);
    fs::write(&file, text).expect("written");
    directory
}

/// With a configuration its audiences and entries are asked first, as the server asks.
#[test]
fn an_identity_is_refused_before_any_rule_is_read() {
    let rules = r#"rules:
- name: acme
  issuers: [https://gitlab.com]
  when: claims.namespace_id == "1730270" && claims.ref_protected == "true"
  effect: allow
- { name: people, issuers: [https://people.example.com], when: 'has(claims.email_verified) && claims.email_verified', effect: allow }
"#;
    let fork =
        json!({ "job_project_id": "7", "job_project_path": "mallory/widgets", "ref_protected": "false" });
    let person = |verified: Value| {
        json!({ "iss": "https://people.example.com", "sub": "1", "aud": "sigstore", "exp": 1_800_000_000,
            "email": "ada@example.com", "email_verified": verified })
    };
    let forks = {
        let mut fork = fork.clone();
        fork["aud"] = json!("forks");
        fork["ref_protected"] = json!("true");
        fork
    };
    let directory = configuration();
    fs::write(directory.path().join("policy.yaml"), rules).expect("written");
    for (claims, reason, rule) in [
        (with(&json!({})), "", "acme"),
        (with(&fork), "FORK_PIPELINE", "gitlab-6"),
        (with(&forks), "", "acme"),
        (with(&json!({ "aud": ["sigstore", "forks"] })), "TOKEN_AUDIENCE_AMBIGUOUS", "gitlab-2"),
        (with(&json!({ "aud": ["sigstore"] })), "", "acme"),
        (with(&json!({ "aud": "vault" })), "TOKEN_AUDIENCE_MISMATCH", "gitlab-2"),
        (with(&json!({ "aud": null })), "CLAIM_MISSING", "gitlab-2"),
        (with(&json!({ "namespace_id": 1_730_270 })), "CLAIM_WRONG_TYPE", "gitlab-3"),
        (with(&json!({ "namespace_id": "8" })), "POLICY_DENIED", "acme"),
        (person(json!(true)), "", "people"),
        // The type takes it, and the rule cannot be decided.
        (person(json!("true")), "POLICY_DENIED", "people"),
        (person(json!(false)), "CLAIM_INVALID", "email"),
    ] {
        fs::write(directory.path().join("claims.json"), claims.to_string()).expect("written");
        let arguments = ["--policy", "policy.yaml", "--config", "ca/countersign.yaml", "--json"];
        let ended = run(&directory, &[&["explain", "--claims", "claims.json"][..], &arguments].concat());
        let document = ended.json();
        let said = document["refusal"]["reason"].as_str().unwrap_or_default();
        assert_eq!(
            (said, document["rule"].as_str()),
            (reason, Some(rule)),
            "{claims}\n{}{document:#}",
            ended.err
        );
        assert_eq!(
            document["notes"].to_string().contains("before any rule"),
            rule.contains("gitlab") || rule == "email"
        );
        let ended = run(&directory, &[&["dry-run", "--claims", "claims.json"][..], &arguments].concat());
        assert_eq!(ended.json()["refused"], u64::from(!reason.is_empty()), "{claims}\n{}", ended.out);
    }
}

/// Where the audience is not known, any entry may have made the certificate.
#[test]
fn claims_without_an_audience_may_be_of_any_entry() {
    let directory = configuration();
    let cases = "cases:\n- name: a fork\n  claims: claims.txt\n  set: { job_project_id: '7', job_project_path: mallory/widgets, aud: AUD }\n  expect: allow\n";
    fs::create_dir(directory.path().join("cases")).expect("made");
    let write =
        |name: &str, text: &str| fs::write(directory.path().join("cases").join(name), text).expect("written");
    write("claims.txt", &whole().to_string());
    write("policy.yaml", "rules:\n- { name: all, effect: allow }\n");
    for (audience, code) in [("null", 0), ("forks", 0), ("sigstore", 78)] {
        write("cases.yaml", &cases.replace("AUD", audience));
        let arguments = ["test", "cases", "--config", "ca/countersign.yaml", "--policy", "cases/policy.yaml"];
        let ended = run(&directory, &arguments);
        assert_eq!(ended.code, code, "{audience}: {}{}", ended.out, ended.err);
        assert_eq!(ended.err.contains("FORK_PIPELINE"), code == 78, "{}", ended.err);
    }
}

/// A denial that no rule makes is none that a case can test by accident.
#[test]
fn a_case_that_is_refused_before_any_rule_is_read_is_an_error() {
    let case = |set: &str, rest: &str| {
        format!("cases:\n- name: n\n  claims: claims.txt\n  set: {set}\n  expect: deny\n{rest}")
    };
    let contradicts =
        "cases.yaml:2: cases[0]: has claims that are refused by gitlab-4 before any rule is read";
    for (cases, code, words) in [
        (case("{ ref_type: branch }", ""), 78, contradicts),
        (case("{ ref: feature }", ""), 78, "gitlab-4"),
        (case("{ ref_type: branch }", "  rule: acme\n"), 78, contradicts),
        (case("{ ref_protected: \"false\" }", ""), 0, ""),
        (
            case("{ ref_protected: \"false\" }", "  rule: gitlab-4\n"),
            1,
            "expected is that by the rule \"gitlab-4\"",
        ),
        (case("{ ref_protected: \"false\" }", "  rule: gitlab-x\n"), 78, "names no rule"),
        // Claims that are made of others may be left out, and one that is to be refused by the type's rule says so.
        (case("{ ref_protected: \"false\", ref: v2, ref_path: null, ci_config_ref_uri: null }", ""), 0, ""),
        (case("{ ref_type: branch }", "  rule: gitlab-4\n"), 0, ""),
        (case("{ ref_protected: \"false\", groups_direct: 5 }", ""), 0, ""),
    ] {
        let directory =
            directory(RULES, &[("claims.txt", whole().to_string()), ("cases.yaml", cases.clone())]);
        let ended = run(&directory, &["test", "."]);
        assert_eq!(ended.code, code, "{cases}{}{}", ended.out, ended.err);
        assert!(format!("{}{}", ended.out, ended.err).contains(words), "{cases}{}{}", ended.out, ended.err);
    }
    // What no rule decided is none of its coverage.
    let directory = directory(
        RULES,
        &[
            ("claims.txt", whole().to_string()),
            ("cases.yaml", case("{ ref_type: branch }", "  rule: gitlab-4\n")),
        ],
    );
    let document = run(&directory, &["test", ".", "--json"]).json();
    assert_eq!(document["never_reached"], json!(["acme"]), "{document:#}");
}

/// The example that `policy test --help` shows.
#[test]
fn the_example_of_the_help_runs() {
    let help = run(&directory(RULES, &[]), &["test", "--help"]).out;
    let (_, rest) = help.split_once("A file of cases:\n").expect("an example");
    let (example, _) = rest.split_once("\n\n").expect("an end");
    let rules = RULES.replace("name: acme", "name: acme releases");
    let directory = directory(&rules, &[("cases.yaml", example.to_owned())]);
    fs::create_dir(directory.path().join("claims")).expect("made");
    let claims = with(&json!({ "environment": "production" }));
    fs::write(directory.path().join("claims/release.json"), claims.to_string()).expect("written");
    let ended = run(&directory, &["test", "."]);
    assert_eq!(ended.code, 0, "{example}\n{}{}", ended.out, ended.err);
}
