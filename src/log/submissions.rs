//! What others submit to our log (RFC 6962 §4.1, §4.2): whose chains are taken, and what was answered lately.
//!
//! A certificate that was submitted before gets the SCT that it got then, as long as it is among the last [`REMEMBERED`]
//! and the process lives; later it becomes a second entry, which RFC 6962 allows and auditors know.

use crate::certificate::accepted::AcceptedCas;
use crate::newest::Newest;
use crate::transparency::Hash;
use crate::transparency::sct::Sct;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Submissions whose SCT is remembered: some 1.5 MB.
pub const REMEMBERED: usize = 4096;
/// CA certificates that are known to be stored; more are merely written again.
const STORED: usize = 4096;

/// The state of submissions to one log.
#[derive(Default)]
pub(super) struct Submissions {
    pub(super) accepted: AcceptedCas,
    answered: Mutex<Newest<Sct, REMEMBERED>>,
    stored: Mutex<HashSet<Hash>>,
}

impl Submissions {
    /// The SCT of an earlier submission of the same certificate.
    pub(super) fn answered(&self, identity: &Hash) -> Option<Sct> {
        lock(&self.answered).get(identity).cloned()
    }

    /// Remembers an answer, and forgets the oldest where there are too many.
    pub(super) fn remember(&self, identity: Hash, sct: Sct) {
        lock(&self.answered).put(identity, sct);
    }

    /// Whether this CA certificate is known to be stored.
    pub(super) fn is_stored(&self, fingerprint: &Hash) -> bool {
        lock(&self.stored).contains(fingerprint)
    }

    /// Remembers that it is.
    pub(super) fn stored(&self, fingerprint: Hash) {
        let mut stored = lock(&self.stored);
        if stored.len() >= STORED {
            stored.clear();
        }
        stored.insert(fingerprint);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::UnixMillis;
    use crate::transparency::{Place, sha256};

    #[test]
    fn the_last_answers_are_remembered_and_no_more() {
        let submissions = Submissions::default();
        let identity = |number: usize| sha256(&number.to_be_bytes());
        let sct = |number: usize| Sct {
            log_id: [0; 32],
            place: Place { index: number as u64, timestamp: UnixMillis(0) },
            signature: Vec::new(),
        };
        for number in 0..REMEMBERED + 2 {
            submissions.remember(identity(number), sct(number));
            submissions.remember(identity(number), sct(number));
        }
        assert_eq!(submissions.answered(&identity(1)), None);
        assert_eq!(submissions.answered(&identity(2)), Some(sct(2)));
        assert_eq!(submissions.answered(&identity(REMEMBERED + 1)), Some(sct(REMEMBERED + 1)));
        assert_eq!(lock(&submissions.answered).len(), REMEMBERED);
    }
}
