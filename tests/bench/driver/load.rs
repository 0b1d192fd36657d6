//! Load: many connections that ask for certificates, each in its own manner, and what they saw.

use super::connection::{Connection, Reply};
use super::histogram::Histogram;
use super::requests::Wire;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

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

    fn note(&mut self, reply: Reply, took: Duration) {
        *self.statuses.entry(reply.status).or_default() += 1;
        match reply.status {
            200 | 201 => self.accepted.add(took),
            429 | 503 => self.refused.add(took),
            _ => {}
        }
    }
}

impl Load {
    /// Runs it for so long. All connections are open before the first request.
    pub async fn run(self, duration: Duration) -> Seen {
        let mut open = Vec::new();
        for _ in 0..self.connections {
            open.push(Connection::open(self.address).await.expect("a connection"));
        }
        let count = (duration.as_millis() / SLICE.as_millis()) as usize + 1;
        let slices: Arc<[AtomicU32]> = (0..count).map(|_| AtomicU32::new(0)).collect();
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        let mut waiting = Vec::new();
        for (number, connection) in open.into_iter().enumerate() {
            let (sender, due) = unbounded_channel();
            waiting.push(sender);
            let (load, slices) = (self.clone(), slices.clone());
            let one = One { load, number, slices, began, until: began + duration, due };
            tasks.spawn(one.run(connection));
        }
        if let Manner::Due(rate) = self.manner {
            std::thread::spawn(move || keep_time(began, duration, rate, &waiting));
        }
        let mut seen = Seen::default();
        while let Some(one) = tasks.join_next().await {
            let mut one = one.expect("it does not panic");
            seen.kept.append(&mut one.kept);
            seen.merge(&one);
        }
        seen.elapsed = began.elapsed().min(duration);
        seen.slices = slices.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        seen
    }
}

/// Tells each connection in turn when its next request is due. A thread of its own, since the runtime's timer knows whole
/// milliseconds only.
fn keep_time(began: Instant, duration: Duration, rate: f64, waiting: &[UnboundedSender<Instant>]) {
    for (number, connection) in (0_u32..).zip(waiting.iter().cycle()) {
        let due = Duration::from_secs_f64(f64::from(number) / rate);
        if due >= duration {
            break;
        }
        std::thread::sleep((began + due).saturating_duration_since(Instant::now()));
        if connection.send(began + due).is_err() {
            break;
        }
    }
}

/// One connection of a load.
struct One {
    load: Load,
    number: usize,
    slices: Arc<[AtomicU32]>,
    began: Instant,
    until: Instant,
    /// When its requests are due, where they are by the clock.
    due: UnboundedReceiver<Instant>,
}

impl One {
    async fn run(mut self, connection: Connection) -> Seen {
        let mut seen = Seen::default();
        let mut connection = Some(connection);
        let mut turn = 0_u64;
        for index in (self.number..).step_by(self.load.connections) {
            if let Manner::Open(rate) = self.load.manner {
                let period = Duration::from_secs_f64(self.load.connections as f64 / rate);
                let offset = period.mul_f64(self.number as f64 / self.load.connections as f64);
                let late = self.began.elapsed().saturating_sub(offset).as_secs_f64() / period.as_secs_f64();
                seen.missed += (late as u64).saturating_sub(turn);
                turn = turn.max(late as u64);
                let next = self.began + offset + period.mul_f64(turn as f64);
                turn += 1;
                sleep_until(next.min(self.until).into()).await;
            }
            let due = match self.load.manner {
                Manner::Due(_) => match self.due.recv().await {
                    Some(due) => Some(due),
                    None => break,
                },
                _ if Instant::now() >= self.until => break,
                _ => None,
            };
            if connection.is_none() {
                connection = Connection::open(self.load.address).await.ok();
            }
            let request = &self.load.requests[index % self.load.requests.len()];
            let sent = due.unwrap_or_else(Instant::now);
            let reply = match &mut connection {
                Some(connection) => connection.ask(request).await,
                None => Err(std::io::ErrorKind::NotConnected.into()),
            };
            let took = sent.elapsed();
            let broken = Reply { status: 0, wait: None, last: true };
            let reply = reply.unwrap_or(broken);
            seen.note(reply, took);
            match reply.status {
                200 | 201 => {
                    if let (true, Some(connection)) = (self.load.keep, &connection) {
                        seen.kept.push(connection.content().into());
                    }
                    let slice = (self.began.elapsed().as_millis() / SLICE.as_millis()) as usize;
                    if let Some(count) = self.slices.get(slice) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                // Whoever waits as told waits a little longer, never less.
                429 | 503 if matches!(self.load.manner, Manner::Polite) => {
                    let wait = reply.wait.unwrap_or_default();
                    sleep(wait.min(self.until.saturating_duration_since(Instant::now()))).await;
                }
                _ => {}
            }
            if reply.last {
                connection = None;
            }
        }
        seen
    }
}
