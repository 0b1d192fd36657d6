//! When nobody has anything better to do: then what waits becomes a group.
//!
//! A group costs a write, a sync and some waking of threads, however many entries it has. While all workers are busy more entries
//! are on their way, and a group that is closed at once takes the processor from those who make them. As soon as one worker
//! finds nothing to do there is a processor for the group, and nobody to wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

    /// Whether a worker has nothing to do now.
    pub fn is_now(&self) -> bool {
        self.idle.load(Ordering::SeqCst) > 0
    }

    /// Lets those who wait look whether they still want to.
    pub(super) fn look(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let _lock = self.lock();
            self.changed.notify_all();
        }
    }

    /// Waits for a lull, or until `enough`, about which [`look`](Self::look) has to tell, and no longer than `longest`.
    pub(super) fn wait(&self, longest: Duration, enough: impl Fn() -> bool) {
        let goes_on = || !self.is_now() && !enough();
        if !goes_on() {
            return;
        }
        let lock = self.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.changed.wait_timeout_while(lock, longest, |()| goes_on()));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    const FOR_EVER: Duration = Duration::from_secs(3600);

    /// Does something once a thread waits, which ends the wait.
    fn ends_it(lulls: &Lulls, enough: &AtomicBool, end: impl FnOnce()) {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lulls.wait(FOR_EVER, || enough.load(Ordering::SeqCst)));
            while lulls.waiting.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            assert!(!waiting.is_finished(), "all workers are busy");
            end();
        });
    }

    #[test]
    fn a_lull_is_waited_for_until_one_begins_or_it_is_enough() {
        let (lulls, enough) = (Lulls::default(), AtomicBool::new(false));
        ends_it(&lulls, &enough, || lulls.begins());
        lulls.wait(FOR_EVER, || false);
        lulls.ends();
        ends_it(&lulls, &enough, || {
            enough.store(true, Ordering::SeqCst);
            lulls.look();
        });
        lulls.wait(FOR_EVER, || true);
    }

    #[test]
    fn nobody_waits_for_ever() {
        Lulls::default().wait(Duration::from_millis(1), || false);
    }
}
