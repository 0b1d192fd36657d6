//! One connection: its handshake, HTTP/1.1 or HTTP/2 on it, and its end.

use super::activity::{Leave, now};
use super::crowd::Member;
use super::exchange::{Answering, Exchanges};
use super::guarded::Guarded;
use super::limits::Timeouts;
use super::listener::Phase;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

/// The head of a request at most: a token of 64 KiB, and room for the other headers. Above it: 431.
pub const MAX_HEAD_BYTES: u32 = 128 * 1024;
/// Requests that may be under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 streams that a peer may open and reset before they are looked at (CVE-2023-44487); one more closes the connection.
const MAX_PENDING_RESETS: usize = 64;
/// HTTP/2 streams that a peer may make the server reset, by what is wrong with them (CVE-2025-8671).
const MAX_OWN_RESETS: usize = 128;
/// What a peer may send of one body before somebody reads it; larger than any usual request.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all bodies of a connection.
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// What is kept in the system for a peer that does not read: an answer that waits longer shall be seen to wait.
const SEND_BUFFER: usize = 256 * 1024;
/// How long a connection that never asked for anything is kept after the order to stop, and how often it is looked at.
const FIRST_REQUEST: Duration = Duration::from_secs(3);
const FIRST_REQUEST_LOOK: Duration = Duration::from_millis(10);
/// How often the reactor gets to bring what has arrived before a connection is closed.
const LAST_LOOKS: usize = 16;

/// How connections are served.
pub type Protocol = auto::Builder<TokioExecutor>;

/// HTTP/1.1 and HTTP/2, with every bound that they know.
pub fn protocol(timeouts: &Timeouts) -> Protocol {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .max_buf_size(MAX_HEAD_BYTES as usize)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(timeouts.keep_alive)
        .keep_alive_timeout(timeouts.keep_alive);
    builder
}

/// Why a connection is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Close {
    /// Its peer has been waited for long enough.
    Overdue,
    /// Others need the room.
    Pressed(Leave),
    /// The server stops.
    Stopping,
}

/// One connection on its way.
pub struct Connection<A> {
    /// It among the others.
    pub member: Member,
    /// What it is told.
    pub phase: watch::Receiver<Phase>,
    /// What answers.
    pub answering: A,
}

impl<A: Answering> Connection<A> {
    /// Serves it to its end.
    pub async fn open(mut self, stream: TcpStream, tls: Option<TlsAcceptor>, protocol: Protocol) {
        // An answer is written at once, and whole.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        let activity = self.member.activity().clone();
        let stream = Guarded::new(stream, self.member.crowd().clone(), activity.clone());
        let Some(tls) = tls else { return self.serve(stream, protocol).await };
        let limit = self.member.crowd().limits().timeouts.handshake;
        let shaken = tokio::select! {
            shaken = timeout(limit, tls.accept(stream)) => shaken,
            _ = activity.told_to_leave() => return,
            _ = self.phase.wait_for(|phase| *phase >= Phase::Closing) => return,
        };
        // A failed handshake is its peer's affair: scanners and health checks of the port make many.
        if let Ok(Ok(stream)) = shaken {
            self.serve(stream, protocol).await;
        }
    }

    async fn serve<S>(self, stream: S, protocol: Protocol)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { member, mut phase, answering } = self;
        let (crowd, activity) = (member.crowd().clone(), member.activity().clone());
        let timeouts = &crowd.limits().timeouts;
        let service = TowerToHyperService::new(Exchanges::new(answering, crowd.clone(), activity.clone()));
        let connection = protocol.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut ended = phase.clone();
        let close = loop {
            tokio::select! {
                biased;
                // An error of a connection is its peer's affair.
                _ = connection.as_mut() => return,
                how = activity.told_to_leave() => break Close::Pressed(how),
                _ = phase.wait_for(|phase| *phase >= Phase::Closing) => break Close::Stopping,
                () = sleep_until(activity.look_again(timeouts)) => {
                    if activity.is_overdue(timeouts) { break Close::Overdue }
                }
            }
        };
        let linger = match close {
            Close::Pressed(Leave::AtOnce) => return,
            Close::Pressed(Leave::Soon) if !activity.is_at_work() => return,
            Close::Overdue if activity.is_stalled() => return,
            Close::Pressed(Leave::Soon) => timeouts.patience,
            Close::Pressed(Leave::Gently) | Close::Overdue | Close::Stopping => timeouts.linger,
        };
        if close == Close::Stopping {
            // What has arrived is read before the connection is closed. Whoever is connected and has not asked yet believes
            // to be served: a first request is waited for.
            let asked = async {
                for _ in 0..LAST_LOOKS {
                    tokio::task::yield_now().await;
                }
                while activity.started() == 0 {
                    sleep(FIRST_REQUEST_LOOK).await;
                }
            };
            tokio::select! {
                biased;
                _ = connection.as_mut() => return,
                () = asked => {}
                () = sleep(FIRST_REQUEST) => {}
            }
        }
        connection.as_mut().graceful_shutdown();
        let until = now() + linger;
        tokio::select! {
            _ = connection => {}
            () = sleep_until(until) => {}
            () = pressed(&activity, timeouts) => {}
            _ = ended.wait_for(|phase| *phase >= Phase::Ended) => {}
        }
    }
}

/// Ends when a connection that is being closed is needed by others, and has had a moment.
async fn pressed(activity: &super::activity::Activity, timeouts: &Timeouts) {
    let how = activity.told_to_leave().await;
    if how < Leave::AtOnce && activity.is_at_work() {
        sleep(timeouts.patience).await;
    }
}
