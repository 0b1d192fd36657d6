//! A runtime of one thread, for the operators' listener: what it tells is wanted most when all other workers are busy, and a
//! supervisor that waits for /livez behind a flood would end a server that is well.

use std::io;
use tokio::runtime::{Builder, EnterGuard, Runtime};

/// The thread; it ends when this is dropped, without being waited for.
pub struct OwnThread(Option<Runtime>);

impl OwnThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// What is spawned and bound while the guard lives belongs to the thread.
    pub fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
