//! The operators' commands.

use super::{Broker, REVOKE, TOKEN};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn operators_list_and_end_leases() {
    let broker = Broker::start();
    let lease = |id: &str| {
        json!({ "id": id.repeat(32), "phase": "active", "deadline": "2026-11-22T04:00:00Z", "role": "bot", "kind": "project",
            "path": "acme/app", "job": { "project_path": "acme/app", "job_id": "7", "user": "alice\u{202e}" } })
    };
    let pages = || {
        [
            (200, json!({ "leases": [lease("a")], "next": "a".repeat(32) })),
            (200, json!({ "leases": [lease("b")], "next": null })),
        ]
    };
    broker.script("GET /v1/leases", pages());
    let ended = broker.run(&["leases", "--role", "bot", "--state", "active"]);
    let expected =
        "active    2026-11-22T04:00:00Z  bot  project  acme/app  acme/app job 7 by alice\\u{202e}\n";
    assert_eq!(ended.out, format!("{}  {expected}{}  {expected}", "a".repeat(32), "b".repeat(32)));
    let asked = broker.asked();
    assert_eq!((asked[0].1["role"].as_str(), asked[0].1["state"].as_str()), ("bot", "active"));
    assert_eq!((asked[1].1.get("cursor"), asked.len()), (Some(&"a".repeat(32)), 2));
    broker.script("GET /v1/leases", pages());
    let document: Value = serde_json::from_str(&broker.run(&["--json", "leases"]).out).unwrap();
    assert_eq!(document["leases"].as_array().unwrap().len(), 2);
    assert_eq!(broker.run(&["leases", "--state", "dead"]).code, 2);
    broker.script("GET /v1/leases", [(200, json!({}))]);
    assert_eq!(broker.run(&["leases"]).code, 1);
    broker.asked();
    let attempt = |job: &str| json!({ "time": 0, "outcome": "BROKER_TARGET_REFUSED", "role": "x", "job": { "job_id": job } });
    broker.script(
        "GET /v1/attempts",
        [
            (200, json!({ "refused": [attempt("9")], "next": "7-1" })),
            (200, json!({ "refused": [attempt("8")], "next": null })),
        ],
    );
    let refused = broker.run(&["leases", "--refused", "--role", "x"]).out;
    let line = "1970-01-01T00:00:00Z  BROKER_TARGET_REFUSED  x  - job";
    assert_eq!(refused, format!("{line} 9 by -  -\n{line} 8 by -  -\n"));
    let asked = broker.asked();
    assert_eq!((asked[0].1["role"].as_str(), asked[0].1.get("cursor")), ("x", None));
    assert_eq!((asked[1].1["cursor"].as_str(), asked.len()), ("7-1", 2));
    assert_eq!(broker.run(&["leases", "--refused", "--state", "active"]).code, 2);
    let ended = |arguments: &[&str], route: &str| {
        broker.script(route, [(202, json!({ "revoking": 3 }))]);
        let ended = broker.run(&[&["revoke"], arguments].concat());
        assert_eq!((ended.code, ended.out.as_str()), (0, "3 told to die\n"), "{arguments:?}: {}", ended.err);
        let (asked, fields) = broker.asked().remove(0);
        assert_eq!(asked, route);
        fields
    };
    let id = "c".repeat(32);
    assert!(ended(&["--lease", &id], &format!("POST /v1/leases/{id}/revoke")).is_empty());
    assert_eq!(ended(&["--all"], "POST /v1/leases/revoke")["all"], "true");
    let fields = ended(&["--project", "acme/app", "--job", "7"], "POST /v1/leases/revoke");
    assert_eq!((fields["project"].as_str(), fields["job"].as_str(), fields.len()), ("acme/app", "7", 2));
    let given_up =
        json!({ "abandoned": 1, "lease": { "kind": "project", "name": "bot-1", "minted": { "id": 42 } } });
    broker.script(&format!("POST /v1/leases/{id}/abandon"), [(200, given_up)]);
    let ended = broker.run(&["revoke", "--lease", &id, "--abandon"]);
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "given up: project bot-1; its token may live: 42 at GitLab\n")
    );
    broker.asked();
    for wrong in [
        &["revoke"][..],
        &["revoke", "--abandon"],
        &["revoke", "--abandon", "--all"],
        &["revoke", "--abandon", "--role", "bot"],
        &["revoke", "--all", "--role", "bot"],
        &["revoke", "--lease", "../x"],
        &["revoke", "--lease", &id, "--all"],
    ] {
        assert_eq!(broker.run(wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(broker.routes(), [""; 0]);
    fs::write(broker.directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
    assert_eq!(broker.run(&["revoke", "--token-file", "token"]).code, 0);
    let asked = broker.asked();
    assert_eq!((asked[0].0.as_str(), asked[0].1["token"].as_str()), (REVOKE, TOKEN));
}

#[test]
fn operators_replace_a_credential_once() {
    let broker = Broker::start();
    let route = "POST /v1/targets/default/rotate";
    broker.script(route, [(200, json!({ "target": "default", "credential_expires_at": "2026-12-22" }))]);
    assert_eq!(
        broker.run(&["rotate", "default"]).out,
        "default has a new main credential, good until 2026-12-22\n"
    );
    broker.script(route, [(0, json!({}))]);
    assert_eq!(broker.run(&["rotate", "default"]).code, 1);
    assert_eq!(broker.routes(), [route, route]);
    // What was not done for a reason is not ordered again, and the reason is told.
    for status in [404, 409, 502] {
        broker.script(route, [(status, json!({ "error_description": "It is waited for, 540 s more." }))]);
        let ended = broker.run(&["rotate", "default"]);
        assert_eq!((ended.code, broker.routes().len()), (1, 1), "{status}");
        assert!(ended.err.contains("It is waited for, 540 s more."), "{}", ended.err);
    }
    broker.run(&["rotate", "a/../b"]);
    assert_eq!(broker.routes(), ["POST /v1/targets/a%2F%2E%2E%2Fb/rotate"]);
}

#[test]
fn a_seal_key_is_made_once_and_for_its_owner() {
    let broker = Broker::start();
    let ended = broker.run(&["seal-key", "broker.key"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let path = broker.directory.path().join("broker.key");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(hex::decode(text.trim()).unwrap().len(), 32);
    assert!(!ended.out.contains(text.trim()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(broker.run(&["seal-key", "broker.key"]).code, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    broker.run(&["seal-key", "other.key"]);
    assert_ne!(fs::read_to_string(broker.directory.path().join("other.key")).unwrap(), text);
}
