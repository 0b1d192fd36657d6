//! Load: many connections that ask for certificates, each in its own manner, and what they saw.

use super::answer::Reply;
use super::event_loop::EventLoop;
use super::histogram::Histogram;
use super::requests::Wire;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Goodput over time is counted in slices of this length.
pub const SLICE: Duration = Duration::from_millis(100);

/// How a connection goes on after an answer.
#[derive(Clone, Copy)]
pub enum Manner {
    /// With the next request, at once.
    Greedy,
    /// The same, but after a refusal it waits as long as `Retry-After` says.
    Polite,
    /// By the clock, whatever is answered: all connections together send so many requests a second. While a connection still
    /// waits for an answer its turns are missed, and counted.
    Open(f64),
    /// By the clock as well, but no turn is missed: a request that is due while its connection still waits is sent right after, and its
    /// time counts from when it was due. So a server that stands still for a moment is seen by all who would have asked meanwhile.
    Due(f64),
}

/// A group of connections of one kind.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    pub manner: Manner,
    /// The connections share them: each takes every so many-th, in turn, and begins anew at the end.
    pub requests: Arc<[Wire]>,
    /// Whether the content of accepted answers is kept, to be looked at afterwards.
    pub keep: bool,
}

/// What the connections of a load saw.
#[derive(Clone, Default)]
pub struct Seen {
    /// Answers 200 and 201.
    pub accepted: Histogram,
    /// Answers 429 and 503.
    pub refused: Histogram,
    /// Every answer by its status; 0: the connection broke.
    pub statuses: BTreeMap<u16, u64>,
    /// Turns of an open loop that had no free connection.
    pub missed: u64,
    /// Accepted in each [`SLICE`] since the beginning.
    pub slices: Vec<u32>,
    pub elapsed: Duration,
    /// The content of accepted answers, where it is kept.
    pub kept: Vec<Box<[u8]>>,
}

impl Seen {
    /// Certificates a second.
    pub fn goodput(&self) -> f64 {
        self.accepted.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// Requests a second that were answered.
    pub fn answered(&self) -> f64 {
        self.statuses.values().sum::<u64>() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn merge(&mut self, other: &Self) {
        self.accepted.merge(&other.accepted);
        self.refused.merge(&other.refused);
        self.missed += other.missed;
        self.elapsed = self.elapsed.max(other.elapsed);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }

    /// An answer that came after so long, `since` the beginning.
    pub(super) fn note(&mut self, reply: Reply, took: Duration, since: Duration) {
        *self.statuses.entry(reply.status).or_default() += 1;
        match reply.status {
            200 | 201 => {
                self.accepted.add(took);
                let slice = (since.as_millis() / SLICE.as_millis()) as usize;
                if let Some(count) = self.slices.get_mut(slice) {
                    *count += 1;
                }
            }
            429 | 503 => self.refused.add(took),
            _ => {}
        }
    }
}

impl Load {
    /// Runs it for so long, on a thread of its own. All connections are open before the first request.
    pub async fn run(self, duration: Duration) -> Seen {
        let run = move || EventLoop::of(self, duration).and_then(EventLoop::run).expect("connections");
        tokio::task::spawn_blocking(run).await.expect("it does not panic")
    }
}
