use super::*;
use crate::condition::{Facts, Member, Record, Scope, Type, Undecided, Value};
use proptest::prelude::*;

fn scope() -> Scope {
    let text = |name| (name, Member::always(Type::Text));
    let names = [
        "project_path",
        "project_id",
        "namespace_path",
        "namespace_id",
        "sub",
        "ref",
        "ref_protected",
        "user_login",
    ];
    let claims = Record::of(names.map(text)).and_others(Type::Text);
    let request = Record::of([text("path"), text("project_path")]);
    Scope::of([
        ("claims", Member::record(claims, true)),
        ("request", Member::record(request, true)),
        text("issuer"),
    ])
}

fn pinned(source: &str) -> Option<Pin> {
    let condition = Condition::compile(source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
    condition.pins().ok()
}

/// A job of a project that no condition here names, in whatever else it is the same.
struct Stranger;

impl Facts for Stranger {
    fn value(&self, path: &[String]) -> Result<Option<Value>, Undecided> {
        let text = match path.join(".").as_str() {
            "claims.project_path" => "acme-evil/app",
            "claims.namespace_path" => "acme-evil",
            "claims.project_id" => "12",
            "claims.namespace_id" => "77",
            "claims.sub" => "project_path:acme-evil/app:ref_type:branch:ref:acme/app",
            "claims.ref" => "main",
            "claims.ref_protected" => "true",
            _ => "acme/app",
        };
        Ok(Some(Value::Text(text.to_owned())))
    }
}

/// Conditions as somebody may write them, right or wrong.
fn conditions() -> impl Strategy<Value = String> {
    let claim = prop::sample::select(vec![
        "project_path",
        "namespace_path",
        "project_id",
        "namespace_id",
        "sub",
        "ref",
    ]);
    let text = prop::sample::select(vec![
        "",
        "/",
        "acme",
        "acme/",
        "acme/app",
        "1",
        "7",
        "main",
        "app",
        "evil",
        "project_path:",
        "project_path:acme",
        "project_path:acme/",
        "project_path:acme/app:",
    ]);
    let pattern = prop::sample::select(vec![
        "^acme",
        "^acme/",
        "^acme/?",
        "acme/",
        "^acme/app$",
        "^acme/|evil",
        "^(acme/)?",
        "^acme/a+",
        "^.*app$",
        "^acme.evil/app$",
        "^1$",
        "^1",
        "^project_path:acme/",
        "^project_path:acme",
        "\\\\Aacme/app\\\\z",
        "^acme/(app|evil)",
        "^[a]cme/",
        "(?i)^ACME/",
        "^acme/*-evil",
        "^acme/{0}-evil",
    ]);
    let texts = prop::collection::vec(text.clone(), 1..3);
    let listed =
        |texts: Vec<&str>| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
    let leaf = prop_oneof![
        (claim.clone(), text.clone()).prop_map(|(claim, text)| format!("claims.{claim} == \"{text}\"")),
        (claim.clone(), text.clone()).prop_map(|(claim, text)| format!("claims.{claim} != \"{text}\"")),
        (claim.clone(), text.clone())
            .prop_map(|(claim, text)| format!("claims.{claim}.startsWith(\"{text}\")")),
        (claim.clone(), text).prop_map(|(claim, text)| format!("claims.{claim}.contains(\"{text}\")")),
        (claim.clone(), pattern)
            .prop_map(|(claim, pattern)| format!("claims.{claim}.matches(\"{pattern}\")")),
        (claim.clone(), texts.clone())
            .prop_map(move |(claim, texts)| format!("claims.{claim} in [{}]", listed(texts))),
        (claim, texts, any::<bool>()).prop_map(move |(claim, texts, all)| {
            let (texts, search) = (listed(texts), if all { "all" } else { "exists" });
            format!("[{texts}].{search}(x, claims.{claim}.startsWith(x) || claims.{claim} == x)")
        }),
        Just("true".to_owned()),
        Just("false".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(condition, yes, no)| format!("({condition} ? {yes} : {no})")),
            inner.prop_map(|of| format!("!({of})")),
        ]
    })
}

fn pins_no_stranger(source: &str) {
    let Ok(condition) = Condition::compile(source, &scope()) else { return };
    if let Ok(pin) = condition.pins() {
        assert_eq!(condition.holds(&Stranger), Ok(false), "{source} pins by {pin:?}");
    }
}

proptest! {
    // A case that fails becomes a test by name, as the next one, and no file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(700) })]

    /// What pins, no stranger has: whatever it is made of.
    #[test]
    fn no_condition_that_pins_holds_for_a_stranger(source in conditions()) {
        pins_no_stranger(&source);
    }
}

#[test]
fn a_choice_of_which_one_branch_begins_like_a_group_pins_no_stranger() {
    pins_no_stranger(
        r#"(claims.project_path != "" ? (claims.sub.startsWith("project_path:acme") || claims.project_path == "/") : (claims.project_path == "/" && claims.project_path == ""))"#,
    );
}

#[test]
fn what_pins_a_project_or_a_group() {
    for (source, pin) in [
        (r#"claims.project_path == "acme/app""#, Pin::Project),
        (r#""acme/app" == claims.project_path"#, Pin::Project),
        (r#"claims["project_path"] == "acme/app""#, Pin::Project),
        (r#"claims.project_id in ["1", "2"]"#, Pin::Project),
        (r#"claims.namespace_id == "7""#, Pin::Namespace),
        (r#"claims.namespace_path == "acme""#, Pin::Namespace),
        (r#"claims.project_path.startsWith("acme/")"#, Pin::Namespace),
        (r#"claims.namespace_path.startsWith("acme/team/")"#, Pin::Namespace),
        (r#"claims.sub == "project_path:acme/app:ref_type:branch:ref:main""#, Pin::Project),
        (r#"claims.sub.startsWith("project_path:acme/app:")"#, Pin::Project),
        (r#"claims.sub.startsWith("project_path:acme/app:ref_type:bra")"#, Pin::Project),
        (r#"claims.sub.startsWith("project_path:acme/")"#, Pin::Namespace),
        (r#"claims.project_path.matches("^acme/[a-z]+$")"#, Pin::Namespace),
        (r#"matches(claims.project_path, "^acme/(a|b)")"#, Pin::Namespace),
        (r#"claims.project_path.matches("^acme/app$")"#, Pin::Project),
        (r#"claims.project_path.matches("\\Aacme/app\\.js\\z")"#, Pin::Project),
        (r#"claims.ref == "main" && claims.project_id == "1""#, Pin::Project),
        (r#"claims.project_id == "1" && claims.namespace_id == "2""#, Pin::Project),
        (r#"claims.project_id == "1" || claims.namespace_id == "2""#, Pin::Namespace),
        (r#"claims.project_id == "1" && (claims.ref == "a" || claims.ref != "b")"#, Pin::Project),
        (r#"claims.ref == "main" ? claims.project_id == "1" : claims.project_id == "2""#, Pin::Project),
        (r#"claims.project_id == "1" ? claims.ref == "main" : false"#, Pin::Project),
        (r#"["acme/", "other/"].exists(group, claims.project_path.startsWith(group))"#, Pin::Namespace),
        (
            r#"["acme/a", "acme/b"].exists(path, claims.project_path == path && claims.ref == "main")"#,
            Pin::Project,
        ),
    ] {
        assert_eq!(pinned(source), Some(pin), "{source}");
    }
}

#[test]
fn what_ties_somebody_at_a_public_issuer() {
    let ties = |source: &str| {
        let condition =
            Condition::compile(source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
        [condition.ties(false).is_ok(), condition.ties(true).is_ok()]
    };
    for source in [
        r#"claims.namespace_id == "7""#,
        r#"claims.sub.startsWith("project_path:acme")"#,
        r#"claims.project_path.startsWith("acme")"#,
        r#"claims.project_path.matches("^acme.*$")"#,
        r#"claims.project_path.matches("^(acme|labs)/.*$")"#,
        r#"claims.user_login == "ada" && claims.ref_protected == "true""#,
        r#"claims.?repository_owner.orValue("") == "acme""#,
        r#"has(claims.email) && claims.email.endsWith("@acme.example")"#,
        r#"has(claims.email) && claims.email.matches("^[a-z.]+@acme[.]example$")"#,
        r#"["acme/", "labs/"].exists(group, claims.project_path.startsWith(group))"#,
        "false",
    ] {
        assert_eq!(ties(source), [true, true], "{source}");
    }
    for source in [
        r#"claims.ref_protected == "true""#,
        r#"claims.namespace_path != """#,
        r#"claims.?environment.orValue("") == "production""#,
        r#"!claims.project_path.startsWith("evil/")"#,
        r#"claims.namespace_id == "7" || claims.ref == "main""#,
        r#"claims.?user_login.orValue("ada") == "ada""#,
        r#"claims.sub.startsWith("project_path:")"#,
        r#"claims.project_path.endsWith("/app")"#,
        r#"claims.project_path.matches("^.*/app$")"#,
        r#"claims.project_path.matches("^(|acme)/.*$")"#,
        r#"claims.project_path == claims.sub"#,
    ] {
        assert_eq!(ties(source), [false, false], "{source}");
    }
    assert_eq!(ties(r#"issuer == "https://oidc.circleci.com/org/1""#), [false, true]);
}

#[test]
fn what_pins_nothing() {
    for source in [
        "true",
        r#"claims.ref == "main""#,
        r#"claims.user_login == "ada""#,
        r#"claims.project_path != "acme/app""#,
        r#"!(claims.project_path == "acme/app")"#,
        r#"!(claims.project_path != "acme/app")"#,
        r#"claims.project_path == """#,
        r#"claims.project_path == claims.namespace_path"#,
        r#"claims.project_path == request.path"#,
        r#"request.project_path == "acme/app""#,
        r#"claims.project_path.startsWith("")"#,
        r#"claims.project_path.startsWith("acme")"#,
        r#"claims.project_path.startsWith("/")"#,
        r#"claims.project_path.startsWith(claims.ref)"#,
        r#"claims.project_path.endsWith("/app")"#,
        r#"claims.project_path.contains("acme/")"#,
        r#"claims.project_id.startsWith("12")"#,
        r#"claims.project_id.matches("^1")"#,
        r#"claims.sub.startsWith("project_path:")"#,
        r#"claims.sub.startsWith("project_path:acme")"#,
        r#"claims.sub.startsWith("acme/")"#,
        r#"claims.sub.startsWith("project_path::")"#,
        r#"claims.project_path.matches("acme/")"#,
        r#"claims.project_path.matches("^acme/?")"#,
        r#"claims.project_path.matches("^acme/*x")"#,
        r#"claims.project_path.matches("^acme/{0,1}x")"#,
        r#"claims.project_path.matches("^acme")"#,
        r#"claims.project_path.matches("^acme.")"#,
        r#"claims.project_path.matches("^acme/|.*")"#,
        r#"claims.project_path.matches("^(acme/)?")"#,
        r#"claims.project_path.matches("^acme/a$|x")"#,
        r#"claims.project_path.matches("(?m)^acme/")"#,
        r#"claims.project_path.matches("^acme/(?x)#[\n|.*")"#,
        r#"claims.project_id == "1" || claims.ref == "main""#,
        r#"claims.ref == "main" ? claims.project_id == "1" : claims.ref == "x""#,
        r#"claims.project_id == "1" ? true : true"#,
        r#"(claims.project_id == "1") == false"#,
        r#"claims.?project_path.orValue("acme/app") == "acme/app""#,
        r#"["acme/", ""].exists(group, claims.project_path.startsWith(group))"#,
        r#"["a", "b"].exists(branch, claims.ref == branch)"#,
        r#"claims.project_path in ["acme/app", claims.ref]"#,
        r#"claims.project_path in ["acme/app", ""]"#,
        "has(claims.project_path)",
    ] {
        assert_eq!(pinned(source), None, "{source}");
    }
}
