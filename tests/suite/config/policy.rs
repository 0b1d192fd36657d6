//! `policy:`: what is refused, each with its line; what is told; what rules become.

use super::{Place, WHOLE, with_issuers};
use countersign::config::{Config, policy::read_file};
use countersign::identity::gitlab::SubjectMode;
use countersign::policy::{Effect, Mode};
use countersign::possession::KeyKind;
use std::time::Duration;

const ISSUERS: &str = "issuers:
  - { url: https://gitlab.example.com, type: gitlab-pipeline }
  - { url: https://accounts.example.com, type: email }
";

/// A whole configuration whose rules begin on line 1 of what is added.
fn load(place: &Place, policy: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    place.write("policy.yaml", policy);
    place.load(with_issuers(&format!("{ISSUERS}policy: {{ file: policy.yaml }}\n")))
}

/// Each: the file with the rules, and the errors that follow.
const REFUSED: &[(&str, &str)] = &[
    ("", "policy.yaml:1: the file is empty"),
    ("rules: {}", "policy.yaml:1: rules: is not a list; write one `- …` line for each item"),
    (
        "rule: []",
        "policy.yaml:1: rules: is missing; write rules: and a list of rules below it\npolicy.yaml:1: rule: unknown key; did you mean rules?",
    ),
    (
        "rules: []",
        "policy.yaml:1: rules: is empty; write a rule, or remove policy: then every token of a listed issuer is admitted",
    ),
    (
        "rules:\n  - effect: allow",
        "policy.yaml:2: rules[0].name: is missing; refusals, logs and metrics name the rule by it",
    ),
    ("rules:\n  - name: a", "policy.yaml:2: rules[0].effect: is missing; write allow or deny"),
    (
        "rules:\n  - { name: a, effect: permit }",
        "policy.yaml:2: rules[0].effect: \"permit\" is no effect; write allow or deny",
    ),
    (
        "rules:\n  - { name: default, effect: allow }",
        "policy.yaml:2: rules[0].name: is what refusals say where no rule holds; give it another name",
    ),
    (
        "rules:\n  - { name: ' a', effect: allow }",
        "policy.yaml:2: rules[0].name: has a control character in it, or begins or ends with a space",
    ),
    (
        "rules:\n  - { name: \"a\\tb\", effect: allow }",
        "policy.yaml:2: rules[0].name: has a control character in it, or begins or ends with a space",
    ),
    (
        "rules:\n  - { name: \"a\\u200bb\", effect: allow }",
        "policy.yaml:2: rules[0].name: has a character in it that nobody sees, or that turns others around (\\u{200b})",
    ),
    (
        "rules:\n  - { name: \"a\\u202eb\", effect: allow }",
        "policy.yaml:2: rules[0].name: has a character in it that nobody sees, or that turns others around (\\u{202e})",
    ),
    (
        "rules:\n  - { name: gitlab-6, effect: allow }",
        "policy.yaml:2: rules[0].name: is what refusals call a rule of the type of identity; give it another name",
    ),
    (
        "rules:\n  - { name: github-workflow, effect: allow }",
        "policy.yaml:2: rules[0].name: is what refusals call a rule of the type of identity; give it another name",
    ),
    (
        "rules:\n  - { name: 'a, b', effect: allow }",
        "policy.yaml:2: rules[0].name: has a comma before a space, which stands between names in refusals",
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: true, message: \"a\\u202Eb\" }",
        "policy.yaml:2: rules[0].message: has a character in it that nobody sees, or that turns others around (\\u{202e})",
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'claims.sub == \"ac\u{200b}me\"' }",
        "policy.yaml:2: rules[0].when: has a character in it that nobody sees, or that turns others around; delete it, or write \\u200b in its place where a text is to have it (character 18)",
    ),
    (
        "rules:\n  - { name: '', effect: allow }",
        "policy.yaml:2: rules[0].name: has 0 characters; 1 to 64 are possible",
    ),
    (
        "rules:\n  - { name: a, effect: allow }\n  - { name: b, effect: deny }\n  - { name: a, effect: deny }",
        "policy.yaml:4: rules[2]: has the name of the rule on line 2: a; give it one of its own",
    ),
    (
        "rules:\n  - { name: a, effect: allow, wen: 'true' }",
        "policy.yaml:2: rules[0].wen: unknown key; did you mean when?",
    ),
    (
        "rules:\n  - { name: a, effect: allow, mode: log }",
        "policy.yaml:2: rules[0].mode: \"log\" is no mode; write enforce or warn",
    ),
    (
        "rules:\n  - { name: a, effect: allow, message: \"a\\nb\" }",
        "policy.yaml:2: rules[0].message: has a control character or a line break in it; write it on one line, or with >",
    ),
    // issuers
    (
        "rules:\n  - { name: a, effect: allow, issuers: [] }",
        "policy.yaml:2: rules[0].issuers: is empty, so the rule is about nobody; name issuers, or leave it out for all",
    ),
    (
        "rules:\n  - { name: a, effect: allow, issuers: [https://gitlab.exmaple.com] }",
        "policy.yaml:2: rules[0].issuers[0]: \"https://gitlab.exmaple.com\" is no listed issuer; did you mean https://gitlab.example.com?",
    ),
    (
        "rules:\n  - { name: a, effect: allow, issuers: [https://gitlab.com/x/y/z/w] }",
        "policy.yaml:2: rules[0].issuers[0]: \"https://gitlab.com/x/y/z/w\" is no listed issuer; there are https://gitlab.example.com, https://accounts.example.com",
    ),
    // conditions, with the line of the part that is wrong
    (
        "rules:\n  - { name: a, effect: allow, when: 'claims.sbu == \"x\"' }",
        "policy.yaml:2: rules[0].when: claims.sbu is unknown; did you mean sub? (character 7)",
    ),
    (
        "rules:\n  - name: a\n    effect: allow\n    when: |\n      claims.sub == \"x\" &&\n      claims.iss == 1\n",
        "policy.yaml:6: rules[0].when: compares claims.iss (a string) with 1 (a int); texts stand in quotes (character 12)",
    ),
    (
        "rules:\n  - name: a\n    effect: allow\n    when: |-\n\n      claims.sub ==\n        1\n",
        "policy.yaml:6: rules[0].when: compares claims.sub (a string) with 1 (a int); texts stand in quotes (character 12)",
    ),
    (
        "rules:\n  - name: a\n    effect: allow\n    when: >\n      claims.sub == \"x\" &&\n      claims.iss == 1\n",
        "policy.yaml:4: rules[0].when: compares claims.iss (a string) with 1 (a int); texts stand in quotes (character 33)",
    ),
    (
        "rules:\n  - name: a\n    effect: allow\n    when: claims.sub == \"x\" &&\n      claims.iss == 1\n",
        "policy.yaml:4: rules[0].when: compares claims.iss (a string) with 1 (a int); texts stand in quotes (character 33)",
    ),
    (
        "rules:\n  - name: a\n    effect: allow\n    when: \"claims.sub == 'x' &&\\nclaims.iss == 1\"\n",
        "policy.yaml:4: rules[0].when: compares claims.iss (a string) with 1 (a int); texts stand in quotes (character 12)",
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: claims.project_path == \"x\", issuers: [https://accounts.example.com] }",
        "policy.yaml:2: rules[0].when: claims.project_path is not always there; write has(claims.project_path) && …, or claims.?project_path.orValue(\"\") (character 7)",
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: claims.project_path == \"x\" }",
        "policy.yaml:2: rules[0].when: claims.project_path is not always there; write has(claims.project_path) && …, or claims.?project_path.orValue(\"\") (character 7)",
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: request.key_type == \"dsa\" }",
        "policy.yaml:2: rules[0].when: request.key_type is never that: it is one of \"ecdsa-p256\", \"ecdsa-p384\", \"ecdsa-p521\", \"rsa\", \"ed25519\" (character 21)",
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: [x] }",
        "policy.yaml:2: rules[0].when: is a list, a string is expected",
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: }",
        "policy.yaml:2: rules[0].when: has no value; give it one or remove the key",
    ),
    (
        "rules:\n  - name: a\n    effect: allow\n    when: !has(claims.sub)\n",
        "policy.yaml:4: the tag !has(claims.sub) means nothing here; remove it, or put the text in quotes",
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: 'claims.?environment_protected.orValue(\"none\") == \"yes\"', issuers: [https://gitlab.example.com] }",
        "policy.yaml:2: rules[0].when: claims.?environment_protected.orValue(\"none\") is never that: it is one of \"true\", \"false\", \"\", \"none\" (character 50)",
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: 'has(claims.emial)', issuers: [https://accounts.example.com] }",
        "policy.yaml:2: rules[0].when: claims.emial is unknown; did you mean email? (character 11)",
    ),
    // tightening
    (
        "rules:\n  - { name: a, effect: allow, validity: }",
        "policy.yaml:2: rules[0].validity: has no value; give it one or remove the key",
    ),
    (
        "rules:\n  - { name: a, effect: allow, key_types: }",
        "policy.yaml:2: rules[0].key_types: has no value; give it one or remove the key",
    ),
    (
        "rules:\n  - { name: a, effect: allow, subject: }",
        "policy.yaml:2: rules[0].subject: has no value; give it one or remove the key",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: }",
        "policy.yaml:2: rules[0].extensions: has no value; give it one or remove the key",
    ),
    (
        "rules:\n  - { name: a, effect: deny, extensions: }",
        "policy.yaml:2: rules[0].extensions: has no value; give it one or remove the key",
    ),
    (
        "rules:\n  - { name: a, effect: , validity: 5m }",
        "policy.yaml:2: rules[0].effect: has no value; give it one or remove the key",
    ),
    (
        "rules:\n  - { name: a, effect: deny, validity: 5m }",
        "policy.yaml:2: rules[0].validity: is for rules that allow; remove it",
    ),
    (
        "rules:\n  - { name: a, effect: allow, validity: 11m }",
        "policy.yaml:2: rules[0].validity: \"11m\" is out of bounds; from 1m to 10m is possible",
    ),
    (
        "rules:\n  - { name: a, effect: allow, validity: 59s }",
        "policy.yaml:2: rules[0].validity: \"59s\" is out of bounds; from 1m to 10m is possible",
    ),
    (
        "rules:\n  - { name: a, effect: allow, key_types: [] }",
        "policy.yaml:2: rules[0].key_types: is empty, so no key would do; name types, or leave it out for all",
    ),
    (
        "rules:\n  - { name: a, effect: allow, key_types: [p256] }",
        "policy.yaml:2: rules[0].key_types[0]: \"p256\" is no type of key; there are ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa, ed25519",
    ),
    (
        "rules:\n  - { name: a, effect: allow, subject: project }",
        "policy.yaml:2: rules[0].subject: is for gitlab-pipeline alone, and the rule is about email too; list its issuers",
    ),
    (
        "rules:\n  - { name: a, effect: allow, subject: job, issuers: [https://gitlab.example.com] }",
        "policy.yaml:2: rules[0].subject: \"job\" is no subject; write pipeline-definition or project",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 2.5.29.17.1, claim: sub }] }",
        "policy.yaml:2: rules[0].extensions[0].oid: overlaps 2.5.29 (X.509's own extensions): take one below your IANA private enterprise number",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 1.3.6.1.4.1.11129.2.4.2, claim: sub }] }",
        "policy.yaml:2: rules[0].extensions[0].oid: overlaps 1.3.6.1.4.1.11129 (Google's, with the extensions of Certificate Transparency): take one below your IANA private enterprise number",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 1.3.6.1.4.1.57264.1.9, claim: sub }] }",
        "policy.yaml:2: rules[0].extensions[0].oid: overlaps 1.3.6.1.4.1.57264 (Sigstore's): take one below your IANA private enterprise number",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 1.2.840.113556.1.8000.2554.28867.4258.65327.16907.43729.14999557.3402717.4, claim: sub }] }",
        "policy.yaml:2: rules[0].extensions[0].oid: overlaps 1.2.840.113556.1.8000.2554.28867.4258.65327.16907.43729.14999557.3402717, the arc of the extensions with GitLab's claims",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 1.2.3.4.5.6, claim: sub }, { oid: 1.2.3.4.5.6, claim: iss }] }",
        "policy.yaml:2: rules[0].extensions[1]: has the oid 1.2.3.4.5.6 of an extension before it; a certificate has each once",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 1.2.3.4.5.6, claim: exp }] }",
        "policy.yaml:2: rules[0].extensions[0].claim: \"exp\" is not a text in tokens of gitlab-pipeline, and only texts go into certificates",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 1.2.3.4.5.6, claim: project_pth }] }",
        "policy.yaml:2: rules[0].extensions[0].claim: \"project_pth\" is no claim of gitlab-pipeline; did you mean project_path?",
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ claim: sub }] }",
        "policy.yaml:2: rules[0].extensions[0].oid: is missing; write an object identifier below your IANA private enterprise number",
    ),
];

#[test]
fn what_is_wrong_with_a_rule_is_said_with_its_line() {
    let place = Place::new();
    let said = |policy: &str| {
        load(&place, policy).map(|_| "accepted".to_owned()).unwrap_or_else(|errors| errors.join("\n"))
    };
    let differing: Vec<_> = REFUSED
        .iter()
        .filter_map(|(policy, expected)| {
            let said = said(policy);
            (said != *expected).then(|| format!("{policy}\n  said:     {said}\n  expected: {expected}"))
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn rules_stand_in_the_configuration_or_in_a_file_and_nowhere_twice() {
    let place = Place::new();
    place.write("policy.yaml", "rules: [{ name: a, effect: allow, when: 'claims.sub != \"\"' }]");
    let with = |policy: &str| place.load(format!("{}policy: {policy}\n", with_issuers(ISSUERS)));
    for policy in
        ["{ file: policy.yaml }", "{ rules: [{ name: a, effect: allow, when: 'claims.sub != \"\"' }] }"]
    {
        let (config, warnings) = with(policy).expect("accepted");
        assert_eq!((config.policy.rules().len(), warnings.len()), (1, 0), "{warnings:?}");
    }
    let (config, _) = place.load(WHOLE).expect("accepted");
    assert!(config.policy.rules().is_empty());
    for (policy, expected) in [
        (
            "{ file: policy.yaml, rules: [] }",
            "countersign.yaml:10: policy.file: has no use beside rules; write the rules here or there",
        ),
        ("{ file: missing.yaml }", "countersign.yaml:10: policy.file: missing.yaml does not exist"),
        (
            "{}",
            "countersign.yaml:10: policy: has no rules; write rules: [{ name: …, when: …, effect: allow }], or file: policy.yaml",
        ),
        ("", "countersign.yaml:10: policy: has no value; give it one or remove the key"),
    ] {
        assert_eq!(with(policy).map(|_| ()).expect_err(policy).join("\n"), expected);
    }
    // A wrong claim in the configuration itself has the configuration's line.
    let errors =
        with("\n  rules:\n    - name: a\n      effect: allow\n      when: |\n        claims.sbu == \"x\"");
    let errors = errors.map(|_| ()).expect_err("refused").join("\n");
    assert!(
        errors.starts_with("countersign.yaml:15: policy.rules[0].when: claims.sbu is unknown"),
        "{errors}"
    );
}

#[test]
fn a_rule_becomes_what_it_says() {
    let place = Place::new();
    let policy = "
rules:
  - name: releases
    issuers: [https://gitlab.example.com]
    when: |
      claims.project_path.startsWith(\"acme/\") &&
      claims.ref_protected == \"true\" && claims.namespace_id == \"7\"
    effect: allow
    message: Protect the tag.
    validity: 5m
    key_types: [ecdsa-p256, ed25519]
    subject: project
    extensions: [{ oid: 1.3.6.1.4.1.99999.2.1, claim: deployment_tier }]
  - { name: people, mode: warn, effect: deny, when: true }
";
    let (config, warnings) = load(&place, policy).expect("accepted");
    // The second rule is on trial, and nobody else may have anything.
    assert!(warnings.is_empty(), "{warnings:?}");
    let [releases, people] = config.policy.rules() else { panic!("two rules") };
    assert_eq!((&*releases.name, releases.mode), ("releases", Mode::Enforce));
    assert!(
        releases.concerns("https://gitlab.example.com") && !releases.concerns("https://accounts.example.com")
    );
    assert_eq!(releases.message.as_deref(), Some("Protect the tag."));
    let Effect::Allow(tightening) = &releases.effect else { panic!("it allows") };
    assert_eq!(tightening.validity, Some(Duration::from_secs(300)));
    assert_eq!(tightening.key_types, [KeyKind::P256, KeyKind::Ed25519]);
    assert_eq!(tightening.subject, Some(SubjectMode::Project));
    assert_eq!(tightening.extensions[0].oid.to_string(), "1.3.6.1.4.1.99999.2.1");
    assert_eq!(tightening.extensions[0].claim, "deployment_tier");
    assert_eq!((people.mode, matches!(people.effect, Effect::Deny)), (Mode::Warn, true));
    assert!(people.concerns("https://accounts.example.com"));
}

/// The warnings of rules, by the line of the rule.
const TOLD: &[(&str, &[(usize, &str)])] = &[
    ("rules:\n  - { name: a, effect: allow, when: true }", &[]),
    ("rules:\n  - { name: a, effect: allow, message: x }", &[(2, "has a message that nobody gets")]),
    (
        "rules:\n  - { name: a, effect: allow }\n  - { name: b, effect: deny, when: 'issuer == \"https://gitlab.example.com\"' }",
        &[(3, "is never read: the rule \"a\" before it has no condition and decides")],
    ),
    ("rules:\n  - { name: a, effect: allow, mode: warn }\n  - { name: b, effect: allow }", &[]),
    (
        "rules:\n  - { name: a, effect: allow, issuers: [https://accounts.example.com] }\n  - { name: b, effect: allow, when: 'issuer != \"x\"' }",
        &[],
    ),
    (
        "rules:\n  - { name: a, effect: allow, issuers: [https://accounts.example.com] }\n  - { name: b, effect: deny, issuers: [https://accounts.example.com] }",
        &[(3, "is never read")],
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'issuer == \"https://gitlab.example.com\"' }",
        &[(2, "nobody gets certificates by https://gitlab.example.com, https://accounts.example.com")],
    ),
    (
        "rules:\n  - { name: a, effect: allow, issuers: [https://gitlab.example.com, https://gitlab.example.com] }",
        &[(2, "names https://gitlab.example.com a second time")],
    ),
    (
        "rules:\n  - { name: a, effect: allow, extensions: [{ oid: 1.2.3.4.5.6, claim: user_login }], issuers: [https://gitlab.example.com] }",
        &[(2, "is about a person")],
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: 'claims.project_path.startsWith(\"acme\")', issuers: [https://gitlab.example.com] }",
        &[(2, "PREFIX_WITHOUT_SLASH: ")],
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: 'claims.ref == \"main\"', issuers: [https://gitlab.example.com] }",
        &[(2, "REF_WITHOUT_PROTECTION: ")],
    ),
    (
        "rules:\n  - { name: a, effect: allow, when: 'has(claims.sub)', issuers: [https://gitlab.example.com] }\n  - { name: b, effect: deny, issuers: [https://gitlab.example.com] }",
        &[(3, "is never read: the rule \"a\" before it always holds and decides")],
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'claims.ref_type != \"tag\" && claims.ref_type != \"branch\"', issuers: [https://gitlab.example.com] }\n  - { name: b, effect: allow }",
        &[(2, "has a condition that never holds")],
    ),
    // Texts that no token has.
    (
        "rules:\n  - { name: a, effect: deny, when: 'issuer == \"https://gitlab.exampl.com\"' }\n  - { name: b, effect: allow }",
        &[(
            2,
            "issuer with \"https://gitlab.exampl.com\", which is no issuer that it is about, so that never holds; did you mean https://gitlab.example.com?",
        )],
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'claims.iss in [\"https://gitlab.example.com\", \"x\"]' }\n  - { name: b, effect: allow }",
        &[(2, "claims.iss with \"x\"")],
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'issuer == \"https://accounts.example.com\"', issuers: [https://gitlab.example.com] }\n  - { name: b, effect: allow }",
        &[(2, "which is no issuer that it is about")],
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'claims.aud == \"sigstor\"' }\n  - { name: b, effect: allow }",
        &[(2, "which no entry of its issuers has as audience, so that never holds; did you mean sigstore?")],
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'claims.pipeline_source in [\"merge_request\", \"push\", \"something else\"]', issuers: [https://gitlab.example.com] }\n  - { name: b, effect: allow }",
        &[(
            2,
            "\"merge_request\", which is not known to start pipelines, so that never holds; did you mean merge_request_event?",
        )],
    ),
    // What denies may deny too much, and a path without its id is not told here.
    (
        "rules:\n  - { name: a, effect: allow, when: 'claims.project_path == \"acme/a\"', issuers: [https://gitlab.example.com] }",
        &[],
    ),
    (
        "rules:\n  - { name: a, effect: deny, when: 'claims.ref == \"main\"', issuers: [https://gitlab.example.com] }\n  - { name: b, effect: allow }",
        &[],
    ),
];

#[test]
fn rules_that_do_less_or_more_than_they_seem_are_told() {
    let place = Place::new();
    for (policy, expected) in TOLD {
        let (_, warnings) = load(&place, policy).unwrap_or_else(|errors| panic!("{policy}: {errors:?}"));
        assert_eq!(warnings.len(), expected.len(), "{policy}: {warnings:?}");
        for (warning, (line, words)) in warnings.iter().zip(*expected) {
            assert!(
                warning.starts_with(&format!("policy.yaml:{line}: ")) && warning.contains(words),
                "{warning}"
            );
        }
    }
}

#[test]
fn an_issuer_that_admits_forks_wants_rules_that_ask_for_the_jobs_project() {
    let place = Place::new();
    let issuers =
        "issuers: [{ url: https://gitlab.example.com, type: gitlab-pipeline, allow_fork_pipelines: true }]\n";
    let with = |when: &str| {
        let rules = format!("policy: {{ rules: [{{ name: a, effect: allow, when: '{when}' }}] }}\n");
        place.load(with_issuers(&(issuers.to_owned() + &rules))).expect("accepted").1
    };
    let warnings = with("claims.namespace_id == \"7\"");
    assert!(warnings.len() == 1 && warnings[0].contains("job_project_id"), "{warnings:?}");
    let asked = "claims.namespace_id == \"7\" && has(claims.job_project_id) && claims.job_project_id == claims.project_id";
    assert!(with(asked).is_empty(), "{:?}", with(asked));
}

#[test]
fn one_warning_names_every_public_issuer_that_no_rule_is_about() {
    let place = Place::new();
    let issuers = "issuers:
  - { url: https://gitlab.com, type: gitlab-pipeline }
  - { url: https://gitlab.example.com, type: gitlab-pipeline }
  - { url: https://accounts.google.com, type: email }
";
    let with = |policy: &str| {
        let path = place.write("countersign.yaml", with_issuers(&(issuers.to_owned() + policy)));
        let (_, warnings) = Config::load(&path).expect("accepted");
        warnings.iter().map(|warning| place.short(&warning.to_string())).collect::<Vec<_>>()
    };
    let warnings = with("");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for words in
        ["countersign.yaml:7: issuers: ", "https://gitlab.com (", "https://accounts.google.com (", "--group"]
    {
        assert!(warnings[0].contains(words), "{words}: {}", warnings[0]);
    }
    assert!(!warnings[0].contains("gitlab.example.com"));
    let rule = |rule: &str| format!("policy: {{ rules: [{rule}] }}\n");
    let group = "when: 'claims.namespace_id == \"7\"', effect: allow, issuers: [https://gitlab.com]";
    let warnings = with(&rule(&format!("{{ name: a, {group} }}")));
    assert!(warnings.len() == 1 && !warnings[0].contains("https://gitlab.com ("), "{warnings:?}");
    assert!(warnings[0].contains("https://accounts.google.com ("));
    // A rule on trial keeps nobody out.
    let warnings = with(&rule(&format!("{{ name: a, mode: warn, {group} }}")));
    assert!(warnings.len() == 1 && warnings[0].contains("https://gitlab.com ("), "{warnings:?}");
    // So it is with conditions that ask for nothing that only somebody has.
    let public = |when: &str| {
        with(&rule(&format!("{{ name: a, when: '{when}', effect: allow, issuers: [https://gitlab.com] }}")))
    };
    for when in [
        "claims.ref_protected == \"true\"",
        "claims.ref_type == \"tag\"",
        "claims.namespace_path != \"\"",
        "claims.?environment.orValue(\"\") == \"production\"",
        "!claims.project_path.startsWith(\"evil/\")",
    ] {
        let warnings = public(when);
        assert!(
            warnings.iter().any(|it| it.contains("allows anybody who has a token of https://gitlab.com")),
            "{warnings:?}"
        );
    }
    for when in [
        "claims.namespace_id == \"7\"",
        "claims.?user_login.orValue(\"\") == \"ada\"",
        "has(claims.groups_direct) && claims.groups_direct.exists(g, g == \"acme/release\")",
        "has(claims.groups_direct) && \"acme/release\" in claims.groups_direct",
    ] {
        let warnings = public(when);
        assert!(!warnings.iter().any(|it| it.contains("allows anybody")), "{warnings:?}");
    }
    // Everybody on purpose is everybody still, however that is written.
    for when in [
        "",
        "when: '!false', ",
        "when: 'claims.sub == claims.sub', ",
        "when: 'claims.sub.startsWith(\"\")', ",
    ] {
        let warnings = with(&rule(&format!("{{ name: a, {when}effect: allow }}")));
        let told = |words| warnings.iter().any(|warning| warning.contains(words));
        assert!(
            told("allows everybody who has a token of") && !told("everybody gets certificates"),
            "{when}{warnings:?}"
        );
    }
}

#[test]
fn there_is_an_end_to_rules_and_to_their_texts() {
    let place = Place::new();
    let rules = |count: usize| -> String {
        let rule = |number| {
            format!("  - {{ name: r{number}, effect: allow, when: 'claims.sub == \"{number}\"' }}\n")
        };
        "rules:\n".to_owned() + &(0..count).map(rule).collect::<String>()
    };
    assert_eq!(load(&place, &rules(1000)).expect("accepted").0.policy.rules().len(), 1000);
    let errors = load(&place, &rules(1001)).map(|_| ()).expect_err("too many");
    assert_eq!(errors, ["policy.yaml:1: rules: has 1001 rules; 1000 are possible"]);
    let long =
        format!("rules: [{{ name: {}, effect: allow, message: {} }}]", "n".repeat(65), "m".repeat(501));
    let errors = load(&place, &long).map(|_| ()).expect_err("too long").join("\n");
    assert!(errors.contains("has 65 characters") && errors.contains("has 501 characters"), "{errors}");
    let large = format!("rules: [{{ name: a, effect: allow }}]\n# {}", "x".repeat(1024 * 1024));
    let errors = load(&place, &large).map(|_| ()).expect_err("too large").join("\n");
    assert!(errors.contains("is larger than 1024 KiB"), "{errors}");
}

#[test]
fn a_file_of_rules_is_read_alone_for_given_issuers() {
    let place = Place::new();
    let (config, _) = place.load(with_issuers(ISSUERS)).expect("accepted");
    let file = place.write("rules.yaml", "rules: [{ name: a, effect: allow, when: 'claims.sub == \"x\"' }]");
    let (policy, warnings) = read_file(&file, &config.issuers, Duration::from_secs(600)).expect("accepted");
    assert_eq!((policy.rules().len(), warnings.len()), (1, 0));
    let file = place.write("rules.yaml", "rules: [{ name: a, effect: allow, when: 'claims.sbu == \"x\"' }]");
    let errors = read_file(&file, &config.issuers, Duration::from_secs(600)).expect_err("refused");
    assert_eq!(errors.findings().len(), 1);
    let missing = place.path("nowhere.yaml");
    let errors = read_file(&missing, &config.issuers, Duration::from_secs(600)).expect_err("refused");
    assert!(errors.to_string().contains("there is no such file"), "{errors}");
}

/// What templates read is known, and tokens may have more: a near miss is told, not refused.
#[test]
fn a_claim_that_is_near_to_one_of_a_template_is_told() {
    let place = Place::new();
    place.write(
        "fulcio.yaml",
        "oidc-issuers:
  https://ci.example.com: { issuer-url: https://ci.example.com, client-id: sigstore, type: ci-provider, ci-provider: acme }
ci-issuer-metadata:
  acme:
    subject-alternative-name-template: https://ci.example.com/{{ .pipeline_slug }}
    extension-templates: { build-trigger: build_source }
",
    );
    let with = |claim: &str| {
        let rule =
            format!("{{ name: a, effect: allow, when: 'has(claims.{claim}) && claims.{claim} == \"x\"' }}");
        let config = with_issuers(&format!("identity_config: fulcio.yaml\npolicy: {{ rules: [{rule}] }}\n"));
        place.load(config).expect("accepted").1
    };
    for (claim, meant) in [("pipeline_slgu", "pipeline_slug"), ("build_sorce", "build_source")] {
        let warnings = with(claim);
        assert!(warnings.iter().any(|it| it.contains(&format!("did you mean {meant}?"))), "{warnings:?}");
    }
    for claim in ["pipeline_slug", "build_source", "sub", "organisation"] {
        assert!(!with(claim).iter().any(|it| it.contains("did you mean")), "{claim}");
    }
}
