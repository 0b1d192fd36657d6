//! `countersign broker`: what a job runs to get a token, git's helper, and the operators' commands, against a broker that answers as scripted.

mod git;
mod operators;
mod token;

use crate::support::secrets;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, Response, Uri};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::Write;
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
