//! What is known of one issuer's keys, and what to do about a token: pure, so that every case can be tried.
//!
//! | keys | the token's `kid` | then |
//! |---|---|---|
//! | fresh | among them, or none | they serve |
//! | fresh | unknown | fetched anew, for one token of the bucket; with an empty bucket: not now, after so many seconds |
//! | stale | among them, or none | they serve and are fetched anew beside; after a minute the request waits for that |
//! | stale, the issuer is out | among them, or none | they serve until their grace is over |
//! | any, the issuer is out | unknown | unavailable: nobody can tell whether the key is the issuer's |
//! | none | any | fetched; while the issuer is backed off: unavailable |

use super::fetch::{FetchError, Fetched};
use crate::bucket::Bucket;
use crate::environment::UnixMillis;
use crate::token::KeySet;
use std::sync::Arc;
use std::time::Duration;

/// The shortest time for which fetched keys are fresh, whatever the issuer says.
pub const MIN_FRESHNESS: Duration = Duration::from_secs(60);

/// The longest. A key that the issuer has withdrawn serves no longer than this.
pub const MAX_FRESHNESS: Duration = Duration::from_secs(24 * 3600);

/// The time where the issuer says nothing.
const DEFAULT_FRESHNESS: Duration = Duration::from_secs(3600);

/// How long stale keys serve while they are fetched anew beside. Beyond it nobody has asked for a while, and the
/// first who asks waits.
const STALE_WHILE_REFRESH: Duration = Duration::from_secs(60);

/// How many refetches for unknown `kid`s an issuer's bucket holds.
pub const REFETCH_TOKENS: u32 = 4;

/// How often the bucket gets one more: the longest that a rotation goes unseen while a flood of forgeries empties it.
pub const REFETCH_INTERVAL: Duration = Duration::from_secs(5);

/// How long a failed issuer is left alone, by the number of failures in a row.
const BACKOFF_SECONDS: [u64; 5] = [1, 2, 4, 8, 10];

/// What is known of an issuer's keys.
pub struct State {
    outage_grace: Duration,
    good: Option<Good>,
    outage: Option<Outage>,
    bucket: Bucket,
}

/// What to do about a token.
#[derive(Debug)]
pub enum Verdict {
    /// These keys serve.
    Serve(Arc<KeySet>),
    /// These keys serve; fetch them anew beside.
    ServeAndRefresh(Arc<KeySet>),
    /// Wait for a fetch.
    Fetch,
    /// Wait for a fetch, which takes a token of the bucket. Where there is none, nobody can tell whether the key is the
    /// issuer's: it may have rotated since the last fetch.
    FetchForUnknownKey,
    /// No: try again after that time, for this reason.
    Unavailable(Duration, &'static str),
}

struct Good {
    keys: Arc<KeySet>,
    fetched_at: UnixMillis,
    fresh_until: UnixMillis,
}

struct Outage {
    failures: usize,
    failed_at: UnixMillis,
    error: FetchError,
}

impl State {
    /// Nothing is known yet.
    pub fn new(outage_grace: Duration, now: UnixMillis) -> Self {
        Self {
            outage_grace,
            good: None,
            outage: None,
            bucket: Bucket::full(REFETCH_TOKENS, REFETCH_INTERVAL, now),
        }
    }

    /// What to do about a token with this `kid`. `waited`: a fetch that began after the token came has ended.
    pub fn verdict(&mut self, key_id: Option<&str>, waited: bool, now: UnixMillis) -> Verdict {
        let Some(good) = self.usable(now) else {
            return match self.out(waited, now) {
                Some((wait, why)) => Verdict::Unavailable(wait, why),
                None if waited => Verdict::Unavailable(Duration::from_secs(1), "The fetch did not end."),
                None => Verdict::Fetch,
            };
        };
        let (keys, fresh) = (good.keys.clone(), good.is_fresh(now));
        if key_id.is_none_or(|key_id| keys.contains(key_id)) {
            let lately = now < good.fresh_until.plus(STALE_WHILE_REFRESH);
            match (fresh, &self.outage) {
                (true, _) => Verdict::Serve(keys),
                (false, Some(_)) if self.backed_off(now).is_some() => Verdict::Serve(keys),
                (false, Some(_)) => Verdict::ServeAndRefresh(keys),
                (false, None) if lately || waited => Verdict::ServeAndRefresh(keys),
                (false, None) => Verdict::Fetch,
            }
        } else {
            match (self.out(waited, now), &self.outage) {
                (Some((wait, why)), _) => Verdict::Unavailable(wait, why),
                (None, _) if waited => Verdict::Serve(keys),
                (None, None) if fresh => Verdict::FetchForUnknownKey,
                (None, _) => Verdict::Fetch,
            }
        }
    }

    /// Takes a token of the bucket for an unknown `kid`.
    ///
    /// # Errors
    /// There is none; the next one comes after that time.
    pub fn take_refetch(&mut self, now: UnixMillis) -> Result<(), Duration> {
        self.bucket.take(now)
    }

    /// Keeps what a fetch brought: new keys replace the old ones, a failure leaves them. Returns the number of
    /// failures in a row before a success, or up to this failure.
    pub fn record(&mut self, fetched: Result<Fetched, FetchError>, now: UnixMillis) -> usize {
        let failures = self.outage.as_ref().map_or(0, |outage| outage.failures);
        match fetched {
            Ok(Fetched { keys, freshness }) => {
                let fresh_for = freshness.unwrap_or(DEFAULT_FRESHNESS).clamp(MIN_FRESHNESS, MAX_FRESHNESS);
                self.good =
                    Some(Good { keys: Arc::new(keys), fetched_at: now, fresh_until: now.plus(fresh_for) });
                self.outage = None;
                failures
            }
            Err(error) => {
                self.outage = Some(Outage { failures: failures + 1, failed_at: now, error });
                failures + 1
            }
        }
    }

    /// The keys that would serve now.
    pub fn keys(&mut self, now: UnixMillis) -> Option<Arc<KeySet>> {
        self.usable(now).map(|good| good.keys.clone())
    }

    /// Whether any keys are kept.
    pub fn has_keys(&self) -> bool {
        self.good.is_some()
    }

    /// When the keys that are kept were fetched.
    pub fn fetched_at(&self) -> Option<UnixMillis> {
        self.good.as_ref().map(|good| good.fetched_at)
    }

    /// How many fetches in a row have failed.
    pub fn failures(&self) -> usize {
        self.outage.as_ref().map_or(0, |outage| outage.failures)
    }

    /// Why the last fetch failed, while none has succeeded since.
    pub fn last_error(&self) -> Option<&FetchError> {
        self.outage.as_ref().map(|outage| &outage.error)
    }

    fn usable(&mut self, now: UnixMillis) -> Option<&Good> {
        // A known outage is the operator's to bound, down to not at all.
        let grace = match self.outage {
            Some(_) => self.outage_grace,
            None => self.outage_grace.max(STALE_WHILE_REFRESH),
        };
        if self.good.as_ref().is_some_and(|good| now >= good.fresh_until.plus(grace)) {
            self.good = None;
        }
        self.good.as_ref()
    }

    /// The same for a request that needs an answer of the issuer: one that has waited for a fetch which failed is not
    /// made to wait for another.
    fn out(&self, waited: bool, now: UnixMillis) -> Option<(Duration, &'static str)> {
        let just_failed = || {
            let outage = self.outage.as_ref().filter(|_| waited)?;
            Some((Duration::from_secs(1), outage.error.public()))
        };
        self.backed_off(now).or_else(just_failed)
    }

    /// How long the issuer is still left alone, and why; `None` when it may be asked.
    fn backed_off(&self, now: UnixMillis) -> Option<(Duration, &'static str)> {
        let outage = self.outage.as_ref()?;
        let wait = backoff(outage.failures);
        let elapsed = now.since(outage.failed_at);
        // A clock that was set back must not prolong the wait.
        let still = now >= outage.failed_at && elapsed < wait;
        still.then(|| (wait - elapsed, outage.error.public()))
    }
}

impl Good {
    fn is_fresh(&self, now: UnixMillis) -> bool {
        // A clock that was set back makes keys look fresh for longer than they are; then they count as stale.
        now >= self.fetched_at && now < self.fresh_until
    }
}

fn backoff(failures: usize) -> Duration {
    let longest = BACKOFF_SECONDS.len();
    let seconds = BACKOFF_SECONDS.get(failures.clamp(1, longest) - 1).copied().unwrap_or(10);
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const T0: UnixMillis = UnixMillis::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> UnixMillis {
        T0.plus(Duration::from_secs(seconds))
    }

    /// A key set with one Ed25519 key of this `kid`.
    fn key_set(kid: &str) -> KeySet {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid,
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).expect("a key set")
    }

    fn fetched(kid: &str, max_age: u64) -> Result<Fetched, FetchError> {
        Ok(Fetched { keys: key_set(kid), freshness: Some(Duration::from_secs(max_age)) })
    }

    fn failed() -> Result<Fetched, FetchError> {
        Err(FetchError::client("for a test".to_owned()))
    }

    /// The verdict in a word, for tables.
    fn word(state: &mut State, kid: &str, waited: bool, now: UnixMillis) -> String {
        match state.verdict(Some(kid), waited, now) {
            Verdict::Serve(_) => "serve".to_owned(),
            Verdict::ServeAndRefresh(_) => "serve and refresh".to_owned(),
            Verdict::Fetch => "fetch".to_owned(),
            Verdict::FetchForUnknownKey => "fetch for unknown key".to_owned(),
            Verdict::Unavailable(wait, _) => format!("unavailable {}", wait.as_secs()),
        }
    }

    #[test]
    fn keys_serve_while_fresh_then_while_they_are_refreshed_then_not() {
        let mut state = State::new(HOUR, T0);
        assert_eq!(word(&mut state, "k1", false, T0), "fetch");
        state.record(fetched("k1", 600), T0);
        for (now, expected) in [
            (0, "serve"),
            (599, "serve"),
            (600, "serve and refresh"),
            (659, "serve and refresh"),
            (660, "fetch"),
            (600 + 3599, "fetch"),
        ] {
            assert_eq!(word(&mut state, "k1", false, at(now)), expected, "after {now} s");
        }
        assert!(state.keys(at(600 + 3599)).is_some());
        assert!(state.keys(at(600 + 3600)).is_none());
    }

    #[test]
    fn freshness_stays_within_a_minute_and_a_day() {
        for (max_age, fresh) in [(0, 60), (59, 60), (61, 61), (86_400, 86_400), (u64::from(u32::MAX), 86_400)]
        {
            let mut state = State::new(HOUR, T0);
            state.record(fetched("k1", max_age), T0);
            assert_eq!(word(&mut state, "k1", false, at(fresh - 1)), "serve", "max-age {max_age}");
            assert_eq!(word(&mut state, "k1", false, at(fresh)), "serve and refresh", "max-age {max_age}");
        }
    }

    #[test]
    fn the_last_good_keys_serve_through_an_outage_until_its_grace_is_over() {
        let mut state = State::new(HOUR, T0);
        state.record(fetched("k1", 60), T0);
        state.record(failed(), at(60));
        assert_eq!(word(&mut state, "k1", false, at(60)), "serve");
        assert_eq!(word(&mut state, "k1", false, at(61)), "serve and refresh");
        assert_eq!(word(&mut state, "k1", false, at(60 + 3599)), "serve and refresh");
        assert_eq!(word(&mut state, "k1", false, at(60 + 3600)), "fetch");
        state.record(failed(), at(60 + 3600));
        assert_eq!(word(&mut state, "k1", true, at(60 + 3600)), "unavailable 2");
    }

    #[test]
    fn without_a_grace_stale_keys_do_not_outlive_a_known_outage() {
        let mut state = State::new(Duration::ZERO, T0);
        state.record(fetched("k1", 60), T0);
        assert_eq!(word(&mut state, "k1", false, at(60)), "serve and refresh");
        state.record(failed(), at(60));
        assert_eq!(word(&mut state, "k1", false, at(60)), "unavailable 1");
        assert_eq!(word(&mut state, "k1", false, at(61)), "fetch");
    }

    #[test]
    fn an_unknown_key_is_never_called_unknown_while_the_issuer_is_out() {
        let mut state = State::new(HOUR, T0);
        state.record(fetched("k1", 600), T0);
        assert_eq!(word(&mut state, "k2", false, at(1)), "fetch for unknown key");
        state.record(failed(), at(1));
        assert_eq!(word(&mut state, "k2", true, at(1)), "unavailable 1");
        assert_eq!(word(&mut state, "k2", false, at(1)), "unavailable 1");
        assert_eq!(word(&mut state, "k1", false, at(1)), "serve");
        assert_eq!(word(&mut state, "k2", false, at(2)), "fetch");
        assert_eq!(word(&mut state, "k2", true, at(2)), "unavailable 1", "a slow answer to a failed fetch");
        state.record(fetched("k1", 600), at(2));
        assert_eq!(word(&mut state, "k2", true, at(2)), "serve");
    }

    #[test]
    fn new_keys_replace_the_old_ones() {
        let mut state = State::new(HOUR, T0);
        state.record(fetched("k1", 600), T0);
        state.record(fetched("k2", 600), at(1));
        assert_eq!(word(&mut state, "k2", false, at(1)), "serve");
        assert_eq!(word(&mut state, "k1", false, at(1)), "fetch for unknown key");
    }

    #[test]
    fn a_failed_issuer_is_left_alone_for_one_to_ten_seconds() {
        let mut state = State::new(HOUR, T0);
        let mut now = T0;
        for wait in [1, 2, 4, 8, 10, 10, 10] {
            assert_eq!(word(&mut state, "k1", false, now), "fetch");
            state.record(failed(), now);
            assert_eq!(word(&mut state, "k1", false, now), format!("unavailable {wait}"));
            let last = now.plus(Duration::from_millis(wait * 1000 - 1));
            assert_eq!(word(&mut state, "k1", false, last), "unavailable 0", "rounded up by the refusal");
            now = now.plus(Duration::from_secs(wait));
        }
        state.record(fetched("k1", 60), now);
        state.record(failed(), now);
        assert_eq!(word(&mut state, "k2", false, now), "unavailable 1", "a success ends the count");
    }

    #[test]
    fn a_clock_set_back_neither_prolongs_a_wait_nor_keeps_keys_fresh() {
        let mut state = State::new(HOUR, at(7200));
        state.record(failed(), at(7200));
        assert_eq!(word(&mut state, "k1", false, T0), "fetch");
        state.record(fetched("k1", 600), at(7200));
        assert_eq!(word(&mut state, "k1", false, T0), "serve and refresh");
    }
}
