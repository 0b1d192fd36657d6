mod constant;
mod hidden;
mod impossible;
mod work;

use super::*;
use std::collections::BTreeMap;

/// Claims as a test writes them.
#[derive(Default)]
struct Given(BTreeMap<String, Value>);

impl Facts for Given {
    fn value(&self, path: &[String]) -> Result<Option<Value>, Undecided> {
        match self.0.get(&path.join(".")) {
            Some(Value::Int(-1)) => Err(Undecided("it is of another type".to_owned())),
            value => Ok(value.cloned()),
        }
    }
}

fn scope() -> Scope {
    let claims = Record::of([
        ("project_path", Member::always(Type::Text)),
        ("project_id", Member::always(Type::Text)),
        ("ref", Member::always(Type::Text)),
        ("ref_protected", Member::always(Type::Text).one_of(&["true", "false", ""])),
        ("environment", Member::sometimes(Type::Text)),
        ("kind", Member::always(Type::Text).one_of(&["branch", "tag"])),
        ("flag", Member::sometimes(Type::Text).one_of(&["true", "false", ""])),
        ("runner_id", Member::sometimes(Type::Int)),
        ("groups_direct", Member::sometimes(Type::texts())),
    ])
    .and_others(Type::Text);
    let cert = Record::of([
        ("san", Member::always(Type::Text)),
        ("gitlab", Member::record(Record::of([("ref", Member::sometimes(Type::Text))]), false)),
    ]);
    Scope::of([
        ("claims", Member::record(claims, true)),
        ("cert", Member::record(cert, true)),
        ("issuer", Member::always(Type::Text)),
        ("now", Member::always(Type::Time)),
    ])
}

fn given(facts: &[(&str, Value)]) -> Given {
    let mut all = vec![
        ("claims.project_path", text("acme/app")),
        ("claims.project_id", text("42")),
        ("claims.ref", text("main")),
        ("claims.ref_protected", text("true")),
        ("cert.san", text("https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main")),
        ("issuer", text("https://gitlab.com")),
        ("now", Value::Time(crate::environment::UnixMillis(1_800_000_000_000))),
    ];
    all.extend_from_slice(facts);
    Given(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn holds(source: &str, facts: &[(&str, Value)]) -> bool {
    Condition::compile(source, &scope())
        .unwrap_or_else(|fault| panic!("{source}: {fault}"))
        .holds(&given(facts))
        .unwrap()
}

fn fault(source: &str) -> String {
    let fault = Condition::compile(source, &scope()).expect_err(source);
    format!("{}:{} {}", fault.line, fault.column, fault.message)
}

#[test]
fn conditions_hold_or_do_not() {
    let production = [("claims.environment", text("production"))];
    let groups = [("claims.groups_direct", Value::Texts(vec!["acme".into(), "other".into()]))];
    for (source, facts, expected) in [
        ("true", &[][..], true),
        (r#"claims.project_path == "acme/app""#, &[], true),
        (r#"claims["project_path"] == "acme/app""#, &[], true),
        (r#"claims.project_path.startsWith("acme/") && claims.ref_protected == "true""#, &[], true),
        (r#"claims.project_path.startsWith("acme/") && claims.ref_protected == "false""#, &[], false),
        (r#"claims.ref in ["main", "stable"]"#, &[], true),
        (r#"!(claims.ref in ["dev", "stable"])"#, &[], true),
        (r#"has(claims.environment) && claims.environment == "production""#, &[], false),
        (r#"has(claims.environment) && claims.environment == "production""#, &production, true),
        (r#"!has(claims.environment) || claims.environment == "production""#, &[], true),
        (r#"!(!has(claims.environment) || claims.environment != "production")"#, &production, true),
        (r#"has(claims.environment) ? claims.environment == "production" : false"#, &production, true),
        (r#"claims.?environment.orValue("none") == "none""#, &[], true),
        (r#"claims.?environment.orValue("none") == "production""#, &production, true),
        (r#"claims.?environment.hasValue()"#, &[], false),
        (r#""environment" in claims && claims.environment.endsWith("ion")"#, &production, true),
        (r#"has(claims.runner_id) && claims.runner_id > 7"#, &[("claims.runner_id", Value::Int(8))], true),
        (r#"has(claims.groups_direct) && claims.groups_direct.exists(g, g == "acme")"#, &groups, true),
        (r#"has(claims.groups_direct) && claims.groups_direct.all(g, g == "acme")"#, &groups, false),
        (r#"has(claims.groups_direct) && "other" in claims.groups_direct"#, &groups, true),
        (r#"has(claims.groups_direct) && claims.groups_direct.size() == 2"#, &groups, true),
        (r#"["main", "v"].exists(prefix, claims.ref.startsWith(prefix))"#, &[], true),
        (r#"claims.project_path.matches("^acme/[a-z]+$")"#, &[], true),
        (
            r#"matches(claims.ref, "^dev$") || claims.project_path.matches("^acme/") && !claims.ref.matches("x")"#,
            &[],
            true,
        ),
        (r#"["^a", "b"].exists(text, text.matches("^\\^a$"))"#, &[], true),
        (r#"claims.project_path != "http://x" && claims.ref != '//'"#, &[], true),
        (r#"has(claims.custom) && claims.custom == "x""#, &[("claims.custom", text("x"))], true),
        (
            r#"cert.san == "https://gitlab.com/" + claims.project_path + "//.gitlab-ci.yml@refs/heads/main""#,
            &[],
            true,
        ),
        (r#"now > timestamp("2026-01-01T00:00:00Z")"#, &[], true),
        (r#"now - timestamp("2027-01-15T08:00:00Z") < duration("1h")"#, &[], true),
        (r#"has(cert.gitlab) && has(cert.gitlab.ref)"#, &[], false),
        (
            r#"has(cert.gitlab) && has(cert.gitlab.ref) && cert.gitlab.ref == "main""#,
            &[("cert.gitlab", Value::Group), ("cert.gitlab.ref", text("main"))],
            true,
        ),
    ] {
        assert_eq!(holds(source, facts), expected, "{source}");
    }
}

#[test]
fn what_could_never_hold_or_may_be_absent_is_an_error_where_it_stands() {
    for (source, expected) in [
        (r#"claims.project_pth == "x""#, "1:7 claims.project_pth is unknown; did you mean project_path?"),
        (
            "issuer == \"x\" &&\n  has(claims.project_pth)",
            "2:13 claims.project_pth is unknown; did you mean project_path?",
        ),
        (
            r#"claims.custom == "x""#,
            "1:7 claims.custom is not always there; write has(claims.custom) && …, or claims.?custom.orValue(\"\")",
        ),
        (
            r#"claims.environment == "x" && has(claims.environment)"#,
            "1:7 claims.environment is not always there",
        ),
        (r#"has(claims.environment) || claims.environment == "x""#, "claims.environment is not always there"),
        (
            r#"!has(claims.environment) && claims.environment == "x""#,
            "claims.environment is not always there",
        ),
        (
            r#"has(claims.environment) ? true : claims.environment == "x""#,
            "claims.environment is not always there",
        ),
        (r#"claims.?environment == "x""#, "may be absent; give it a default"),
        (
            r#"claims.ref_protected == true"#,
            "1:22 compares claims.ref_protected (a string) with true (a bool); texts stand in quotes",
        ),
        (r#"claims.ref_protected"#, "is a string, where a condition is true or false"),
        (
            r#"claims.ref_protected && true"#,
            "claims.ref_protected is a string, where true or false is needed; compare it: == \"true\"",
        ),
        (
            r#"claims.ref_protected == "yes""#,
            "claims.ref_protected is never that: it is one of \"true\", \"false\", \"\"",
        ),
        (r#"claims.ref_protected in ["true", "TRUE"]"#, "claims.ref_protected is never that"),
        (r#"claims.project_id > "9""#, "letter by letter"),
        (r#"claims.project_id == 42"#, "compares claims.project_id (a string) with 42 (a int)"),
        (r#"claims.ref in "main""#, "looks for a string in a string"),
        (r#"claims.ref in [1]"#, "looks for a string in a list(int)"),
        (r#"claims.ref in []"#, "is an empty list"),
        (r#"claims.ref in ["a", 1]"#, "is a int in a list of strings"),
        (r#"claims == claims"#, "claims is a group of values"),
        (r#"claim.ref == "main""#, "claim is unknown; did you mean claims?"),
        (r#"cert.gitlab.ref == "main""#, "cert.gitlab is not always there; write has(cert.gitlab) && …"),
        (r#"has(cert.gitlab) && cert.gitlab.ref == "main""#, "cert.gitlab.ref is not always there"),
        (r#"claims.ref.matches("(")"#, "is no regular expression"),
        (r#"claims.ref.matches(claims.project_path)"#, "claims.project_path must be a text in quotes"),
        (r#"claims.ref.lowerAscii() == "x""#, "lowerAscii with 0 arguments is nothing that conditions have"),
        (r#"claims.ref * 2 == 4"#, "* with 2 arguments is nothing that conditions have"),
        (r#"1 / 0 == 1"#, "/ with 2 arguments is nothing that conditions have"),
        (r#"claims.ref == null"#, "null is nothing to compare with"),
        (r#"claims.ref == b"x""#, "is of a type that nothing here has"),
        (r#"1.5 > 1.0"#, "is of a type that nothing here has"),
        (r#"{"a": true}["a"]"#, "has no members"),
        (r#"{"a": true} == {"a": true}"#, "conditions do not have"),
        (r#"["a"].map(x, x) == ["a"]"#, "map with 2 arguments is nothing"),
        (r#"["a"].exists(x, ["b"].exists(y, x == y))"#, "stands within another one of its kind"),
        (r#"["a"].exists(claims, claims == "a")"#, "claims is a variable already"),
        (r#"timestamp("yesterday") < now"#, "is no time"),
        (r#"now < timestamp(claims.ref)"#, "must be a text in quotes"),
        (r#"claims.ref == "main" &&"#, "is not CEL"),
        (r#"now < timestamp("9999-12-31T23:59:59Z")"#, "outside of the years 1970 to 2200"),
        (r#"now - now < duration("3000000h")"#, "is longer than ten years"),
        (r#"now - now < duration("-1h")"#, "is no duration"),
        ("issuer == \"x\" // ours\n && issuer == \"y\"", "1:1 has a comment"),
        ("issuer == \"é\" &&\n  issuer == 1", "2:10 compares issuer"),
        ("", "is empty"),
        ("1", "is a int, where a condition is true or false"),
        ("x.y.z", "x is unknown; there are cert, claims, issuer, now"),
    ] {
        let fault = fault(source);
        assert!(fault.contains(expected), "{source}\n  {fault}\n  {expected}");
    }
}

/// Whatever is written, the answer is a condition or a fault, within the bounds, on a small stack.
#[test]
fn hostile_texts_are_refused() {
    let long = [
        "(".repeat(4000),
        "!".repeat(4001) + "1",
        "-".repeat(4001) + "1",
        "claims".to_owned() + &".a".repeat(2000),
        "1".to_owned() + &"+1".repeat(2000) + " == 1",
        "[".repeat(4000),
        "true".to_owned() + &"?true:true".repeat(300),
        "claims".to_owned() + &"[claims".repeat(500),
        "size(".repeat(800),
        "'\\777\\uD800'".to_owned(),
        "\u{0}'\u{202e}".to_owned(),
        "1".repeat(4000),
        "x".repeat(5000),
        "true && ".repeat(511) + "true",
    ];
    for source in long {
        let outcome = std::thread::Builder::new()
            .stack_size(2 * 1024 * 1024)
            .spawn(move || Condition::compile(&source, &scope()).map(|_| source.len()))
            .unwrap()
            .join()
            .expect("no panic, no overflow");
        assert!(outcome.is_err() || outcome == Ok(8 * 511 + 4), "{outcome:?}");
    }
}

#[test]
fn a_fact_of_another_type_and_a_sum_that_is_too_large_decide_nothing() {
    let condition =
        Condition::compile("has(claims.runner_id) && claims.runner_id + 1 > 0", &scope()).unwrap();
    assert!(condition.holds(&given(&[("claims.runner_id", Value::Int(i64::MAX))])).is_err());
    assert!(condition.holds(&given(&[("claims.runner_id", Value::Int(-1))])).is_err());
    let text = condition.holds(&given(&[("claims.runner_id", text("5"))]));
    assert_eq!(text, Err(Undecided("claims.runner_id is not a int".to_owned())));
    assert_eq!(condition.holds(&given(&[("claims.runner_id", Value::Int(5))])), Ok(true));
}

#[test]
fn what_nothing_hangs_on_is_not_asked() {
    let source = r#"has(claims.environment) && (claims.environment == "x" || claims.environment == "y")"#;
    let condition = Condition::compile(source, &scope()).unwrap();
    let asked = |given: &Given| -> Vec<bool> {
        condition.steps(given).into_iter().map(|step| step.is_asked).collect()
    };
    assert_eq!(asked(&given(&[])), [true, true, false, false, false]);
    assert_eq!(asked(&given(&[("claims.environment", text("x"))])), [true; 5]);
}

#[test]
fn an_explanation_shows_each_part_with_what_it_names() {
    let source = r#"claims.project_path.startsWith("acme/") && (claims.ref == "main" || has(claims.environment)) && !(claims.ref_protected == "false")"#;
    let condition = Condition::compile(source, &scope()).unwrap();
    let steps: Vec<_> = condition
        .steps(&given(&[("claims.ref", text("dev"))]))
        .into_iter()
        .map(|step| {
            let facts =
                step.facts.iter().map(|(name, value)| format!("{name} {value:?}")).collect::<Vec<_>>();
            format!("{}{} {} [{}]", "  ".repeat(step.depth), step.holds.unwrap(), step.text, facts.join(", "))
        })
        .collect();
    assert_eq!(
        steps,
        [
            "false all of []",
            r#"  true claims.project_path.startsWith("acme/") [claims.project_path Some(Text("acme/app"))]"#,
            "  false one of []",
            r#"    false claims.ref == "main" [claims.ref Some(Text("dev"))]"#,
            "    false has(claims.environment) [claims.environment None]",
            "  true not []",
            r#"    false claims.ref_protected == "false" [claims.ref_protected Some(Text("true"))]"#,
        ]
    );
}

#[test]
fn conditions_that_hold_for_more_than_they_seem_to_get_advice() {
    let codes = |source: &str| {
        let condition =
            Condition::compile(source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
        condition.advice().into_iter().map(|advice| advice.lint.code()).collect::<Vec<_>>()
    };
    for (source, expected) in [
        (r#"claims.project_id == "42" && claims.project_path == "acme/app""#, &[][..]),
        (r#"claims.project_id == "42" && claims.ref == "main" && claims.ref_protected == "true""#, &[]),
        (r#"claims.project_path == "acme/app""#, &["PATH_WITHOUT_ID"]),
        (r#"claims.project_path.startsWith("acme") && claims.project_id == "42""#, &["PREFIX_WITHOUT_SLASH"]),
        (r#"claims.project_path.startsWith("acme/") && claims.project_id == "42""#, &[]),
        (r#"claims.project_id == "42" && claims.project_path.contains("acme/")"#, &["PART_OF_NAME"]),
        (r#"claims.ref.endsWith("main") && claims.ref_protected == "true""#, &["PART_OF_NAME"]),
        (r#"claims.ref == "main""#, &["REF_WITHOUT_PROTECTION"]),
        (r#"issuer.matches("https://gitlab.com")"#, &["UNANCHORED_PATTERN"]),
        (r#"issuer.matches("^https://gitlab.com|example$")"#, &["UNANCHORED_PATTERN"]),
        (r#"issuer.matches("^(a|b)$") && issuer.matches("\\Aa[|]b\\z")"#, &[]),
        (r#"issuer.matches("^[(]x|20$")"#, &["UNANCHORED_PATTERN"]),
        (r#"issuer.startsWith("https://gitlab.com")"#, &["PREFIX_WITHOUT_SLASH"]),
        (r#"issuer.contains("gitlab.com")"#, &["PART_OF_NAME"]),
        (r#"claims.project_id == "42" && claims.ref_protected != "false""#, &["REF_WITHOUT_PROTECTION"]),
        (r#"cert.san == "ada@example.com""#, &[]),
        (
            r#"claims.project_id == "42" && claims.project_path.matches("^acme.*$")"#,
            &["PREFIX_WITHOUT_SLASH"],
        ),
        (
            r#"claims.project_id == "42" && claims.project_path.matches("^(acme|labs).*$")"#,
            &["PREFIX_WITHOUT_SLASH"],
        ),
        (
            r#"claims.project_id == "42" && claims.project_path.matches("^acme[a-z]*$")"#,
            &["PREFIX_WITHOUT_SLASH"],
        ),
        (
            r#"claims.project_id == "42" && claims.project_path.matches("^acme-\\w+$")"#,
            &["PREFIX_WITHOUT_SLASH"],
        ),
        (r#"claims.project_id == "42" && claims.project_path.matches("^(acme|labs)(/.*)?$")"#, &[]),
        (r#"claims.project_id == "42" && claims.project_path.matches("^acme/v.*$")"#, &[]),
        (r#"claims.project_id == "42" && claims.project_path.matches("^acme[.]js/[a-z]+$")"#, &[]),
        (r#"issuer.matches("^https://gitlab[.]com/acme.*$")"#, &["PREFIX_WITHOUT_SLASH"]),
        (
            r#"claims.project_id == "42" && ["acme", "labs/"].exists(p, claims.project_path.startsWith(p))"#,
            &["PREFIX_WITHOUT_SLASH"],
        ),
        (
            r#"claims.?sub.orValue("") == "project_path:acme/widgets:ref_type:branch:ref:main""#,
            &["REF_WITHOUT_PROTECTION", "PATH_WITHOUT_ID"],
        ),
        (
            r#"claims.project_id == "42" && (claims.ref == "main" || claims.ref_protected == "true")"#,
            &["REF_WITHOUT_PROTECTION"],
        ),
        (
            r#"claims.project_id == "42" && claims.ref == "main" && claims.ref_protected in ["true", ""]"#,
            &["REF_WITHOUT_PROTECTION"],
        ),
        (
            r#"claims.project_id == "42" && (claims.ref == "main" ? claims.ref_protected == "true" : claims.ref_protected in ["true"])"#,
            &[],
        ),
        (
            r#"claims.project_id == "42" && (claims.ref == "a" || claims.ref == "b") && claims.ref_protected == "true""#,
            &[],
        ),
        (
            r#"cert.san == "https://x/acme/app//c@refs/heads/main""#,
            &["REF_WITHOUT_PROTECTION", "PATH_WITHOUT_ID"],
        ),
        (
            r#"cert.san.startsWith("https://gitlab.com/acme")"#,
            &["PREFIX_WITHOUT_SLASH", "REF_WITHOUT_PROTECTION", "PATH_WITHOUT_ID"],
        ),
    ] {
        assert_eq!(codes(source), expected, "{source}");
    }
}

#[test]
fn what_two_scopes_have_in_common_is_sure_in_both() {
    let gitlab = Record::of([
        ("sub", Member::always(Type::Text)),
        ("ref", Member::always(Type::Text)),
        ("x", Member::always(Type::Int)),
    ])
    .and_others(Type::Text);
    let people = Record::of([("sub", Member::always(Type::Text)), ("x", Member::always(Type::Text))])
        .and_others(Type::Text);
    let scope = Scope::of([("claims", Member::record(gitlab.common(&people), true))]);
    assert!(Condition::compile(r#"claims.sub == "x""#, &scope).is_ok());
    assert!(Condition::compile(r#"claims.ref == "x""#, &scope).is_err());
    assert!(Condition::compile(r#"has(claims.ref) && claims.ref == "x""#, &scope).is_ok());
}

/// Whatever the unknown member turns out to be, what is said without it stands.
#[test]
fn what_is_sure_without_a_member_is_sure_with_it() {
    let unknown = |name: &str| name == "claims.environment";
    let mut told = Vec::new();
    for source in [
        r#"claims.ref == "main" && (has(claims.environment) && claims.environment == "production")"#,
        r#"claims.ref == "dev" && (has(claims.environment) && claims.environment == "production")"#,
        r#"claims.ref == "main" || has(claims.environment)"#,
        r#"claims.ref == "dev" || has(claims.environment)"#,
        r#"!(claims.ref == "dev" && "environment" in claims)"#,
        r#"!("environment" in claims)"#,
        r#"claims["ref"] == "main" && claims.?environment.orValue("x") != "y""#,
        r#"has(claims.environment) ? claims.environment == "production" : true"#,
        r#"claims.ref == "main""#,
        // Names are names, however they are spelt, and texts are none.
        r#"claims.ref == "dev" || claims.?environment.hasValue()"#,
        r#"claims.ref == "claims.environment""#,
        r#"has(claims.environment_tier) && claims.environment_tier == "x""#,
    ] {
        let condition = Condition::compile(source, &scope()).unwrap();
        let sure = condition.holds_without(&given(&[]), &unknown);
        for facts in [
            vec![],
            vec![("claims.environment", text("production"))],
            vec![("claims.environment", text("y"))],
        ] {
            let holds = condition.holds(&given(&facts)).unwrap();
            assert!(sure.is_none_or(|sure| sure == holds), "{source}: {sure:?}, {facts:?}");
        }
        told.push(sure);
    }
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(told, [None, no, yes, None, yes, None, None, None, yes, None, no, no]);
}

/// A claim's name may have quotes and backslashes in it.
#[test]
fn a_name_is_unknown_whatever_it_is_made_of() {
    for name in ["a\"b", "a\\b", "a.b", "a\"] || true", "x y"] {
        let quoted = serde_json::Value::from(name);
        let path = format!("claims.{name}");
        for source in [
            format!("{quoted} in claims"),
            format!("!({quoted} in claims) || claims[{quoted}] == \"x\""),
            format!("claims.ref == \"dev\" || {quoted} in claims && claims[{quoted}] == \"x\""),
        ] {
            let condition =
                Condition::compile(&source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
            assert_eq!(condition.holds_without(&given(&[]), &|unknown| unknown == path), None, "{source}");
            assert!(
                condition.holds_without(&given(&[]), &|unknown| unknown == "claims.b").is_some(),
                "{source}"
            );
        }
    }
}

#[test]
fn a_fault_stands_where_a_member_is_named_first() {
    let condition = Condition::compile(
        "claims.ref == \"x\" ||\n  has(claims.custom) &&\n claims.custom == \"y\"",
        &scope(),
    )
    .unwrap();
    let path = ["claims", "custom"].map(str::to_owned);
    let fault = condition.fault_at(&path, "is odd".to_owned());
    assert_eq!((fault.line, fault.column, fault.message.as_str()), (2, 13, "is odd"));
}

/// What is there is not said to be absent.
#[test]
fn a_group_that_is_there_is_shown_as_there() {
    let condition = Condition::compile("!has(cert.gitlab)", &scope()).unwrap();
    let facts =
        |given: Given| condition.steps(&given).into_iter().flat_map(|step| step.facts).collect::<Vec<_>>();
    assert_eq!(facts(given(&[])), [("cert.gitlab".to_owned(), None)]);
    assert_eq!(
        facts(given(&[("cert.gitlab", Value::Group)])),
        [("cert.gitlab".to_owned(), Some(Value::Group))]
    );
}
