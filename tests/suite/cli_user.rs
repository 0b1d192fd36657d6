//! The users' commands, run as a person runs them: the binary against a CA on loopback, its output, exit code and files.

use crate::support::secrets;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use countersign::cli::encoding;
use countersign::cli::init::{self, InitArgs};
use countersign::cli::trust;
use countersign::config::Config;
use countersign::demo::gitlab::Gitlab;
use countersign::server::Running;
use countersign::server::environment::Environment;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A CA and a make-believe GitLab, both up, and a directory for the user.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) server: Option<Running>,
    pub(crate) gitlab: Gitlab,
    pub(crate) config: Config,
    directory: TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The names of the checks that failed, from `--json`.
    fn failed(&self) -> Vec<String> {
        let document = self.json();
        let checks = document["checks"].as_array().expect("checks").iter();
        checks
            .filter(|check| check["outcome"] == "failed")
            .map(|check| check["check"].as_str().expect("a name").to_owned())
            .collect()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let directory = TempDir::new().expect("a directory");
        let environment = Environment::system();
        let (gitlab, server, config) = runtime.block_on(async {
            let gitlab = Gitlab::start(environment.clock.clone()).await.expect("a GitLab");
            let args = InitArgs {
                gitlab: vec![gitlab.url().to_owned()],
                listen: free_address(),
                admin: free_address(),
                ..InitArgs::new(directory.path().join("ca"))
            };
            let made = init::create(&args, environment.clock.now())
                .map_err(|error| error.to_string())
                .expect("a CA");
            let config = made.config.clone();
            let server = Running::start(made.config, environment).await.expect("a server");
            (gitlab, server, config)
        });
        let world = Self { runtime, server: Some(server), gitlab, config, directory };
        let material = trust::load(&world.config).expect("trust material");
        let root = material.trusted_root();
        fs::write(world.path("trusted_root.json"), root.to_string()).expect("written");
        let spki = root["ctlogs"][0]["publicKey"]["rawBytes"].as_str().expect("a key");
        let pem = encoding::to_pem("PUBLIC KEY", &encoding::from_base64(spki).expect("base64"));
        fs::write(world.path("log.pem"), pem).expect("written");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        self.config.base_url()
    }

    /// Writes a token whose claims were changed by `change`.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.gitlab.claims();
        change(&mut claims);
        let token = self.gitlab.token(&claims);
        secrets::note_sent(token.as_bytes());
        fs::write(self.path("token"), &token).expect("written");
        token
    }

    /// Runs the binary in the user's directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run_in(self.directory.path(), arguments)
    }

    /// Requests a certificate into the directory `name`.
    fn request(&self, name: &str) {
        self.token(|_| {});
        let ended = self.run(&["request", "--url", &self.url(), "--token-file", "token", "--out", name]);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    }

    pub(crate) fn identity(&self) -> String {
        format!("{}/my-group/my-project//.gitlab-ci.yml@refs/heads/main", self.gitlab.url())
    }

    /// `verify mine/certificate.pem` with what is true, and more.
    fn verify(&self, more: &[&str]) -> Ended {
        let identity = self.identity();
        let mut arguments = vec!["verify", "mine/certificate.pem", "--json"];
        for (flag, value) in [
            ("--chain", "mine/chain.pem"),
            ("--log-key", "log.pem"),
            ("--certificate-identity", identity.as_str()),
            ("--certificate-oidc-issuer", self.gitlab.url()),
        ] {
            if !more.contains(&flag) {
                arguments.extend([flag, value]);
            }
        }
        arguments.extend(more);
        self.run(&arguments)
    }

    pub(crate) fn config_file(&self) -> String {
        self.path("ca/countersign.yaml").display().to_string()
    }

    pub(crate) fn stop(&mut self) {
        let server = self.server.take().expect("it is up");
        self.runtime.block_on(server.shut_down());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shut_down());
        }
    }
}

pub(crate) fn run_in(directory: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("SIGSTORE_ID_TOKEN")
        .env_remove("COUNTERSIGN_URL")
        .output()
        .expect("the binary runs");
    secrets::check("the binary", &[&output.stdout[..], &output.stderr].concat());
    Ended {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string()
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output =
        Command::new("openssl").args(arguments).current_dir(directory).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_job_gets_a_certificate_that_verifies_in_every_way() {
    let world = World::new();
    let token = world.token(|_| {});
    let ended =
        world.run(&["request", "--url", &(world.url() + "/"), "--token-file", "token", "--out", "mine"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains(&world.identity()) && ended.out.contains("log index      0"), "{}", ended.out);
    assert!(!ended.out.contains(&token) && !ended.err.contains(&token));
    fs::write(world.path("artifact"), "what was built").expect("written");
    openssl(
        world.directory.path(),
        &["dgst", "-sha256", "-sign", "mine/key.pem", "-out", "artifact.sig", "artifact"],
    );

    let shown = world.run(&["inspect", "mine/certificate.pem"]);
    assert_eq!(shown.code, 0);
    for words in
        ["Source Repository URI", "project_path", "my-group/my-project", "log index  0", "code signing"]
    {
        assert!(shown.out.contains(words), "{words}: {}", shown.out);
    }
    world.request("second");
    let proof = world.run(&["log", "prove", "mine/certificate.pem", "--config", &world.config_file()]);
    assert_eq!(proof.code, 0, "{}", proof.err);
    fs::write(world.path("proof.json"), &proof.out).expect("written");
    // A damaged tile makes no proof.
    let tile = world.config.data.join("log/tile/0/000.p/2");
    fs::create_dir_all(tile.parent().expect("a directory")).expect("made");
    fs::write(&tile, [9; 64]).expect("written");
    let proof = world.run(&["log", "prove", "mine/certificate.pem", "--config", &world.config_file()]);
    assert_eq!((proof.code, proof.out.as_str()), (1, ""), "{}", proof.err);
    assert!(proof.err.contains("damaged"), "{}", proof.err);
    fs::remove_file(&tile).expect("removed");

    let signed = ["--signature", "artifact.sig", "artifact"];
    let log_url = world.config.log_url();
    let ways: [&[&str]; 5] = [
        &["--proof", "proof.json"],
        &["--log-url", &log_url],
        &["--trusted-root", "trusted_root.json", "--online"],
        &["--extension", "ref_protected=true", "--extension", "BuildTrigger=push"],
        &["--extension", "1.3.6.1.4.1.57264.1.11=self-hosted", "--log-key", "trusted_root.json"],
    ];
    for way in ways {
        let ended = world.verify(&[way, &signed].concat());
        assert_eq!((ended.code, ended.failed()), (0, vec![]), "{way:?}: {}{}", ended.out, ended.err);
    }
    let people = world.run(&[
        "verify",
        "mine/certificate.pem",
        "--trusted-root",
        "trusted_root.json",
        "--certificate-identity",
        &world.identity(),
        "--certificate-oidc-issuer",
        world.gitlab.url(),
    ]);
    assert!(
        people.out.contains("not checked inclusion") && people.out.contains("Verified."),
        "{}",
        people.out
    );
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_alone_and_nothing_is_overwritten_silently() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.request("mine");
    let key = fs::read(world.path("mine/key.pem")).expect("a key");
    let mode = fs::metadata(world.path("mine/key.pem")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let arguments = ["request", "--url", &world.url(), "--token-file", "token", "--out", "mine"];
    let again = world.run(&arguments);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("--force"), "{}", again.err);
    assert_eq!(fs::read(world.path("mine/key.pem")).expect("a key"), key);
    let forced = world.run(&[&arguments[..], &["--force"]].concat());
    assert_eq!(forced.code, 0, "{}", forced.err);
    assert_ne!(fs::read(world.path("mine/key.pem")).expect("a key"), key);
}

#[test]
fn keys_made_elsewhere_are_taken_as_they_are_or_by_a_signing_request() {
    let world = World::new();
    let directory = world.directory.path();
    openssl(directory, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sec1.pem"]);
    openssl(
        directory,
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "pkcs8.pem"],
    );
    openssl(
        directory,
        &[
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "rsa.pem",
            "-subj",
            "/CN=ignored",
            "-out",
            "rsa.csr",
        ],
    );
    openssl(directory, &["genpkey", "-algorithm", "ED25519", "-out", "ed25519.pem"]);
    openssl(
        directory,
        &["req", "-new", "-key", "ed25519.pem", "-subj", "/CN=ignored", "-out", "ed25519.csr"],
    );
    world.token(|_| {});
    let cases = [
        ("--key", "sec1.pem", "ECDSA P-256"),
        ("--key", "pkcs8.pem", "ECDSA P-256"),
        ("--csr", "rsa.csr", "RSA 2048"),
        ("--csr", "ed25519.csr", "Ed25519"),
    ];
    for (flag, file, kind) in cases {
        let out = format!("out-{file}");
        let ended = world.run(&[
            "request",
            "--url",
            &world.url(),
            "--token-file",
            "token",
            "--out",
            &out,
            flag,
            file,
        ]);
        assert_eq!(ended.code, 0, "{file}: {}", ended.err);
        assert!(!world.path(&out).join("key.pem").exists(), "{file}");
        let shown = world.run(&["inspect", "--json", &format!("{out}/certificate.pem")]);
        assert_eq!(shown.json()["key"], kind, "{file}");
    }
    let refused =
        world.run(&["request", "--url", &world.url(), "--token-file", "token", "--key", "ed25519.pem"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("--csr"), "{}", refused.err);
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_error() {
    let world = World::new();
    let token = world.token(|claims| claims["aud"] = json!("vault"));
    let arguments = ["request", "--url", &world.url(), "--token-file", "token"];
    let people = world.run(&arguments);
    assert_eq!(people.code, 1);
    for words in [
        "processing the identity token",
        "TOKEN_AUDIENCE_MISMATCH",
        "help",
        "request id",
        "countersign token",
    ] {
        assert!(people.err.contains(words), "{words}: {}", people.err);
    }
    assert!(!people.err.contains(&token) && !people.err.contains("vault"), "{}", people.err);
    assert!(!world.path("key.pem").exists(), "a key without a certificate is of no use");
    let programs = world.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!((programs.code, &programs.json()["reason"]), (1, &json!("TOKEN_AUDIENCE_MISMATCH")));

    world.token(|claims| claims["project_path"] = Value::Null);
    let missing = world.run(&arguments);
    assert!(missing.err.contains("CLAIM_MISSING") && missing.err.contains("project_path"), "{}", missing.err);
}

#[test]
fn a_token_is_never_asked_for_on_the_command_line_and_its_absence_is_explained() {
    let directory = TempDir::new().expect("a directory");
    let ended = run_in(directory.path(), &["request", "--url", "http://127.0.0.1:1"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("id_tokens:") && ended.err.contains("SIGSTORE_ID_TOKEN"), "{}", ended.err);
    assert_eq!(run_in(directory.path(), &["request", "--token", "x"]).code, 2);
}

#[test]
fn a_token_comes_from_the_jobs_environment_or_from_standard_input() {
    use std::io::Write;
    let world = World::new();
    let token = world.token(|_| {});
    let command = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command
            .args(["request", "--out", out])
            .current_dir(world.directory.path())
            .env("COUNTERSIGN_URL", world.url());
        command
    };
    let from_environment = command("one").env("SIGSTORE_ID_TOKEN", &token).output().expect("the binary runs");
    assert!(from_environment.status.success(), "{}", String::from_utf8_lossy(&from_environment.stderr));
    let mut child = command("two")
        .args(["--token-file", "-"])
        .env_remove("SIGSTORE_ID_TOKEN")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, " {token}").expect("written");
    drop(input);
    assert!(child.wait().expect("it ends").success());
    assert!(world.path("two/certificate.pem").exists());
}

#[test]
fn a_busy_ca_is_asked_again_a_bounded_number_of_times() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let runtime = Runtime::new().expect("a runtime");
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let busy = move || {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                let body = r#"{"code":14,"message":"too busy","details":[{"reason":"OVERLOADED","metadata":{"request_id":"r-7"}}]}"#;
                (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")], body).into_response()
            }
        };
        let router = axum::Router::new().route("/api/v2/signingCert", post(busy));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("token"), "e30.eyJzdWIiOiJ4In0.AA").expect("written");
    let url = format!("http://{address}");
    let ended =
        run_in(directory.path(), &["request", "--url", &url, "--token-file", "token", "--retries", "2"]);
    assert_eq!((ended.code, asked.load(Ordering::SeqCst)), (1, 3));
    for words in ["trying again", "too busy", "OVERLOADED", "r-7"] {
        assert!(ended.err.contains(words), "{words}: {}", ended.err);
    }
}

#[test]
fn what_is_not_as_expected_fails_and_the_check_is_named() {
    let world = World::new();
    world.request("mine");
    world.request("other");
    let stranger = World::new();
    stranger.request("mine");
    fs::write(world.path("artifact"), "what was built").expect("written");
    fs::write(world.path("changed"), "what was changed").expect("written");
    openssl(
        world.directory.path(),
        &["dgst", "-sha256", "-sign", "mine/key.pem", "-out", "artifact.sig", "artifact"],
    );
    let config = world.config_file();
    for name in ["mine", "other"] {
        let proof = world.run(&["log", "prove", &format!("{name}/certificate.pem"), "--config", &config]);
        fs::write(world.path(&format!("{name}.json")), &proof.out).expect("written");
    }
    let mut unsigned: Value =
        serde_json::from_slice(&fs::read(world.path("mine.json")).expect("a proof")).expect("JSON");
    unsigned.as_object_mut().expect("a proof").remove("checkpoint");
    fs::write(world.path("unsigned.json"), unsigned.to_string()).expect("written");
    let foreign_chain = stranger.path("mine/chain.pem").display().to_string();
    let foreign_log = stranger.path("log.pem").display().to_string();
    let foreign_log_url = stranger.config.log_url();

    let cases: [(&[&str], &[&str]); 14] = [
        (&["--certificate-identity", "https://gitlab.com/x"], &["identity"]),
        (&["--certificate-identity", &world.identity().to_uppercase()], &["identity"]),
        (&["--certificate-oidc-issuer", "https://gitlab.com"], &["issuer"]),
        (&["--extension", "ref_protected=false"], &["ref_protected"]),
        (&["--extension", "user_login=ada"], &["user_login"]),
        (&["--extension", "Deployment Environment=production"], &["Deployment Environment"]),
        (&["--at", "2020-01-01T00:00:00Z"], &["validity"]),
        (&["--chain", &foreign_chain], &["chain"]),
        (&["--log-key", &foreign_log], &["SCT"]),
        (&["--proof", "other.json"], &["inclusion"]),
        (&["--proof", "unsigned.json"], &["inclusion"]),
        (&["--log-url", &foreign_log_url], &["inclusion"]),
        (&["--chain", &foreign_chain, "--proof", "mine.json"], &["chain", "inclusion"]),
        (&["--signature", "artifact.sig", "changed"], &["signature"]),
    ];
    for (arguments, failing) in cases {
        let ended = world.verify(arguments);
        assert_eq!(
            (ended.code, ended.failed()),
            (1, failing.iter().map(ToString::to_string).collect()),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_certificate_that_was_tampered_with_fails_wherever_it_was_changed() {
    let world = World::new();
    world.request("mine");
    let pem = fs::read(world.path("mine/certificate.pem")).expect("a certificate");
    let der = encoding::pem_documents(&pem, "CERTIFICATE").expect("PEM").swap_remove(0);
    let find = |needle: &[u8]| der.windows(needle.len()).position(|window| window == needle).expect("in it");
    let places = [find(b"my-group"), find(b"self-hosted"), find(b"refs/heads/main"), der.len() - 5];
    for place in places {
        let mut tampered = der.clone();
        tampered[place] ^= 1;
        fs::write(world.path("mine/certificate.pem"), &tampered).expect("written");
        let ended = world.verify(&[]);
        assert_eq!(ended.code, 1, "octet {place}");
        assert!(ended.failed().contains(&"chain".to_owned()), "octet {place}: {}", ended.out);
    }
    for broken in [&b""[..], b"hello", &der[..der.len() / 2]] {
        fs::write(world.path("mine/certificate.pem"), broken).expect("written");
        for ended in [world.verify(&[]), world.run(&["inspect", "mine/certificate.pem"])] {
            assert_eq!(ended.code, 1);
        }
    }
}

#[test]
fn an_instance_url_that_no_certificate_could_name_is_a_usage_error() {
    let world = World::new();
    world.token(|_| {});
    let issuer = world.gitlab.url().to_owned();
    let ended = world.run(&[
        "token",
        "--token-file",
        "token",
        "--issuer",
        &issuer,
        "--instance-url",
        "https://h/a%20b",
    ]);
    assert_eq!(ended.code, 2, "{}", ended.out);
}

#[test]
fn a_tokens_checks_are_listed_and_the_one_that_fails_is_named() {
    let world = World::new();
    let issuer = world.gitlab.url().to_owned();
    let now = || Environment::system().clock.now().as_secs();
    type Change = Box<dyn Fn(&mut Value)>;
    let set =
        |name: &'static str, value: Value| -> Change { Box::new(move |claims| claims[name] = value.clone()) };
    let cases: [(Change, &[&str], &str); 11] = [
        (Box::new(|_| {}), &[], ""),
        (set("aud", json!("vault")), &["audience"], "TOKEN_AUDIENCE_MISMATCH"),
        (set("aud", json!(["sigstore", "vault"])), &["audience"], "TOKEN_AUDIENCE_AMBIGUOUS"),
        (Box::new(move |claims| expire(claims, now())), &["times"], "TOKEN_EXPIRED"),
        (set("nbf", json!(now() + 3600)), &["times"], "TOKEN_NOT_YET_VALID"),
        (set("iss", json!("https://gitlab.com")), &["issuer"], "TOKEN_ISSUER_UNKNOWN"),
        (set("project_path", Value::Null), &["claims"], "CLAIM_MISSING"),
        (set("ref_path", json!("refs/tags/main")), &["claims"], "REF_PATH_CONTRADICTION"),
        (set("job_project_id", json!("21")), &["claims"], "FORK_PIPELINE"),
        (set("ref_type", json!("worktree")), &["claims"], "REF_TYPE_UNKNOWN"),
        (
            Box::new(move |claims| {
                expire(claims, now());
                claims["project_path"] = json!(7);
            }),
            &["times", "claims"],
            "TOKEN_EXPIRED",
        ),
    ];
    for (change, failing, reason) in cases {
        world.token(change);
        let ended = world.run(&["token", "--json", "--token-file", "token", "--issuer", &issuer]);
        let document = ended.json();
        assert_eq!(ended.failed(), failing, "{reason}: {}", ended.out);
        assert_eq!(ended.code, i32::from(!failing.is_empty()), "{reason}");
        assert_eq!(document["refusal"]["reason"].as_str().unwrap_or_default(), reason);
        assert_eq!(document["valid"], failing.is_empty());
        let certificate = &document["certificate"]["san"];
        let gets = !failing.contains(&"claims") && (failing.is_empty() || failing == ["times"]);
        assert_eq!(certificate.as_str(), gets.then(|| world.identity()).as_deref(), "{reason}");
    }
}

#[test]
fn a_token_is_judged_by_its_shape_key_and_signature_too() {
    let world = World::new();
    let good = world.token(|_| {});
    let (signed, _) = good.rsplit_once('.').expect("three segments");
    let claims = world.gitlab.claims();
    let none = world.gitlab.token_with_header(&json!({ "alg": "none" }), &claims);
    let unknown = world.gitlab.token_with_header(&json!({ "alg": "RS256", "kid": "another" }), &claims);
    let cases = [
        ("hello".to_owned(), "shape"),
        (format!("{signed}.AAAA"), "signature"),
        (none, "algorithm"),
        (unknown, "key"),
    ];
    for (token, failing) in cases {
        fs::write(world.path("token"), &token).expect("written");
        let ended = world.run(&["token", "--json", "--token-file", "token"]);
        assert_eq!((ended.code, ended.failed()), (1, vec![failing.to_owned()]), "{}", ended.out);
        assert!(!ended.out.contains(&token) || token == "hello");
    }
}

#[test]
fn a_tokens_keys_may_come_from_a_file_and_its_issuer_from_a_configuration() {
    let world = World::new();
    world.token(|_| {});
    fs::write(world.path("jwks.json"), world.gitlab.key_set().to_string()).expect("written");
    let config = world.config_file();
    let good: [&[&str]; 3] = [&["--jwks", "jwks.json"], &["--config", &config], &["--subject", "project"]];
    for way in good {
        let ended = world.run(&[&["token", "--token-file", "token"], way].concat());
        assert_eq!(ended.code, 0, "{way:?}: {}{}", ended.out, ended.err);
    }
    let project = world.run(&["token", "--token-file", "token", "--subject", "project", "--json"]);
    let name = format!("{}/my-group/my-project@refs/heads/main", world.gitlab.url());
    assert_eq!(project.json()["certificate"]["san"], name);

    world.gitlab.rotate().expect("a key");
    world.token(|_| {});
    let rotated = world.run(&["token", "--token-file", "token", "--jwks", "jwks.json", "--json"]);
    assert_eq!((rotated.code, rotated.failed()), (1, vec!["key".to_owned()]));
    world.token(|claims| claims["iss"] = json!("http://127.0.0.1:1"));
    let unreachable = world.run(&["token", "--token-file", "token", "--json"]);
    assert_eq!((unreachable.code, unreachable.failed()), (1, vec!["keys".to_owned()]));
    let foreign = world.run(&["token", "--token-file", "token", "--config", &config, "--json"]);
    assert_eq!((foreign.code, foreign.failed()), (1, vec!["issuer".to_owned()]));
}

#[test]
fn the_log_is_audited_over_http_beside_the_server_and_from_its_files_alone() {
    let mut world = World::new();
    let config = world.config_file();
    let log_url = world.config.log_url();
    issue(&world, 260);
    let checkpoint = world.run(&["log", "checkpoint", "--json", "--url", &log_url, "--key", "log.pem"]);
    assert_eq!((checkpoint.code, &checkpoint.json()["size"]), (0, &json!(260)), "{}", checkpoint.err);
    for source in [vec!["--url", &log_url, "--key", "log.pem"], vec!["--config", &config]] {
        let ended = world.run(&[&["log", "audit", "--json"][..], &source].concat());
        assert_eq!((ended.code, ended.failed()), (0, vec![]), "{}", ended.out);
        assert_eq!(ended.json()["entries"], 260);
    }
    let stranger = World::new();
    let foreign = stranger.path("log.pem").display().to_string();
    let other_key = world.run(&["log", "audit", "--url", &log_url, "--key", &foreign]);
    assert!(
        other_key.code == 1 && other_key.err.contains("not signed by the log's key"),
        "{}",
        other_key.err
    );
    let other_origin =
        world.run(&["log", "audit", "--url", &log_url, "--key", "log.pem", "--origin", "elsewhere"]);
    assert!(other_origin.code == 1 && other_origin.err.contains("elsewhere"), "{}", other_origin.err);

    world.stop();
    let sealed = world.run(&["log", "audit", "--json", "--config", &config]);
    assert_eq!((sealed.code, &sealed.json()["entries"]), (0, &json!(256)), "{}{}", sealed.out, sealed.err);
    let unchecked = sealed.json()["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .any(|check| check["outcome"] == "not checked");
    assert!(unchecked, "what was not checked is said: {}", sealed.out);

    let tile = world.config.data.join("log/tile/data/000");
    let mut content = fs::read(&tile).expect("a sealed tile");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    make_writable(&tile);
    fs::write(&tile, content).expect("written");
    let tampered = world.run(&["log", "audit", "--json", "--config", &config]);
    assert_eq!(tampered.code, 1, "{}", tampered.out);
    assert!(!tampered.json()["problems"].as_array().expect("problems").is_empty());
    // Its hash tile tells that the last data tile is gone.
    fs::remove_file(&tile).expect("removed");
    let gone = world.run(&["log", "audit", "--json", "--config", &config]);
    assert_eq!(gone.code, 1, "{}{}", gone.out, gone.err);
}

/// Makes it a token of a job that ended an hour ago.
fn expire(claims: &mut Value, now: u64) {
    for (name, ago) in [("iat", 7200), ("nbf", 7205), ("exp", 3600)] {
        claims[name] = json!(now - ago);
    }
}

fn make_writable(path: &Path) {
    let mut permissions = fs::metadata(path).expect("there").permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test, in its own directory")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).expect("changed");
}

/// Issues certificates without a process for each.
pub(crate) fn issue(world: &World, count: usize) {
    use countersign::cli::client::{CaClient, Http, Patience, Proof, SigningRequest};
    use countersign::cli::signing_key::SigningKey;
    let key = SigningKey::generate(&*Environment::system().random);
    let claims = world.gitlab.claims();
    let token = world.gitlab.token(&claims);
    let signature = key.sign(claims["sub"].as_str().expect("a subject").as_bytes());
    let public_key = key.public_key_pem();
    let client =
        CaClient::new(Http::new(None).map_err(|error| error.to_string()).expect("a client"), &world.url());
    world.runtime.block_on(async {
        for _ in 0..count {
            let request = SigningRequest {
                token: &token,
                proof: Proof::Challenge { public_key: &public_key, signature: &signature },
            };
            let issued = client.signing_certificate(&request, Patience { retries: 0 }, |_| {}).await;
            assert_eq!(issued.expect("a certificate").len(), 3);
        }
    });
}
