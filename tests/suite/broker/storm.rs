//! The real binary, killed with -9 again and again under load: no token lives without a lease, and no lease that somebody was given is
//! forgotten. `COUNTERSIGN_BROKER_STORM` says how many rounds; a few in everyday tests.

use super::{AUDIENCE, GRANT, ID_TOKEN, ROLES};
use crate::support::gitlab::MakeBelieve;
use crate::support::{Answer, client};
use countersign::server::environment::Environment;
use reqwest::Client;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CALLERS: usize = 16;

/// The binary, serving.
struct Server {
    child: Child,
    public: String,
    admin: String,
}

impl Server {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["serve", "--log-format", "json", "--config"])
            .arg(directory.join("countersign.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut seen = String::new();
        let (public, admin) = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended: {seen}") };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "serving" {
                let address = |name: &str| format!("http://{}", event[name].as_str().expect("an address"));
                break (address("listen"), address("admin"));
            }
            seen.push_str(&line);
        };
        // Nobody may wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, public, admin }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

/// A number that follows from another, for moments that nobody chose.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

async fn caller(
    id: String,
    gitlab: Arc<MakeBelieve>,
    http: Client,
    public: String,
    given: Arc<Mutex<Vec<String>>>,
) {
    let mut claims = gitlab.issuer.claims();
    claims["aud"] = AUDIENCE.into();
    for number in 0.. {
        claims["jti"] = format!("{id}-{number}").into();
        let token = gitlab.issuer.token(&claims);
        let form = [
            ("grant_type", GRANT),
            ("subject_token", &*token),
            ("subject_token_type", ID_TOKEN),
            ("role", "tag"),
        ];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = http
            .post(format!("{public}/v1/token-exchange"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        // An error: it was killed.
        let Ok(response) = request.send().await else { return };
        let status = response.status();
        let Ok(text) = response.text().await else { return };
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        match answer["lease_id"].as_str() {
            Some(lease) => given.lock().expect("nobody panics").push(lease.to_owned()),
            // An operator may end a lease while it is made.
            None => assert!(matches!(status.as_u16(), 400 | 429 | 503), "{text}"),
        }
    }
}

async fn listed(http: &Client, admin: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = Answer::of(http.get(format!("{admin}/v1/leases?limit=1000{cursor}"))).await.json();
        all.extend(answer["leases"].as_array().expect("leases").clone());
        match answer["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_forgets_no_lease_and_leaves_no_token_without_one() {
    let rounds: u32 =
        std::env::var("COUNTERSIGN_BROKER_STORM").ok().map_or(3, |it| it.parse().expect("a number"));
    let gitlab = Arc::new(MakeBelieve::start(Environment::system().clock).await);
    gitlab.project("my-group/my-project");
    let directory = tempfile::tempdir().expect("a directory");
    let credential = directory.path().join("gitlab.token");
    fs::write(&credential, gitlab.credential()).expect("a file");
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o600)).expect("its mode");
    let roles = ROLES.replace("max_per_token: 20", "max_per_token: 1\n      max_active: 100000");
    let url = gitlab.url();
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nca: {{ ephemeral: {{}} }}\nlog: {{ mode: none }}\ndata: data\n\
         issuers: [{{ url: \"{url}\", type: gitlab-pipeline }}]\n\
         broker:\n  audience: {AUDIENCE}\n  rate_per_project: 60000\n  targets: [{{ name: gitlab, url: \"{url}\", token: {{ file: gitlab.token }} }}]\n  roles:{roles}"
    );
    fs::write(directory.path().join("countersign.yaml"), text).expect("a file");

    let http = client();
    let given = Arc::new(Mutex::new(Vec::new()));
    let mut state = 20_261_122;
    let enough = rounds as usize * 2;
    for round in 0..rounds * 20 {
        // On a machine that is slow today there are more rounds.
        if round >= rounds && given.lock().expect("nobody panics").len() >= enough {
            break;
        }
        let server = Server::start(directory.path());
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller_of| {
                tokio::spawn(caller(
                    format!("{round}-{caller_of}"),
                    gitlab.clone(),
                    http.clone(),
                    server.public.clone(),
                    given.clone(),
                ))
            })
            .collect();
        // The moment is the storm's point: any will do.
        tokio::time::sleep(Duration::from_millis(100 + next(&mut state) % 700)).await;
        if round % 2 == 1 {
            // Half of the time while everything is being revoked.
            let order = http.post(format!("{}/v1/leases/revoke", server.admin));
            let order = order.header("content-type", "application/x-www-form-urlencoded").body("all=true");
            let order = tokio::spawn(order.send());
            tokio::time::sleep(Duration::from_millis(next(&mut state) % 200)).await;
            server.kill();
            let _ = order.await;
        } else {
            server.kill();
        }
        for caller in callers {
            caller.await.expect("a caller gets answers, or none");
        }
    }

    let server = Server::start(directory.path());
    let known: BTreeSet<String> = listed(&http, &server.admin)
        .await
        .iter()
        .map(|lease| lease["id"].as_str().expect("an id").to_owned())
        .collect();
    let given = given.lock().expect("nobody panics").clone();
    eprintln!("{rounds} rounds: {} leases given, {} on record", given.len(), known.len());
    assert!(given.len() >= enough, "{} leases in {rounds} rounds", given.len());
    let forgotten: Vec<_> = given.iter().filter(|lease| !known.contains(*lease)).collect();
    assert!(forgotten.is_empty(), "forgotten: {forgotten:?}");
    let orphans: Vec<_> = gitlab
        .live_tokens()
        .into_iter()
        .filter(|live| !live.name.rsplit('-').next().is_some_and(|lease| known.contains(lease)))
        .collect();
    assert!(orphans.is_empty(), "tokens without a lease: {orphans:?}");
    let order = http.post(format!("{}/v1/leases/revoke", server.admin));
    let order = order.header("content-type", "application/x-www-form-urlencoded").body("all=true");
    assert_eq!(Answer::of(order).await.status, 202);
    for _ in 0..6000 {
        if gitlab.live_tokens().is_empty() {
            server.kill();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("they live on: {:?}", gitlab.live_tokens());
}
