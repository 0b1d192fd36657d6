//! The token broker, over HTTP, between a real server and a make-believe GitLab. At the end of every test no token of its lives.

mod compat;
mod delivery;
mod exchange;
mod operators;
mod paper;
mod refusals;
mod renamed;
mod revocation;
mod running;
mod sealed;
mod standalone;
mod storm;
mod table;
mod targets;
mod weaknesses;

use crate::support::gitlab::{Builder, Live, MakeBelieve};
use crate::support::{Answer, StoppedCa, TestCa, TestClock, secrets};
use countersign::config::Config;
use countersign::server::environment::Environment;
use reqwest::RequestBuilder;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tempfile::TempDir;

const AUDIENCE: &str = "https://ca.example.com/broker";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The roles of most tests.
const ROLES: &str = r#"
    - name: tag
      kind: project
      path: "{project_path}"
      scopes: [read_api, write_repository]
      access_level: developer
      ttl: 5m
      max_ttl: 1h
      max_per_token: 20
      when: claims.namespace_path == "my-group"
    - name: other
      kind: project
      path: "elsewhere/app"
      scopes: [read_api]
      access_level: reporter
      ttl: 5m
      when: claims.project_path == "elsewhere/app"
    - name: chosen
      kind: project
      path: { requested: "my-group/[a-z-]+" }
      scopes: [read_api]
      access_level: reporter
      ttl: 5m
      max_per_token: 20
      when: claims.namespace_path == "my-group"
"#;

/// A CA with a broker, and the GitLab behind it.
pub struct World {
    pub gitlab: MakeBelieve,
    pub ca: TestCa,
    _directory: TempDir,
}

/// The configuration's part, as a file would have it.
fn broker_of(gitlab: &MakeBelieve, directory: &TempDir, roles: &str, more: &str) -> Config {
    let credential = directory.path().join("gitlab.token");
    fs::write(&credential, gitlab.credential()).expect("a file");
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o600)).expect("its mode");
    let text = format!(
        "listen: 127.0.0.1:0\nca: {{ ephemeral: {{}} }}\nlog: {{ mode: none }}\ndata: data\n\
         issuers: [{{ url: \"{url}\", type: gitlab-pipeline }}]\n\
         broker:\n  audience: {AUDIENCE}\n{more}  targets:\n    - name: gitlab\n      url: \"{url}\"\n      \
         token: {{ file: gitlab.token }}\n  roles:{roles}",
        url = gitlab.url(),
    );
    let path = directory.path().join("countersign.yaml");
    fs::write(&path, text).expect("a file");
    let (config, _) = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    config
}

impl World {
    pub async fn start() -> Self {
        Self::with(ROLES, "").await
    }

    /// With these roles, and these keys of `broker:` besides.
    pub async fn with(roles: &str, more: &str) -> Self {
        Self::of(MakeBelieve::builder(), roles, more).await
    }

    /// The same with another GitLab.
    pub async fn of(gitlab: Builder, roles: &str, more: &str) -> Self {
        let clock = TestClock::at(Environment::system().clock.now());
        let gitlab = gitlab.start(clock).await;
        gitlab.project("my-group/my-project");
        gitlab.project("my-group/tools");
        gitlab.project("elsewhere/app");
        let directory = tempfile::tempdir().expect("a directory");
        let Config { broker, issuers, .. } = broker_of(&gitlab, &directory, roles, more);
        let ca = TestCa::builder().configure(move |config| {
            config.broker = broker;
            config.issuers = issuers;
        });
        Self { gitlab, ca: ca.start().await, _directory: directory }
    }

    /// The claims of a job's ID token for the broker.
    pub fn claims(&self) -> Value {
        let mut claims = self.gitlab.issuer.claims();
        claims["aud"] = AUDIENCE.into();
        claims
    }

    pub fn id_token(&self) -> String {
        self.token_of(&self.claims())
    }

    pub fn token_of(&self, claims: &Value) -> String {
        self.gitlab.issuer.token(claims)
    }

    /// A form that is sent to a path.
    pub fn form(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.ca
            .http
            .post(self.ca.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// An exchange with these parameters beside the usual ones.
    pub async fn exchange(&self, token: &str, more: &[(&str, &str)]) -> Answer {
        let usual = [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", ID_TOKEN)];
        Answer::of(self.form("/v1/token-exchange", &[&usual, more].concat())).await
    }

    /// A token of the role `tag`, which must be given.
    pub async fn tag(&self) -> Value {
        let answer = self.exchange(&self.id_token(), &[("role", "tag")]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        secrets::note(answer.json()["access_token"].as_str().expect("a token").as_bytes());
        answer.json()
    }

    /// What lives at the GitLab.
    pub fn live(&self) -> Vec<Live> {
        self.gitlab.live_tokens()
    }

    /// Waits until nothing lives any more: revocations are not waited for by whoever asks for them.
    pub async fn until_dead(&self) {
        for _ in 0..6000 {
            if self.live().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} live on", self.live());
    }

    /// Ends the server.
    pub async fn stop(self) -> (MakeBelieve, StoppedCa, TempDir) {
        let Self { gitlab, ca, _directory } = self;
        (gitlab, ca.stop().await, _directory)
    }
}

/// Of a refusal: status, `error`, `reason`.
pub fn refusal(answer: &Answer) -> (u16, String, String) {
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), text("error"), text("reason"))
}

/// What a refusal of that kind is.
pub fn told(status: u16, error: &str, reason: &str) -> (u16, String, String) {
    (status, error.to_owned(), reason.to_owned())
}

/// The answer to a role that is not there, and to one that says no.
pub fn refused_target() -> (u16, String, String) {
    told(400, "invalid_target", "BROKER_TARGET_REFUSED")
}

impl World {
    /// As an operator would.
    pub async fn revoke_all(&self) {
        let request = self.ca.http.post(self.ca.admin_url("/v1/leases/revoke"));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body("all=true");
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        self.until_dead().await;
    }

    /// Waits until so many leases are listed in this phase.
    pub async fn until_listed(&self, phase: &str, count: usize) {
        let mut listed = 0;
        for _ in 0..6000 {
            let answer = self.ca.get_admin(&format!("/v1/leases?state={phase}")).await.json();
            listed = answer["leases"].as_array().map_or(0, Vec::len);
            if listed == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{listed} leases are {phase}, not {count}");
    }

    /// Waits until GitLab has told its version.
    pub async fn until_known(&self) {
        for _ in 0..6000 {
            let targets = self.ca.get_admin("/v1/targets").await.json();
            if targets["targets"][0]["version"].is_string() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("its version is not known");
    }
}
