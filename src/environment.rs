//! What the core may know of the machine: the time and random bytes, as arguments.
//!
//! Nothing here asks the machine; `server::environment` does, tests bring their own.

use std::fmt;
use std::time::Duration;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The point in time that many whole seconds after 1970 (JWT's NumericDate, RFC 7519 §2).
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// This time and `later` more, saturating.
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC with whole seconds, `2026-11-21T09:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match der::DateTime::from_unix_duration(Duration::from_secs(self.as_secs())) {
            Ok(date) => write!(f, "{date}"),
            Err(_) => write!(f, "{} ms after 1970", self.0),
        }
    }
}

/// The time of day.
pub trait Clock: Send + Sync {
    /// The time now. May step in either direction, as clocks of machines do.
    fn now(&self) -> UnixMillis;
}

/// A clock for durations: it never goes back, and its zero is arbitrary. For logs and metrics, and for how much work may be
/// under way at once; nothing about a certificate is decided by it. The timestamp
/// authority holds the wall clock against it.
pub trait Stopwatch: Send + Sync {
    /// The time since its zero.
    fn elapsed(&self) -> Duration;
}

/// A source of bytes that nobody can guess.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
