//! Secrets stay inside: what guards every test of the suite (`support::secrets`), and what keeps memory out of files.

use crate::support::{TestCa, logs, secrets};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use countersign::environment::UnixMillis;
use countersign::signer::ceremony::{NewCa, Options};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

/// The guard, seen to find what it is for: any piece of 31 characters, in any form, and nothing else.
#[test]
fn a_secret_is_found_in_every_form_and_other_words_are_not() {
    let ca = NewCa::make(&Options::default(), UnixMillis::from_secs(1_800_000_000)).expect("a CA");
    for key in [&ca.issuing_key, &ca.root_key, &ca.log_key] {
        secrets::note_key(key);
        assert!(secrets::is_said(key.as_bytes()), "the file itself");
        let der = pem::parse(key.as_bytes()).expect("PEM").into_contents();
        for said in [format!("{der:?}"), hex::encode(&der), hex::encode_upper(&der)] {
            assert!(secrets::is_said(format!("key {said}").as_bytes()), "{said}");
        }
    }
    assert!(!secrets::is_said(ca.chain().as_bytes()), "public keys are no secret");
    let claims = r#"{"aud":"x","a":"4e1","b":"4e2","c":"4e3","d":"4e4","e":"4e5","f":"4e6"}"#;
    let payload = BASE64_URL_SAFE_NO_PAD.encode(claims);
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{payload}.{}",
        BASE64_URL_SAFE_NO_PAD
            .encode([0xf7; 3].repeat(20).iter().zip(0..).map(|(a, b): (&u8, u8)| a ^ b).collect::<Vec<_>>())
    );
    assert!(!secrets::is_said(token.as_bytes()));
    secrets::note_sent(format!("{{\"credentials\":{{\"oidcIdentityToken\":\"{token}\"}}}}").as_bytes());
    for piece in [&token[..], &payload[5..45], &token[token.len() - 31..]] {
        assert!(secrets::is_said(format!("an error: {piece}").as_bytes()), "{piece}");
    }
    assert!(!secrets::is_said(b"eyJhbGciOiJSUzI1NiJ9. and the usual words of a refusal"));
    let proof = "/v79/Pv6+fj39vX08/Lx8O/u7ezr6unoMEUC";
    secrets::note_sent(format!(r#"{{"publicKeyRequest":{{"proofOfPossession":"{proof}"}}}}"#).as_bytes());
    assert!(secrets::is_said(format!("x{proof}").as_bytes()));
}

/// Run by the next test, in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it ends its process"]
async fn leaks() {
    let ca = TestCa::start().await;
    let token = ca.token();
    secrets::note_sent(token.as_bytes());
    match std::env::var("COUNTERSIGN_TEST_LEAK").as_deref() {
        Ok("log") => tracing::error!("cannot use {token}"),
        Ok("key") => {
            let key = std::fs::read_to_string(ca.config().ca.key().expect("a file")).expect("readable");
            tracing::debug!(target: "countersign::signer", key, "opened");
        }
        // The admin listener shows what it is asked for nowhere but in this test's own words.
        Ok("answer") => secrets::check("an answer", format!("no such issuer: {token}").as_bytes()),
        _ => {}
    }
}

#[test]
fn a_log_line_or_an_answer_with_a_secret_ends_the_run() {
    let run = |leak: &str| {
        let mut test = Command::new(std::env::current_exe().expect("its path"));
        test.args(["--ignored", "--exact", "secrets::leaks"]).env("COUNTERSIGN_TEST_LEAK", leak);
        test.env("RUST_BACKTRACE", "0").output().expect("it runs")
    };
    for leak in ["log", "key", "answer"] {
        let ended = run(leak);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.signal(), Some(6), "{leak}: {said}");
        assert!(said.contains("A SECRET WAS SAID"), "{leak}: {said}");
    }
    assert!(run("nothing").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_watched_from_the_first_server_on() {
    let ca = TestCa::start().await;
    ca.issue().await;
    assert!(logs::text().contains("\"serving\""));
}

/// A command that waits for its input, under a limit of core dumps that has none.
#[cfg(target_os = "linux")]
#[test]
fn no_command_leaves_its_memory_in_a_file_or_to_others() {
    let script = "ulimit -c unlimited 2>/dev/null || ulimit -c hard; exec \"$0\" inspect -";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_countersign")]).stdin(Stdio::piped()).stdout(Stdio::null());
    let root = rustix::process::geteuid().is_root();
    if root {
        shell.uid(65534);
    }
    let mut child = match shell.spawn() {
        Ok(child) => child,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let proc = format!("/proc/{}", child.id());
    let is_set = || {
        let limits = std::fs::read_to_string(format!("{proc}/limits")).expect("it runs");
        let line =
            limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line").to_owned();
        // What cannot be dumped belongs to root, whoever runs it (proc(5)).
        let owner = std::fs::metadata(format!("{proc}/environ")).expect("it runs").uid();
        line.split_whitespace().filter(|word| *word == "0").count() == 2 && owner == 0
    };
    let tries = 2_000_000;
    assert!(
        (0..tries).any(|_| is_set() || {
            std::thread::yield_now();
            false
        }),
        "it can be dumped"
    );
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::ABORT)
        .or_else(|error| if error == rustix::io::Errno::PERM { Ok(()) } else { Err(error) })
        .expect("it is told");
    let ended = child.wait().expect("it ends");
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
}
