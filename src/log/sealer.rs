//! The sealer: a thread beside the hot path that writes each full tile once, for good.
//!
//! Tiles first, durable; only then may an append drop their entries from the head store, and the view forget them. A crash
//! between the two seals the same tiles again, byte for byte.

use super::index;
use super::ports::{StoreError, TileStore};
use super::status::{Status, Trouble, Writer};
use super::view::View;
use crate::transparency::tile::{TILE_WIDTH, tiles_completed_by};
use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle, Thread};

/// What the sealer and the others share.
#[derive(Debug)]
struct Shared {
    /// Entries below this index are in durable tiles.
    sealed: AtomicU64,
    closing: AtomicBool,
    /// How many tries have failed; with a signal whenever this or `sealed` changes.
    failures: Mutex<u64>,
    changed: Condvar,
}

/// `failures` of a sealer that has ended.
const ENDED: u64 = u64::MAX;

/// How the others reach the sealer.
#[derive(Clone, Debug)]
pub(super) struct SealerHandle {
    shared: Arc<Shared>,
    thread: Thread,
}

impl SealerHandle {
    /// Entries below this index are in durable tiles.
    pub(super) fn sealed(&self) -> u64 {
        self.shared.sealed.load(Ordering::Acquire)
    }

    /// There may be something to seal. Returns at once.
    pub(super) fn wake(&self) {
        self.thread.unpark();
    }

    /// Waits until entries below `least` are sealed, as long as sealing gets on. `false`: it does not.
    pub(super) fn wait_for(&self, least: u64) -> bool {
        let mut failures = self.shared.failures();
        let before = *failures;
        self.wake();
        while self.sealed() < least {
            if *failures != before || before == ENDED {
                return false;
            }
            failures = self.shared.changed.wait(failures).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Lets the sealer seal what is complete now, and end.
    pub(super) fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Shared {
    fn failures(&self) -> MutexGuard<'_, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the sealer. It begins at once with what a crash left unsealed.
pub(super) fn start(
    view: Arc<RwLock<View>>,
    tiles: Arc<dyn TileStore>,
    status: Arc<Status>,
    guard: Arc<dyn Any + Send + Sync>,
) -> io::Result<(SealerHandle, JoinHandle<()>)> {
    let sealed = view.read().unwrap_or_else(PoisonError::into_inner).unsealed_start;
    let shared = Arc::new(Shared {
        sealed: AtomicU64::new(sealed),
        closing: AtomicBool::new(false),
        failures: Mutex::new(0),
        changed: Condvar::new(),
    });
    let sealer = Sealer { view, tiles, status, shared: shared.clone(), _guard: guard };
    let thread = thread::Builder::new().name("log-sealer".to_owned()).spawn(move || sealer.run())?;
    Ok((SealerHandle { shared, thread: thread.thread().clone() }, thread))
}

struct Sealer {
    view: Arc<RwLock<View>>,
    tiles: Arc<dyn TileStore>,
    status: Arc<Status>,
    shared: Arc<Shared>,
    /// Kept until the last write.
    _guard: Arc<dyn Any + Send + Sync>,
}

impl Drop for Sealer {
    fn drop(&mut self) {
        *self.shared.failures() = ENDED;
        self.shared.changed.notify_all();
    }
}

impl Sealer {
    fn run(self) {
        let mut indexed = false;
        loop {
            // Asked before sealing, so that what was complete when the close came is sealed.
            let last = self.shared.closing.load(Ordering::Acquire);
            let sealed = self.seal().and_then(|()| self.timed(|tiles| tiles.check()));
            let is_sealed = sealed.is_ok();
            match sealed {
                Ok(()) => self.status.clear(Trouble::Sealing),
                Err(StoreError::NotWritten(reason)) => {
                    self.status.set(Trouble::Sealing, &reason);
                    *self.shared.failures() += 1;
                    self.shared.changed.notify_all();
                }
                Err(error) => return self.status.stop(&error.to_string()),
            }
            if last {
                return;
            }
            // Between two of them there may be something to seal.
            if is_sealed && !indexed {
                indexed = self.make_indices();
                if !indexed {
                    continue;
                }
            }
            thread::park();
        }
    }

    /// Makes the indices that are missing, as after a restore, as long as there is nothing to seal. Whether that is done.
    fn make_indices(&self) -> bool {
        let sealed = self.view.read().unwrap_or_else(PoisonError::into_inner).unsealed_start / TILE_WIDTH;
        let go_on = || !self.shared.closing.load(Ordering::Acquire) && self.next().is_none();
        index::write_missing(sealed, &*self.tiles, go_on).unwrap_or_else(|error| {
            tracing::warn!(%error, "an index of leaf hashes cannot be written; it is made at the next start");
            true
        })
    }

    /// Seals every complete tile, oldest first.
    fn seal(&self) -> Result<(), StoreError> {
        while let Some(tile) = self.next() {
            for path in tiles_completed_by(tile) {
                let content = self.view.read().unwrap_or_else(PoisonError::into_inner).tile(&path);
                let content = content
                    .ok_or_else(|| StoreError::Corrupt(format!("{path} is complete, but not at hand")))?;
                self.timed(|tiles| tiles.put(&path.to_string(), &content))?;
            }
            // Readers do without it.
            if let Err(error) = self.timed(|tiles| index::write_completed_by(tile, tiles)) {
                tracing::warn!(%error, "an index of leaf hashes cannot be written; it is made at the next start");
            }
            let sealed = (tile + 1) * TILE_WIDTH;
            self.view.write().unwrap_or_else(PoisonError::into_inner).forget_below(sealed);
            let signal = self.shared.failures();
            self.shared.sealed.store(sealed, Ordering::Release);
            drop(signal);
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Calls the store so that health sees how long it takes.
    fn timed<T>(&self, call: impl FnOnce(&dyn TileStore) -> T) -> T {
        self.status.begins(Writer::Sealer);
        let result = call(&*self.tiles);
        self.status.ends(Writer::Sealer);
        result
    }

    /// The number of the first data tile that is complete and not sealed.
    fn next(&self) -> Option<u64> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let tile = view.unsealed_start / TILE_WIDTH;
        (tile < view.head.size / TILE_WIDTH).then_some(tile)
    }
}
