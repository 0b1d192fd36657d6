//! How long to wait before something is tried again.

use crate::environment::Random;
use std::time::Duration;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_secs(1);
/// The bound of every later one.
const LONGEST: Duration = Duration::from_secs(300);
/// What GitLab may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// The same where a token lives meanwhile, which is worse than one call too many.
const LONGEST_ASKED_OF_A_REVOCATION: Duration = Duration::from_secs(60);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A token is to be made, or a credential to be looked at: nothing gets worse meanwhile.
    Making,
    /// A token is to die, or to be looked for so that it dies.
    Ending,
}

/// The wait after `failures` calls that failed, the first of them counted: up to 1 s, doubling up to 5 min, with full jitter, so that those who
/// failed together do not come again together. What GitLab asked for goes before, up to an hour, or a minute where a token is to die.
pub(super) fn wait(
    purpose: Purpose,
    failures: u32,
    asked: Option<Duration>,
    random: &dyn Random,
) -> Duration {
    let bound = bound(failures);
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    let share = u64::from_be_bytes(bytes) as f64 / u64::MAX as f64;
    bound.mul_f64(share).max(heeded(purpose, asked))
}

/// What is heeded of a wait that GitLab asks for.
pub(super) fn heeded(purpose: Purpose, asked: Option<Duration>) -> Duration {
    let most = match purpose {
        Purpose::Making => LONGEST_ASKED,
        Purpose::Ending => LONGEST_ASKED_OF_A_REVOCATION,
    };
    asked.unwrap_or_default().min(most)
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
        let longest: Vec<_> =
            (1..=11).map(|tries| wait(Purpose::Ending, tries, None, &Always(255)).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait(Purpose::Ending, u32::MAX, None, &Always(255)).as_secs(), 300);
        assert_eq!(wait(Purpose::Ending, 9, None, &Always(0)), Duration::ZERO);
        assert!((120..136).contains(&wait(Purpose::Ending, 9, None, &Always(128)).as_secs()));
    }

    #[test]
    fn gitlab_may_ask_for_more_but_not_for_ever() {
        let asked = |purpose, secs| wait(purpose, 1, Some(Duration::from_secs(secs)), &Always(255)).as_secs();
        for (purpose, longest) in [(Purpose::Making, 3600), (Purpose::Ending, 60)] {
            assert_eq!([0, 30, u64::MAX].map(|secs| asked(purpose, secs)), [1, 30, longest]);
        }
    }
}
