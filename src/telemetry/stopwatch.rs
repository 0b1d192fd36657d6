//! The machine's monotonic clock: the one place that asks for it.

use crate::environment::Stopwatch;
use std::time::{Duration, Instant};

/// Measures from when it was made.
pub struct MonotonicClock(Instant);

impl MonotonicClock {
    /// Zero is now.
    #[expect(
        clippy::disallowed_methods,
        reason = "durations for logs, metrics and the pace of work: nothing about a certificate is decided by them"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Stopwatch for MonotonicClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
