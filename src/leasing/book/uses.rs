//! How often ID tokens were used, until they have expired.

use super::super::ports::Change;
use crate::environment::UnixMillis;
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::{BTreeSet, HashMap};

/// What one ID token's uses for one role are counted under.
pub(in crate::leasing) type UseKey = [u8; 32];

/// The key: issuer, `jti` and role, each with its length before it, so that no two triples are one.
pub(in crate::leasing) fn use_key(issuer: &str, jti: &str, role: &str) -> UseKey {
    let mut context = Context::new(&SHA256);
    for part in [issuer, jti, role] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut key = [0; 32];
    key.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    key
}

/// The counts.
#[derive(Debug, Default)]
pub(in crate::leasing) struct Uses {
    counts: HashMap<UseKey, (u32, UnixMillis)>,
    ends: BTreeSet<(UnixMillis, UseKey)>,
}

impl Uses {
    /// What the store says.
    pub(super) fn load(&mut self, key: UseKey, count: u32, until: UnixMillis) {
        self.counts.insert(key, (count, until));
        self.ends.insert((until, key));
    }

    /// One more, unless there were `most`; `until`: it matters no longer. What the store has to be told.
    pub(in crate::leasing) fn take(&mut self, key: UseKey, most: u32, until: UnixMillis) -> Option<Change> {
        let (count, before) = self.counts.get(&key).copied().unwrap_or_default();
        (count < most).then(|| self.set(key, count + 1, until.max(before)))
    }

    /// What the store has to be told of a key now.
    pub(in crate::leasing) fn of(&self, key: UseKey) -> Option<Change> {
        self.counts.get(&key).map(|(count, until)| Change::Used { key, count: *count, until: *until })
    }

    /// One less: nobody got a token for it.
    pub(in crate::leasing) fn give_back(&mut self, key: UseKey) -> Option<Change> {
        let (count, until) = self.counts.get(&key).copied()?;
        Some(match count.saturating_sub(1) {
            0 => {
                self.remove(key);
                Change::Unused(key)
            }
            left => self.set(key, left, until),
        })
    }

    /// Those that matter no longer, `most` of them: gone from here, and to be told to the store.
    pub(in crate::leasing) fn forget_before(&mut self, now: UnixMillis, most: usize) -> Vec<Change> {
        let old: Vec<_> =
            self.ends.iter().take_while(|(until, _)| *until <= now).take(most).map(|(_, key)| *key).collect();
        old.iter().for_each(|key| self.remove(*key));
        old.into_iter().map(Change::Unused).collect()
    }

    fn set(&mut self, key: UseKey, count: u32, until: UnixMillis) -> Change {
        self.remove(key);
        self.load(key, count, until);
        Change::Used { key, count, until }
    }

    fn remove(&mut self, key: UseKey) {
        if let Some((_, until)) = self.counts.remove(&key) {
            self.ends.remove(&(until, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: UnixMillis = UnixMillis(10);

    #[test]
    fn no_two_triples_have_one_key() {
        assert_ne!(use_key("ab", "c", "r"), use_key("a", "bc", "r"));
        assert_ne!(use_key("a", "b", "cr"), use_key("a", "bc", "r"));
    }

    #[test]
    fn uses_are_counted_given_back_and_forgotten() {
        let mut uses = Uses::default();
        let key = use_key("i", "j", "r");
        assert!(uses.take(key, 2, T).is_some());
        assert_eq!(uses.take(key, 2, T), Some(Change::Used { key, count: 2, until: T }));
        assert_eq!(uses.take(key, 2, T), None);
        assert_eq!(uses.give_back(key), Some(Change::Used { key, count: 1, until: T }));
        assert!(uses.take(key, 2, T).is_some());
        assert_eq!(uses.forget_before(UnixMillis(9), 9), []);
        assert_eq!(uses.forget_before(T, 9), [Change::Unused(key)]);
        assert_eq!(uses.give_back(key), None);
        assert!(uses.take(key, 1, T).is_some());
        assert_eq!(uses.give_back(key), Some(Change::Unused(key)));
        assert!(uses.ends.is_empty() && uses.counts.is_empty());
    }
}
