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
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
    assert!(count > 1000, "{count} cases");
}

#[test]
fn work_and_size_are_bounded() {
    for template in [
        "{{ range 9000000000 }}{{ end }}",
        "{{ range 70000 }}x{{ end }}",
        "{{ $x := .url }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}",
        "{{ $x := `0123456789012345678901234567890123456789` }}{{ range 9 }}{{ $x = print $x $x }}{{ end }}\
         {{ range 100000 }}{{ $y := urlquery $x }}{{ end }}",
        "{{ define `t` }}{{ template `t` . }}{{ end }}{{ template `t` . }}",
        "{{ printf `%99999s` .a }}",
        "{{ printf `%60000s%60000s` .a .a }}",
    ] {
        assert!(matches!(run(template), Err(Fault::Failed(_))), "{template}");
    }
    for template in [
        "x".repeat(MAX_TEMPLATE_BYTES + 1),
        format!("{{{{ {}1{} }}}}", "(".repeat(2000), ")".repeat(2000)),
        "{{ if . }}".repeat(1000),
        format!("{{{{ if . }}}}{}{{{{ end }}}}", "{{ else if . }}".repeat(500)),
    ] {
        assert!(Template::parse(&template).is_err());
    }
}

#[test]
fn a_datum_that_must_not_be_used_hurts_only_who_looks_at_it() {
    let mut data = data();
    data.insert("bad", Datum::Refused(crate::refusal::Reason::ClaimMissing));
    let refused = Fault::Refused("bad".to_owned(), crate::refusal::Reason::ClaimMissing);
    for template in
        ["{{ .bad }}", "{{ index . `bad` }}", "{{ . }}", "{{ range . }}{{ end }}", "{{ printf `%s` . }}"]
    {
        assert_eq!(
            Template::parse(template).expect("a template").execute(&data),
            Err(refused.clone()),
            "{template}"
        );
    }
    for template in
        ["{{ .a }}", "{{ or .a .bad }}", "{{ if .a }}{{ else }}{{ .bad }}{{ end }}", "{{ len . }}"]
    {
        assert!(Template::parse(template).expect("a template").execute(&data).is_ok(), "{template}");
    }
}

#[test]
fn a_text_that_is_cut_within_a_character_is_refused() {
    assert!(matches!(run("{{ slice .u 0 1 }}"), Err(Fault::Failed(_))));
    assert_eq!(text("{{ slice .u 0 2 }}"), "é");
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{{".to_owned()),
        Just("}}".to_owned()),
        Just("{{- ".to_owned()),
        Just(" -}}".to_owned()),
        "(if|else|end|with|range|define|template|block|break|continue|nil|/\\*|\\*/)",
        "(and|or|not|eq|ne|lt|le|gt|ge|index|slice|len|print|printf|println|html|js|urlquery|call)",
        "[.$][a-z]{0,3}",
        "[ -~é\n]{0,5}",
        "[0-9xobeEp_+.i-]{1,6}",
        Just("`%v %d %5.2q`".to_owned()),
    ]
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_and_no_text_grows_beyond_the_bound(
        fragments in prop::collection::vec(fragment(), 0..20),
        any in ".{0,60}",
        value in ".{0,30}",
    ) {
        let mut data = data();
        data.insert("v", Datum::Text(Cow::Borrowed(&value)));
        for template in [fragments.concat(), fragments.join(" "), format!("{{{{ {} }}}}", fragments.join(" ")), any] {
            if let Ok(Ok(text)) = Template::parse(&template).map(|parsed| parsed.execute(&data)) {
                prop_assert!(text.len() <= MAX_TEXT_BYTES);
            }
        }
    }
}
