//! `golden.jsonl`: what Fulcio 1.8.8 answered, recorded.

use super::super::Principal;
use super::*;
use crate::token::VerifiedToken;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

const ISSUER: &str = "https://issuer.example";

fn provider(configuration: &Value) -> CiProvider {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = |key: &str| configuration[key].as_object().cloned().unwrap_or_default().into_iter();
    CiProvider {
        extension_templates: members("extension-templates")
            .map(|(key, value)| (ExtensionName::parse(&key).expect("an extension"), text(&value)))
            .collect(),
        default_template_values: members("default-template-values")
            // A null in the file is an empty text.
            .map(|(key, value)| if value.is_null() { (key, String::new()) } else { (key, text(&value)) })
            .collect(),
        subject_alternative_name_template: configuration["subject-alternative-name-template"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn shown(principal: &Principal) -> (String, BTreeMap<String, String>) {
    let extensions = principal.extensions().iter().map(|extension| {
        let text = oid::text_of(&extension.oid, &extension.content).expect("text");
        (extension.oid.to_string(), text.to_owned())
    });
    (principal.name().text().to_owned(), extensions.collect())
}

/// The quirks of the reference for which a refusal is right, and those that change an answer's text alone.
const REFUSED: [&str; 10] = [
    "claim-overrides-default",
    "control-characters",
    "duplicate-claim",
    "empty-claim",
    "empty-subject",
    "invalid-utf8",
    "non-string-claim",
    "null-claim",
    "odd-san",
    "rare-construct",
];

#[test]
fn answers_are_the_reference_s_but_for_its_quirks() {
    let mut differences = Vec::new();
    for line in include_str!("../../../tests/fixtures/gotemplate/golden.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let name = case["name"].as_str().expect("a name");
        let quirk = case["quirk"].as_str().unwrap_or_default();
        let compiled = provider(&case["provider"]).compile();
        if case["startup"] == "refused" {
            assert!(compiled.is_err(), "{name}");
            continue;
        }
        let compiled = compiled.expect(name);
        let issuer = case["issuer"].as_str().expect("an issuer");
        let payload = case["payload"].as_str().expect("a payload");
        let token = VerifiedToken::unsigned_text(payload);
        let ours = token.and_then(|token| compiled.principal(issuer, &token));
        let expected = case["san"].as_str().map(|san| {
            let extensions = case["extensions"].as_object().expect("extensions").iter();
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (san.to_owned(), extensions.map(|(oid, value)| (oid.clone(), text(value))).collect())
        });
        match (&ours, &expected) {
            (Err(_), None) => {}
            (Err(_), Some(_)) if REFUSED.contains(&quirk) => {}
            (Ok(principal), Some(expected)) if shown(principal) == *expected => {}
            // Its payload has `exp` twice.
            (Err(refusal), Some(_))
                if name == "template: numbers as they are spelled"
                    && refusal.reason() == Reason::TokenMalformed => {}
            _ => differences
                .push(format!("{name} ({quirk}): {:?}\n  expected {expected:?}", ours.as_ref().map(shown))),
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

fn example() -> CompiledProvider {
    provider(&json!({
        "subject-alternative-name-template": "https://{{ .host }}/{{ .project }}",
        "extension-templates": {"run-invocation-uri": "{{ .url }}/{{ .run }}", "build-trigger": "event"},
        "default-template-values": {"host": "ci.example", "url": "https://ci.example", "event": ""},
    }))
    .compile()
    .expect("templates")
}

#[test]
fn no_claim_lengthens_the_host_that_the_operator_wrote() {
    let templates = ["{{ .url }}{{ .path }}", "https://ci.example.com{{ .path }}", "{{ .url }}:{{ .path }}"];
    let judged = |template: &str, path: &str| {
        let compiled = provider(&json!({
            "subject-alternative-name-template": template,
            "default-template-values": {"url": "https://ci.example.com"},
        }))
        .compile()
        .expect("templates");
        let token = VerifiedToken::unsigned(&json!({"sub": "s-1", "path": path}));
        compiled.principal(ISSUER, &token).map(|principal| principal.name().text().to_owned())
    };
    for template in templates {
        for path in [".evil.example/x", "@evil.example/x", "80@evil.example/", ":80@evil.example/", "x", ".x"]
        {
            let refusal = judged(template, path).expect_err("a refusal");
            assert_eq!(refusal.reason(), Reason::TemplateFailed, "{template} {path}");
        }
    }
    for (template, path, name) in [
        (templates[0], "/x", "https://ci.example.com/x"),
        (templates[0], "", "https://ci.example.com"),
        (templates[0], "?x", "https://ci.example.com?x"),
        (templates[1], "/@x", "https://ci.example.com/@x"),
        (templates[2], "8443/x", "https://ci.example.com:8443/x"),
        ("https://app-{{ .path }}.example.com/", "eu", "https://app-eu.example.com/"),
        ("https://{{ .path }}", "ci.example/a@b", "https://ci.example/a@b"),
    ] {
        assert_eq!(judged(template, path).expect("a name"), name);
    }
    assert!(judged("https://{{ .path }}", "ci.example@evil.example/x").is_err());
    for template in [
        "https://{{ .path }}.example.com/a",
        "https://app-{{ .path }}.example.com",
        "https://{{ .path }}.example.com:8443",
    ] {
        assert!(judged(template, "eu").is_ok(), "{template}");
        for path in ["evil.example/", "evil.example/x?", "evil.example:80/", "evil.example#", "evil.example?"]
        {
            let refusal = judged(template, path).expect_err("a refusal");
            assert_eq!(refusal.reason(), Reason::TemplateFailed, "{template} {path}");
        }
    }
}

fn refusal_of(claims: Value) -> Refusal {
    example().principal(ISSUER, &VerifiedToken::unsigned(&claims)).expect_err("a refusal")
}

#[test]
fn a_claim_that_is_needed_is_named() {
    let missing = refusal_of(json!({"sub": "s", "project": "p"}));
    assert_eq!((missing.reason(), missing.claim()), (Reason::ClaimMissing, Some("run")));
    for (value, reason) in [
        (json!(null), Reason::ClaimMissing),
        (json!(["a"]), Reason::ClaimWrongType),
        (json!({}), Reason::ClaimWrongType),
        (json!("a\nb"), Reason::ClaimControlCharacter),
    ] {
        let refusal = refusal_of(json!({"sub": "s", "project": "p", "run": value}));
        assert_eq!((refusal.reason(), refusal.claim()), (reason, Some("run")));
    }
}

#[test]
fn no_claim_replaces_a_default_that_names_a_host() {
    for claim in ["url", "host"] {
        let mut claims = json!({"sub": "s", "project": "p", "run": 1});
        claims[claim] = json!(if claim == "url" { "https://evil.example" } else { "evil.example" });
        let refusal = refusal_of(claims);
        assert_eq!((refusal.reason(), refusal.claim()), (Reason::ClaimReplacesUrl, Some(claim)));
        assert!(!format!("{refusal}").contains("evil"));
    }
    let same = json!({"sub": "s", "project": "p", "run": 1, "url": "https://ci.example", "event": "push"});
    let principal = example().principal(ISSUER, &VerifiedToken::unsigned(&same)).expect("a principal");
    assert_eq!(principal.name().text(), "https://ci.example/p");
}

#[test]
fn integers_keep_their_digits() {
    for (spelling, text) in [
        ("9007199254740993", "9007199254740993"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("-0", "-0"),
        ("1e-7", "0.0000001"),
    ] {
        let number: Number = serde_json::from_str(spelling).expect("a number");
        assert_eq!(number_text(&number).as_deref(), Some(text), "{spelling}");
    }
}

#[test]
fn a_wrong_template_is_named() {
    let fault = CiProvider {
        extension_templates: vec![(
            ExtensionName::parse("BuildSignerURI").expect("known"),
            "a\n{{ .a".into(),
        )],
        ..CiProvider::default()
    };
    let fault = fault.compile().expect_err("a fault");
    assert_eq!(fault, "the template for Build Signer URI: line 2: unclosed action");
}

#[test]
fn extensions_have_the_names_of_both_spellings() {
    for key in ["build-signer-uri", "BuildSignerURI", "github-workflow-sha", "GithubWorkflowSHA", "subject"] {
        assert!(ExtensionName::parse(key).is_some(), "{key}");
    }
    for key in ["issuer-(v2)", "othername-san", "build signer uri", ""] {
        assert!(ExtensionName::parse(key).is_none(), "{key}");
    }
}

proptest! {
    #[test]
    fn no_claim_moves_the_host(project in ".{0,30}", host in "[ -~]{0,20}", event in ".{0,20}") {
        let claims = json!({"sub": "s", "project": project, "run": 1, "host": host, "event": event});
        if let Ok(principal) = example().principal(ISSUER, &VerifiedToken::unsigned(&claims)) {
            let name = principal.name().text();
            prop_assert!(name.starts_with("https://ci.example/"), "{name}");
            prop_assert!(name.is_ascii());
            let read = url::Url::parse(name).expect("a URL");
            prop_assert_eq!(read.host_str(), Some("ci.example"));
        }
    }
}
