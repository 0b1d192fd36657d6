//! docs/policy: the schema of `inspect --json` against what `inspect` prints, and the names in the Rego module.

use crate::cli_user::World;
use countersign::certificate::inspect::Inspected;
use countersign::identity::extensions::{FULCIO_NAMES, GitlabClaim};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};
use regex::Regex;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const SCHEMA: &str = include_str!("../../docs/policy/inspect.schema.json");
const MODULE: &str = include_str!("../../docs/policy/gitlab.rego");

/// What of the value is not as the schema says. A keyword that is not understood here is an error of the schema.
fn differences(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (keyword, rule) in schema.as_object().expect("a schema") {
        let holds = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let named =
                    root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).expect("a definition");
                wrong.extend(differences(root, named, value, at));
                true
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" => {
                rule.as_array().unwrap().iter().any(|one| differences(root, one, value, at).is_empty())
            }
            // The keywords for strings, numbers, lists and objects say nothing of other values.
            "pattern" => {
                value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                wrong.extend(items.flat_map(|(i, item)| differences(root, rule, item, &format!("{at}/{i}"))));
                true
            }
            "properties" => {
                let members = value.as_object().into_iter().flatten();
                let known = members.filter_map(|(name, member)| Some((name, rule.get(name)?, member)));
                wrong.extend(known.flat_map(|(name, rule, member)| {
                    differences(root, rule, member, &format!("{at}/{name}"))
                }));
                true
            }
            "required" => {
                rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "additionalProperties" => {
                assert_eq!(rule, false, "{at}");
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .all(|(name, _)| schema["properties"].get(name).is_some())
            }
            other => panic!("{at}: {other} is not understood"),
        };
        if !holds {
            wrong.push(format!("{at}: {value} is not {keyword} {rule}"));
        }
    }
    wrong
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// A certificate of a pipeline, certificates of CAs with every kind of key, and what others may show: names of every kind, extensions of
/// other arcs, a precertificate.
fn certificates(world: &World) -> Vec<Vec<u8>> {
    world.token(|claims| claims["environment"] = json!("production"));
    let made = world.run(&["request", "--url", &world.url(), "--token-file", "token", "--out", "mine"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let mut all = vec![fs::read(world.path("mine/certificate.pem")).unwrap()];
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for file in [
        "certificate/chain.pem",
        "ca_keys/rsa2048.chain.pem",
        "ca_keys/p521.chain.pem",
        "ca_keys/ed25519.chain.pem",
    ] {
        let chain = Inspected::parse_all(&fs::read(fixtures.join(file)).unwrap()).unwrap();
        all.extend(chain.iter().map(|certificate| certificate.der().to_vec()));
    }
    all.extend([strange(false), strange(true)]);
    all
}

fn strange(is_precertificate: bool) -> Vec<u8> {
    let text = |text: &str| Ia5String::try_from(text).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::Rfc822Name(text("ada@example.com")),
        SanType::DnsName(text("example.com")),
        SanType::IpAddress([127, 0, 0, 1].into()),
        SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 57264, 1, 7], "ada".into())),
    ];
    params.custom_extensions = vec![
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 2], b"push".to_vec()),
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], b"not DER".to_vec()),
        CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![]),
    ];
    if is_precertificate {
        let mut poison = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3], vec![5, 0]);
        poison.set_criticality(true);
        params.custom_extensions.push(poison);
    }
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn shown(world: &World) -> Vec<Value> {
    let files = certificates(world).into_iter();
    files
        .map(|file| {
            fs::write(world.path("shown"), file).unwrap();
            let ended = world.run(&["inspect", "--json", "shown"]);
            assert_eq!(ended.code, 0, "{}", ended.err);
            ended.json()
        })
        .collect()
}

#[test]
fn what_inspect_prints_is_what_its_schema_says_and_nothing_else() {
    let (schema, documents) = (schema(), shown(&World::new()));
    for document in &documents {
        assert_eq!(differences(&schema, &schema, document, ""), [""; 0]);
    }
    // They are of the kinds that they are meant to be.
    let any = |is: &dyn Fn(&Value) -> bool| assert!(documents.iter().any(is), "{documents:#?}");
    any(&|it| it["scts"][0]["log_index"].is_u64() && it["extensions"].as_array().unwrap().len() > 30);
    any(&|it| it["is_ca"] == true && it["san"].is_null());
    any(&|it| it["is_precertificate"] == true && it["names"].as_array().unwrap().len() == 4);
    any(&|it| {
        it["extensions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|extension| extension["name"].is_null() && extension["value"].is_null())
    });
    // And the schema can say no: for a member less or more, and for each of another type.
    let leaf = &documents[0];
    for place in ["", "/names/0", "/extensions/0", "/scts/0"] {
        let members: Vec<_> = leaf.pointer(place).unwrap().as_object().unwrap().keys().cloned().collect();
        for member in members {
            let mut less = leaf.clone();
            less.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(&member);
            let mut other = leaf.clone();
            other.pointer_mut(place).unwrap()[&member] = json!({});
            for changed in [less, other] {
                assert_ne!(differences(&schema, &schema, &changed, ""), [""; 0], "{place}/{member}");
            }
        }
        let mut more = leaf.clone();
        more.pointer_mut(place).unwrap()["more"] = json!("x");
        assert_ne!(differences(&schema, &schema, &more, ""), [""; 0], "{place}");
    }
}

#[test]
fn the_schema_and_the_rego_module_know_every_name_by_its_number() {
    let names = &schema()["$defs"]["extension"]["properties"]["name"]["anyOf"];
    let fulcio: Vec<_> = FULCIO_NAMES.iter().map(|(_, name)| *name).collect();
    assert_eq!(names[0]["enum"], json!(fulcio));
    let claims: Vec<_> = GitlabClaim::ALL.iter().map(|claim| claim.name()).collect();
    assert_eq!(names[1]["enum"], json!(claims));
    let written: Vec<_> = GitlabClaim::ALL
        .iter()
        .map(|claim| format!("\t\"{}\": \"{}\",\n", *claim as u8, claim.name()))
        .collect();
    let [_, rest] = MODULE.split("claim_names := {\n").collect::<Vec<_>>()[..] else {
        panic!("one table of names")
    };
    assert_eq!(rest.split("}\n").next().unwrap(), written.concat());
    let arc = countersign::identity::extensions::ClaimsArc::default();
    let first = arc.oid(GitlabClaim::ALL[0]).to_string();
    assert!(
        MODULE.contains(&format!("default_arc := \"{}\"\n", first.strip_suffix(".1").unwrap())),
        "{first}"
    );
}
