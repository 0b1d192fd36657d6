//! Room that all connections share: those who keep the server waiting the longest make way.

use super::{PATIENCE, Server, limits, read};
use countersign::server::limits::Limits;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Nothing ends by itself here.
fn patient(connections: usize, memory: usize) -> Limits {
    let mut limits = Limits { connections, memory, ..limits() };
    let long = Duration::from_secs(3600);
    (limits.timeouts.head, limits.timeouts.idle, limits.timeouts.take) = (long, long, long);
    limits
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_at_the_cap_make_way_for_newcomers() {
    let server = Server::start(patient(8, 1 << 20)).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut stream = server.sent("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        stream.read_exact(&mut [0; 12]).await.expect("an answer");
        idle.push(stream);
    }
    for _ in 0..20 {
        let newcomer = server.sent("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut newcomer = newcomer;
        newcomer.read_exact(&mut [0; 12]).await.expect("an answer");
        idle.push(newcomer);
    }
    assert!(server.listener.open_connections().count() <= 8);
    // The first ones are gone, not the last.
    read(&mut idle[0]).await;
    drop(idle);
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_at_work_do_not_make_way_and_the_next_one_waits() {
    let server = Server::start(patient(2, 1 << 20)).await;
    let mut held = [server.connect().await, server.connect().await];
    for stream in &mut held {
        stream.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    }
    while server.listener.open_connections().count() < 2 {
        tokio::task::yield_now().await;
    }
    let mut next = server.sent("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let waited = timeout(Duration::from_millis(100), next.read_exact(&mut [0; 1])).await;
    assert!(waited.is_err(), "it is not served above the cap: {waited:?}");
    server.release.add_permits(2);
    for stream in &mut held {
        assert!(read(stream).await.ends_with("released"));
    }
    assert!(read(&mut next).await.ends_with("ok"));
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_to_their_end_make_way_when_memory_is_short() {
    const MEMORY: usize = 1 << 20;
    let server = Server::start(patient(64, MEMORY)).await;
    let head = "POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 200000\r\n\r\n";
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(server.sent(format!("{head}{}", " ".repeat(100_000))).await);
    }
    for _ in 0..5 {
        let mut whole = server.connect().await;
        let (sent, answer) = {
            let (mut reading, mut writing) = whole.split();
            let body = format!("{head}{}", " ".repeat(200_000));
            let sending = async { writing.write_all(body.as_bytes()).await.is_ok() };
            tokio::join!(sending, read(&mut reading))
        };
        assert!(sent && answer.ends_with("200000"), "{answer}");
        assert!(server.listener.held() <= MEMORY);
    }
    drop(stalled);
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_make_way_when_memory_is_short() {
    let mut limits = patient(64, 64 << 20);
    // Longer than the reader at the end needs, who must not make way himself.
    limits.timeouts.patience = Duration::from_secs(1);
    let server = Server::start(limits).await;
    let mut unread = Vec::new();
    for _ in 0..6 {
        unread.push(server.sent("GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await);
    }
    let mut reader = server.sent("GET /big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let answer = timeout(PATIENCE, super::octets(&mut reader)).await.expect("it is answered");
    assert!(answer.len() > super::BIG, "{} octets", answer.len());
    drop(unread);
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_heads_that_are_not_whole_take_no_more_than_their_share() {
    const MEMORY: usize = 2 << 20;
    let server = Server::start(patient(64, MEMORY)).await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(100 * 1024));
    let mut partial = Vec::new();
    for _ in 0..16 {
        let mut stream = server.connect().await;
        // What there is no room for is not read, so it may stay with the system.
        let _ = timeout(Duration::from_millis(20), stream.write_all(head.as_bytes())).await;
        partial.push(stream);
        assert!(server.listener.held() <= MEMORY);
    }
    let whole = format!("{head}\r\nconnection: close\r\n\r\n");
    assert!(read(&mut server.sent(whole).await).await.ends_with("ok"));
    drop(partial);
    server.serves().await;
}
