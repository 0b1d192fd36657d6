//! Weaknesses of gitlab-jwt-2-pat that are none of a lease's life: what is logged, and what it runs as. And that each has a test.

use super::World;
use crate::support::gitlab::Fault;
use crate::support::{Answer, logs, secrets};
use std::fs;
use std::path::Path;
use std::process::Command;

/// There a debug switch wrote the whole `Authorization` header to the log.
#[tokio::test(flavor = "multi_thread")]
async fn weakness_10_no_level_of_the_log_has_a_credential() {
    let world = World::with(super::ROLES, "  compat: { role: tag }\n").await;
    let credential = world.gitlab.credential().to_owned();
    // A GitLab that says it back.
    let said = Box::leak(format!(r#"{{"message":"{credential} may not"}}"#).into_boxed_str());
    world.gitlab.faults().script("POST /projects/{id}/access_tokens", [Fault::Status(403, said)]);
    let refused = world.exchange(&world.id_token(), &[("role", "tag")]).await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    let id_token = world.id_token();
    let asked = world.ca.http.get(world.ca.url("/token")).bearer_auth(&id_token);
    let token = Answer::of(asked).await.text().to_owned();
    assert!(world.gitlab.opens(&token), "{token}");
    secrets::note(token.as_bytes());
    let lease = world.tag().await["lease_id"].as_str().expect("a lease").to_owned();
    let seen = world.ca.http.get(world.ca.url(&format!("/v1/leases/{lease}"))).bearer_auth(&id_token);
    assert_eq!(Answer::of(seen).await.status, 200);
    Answer::of(world.form("/v1/token-revoke", &[("token", &token)])).await;
    world.revoke_all().await;
    let log = logs::text();
    let debugs = |line: &str| line.contains(&lease) && line.contains("\"DEBUG\"");
    assert!(log.lines().any(debugs), "the log is as verbose as it can be");
    for (what, secret) in
        [("the main credential", &*credential), ("the token", &token), ("the ID token", &id_token)]
    {
        assert!(!log.contains(secret), "{what}");
        // Nor the part that makes it one.
        assert!(!log.contains(&secret[secret.len() - 20..]), "{what}");
    }
}

/// There the image did not start, and what did start was root.
#[test]
fn weakness_12_the_image_runs_its_own_binary_as_nobody_special() {
    let text = include_str!("../../../deploy/Containerfile");
    let image = text.rsplit("\nFROM ").next().expect("a last stage");
    let of = |instruction: &str| {
        let mut found = image.lines().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
        let one = found.next().unwrap_or_else(|| panic!("{instruction} is missing"));
        assert!(found.next().is_none(), "{instruction} is there twice");
        one.to_owned()
    };
    let user: Vec<u32> =
        of("USER").split(':').map(|id| id.parse().expect("a number, which Kubernetes can check")).collect();
    assert!(!user.is_empty() && user.iter().all(|id| *id > 0), "{user:?}");
    let list = |instruction: &str| -> Vec<String> {
        serde_json::from_str(&of(instruction)).expect("no shell between, which signals would not pass")
    };
    let [binary] = <[String; 1]>::try_from(list("ENTRYPOINT")).expect("the binary");
    assert!(of("COPY").ends_with(&binary), "{binary} is in the image");
    // The command is one that the binary takes: it ends for want of the file, which is another code than a wrong usage's.
    let words = list("CMD");
    assert!(words.iter().any(|word| word == "/ca/countersign.yaml"), "{words:?}");
    let words: Vec<_> = words.iter().map(|word| word.replace("/ca/", "/no/such/directory/")).collect();
    let ended = Command::new(env!("CARGO_BIN_EXE_countersign")).args(&words).output().expect("it runs");
    assert_eq!(ended.status.code(), Some(78), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn sources(directory: &Path, found: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(&entry).expect("text"));
        }
    }
}

/// gitlab-jwt-2-pat has fourteen known weaknesses, vault-plugin-secrets-gitlab thirteen known defects. Each is avoided by a test that has
/// its number.
#[test]
fn every_known_weakness_and_defect_has_a_test_of_its_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for part in ["src", "tests/suite"] {
        sources(&root.join(part), &mut text);
    }
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_tested = |what: &str, number: usize| {
        let function = format!("fn {what}_{number}_");
        lines.windows(2).any(|pair| {
            pair[1].trim_start_matches("async ").starts_with(&function)
                && (pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test"))
        })
    };
    for (what, last) in [("weakness", 14), ("defect", 13)] {
        let missing: Vec<_> = (1..=last).filter(|number| !is_tested(what, *number)).collect();
        assert!(missing.is_empty(), "no test names {what} {missing:?}");
        assert!(!is_tested(what, last + 1), "this test can fail");
    }
}
