//! Rules 3 and 9: types, formats, control characters.

use super::*;

fn not_strings() -> [Value; 8] {
    [
        json!(0),
        json!(42),
        json!(1.5),
        json!(true),
        json!(false),
        json!([]),
        json!(["main"]),
        json!({"a": "b"}),
    ]
}

#[test]
fn a_required_claim_is_a_string_with_something_in_it() {
    for claim in REQUIRED {
        for (value, reason) in [
            (json!(ABSENT), Reason::ClaimMissing),
            (json!(null), Reason::ClaimMissing),
            (json!(""), Reason::ClaimEmpty),
        ] {
            assert_refused(&with(json!({claim: value})), reason, claim, "gitlab-3");
        }
        for value in not_strings() {
            assert_refused(&with(json!({claim: value})), Reason::ClaimWrongType, claim, "gitlab-3");
        }
    }
}

#[test]
fn an_optional_claim_is_a_string_too() {
    for claim in OPTIONAL {
        for value in not_strings() {
            assert_refused(&with(json!({claim: value})), Reason::ClaimWrongType, claim, "gitlab-3");
        }
    }
}

#[test]
fn the_runner_is_a_whole_number_above_zero() {
    let table = [
        ("\"12\"", Reason::ClaimWrongType),
        ("\"\"", Reason::ClaimWrongType),
        ("true", Reason::ClaimWrongType),
        ("[12]", Reason::ClaimWrongType),
        ("{}", Reason::ClaimWrongType),
        ("1.5", Reason::ClaimWrongType),
        ("12.0", Reason::ClaimWrongType),
        ("1e3", Reason::ClaimWrongType),
        ("1E+3", Reason::ClaimWrongType),
        ("1e999999", Reason::ClaimWrongType),
        ("-1.5", Reason::ClaimWrongType),
        ("0", Reason::ClaimInvalid),
        ("-0", Reason::ClaimInvalid),
        ("-1", Reason::ClaimInvalid),
        ("18446744073709551616", Reason::ClaimInvalid),
        ("99999999999999999999999999999999999999999999", Reason::ClaimInvalid),
    ];
    for (number, reason) in table {
        let claims = with(json!({"runner_id": serde_json::from_str::<Value>(number).expect("JSON")}));
        assert_refused(&claims, reason, "runner_id", "gitlab-3");
    }
}

#[test]
fn what_gitlab_cannot_produce_is_refused() {
    for claim in ["namespace_id", "project_id", "pipeline_id", "job_id", "job_project_id"] {
        for value in ["x", "1.5", "-1", "+1", " 1", "1 ", "0x1", "1/../2", "１"] {
            assert_refused(&with(json!({claim: value})), Reason::ClaimInvalid, claim, "gitlab-3");
        }
    }
    for claim in ["namespace_path", "project_path", "job_project_path"] {
        for value in [
            "/",
            "/acme",
            "acme/",
            "acme//widgets",
            "acme/../evil",
            "acme/.",
            "..",
            "-acme/x",
            "acme/-",
            "a b",
            "a@b",
            "a%2fb",
            "a?b",
            "a#b",
            "a:b",
            "a\\b",
            "äcme/x",
            "https://evil.example/x",
        ] {
            assert_refused(&with(json!({claim: value})), Reason::ClaimInvalid, claim, "gitlab-3");
        }
    }
    for name in [
        "a b",
        "a..b",
        "a//b",
        "/a",
        "a/",
        ".a",
        "a/.b",
        "a.",
        "a.lock",
        "a.lock/b",
        "a~1",
        "a^1",
        "a:b",
        "a?b",
        "a*b",
        "a[b",
        "a\\b",
        "a@{1}",
        "../../main",
        " ",
    ] {
        assert_refused(&on_branch(name), Reason::ClaimInvalid, "ref", "gitlab-4");
    }
}

#[test]
fn a_control_character_in_any_value_of_the_certificate_is_refused() {
    let texts = REQUIRED.into_iter().chain(OPTIONAL);
    let mut controls =
        ["\u{0}", "\u{1f}", "\n", "\r", "\t", "\u{7f}", "\u{80}", "\u{85}", "\u{9f}"].into_iter().cycle();
    for claim in texts {
        for place in ["start", "end", "middle"] {
            let control = controls.next().expect("an endless list");
            let base = base();
            let text = base[claim].as_str().unwrap_or("production");
            let value = match place {
                "start" => format!("{control}{text}"),
                "end" => format!("{text}{control}"),
                _ => format!("a{control}b"),
            };
            assert_refused(&with(json!({claim: value})), Reason::ClaimControlCharacter, claim, "gitlab-9");
        }
    }
}

#[test]
fn every_control_character_of_unicode_is_one() {
    for control in (0..=0x1f).chain(0x7f..=0x9f_u32).filter_map(char::from_u32) {
        let claims = with(json!({"environment": format!("a{control}b")}));
        assert_refused(&claims, Reason::ClaimControlCharacter, "environment", "gitlab-9");
    }
    for other in
        [' ', '\u{a0}', '\u{ad}', '\u{200b}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{feff}', '\u{e000}']
    {
        let text = format!("a{other}b");
        assert_eq!(said(&with(json!({"environment": text}))).gitlab[&12], text);
    }
}
