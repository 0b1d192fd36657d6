//! `countersign demo`: what somebody sees who has never heard of it.

use serde_json::Value;
use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .arg("demo")
        .args(arguments)
        .output()
        .expect("the binary runs")
}

#[test]
fn the_demonstration_ends_well_and_shows_identity_and_place() {
    let output = demo(&[]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.lines().next().is_some_and(|line| line.contains("throw-away keys")), "{text}");
    let san = text.lines().find_map(|line| line.strip_prefix("SAN: ")).expect("a line with the SAN");
    assert!(san.ends_with("/my-group/my-project//.gitlab-ci.yml@refs/heads/main"), "{san}");
    assert!(text.lines().any(|line| line == "log index: 0"), "{text}");
    for check in ["chain", "SCT", "inclusion", "identity", "signature"] {
        let passed = |line: &str| line.split_whitespace().take(2).eq(["ok", check]);
        assert!(text.lines().any(passed), "{check} is ok: {text}");
    }
    assert!(text.contains("Source Repository URI") && text.contains("ref_protected"), "{text}");
    let failed: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("FAILED")?.split_whitespace().next())
        .collect();
    assert_eq!(failed, ["identity", "signature", "validity", "file", "identity", "time", "thief"], "{text}");
    let later = text.split("A year later").nth(1).expect("a year later");
    for bundle in ["artifact", "attestation"] {
        assert!(later.contains(&format!("bundle  {bundle}.sigstore.json: signed at 20")), "{text}");
    }
    assert!(!text.contains("eyJ"), "a token was printed");
}

#[test]
fn programs_get_one_document() {
    let output = demo(&["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(document["certificate"]["scts"][0]["log_index"], 0);
    let checks = document["checks"].as_array().expect("checks");
    assert!(checks.iter().all(|check| check["outcome"] == "ok"), "{checks:?}");
    let bundles = document["bundles"].as_array().expect("bundles");
    assert_eq!(bundles.len(), 2);
    for bundle in bundles {
        assert!(
            bundle["times"][0]["time"].is_string() && bundle["log_entries"][0]["index"].is_u64(),
            "{bundle}"
        );
    }
    assert_eq!(bundles[1]["predicate_type"], "https://slsa.dev/provenance/v1");
}

#[cfg(unix)]
#[test]
fn it_stays_up_on_request_hands_out_tokens_and_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let mut demo = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["demo", "--serve"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let mut find = |what: &str| {
        let found = lines.find_map(|line| {
            let line = line.expect("text");
            line.contains(what).then_some(line)
        });
        found.unwrap_or_else(|| panic!("no line with {what}"))
    };
    let directory = find("cd /").trim().trim_start_matches("cd ").to_owned();
    let request = find("countersign request");
    let fresh = find("/demo/token > token");
    let url = fresh.split_whitespace().find(|word| word.starts_with("http")).expect("a URL");

    let http = tokio::runtime::Runtime::new().expect("a runtime");
    let token =
        http.block_on(async { reqwest::get(url).await.expect("an answer").text().await.expect("text") });
    assert_eq!(token.split('.').count(), 3);
    let arguments: Vec<_> = request.split_whitespace().skip(1).collect();
    let requested = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(&arguments)
        .current_dir(&directory)
        .output()
        .expect("the binary runs");
    assert!(requested.status.success(), "{}", String::from_utf8_lossy(&requested.stderr));

    let ended = Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().expect("kill runs");
    assert!(ended.success());
    assert_eq!(demo.wait().expect("it ends").code(), Some(0));
    assert!(!std::path::Path::new(&directory).exists(), "{directory} is still there");
}
