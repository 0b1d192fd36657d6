//! Files that change while the server runs: taken over as a whole, or not at all and the last good ones stay.

use crate::support::grpc::GrpcClient;
use crate::support::key::TestKey;
use crate::support::{Answer, TestCa, logs};
use countersign::config::Config;
use countersign::demo::gitlab::Gitlab;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A CA that runs with a configuration file, and a second GitLab that is not in it.
struct Reloadable {
    ca: TestCa,
    file: PathBuf,
    other: Gitlab,
}

fn entry(url: &str) -> String {
    format!("  - {{ url: {url}, type: gitlab-pipeline }}\n")
}

/// The configuration with these entries under `issuers`, and more at its end.
fn written(directory: &Path, issuers: &str, more: &str) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\npublic_url: https://ca.example.com\ndata: data\n\
         ca: {{ certificates: {}, signer: {{ file: {{ key: {} }} }} }}\n\
         log: {{ key: {}, origin: ca.example.com/ct }}\nissuers:\n{issuers}{more}",
        path("chain.pem"),
        path("ca.key"),
        path("log.key"),
    )
}

impl Reloadable {
    async fn start() -> Self {
        Self::with(|_| String::new()).await
    }

    /// `more` stands at the end of the first configuration.
    async fn with(more: impl FnOnce(&Path) -> String) -> Self {
        let mut ca = TestCa::builder().prepare().await;
        let directory = ca.config.data.parent().expect("a directory").to_owned();
        let file = directory.join("countersign.yaml");
        let more = more(&directory);
        fs::write(&file, written(&directory, &entry(ca.gitlab.url()), &more)).expect("written");
        ca.config = Config::load(&file).expect("a good configuration").0;
        let other = Gitlab::start(ca.clock.clone()).await.expect("a GitLab");
        Self { ca: ca.start().await, file, other }
    }

    /// The configuration that names these issuers.
    fn naming(&self, issuers: &[&str]) -> String {
        let entries: String = issuers.iter().map(|url| entry(url)).collect();
        written(self.file.parent().expect("a directory"), &entries, "")
    }

    async fn reload(&self, text: &str) {
        fs::write(&self.file, text).expect("written");
        self.ca.reload().await;
    }

    /// The answer to a request with a token of this GitLab: its status.
    async fn sign(&self, gitlab: &Gitlab) -> (u16, String) {
        let claims = gitlab.claims();
        let mut request = TestKey::new().request(claims["sub"].as_str().expect("a string"));
        request["credentials"] = json!({ "oidcIdentityToken": gitlab.token(&claims) });
        let answer = self.ca.sign(&request).await;
        let reason = if answer.status == 200 { String::new() } else { answer.reason() };
        (answer.status.as_u16(), reason)
    }

    async fn metric(&self, line: &str) -> f64 {
        let text = self.ca.get_admin("/metrics").await.text().to_owned();
        let value = text.lines().find_map(|shown| shown.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().expect("a number")
    }

    async fn reloads(&self, part: &str, outcome: &str) -> f64 {
        self.metric(&format!("countersign_config_reloads_total{{outcome=\"{outcome}\",part=\"{part}\"}}"))
            .await
    }

    async fn last_was_good(&self) -> f64 {
        self.metric("countersign_config_last_reload_successful{part=\"configuration\"}").await
    }

    /// The issuers that both protocols announce.
    async fn announced(&self) -> Vec<String> {
        let json = self.ca.get("/api/v2/configuration").await.json();
        let grpc = GrpcClient::connect(self.ca.url("")).await;
        let message =
            grpc.call("dev.sigstore.fulcio.v2.CA/GetConfiguration", json!({})).await.expect("an answer");
        let urls = |list: &Value| -> Vec<String> {
            let items = list["issuers"].as_array().expect("a list");
            items.iter().map(|item| item["issuerUrl"].as_str().expect("a URL").to_owned()).collect()
        };
        let announced = urls(&json);
        assert_eq!(urls(&message.into_inner()), announced);
        announced
    }

    async fn ready(&self) -> Value {
        let answer = Answer::of(self.ca.http.get(self.ca.admin_url("/readyz"))).await;
        assert_eq!(answer.status, 200, "a server with a good configuration in force is ready");
        answer.json()
    }
}

const UNKNOWN: (u16, &str) = (400, "TOKEN_ISSUER_UNKNOWN");

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_added_gets_certificates_and_one_that_is_removed_none() {
    let server = Reloadable::start().await;
    let (first, second) = (server.ca.gitlab.url().to_owned(), server.other.url().to_owned());
    let refused = server.sign(&server.other).await;
    assert_eq!((refused.0, refused.1.as_str()), UNKNOWN);
    server.reload(&server.naming(&[&first, &second])).await;
    assert_eq!(server.sign(&server.other).await.0, 200);
    assert_eq!(server.sign(&server.ca.gitlab).await.0, 200);
    assert_eq!(server.announced().await, [first.clone(), second.clone()]);
    let issued = |url: &str| format!("countersign_certificates_total{{issuer=\"{url}\",result=\"issued\"}}");
    assert_eq!(server.metric(&issued(&second)).await, 1.0);
    assert_eq!(server.reloads("configuration", "loaded").await, 1.0);

    let fetched = server.ca.gitlab.fetches();
    server.reload(&server.naming(&[&second])).await;
    let refused = server.sign(&server.ca.gitlab).await;
    assert_eq!((refused.0, refused.1.as_str()), UNKNOWN);
    assert_eq!(server.sign(&server.other).await.0, 200);
    assert_eq!(server.announced().await, [second.as_str()]);
    let metrics = server.ca.get_admin("/metrics").await;
    assert!(!metrics.text().contains(&format!("\"{first}\"")), "{}", metrics.text());

    // Its keys were forgotten: they are fetched anew when it comes back.
    server.reload(&server.naming(&[&first, &second])).await;
    assert_eq!(server.sign(&server.ca.gitlab).await.0, 200);
    assert_eq!(server.ca.gitlab.fetches(), fetched + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_leaves_the_last_good_one_and_says_so_once() {
    logs::collect();
    let server = Reloadable::start().await;
    let (first, second) = (server.ca.gitlab.url().to_owned(), server.other.url().to_owned());
    assert_eq!(server.last_was_good().await, 1.0);
    let since = "countersign_config_last_reload_success_timestamp_seconds{part=\"configuration\"}";
    let started = server.metric(since).await;
    server.ca.clock.advance(std::time::Duration::from_secs(60));

    let bad = server.naming(&[&first, &second]) + "unknown_key_5d0f: 1\n";
    fs::write(&server.file, &bad).expect("written");
    for _ in 0..3 {
        server.ca.look().await;
    }
    assert_eq!((server.sign(&server.ca.gitlab).await.0, server.sign(&server.other).await.0), (200, 400));
    assert_eq!((server.last_was_good().await, server.reloads("configuration", "refused").await), (0.0, 1.0));
    assert_eq!(server.metric(since).await, started);
    let directory = server.file.parent().expect("a directory").display().to_string();
    let of_this_server = |line: &&str| line.contains("is refused") && line.contains(&directory);
    let text = logs::text();
    let lines: Vec<&str> = text.lines().filter(of_this_server).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("unknown_key_5d0f"), "{}", lines[0]);
    let warnings = server.ready().await["warnings"].to_string();
    assert!(warnings.contains("unknown_key_5d0f") && warnings.contains("last good"), "{warnings}");

    // Who asks is told in any case; another fault is another line.
    server.ca.reload().await;
    assert_eq!(server.reloads("configuration", "refused").await, 2.0);
    for (text, count) in [("issuers: [", 3.0), ("\u{0}", 4.0)] {
        fs::write(&server.file, text).expect("written");
        server.ca.look().await;
        assert_eq!(server.reloads("configuration", "refused").await, count, "{text:?}");
    }
    fs::remove_file(&server.file).expect("removed");
    server.ca.look().await;
    assert_eq!((server.sign(&server.ca.gitlab).await.0, server.last_was_good().await), (200, 0.0));

    fs::write(&server.file, server.naming(&[&first, &second])).expect("written");
    server.ca.look().await;
    assert_eq!((server.sign(&server.other).await.0, server.last_was_good().await), (200, 1.0));
    assert_eq!(server.metric(since).await, started + 60.0);
    assert!(server.ready().await.get("warnings").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_refuses_the_whole_file_by_name() {
    let server = Reloadable::start().await;
    let (first, second) = (server.ca.gitlab.url().to_owned(), server.other.url().to_owned());
    let good = server.naming(&[&first, &second]);
    for (from, to, named) in [
        ("listen: 127.0.0.1:0\n", "listen: 127.0.0.1:1\n", "listen"),
        ("admin: { listen: 127.0.0.1:0 }\n", "", "admin"),
        ("https://ca.example.com", "https://other.example.com", "public_url"),
        ("data: data", "data: elsewhere", "data"),
        ("origin: ca.example.com/ct", "origin: other.example.com/ct", "log"),
        ("signer: {", "validity: 5m, signer: {", "ca"),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good);
        server.reload(&changed).await;
        let warning = server.ready().await["warnings"][0].as_str().expect("a warning").to_owned();
        assert!(warning.contains(&format!(": {named} changed, which needs a restart")), "{named}: {warning}");
        assert_eq!(server.sign(&server.other).await.0, 400, "nothing of it is in force");
    }
    server.reload(&good).await;
    assert_eq!(server.sign(&server.other).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_the_configuration_names_are_looked_at_too() {
    let server = Reloadable::start().await;
    let directory = server.file.parent().expect("a directory").to_owned();
    let (jwks, fulcio) = (directory.join("jwks.json"), directory.join("fulcio.yaml"));
    let second = server.other.url().to_owned();
    let first = server.ca.gitlab.url().to_owned();
    let keys = server.other.key_set().to_string();
    fs::write(&jwks, &keys).expect("written");
    let from_file = format!("  - {{ url: {second}, type: gitlab-pipeline, jwks_file: jwks.json }}\n");
    let text = written(&directory, &(entry(&first) + &from_file), "");
    server.reload(&text).await;
    assert_eq!(server.sign(&server.other).await.0, 200);
    assert_eq!(server.other.fetches(), 0);

    // The issuer rotates, and its file follows by a rename, as editors and Kubernetes write.
    server.other.rotate().expect("a key");
    assert_eq!(server.sign(&server.other).await.0, 400);
    let new = directory.join("jwks.json.new");
    fs::write(&new, server.other.key_set().to_string()).expect("written");
    fs::rename(new, &jwks).expect("renamed");
    server.ca.look().await;
    assert_eq!(server.sign(&server.other).await.0, 200);
    fs::write(&jwks, "{ half").expect("written");
    server.ca.look().await;
    assert_eq!((server.sign(&server.other).await.0, server.last_was_good().await), (200, 0.0));
    fs::write(&jwks, server.other.key_set().to_string()).expect("written");
    server.ca.look().await;
    assert_eq!(server.last_was_good().await, 1.0);

    // A Fulcio file behind a link that is switched.
    let versions = ["..v1", "..v2"].map(|name| directory.join(name));
    let identities = |urls: &[&str]| {
        let entry = |url: &&str| {
            format!("  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: gitlab-pipeline\n")
        };
        format!("oidc-issuers:\n{}", urls.iter().map(entry).collect::<String>())
    };
    for (version, urls) in versions.iter().zip([&[first.as_str()][..], &[&first, &second]]) {
        fs::create_dir(version).expect("a directory");
        fs::write(version.join("fulcio.yaml"), identities(urls)).expect("written");
    }
    let link = directory.join("..data");
    std::os::unix::fs::symlink(&versions[0], &link).expect("a link");
    std::os::unix::fs::symlink("..data/fulcio.yaml", &fulcio).expect("a link");
    let text = written(&directory, "", "identity_config: fulcio.yaml\n").replace("issuers:\n", "");
    server.reload(&text).await;
    assert_eq!(server.announced().await, [first.as_str()]);
    let switched = directory.join("..data_tmp");
    std::os::unix::fs::symlink(&versions[1], &switched).expect("a link");
    fs::rename(switched, link).expect("switched");
    server.ca.look().await;
    assert_eq!(server.announced().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_files_are_a_part_of_their_own() {
    let certify = |directory: &Path, name: &str| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        fs::write(directory.join(format!("{name}.pem")), made.cert.pem()).expect("written");
        fs::write(directory.join(format!("{name}.key")), made.signing_key.serialize_pem()).expect("written");
        made.cert.pem()
    };
    const TLS: &str = "tls: { certificate: one.pem, key: one.key }\n";
    let server = Reloadable::with(|directory| {
        certify(directory, "one");
        TLS.to_owned()
    })
    .await;
    let directory = server.file.parent().expect("a directory").to_owned();
    let serves = async |pem: String| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).expect("PEM");
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().expect("a client");
        client.get(server.ca.url("/healthz")).send().await.is_ok()
    };
    let successful = "countersign_config_last_reload_successful{part=\"tls\"}";
    assert_eq!(server.metric(successful).await, 1.0);
    let renewed = certify(&directory, "one");
    server.ca.look().await;
    assert!(serves(renewed.clone()).await);
    assert_eq!(server.reloads("tls", "loaded").await, 1.0);
    assert_eq!(server.reloads("configuration", "loaded").await, 0.0);

    fs::write(directory.join("one.key"), "no key").expect("written");
    server.ca.look().await;
    server.ca.look().await;
    assert!(serves(renewed).await);
    assert_eq!((server.metric(successful).await, server.reloads("tls", "refused").await), (0.0, 1.0));
    assert!(server.ready().await["warnings"][0].as_str().expect("a warning").contains("TLS"));

    // Other files, named by the configuration.
    let other = certify(&directory, "two");
    let text = fs::read_to_string(&server.file).expect("readable").replace("one.", "two.");
    server.reload(&text).await;
    assert!(serves(other).await);
    assert_eq!(server.metric(successful).await, 1.0);
    server.reload(&text.replace("tls: { certificate: two.pem, key: two.key }\n", "")).await;
    let warning = server.ready().await["warnings"][0].as_str().expect("a warning").to_owned();
    assert!(warning.contains("tls (on or off) changed"), "{warning}");
}

/// Nobody ever writes into the pipe: opening it would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_answer_holds_up_nobody() {
    let server = Reloadable::with(|directory| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        fs::write(directory.join("one.pem"), made.cert.pem()).expect("written");
        fs::write(directory.join("one.key"), made.signing_key.serialize_pem()).expect("written");
        "tls: { certificate: one.pem, key: one.key }\n".to_owned()
    })
    .await;
    let directory = server.file.parent().expect("a directory").to_owned();
    let pem = fs::read(directory.join("one.pem")).expect("a file");
    fs::remove_file(directory.join("one.key")).expect("removed");
    let made = Command::new("mkfifo").arg(directory.join("one.key")).status();
    assert!(made.expect("mkfifo runs").success());
    let root = reqwest::Certificate::from_pem(&pem).expect("PEM");
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().expect("a client");
    let asked = async {
        let asking = async {
            // More than there are cores.
            for _ in 0..100 {
                server.ready().await;
            }
            let url = server.ca.url("/healthz");
            client.get(url).send().await.expect("an answer").status()
        };
        tokio::join!(server.ca.look(), asking).1
    };
    let answered = tokio::time::timeout(Duration::from_secs(30), asked).await;
    assert_eq!(answered.expect("nobody waits for the pipe"), 200);
    let warnings = server.ready().await["warnings"].to_string();
    assert!(warnings.contains("one.key") && warnings.contains("not a file"), "{warnings}");
}

/// From the first moments on, as `systemctl restart` and `reload` in a row send it.
#[test]
fn sighup_while_it_starts_does_not_end_it() {
    let mut server = RealServer::spawn();
    // Long before it serves: the first thing that it does is to catch it.
    server.hang_up_when_caught();
    let lines = server.lines.by_ref();
    let mut seen = lines.filter(|line| line.contains("\"serving\"") || line.contains("has not changed"));
    assert!(seen.next().expect("it starts").contains("serving"));
    assert!(seen.next().expect("what came before is not forgotten").contains("has not changed"));
    server.end();
}

/// Issuers come and go while many ask: each answer is one that the old or the new file gives, whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_sees_one_configuration_from_its_first_step_to_its_last() {
    let server = Reloadable::start().await;
    let (first, second) = (server.ca.gitlab.url().to_owned(), server.other.url().to_owned());
    let texts = [server.naming(&[&first, &second]), server.naming(&[&first])];
    let asking = async {
        for _ in 0..40 {
            let (kept, switched) = tokio::join!(server.sign(&server.ca.gitlab), server.sign(&server.other));
            assert_eq!(kept.0, 200, "an issuer that stays is never refused");
            let switched = (switched.0, switched.1.as_str());
            assert!(switched == (200, "") || switched == UNKNOWN, "{switched:?}");
            let announced = server.ca.get("/api/v2/configuration").await.json();
            assert!(announced["issuers"].as_array().is_some_and(|list| (1..=2).contains(&list.len())));
        }
    };
    let reloading = async {
        for text in texts.iter().cycle().take(20) {
            server.reload(text).await;
        }
    };
    tokio::join!(asking, reloading);
    assert_eq!(server.announced().await, [first]);
    assert_eq!(server.reloads("configuration", "loaded").await, 20.0);
}

#[test]
fn sighup_reads_the_configuration_of_the_real_server_again() {
    let mut server = RealServer::spawn();
    server.until("\"serving\"");
    // Signals are caught just after that.
    server.hang_up_when_caught();
    server.until("has not changed");
    let text = fs::read_to_string(&server.file).expect("readable");
    let changed = text.replace("https://gitlab.com", "https://gitlab.example.com");
    fs::write(&server.file, changed).expect("written");
    server.signal(Signal::HUP);
    let line = server.until("is in force");
    assert!(line.contains("\"added\":\"https://gitlab.example.com\""), "{line}");
    assert!(line.contains("\"removed\":\"https://gitlab.com\""), "{line}");
    fs::write(&server.file, "nonsense").expect("written");
    server.signal(Signal::HUP);
    server.until("the last good one stays in force");
    server.end();
}

/// The program itself, with the configuration that `init` writes.
struct RealServer {
    process: Child,
    /// What it logs.
    lines: Box<dyn Iterator<Item = String>>,
    file: PathBuf,
    _directory: TempDir,
}

impl RealServer {
    fn spawn() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("ca");
        let countersign = || Command::new(env!("CARGO_BIN_EXE_countersign"));
        let mut init = countersign();
        init.arg("init").arg(&place).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        assert!(init.output().expect("it runs").status.success());
        let file = place.join("countersign.yaml");
        let mut serve = countersign();
        serve.arg("serve").arg("--config").arg(&file).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = serve.env_remove("RUST_LOG").spawn().expect("it runs");
        let lines = BufReader::new(process.stderr.take().expect("piped")).lines().map_while(Result::ok);
        Self { process, lines: Box::new(lines), file, _directory: directory }
    }

    /// The next line with these words.
    fn until(&mut self, words: &str) -> String {
        let found = self.lines.find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("it ended before {words:?}"))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is told");
    }

    /// Sends SIGHUP once the process catches it: before that it would end.
    fn hang_up_when_caught(&self) {
        const SIGHUP: u64 = 1;
        loop {
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
            let caught =
                status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("it is there").trim();
            if u64::from_str_radix(caught, 16).expect("hexadecimal") & SIGHUP != 0 {
                break;
            }
            std::thread::yield_now();
        }
        self.signal(Signal::HUP);
    }

    fn end(mut self) {
        self.signal(Signal::TERM);
        assert!(self.process.wait().expect("it ends").success());
    }
}

/// The message of a refusal by the rules; empty where there is a certificate.
async fn denied(server: &Reloadable) -> String {
    let claims = server.ca.gitlab.claims();
    let mut request = TestKey::new().request(claims["sub"].as_str().expect("a string"));
    request["credentials"] = json!({ "oidcIdentityToken": server.ca.gitlab.token(&claims) });
    let answer = server.ca.sign(&request).await;
    if answer.status == 200 {
        return String::new();
    }
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (403, "POLICY_DENIED"));
    answer.json()["details"][0]["metadata"]["rule"].as_str().expect("a rule").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_taken_over_and_bad_ones_leave_the_last_good_ones() {
    let server = Reloadable::start().await;
    let file = server.file.parent().expect("a directory").join("policy.yaml");
    let rule = |name: &str, effect: &str| {
        format!(
            "rules: [{{ name: {name}, effect: {effect}, when: 'claims.ref == \"main\" && claims.ref_protected == \"true\"' }}]\n"
        )
    };
    assert_eq!(denied(&server).await, "");
    fs::write(&file, rule("freeze", "deny")).expect("written");
    let text = server.naming(&[server.ca.gitlab.url()]) + "policy: { file: policy.yaml }\n";
    server.reload(&text).await;
    assert_eq!(denied(&server).await, "freeze");
    let counted = |rule: &str, decision: &str| {
        let issuer = server.ca.gitlab.url();
        format!(
            "countersign_policy_decisions_total{{decision=\"{decision}\",issuer=\"{issuer}\",rule=\"{rule}\"}}"
        )
    };
    assert_eq!(server.metric(&counted("freeze", "denied")).await, 1.0);

    // The file that the configuration names is looked at by itself.
    fs::write(&file, rule("freeze", "deny") + "# as before\n").expect("written");
    server.ca.look().await;
    assert_eq!(server.metric(&counted("freeze", "denied")).await, 1.0, "what stays goes on");
    fs::write(&file, rule("thaw", "allow")).expect("written");
    server.ca.look().await;
    assert_eq!(denied(&server).await, "");
    assert_eq!(server.metric(&counted("thaw", "allowed")).await, 1.0);
    assert!(
        !server.ca.get_admin("/metrics").await.text().contains("freeze"),
        "what is gone is shown no more"
    );

    fs::write(&file, rule("thaw", "allow").replace("claims.ref ", "claims.rfe ")).expect("written");
    server.ca.look().await;
    assert_eq!((denied(&server).await.as_str(), server.last_was_good().await), ("", 0.0));
    let warning = server.ready().await["warnings"][0].as_str().expect("a warning").to_owned();
    assert!(
        warning.contains("policy.yaml:1: rules[0].when: claims.rfe is unknown; did you mean ref?"),
        "{warning}"
    );
    fs::write(&file, rule("freeze", "deny")).expect("written");
    server.ca.look().await;
    assert_eq!((denied(&server).await.as_str(), server.last_was_good().await), ("freeze", 1.0));
}
