//! All connections of one listener, and the room that they share: places and memory.
//!
//! A place is waited for; memory too, but not for long. Meanwhile those who have kept the server waiting the longest are closed,
//! so that peers who do nothing, or everything slowly, never keep others out. Where newcomers go on waiting, places change
//! hands although nobody keeps the server waiting: whoever is merely there has no right to stay.

use super::activity::{Activity, Leave, now, since};
use super::limits::Limits;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// Memory is counted in pieces of this size.
const PIECE: usize = 1024;
/// How often those who wait for room look for somebody to close.
const LOOK: Duration = Duration::from_millis(20);
/// Newcomers wait without a pause where the next one comes so soon, or at least as soon as patience ends.
const PAUSE: Duration = Duration::from_millis(200);
/// One in so many of those who could be closed is closed at a time, so that a look makes room for more than one.
const SHARE: usize = 64;

/// The connections of one listener.
pub struct Crowd {
    limits: Limits,
    places: Arc<Semaphore>,
    heads: Budget,
    parked: Budget,
    requests: Budget,
    large: Budget,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    /// In the order in which they came.
    known: BTreeMap<u64, Arc<Activity>>,
    next: u64,
    /// When somebody was last closed to make room.
    relieved: Option<Instant>,
    /// Since when newcomers wait for places without a pause, and when one was last seen to wait.
    pressed: Option<(Instant, Instant)>,
    /// When those who are at work were last told to go.
    parted: Option<Instant>,
}

/// Room that is held, until this is dropped.
pub type Room = OwnedSemaphorePermit;

/// There was no memory in time.
#[derive(Clone, Copy, Debug)]
pub struct NoRoom;

/// One part of the memory.
struct Budget {
    octets: usize,
    free: Arc<Semaphore>,
}

impl Budget {
    fn new(octets: usize) -> Self {
        Self { octets, free: Arc::new(Semaphore::new(octets / PIECE)) }
    }

    fn held(&self) -> usize {
        (self.octets / PIECE).saturating_sub(self.free.available_permits()) * PIECE
    }

    /// Nobody gets more than half of all.
    fn pieces(&self, octets: usize) -> u32 {
        u32::try_from(octets.min(self.octets / 2).div_ceil(PIECE)).unwrap_or(u32::MAX)
    }

    fn now(&self, octets: usize) -> Option<Room> {
        self.free.clone().try_acquire_many_owned(self.pieces(octets)).ok()
    }
}

impl Crowd {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Self {
        let memory = limits.memory;
        Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            heads: Budget::new(memory.heads),
            parked: Budget::new(memory.parked),
            requests: Budget::new(memory.requests),
            large: Budget::new(memory.large),
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
        [&self.heads, &self.parked, &self.requests, &self.large].map(Budget::held).iter().sum()
    }

    /// Ends when no connection is open.
    pub async fn gone(&self) {
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        // An error: the semaphore is closed, which nobody does.
        let _ = self.places.acquire_many(all).await;
    }

    /// A place for a connection, when there is one.
    pub async fn place(&self) -> Option<Room> {
        if let Some(room) = self.place_now() {
            return Some(room);
        }
        self.room(&self.places, 1, || self.relieve_places()).await
    }

    /// A place for a connection, if there is one now.
    pub fn place_now(&self) -> Option<Room> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Memory for a head that is not whole yet, when there is some. Nothing of it is read before.
    pub async fn large_head(&self, octets: usize) -> Option<Room> {
        self.memory(&self.heads, octets).await
    }

    /// Memory for a request that waits, if there is some now.
    pub fn parked_now(&self, octets: usize) -> Option<Room> {
        self.parked.now(octets)
    }

    /// Memory for a request, if there is some now.
    pub fn request_now(&self, octets: usize) -> Option<Room> {
        self.requests.now(octets)
    }

    /// Memory for a request.
    pub async fn request(&self, octets: usize) -> Result<Room, NoRoom> {
        self.memory_in_time(&self.requests, octets).await
    }

    /// Memory for a body or an answer, for a request that has its own.
    pub async fn large(&self, octets: usize) -> Result<Room, NoRoom> {
        self.memory_in_time(&self.large, octets).await
    }

    async fn memory_in_time(&self, of: &Budget, octets: usize) -> Result<Room, NoRoom> {
        match timeout(self.limits.timeouts.room, self.memory(of, octets)).await {
            Ok(Some(room)) => Ok(room),
            _ => Err(NoRoom),
        }
    }

    async fn memory(&self, of: &Budget, octets: usize) -> Option<Room> {
        if let Some(room) = of.now(octets) {
            return Some(room);
        }
        self.room(&of.free, of.pieces(octets), || self.relieve_memory()).await
    }

    /// `None` only if the semaphore is closed, which nobody does.
    async fn room(&self, of: &Arc<Semaphore>, pieces: u32, relieve: impl Fn()) -> Option<Room> {
        let mut room = std::pin::pin!(of.clone().acquire_many_owned(pieces));
        loop {
            relieve();
            tokio::select! {
                room = room.as_mut() => return room.ok(),
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Makes memory free: who holds some and has kept the server waiting the longest is told to leave.
    fn relieve_memory(&self) {
        self.close_longest(true, self.limits.timeouts.patience);
    }

    /// The same for places. When that has not been enough for a while: those who are quiet, for however short a time. When
    /// nobody is: those who came first, after what they are at.
    fn relieve_places(&self) {
        let patience = self.limits.timeouts.patience;
        let pressed = {
            let mut members = self.members();
            let begun = match members.pressed {
                Some((begun, last)) if since(last) <= patience + PAUSE => begun,
                _ => now(),
            };
            members.pressed = Some((begun, now()));
            since(begun) >= patience
        };
        if self.close_longest(false, patience) || !pressed || self.close_longest(false, Duration::ZERO) {
            return;
        }
        let mut members = self.members();
        if members.parted.is_some_and(|parted| since(parted) < patience) {
            return;
        }
        members.parted = Some(now());
        let share = members.known.len().div_ceil(SHARE);
        for activity in members.known.values().filter(|one| one.leaving().is_none()).take(share) {
            activity.tell_to_leave(Leave::Gently);
        }
        drop(members);
        tracing::debug!("the oldest connections are closed after what they are at, to make room");
    }

    /// Tells those to leave who have kept the server waiting the longest, `holding` memory if that is what is short, and for so
    /// long at least. Whether there are any, or were
    /// a moment ago.
    fn close_longest(&self, holding: bool, patience: Duration) -> bool {
        let mut members = self.members();
        if members.relieved.is_some_and(|relieved| since(relieved) < LOOK) {
            return true;
        }
        let waiting = members.known.values().filter_map(|activity| {
            let begun = activity.waiting_since(holding)?;
            (since(begun) >= patience).then(|| (begun, activity.clone()))
        });
        let mut waiting = waiting.collect::<Vec<_>>();
        if !waiting.is_empty() {
            members.relieved = Some(now());
        }
        drop(members);
        waiting.sort_unstable_by_key(|(begun, _)| *begun);
        let leaving = waiting.len().div_ceil(SHARE);
        for (_, activity) in waiting.iter().take(leaving) {
            activity.tell_to_leave(Leave::Soon);
        }
        if leaving > 0 {
            let short = if holding { "memory" } else { "connections" };
            tracing::debug!(short, closed = leaving, "connections that kept waiting are closed to make room");
        }
        leaving > 0
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
