//! Peers who want to hold the server by its connections: each is ended, everybody else is served, and nothing is left held.
//!
//! Time-outs are short here. That a connection ends is the assertion; when it does is the limits' affair.

mod drain;
mod http1;
mod http2;
mod room;
mod tls;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use countersign::server::limits::{Limits, Memory, Timeouts};
use countersign::server::listener::Listener;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A large answer: more than all buffers between a handler and a peer that does not read.
const BIG: usize = 24 * 1024 * 1024;
/// An answer that needs more memory than the usual.
const MEDIUM: usize = 64 * 1024;
/// A test that takes longer has failed: something did not end.
const PATIENCE: Duration = Duration::from_secs(40);

/// Short ones.
fn timeouts() -> Timeouts {
    Timeouts {
        handshake: Duration::from_millis(200),
        head: Duration::from_millis(200),
        idle: Duration::from_millis(300),
        take: Duration::from_millis(200),
        linger: Duration::from_millis(200),
        patience: Duration::from_millis(20),
        room: Duration::from_secs(20),
        keep_alive: Duration::from_secs(20),
    }
}

fn limits() -> Limits {
    let memory = Memory { large: 64 * 1024 * 1024, ..Memory::of(16 * 1024 * 1024) };
    Limits { connections: 64, memory, timeouts: timeouts() }
}

/// A listener with a few routes.
struct Server {
    listener: Listener,
    address: SocketAddr,
    /// What `/held` waits for.
    release: Arc<Semaphore>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::start_with(limits, None).await
    }

    async fn start_with(limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let release = Arc::new(Semaphore::new(0));
        let (held, medium) = (release.clone(), release.clone());
        let router = Router::new()
            .route("/", get(|| async { "ok" }))
            .route("/big", get(|| async { vec![b'x'; BIG] }))
            .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
            .route("/healthz", get(|| async { "well" }))
            .route(
                "/held-medium",
                get(|| async move { medium.acquire().await.map_or(Vec::new(), |_| vec![b'x'; MEDIUM]) }),
            )
            .route("/held", get(|| async move { held.acquire().await.map_or("never", |_| "released") }));
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let listener = Listener::start(socket, tls, router, limits).expect("it starts");
        Self { address: listener.address(), listener, release }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// A connection on which this was sent.
    async fn sent(&self, octets: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(octets.as_ref()).await.expect("it is sent");
        stream
    }

    /// Ends when no connection is open and no memory is held.
    async fn is_left(&self) {
        let left = async {
            while self.listener.open_connections().count() > 0 || self.listener.held() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let held = || (self.listener.open_connections().count(), self.listener.held());
        assert!(timeout(PATIENCE, left).await.is_ok(), "connections, octets: {:?}", held());
    }

    /// A usual request is answered, and afterwards nothing is held.
    async fn serves(&self) {
        let mut stream = self.sent("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let answer = read(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        drop(stream);
        self.is_left().await;
    }
}

/// What comes until the connection ends, in whatever way.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> String {
    String::from_utf8_lossy(&octets(stream).await).into_owned()
}

/// The same, as octets.
async fn octets(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    let reading = async {
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..length]);
        }
    };
    assert!(timeout(PATIENCE, reading).await.is_ok(), "the connection does not end");
    all
}

/// Sends this again and again until the connection ends. Nothing is read.
async fn flood(stream: &mut TcpStream, octets: &[u8]) {
    let flooding = async { while stream.write_all(octets).await.is_ok() {} };
    assert!(timeout(PATIENCE, flooding).await.is_ok(), "the connection does not end");
}

/// Sends one octet after the other, with a little time between them, until the connection ends.
async fn trickle(stream: &mut TcpStream, octet: u8) {
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let trickling = async {
        while stream.write_all(&[octet]).await.is_ok() {
            pace.tick().await;
        }
    };
    assert!(timeout(PATIENCE, trickling).await.is_ok(), "the connection does not end");
}
