//! deploy/gitlab without a GitLab: the templates are YAML, and name the inputs that they have. `tests/interop/component.py` and `broker_component.py` run them.

use saphyr_parser::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../docs/PIPELINES.md");

struct Template {
    name: String,
    header: String,
    content: String,
}

fn templates() -> Vec<Template> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gitlab/templates");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let (header, content) = text.split_once("\n---\n").expect("a header and the rest");
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Template { name, header: header.to_owned(), content: content.to_owned() }
    };
    paths.iter().map(read).collect()
}

/// The names behind `  inputs:` in the header.
fn inputs(header: &str) -> BTreeSet<&str> {
    let names = header.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(':'));
    names.filter(|name| !name.starts_with(' ')).collect()
}

/// What stands between `$[[` and `]]`.
fn interpolated(text: &str) -> impl Iterator<Item = &str> {
    text.split("$[[").skip(1).map(|rest| rest.split("]]").next().unwrap().trim())
}

fn is_yaml(name: &str, text: &str) {
    for event in Parser::new_from_str(text) {
        event.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_component_is_yaml_and_uses_the_inputs_that_it_names() {
    let templates = templates();
    let names: Vec<_> = templates.iter().map(|template| template.name.as_str()).collect();
    assert_eq!(names, ["attest", "broker-token", "sign-image", "sign", "verify-image", "verify"]);
    for Template { name, header, content } in &templates {
        is_yaml(name, header);
        is_yaml(name, &content.replace("$[[", "").replace("]]", ""));
        let used: BTreeSet<_> =
            interpolated(content).map(|it| it.strip_prefix("inputs.").expect(it)).collect();
        assert_eq!(used, inputs(header), "{name}");
    }
}

#[test]
fn no_input_stands_in_a_script() {
    for Template { name, content, .. } in templates() {
        let script = content.split("\n  script:\n").nth(1).expect(&name);
        let script: Vec<_> = script.lines().take_while(|line| line.starts_with("    ")).collect();
        assert!(script.len() > 20, "{name}");
        assert_eq!(interpolated(&script.join("\n")).count(), 0, "{name}");
    }
}

#[test]
fn what_components_have_in_common_is_the_same_in_each() {
    let mut parts: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut shared = 0;
    for Template { name, content, .. } in templates() {
        let script =
            content.split("\n  script:\n").nth(1).expect(&name).split("\n  artifacts:\n").next().unwrap();
        for part in script.trim_end().split("    - |\n").skip(1) {
            // A part begins with what it is for, or with the function that it is.
            let first = part.lines().next().unwrap().to_owned();
            let here = (name.clone(), part.trim_end().to_owned());
            let there = parts.entry(first).or_insert_with(|| here.clone());
            shared += usize::from(there.0 != here.0);
            assert_eq!(there.1, here.1, "in {} and in {}", there.0, here.0);
        }
    }
    assert!(shared >= 12, "{shared}");
}

#[test]
fn the_document_has_every_component_and_every_input() {
    for Template { name, header, .. } in templates() {
        assert!(DOCUMENT.contains(&format!("| `{name}` |")), "{name}");
        for input in inputs(&header) {
            let row =
                DOCUMENT.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{input}`")));
            let of = row.unwrap_or_else(|| panic!("{name}: {input}")).split('|').nth(2).unwrap();
            assert!(of.trim() == "all" || of.split(',').any(|one| one.trim() == name), "{name}: {input}");
        }
    }
}
