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
"#;

fn whole() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policy/release.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the sample is there")).expect("JSON")
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
const ANSWERS: [(&str, &str); 8] = [
    (r#"{}"#, ""),
    (r#"{"team": "red"}"#, ""),
    (r#"{"team": ""}"#, ""),
    (r#"{"team": 7}"#, "CLAIM_WRONG_TYPE"),
    (r#"{"team": "a\tb"}"#, "CLAIM_CONTROL_CHARACTER"),
    (r#"{"ref_path": "refs/heads/other"}"#, "REF_PATH_CONTRADICTION"),
    (r#"{"sha": 7}"#, "CLAIM_WRONG_TYPE"),
    (r#"{"ref_protected": "false"}"#, "POLICY_DENIED"),
];

#[test]
fn an_explanation_is_what_the_server_says() {
    let claims: Value =
        with(&json!({ "ci_config_ref_uri": "gitlab.com/acme/widgets//.gitlab-ci.yml@refs/tags/v1.0" }));
    for (changes, reason) in ANSWERS {
        let mut claims = claims.clone();
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
        (json!({}), ""),
        (uri("gitlab.example.com/acme/widgets//.gitlab-ci.yml@refs/tags/v1.0"), "CONFIG_URI_CONTRADICTION"),
    ] {
        let directory = directory(rules, &[("claims.json", with(&changes).to_string())]);
        let ended =
            run(&directory, &["explain", "--claims", "claims.json", "--policy", "policy.yaml", "--json"]);
        let document = ended.json();
        let said = document["refusal"]["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(said, reason, "{changes}\n{document:#}");
        // Without the claim that a name is made of nothing can be said of the name.
        let notes = document["notes"].to_string();
        assert_eq!(notes.contains("names were not made"), changes == json!({}), "{notes}");
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
