//! All connections of one listener, and the room that they share: places and memory.
//!
//! Room is waited for, never refused here. Meanwhile those who have kept the server waiting the longest are closed, so that
//! peers who do nothing, or everything slowly, never keep others out.

use super::activity::{Activity, now, since};
use super::limits::Limits;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// Memory is counted in pieces of this size.
const PIECE: usize = 1024;
/// How often those who wait for room look for somebody to close.
const LOOK: Duration = Duration::from_millis(20);
/// One in so many of those who could be closed is closed at a time, so that a look makes room for more than one.
const SHARE: usize = 64;

/// The connections of one listener.
pub struct Crowd {
    limits: Limits,
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    known: HashMap<u64, Arc<Activity>>,
    next: u64,
    /// When somebody was last closed to make room.
    relieved: Option<Instant>,
}

/// Room that is held, until this is dropped.
pub type Room = OwnedSemaphorePermit;

impl Crowd {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            memory: Arc::new(Semaphore::new(limits.memory / PIECE)),
            members: Mutex::default(),
            limits,
        }
    }

    /// What they may take.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.members().known.len()
    }

    /// How many octets are held for peers.
    pub fn held(&self) -> usize {
        self.limits.memory.saturating_sub(self.memory.available_permits() * PIECE)
    }

    /// Ends when no connection is open.
    pub async fn gone(&self) {
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        // An error: the semaphore is closed, which nobody does.
        let _ = self.places.acquire_many(all).await;
    }

    /// A place for a connection, when there is one.
    pub async fn place(&self) -> Option<Room> {
        self.room(&self.places, 1, false).await
    }

    /// A place for a connection, if there is one now.
    pub fn place_now(&self) -> Option<Room> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Memory for so many octets, when there is some. Nobody gets more than half of all.
    pub async fn memory(&self, octets: usize) -> Option<Room> {
        self.room(&self.memory, self.pieces(octets), true).await
    }

    fn pieces(&self, octets: usize) -> u32 {
        u32::try_from(octets.min(self.limits.memory / 2).div_ceil(PIECE)).unwrap_or(u32::MAX)
    }

    /// `None` only if the semaphore is closed, which nobody does.
    async fn room(&self, of: &Arc<Semaphore>, pieces: u32, holding: bool) -> Option<Room> {
        if let Ok(room) = of.clone().try_acquire_many_owned(pieces) {
            return Some(room);
        }
        let mut room = std::pin::pin!(of.clone().acquire_many_owned(pieces));
        loop {
            self.relieve(holding);
            tokio::select! {
                room = room.as_mut() => return room.ok(),
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Tells those to leave who have kept the server waiting the longest, `holding` memory if that is what is short.
    fn relieve(&self, holding: bool) {
        let mut waiting = {
            let mut members = self.members();
            if members.relieved.is_some_and(|relieved| since(relieved) < LOOK) {
                return;
            }
            members.relieved = Some(now());
            let waiting = members.known.values().filter_map(|activity| {
                let begun = activity.waiting_since(holding)?;
                (since(begun) >= self.limits.timeouts.patience).then(|| (begun, activity.clone()))
            });
            waiting.collect::<Vec<_>>()
        };
        waiting.sort_unstable_by_key(|(begun, _)| *begun);
        let leaving = waiting.len().div_ceil(SHARE);
        for (_, activity) in waiting.iter().take(leaving) {
            activity.tell_to_leave();
        }
        if leaving > 0 {
            let short = if holding { "memory" } else { "connections" };
            tracing::debug!(short, closed = leaving, "connections that kept waiting are closed to make room");
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection comes; it is gone when what is returned is dropped.
    pub fn join(self: &Arc<Self>, place: Option<Room>) -> Member {
        let activity = Arc::new(Activity::new());
        let mut members = self.members();
        let id = members.next;
        members.next += 1;
        members.known.insert(id, activity.clone());
        drop(members);
        Member { crowd: self.clone(), id, activity, _place: place }
    }
}

/// One connection among the others.
pub struct Member {
    crowd: Arc<Crowd>,
    id: u64,
    activity: Arc<Activity>,
    /// Given back when the connection is gone.
    _place: Option<Room>,
}

impl Member {
    /// The others.
    pub const fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }

    /// What goes on on it.
    pub const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.crowd.members().known.remove(&self.id);
    }
}
