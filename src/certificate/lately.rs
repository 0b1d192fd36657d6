//! What was issued lately, so that the signature log, which gets nearly every certificate back within seconds, need not verify
//! our own signature on it.

use super::Certificate;
use crate::newest::Newest;
use crate::transparency::{Hash, sha256};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Certificates that are remembered, the newest ones: some 2 MB, and several seconds of a busy CA.
pub const REMEMBERED: usize = 16_384;

/// SHA-256 of the newest certificates. Only what a CA has issued can be put into it, and the whole certificate is compared.
#[derive(Default)]
pub struct IssuedLately(Mutex<Newest<(), REMEMBERED>>);

impl IssuedLately {
    /// Remembers a certificate, and forgets the oldest where there are too many.
    pub fn remember(&self, certificate: &Certificate) {
        self.put(sha256(certificate.der()));
    }

    fn put(&self, fingerprint: Hash) {
        self.lock().put(fingerprint, ());
    }

    /// Whether exactly this certificate, in DER, was issued lately. A no says nothing.
    pub fn has(&self, der: &[u8]) -> bool {
        let fingerprint = sha256(der);
        self.lock().get(&fingerprint).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Newest<(), REMEMBERED>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing;

    #[test]
    fn the_newest_are_known_whole_and_no_more_of_them_than_fit() {
        let lately = IssuedLately::default();
        let certificate = testing::issue(&testing::chain(), testing::NOW);
        assert!(!lately.has(certificate.der()));
        lately.remember(&certificate);
        lately.remember(&certificate);
        assert!(lately.has(certificate.der()));
        let mut other = certificate.der().to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert!(!lately.has(&other), "another signature is another certificate");
        (1..REMEMBERED as u64).for_each(|number| lately.put(sha256(&number.to_be_bytes())));
        assert!(lately.has(certificate.der()), "it is the oldest of those that fit");
        lately.put(sha256(b"one more"));
        assert!(!lately.has(certificate.der()));
        assert_eq!(lately.lock().len(), REMEMBERED);
    }
}
