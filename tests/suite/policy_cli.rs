//! `countersign policy test|explain|dry-run`, run as an operator runs them.

use crate::cli_user::{Ended, World, run_in};
use crate::support::client;
use crate::support::key::TestKey;
use crate::support::secrets;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn run(directory: &Path, arguments: &[&str]) -> Ended {
    run_in(directory, &[&["policy"], arguments].concat())
}

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("written");
    }
    directory
}

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policy").join(name);
    fs::read_to_string(path).expect("the sample is there")
}

const RULES: &str = r#"rules:
- name: people
  when: has(claims.user_login) && claims.user_login == "mallory" && claims.ref != "main"
  effect: deny
- name: trial
  when: claims.pipeline_source != "push"
  effect: deny
  mode: warn
- name: acme
  when: claims.project_path.startsWith("acme/") && claims.ref_protected == "true"
  effect: allow
  key_types: [ecdsa-p256]
  validity: 5m
  message: Protect the branch.
- name: last
  when: claims.runner_id == 7
  effect: deny
"#;

fn rules() -> String {
    RULES.replace("claims.runner_id == 7", "has(claims.runner_id) && claims.runner_id == 7")
}

const CLAIMS: &str = r#"{"iss": "https://gitlab.com", "sub": "s", "aud": "sigstore", "exp": 1800000000, "namespace_id": "1",
    "namespace_path": "acme", "project_id": "2", "project_path": "acme/app", "pipeline_id": "3", "job_id": "4", "sha": "5",
    "pipeline_source": "push", "ref": "main", "ref_type": "branch", "ref_protected": "true", "runner_environment": "self-hosted",
    "ci_config_ref_uri": "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main"}"#;

#[test]
fn the_sample_policy_is_what_its_cases_say() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policy");
    let ended = run(&sample, &["test", ".", "--json"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let document = ended.json();
    assert_eq!(document["ok"], true);
    assert_eq!(document["cases"].as_array().map(Vec::len), Some(8));
    assert_eq!(document["never_reached"], json!([]));
    assert_eq!((&document["notes"], &document["warnings"]), (&json!([]), &json!([])));
    for rule in document["coverage"].as_array().expect("rules") {
        assert!(rule["true"] != 0 && rule["false"] != 0 && rule["decides"] != 0, "{rule}");
    }
    let ended = run(&sample, &["test", "."]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert!(
        ended.out.contains("ok     a merge request does not sign: deny by \"no merge requests\""),
        "{}",
        ended.out
    );
    assert!(ended.out.ends_with("All 8 cases are as expected.\n"), "{}", ended.out);
}

/// The cases that docs/POLICY.md shows.
#[test]
fn the_documented_case_runs() {
    let text = include_str!("../../docs/POLICY.md");
    let (_, rest) = text.split_once("```yml\n").expect("a block");
    let (cases, _) = rest.split_once("```").expect("an end");
    let directory = directory(&[
        ("policy.yaml", &sample("policy.yaml")),
        ("release.json", &sample("release.json")),
        ("cases.yaml", cases),
    ]);
    let ended = run(directory.path(), &["test", "."]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("The case is as expected."), "{}", ended.out);
}

#[test]
fn a_case_that_is_not_as_expected_is_named_with_its_place() {
    let weaker = sample("policy.yaml").replace(r#" && claims.ref_protected == "true""#, "");
    let more = "  - name: by another rule\n    claims: release.json\n    set: { pipeline_source: merge_request_event }\n    expect: deny\n    rule: default\n";
    let directory = directory(&[
        ("policy.yaml", &weaker),
        ("cases.yaml", &(sample("cases.yaml") + more)),
        ("release.json", &sample("release.json")),
    ]);
    let ended = run(directory.path(), &["test", "."]);
    assert_eq!(ended.code, 1);
    let words = "FAILED a tag that anybody may push does not: allow by \"releases of acme and acme-labs\", and expected is deny";
    assert!(ended.out.contains(words) && ended.out.contains("cases.yaml:11"), "{}", ended.out);
    let words =
        "FAILED by another rule: deny by \"no merge requests\", and expected is that by the rule \"default\"";
    assert!(ended.out.contains(words), "{}", ended.out);
    assert!(ended.err.contains("3 of 9 cases are not as expected"), "{}", ended.err);
    // The tag's name is asked for nowhere, so there is nothing else to warn of.
    assert!(!ended.err.contains("warning"), "{}", ended.err);
    let document = run(directory.path(), &["test", ".", "--json"]).json();
    let failed: Vec<_> =
        document["cases"].as_array().expect("cases").iter().filter(|case| case["ok"] == false).collect();
    assert_eq!(failed.len(), 3);
    assert_eq!(
        (&failed[0]["line"], &failed[0]["effect"], &failed[0]["expected"]["effect"]),
        (&json!(11), &json!("allow"), &json!("deny"))
    );
}

#[test]
fn the_rules_that_cases_do_not_reach_are_named() {
    let directory = directory(&[
        ("policy.yaml", &rules()),
        ("next.yaml", "rules: []\n"),
        ("one.json", CLAIMS),
        (
            "cases.yml",
            "cases:\n- {name: ours, claims: one.json, expect: allow, rule: acme}\n\
            - {name: on trial, claims: one.json, set: {pipeline_source: web, usr_login: x}, expect: allow}\n\
            - {name: other keys, claims: one.json, key_type: rsa, expect: deny, rule: acme}\n",
        ),
    ]);
    let ended = run(directory.path(), &["test", ".", "--json"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let document = ended.json();
    assert_eq!(document["never_reached"], json!(["last"]));
    let counts = |rule: usize| {
        let rule = &document["coverage"][rule];
        ["decides", "reached", "true", "false"].map(|name| rule[name].as_u64().expect("a number"))
    };
    assert_eq!([0, 1, 2, 3].map(counts), [[0, 3, 0, 3], [1, 3, 1, 2], [3, 3, 3, 0], [0, 0, 0, 3]]);
    assert_eq!(document["cases"][1]["on_trial"], json!(["trial"]));
    assert!(
        document["notes"][0].as_str().unwrap().contains("usr_login is unknown; did you mean user_login?"),
        "{document}"
    );
    // Lints of allowing rules alone, all of them, with their codes.
    assert_eq!(document["warnings"][0]["code"], "PATH_WITHOUT_ID", "{document}");
    let ended = run(directory.path(), &["test", "."]);
    for words in
        ["no case reaches the rule \"last\"", "the condition of the rule \"people\" holds in no case"]
    {
        assert!(ended.out.contains(words), "{}", ended.out);
    }
    assert!(ended.err.contains("(PATH_WITHOUT_ID)") && ended.err.contains("note: "), "{}", ended.err);
}

#[test]
fn cases_that_cannot_mean_what_they_say_are_errors_with_their_lines() {
    let good = "- name: n\n  claims: one.json\n  expect: allow\n";
    let text = |extra: &str| format!("cases:\n{good}{extra}");
    for (cases, expected) in [
        (text("  rul: acme\n"), "cases.yaml:5: cases[0].rul: unknown key; did you mean rule?"),
        (text("  rule: acmee\n"), "cases.yaml:5: cases[0].rule: names no rule; did you mean acme?"),
        (
            text("  key_type: dsa\n"),
            "cases.yaml:5: cases[0].key_type: is no type of key; there are ecdsa-p256",
        ),
        (
            text("  set: {ref: null}\n"),
            "cases.yaml:2: cases[0]: there is no claim ref, which every token of https://gitlab.com has, and the rule \"people\" asks for it",
        ),
        (
            text("  set: {environment: null}\n"),
            "cases[0]: sets environment to null, and there is no such claim",
        ),
        (text("  set: {ref_protected: true}\n"), "cases[0]: the claim ref_protected is no string"),
        (text("  set: {runner_id: \"7\"}\n"), "cases[0]: the claim runner_id is no int"),
        (text("  set: [a]\n"), "cases.yaml:5: cases[0].set: is not a mapping"),
        (
            text("").replace("one.json", "two.json"),
            "cases.yaml:3: cases[0].claims: ./two.json does not exist",
        ),
        (
            text("").replace("one.json", "bad.txt"),
            "cases.yaml:3: cases[0].claims: ./bad.txt is neither a JSON object of claims nor a token",
        ),
        (text("").replace("allow", "maybe"), "cases.yaml:4: cases[0].expect: is neither allow nor deny"),
        (
            text("").replace("  expect: allow\n", ""),
            "cases.yaml:2: cases[0].expect: is missing; write allow or deny",
        ),
        ("case: []\n".to_owned(), "cases.yaml:1: has no cases, and no case names it"),
        ("cases: {}\n".to_owned(), "cases.yaml:1: cases: is not a list"),
    ] {
        let directory = directory(&[
            ("policy.yaml", &rules()),
            ("one.json", CLAIMS),
            ("bad.txt", "[]"),
            ("cases.yaml", &cases),
        ]);
        let ended = run(directory.path(), &["test", "."]);
        assert_eq!(ended.code, 78, "{cases}{}{}", ended.out, ended.err);
        assert!(ended.err.contains(expected), "{cases}{}", ended.err);
    }
    let empty = directory(&[("policy.yaml", &rules())]);
    let ended = run(empty.path(), &["test", "."]);
    assert!(ended.code == 1 && ended.err.contains("has no cases"), "{}", ended.err);
    let none = directory(&[("cases.yaml", &text(""))]);
    let ended = run(none.path(), &["test", "."]);
    assert!(ended.code == 78 && ended.err.contains("policy.yaml:1: there is no such file"), "{}", ended.err);
    assert_eq!(run(none.path(), &["test"]).code, 2);
}

#[test]
fn an_explanation_shows_every_step_and_what_the_caller_is_told() {
    let claims = CLAIMS
        .replace("\"ref_protected\": \"true\"", "\"ref_protected\": \"false\", \"user_login\": \"ada\"");
    let directory = directory(&[("policy.yaml", &rules()), ("ours.json", CLAIMS), ("branch.json", &claims)]);
    let explain =
        |more: &[&str]| run(directory.path(), &[&["explain", "--policy", "policy.yaml"], more].concat());

    let ended = explain(&["--claims", "ours.json"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    for words in [
        "NOT VERIFIED",
        "1. people (deny): does not hold\n   false all of\n   false   has(claims.user_login)   [claims.user_login is absent]",
        "2. trial (deny): does not hold",
        "3. acme (allow): holds, and decides",
        "   true    claims.project_path.startsWith(\"acme/\")   [claims.project_path is \"acme/app\"]",
        "4. last (deny): is not read",
        "Allowed by the rule \"acme\".",
        "validity   5 min at most",
    ] {
        assert!(ended.out.contains(words), "{words}\n{}", ended.out);
    }

    let ended = explain(&["--claims", "branch.json"]);
    assert_eq!(ended.code, 1, "{}", ended.out);
    assert!(
        ended
            .out
            .contains("   false   claims.ref_protected == \"true\"   [claims.ref_protected is \"false\"]"),
        "{}",
        ended.out
    );
    assert!(
        ended.err.contains("refused by \"acme\"")
            && ended.err.contains("POLICY_DENIED")
            && ended.err.contains("Protect the branch."),
        "{}",
        ended.err
    );

    let ended = explain(&["--claims", "ours.json", "--key-type", "ed25519", "--json"]);
    assert_eq!(ended.code, 1);
    let document = ended.json();
    assert_eq!(
        (&document["verified"], &document["allowed"], &document["rule"]),
        (&json!(false), &json!(false), &json!("acme"))
    );
    assert_eq!(document["refusal"]["reason"], "POLICY_DENIED");
    assert_eq!(document["message"], "The rule \"acme\" allows keys of the types ecdsa-p256 only.");
    let outcomes: Vec<_> =
        document["rules"].as_array().expect("rules").iter().map(|rule| rule["outcome"].clone()).collect();
    assert_eq!(outcomes, ["does not hold", "does not hold", "decides", "not read"]);
    assert_eq!(document["rules"][2]["steps"][1]["claims"], json!({"claims.project_path": "acme/app"}));
    assert_eq!(document["warnings"][0]["code"], "PATH_WITHOUT_ID");

    for (arguments, code) in [
        (vec![], 2),
        (vec!["--claims", "ours.json", "--token", "ours.json"], 2),
        (vec!["--claims", "policy.yaml"], 1),
        (vec!["--claims", "ours.json", "--key-type", "dsa"], 2),
    ] {
        assert_eq!(explain(&arguments).code, code, "{arguments:?}");
    }
}

#[test]
fn a_dry_run_over_claims_compares_two_policies() {
    let claims = |changes: Value| {
        let mut claims: Value = serde_json::from_str(CLAIMS).expect("JSON");
        changes.as_object().expect("changes").iter().for_each(|(name, value)| claims[name] = value.clone());
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        let uri = format!("gitlab.com/{}//.gitlab-ci.yml@refs/heads/{}", text("project_path"), text("ref"));
        claims["ci_config_ref_uri"] = json!(uri);
        claims
    };
    let unprotected = json!({"ref_protected": "false"});
    let all = [
        claims(json!({})),
        claims(unprotected.clone()),
        claims(json!({"project_path": "acme/tool", "ref_protected": "false"})),
        claims(unprotected),
        claims(json!({"project_path": "other/app"})),
        claims(json!({"user_login": "mallory", "ref": "x"})),
        claims(json!({"ref": null})),
    ];
    let lines: String = all.iter().map(|claims| format!("{claims}\n")).collect();
    let list = Value::from(all.to_vec()).to_string();
    let old = "rules:\n- {name: acme, when: 'claims.project_path == \"other/app\" || claims.ref_protected == \"false\"', effect: allow}\n";
    let directory = directory(&[
        ("new.yaml", &rules()),
        ("old.yaml", old),
        ("claims.jsonl", &lines),
        ("claims.json", &list),
    ]);
    let dry_run =
        |more: &[&str]| run(directory.path(), &[&["dry-run", "--policy", "new.yaml"], more].concat());

    let ended = dry_run(&["--claims", "claims.jsonl", "--json"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    let document = ended.json();
    let sums = |document: &Value| {
        ["asked", "still_allowed", "still_refused", "refused", "newly_allowed", "not_judged"]
            .map(|name| document[name].as_u64().expect("a number"))
    };
    assert_eq!(sums(&document), [7, 1, 0, 6, 0, 0], "{document:#}");
    let group = |project: &str, rule: &str, count: u64, example: u64| {
        let groups = document["groups"].as_array().expect("groups").iter();
        let found: Vec<_> =
            groups.filter(|group| group["project"] == project && group["rule"] == rule).collect();
        assert_eq!(found.len(), 1, "{document:#}");
        assert_eq!(
            (&found[0]["count"], &found[0]["example"]),
            (&json!(count), &json!(example)),
            "{document:#}"
        );
        found[0]["message"].clone()
    };
    assert_eq!(group("acme/app", "acme", 2, 1), "Protect the branch.");
    group("acme/tool", "acme", 1, 2);
    group("other/app", "acme", 1, 4);
    assert_eq!(group("acme/app", "people", 1, 5), "The rule \"people\" denies it.");
    // Of claims sets everything is known: what is missing, the server misses.
    assert!(
        group("acme/app", "gitlab-3", 1, 6).as_str().is_some_and(|words| words.contains("CLAIM_MISSING"))
    );
    assert_eq!(dry_run(&["--claims", "claims.json", "--json"]).json()["groups"], document["groups"]);

    let document = dry_run(&["--claims", "claims.jsonl", "--against", "old.yaml", "--json"]).json();
    assert_eq!(sums(&document), [7, 0, 2, 4, 1, 0], "{document:#}");
    let ended = dry_run(&["--claims", "claims.jsonl", "--against", "new.yaml"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("Nobody would be refused."), "{}", ended.out);

    let ended = dry_run(&["--claims", "old.yaml"]);
    assert!(
        ended.code == 1 && ended.err.contains("claims set 1: there is something that is no JSON object"),
        "{}",
        ended.err
    );
    for (arguments, code) in
        [(vec![], 2), (vec!["--claims", "claims.json", "--since", "0"], 2), (vec!["--url", "http://x"], 2)]
    {
        assert_eq!(dry_run(&arguments).code, code, "{arguments:?}");
    }
}

/// Asks for certificates with these claims, all of which are issued.
fn issue(world: &World, changes: &[Value]) {
    let url = world.url() + "/api/v2/signingCert";
    for change in changes {
        let mut claims = world.gitlab.claims();
        change.as_object().expect("changes").iter().for_each(|(name, value)| claims[name] = value.clone());
        // What names the pipeline has to agree with the project.
        let project = claims["project_path"].as_str().expect("a text").to_owned();
        claims["job_project_path"] = json!(project);
        let instance = world.gitlab.url().split_once("://").expect("a URL").1;
        claims["ci_config_ref_uri"] = json!(format!("{instance}/{project}//.gitlab-ci.yml@refs/heads/main"));
        let mut request = TestKey::new().request(claims["sub"].as_str().expect("a text"));
        request["credentials"] = json!({ "oidcIdentityToken": world.gitlab.token(&claims) });
        secrets::note_sent(request.to_string().as_bytes());
        let answer = client().post(&url).body(request.to_string()).send();
        let answer = world.runtime.block_on(async { answer.await.expect("an answer").status() });
        assert_eq!(answer, 200, "{change}");
    }
}

#[test]
fn a_dry_run_replays_what_the_log_has() {
    let mut world = World::new();
    let open = json!({"project_path": "acme/app", "namespace_path": "acme", "ref_protected": "false"});
    let ours = json!({"project_path": "acme/app", "namespace_path": "acme"});
    let tool =
        json!({"project_path": "acme/tool", "namespace_path": "acme", "ref_protected": null, "runner_id": 7});
    let other = json!({"user_login": "mallory"});
    let issued: Vec<_> = [(&ours, 9), (&open, 4), (&tool, 2), (&other, 3)]
        .into_iter()
        .flat_map(|(changes, count)| std::iter::repeat_n(changes.clone(), count))
        .collect();
    issue(&world, &issued);
    fs::write(world.path("new.yaml"), rules()).expect("written");
    fs::write(world.path("sees.yaml"), rules().replace("claims.ref != \"main\"", "claims.ref == \"main\""))
        .expect("written");
    let runner = "rules:\n- {name: runners, when: 'has(claims.runner_id) && claims.runner_id > 6 && request.key_type == \"ecdsa-p256\"', effect: deny}\n- {name: all, effect: allow}\n";
    fs::write(world.path("runner.yaml"), runner).expect("written");
    let config = world.config_file();
    let dry_run = |world: &World, policy: &str, more: &[&str]| {
        let ended = world.run(&[&["policy", "dry-run", "--policy", policy, "--json"], more].concat());
        (ended.code, ended.json())
    };
    let sums = |document: &Value| {
        ["asked", "still_allowed", "refused", "not_judged"]
            .map(|name| document[name].as_u64().unwrap_or(u64::MAX))
    };

    let (code, document) = dry_run(&world, "new.yaml", &["--config", &config]);
    assert_eq!((code, sums(&document)), (1, [18, 9, 9, 0]), "{document:#}");
    let groups: Vec<_> = document["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| {
            (
                group["project"].as_str().expect("a project"),
                group["count"].as_u64(),
                group["example"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        groups,
        [
            ("acme/app", Some(4), Some(9)),
            ("my-group/my-project", Some(3), Some(15)),
            ("acme/tool", Some(2), Some(13))
        ]
    );
    // A certificate does not say who: where that decides, nothing is guessed.
    let (code, document) = dry_run(&world, "sees.yaml", &["--config", &config]);
    assert_eq!((code, sums(&document)), (1, [18, 0, 0, 18]), "{document:#}");
    let reason = document["reasons_not_to_judge"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("asks for user_login, which the certificate lacks"), "{reason}");
    // A number is a number again, and the key's type is the certificate's.
    let (code, document) = dry_run(&world, "runner.yaml", &["--config", &config]);
    assert_eq!((code, sums(&document)), (1, [18, 16, 2, 0]), "{document:#}");
    let (code, document) = dry_run(&world, "new.yaml", &["--config", &config, "--against", "new.yaml"]);
    assert_eq!((code, &document["still_refused"]), (0, &json!(9)), "{document:#}");
    let (code, document) =
        dry_run(&world, "new.yaml", &["--config", &config, "--since", "2999-01-01T00:00:00Z"]);
    assert_eq!((code, sums(&document)), (0, [0, 0, 0, 0]), "{document:#}");
    let (code, document) =
        dry_run(&world, "new.yaml", &["--config", &config, "--arc", "1.3.6.1.4.1.99999.7"]);
    assert_eq!((code, sums(&document)), (1, [18, 0, 0, 18]), "{document:#}");
    let reason = document["reasons_not_to_judge"][0]["reason"].as_str().expect("a reason");
    assert_eq!(reason, "the certificate lacks the raw GitLab claims (1.3.6.1.4.1.99999.7)");
    // Anybody who knows the log's key; no configuration says who is listed.
    let url = world.url() + "/ct";
    let (code, document) = dry_run(&world, "new.yaml", &["--url", &url, "--key", "log.pem"]);
    assert_eq!((code, sums(&document)), (1, [18, 9, 9, 0]), "{document:#}");
    // The configuration's own rules: there are none.
    let ended = world.run(&["policy", "dry-run", "--config", &config]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(
        ended.out.contains("18  are allowed as before") && ended.out.contains("Nobody would be refused."),
        "{}",
        ended.out
    );

    // What is told of a token: never the token.
    let token = world.token(|_| {});
    let ended =
        world.run(&["policy", "explain", "--token", "token", "--config", &config, "--policy", "new.yaml"]);
    assert!(ended.code == 1 && ended.out.contains("NOT VERIFIED"), "{}{}", ended.out, ended.err);
    assert!(
        !ended.out.contains(&token) && ended.out.contains("[claims.project_path is \"my-group/my-project\"]"),
        "{}",
        ended.out
    );
    world.token(|claims| claims["iss"] = json!("https://gitlab.example"));
    let ended =
        world.run(&["policy", "explain", "--token", "token", "--config", &config, "--policy", "new.yaml"]);
    assert!(ended.code == 1 && ended.err.contains("https://gitlab.example is not listed"), "{}", ended.err);

    // Of entries that only the server has, nothing is known without it.
    world.stop();
    let (code, document) = dry_run(&world, "new.yaml", &["--config", &config]);
    assert_eq!(code, 1, "{document:#}");
    assert!(document["error"].as_str().expect("words").contains("no entry is sealed"), "{document:#}");
}
