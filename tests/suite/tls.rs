//! TLS on the public listener: JSON and gRPC over it, and its certificate replaced while it runs.

use crate::support::grpc::GrpcClient;
use crate::support::key::TestKey;
use crate::support::{Answer, TestCa};
use countersign::config::{Config, TlsConfig};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Writes a fresh self-signed certificate for loopback with its key, and returns the certificate's PEM.
fn certify(directory: &Path) -> String {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(files(directory).certificate, made.cert.pem()).expect("written");
    std::fs::write(files(directory).key, made.signing_key.serialize_pem()).expect("written");
    made.cert.pem()
}

fn files(directory: &Path) -> TlsConfig {
    TlsConfig { certificate: directory.join("server.pem"), key: directory.join("server.key") }
}

fn home(config: &Config) -> PathBuf {
    config.data.parent().expect("a directory").to_owned()
}

async fn started() -> (TestCa, String) {
    let edit = |config: &mut Config| {
        let directory = home(config);
        certify(&directory);
        config.tls = Some(files(&directory));
    };
    let ca = TestCa::builder().configure(edit).start().await;
    let certificate = std::fs::read_to_string(ca.directory().join("server.pem")).expect("PEM");
    (ca, certificate)
}

fn trusting(certificate: &str) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("PEM");
    reqwest::Client::builder().no_proxy().tls_certs_only([root])
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_served_over_http2_and_http1_and_long_tokens_pass() {
    let (ca, certificate) = started().await;
    assert!(ca.url("").starts_with("https://"));
    let mut claims = ca.gitlab.claims();
    claims["padding"] = json!("x".repeat(20_000));
    let token = ca.gitlab.token(&claims);
    for (client, version) in [
        (trusting(&certificate), reqwest::Version::HTTP_2),
        (trusting(&certificate).http1_only(), reqwest::Version::HTTP_11),
    ] {
        let client = client.build().expect("a client");
        let bare = TestKey::new().request(&ca.challenge());
        let mut full = bare.clone();
        full["credentials"] = json!({ "oidcIdentityToken": token });
        let post = |body: String| client.post(ca.url("/api/v2/signingCert")).body(body);
        let response = post(full.to_string()).send().await.expect("an answer");
        assert_eq!(response.version(), version);
        Answer::read(response).await.certificates();
        Answer::of(post(bare.to_string()).bearer_auth(&token)).await.certificates();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_served_over_tls_and_long_tokens_pass() {
    let (ca, certificate) = started().await;
    let grpc = GrpcClient::connect_over_tls(ca.url(""), &certificate).await;
    let mut claims = ca.gitlab.claims();
    claims["padding"] = json!("x".repeat(20_000));
    let token = ca.gitlab.token(&claims);
    let method = "dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
    let mut request = TestKey::new().request(&ca.challenge());
    grpc.call_with(method, request.clone(), &[("oidcidentitytoken", &token)]).await.expect("issued");
    request["credentials"] = json!({ "oidcIdentityToken": token });
    grpc.call(method, request).await.expect("issued");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_versions_of_tls_and_both_protocols_are_agreed_on() {
    let (ca, _) = started().await;
    let address = ca.url("").trim_start_matches("https://").to_owned();
    let agreed = |arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &address]).args(arguments);
        let output = openssl.stdin(std::process::Stdio::null()).output().expect("openssl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let text = agreed(&[version, "-alpn", "h2"]);
        assert!(text.contains("ALPN protocol: h2"), "{version}: {text}");
    }
    assert!(agreed(&["-alpn", "http/1.1"]).contains("ALPN protocol: http/1.1"));
    assert!(agreed(&[]).contains("No ALPN negotiated"));
    for too_old in ["-tls1_1", "-tls1"] {
        assert!(!agreed(&[too_old, "-cipher", "ALL:@SECLEVEL=0"]).contains("BEGIN CERTIFICATE"), "{too_old}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_without_a_restart() {
    let (ca, first) = started().await;
    let reaches = async |certificate: &str| {
        let client = trusting(certificate).build().expect("a client");
        client.get(ca.url("/healthz")).send().await.is_ok_and(|answer| answer.status() == 200)
    };
    assert!(reaches(&first).await);
    // A connection that is open stays so.
    let open = trusting(&first).build().expect("a client");
    assert_eq!(Answer::of(open.get(ca.url("/healthz"))).await.status, 200);
    let second = certify(ca.directory());
    ca.reload().await;
    assert!(reaches(&second).await && !reaches(&first).await);
    assert_eq!(Answer::of(open.get(ca.url("/healthz"))).await.status, 200);

    std::fs::write(ca.directory().join("server.key"), "broken").expect("written");
    ca.reload().await;
    assert!(reaches(&second).await, "the last good one stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_shake_hands_holds_up_nobody_and_plain_http_gets_no_answer() {
    let (ca, certificate) = started().await;
    let address = ca.url("").trim_start_matches("https://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(&address).await.expect("a connection"));
    }
    let mut plain = TcpStream::connect(&address).await.expect("a connection");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"));
    let client = trusting(&certificate).build().expect("a client");
    assert_eq!(Answer::of(client.get(ca.url("/healthz"))).await.status, 200);
    // Handshakes that are under way end with the server.
    ca.stop().await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_commands_trust_a_named_certificate() {
    let (ca, _) = started().await;
    let run = |ca_certificate: Option<PathBuf>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args([
            "log",
            "checkpoint",
            "--origin",
            "ca.example.com/ct",
            "--url",
            &ca.url("/ct"),
            "--key",
        ]);
        let key = ca.directory().join("log.pub");
        std::fs::write(&key, pem::encode(&pem::Pem::new("PUBLIC KEY", ca.log_spki()))).expect("written");
        command.arg(key);
        if let Some(certificate) = ca_certificate {
            command.arg("--ca-certificate").arg(certificate);
        }
        command.output().expect("it runs")
    };
    let trusting = run(Some(ca.directory().join("server.pem")));
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));
    assert!(!run(None).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_certificate_is_a_wrong_configuration() {
    let edit = |config: &mut Config| {
        let directory = home(config);
        certify(&directory);
        let certificate = std::fs::read(files(&directory).certificate).expect("PEM");
        certify(&directory);
        std::fs::write(files(&directory).certificate, certificate).expect("written");
        config.tls = Some(files(&directory));
    };
    let refused = TestCa::builder().configure(edit).prepare().await.refused().await;
    assert!(matches!(&refused, countersign::server::StartError::Configuration(_)), "{refused}");
    assert!(refused.to_string().contains("is not the key of"), "{refused}");
}
