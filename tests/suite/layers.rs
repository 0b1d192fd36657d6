//! Imports go one way: the picture in `src/lib.rs` and docs/ARCHITECTURE.md, held as a rule.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modules by layer, innermost first. A module may use its own layer where `PEERS` says so, and every layer before it.
const LAYERS: [&[&str]; 8] = [
    &[
        "environment",
        "refusal",
        "panics",
        "protojson",
        "hash",
        "newest",
        "bucket",
        "spelling",
        "condition",
        "token",
        "identity",
        "possession",
        "policy",
        "certificate",
        "transparency",
        "timestamping",
        "bundle",
        "rekor",
        "broker",
    ],
    &["log"],
    &["issuance"],
    &["leasing"],
    &["outbound"],
    &["config", "api", "ct_client", "gitlab", "oidc", "signer", "store", "telemetry"],
    &["server"],
    &["cli", "demo"],
];

/// Layers whose modules may use each other: the core is one body of pure code, the outermost one program. Adapters are
/// not among them, so that each can be replaced alone.
const PEERS: [usize; 2] = [0, 7];

/// What the core must not know of: it decides, others act.
const FOREIGN_TO_THE_CORE: [&str; 11] = [
    "tokio::",
    "axum::",
    "reqwest::",
    "sled::",
    "hyper::",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "ToSocketAddrs",
    "SystemTime",
    "tracing::",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module's name, the file, and its code without comments and tests.
fn modules() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files
        .into_iter()
        .filter(|path| !["lib.rs", "main.rs", "tests.rs"].iter().any(|name| path.ends_with(name)))
        .map(|path| {
            let inner = path.strip_prefix(&src).unwrap().to_owned();
            let module = inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            (module, inner, code.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

/// The crate's own modules that the code names.
fn used(code: &str) -> BTreeSet<String> {
    let name =
        |rest: &str| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap().to_owned();
    let direct = code.split("crate::").skip(1).filter(|rest| !rest.starts_with('{')).map(name);
    let grouped = code.split("crate::{").skip(1).flat_map(|rest| {
        rest.split(';').next().unwrap().split(',').map(|part| name(part.trim())).collect::<Vec<_>>()
    });
    direct.chain(grouped).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (module, file, code) in modules() {
        let own = layer(&module).unwrap_or_else(|| panic!("{} is in no layer", file.display()));
        for other in used(&code) {
            let Some(theirs) = layer(&other) else { continue };
            let allowed = other == module || theirs < own || (theirs == own && PEERS.contains(&own));
            if !allowed {
                wrong.push(format!("{} uses {other}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for (module, file, code) in modules() {
        if layer(&module) == Some(0) {
            let foreign = FOREIGN_TO_THE_CORE.iter().filter(|name| code.contains(**name));
            wrong.extend(foreign.map(|name| format!("{} names {name}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The way to the CA's key: a template, or what was proven to correspond to a logged one.
#[test]
fn only_a_template_makes_what_the_key_signs() {
    let mut makers = Vec::new();
    for (_, file, code) in modules() {
        let built = code.match_indices("ToBeSigned {").any(|(at, _)| !code[..at].ends_with('&'));
        let given = ["-> ToBeSigned", "<ToBeSigned", "for ToBeSigned"].iter().any(|way| code.contains(way));
        if built || given {
            makers.push(file.display().to_string());
        }
    }
    assert_eq!(makers, ["certificate/template.rs"]);
    let signs = |code: &str| code.contains("impl CaSigner for");
    let signers: Vec<_> =
        modules().into_iter().filter(|(_, _, code)| signs(code)).map(|(_, file, _)| file).collect();
    assert_eq!(signers, [Path::new("signer/file.rs")]);
}

#[test]
fn the_rule_sees_what_it_is_for() {
    let names = |code| used(code).into_iter().collect::<Vec<_>>();
    assert_eq!(names("use crate::store::Sled;\nlet x = crate::api::router();"), ["api", "store"]);
    assert_eq!(names("use crate::{log::Head, oidc};"), ["log", "oidc"]);
}
