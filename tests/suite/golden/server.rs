//! Servers with an identity configuration of the reference: in this process, or the binary.

use super::case::{Call, Request};
use super::web::Web;
use crate::support::grpc::GrpcClient;
use crate::support::{Answer, client};
use countersign::config::Config;
use countersign::server::Running;
use countersign::server::environment::Environment;
use countersign::signer::ceremony::{NewCa, Options};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;

/// A CA's keys and certificates, for every server.
pub struct Material {
    ca: NewCa,
}

/// A server in this process.
pub struct Server {
    running: Running,
    _directory: TempDir,
}

/// The binary.
pub struct Process {
    pub url: String,
    child: Child,
    _directory: TempDir,
}

impl Material {
    pub fn new() -> Self {
        let now = Environment::system().clock.now();
        Self { ca: NewCa::make(&Options::default(), now).expect("a CA") }
    }

    /// Starts a server, or tells why its configuration is refused.
    pub async fn start(&self, identities: &str) -> Result<Server, String> {
        let (directory, file) = self.lay_out(identities);
        let (config, _warnings) = Config::load(&file).map_err(|errors| errors.to_string())?;
        let running = Running::start(config, Environment::system()).await.expect("it starts");
        Ok(Server { running, _directory: directory })
    }

    fn lay_out(&self, identities: &str) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, content: &str| {
            let path = directory.path().join(name);
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
            path
        };
        write("chain.pem", &self.ca.chain());
        write("ca.key", &self.ca.issuing_key);
        write("log.key", &self.ca.log_key);
        write("fulcio.yaml", identities);
        let file = write(
            "countersign.yaml",
            "\
listen: 127.0.0.1:0
data: data
ca:
  certificates: chain.pem
  signer: { file: { key: ca.key } }
log: { key: log.key, origin: ca.example.com/ct }
identity_config: fulcio.yaml
extensions: { gitlab_claims: false }
",
        );
        (directory, file)
    }
}

impl Server {
    pub fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    pub async fn stop(self) {
        self.running.shut_down().await;
    }
}

impl Process {
    /// Starts the binary behind the web's proxy, trusting its root alone.
    pub async fn start(material: &Material, identities: &str, web: &Web) -> Self {
        let (directory, file) = material.lay_out(identities);
        let roots = directory.path().join("roots.pem");
        fs::write(&roots, web.root.pem()).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command
            .args(["--json", "serve", "--config"])
            .arg(&file)
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{}", web.proxy_port))
            .env("NO_PROXY", "127.0.0.1")
            .env("SSL_CERT_FILE", &roots)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let started = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("the binary runs");
            let stdout = child.stdout.as_mut().expect("piped");
            let up: Value = serde_json::Deserializer::from_reader(stdout)
                .into_iter()
                .next()
                .expect("it starts")
                .expect("JSON");
            (child, up)
        });
        let (child, up) = started.await.expect("a thread");
        let url = up["listening"].as_str().expect("a URL").to_owned();
        Self { url, child, _directory: directory }
    }

    pub fn stop(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

/// Calls a gRPC method. The answer is shown as JSON's: status 200, or 400 with code and message in the body.
pub async fn call(base: &str, call: &Call) -> Answer {
    let client = GrpcClient::connect(base.to_owned()).await;
    let metadata: Vec<_> = call.metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, body) = match client.call_with(&call.method, call.message.clone(), &metadata).await {
        Ok(response) => (200, response.into_inner()),
        Err(status) => (400, json!({ "code": status.code() as i32, "message": status.message() })),
    };
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers,
        body: body.to_string().into_bytes(),
    }
}

/// Sends a request as it is.
pub async fn send(base: &str, request: &Request) -> Answer {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(client);
    let method = request.method.parse().expect("a method");
    let mut builder = CLIENT.request(method, format!("{base}{}", request.path));
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        builder = builder.body(request.body.clone());
    }
    Answer::of(builder).await
}
