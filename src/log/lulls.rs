//! When nobody has anything better to do: then what waits becomes a group.
//!
//! A group costs a write, a sync and some waking of threads, however many entries it has. While workers are busy more entries
//! are on their way, and a group that is closed at once takes the processor from those who make them. As soon as most workers
//! have nothing to do there is a processor for the group, and hardly anybody to wait for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many of a runtime's workers have nothing to do, and who waits for that. The workers tell.
#[derive(Default)]
pub struct Lulls {
    /// How many there are; 0: not known yet, and each is enough.
    workers: AtomicUsize,
    idle: AtomicUsize,
    /// Whether somebody waits who was not told since.
    waiting: AtomicBool,
    mutex: Mutex<()>,
    changed: Condvar,
}

impl Lulls {
    /// So many workers there are.
    pub fn of_workers(&self, count: usize) {
        self.workers.store(count, Ordering::SeqCst);
        self.look();
    }

    /// A worker has found nothing to do.
    pub fn begins(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
        if self.is_now() {
            self.look();
        }
    }

    /// It has something to do again.
    pub fn ends(&self) {
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether most workers have nothing to do now: of one it, of two both.
    pub fn is_now(&self) -> bool {
        self.idle.load(Ordering::SeqCst) > self.workers.load(Ordering::SeqCst) / 2
    }

    /// Lets those who wait look whether they still want to.
    pub(super) fn look(&self) {
        // Told once, until they wait again: each telling is a system call.
        if self.waiting.swap(false, Ordering::SeqCst) {
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
        // Asked again each time after saying that it waits: what changed before that is seen, and what changes later is told.
        let waits = |(): &mut ()| {
            self.waiting.store(true, Ordering::SeqCst);
            goes_on()
        };
        drop(self.changed.wait_timeout_while(self.lock(), longest, waits));
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const FOR_EVER: Duration = Duration::from_secs(3600);

    /// Does something once a thread waits, which ends the wait.
    fn ends_it(lulls: &Lulls, enough: &AtomicBool, end: impl FnOnce()) {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lulls.wait(FOR_EVER, || enough.load(Ordering::SeqCst)));
            while !lulls.waiting.load(Ordering::SeqCst) {
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
    fn most_workers_have_to_be_idle() {
        for (workers, enough) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (64, 33)] {
            let lulls = Lulls::default();
            lulls.of_workers(workers);
            for _ in 1..enough {
                lulls.begins();
                assert!(!lulls.is_now(), "{workers}");
            }
            lulls.begins();
            assert!(lulls.is_now(), "{workers}");
            lulls.ends();
            assert!(!lulls.is_now(), "{workers}");
        }
    }

    #[test]
    fn nobody_waits_for_ever() {
        Lulls::default().wait(Duration::from_millis(1), || false);
    }
}
