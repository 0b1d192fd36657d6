//! Connections: HTTP/1.1 and HTTP/2 on one socket, in the clear or over TLS, time-outs, a cap, and an end that answers what was taken.
//!
//! axum's own `serve` can raise neither HTTP/2's header list size nor any time-out, so hyper is driven here.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval_at, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take over HTTP/1 (RFC 9110 §15.5.9 would answer 408; hyper closes).
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection on which nothing was asked for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a closing connection may go on writing its last answer.
const LINGER: Duration = Duration::from_secs(60);
/// The head of a request at most: a token of 64 KiB, and room for the other headers. Above it: 431.
const MAX_HEAD_BYTES: u32 = 192 * 1024;
/// Requests that may be under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 streams that a peer may open and reset before the connection is closed (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 64;
/// After the order to stop, callers on open connections get this long to learn it from their next answer.
const NOTICE: Duration = Duration::from_millis(250);
/// How long a connection that never asked for anything is kept after that, and how often it is looked at.
const FIRST_REQUEST: Duration = Duration::from_secs(2);
const FIRST_REQUEST_LOOK: Duration = Duration::from_millis(10);
/// When the last connection must be gone after the order to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);
/// Connections that the system has completed and that are accepted although the order to stop is there.
const BACKLOG: usize = 4096;
/// How long to wait before accepting again when the system has no file left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A listener at work.
pub struct Listener {
    address: SocketAddr,
    stop: watch::Sender<Phase>,
    accepting: JoinHandle<()>,
    connections: Arc<Semaphore>,
    cap: u32,
}

/// What connections are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Accept no more.
    Draining,
    /// Finish what was taken, and close.
    Closing,
    /// Close now.
    Ended,
}

impl Listener {
    /// Serves `router` on the bound `socket`, over TLS when it is given, with at most `cap` connections.
    pub fn start(
        socket: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        router: Router,
        cap: usize,
    ) -> std::io::Result<Self> {
        let address = socket.local_addr()?;
        let (stop, phase) = watch::channel(Phase::Serving);
        let connections = Arc::new(Semaphore::new(cap));
        let accepting = tokio::spawn(accept(socket, tls, router, connections.clone(), phase));
        Ok(Self { address, stop, accepting, connections, cap: u32::try_from(cap).unwrap_or(u32::MAX) })
    }

    /// Where it listens, with the port that the system chose.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections, answers every request that was taken, and ends within 15 seconds.
    pub async fn stop(self) {
        self.stop.send_replace(Phase::Draining);
        // What waits in the socket's queue is accepted first: its callers believe that they are connected.
        let _ = self.accepting.await;
        let mut gone = pin!(self.connections.acquire_many(self.cap));
        if timeout(NOTICE, gone.as_mut()).await.is_ok() {
            return;
        }
        self.stop.send_replace(Phase::Closing);
        if timeout(STOP_TIMEOUT, gone.as_mut()).await.is_err() {
            tracing::warn!("connections are still open, and closed now");
            self.stop.send_replace(Phase::Ended);
            let _ = timeout(Duration::from_secs(1), gone).await;
        }
    }
}

async fn accept(
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    connections: Arc<Semaphore>,
    mut phase: watch::Receiver<Phase>,
) {
    let builder = builder();
    let tls = tls.map(TlsAcceptor::from);
    let serve = |stream, permit, phase: &watch::Receiver<Phase>| {
        let connection = Connection { permit, phase: phase.clone(), router: router.clone() };
        tokio::spawn(connection.open(stream, tls.clone(), builder.clone()));
    };
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => serve(stream, permit, &phase),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_REST).await;
            }
        }
    }
    tokio::task::yield_now().await;
    for _ in 0..BACKLOG {
        let Ok(permit) = connections.clone().try_acquire_owned() else { return };
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = std::future::ready(()) => return,
        };
        if let Ok((stream, _)) = accepted {
            serve(stream, permit, &phase);
        }
    }
}

/// The peer went away before its connection was accepted: no reason to rest.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES as usize)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// One connection on its way.
struct Connection {
    /// Given back when the connection is gone.
    permit: OwnedSemaphorePermit,
    phase: watch::Receiver<Phase>,
    router: Router,
}

impl Connection {
    async fn open(
        mut self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        builder: auto::Builder<TokioExecutor>,
    ) {
        // An answer is written at once, and whole.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.serve(stream, builder).await };
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => shaken,
            _ = self.phase.wait_for(|phase| *phase >= Phase::Closing) => return,
        };
        // A failed handshake is its peer's affair: scanners and health checks of the port make many.
        if let Ok(Ok(stream)) = shaken {
            self.serve(stream, builder).await;
        }
    }

    async fn serve<S>(self, stream: S, builder: auto::Builder<TokioExecutor>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { permit, mut phase, router } = self;
        let _permit = permit;
        let activity = Arc::new(Activity::default());
        let service = TowerToHyperService::new(Counted { router, activity: activity.clone() });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut idle = interval_at(later(IDLE_TIMEOUT), IDLE_TIMEOUT);
        let mut seen = 0;
        let mut ended = phase.clone();
        loop {
            tokio::select! {
                // An error of a connection is its peer's affair.
                _ = connection.as_mut() => return,
                _ = idle.tick() => if activity.is_idle_since(&mut seen) { break },
                _ = phase.wait_for(|phase| *phase >= Phase::Closing) => break,
            }
        }
        // Whoever is connected and has not asked yet believes to be served: a first request is waited for.
        let asked = async {
            while activity.started.load(Ordering::Relaxed) == 0 {
                sleep(FIRST_REQUEST_LOOK).await;
            }
        };
        tokio::select! {
            _ = connection.as_mut() => return,
            () = asked => {}
            () = sleep(FIRST_REQUEST) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = sleep(LINGER) => {}
            _ = ended.wait_for(|phase| *phase >= Phase::Ended) => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tokio's timers take its own instants")]
fn later(duration: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + duration
}

/// What a connection does.
#[derive(Default)]
struct Activity {
    started: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    /// Whether nothing is under way and nothing has begun since `seen`, which becomes what has begun until now.
    fn is_idle_since(&self, seen: &mut u64) -> bool {
        let started = self.started.load(Ordering::Relaxed);
        let idle = started == *seen && started == self.ended.load(Ordering::Relaxed);
        *seen = started;
        idle
    }
}

/// The router, with a count of what goes in and comes out.
#[derive(Clone)]
struct Counted {
    router: Router,
    activity: Arc<Activity>,
}

impl tower::Service<Request<Incoming>> for Counted {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let answer = self.router.call(request);
        let activity = self.activity.clone();
        activity.started.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let underway = Underway(activity);
            let answer = answer.await;
            answer.map(|answer| match answer.body().size_hint().exact() {
                // What is written in one piece is as good as written.
                Some(_) => answer,
                None => answer.map(|body| Body::new(Streamed { body, _underway: underway })),
            })
        })
    }
}

/// A request that is answered, until this is dropped.
struct Underway(Arc<Activity>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer that comes in pieces: its connection is not idle before the last of them.
struct Streamed {
    body: Body,
    _underway: Underway,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
