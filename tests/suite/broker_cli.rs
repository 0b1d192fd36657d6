//! `countersign broker`: what a job runs to get a token, git's helper, and the operators' commands, against a broker that answers as scripted.

use crate::support::secrets;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, Response, Uri};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::form_urlencoded;

const TOKEN: &str = "glpat-AbCdEf0123456789wXyZ";
const ID_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqb2IifQ.c2lnbmF0dXJl";
/// What goes with it where git asks: the lease of [`default_of`].
const LOGIN: &str = "countersign-00000000000000000000000000000000";
const EXCHANGE: &str = "POST /v1/token-exchange";
const REVOKE: &str = "POST /v1/token-revoke";

/// What it was asked: route, parameters of the query or the form.
type Asked = (String, HashMap<String, String>);

struct Script {
    asked: Mutex<Vec<Asked>>,
    answers: Mutex<HashMap<String, VecDeque<(u16, String)>>>,
    gate: tokio::sync::Semaphore,
}

struct Broker {
    script: Arc<Script>,
    url: String,
    directory: TempDir,
    runtime: Runtime,
}

async fn answer(State(script): State<Arc<Script>>, method: Method, uri: Uri, body: Bytes) -> Response<Body> {
    let route = format!("{method} {}", uri.path());
    let sent = [uri.query().unwrap_or_default().as_bytes(), &body[..]].concat();
    let fields = form_urlencoded::parse(&sent).into_owned().collect();
    script.asked.lock().unwrap().push((route.clone(), fields));
    let next = script.answers.lock().unwrap().get_mut(&route).and_then(VecDeque::pop_front);
    let (status, text) = next.unwrap_or_else(|| (200, default_of(&route)));
    // 1: as usual, once the test lets it go.
    if status == 1 {
        script.gate.acquire().await.expect("it is open some day").forget();
        return Response::new(default_of(&route).into());
    }
    // 0: the connection ends without an answer.
    if status == 0 {
        let broken = Err::<hyper::body::Frame<Bytes>, _>(std::io::Error::other("dropped"));
        return Response::new(Body::new(http_body_util::StreamBody::new(tokio_stream::once(broken))));
    }
    Response::builder().status(status).header("retry-after", "0").body(text.into()).unwrap()
}

fn default_of(route: &str) -> String {
    match route {
        EXCHANGE => json!({
            "access_token": TOKEN, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer", "expires_in": 300, "scope": "read_api", "lease_id": "0".repeat(32),
            "role": "bot", "token_kind": "project",
        })
        .to_string(),
        _ => "{}".to_owned(),
    }
}

impl Broker {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let gate = tokio::sync::Semaphore::new(0);
        let script = Arc::new(Script { asked: Mutex::default(), answers: Mutex::default(), gate });
        let router = Router::new().fallback(answer).with_state(script.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        // The header is the same for all, and says nothing.
        secrets::note(ID_TOKEN.trim_start_matches("eyJhbGciOiJSUzI1NiJ9.").as_bytes());
        Self { script, url, directory: TempDir::new().unwrap(), runtime }
    }

    fn script(&self, route: &str, answers: impl IntoIterator<Item = (u16, Value)>) {
        let answers = answers.into_iter().map(|(status, body)| (status, body.to_string()));
        self.script.answers.lock().unwrap().entry(route.to_owned()).or_default().extend(answers);
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.script.asked.lock().unwrap())
    }

    fn routes(&self) -> Vec<String> {
        self.asked().into_iter().map(|(route, _)| route).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("broker").args(arguments).current_dir(self.directory.path());
        command.env_remove("CI_SERVER_URL").env_remove("SIGSTORE_ID_TOKEN");
        command.env("BROKER_ID_TOKEN", ID_TOKEN).env("COUNTERSIGN_URL", &self.url);
        command.env("COUNTERSIGN_ADMIN_URL", &self.url);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut process = self.command(arguments).spawn().expect("the binary runs");
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        Ended::of(process.wait_with_output().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "")
    }
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        secrets::check("the binary", &[&output.stdout[..], &output.stderr].concat());
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code().expect("a code"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

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

#[test]
fn git_gets_a_login_for_its_gitlab_and_for_nothing_else() {
    let broker = Broker::start();
    let gitlab = "https://gitlab.example.com";
    let helper = |action, about: &str| {
        broker.run_with(&["git-credential", "--role", "push", "--gitlab", gitlab, action], about)
    };
    let about = "protocol=https\nhost=gitlab.example.com\npath=a/b.git\n\n";
    let ended = helper("get", about);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines[..2], [&*format!("username={LOGIN}"), &format!("password={TOKEN}")]);
    let ends: u64 = lines[2].strip_prefix("password_expiry_utc=").unwrap().parse().unwrap();
    assert!(ends > 1_700_000_000 && lines.len() == 3);
    let deploy = json!({ "access_token": TOKEN, "expires_in": 9, "token_kind": "project-deploy", "username": "gitlab+deploy-token-1" });
    broker.script(EXCHANGE, [(200, deploy)]);
    assert!(helper("get", about).out.starts_with("username=gitlab+deploy-token-1\n"));
    broker.asked();
    for other in [
        "protocol=https\nhost=evil.example\n\n",
        "protocol=http\nhost=gitlab.example.com\n\n",
        "protocol=https\nhost=gitlab.example.com:444\n\n",
        // A URL's reader would take these for the host.
        "protocol=https\nhost=gitlab.example.com\r\n\n",
        "protocol=https\nhost=gitlab.exa\tmple.com\n\n",
        "protocol=https\nhost=/gitlab.example.com\n\n",
        "protocol=https\nhost=gitlab%2eexample.com\n\n",
        "protocol=https\nhost=ｇitlab.example.com\n\n",
        "",
    ] {
        for action in ["get", "erase"] {
            let ended = helper(action, &format!("{}\npassword={TOKEN}\n\n", other.trim_end_matches('\n')));
            assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""), "{other}");
        }
    }
    assert_eq!(
        helper("store", &format!("protocol=https\nhost=gitlab.example.com\npassword={TOKEN}\n")).code,
        0
    );
    assert_eq!(broker.routes(), [""; 0]);
    // What another helper gave is sent to nobody, whatever it looks like: the login's name says whose it is.
    for other in
        ["oauth2", "gitlab+deploy-token-1", "countersign-1", &format!("{LOGIN}0"), "countersign-../x", ""]
    {
        let about = format!("protocol=https\nhost=gitlab.example.com\nusername={other}\npassword={TOKEN}\n");
        let ended = helper("erase", &about);
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""), "{other}");
        assert_eq!(broker.routes(), [""; 0], "{other}");
    }
    let ended = helper(
        "erase",
        &format!("protocol=https\nhost=gitlab.example.com\nusername={LOGIN}\npassword={TOKEN}\n"),
    );
    assert_eq!(ended.code, 0, "{}", ended.err);
    let asked = broker.asked();
    let fields = &asked[0].1;
    assert_eq!((asked.len(), asked[0].0.as_str(), fields.len()), (1, REVOKE, 2));
    assert_eq!((fields["lease_id"].as_str(), fields["subject_token"].as_str()), (&LOGIN[12..], ID_TOKEN));
    // Refused: no other helper is asked, and no person.
    broker.script(EXCHANGE, [(400, json!({}))]);
    let ended = helper("get", about);
    assert_eq!((ended.code, ended.out.as_str()), (1, "quit=1\n"));
    let trigger = json!({ "access_token": TOKEN, "token_kind": "pipeline-trigger" });
    broker.script(EXCHANGE, [(200, trigger)]);
    assert_eq!(helper("get", about).out, "quit=1\n");
    assert_eq!(
        broker
            .run(&["git-credential", "--role", "push", "--gitlab", "http://gitlab.example.com", "get"])
            .code,
        2
    );
}

/// git itself asks the helper, as it does before a push.
#[test]
fn git_speaks_with_the_helper() {
    let broker = Broker::start();
    let helper = format!(
        "!'{}' broker git-credential --role push --gitlab https://gitlab.example.com",
        env!("CARGO_BIN_EXE_countersign")
    );
    let git = |action: &str, about: &str| {
        let mut command = Command::new("git");
        command.args(["-c", &format!("credential.helper={helper}"), "credential", action]);
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        command
            .env("BROKER_ID_TOKEN", ID_TOKEN)
            .env("COUNTERSIGN_URL", &broker.url)
            .env_remove("GIT_ASKPASS");
        command.env_remove("SSH_ASKPASS").current_dir(broker.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut process) = command.spawn() else { return None };
        process.stdin.take().unwrap().write_all(about.as_bytes()).unwrap();
        Some(Ended::of(process.wait_with_output().unwrap()))
    };
    let Some(ended) = git("fill", "protocol=https\nhost=gitlab.example.com\n\n") else { return };
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains(&format!("username={LOGIN}\npassword={TOKEN}\n")), "{}", ended.out);
    git(
        "reject",
        &format!("protocol=https\nhost=gitlab.example.com\nusername={LOGIN}\npassword={TOKEN}\n\n"),
    );
    assert_eq!(broker.routes(), [EXCHANGE, REVOKE]);
    assert_ne!(git("fill", "protocol=https\nhost=other.example\n\n").unwrap().code, 0);
    assert_eq!(broker.routes(), [""; 0]);
}

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
    broker.script("GET /v1/attempts", [(200, json!({ "refused": [{ "time": 0, "outcome": "BROKER_TARGET_REFUSED", "role": "x", "job": { "job_id": "9" } }] }))]);
    let refused = broker.run(&["leases", "--refused"]).out;
    assert_eq!(refused, "1970-01-01T00:00:00Z  BROKER_TARGET_REFUSED  x  - job 9 by -  -\n");
    broker.asked();
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

/// A smart-HTTP server for the repositories below a directory: git's own, for whoever logs in with the token.
async fn smart_http(State(root): State<Arc<String>>, request: axum::extract::Request) -> Response<Body> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use tokio::io::AsyncWriteExt as _;
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    if header("authorization") != format!("Basic {}", BASE64_STANDARD.encode(format!("{LOGIN}:{TOKEN}"))) {
        let challenge = Response::builder().status(401).header("www-authenticate", "Basic realm=\"GitLab\"");
        return challenge.body(Body::empty()).unwrap();
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut backend = tokio::process::Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", &*root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("PATH_INFO", parts.uri.path()).env("QUERY_STRING", parts.uri.query().unwrap_or_default());
    backend.env("REQUEST_METHOD", parts.method.as_str()).env("CONTENT_TYPE", header("content-type"));
    backend.env("HTTP_CONTENT_ENCODING", header("content-encoding")).env("REMOTE_USER", LOGIN);
    backend.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = backend.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(&body).await.unwrap();
    drop(stdin);
    let answer = process.wait_with_output().await.unwrap().stdout;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
    let mut response = Response::builder();
    for line in std::str::from_utf8(&answer[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(answer[end + 4..].to_vec())).unwrap()
}

#[test]
fn git_pushes_with_a_token_that_the_helper_got() {
    let broker = Broker::start();
    let directory = broker.directory.path();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"])
            .args(arguments);
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        command
            .env("BROKER_ID_TOKEN", ID_TOKEN)
            .env("COUNTERSIGN_URL", &broker.url)
            .env_remove("GIT_ASKPASS");
        command.env_remove("SSH_ASKPASS").env("no_proxy", "127.0.0.1").current_dir(directory);
        command.output().ok().map(Ended::of)
    };
    // Without git, or without its server, there is nothing to see.
    let Some(backend) = Command::new("git").arg("--exec-path").output().ok() else { return };
    let backend = String::from_utf8(backend.stdout).unwrap();
    if !std::path::Path::new(backend.trim()).join("git-http-backend").exists() {
        return;
    }
    let done = |arguments: &[&str]| {
        let ended = git(arguments).unwrap();
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.err);
        ended.out
    };
    done(&["init", "--quiet", "--bare", "root/a/b.git"]);
    done(&["init", "--quiet", "work"]);
    done(&["-C", "work", "commit", "--quiet", "--allow-empty", "-m", "first"]);
    let root = Arc::new(directory.join("root").display().to_string());
    let listener = broker.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let gitlab = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(smart_http).with_state(root);
    broker.runtime.spawn(async move { axum::serve(listener, router).await });
    let helper = |gitlab: &str| {
        let binary = env!("CARGO_BIN_EXE_countersign");
        format!("credential.helper=!'{binary}' broker git-credential --role push --gitlab {gitlab}")
    };
    let remote = format!("{gitlab}/a/b.git");
    let push = ["-C", "work", "push", "--quiet", &remote, "HEAD:refs/heads/main"];
    let elsewhere = helper("https://gitlab.example.com");
    assert_ne!(git(&[&["-c", &elsewhere], &push[..]].concat()).unwrap().code, 0);
    assert_eq!(broker.routes(), [""; 0]);
    done(&[&["-c", &helper(&gitlab)], &push[..]].concat());
    assert_eq!(broker.routes(), [EXCHANGE]);
    let head = |at| done(&["-C", at, "rev-parse", "HEAD"]);
    assert_eq!(done(&["-C", "root/a/b.git", "rev-parse", "main"]), head("work"));
}
