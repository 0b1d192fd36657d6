//! Admission: how many certificates are in the making at once, and who shares the places.
//!
//! A server that takes more than it can do answers everybody late. So a request gets a place before the expensive part of its
//! way (the proof's verification, two signatures of the CA, the log), or is refused at once with `OVERLOADED` and a time to wait.
//! `pace` says how many places there are, from what the machine has finished lately; `shares` says who gets one.
//!
//! A place is counted for whom the *verified* token names, never for a claim: so a forged token takes nothing from anybody.
//! Before the signature is verified the claimed name serves for one thing only: when the place would be refused to that name
//! anyway, it is refused without the work of verifying ([`Admission::foresee`]). That costs whoever is named nothing, since nothing
//! is counted by it. And where nobody at all could get a place, not even the request's body is looked at
//! ([`Admission::is_full`]).
//!
//! What nobody has read yet has no place and is not counted. How long it waits shows in `unread`, which refuses a part of those who
//! come when that gets too long.
//!
//! Waiting for an issuer's keys is a queue too, of requests that nobody has verified yet. It is bounded and shared in the same
//! way by the claimed issuer; tokens whose keys are at hand never stand in it.

mod pace;
mod shares;
mod unread;

pub use shares::Sharer;
pub use unread::{Unread, Waits};

use crate::environment::{Random, Stopwatch};
use crate::refusal::{Reason, Refusal};
use pace::Pace;
use shares::Shares;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Requests that may wait for issuers' keys.
const WAITING: usize = 1024;
/// `Retry-After` is between one second and this many, so that those who were refused together do not come back together.
const LONGEST_WAIT_SECONDS: u8 = 3;

/// Gives out places.
pub struct Admission {
    state: Arc<Mutex<State>>,
    stopwatch: Arc<dyn Stopwatch>,
    random: Arc<dyn Random>,
    names: RandomState,
    unread: Arc<Unread>,
    refused: [AtomicU64; Stage::ALL.len()],
}

struct State {
    pace: Pace,
    making: Shares,
    waiting: Shares,
}

/// Where on its way a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before its body was parsed: nobody could get a place, or too many wait unread.
    Full,
    /// Before its token was verified: whom it names would get no place.
    Claimed,
    /// Once its token was verified: whoever it names has its share.
    Verified,
    /// Too many wait for the keys of its issuer.
    Keys,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Full, Self::Claimed, Self::Verified, Self::Keys];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Claimed => "claimed",
            Self::Verified => "verified",
            Self::Keys => "keys",
        }
    }
}

/// What is going on, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Occupancy {
    /// How many certificates are in the making.
    pub making: usize,
    /// Until how many everybody is admitted.
    pub limit: usize,
    /// Those in the making by issuer, as configured.
    pub by_issuer: Vec<(Arc<str>, usize)>,
    /// Refused so far, by stage.
    pub refused: Vec<(&'static str, u64)>,
}

impl Admission {
    /// With every place free.
    pub fn new(stopwatch: Arc<dyn Stopwatch>, random: Arc<dyn Random>) -> Self {
        let pace = Pace::new(stopwatch.elapsed());
        let state = State { pace, making: Shares::default(), waiting: Shares::default() };
        Self {
            state: Arc::new(Mutex::new(state)),
            stopwatch,
            random,
            names: RandomState::new(),
            unread: Arc::default(),
            refused: Default::default(),
        }
    }

    /// Whom a token names: `issuer` is the configured one, `iss` the token's, `project` its project or subject.
    pub fn sharer(&self, issuer: Arc<str>, iss: &str, project: &str) -> Sharer {
        Sharer { issuer, project: self.names.hash_one((iss, project)) }
    }

    /// The same as beside another admission: what waits unread, waits for both.
    #[must_use]
    pub fn beside(self, unread: Arc<Unread>) -> Self {
        Self { unread, ..self }
    }

    /// What waits unread, for who measures it.
    pub const fn unread(&self) -> &Arc<Unread> {
        &self.unread
    }

    /// Refuses when nobody could get a place, whoever it is; and a part of all when too many wait unread.
    ///
    /// # Errors
    /// [`Reason::Overloaded`], as with all that follow.
    pub fn is_full(&self) -> Result<(), Refusal> {
        if self.unread.refuses_next() {
            return Err(self.refuse(Stage::Full));
        }
        let state = self.state();
        let full = state.making.is_full(state.pace.limit());
        drop(state);
        if full { Err(self.refuse(Stage::Full)) } else { Ok(()) }
    }

    /// Whether places are short: some who come now get none.
    pub fn is_short(&self) -> bool {
        let state = self.state();
        state.making.total() >= state.pace.limit()
    }

    /// Refuses when whom the unverified token names would get no place. Counts nothing.
    pub fn foresee(&self, claimed: &Sharer) -> Result<(), Refusal> {
        let state = self.state();
        let admits = state.making.admits(claimed, state.pace.limit());
        drop(state);
        if admits { Ok(()) } else { Err(self.refuse(Stage::Claimed)) }
    }

    /// A place for whom the verified token names.
    pub fn admit(&self, verified: Sharer) -> Result<Place, Refusal> {
        let mut state = self.state();
        if !state.making.admits(&verified, state.pace.limit()) {
            drop(state);
            return Err(self.refuse(Stage::Verified));
        }
        let others = state.making.total();
        state.pace.entered(others);
        state.making.take(&verified);
        drop(state);
        let stopwatch = self.stopwatch.clone();
        Ok(Place { state: self.state.clone(), stopwatch, sharer: verified, finished: false })
    }

    /// A place among those that wait for issuers' keys. `issuer` is the configured one that the unverified token names: all its
    /// tokens wait for the same fetches.
    pub fn wait_for_keys(&self, issuer: Arc<str>) -> Result<Waiting, Refusal> {
        let claimed = Sharer { issuer, project: 0 };
        let mut state = self.state();
        if !state.waiting.admits(&claimed, WAITING) {
            drop(state);
            return Err(self.refuse(Stage::Keys));
        }
        state.waiting.take(&claimed);
        drop(state);
        Ok(Waiting { state: self.state.clone(), sharer: claimed })
    }

    /// What is going on.
    pub fn occupancy(&self) -> Occupancy {
        let state = self.state();
        let by_issuer = state.making.by_issuer().map(|(issuer, places)| (issuer.clone(), places)).collect();
        let (making, limit) = (state.making.total(), state.pace.limit());
        drop(state);
        let counts = Stage::ALL.iter().zip(&self.refused);
        let refused = counts.map(|(stage, count)| (stage.name(), count.load(Ordering::Relaxed))).collect();
        Occupancy { making, limit, by_issuer, refused }
    }

    fn refuse(&self, stage: Stage) -> Refusal {
        if let Some(count) = self.refused.get(stage as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut byte = [0];
        self.random.fill(&mut byte);
        let seconds = byte.iter().sum::<u8>() % LONGEST_WAIT_SECONDS + 1;
        Refusal::new(Reason::Overloaded).retry_after(Duration::from_secs(seconds.into()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Counts stay true whoever panics: each change of them is one call.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the certificates in the making. It is given back when this is dropped, on whatever path.
#[must_use = "the place is given back at once"]
pub struct Place {
    state: Arc<Mutex<State>>,
    stopwatch: Arc<dyn Stopwatch>,
    sharer: Sharer,
    finished: bool,
}

impl Place {
    /// The certificate is there: the place is given back, and its time tells the machine's pace.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.stopwatch.elapsed();
        let mut state = lock(&self.state);
        state.making.give_back(&self.sharer);
        let left = state.making.total();
        state.pace.left(now, left, self.finished);
    }
}

/// A place among those that wait for keys, given back when this is dropped.
#[must_use = "the place is given back at once"]
pub struct Waiting {
    state: Arc<Mutex<State>>,
    sharer: Sharer,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.state).waiting.give_back(&self.sharer);
    }
}

#[cfg(test)]
mod tests;
