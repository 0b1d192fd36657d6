//! HTTP/1.1: slow peers, and requests of which two readers could think differently.

use super::{BIG, Server, limits, read, trickle};
use crate::support::TestCa;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_do_not_come_to_their_end_end_their_connection() {
    let server = Server::start(limits()).await;
    for head in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\n", "PRI * HTTP/2.0\r\n\r\nSM"] {
        read(&mut server.sent(head).await).await;
    }
    // One octet now and then does not buy time.
    trickle(&mut server.sent("GET / HTTP/1.1\r\nhost: x\r\nx: ").await, b'x').await;
    // Nor do answers before it: the head of each request has its time.
    let mut second = server.sent("GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nx: ").await;
    assert!(read(&mut second).await.starts_with("HTTP/1.1 200"));
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_no_more_is_ended() {
    let server = Server::start(limits()).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(server.sent("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await);
    }
    for stream in &mut idle {
        assert!(read(stream).await.starts_with("HTTP/1.1 200"));
    }
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_ends_its_connection_and_gives_back_its_memory() {
    let server = Server::start(limits()).await;
    let unread = server.sent("GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
    while server.listener.held() < BIG {
        tokio::task::yield_now().await;
    }
    server.is_left().await;
    drop(unread);
    // Nor is it enough to take a little of it now and then.
    let mut dribble = server.sent("GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(10));
    while server.listener.open_connections().count() > 0 {
        let _ = dribble.read(&mut [0; 1]).await;
        pace.tick().await;
    }
    server.serves().await;
}

/// Shapes that one reader takes for one request and another for two (RFC 9112 §11.2), or that no grammar has.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_could_be_read_in_two_ways_are_refused() {
    let server = Server::start(limits()).await;
    for head in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3, 4\r\n",
        "content-length: +3\r\n",
        "content-length: -3\r\n",
        "content-length: 0x3\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "content-length : 3\r\n",
        " content-length: 3\r\n",
        "x: a\r\n folded\r\n",
        "x: a\0b\r\n",
        "x\0: a\r\n",
        "x: a\rb: c\r\n",
        "no colon\r\n",
    ] {
        let request =
            format!("POST /length HTTP/1.1\r\nhost: x\r\n{head}\r\nabcGET / HTTP/1.1\r\nhost: x\r\n\r\n");
        let answer = read(&mut server.sent(request).await).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer}");
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 x",
        "GET /\0 HTTP/1.1",
        "GET / HTTP/3.0",
        "\0",
        "G\x7fT / HTTP/1.1",
    ] {
        let answer = read(&mut server.sent(format!("{line}\r\nhost: x\r\n\r\n")).await).await;
        assert!(!answer.contains("HTTP/1.1 200"), "{line:?}: {answer}");
    }
    server.serves().await;
}

/// RFC 9112 §6.1: with both, the transfer coding counts, and the connection ends, so that nothing can hide behind it.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_length_and_a_transfer_coding_the_coding_counts_and_the_connection_ends() {
    let server = Server::start(limits()).await;
    let hidden = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    for both in
        ["content-length: 4\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"]
    {
        let request =
            format!("POST /length HTTP/1.1\r\nhost: x\r\n{both}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{hidden}");
        let answer = read(&mut server.sent(request).await).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n3"), "{answer}");
    }
    // HTTP/1.0 has no transfer codings.
    let old = "POST /length HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(read(&mut server.sent(old).await).await.starts_with("HTTP/1.1 400"));
    for chunk in [
        "3;\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nabc",
        "-3\r\nabc",
        "3\r\nabcd\r\n0\r\n\r\n",
    ] {
        let request =
            format!("POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{hidden}");
        let answer = read(&mut server.sent(request).await).await;
        assert!(!answer.contains("HTTP/1.1 200"), "{chunk:?}: {answer}");
    }
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_above_the_limits_are_refused() {
    let server = Server::start(limits()).await;
    let many = "x: y\r\n".repeat(101);
    let long = format!("x: {}\r\n", "y".repeat(500 * 1024));
    for (head, status) in [(many, "431"), (long, "431")] {
        let answer = read(&mut server.sent(format!("GET / HTTP/1.1\r\nhost: x\r\n{head}\r\n")).await).await;
        // A peer that is still sending may see its connection reset instead.
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let uri = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(70_000));
    assert!(read(&mut server.sent(uri).await).await.starts_with("HTTP/1.1 414"));
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_each_and_upgrades_ignored() {
    let server = Server::start(limits()).await;
    let mut stream = server.sent("GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(500)).await;
    assert_eq!(read(&mut stream).await.matches("HTTP/1.1 200").count(), 500);
    let h2c = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert!(read(&mut server.sent(h2c).await).await.starts_with("HTTP/1.1 200"));
    let expecting = "POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    let mut stream = server.sent(expecting).await;
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.expect("it is told to go on");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.expect("it is sent");
    assert!(read(&mut stream).await.ends_with("\r\n\r\n3"));
    server.serves().await;
}

async fn asked(ca: &TestCa, request: &str) -> String {
    sent(ca.url("").trim_start_matches("http://"), request).await
}

async fn sent(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    read(&mut stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_for_proxies_are_refused_and_absolute_targets_are_the_servers_own() {
    let ca = TestCa::start().await;
    let close = "host: x\r\nconnection: close\r\nx-secret: SECRET\r\n\r\n";
    for line in ["CONNECT example.com:443", "TRACE /healthz", "CONNECT /healthz", "OPTIONS *"] {
        let answer = asked(&ca, &format!("{line} HTTP/1.1\r\n{close}")).await;
        assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 501"), "{line}: {answer}");
        assert!(!answer.contains("SECRET"), "{line}: {answer}");
    }
    let elsewhere = asked(&ca, &format!("GET http://elsewhere.example/healthz HTTP/1.1\r\n{close}")).await;
    assert!(elsewhere.contains("SERVING"), "{elsewhere}");
}

/// RFC 9112 §3.2 and §6.1: on both listeners, before anything is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn heads_without_one_valid_host_or_with_other_codings_than_chunked_are_refused() {
    let ca = TestCa::start().await;
    let admin = ca.admin_url("").trim_start_matches("http://").to_owned();
    let public = ca.url("").trim_start_matches("http://").to_owned();
    let signing = ca.signing_request().to_string();
    for head in ["", "host: x\r\nhost: x\r\n", "host: a b/c@\r\n", "host: user@x\r\n", "host: x:y\r\n"] {
        let post = format!(
            "POST /api/v2/signingCert HTTP/1.1\r\n{head}connection: close\r\ncontent-length: {}\r\n\r\n{signing}",
            signing.len()
        );
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{head}connection: close\r\n\r\n");
        let grpc = get("/x")
            .replace("GET", "POST")
            .replace("\r\n\r\n", "\r\ncontent-type: application/grpc\r\n\r\n");
        for (address, request) in
            [(&public, post), (&public, get("/healthz")), (&public, grpc), (&admin, get("/livez"))]
        {
            let answer = sent(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{request}: {answer}");
            assert!(answer.contains("REQUEST_MALFORMED"), "{request}: {answer}");
        }
    }
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.json()["tree_size"], 0, "nothing was issued");
    let waiting = "POST /api/v2/signingCert HTTP/1.1\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    assert!(sent(&public, waiting).await.starts_with("HTTP/1.1 400"), "who waits is not told to go on");
    for fine in
        ["GET /healthz HTTP/1.0\r\n\r\n", "GET /healthz HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n"]
    {
        assert!(sent(&public, fine).await.contains("SERVING"), "{fine}");
    }

    for (codings, status) in
        [("gzip, chunked", 400), ("gzip\r\ntransfer-encoding: chunked", 400), ("Chunked", 200)]
    {
        let length = signing.len();
        let request = format!(
            "POST /api/v2/signingCert HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: {codings}\r\n\r\n\
             {length:x}\r\n{signing}\r\n0\r\n\r\n"
        );
        let answer = sent(&public, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{codings}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_without_end_is_refused() {
    let ca = TestCa::start().await;
    let address = ca.url("").trim_start_matches("http://").to_owned();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        let head = "POST /api/v2/signingCert HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let _ = writing.write_all(head.as_bytes()).await;
        while writing.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    let mut first = [0; 12];
    reading.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 413");
    read(&mut reading).await;
    sending.await.expect("it ends");
    ca.issue().await;
}
