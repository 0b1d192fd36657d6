//! Issuers that are asked for the first time: how many of them at once.

use crate::bucket::Bucket;
use crate::environment::UnixMillis;
use crate::identity::KeySource;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How many issuers without keys one key source may have fetched at once, and how often one more.
///
/// A pattern admits any number of issuers, and whoever writes a token picks one: without a bound, each token with a new name
/// would be a request to somebody else's server. All issuers of a pattern share one key source; an issuer that is listed by
/// name has its own, so it never waits for these.
const NEWCOMERS: (u32, Duration) = (128, Duration::from_millis(100));

/// A bucket for each key source whose issuers were asked for the first time.
#[derive(Default)]
pub struct Newcomers(Vec<(Weak<KeySource>, Bucket)>);

impl Newcomers {
    /// Takes a token of the source's bucket.
    ///
    /// # Errors
    /// As [`Bucket::take`].
    pub fn take(&mut self, source: &Arc<KeySource>, now: UnixMillis) -> Result<(), Duration> {
        // A reloaded configuration leaves its predecessor's sources behind.
        self.0.retain(|(known, _)| known.strong_count() > 0);
        let known = self.0.iter_mut().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(source)));
        match known {
            Some((_, bucket)) => bucket.take(now),
            None => {
                let mut bucket = Bucket::full(NEWCOMERS.0, NEWCOMERS.1, now);
                let taken = bucket.take(now);
                self.0.push((Arc::downgrade(source), bucket));
                taken
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: UnixMillis = UnixMillis::from_secs(1_800_000_000);

    #[test]
    fn a_key_source_has_a_bucket_of_its_own_for_as_long_as_it_is_configured() {
        let mut newcomers = Newcomers::default();
        let source = || Arc::new(KeySource::Static(vec![]));
        let (flooded, other) = (source(), source());
        let taken = (0..1000).filter(|_| newcomers.take(&flooded, T0).is_ok()).count();
        assert_eq!(taken, 128);
        assert_eq!(newcomers.take(&other, T0), Ok(()));
        assert_eq!(newcomers.take(&flooded, T0.plus(Duration::from_secs(1))), Ok(()));
        drop(flooded);
        assert_eq!(newcomers.take(&other, T0), Ok(()));
        assert_eq!(newcomers.0.len(), 1);
    }
}
