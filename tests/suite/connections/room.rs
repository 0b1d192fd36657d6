//! Room that all connections share: those who keep the server waiting the longest make way.

use super::{PATIENCE, Server, limits, read};
use countersign::server::limits::{Limits, Memory};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Nothing ends by itself here.
fn patient(connections: usize, memory: Memory) -> Limits {
    let mut limits = Limits { connections, memory, ..limits() };
    let long = Duration::from_secs(3600);
    (limits.timeouts.head, limits.timeouts.idle, limits.timeouts.take) = (long, long, long);
    limits
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_at_the_cap_make_way_for_newcomers() {
    let server = Server::start(patient(8, Memory::of(1 << 20))).await;
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
async fn connections_at_work_get_their_answers_and_the_next_one_waits() {
    let mut limits = patient(2, Memory::of(1 << 20));
    // They are told to go after what they are at, which takes as long as the test wants.
    limits.timeouts.linger = Duration::from_secs(3600);
    let server = Server::start(limits).await;
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
    const MEMORY: usize = 4 << 20;
    let server = Server::start(patient(64, Memory::of(MEMORY))).await;
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
    let mut limits = patient(64, Memory { large: 64 << 20, ..Memory::of(1 << 20) });
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
    const MEMORY: usize = 4 << 20;
    let server = Server::start(patient(64, Memory::of(MEMORY))).await;
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

const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
/// What a request takes that is no larger than the usual: 8 KiB for body and answer, 4 for being there, 1 for its head.
const REQUEST: usize = 13 * 1024;

/// Requests that wait to be released, one a connection.
async fn held(server: &Server, count: usize, path: &str) -> Vec<tokio::net::TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(server.sent(ASK.replace("/ HTTP", &format!("{path} HTTP"))).await);
    }
    while server.listener.held() < count * REQUEST {
        tokio::task::yield_now().await;
    }
    held
}

/// Each holds room for its request, and needs more for its answer: together they must not hold all there is for ever.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_all_need_room_for_their_answers_do_not_wait_for_each_other() {
    let memory = Memory { requests: 60 * REQUEST, large: 4 * super::MEDIUM, ..Memory::of(1 << 20) };
    let server = Server::start(patient(64, memory)).await;
    let mut held = held(&server, 60, "/held-medium").await;
    server.release.add_permits(60);
    for stream in &mut held {
        let answer = super::octets(stream).await;
        assert!(answer.len() > super::MEDIUM, "{} octets", answer.len());
    }
    drop(held);
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memory_health_is_answered_and_everybody_else_told_when_to_come_again() {
    let mut limits = patient(64, Memory { requests: 20 * REQUEST, ..Memory::of(1 << 20) });
    limits.timeouts.room = Duration::from_millis(100);
    let server = Server::start(limits).await;
    let mut held = held(&server, 20, "/held").await;
    let refused = read(&mut server.sent(ASK).await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 2"), "{refused}");
    for _ in 0..5 {
        let well = read(&mut server.sent(ASK.replace("/ HTTP", "/healthz HTTP")).await).await;
        assert!(well.starts_with("HTTP/1.1 200") && well.ends_with("well"), "{well}");
    }
    server.release.add_permits(20);
    for stream in &mut held {
        assert!(read(stream).await.ends_with("released"));
    }
    drop(held);
    server.serves().await;
}

/// They hold a place each, and never keep the server waiting for long.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_merely_active_do_not_keep_newcomers_out() {
    let mut limits = patient(8, Memory::of(1 << 20));
    limits.timeouts.patience = Duration::from_millis(400);
    let server = Server::start(limits).await;
    let mut active = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut stream = server.connect().await;
        active.spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok()
                && stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0)
            {
                pace.tick().await;
            }
        });
    }
    while server.listener.open_connections().count() < 8 {
        tokio::task::yield_now().await;
    }
    for _ in 0..4 {
        assert!(read(&mut server.sent(ASK).await).await.ends_with("ok"));
    }
    active.shutdown().await;
    server.serves().await;
}

/// Streams that last, as health's `Watch` does: the oldest go, and not before what they are at had its time.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_at_work_for_ever_make_way_in_the_end() {
    let server = Server::start(patient(4, Memory::of(1 << 20))).await;
    let held = held(&server, 4, "/held").await;
    assert!(read(&mut server.sent(ASK).await).await.ends_with("ok"));
    drop(held);
    server.serves().await;
}
