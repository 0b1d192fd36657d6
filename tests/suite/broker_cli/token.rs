//! `countersign broker token`: printed, or for one command and no longer.

use super::{Broker, EXCHANGE, Ended, ID_TOKEN, REVOKE, TOKEN};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};

#[test]
fn a_token_is_printed_alone() {
    let broker = Broker::start();
    let ended = broker.run(&[
        "token", "--role", "bot", "--path", "a/b", "--scope", "api", "--scope", "read_api", "--ttl", "60",
    ]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, format!("{TOKEN}\n").as_str(), ""));
    let asked = broker.asked();
    let [(route, fields)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(route, EXCHANGE);
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", ID_TOKEN),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("role", "bot"),
        ("path", "a/b"),
        ("scope", "api read_api"),
        ("ttl", "60"),
    ];
    assert_eq!(fields, &expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let ended = broker.run(&["--json", "token", "--role", "bot"]);
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&document["access_token"], &document["expires_in"]), (&json!(TOKEN), &json!(300)));
    assert_eq!(broker.asked()[0].1.len(), 4);
}

/// `-- $UNSET`: what was to be kept from the job's log would be printed into it, and live on.
#[test]
fn a_command_that_is_empty_is_none() {
    let broker = Broker::start();
    for how in [&["--"][..], &["--exec", "--"], &["--exec"], &["--ttl", "60", "--"]] {
        let ended = broker.run(&[&["token", "--role", "bot"], how].concat());
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{how:?}: {}", ended.err);
    }
    assert_eq!(broker.routes(), [""; 0]);
    let ended = broker.run(&["token", "--role", "bot", "--", "echo", "--"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "--\n"), "{}", ended.err);
}

/// Nobody has such a token, so nobody revokes it.
#[test]
fn a_token_that_cannot_be_written_is_revoked() {
    let broker = Broker::start();
    let git = ["git-credential", "--role", "bot", "--gitlab", "https://gitlab.example.com", "get"];
    for arguments in [&["token", "--role", "bot"][..], &["--json", "token", "--role", "bot"], &git] {
        for place in ["full", "gone"] {
            let mut command = broker.command(arguments);
            if place == "full" {
                command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
            } else {
                command.stdout(std::io::pipe().unwrap().1);
            }
            let mut process = command.spawn().unwrap();
            drop(command);
            let about = b"protocol=https\nhost=gitlab.example.com\n\n";
            let _ = std::io::Write::write_all(&mut process.stdin.take().unwrap(), about);
            let ended = Ended::of(process.wait_with_output().unwrap());
            assert_eq!(ended.code, 1, "{arguments:?} {place}: {}", ended.err);
            assert!(ended.err.contains("cannot write the output"), "{arguments:?} {place}: {}", ended.err);
            let asked = broker.asked();
            let routes: Vec<_> = asked.iter().map(|(route, _)| route.as_str()).collect();
            assert_eq!(routes, [EXCHANGE, REVOKE], "{arguments:?} {place}");
            assert_eq!(asked[1].1["token"], TOKEN);
        }
    }
}

#[test]
fn a_refusal_is_told_in_the_brokers_words() {
    let broker = Broker::start();
    let refusal = || json!({ "error": "invalid_target", "error_description": "No such\u{1b}[31m role.", "reason": "BROKER_TARGET_REFUSED" });
    broker.script(EXCHANGE, [(400, refusal()), (400, refusal())]);
    let ended = broker.run(&["token", "--role", "bot", "--", "touch", "ran"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(
        ended.err.contains("(400): No such\\u{1b}[31m role.") && ended.err.contains("BROKER_TARGET_REFUSED"),
        "{}",
        ended.err
    );
    assert!(!broker.directory.path().join("ran").exists());
    let ended = broker.run(&["--json", "token", "--role", "bot"]);
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &document["reason"]), (1, &json!("BROKER_TARGET_REFUSED")));
    assert_eq!(broker.routes(), [EXCHANGE, EXCHANGE]);
}

#[test]
fn what_may_have_been_done_is_not_asked_for_again() {
    let broker = Broker::start();
    // Nothing was done.
    broker.script(EXCHANGE, [(503, json!({ "error": "temporarily_unavailable" })), (429, json!({}))]);
    let ended = broker.run(&["token", "--role", "bot"]);
    assert_eq!((ended.code, ended.out.trim()), (0, TOKEN));
    assert_eq!(broker.routes().len(), 3);
    // It is not known, or it is final.
    for (status, body) in
        [(0, json!({})), (500, json!({})), (502, json!({})), (504, json!({})), (200, json!({}))]
    {
        broker.script(EXCHANGE, [(status, body)]);
        let ended = broker.run(&["token", "--role", "bot"]);
        assert_eq!(
            (ended.code, ended.out.as_str(), broker.routes().len()),
            (1, "", 1),
            "{status}: {}",
            ended.err
        );
    }
    // What can be done twice is tried until it is done.
    broker.script(REVOKE, [(0, json!({})), (500, json!({})), (503, json!({}))]);
    let ended = broker.run(&["token", "--role", "bot", "--", "true"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(broker.routes(), [EXCHANGE, REVOKE, REVOKE, REVOKE, REVOKE]);
}

#[test]
fn a_command_has_the_token_while_it_runs_and_no_longer() {
    let broker = Broker::start();
    let script = "printf %s \"$GITLAB_TOKEN\" >seen; exit 3";
    for how in [&["--"][..], &["--exec"], &["--exec", "--"]] {
        let ended = broker.run(&[&["token", "--role", "bot"], how, &["sh", "-c", script]].concat());
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (3, "", ""));
        assert_eq!(fs::read_to_string(broker.directory.path().join("seen")).unwrap(), TOKEN);
        let asked = broker.asked();
        assert_eq!((asked[1].0.as_str(), asked[1].1["token"].as_str(), asked.len()), (REVOKE, TOKEN, 2));
    }
    // Options of the command are the command's; its variables may be called otherwise; deploy tokens have a name.
    let deploy = json!({ "access_token": TOKEN, "expires_in": 9, "token_kind": "project-deploy", "username": "gitlab+deploy-token-1" });
    broker.script(EXCHANGE, [(200, deploy)]);
    let ended = broker.run(&[
        "token",
        "--role",
        "bot",
        "--env",
        "MINE",
        "--username-env",
        "NAME",
        "--exec",
        "sh",
        "-c",
        "echo ${#MINE} $NAME $1",
        "--",
        "--role",
    ]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "26 gitlab+deploy-token-1 --role\n"), "{}", ended.err);
    broker.asked();
    // However it ends.
    for (command, code) in [
        (&["sh", "-c", "kill -9 $$"][..], 137),
        (&["sh", "-c", "kill -15 $$"], 143),
        (&["./no-such-command"], 127),
        (&["/"], 126),
    ] {
        let ended = broker.run(&[&["token", "--role", "bot", "--"], command].concat());
        assert_eq!(
            (ended.code, broker.routes().as_slice()),
            (code, &[EXCHANGE.to_owned(), REVOKE.to_owned()][..]),
            "{command:?}"
        );
    }
    // A token that could not be revoked does not change how the command ended, but is told of.
    broker.script(REVOKE, [(403, json!({ "error_description": "Not yours." }))]);
    let ended = broker.run(&["token", "--role", "bot", "--", "true"]);
    assert_eq!(ended.code, 0);
    assert!(ended.err.contains("could not be revoked, and ends by itself within 300 s"), "{}", ended.err);
}

#[test]
fn signals_go_to_the_command_and_the_token_is_revoked_after_it() {
    let broker = Broker::start();
    for (signal, name) in
        [(Signal::TERM, "TERM"), (Signal::HUP, "HUP"), (Signal::INT, "INT"), (Signal::USR1, "USR1")]
    {
        let script = format!("trap 'kill $!; exit 7' {name}; sleep 60 & echo ready; wait");
        let mut process =
            broker.command(&["token", "--role", "bot", "--", "sh", "-c", &script]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        assert_eq!(broker.routes(), [EXCHANGE]);
        kill_process(Pid::from_child(&process), signal).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(7), "{name}");
        assert_eq!(broker.routes(), [REVOKE], "{name}");
    }
}

#[test]
fn a_signal_before_the_command_runs_ends_the_token_and_runs_nothing() {
    let broker = Broker::start();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        broker.script(EXCHANGE, [(1, json!({}))]);
        let mut process = broker.command(&["token", "--role", "bot", "--", "touch", "ran"]).spawn().unwrap();
        while broker.script.asked.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&process), signal).unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("told to stop"), "{line}");
        broker.script.gate.add_permits(1);
        assert_eq!(process.wait().unwrap().code(), Some(code));
        let asked = broker.asked();
        let routes: Vec<_> = asked.iter().map(|(route, _)| route.as_str()).collect();
        assert_eq!(routes, [EXCHANGE, REVOKE]);
        assert_eq!(asked[1].1["token"], TOKEN);
        assert!(!broker.directory.path().join("ran").exists());
    }
    // Whoever insists does not wait for the broker.
    broker.script(EXCHANGE, [(1, json!({}))]);
    let mut process = broker.command(&["token", "--role", "bot", "--", "touch", "ran"]).spawn().unwrap();
    while broker.script.asked.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    let mut line = String::new();
    BufReader::new(process.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(143));
    assert!(!broker.directory.path().join("ran").exists());
}

#[test]
fn the_command_has_no_id_token_unless_it_is_told_to_have_it() {
    let broker = Broker::start();
    let seen = ["sh", "-c", "printf %s \"${BROKER_ID_TOKEN-none}\" >seen"];
    let run = |more: &[&str]| {
        let ended = broker.run(&[&["token", "--role", "bot"], more, &["--"], &seen[..]].concat());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        fs::read_to_string(broker.directory.path().join("seen")).unwrap()
    };
    assert_eq!(run(&[]), "none");
    assert_eq!(run(&["--keep-id-token"]), ID_TOKEN);
    fs::write(broker.directory.path().join("id"), ID_TOKEN).unwrap();
    assert_eq!(run(&["--token-file", "id"]), "none", "wherever the one that was used came from");
}

#[test]
fn an_id_token_goes_to_nobody_in_the_clear() {
    let broker = Broker::start();
    for url in ["http://ca.example.com", "ftp://127.0.0.1", "ca.example.com"] {
        let ended = broker.run(&["token", "--role", "bot", "--url", url]);
        assert_eq!(ended.code, 2, "{}", ended.err);
    }
    let mut without = broker.command(&["token", "--role", "bot"]);
    let ended = Ended::of(without.env_remove("BROKER_ID_TOKEN").output().unwrap());
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("BROKER_ID_TOKEN:\n      aud: "), "{}", ended.err);
    fs::write(broker.directory.path().join("id"), ID_TOKEN).unwrap();
    let mut from_file = broker.command(&["token", "--role", "bot", "--token-file", "id"]);
    assert_eq!(Ended::of(from_file.env_remove("BROKER_ID_TOKEN").output().unwrap()).code, 0);
    assert_eq!(broker.asked()[0].1["subject_token"], ID_TOKEN);
}
