//! The machine's clock and random bytes: the one place that asks for them.

use crate::environment::{Clock, Random, Stopwatch, UnixMillis};
use crate::log::Lulls;
use crate::signer::Password;
use crate::telemetry::MonotonicClock;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Clock and randomness, as the server hands them to its parts.
#[derive(Clone)]
pub struct Environment {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// The password of the CA's key, where the environment has it; it goes before `password_file`.
    pub ca_key_password: Option<Password>,
    /// How long things take, for logs and metrics.
    pub stopwatch: Arc<dyn Stopwatch>,
    /// When the runtime's workers have nothing to do, where they tell.
    pub lulls: Option<Arc<Lulls>>,
}

/// The environment variable with the password of the CA's key.
pub const CA_KEY_PASSWORD: &str = "COUNTERSIGN_CA_KEY_PASSWORD";

impl Environment {
    /// The machine's own.
    pub fn system() -> Self {
        let password =
            std::env::var(CA_KEY_PASSWORD).ok().filter(|text| !text.is_empty()).map(Zeroizing::new);
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            ca_key_password: password.map(|text| Password::new(&text)),
            stopwatch: Arc::new(MonotonicClock::start()),
            lulls: None,
        }
    }
}

/// The machine's clock.
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    fn now(&self) -> UnixMillis {
        let since_1970 =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The operating system's generator, through aws-lc.
struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for random bytes")]
    #[expect(
        clippy::expect_used,
        reason = "without random bytes nothing may be issued; aws-lc aborts in that case itself"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system's random generator works");
    }
}
