//! What peers may take of this server: connections, memory, time; and the open files that connections need.

use rustix::process::{Resource, getrlimit, setrlimit};
use std::time::Duration;

/// Connections on the public listener at most.
const CONNECTIONS: usize = 4096;
/// Connections on the operators' listener at most.
const ADMIN_CONNECTIONS: usize = 64;
/// Open files for everything but public connections: tiles, the store, fetches, logs.
const OTHER_FILES: usize = 512;
/// Octets held for peers of the public listener at once.
const MEMORY: usize = 96 * 1024 * 1024;
/// Octets held for operators at once.
const ADMIN_MEMORY: usize = 16 * 1024 * 1024;

/// What the peers of one listener may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Octets held for peers at once, over all connections: heads, bodies, and answers that are not taken yet. What every
    /// connection needs to be there at all is not in it.
    pub memory: usize,
    /// How long a peer is waited for.
    pub timeouts: Timeouts,
}

/// How long a peer is waited for.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// A TLS handshake, from the connection's first moment.
    pub handshake: Duration,
    /// The first request of a connection, and over HTTP/1 the head of each: from the answer before to the last of its octets
    /// (RFC 9110 §15.5.9 would answer 408; hyper closes).
    pub head: Duration,
    /// A connection on which nothing was asked for so long is closed.
    pub idle: Duration,
    /// An answer that is not taken in so long ends its connection.
    pub take: Duration,
    /// What else is under way on a connection that is to be closed may take so long to end.
    pub linger: Duration,
    /// Who has kept the server waiting for less than this is never closed to make room.
    pub patience: Duration,
    /// Between two looks at an HTTP/2 connection whether its peer is still there, and how long the peer may take to say so.
    pub keep_alive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            take: Duration::from_secs(30),
            linger: Duration::from_secs(30),
            patience: Duration::from_secs(1),
            keep_alive: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// The public listener's, as far as the limit of open files allows. Raises the soft limit of open files as far as it is
    /// needed and allowed.
    pub fn public() -> Self {
        Self { connections: connections(), memory: MEMORY, timeouts: Timeouts::default() }
    }

    /// The operators' listener's.
    pub fn operators() -> Self {
        Self { connections: ADMIN_CONNECTIONS, memory: ADMIN_MEMORY, timeouts: Timeouts::default() }
    }
}

/// How many connections fit under the limit of open files.
fn connections() -> usize {
    let wanted = (CONNECTIONS + OTHER_FILES) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
        let before = limit.current;
        limit.current = Some(raised);
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    let files = limit.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let connections = files.saturating_sub(OTHER_FILES).clamp(64, CONNECTIONS);
    if connections < CONNECTIONS {
        tracing::warn!(
            connections,
            files,
            "few connections can be held: raise the limit of open files (LimitNOFILE)"
        );
    }
    connections
}
