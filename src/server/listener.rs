//! A listening socket: who is let in, and an end that answers what was taken.
//!
//! axum's own `serve` can raise neither HTTP/2's header list size nor any time-out, so hyper is driven here.

use super::connection::{Connection, protocol};
use super::crowd::{Crowd, Room};
use super::exchange::Answering;
use super::limits::Limits;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// After the order to stop, callers on open connections get this long to learn it from their next answer, and handshakes of
/// TCP that had begun this long to end.
const NOTICE: Duration = Duration::from_millis(250);
/// How long connections that are still open at the very end get to go.
const LAST: Duration = Duration::from_secs(1);
/// How often it is looked whether anybody is left.
const LOOK: Duration = Duration::from_millis(5);
/// How long to wait before accepting again when the system has no file left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A listener at work.
pub struct Listener {
    address: SocketAddr,
    stop: watch::Sender<Phase>,
    accepting: JoinHandle<()>,
    crowd: Arc<Crowd>,
}

/// A look at how many connections are open.
pub struct OpenConnections(Arc<Crowd>);

impl OpenConnections {
    /// How many are open now.
    pub fn count(&self) -> usize {
        self.0.open()
    }
}

/// What connections are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// All is well.
    Serving,
    /// No more come.
    Draining,
    /// Finish what was taken, and close.
    Closing,
    /// Close now.
    Ended,
}

impl Listener {
    /// Lets `answering` answer on the bound `socket`, over TLS when it is given.
    pub fn start(
        socket: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        answering: impl Answering,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let address = socket.local_addr()?;
        let (stop, phase) = watch::channel(Phase::Serving);
        let crowd = Arc::new(Crowd::new(limits));
        let door = Door { socket, tls: tls.map(TlsAcceptor::from), answering, crowd: crowd.clone(), phase };
        Ok(Self { address, stop, accepting: tokio::spawn(door.open()), crowd })
    }

    /// Where it listens, with the port that the system chose.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A look at how many connections are open, for as long as anybody keeps it.
    pub fn open_connections(&self) -> OpenConnections {
        OpenConnections(self.crowd.clone())
    }

    /// How many octets are held for peers now, of those that [`Limits::memory`] bounds.
    pub fn held(&self) -> usize {
        self.crowd.held()
    }

    /// Stops taking connections, answers every request that was taken, and ends `within` this time and a second or two.
    pub async fn stop(self, within: Duration) {
        self.stop.send_replace(Phase::Draining);
        // What waits in the socket's queue is accepted first: its callers believe that they are connected.
        let _ = self.accepting.await;
        self.stop.send_replace(Phase::Closing);
        let mut gone = pin!(self.crowd.gone());
        if timeout(within, gone.as_mut()).await.is_err() {
            tracing::warn!(open = self.crowd.open(), "connections are still open, and closed now");
            self.stop.send_replace(Phase::Ended);
            let _ = timeout(LAST, gone).await;
        }
    }
}

/// Where connections come in.
struct Door<A> {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    answering: A,
    crowd: Arc<Crowd>,
    phase: watch::Receiver<Phase>,
}

impl<A: Answering> Door<A> {
    async fn open(self) {
        let protocol = protocol(&self.crowd.limits().timeouts);
        let serve = |stream: TcpStream, place: Option<Room>| {
            let (phase, answering) = (self.phase.clone(), self.answering.clone());
            let connection = Connection { member: self.crowd.join(place), phase, answering };
            tokio::spawn(connection.open(stream, self.tls.clone(), protocol.clone()));
        };
        let mut phase = self.phase.clone();
        let mut draining = pin!(phase.wait_for(|phase| *phase >= Phase::Draining));
        loop {
            // Above the cap a connection waits here, and those behind it in the system's queue, until there is a place.
            let let_in = async {
                let accepted = self.socket.accept().await;
                (accepted, self.crowd.place().await)
            };
            let (accepted, place) = tokio::select! {
                biased;
                _ = draining.as_mut() => break,
                let_in = let_in => let_in,
            };
            match accepted {
                Ok((stream, _)) => serve(stream, place),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_REST).await;
                }
            }
        }
        close_door(&self.socket);
        // Nobody else comes, and who is on the way arrives in this time.
        let arrivals = async {
            while let Ok((stream, _)) = self.socket.accept().await {
                serve(stream, self.crowd.place().await);
            }
        };
        let nobody_left = async {
            while self.crowd.open() > 0 {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = arrivals => {}
            () = nobody_left => {}
            () = sleep(NOTICE) => {}
        }
        // The reactor may be behind; the system is asked itself.
        let Ok(socket) = self.socket.into_std() else { return };
        while let Ok((stream, _)) = socket.accept() {
            let Some(place) = self.crowd.place_now() else { return };
            let nonblocking = stream.set_nonblocking(true);
            if let Ok(stream) = nonblocking.and_then(|()| TcpStream::from_std(stream)) {
                serve(stream, Some(place));
            }
        }
    }
}

/// From now on no connection begins: the system drops the first packet of each, so that none is complete when the socket is
/// closed. Otherwise a caller could be connected between the last `accept` and the end, and lose the request that it sent.
#[cfg(target_os = "linux")]
fn close_door(socket: &TcpListener) {
    use socket2::SockFilter;
    // Classic BPF on the TCP header: octet 13 has the flags, 2 is SYN (RFC 9293 §3.1).
    const LOAD_OCTET: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let filter = [
        SockFilter::new(LOAD_OCTET, 0, 0, 13),
        SockFilter::new(JUMP_IF_SET, 0, 1, 2),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    if let Err(error) = socket2::SockRef::from(socket).attach_filter(&filter) {
        tracing::debug!(%error, "new connections cannot be kept out while the last ones are accepted");
    }
}

#[cfg(not(target_os = "linux"))]
fn close_door(_: &TcpListener) {}

/// The peer went away before its connection was accepted: no reason to rest.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
