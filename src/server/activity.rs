//! What goes on on one connection, and since when its peer keeps the server waiting.

use super::limits::Timeouts;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The time, by tokio's timers.
#[expect(clippy::disallowed_methods, reason = "tokio's timers take its own instants")]
pub fn now() -> Instant {
    Instant::now()
}

/// One connection's.
pub struct Activity {
    state: Mutex<State>,
    leave: Notify,
}

struct State {
    /// Requests begun on this connection, ever.
    started: u64,
    /// Requests that are not yet answered to their last octet.
    underway: usize,
    /// Since when none is under way.
    quiet_since: Instant,
    /// What the peer has still to send or to take, oldest first, each with its number. There are few: a connection has no more requests
    /// at once than HTTP/2 is told.
    waits: Vec<(u64, Instant, Awaited)>,
    next_wait: u64,
    /// Since when it holds room for a large head.
    large_head: Option<Instant>,
    /// Requests that wait for memory, and who reads on when none does.
    short: usize,
    reader: Option<Waker>,
    leaving: Option<Leave>,
}

/// How a connection is told to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    /// Finish what is under way, in the usual time.
    Gently,
    /// Finish what is under way, if that is soon.
    Soon,
    /// Leave everything.
    AtOnce,
}

/// What the server waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// That the peer sends the body that it announced.
    Body,
    /// That the peer takes the answer that it asked for.
    Taking,
}

impl Activity {
    /// Of a connection that begins now.
    pub fn new() -> Self {
        let state = State {
            started: 0,
            underway: 0,
            quiet_since: now(),
            waits: Vec::new(),
            next_wait: 0,
            large_head: None,
            short: 0,
            reader: None,
            leaving: None,
        };
        Self { state: Mutex::new(state), leave: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests have begun.
    pub fn started(&self) -> u64 {
        self.state().started
    }

    /// A request begins; it ends when what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> Underway {
        let mut state = self.state();
        state.started += 1;
        state.underway += 1;
        drop(state);
        Underway(self.clone())
    }

    /// A request waits for memory, until what is returned is dropped.
    pub fn short(self: &Arc<Self>) -> Short {
        self.state().short += 1;
        Short(self.clone())
    }

    /// How many requests have begun, once none of them waits for memory: until then nothing more is read.
    pub fn poll_settled(&self, context: &Context<'_>) -> Poll<u64> {
        let mut state = self.state();
        if state.short == 0 {
            return Poll::Ready(state.started);
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether no more than one request is under way.
    pub fn is_of_one(&self) -> bool {
        self.state().underway <= 1
    }

    /// The peer is waited for, until what is returned is dropped.
    pub fn wait(self: &Arc<Self>, what: Awaited) -> Wait {
        let mut state = self.state();
        let key = state.next_wait;
        state.next_wait += 1;
        state.waits.push((key, now(), what));
        drop(state);
        Wait { activity: self.clone(), key }
    }

    /// Whether room is held for a head that is not whole yet.
    pub fn hold_large_head(&self, held: bool) {
        self.state().large_head = held.then(now);
    }

    /// Whether a request is under way for which nothing is missing of the peer.
    pub fn is_at_work(&self) -> bool {
        let state = self.state();
        state.underway > state.waits.len()
    }

    /// Whether all that is under way waits for nothing but that the peer takes it.
    pub fn is_stalled(&self) -> bool {
        let state = self.state();
        let taking = state.waits.iter().filter(|(.., what)| *what == Awaited::Taking).count();
        state.underway > 0 && state.underway <= taking
    }

    /// When something may be overdue, as far as it is known now. Waits that begin later are overdue later.
    pub fn look_again(&self, timeouts: &Timeouts) -> Instant {
        let state = self.state();
        let later = now() + timeouts.take.min(timeouts.idle);
        state.deadline(timeouts).map_or(later, |deadline| deadline.min(later))
    }

    /// Whether the peer has been waited for long enough.
    pub fn is_overdue(&self, timeouts: &Timeouts) -> bool {
        self.state().deadline(timeouts).is_some_and(|deadline| deadline <= now())
    }

    /// Since when the peer keeps the server waiting, when it does. With `holding`, only of a peer for whom memory is held.
    pub fn waiting_since(&self, holding: bool) -> Option<Instant> {
        let state = self.state();
        let oldest = state.waits.first().map(|(_, since, _)| *since);
        match state.underway {
            _ if state.leaving >= Some(Leave::Soon) => None,
            // Others' requests under way on the connection are no reason to keep a head for ever.
            _ if holding => oldest.into_iter().chain(state.large_head).min(),
            0 => Some(state.quiet_since),
            _ => oldest,
        }
    }

    /// Tells the connection to make room.
    pub fn tell_to_leave(&self, how: Leave) {
        let mut state = self.state();
        state.leaving = state.leaving.max(Some(how));
        drop(state);
        self.leave.notify_one();
    }

    /// How it was told to leave, if it was.
    pub fn leaving(&self) -> Option<Leave> {
        self.state().leaving
    }

    /// Ends when the connection is told to make room, or told so anew.
    pub async fn told_to_leave(&self) -> Leave {
        self.leave.notified().await;
        self.leaving().unwrap_or(Leave::Soon)
    }
}

impl State {
    fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        match (self.underway, self.started) {
            (0, 0) => Some(self.quiet_since + timeouts.head),
            (0, _) => Some(self.quiet_since + timeouts.idle),
            // Bodies have a time-out of their own, which answers.
            _ => {
                let taking = self.waits.iter().find(|(.., what)| *what == Awaited::Taking);
                taking.map(|(_, since, _)| *since + timeouts.take)
            }
        }
    }
}

/// A request that is under way, until this is dropped.
pub struct Underway(Arc<Activity>);

impl Underway {
    /// The connection's.
    pub const fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.underway = state.underway.saturating_sub(1);
        state.quiet_since = now();
    }
}

/// A request that waits for memory, until this is dropped.
pub struct Short(Arc<Activity>);

impl Drop for Short {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.short = state.short.saturating_sub(1);
        let reader = if state.short == 0 { state.reader.take() } else { None };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Something that the peer is waited for, until this is dropped.
pub struct Wait {
    activity: Arc<Activity>,
    key: u64,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.activity.state().waits.retain(|(key, ..)| *key != self.key);
    }
}

/// How long ago that was.
pub fn since(instant: Instant) -> Duration {
    now().saturating_duration_since(instant)
}
