//! How long to wait before something is tried again.

use crate::environment::Random;
use std::time::Duration;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_secs(1);
/// The bound of every later one.
const LONGEST: Duration = Duration::from_secs(300);
/// What GitLab may ask for: a wait without a bound would be a way to make tokens live for ever.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The wait after `failures` calls that failed, the first of them counted: up to 1 s, doubling up to 5 min, with full jitter, so that those who
/// failed together do not come again together. What GitLab asked for goes before, up to an hour.
pub(super) fn wait(failures: u32, asked: Option<Duration>, random: &dyn Random) -> Duration {
    let bound = bound(failures);
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    let share = u64::from_be_bytes(bytes) as f64 / u64::MAX as f64;
    bound.mul_f64(share).max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// The longest that this wait may be where GitLab asks for nothing.
pub(super) fn bound(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn waits_double_to_five_minutes_and_are_spread_over_all_of_it() {
        let longest: Vec<_> = (1..=11).map(|tries| wait(tries, None, &Always(255)).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait(u32::MAX, None, &Always(255)).as_secs(), 300);
        assert_eq!(wait(9, None, &Always(0)), Duration::ZERO);
        assert!((120..136).contains(&wait(9, None, &Always(128)).as_secs()));
    }

    #[test]
    fn gitlab_may_ask_for_more_but_not_for_ever() {
        let asked = |secs| wait(1, Some(Duration::from_secs(secs)), &Always(255)).as_secs();
        assert_eq!([asked(0), asked(30), asked(u64::MAX)], [1, 30, 3600]);
    }
}
