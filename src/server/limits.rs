//! What peers may take of this server: connections, memory, time; and the open files that connections need.

use rustix::process::{Resource, getrlimit, setrlimit};
use std::time::Duration;

/// Connections on the public listener at most.
const CONNECTIONS: usize = 2304;
/// Connections on the operators' listener at most.
const ADMIN_CONNECTIONS: usize = 64;
/// Open files for everything but public connections: tiles, the store, fetches, logs.
const OTHER_FILES: usize = 512;
/// Octets held for peers of the public listener at once.
const MEMORY: usize = 54 * MIB;
/// Octets held for operators at once.
const ADMIN_MEMORY: usize = 4 * MIB;
/// What a connection takes by being there, as measured: 35 KiB of an idle one with HTTP/2 over TLS (26 KiB in the clear), and
/// 15 KiB for the [`UNASKED`] octets that it may send, in their buffers.
const PLACE: usize = 52 * KIB;
/// The process besides, as measured under load: the log's store, caches, keys, threads.
const PROCESS: usize = 64 * MIB;
/// What docs/SECURITY.md promises for all of it.
const PROMISED: usize = 256_000_000;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// 64 + 2,368 x 52/1024 + 54 + 4 = 242.25 MiB = 254 MB.
const _: () =
    assert!(PROCESS + (CONNECTIONS + ADMIN_CONNECTIONS) * PLACE + MEMORY + ADMIN_MEMORY <= PROMISED);

/// What a connection may send before it has made a request of it, and before there is memory for it: in `PLACE`.
pub const UNASKED: usize = 8 * KIB;

/// What the peers of one listener may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Octets held for peers at once, over all connections. What every connection needs to be there at all is not in it.
    pub memory: Memory,
    /// How long a peer is waited for.
    pub timeouts: Timeouts,
}

/// Octets held for peers at once. Each part is waited for by those who hold of the parts before it, and never the other way
/// round; so that whoever holds of the last part goes on without waiting for more, or can be told to leave.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Heads that are not whole yet, where they are large.
    pub heads: usize,
    /// Requests that wait for the next part. Nobody waits for this one.
    pub parked: usize,
    /// Requests under way: heads, usual bodies, usual answers.
    pub requests: usize,
    /// Larger bodies and answers.
    pub large: usize,
}

impl Memory {
    /// So many octets, divided.
    pub const fn of(octets: usize) -> Self {
        let eighth = octets / 8;
        Self { heads: 2 * eighth, parked: eighth, requests: 3 * eighth, large: 2 * eighth }
    }
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
    /// A request for which there is no memory in so long is refused.
    pub room: Duration,
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
            room: Duration::from_secs(2),
            keep_alive: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// The public listener's, as far as the limit of open files allows. Raises the soft limit of open files as far as it is
    /// needed and allowed.
    pub fn public() -> Self {
        Self { connections: connections(), memory: Memory::of(MEMORY), timeouts: Timeouts::default() }
    }

    /// The operators' listener's.
    pub fn operators() -> Self {
        Self {
            connections: ADMIN_CONNECTIONS,
            memory: Memory::of(ADMIN_MEMORY),
            timeouts: Timeouts::default(),
        }
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
