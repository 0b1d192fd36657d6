//! Behaviour of the language; `answers.jsonl` is what Go answered (tests/interop/gotemplate).

use super::*;
use proptest::prelude::*;
use std::borrow::Cow;

fn data() -> Data<'static> {
    let mut data = Data::default();
    for (name, text) in [
        ("a", "alpha"),
        ("b", "beta"),
        ("empty", ""),
        ("flag", "true"),
        ("n", "7"),
        ("x.y/z", "dotted"),
        ("h", "<a href='x'>\"&\" é/?=</a>"),
        ("u", "éa\u{1f980}"),
        ("ref_type", "branch"),
        ("url", "https://ci.example"),
    ] {
        data.insert(name, Datum::Text(Cow::Borrowed(text)));
    }
    data
}

fn run(template: &str) -> Result<String, Fault> {
    Template::parse(template).expect("a template").execute(&data())
}

fn text(template: &str) -> String {
    run(template).unwrap_or_else(|fault| panic!("{template}: {fault:?}"))
}

#[test]
fn templates_do_what_go_does() {
    let data = data();
    let mut count = 0;
    let mut differences = Vec::new();
    for line in include_str!("../../../tests/fixtures/gotemplate/answers.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let Some(template) = case["template"].as_str() else { continue };
        let expected = case["text"].as_str().ok_or_else(|| case["fault"].as_str().expect("text or fault"));
        let ours = match Template::parse(template) {
            Err(fault) if fault.message.contains("not supported") => continue,
            Err(_) => Err("parse"),
            Ok(parsed) => match parsed.execute(&data) {
                Err(Fault::Failed(message)) if message.contains("not supported") => continue,
                other => other.map_err(|_| "execute"),
            },
        };
        if ours.as_deref().map_err(|fault| *fault) != expected {
            differences.push(format!("{template}\n  ours {ours:?}\n  Go's {expected:?}"));
        }
        count += 1;
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.iter().take(25).map(|x| x.as_str()).collect::<Vec<_>>().join("\n")
    );
    assert!(count > 1000, "{count} cases");
}
