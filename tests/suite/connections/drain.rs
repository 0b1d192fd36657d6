//! The end of the real binary: every request that was read is answered, whatever else hangs on the server.

use super::{PATIENCE, read};
use crate::support::grpc::GrpcClient;
use crate::support::key::TestKey;
use countersign::demo::gitlab::Gitlab;
use countersign::server::environment::Environment;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The binary at work, with a GitLab beside it.
struct Binary {
    process: Child,
    /// `host:port`.
    address: String,
    gitlab: Gitlab,
    _directory: TempDir,
}

impl Binary {
    async fn start() -> Self {
        let gitlab = Gitlab::start(Environment::system().clock).await.expect("a GitLab");
        let directory = TempDir::new().expect("a directory");
        let ca = directory.path().join("ca");
        let countersign = || Command::new(env!("CARGO_BIN_EXE_countersign"));
        let made = countersign()
            .arg("init")
            .arg(&ca)
            .args(["--gitlab", gitlab.url(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .output()
            .expect("the binary runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut process = countersign()
            .args(["--json", "serve", "--config"])
            .arg(ca.join("countersign.yaml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = process.stdout.as_mut().expect("piped");
        let up: Value = serde_json::Deserializer::from_reader(stdout)
            .into_iter()
            .next()
            .expect("a document")
            .expect("JSON");
        let address = up["listening"].as_str().expect("a URL").trim_start_matches("http://").to_owned();
        Self { process, address, gitlab, _directory: directory }
    }

    /// A whole request for a certificate: its head, and its body.
    fn signing_request(&self) -> (String, String) {
        let claims = self.gitlab.claims();
        let mut request = TestKey::new().request(claims["sub"].as_str().expect("a string"));
        request["credentials"] = json!({ "oidcIdentityToken": self.gitlab.token(&claims) });
        let body = request.to_string();
        let head =
            format!("POST /api/v2/signingCert HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        (head, body)
    }

    async fn sent(&self, octets: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.expect("a connection");
        stream.write_all(octets.as_ref()).await.expect("it is sent");
        stream
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Reads its log until it says that it is shutting down; what comes after is read by nobody, and waits for nobody.
    async fn is_shutting_down(&mut self) {
        let log = BufReader::new(self.process.stderr.take().expect("piped"));
        let (said, heard) = tokio::sync::oneshot::channel();
        let mut said = Some(said);
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.contains("shutting down") {
                    said.take().map(|said| said.send(()));
                }
            }
        });
        timeout(PATIENCE, heard).await.expect("it says so").expect("it says so");
    }

    async fn code(mut self) -> Option<i32> {
        let ended = tokio::task::spawn_blocking(move || self.process.wait().expect("it ends").code());
        timeout(PATIENCE, ended).await.expect("it ends").expect("it is waited for")
    }
}

/// A connection with many answers that nobody reads: more than the system keeps for it.
async fn slow_reader(binary: &Binary) -> TcpStream {
    let mut stream = binary.sent("").await;
    let ask = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let sent = timeout(std::time::Duration::from_millis(200), stream.write_all(ask.as_bytes())).await;
    drop(sent);
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_answers_every_request_that_was_read() {
    let mut binary = Binary::start().await;
    // The issuer's keys are there.
    let (head, body) = binary.signing_request();
    let mut first =
        binary.sent(format!("{}{body}", head.replace("host: x", "host: x\r\nconnection: close"))).await;
    assert!(read(&mut first).await.starts_with("HTTP/1.1 200"));

    // What hangs on it: streams, an idle HTTP/2 connection, readers that do not read, halves of heads and of bodies.
    let grpc = GrpcClient::connect(format!("http://{}", binary.address)).await;
    let mut watched = grpc.stream("grpc.health.v1.Health/Watch", json!({})).await;
    assert!(watched.message().await.expect("a message").is_some());
    let idle = GrpcClient::connect(format!("http://{}", binary.address)).await;
    let unread = slow_reader(&binary).await;
    let partial = binary.sent("GET / HTTP/1.1\r\nhost: x\r\nx: ").await;
    let (half, rest) = body.split_at(body.len() / 2);
    let mut slow = binary.sent(format!("{head}{half}")).await;
    let mut stalled = binary.sent(format!("{head}{half}")).await;

    // New connections all the time: each that comes about has its request answered.
    let flood = |address: String| async move {
        let mut answered = 0_u64;
        while let Ok(mut stream) = TcpStream::connect(&address).await {
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .await
                .expect("sent");
            let answer = read(&mut stream).await;
            assert!(answer.contains("SERVING"), "a request on an open connection: {answer:?}");
            answered += 1;
        }
        answered
    };
    let floods: Vec<_> = (0..8).map(|_| tokio::spawn(flood(binary.address.clone()))).collect();
    binary.signal("-TERM");
    binary.is_shutting_down().await;
    slow.write_all(rest.as_bytes()).await.expect("the rest");
    assert!(read(&mut slow).await.starts_with("HTTP/1.1 200"));
    let told = read(&mut stalled).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("SHUTTING_DOWN"), "{told}");
    for flood in floods {
        flood.await.expect("every request is answered");
    }
    assert_eq!(binary.code().await, Some(0));
    drop((grpc, watched, idle, unread, partial));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let mut binary = Binary::start().await;
    let (head, body) = binary.signing_request();
    let slow = binary.sent(format!("{head}{}", &body[..10])).await;
    binary.signal("-TERM");
    binary.is_shutting_down().await;
    binary.signal("-INT");
    assert_eq!(binary.code().await, Some(1));
    drop(slow);
}
