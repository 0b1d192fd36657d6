//! When GitLab itself ends a token, should nobody else: the net below the broker's own revocation.

use crate::environment::UnixMillis;
use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;
/// GitLab takes no later date.
const MOST_DAYS: u64 = 365;

/// The end of a token's life at GitLab: the beginning of a day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Expiry {
    /// Days since 1970-01-01.
    days: u64,
}

impl Expiry {
    /// From `YYYY-MM-DD`, or a time of RFC 3339, of which the day counts and, where it is not midnight, the next one.
    pub fn parse(text: &str) -> Option<Self> {
        let date = text.get(..10)?;
        let midnight = der::DateTime::new(
            date.get(..4)?.parse().ok()?,
            date.get(5..7)?.parse().ok()?,
            date.get(8..10)?.parse().ok()?,
            0,
            0,
            0,
        )
        .ok()?;
        (date.as_bytes().get(4) == Some(&b'-') && date.as_bytes().get(7) == Some(&b'-')).then_some(())?;
        let is_midnight = text.len() == 10 || text.get(11..19) == Some("00:00:00");
        Some(Self { days: midnight.unix_duration().as_secs() / DAY + u64::from(!is_midnight) })
    }

    /// The moment: midnight in UTC, when the day begins.
    pub const fn moment(self) -> UnixMillis {
        UnixMillis::from_secs(self.days.saturating_mul(DAY))
    }

    /// `YYYY-MM-DD`, as GitLab takes it.
    pub fn date(self) -> String {
        self.moment().to_string().chars().take(10).collect()
    }
}

/// What to ask GitLab for, for a token that shall live for `ttl`: the first midnight that is not before its end, 365 days from now at
/// most. Never today's date, which is an expired token to GitLab.
pub fn expiry_after(now: UnixMillis, ttl: Duration) -> Expiry {
    let end = now.plus(ttl).0.div_ceil(1000);
    let today = now.as_secs() / DAY;
    Expiry { days: end.div_ceil(DAY).max(today + 1).min(today + MOST_DAYS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// 2026-06-29T00:00:00Z.
    const MIDNIGHT: u64 = 1_782_691_200;

    fn at(hours: u64, minutes: u64) -> UnixMillis {
        UnixMillis::from_secs(MIDNIGHT + hours * 3600 + minutes * 60)
    }

    #[test]
    fn a_token_lives_to_the_midnight_after_its_end() {
        let table = [
            (at(22, 56), HOUR, "2026-06-30"),
            (at(23, 0), HOUR, "2026-06-30"),
            (at(23, 30), HOUR, "2026-07-01"),
            (at(0, 0), Duration::from_secs(10), "2026-06-30"),
            (at(22, 56), 365 * 24 * HOUR, "2027-06-29"),
        ];
        for (now, ttl, date) in table {
            assert_eq!(expiry_after(now, ttl).date(), date, "{now} {ttl:?}");
        }
    }

    #[test]
    fn dates_and_times_of_gitlab_are_read() {
        let date = |text| Expiry::parse(text).map(Expiry::date);
        assert_eq!(date("2026-06-30").as_deref(), Some("2026-06-30"));
        assert_eq!(date("2026-06-30T00:00:00.000Z").as_deref(), Some("2026-06-30"));
        assert_eq!(date("2026-06-30T10:00:00.000Z").as_deref(), Some("2026-07-01"));
        for wrong in ["", "2026", "2026-13-01", "2026-02-30", "2026/06/30", "übermorgen", "2026-06-3"] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }
}
