//! When nobody has anything better to do: then what waits becomes a group.
//!
//! A group costs a write, a sync and some waking of threads, however many entries it has. While all workers are busy more entries
//! are on their way, and a group that is closed at once takes the processor from those who make them. As soon as one worker
//! finds nothing to do there is a processor for the group, and nobody to wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// No group waits longer for a lull: workers may be busy with other things than entries. Who has the machine to himself meets a
/// lull at once, so this bounds what others' work costs an entry, and makes no groups.
const LONGEST: Duration = Duration::from_millis(2);

/// How many of a runtime's workers have nothing to do, and who waits for that. The workers tell.
#[derive(Default)]
pub struct Lulls {
    idle: AtomicUsize,
    waiting: AtomicUsize,
    mutex: Mutex<()>,
    changed: Condvar,
}

impl Lulls {
    /// A worker has found nothing to do.
    pub fn begins(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
        self.look();
    }

    /// It has something to do again.
    pub fn ends(&self) {
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// Lets those who wait look whether they still want to.
    pub(super) fn look(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let _lock = self.lock();
            self.changed.notify_all();
        }
    }

    /// Waits for a lull, or until `enough`, about which [`look`](Self::look) has to tell.
    pub(super) fn wait(&self, enough: impl Fn() -> bool) {
        let goes_on = || self.idle.load(Ordering::SeqCst) == 0 && !enough();
        if !goes_on() {
            return;
        }
        let lock = self.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.changed.wait_timeout_while(lock, LONGEST, |()| goes_on()));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
