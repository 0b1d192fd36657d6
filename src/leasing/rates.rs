//! How often each project asks: a token bucket for each, over attempts whose ID token holds, whatever became of them.
//!
//! What GitLab refuses gives the ID token's use back, so uses alone bound nothing: one ID token could make the broker look paths up at GitLab for
//! as long as it lives.

use crate::broker::Job;
use crate::bucket::Bucket;
use crate::environment::UnixMillis;
use std::collections::HashMap;
use std::time::Duration;

/// Projects that are remembered at once: memory has a bound, whoever asks.
const PROJECTS: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// A bucket for each project that has asked of late.
pub(super) struct Rates {
    per_minute: u32,
    /// By issuer and `project_id`. One that is full again says nothing, and is forgotten when there is no room.
    buckets: HashMap<(String, String), Bucket>,
}

impl Rates {
    /// So many attempts a minute, all of them at once if need be.
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), buckets: HashMap::new() }
    }

    /// Counts an attempt of this job's project.
    ///
    /// # Errors
    /// There were too many; the next one may come after that time.
    pub(super) fn take(&mut self, job: &Job, now: UnixMillis) -> Result<(), Duration> {
        let key = job.project();
        if self.buckets.len() >= PROJECTS && !self.buckets.contains_key(&key) {
            self.make_room(now);
        }
        let full = || Bucket::full(self.per_minute, MINUTE / self.per_minute, now);
        self.buckets.entry(key).or_insert_with(full).take(now)
    }

    /// Forgets those that are full again. Where that is not enough, those who have asked the least: they get no more than they would have had soon.
    /// A tenth at once, so that it is not done for each project.
    fn make_room(&mut self, now: UnixMillis) {
        let per_minute = self.per_minute;
        self.buckets.retain(|_, bucket| bucket.tokens(now) < per_minute);
        let excess = self.buckets.len().saturating_sub(PROJECTS - PROJECTS / 10);
        let mut by_tokens: Vec<_> =
            self.buckets.iter_mut().map(|(key, bucket)| (bucket.tokens(now), key.clone())).collect();
        by_tokens.sort_unstable_by(|one, other| other.cmp(one));
        for (_, key) in by_tokens.into_iter().take(excess) {
            self.buckets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    fn job(project: &str) -> Job {
        Job {
            issuer: "https://gitlab.example.com".to_owned(),
            project_id: project.to_owned(),
            ..Job::default()
        }
    }

    fn millis(millis: u64) -> UnixMillis {
        T0.plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_project_has_its_rate_and_takes_nothing_from_others() {
        let mut rates = Rates::new(60);
        let taken =
            |rates: &mut Rates, job: &Job, now| (0..200).filter(|_| rates.take(job, now).is_ok()).count();
        assert_eq!(taken(&mut rates, &job("7"), T0), 60);
        assert_eq!(taken(&mut rates, &job("8"), T0), 60);
        let elsewhere = Job { issuer: "https://gitlab.com".to_owned(), ..job("7") };
        assert_eq!(taken(&mut rates, &elsewhere, T0), 60, "the same number at another issuer");
        assert_eq!(taken(&mut rates, &job("7"), millis(10_000)), 10);
        assert_eq!(taken(&mut rates, &job("7"), millis(3_600_000)), 60);
    }

    #[test]
    fn who_waits_as_long_as_it_says_is_let_through_and_nobody_before() {
        for (per_minute, wait) in [(1, 60_000), (2, 30_000), (7, 8571), (60, 1000), (60_000, 1)] {
            let mut rates = Rates::new(per_minute);
            for _ in 0..per_minute {
                assert_eq!(rates.take(&job("7"), T0), Ok(()));
            }
            let told = rates.take(&job("7"), T0).unwrap_err();
            assert_eq!(told.as_millis(), wait, "{per_minute}");
            let left = rates.take(&job("7"), millis(wait as u64 - 1)).unwrap_err();
            assert_eq!(left.as_micros().div_ceil(1000), if per_minute == 7 { 2 } else { 1 }, "{per_minute}");
            assert_eq!(rates.take(&job("7"), millis(wait as u64)), Ok(()), "{per_minute}");
            assert!(rates.take(&job("7"), millis(wait as u64)).is_err(), "{per_minute}: one and no more");
        }
    }

    #[test]
    fn any_number_of_projects_takes_bounded_memory_and_frees_nobody_who_asks_too_often() {
        let mut rates = Rates::new(2);
        for _ in 0..2 {
            assert_eq!(rates.take(&job("loud"), T0), Ok(()));
        }
        for number in 0..2 * PROJECTS {
            assert_eq!(rates.take(&job(&number.to_string()), T0), Ok(()));
        }
        assert!(rates.buckets.len() <= PROJECTS, "{}", rates.buckets.len());
        assert!(rates.take(&job("loud"), T0).is_err());
        // Those that are full again make room before anybody else has to.
        for number in 0..PROJECTS / 5 {
            assert_eq!(rates.take(&job(&format!("late {number}")), millis(60_000)), Ok(()));
        }
        assert!(rates.buckets.len() <= PROJECTS / 5, "{}", rates.buckets.len());
    }
}
