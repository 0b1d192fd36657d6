use super::*;
use crate::condition::Condition;
use crate::identity::IdentityType as _;
use crate::identity::gitlab::GitlabRules;
use crate::possession::KeyKind;
use crate::token::Claims;
use proptest::prelude::*;

const GITLAB: &str = "https://gitlab.com";

fn claims(changes: &[(&str, serde_json::Value)]) -> Claims {
    let mut claims = serde_json::json!({
        "iss": GITLAB, "sub": "project_path:acme/app:ref_type:branch:ref:main", "aud": "sigstore", "exp": 1_800_000_000,
        "namespace_id": "7", "namespace_path": "acme", "project_id": "42", "project_path": "acme/app",
        "pipeline_id": "1", "pipeline_source": "push", "job_id": "2", "ref": "main", "ref_type": "branch",
        "ref_protected": "true", "sha": "0123456789abcdef", "runner_environment": "gitlab-hosted",
    });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    Claims::parse(claims.to_string().as_bytes()).unwrap()
}

fn condition(source: &str) -> Condition {
    Condition::compile(source, &scope(GitlabRules::default().claims())).unwrap()
}

fn rule(name: &str, effect: Effect, when: &str) -> Rule {
    Rule {
        name: name.into(),
        issuers: None,
        when: Some(condition(when)),
        effect,
        mode: Mode::Enforce,
        message: None,
    }
}

fn allow(name: &str, when: &str) -> Rule {
    rule(name, Effect::Allow(Tightening::default()), when)
}

fn deny(name: &str, when: &str) -> Rule {
    rule(name, Effect::Deny, when)
}

fn request(claims: &Claims) -> RequestFacts<'_> {
    RequestFacts { issuer: GITLAB, iss: GITLAB, claims, key: KeyKind::P256 }
}

/// `yes` or `no`, the rule that said so, and the names of those on trial.
fn said(rules: &[Rule], claims: &Claims) -> String {
    let policy = Policy::new(rules.to_vec());
    let verdict = policy.decide(&request(claims));
    let warned = verdict.warned.iter().map(|rule| &*rule.name).collect::<Vec<_>>().join(" ");
    let answer = if verdict.decision.is_allowed() { "yes" } else { "no" };
    format!("{answer} {} [{warned}]", verdict.decision.rule().unwrap_or_default())
}

#[test]
fn the_first_rule_that_holds_decides_and_where_none_does_the_answer_is_no() {
    let releases =
        || allow("releases", r#"claims.project_path.startsWith("acme/") && claims.ref_protected == "true""#);
    let forks = || deny("merge requests", r#"claims.pipeline_source == "merge_request_event""#);
    let all = || Rule { when: None, ..allow("all", "true") };
    let trial = |rule: Rule| Rule { mode: Mode::Warn, ..rule };
    let elsewhere = |rule: Rule| Rule { issuers: Some(vec!["https://gitlab.example".into()]), ..rule };
    let here = |rule: Rule| Rule { issuers: Some(vec![GITLAB.into()]), ..rule };
    let plain = claims(&[]);
    let unprotected = claims(&[("ref_protected", "false".into())]);
    let silent = claims(&[("ref_protected", serde_json::Value::Null)]);
    let merge = claims(&[("pipeline_source", "merge_request_event".into())]);
    for (rules, claims, expected) in [
        (vec![], &plain, "yes  []"),
        (vec![releases()], &plain, "yes releases []"),
        (vec![releases()], &unprotected, "no releases []"),
        (vec![releases()], &silent, "no releases []"),
        (vec![forks(), all()], &merge, "no merge requests []"),
        (vec![all(), forks()], &merge, "yes all []"),
        (vec![forks()], &plain, "no default []"),
        (
            vec![releases(), allow("tags", r#"claims.ref_type == "tag""#)],
            &unprotected,
            "no releases, tags []",
        ),
        (vec![elsewhere(forks())], &merge, "yes  []"),
        (vec![here(forks()), elsewhere(all())], &merge, "no merge requests []"),
        (vec![elsewhere(all()), here(forks())], &plain, "no default []"),
        (vec![trial(forks())], &merge, "yes  [merge requests]"),
        (vec![trial(forks())], &plain, "yes  []"),
        (vec![trial(forks()), all()], &merge, "yes all [merge requests]"),
        (vec![all(), trial(forks())], &merge, "yes all []"),
    ] {
        assert_eq!(said(&rules, claims), expected, "{rules:?}");
    }
}

#[test]
fn what_cannot_be_decided_is_refused_by_the_rule_that_could_not() {
    let odd = claims(&[("groups_direct", "acme".into()), ("environment", 7.into())]);
    for (when, what) in [
        (
            r#"has(claims.groups_direct) && "acme" in claims.groups_direct"#,
            "claims.groups_direct is not a list(string)",
        ),
        (r#"!has(claims.environment)  || claims.environment == "x""#, "claims.environment is not a string"),
    ] {
        for effect in [Effect::Deny, Effect::Allow(Tightening::default())] {
            let policy = Policy::new(vec![rule("odd", effect, when), allow("all", "true")]);
            let decision = policy.decide(&request(&odd)).decision;
            assert_eq!(decision.rule().as_deref(), Some("odd"));
            assert_eq!(decision.message(), Some(format!("The rule \"odd\" cannot be decided: {what}.")));
        }
    }
    let trial =
        Rule { mode: Mode::Warn, ..deny("odd", r#"has(claims.environment) && claims.environment == "x""#) };
    assert_eq!(said(&[trial], &odd), "yes  [odd]");
}

#[test]
fn one_audience_in_a_list_is_that_audience_and_of_several_none_is() {
    let rules = [allow("sigstore", r#"claims.aud == "sigstore""#)];
    assert_eq!(said(&rules, &claims(&[("aud", serde_json::json!(["sigstore"]))])), "yes sigstore []");
    assert_eq!(said(&rules, &claims(&[("aud", serde_json::json!(["other"]))])), "no sigstore []");
    let several = claims(&[("aud", serde_json::json!(["sigstore", "other"]))]);
    assert_eq!(said(&rules, &several), "no sigstore []");
    let denied = Policy::new(rules.to_vec());
    assert!(denied.decide(&request(&several)).decision.message().unwrap().contains("cannot be decided"));
}

#[test]
fn an_empty_list_is_a_list() {
    let rules = [allow(
        "no stranger",
        r#"!has(claims.groups_direct) || !claims.groups_direct.exists(g, g == "bad")"#,
    )];
    for groups in [serde_json::json!([]), serde_json::json!(["good"]), serde_json::Value::Null] {
        assert_eq!(said(&rules, &claims(&[("groups_direct", groups)])), "yes no stranger []");
    }
    assert_eq!(said(&rules, &claims(&[("groups_direct", serde_json::json!(["bad"]))])), "no no stranger []");
}

#[test]
fn ref_protected_is_there_in_tokens_of_gitlab_jobs_alone() {
    let elsewhere = Claims::parse(br#"{"iss":"https://gitlab.com","sub":"x"}"#).unwrap();
    let condition = Condition::compile(
        "!has(claims.ref_protected)",
        &scope(crate::identity::github::GithubRules.claims()),
    );
    let condition = condition.unwrap();
    assert_eq!(condition.holds(&request(&elsewhere)), Ok(true));
    assert_eq!(condition.holds(&request(&claims(&[("ref_protected", serde_json::Value::Null)]))), Ok(false));
}

#[test]
fn a_refusal_fits_into_the_trailers_of_grpc() {
    let long = |name: &str| Rule { message: Some("😀".repeat(500)), ..allow(name, "false") };
    let rules: Vec<_> = (0..9).map(|number| long(&format!("r{number}"))).collect();
    let message = Policy::new(rules).decide(&request(&claims(&[]))).decision.message().unwrap();
    assert!(message.len() <= 2000, "{}", message.len());
}

#[test]
fn an_allowing_rule_may_allow_some_keys_alone() {
    let tightening = Tightening { key_types: vec![KeyKind::P384, KeyKind::Ed25519], ..Tightening::default() };
    let policy = Policy::new(vec![rule("strong", Effect::Allow(tightening), "true"), allow("all", "true")]);
    let claims = claims(&[]);
    let decide = |key| policy.decide(&RequestFacts { key, ..request(&claims) }).decision;
    assert!(decide(KeyKind::P384).is_allowed() && decide(KeyKind::Ed25519).is_allowed());
    let denied = decide(KeyKind::P256);
    assert_eq!(denied.rule().as_deref(), Some("strong"));
    assert_eq!(
        denied.message().unwrap(),
        "The rule \"strong\" allows keys of the types ecdsa-p384, ed25519 only."
    );
}

#[test]
fn a_refusal_says_what_the_rules_say() {
    let with = |rule: Rule, message: &str| Rule { message: Some(message.to_owned()), ..rule };
    let message = |rules: Vec<Rule>| Policy::new(rules).decide(&request(&claims(&[]))).decision.message();
    let never = |name| allow(name, r#"claims.ref == "never""#);
    assert_eq!(message(vec![with(deny("d", "true"), "Not here.")]).unwrap(), "Not here.");
    assert_eq!(message(vec![deny("d", "true")]).unwrap(), "The rule \"d\" denies it.");
    assert_eq!(
        message(vec![with(never("a"), "Protect it."), with(never("b"), "Or tag it.")]).unwrap(),
        "Protect it. Or tag it."
    );
    assert_eq!(message(vec![never("a")]).unwrap(), "No rule allows it.");
    assert_eq!(message(vec![deny("d", "false")]).unwrap(), "No rule allows it.");
    assert_eq!(message(vec![allow("a", "true")]), None);
}

/// Conditions over two claims, so that they hold often.
fn conditions() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        "[ab]".prop_map(|name| format!("claims.ref == \"{name}\"")),
        "[ab]".prop_map(|name| format!("(has(claims.environment) && claims.environment == \"{name}\")")),
        Just("has(claims.environment)".to_owned()),
    ];
    atom.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn rules(most: usize) -> impl Strategy<Value = Vec<Rule>> {
    let one = (conditions(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.3));
    prop::collection::vec(one, 0..most).prop_map(|drawn| {
        let rule = |(number, (when, allows, trial, elsewhere)): (usize, (String, bool, bool, bool))| {
            let effect = if allows { Effect::Allow(Tightening::default()) } else { Effect::Deny };
            let mode = if trial { Mode::Warn } else { Mode::Enforce };
            let issuers = elsewhere.then(|| vec!["https://gitlab.example".to_owned()]);
            Rule { mode, issuers, ..rule(&format!("r{number}"), effect, &when) }
        };
        drawn.into_iter().enumerate().map(rule).collect()
    })
}

fn tokens() -> impl Strategy<Value = Claims> {
    ("[abc]", prop::option::of("[abc]")).prop_map(|(name, environment)| {
        claims(&[
            ("ref", name.into()),
            ("environment", environment.map_or(serde_json::Value::Null, Into::into)),
        ])
    })
}

fn decides(policy: &Policy, claims: &Claims) -> (bool, Option<String>, Option<String>) {
    let decision = policy.decide(&request(claims)).decision;
    (decision.is_allowed(), decision.rule(), decision.message())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn adding_a_denial_never_allows_more(mut list in rules(6), when in conditions(), at in 0usize..6, token in tokens()) {
        let before = Policy::new(list.clone());
        let ruled = before.rules_over(GITLAB);
        list.insert(at.min(list.len()), deny("added", &when));
        let after = Policy::new(list);
        prop_assert!(decides(&before, &token).0 || !ruled || !decides(&after, &token).0);
        // Without any rule everybody is admitted: the first denial makes a list of it.
        prop_assert!(ruled || !decides(&after, &token).0);
    }

    #[test]
    fn adding_an_allowance_behind_all_others_never_denies_more(mut list in rules(6), when in conditions(), token in tokens()) {
        let before = Policy::new(list.clone());
        list.push(allow("added", &when));
        let after = Policy::new(list);
        prop_assert!(!before.rules_over(GITLAB) || !decides(&before, &token).0 || decides(&after, &token).0);
    }

    #[test]
    fn rules_on_trial_and_rules_of_others_change_nothing(list in rules(8), token in tokens()) {
        let counts = |rule: &&Rule| rule.mode == Mode::Enforce && rule.concerns(GITLAB);
        let alone = Policy::new(list.iter().filter(counts).cloned().collect());
        prop_assert_eq!(decides(&Policy::new(list), &token), decides(&alone, &token));
    }

    /// Whoever reads the explanation comes to the decision.
    #[test]
    fn the_readings_end_with_the_rule_that_decides(list in rules(8), token in tokens()) {
        let policy = Policy::new(list);
        let facts = request(&token);
        let readings = policy.readings(&facts);
        prop_assert_eq!(readings.len(), policy.rules().len());
        let verdict = policy.decide(&facts);
        let in_force = |mode: Mode| readings.iter().filter(move |(rule, outcome)| {
            rule.mode == mode && matches!(outcome, Outcome::Decides(_))
        });
        let decided: Vec<_> = in_force(Mode::Enforce).map(|(rule, _)| *rule).collect();
        let expected: Vec<_> = match &verdict.decision {
            Decision::Allowed(rule) | Decision::Denied(rule, _) => vec![*rule],
            Decision::Unruled | Decision::NotAllowed(_) => vec![],
        };
        prop_assert_eq!(decided, expected);
        prop_assert_eq!(in_force(Mode::Warn).map(|(rule, _)| *rule).collect::<Vec<_>>(), verdict.warned);
        for (rule, outcome) in &readings {
            prop_assert_eq!(*outcome == Outcome::OfOthers, !rule.concerns(GITLAB));
        }
        let last = readings.iter().position(|(rule, outcome)| {
            rule.mode == Mode::Enforce && matches!(outcome, Outcome::Decides(_))
        });
        for (at, (_, outcome)) in readings.iter().enumerate() {
            prop_assert_eq!(*outcome == Outcome::NotRead, last.is_some_and(|last| at > last) && *outcome != Outcome::OfOthers);
        }
    }

    #[test]
    fn two_neighbours_of_one_effect_may_change_places(list in rules(8), at in 0usize..7, token in tokens()) {
        let mut swapped = list.clone();
        if at + 1 < list.len() && matches!(list[at].effect, Effect::Deny) == matches!(list[at + 1].effect, Effect::Deny) {
            swapped.swap(at, at + 1);
        }
        prop_assert_eq!(decides(&Policy::new(list), &token).0, decides(&Policy::new(swapped), &token).0);
    }

    #[test]
    fn the_answer_is_that_of_reading_the_rules_in_order(list in rules(8), token in tokens()) {
        let facts = request(&token);
        let first = list.iter().find(|rule| {
            rule.mode == Mode::Enforce && rule.concerns(GITLAB) && rule.holds(&facts) == Ok(true)
        });
        let policy = Policy::new(list.clone());
        let expected = match first {
            Some(rule) => matches!(rule.effect, Effect::Allow(_)),
            None => !policy.rules_over(GITLAB),
        };
        let (allowed, rule, message) = decides(&policy, &token);
        prop_assert_eq!(allowed, expected);
        // Every refusal names a rule, and says something.
        prop_assert!(allowed || (rule.is_some_and(|name| !name.is_empty()) && message.is_some_and(|text| !text.is_empty())));
    }
}

#[test]
fn key_types_have_the_names_of_keys() {
    for kind in KeyKind::ALL {
        let condition = condition(&format!("request.key_type == \"{}\"", kind.code()));
        let claims = claims(&[]);
        assert_eq!(condition.holds(&RequestFacts { key: kind, ..request(&claims) }), Ok(true));
    }
    let scope = scope(GitlabRules::default().claims());
    assert!(Condition::compile(r#"request.key_type == "rsa2048""#, &scope).is_err());
}

/// Every member that a rule may name without asking is one that every token has.
#[test]
fn what_is_always_there_is_what_rule_3_demands() {
    let facts_claims = claims(&[]);
    let facts = request(&facts_claims);
    for name in [
        "sub",
        "namespace_id",
        "namespace_path",
        "project_id",
        "project_path",
        "pipeline_id",
        "pipeline_source",
        "job_id",
        "ref",
        "ref_type",
        "sha",
        "runner_environment",
        "ref_protected",
        "iss",
        "aud",
    ] {
        let source = match name {
            "ref_type" => "claims.ref_type == \"branch\"".to_owned(),
            "ref_protected" => "claims.ref_protected != \"\"".to_owned(),
            name => format!("claims.{name} != \"\""),
        };
        assert_eq!(condition(&source).holds(&facts), Ok(true), "{name}");
    }
}
