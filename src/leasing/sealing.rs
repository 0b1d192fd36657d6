//! Sealing with a key from a file: AES-256-GCM (NIST SP 800-38D), with the target's name as associated data.

use super::ports::{Sealing, Secret};
use crate::environment::Random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The first octet of what is sealed.
const VERSION: u8 = 1;

/// A key that main credentials are sealed with.
pub struct SealKey {
    key: LessSafeKey,
    random: Arc<dyn Random>,
}

impl SealKey {
    /// From a key file's text: 64 hex digits, with white space around them. `random` makes the nonces: 96 random bits each, for some
    /// rotations a year.
    pub fn parse(text: &str, random: Arc<dyn Random>) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), &mut *bytes).ok()?;
        // A file of zeros is one that was made and never filled.
        bytes.iter().any(|byte| *byte != 0).then_some(())?;
        let key = UnboundKey::new(&AES_256_GCM, &*bytes).ok()?;
        Some(Self { key: LessSafeKey::new(key), random })
    }

    /// The text of a new key file.
    pub fn generate(random: &dyn Random) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(&mut *bytes);
        Zeroizing::new(format!("{}\n", hex::encode(bytes.as_slice())))
    }
}

impl Sealing for SealKey {
    fn seal(&self, target: &str, secret: &Secret) -> Result<Vec<u8>, String> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce);
        let mut text = Zeroizing::new(secret.expose().as_bytes().to_vec());
        let aad = Aad::from(target.as_bytes());
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(|_| "it cannot be sealed".to_owned())?;
        Ok([&[VERSION][..], &nonce, &text, tag.as_ref()].concat())
    }

    fn open(&self, target: &str, sealed: &[u8]) -> Result<Secret, String> {
        let wrong = || "it was sealed with another key or for another target, or is damaged".to_owned();
        let (nonce, sealed) = match sealed.split_first() {
            Some((&VERSION, rest)) => rest.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?,
            _ => return Err(wrong()),
        };
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text =
            self.key.open_in_place(nonce, Aad::from(target.as_bytes()), &mut sealed).map_err(|_| wrong())?;
        let text = std::str::from_utf8(text).map_err(|_| wrong())?;
        Ok(Secret::new(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    #[derive(Default)]
    struct Counted(AtomicU8);

    impl Random for Counted {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::SeqCst) + 1);
        }
    }

    fn key(digit: &str) -> SealKey {
        SealKey::parse(&digit.repeat(64), Arc::<Counted>::default()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_for_the_same_target_alone() {
        let secret = Secret::new("glpat-secret".to_owned());
        let (one, other) = (key("1"), key("2"));
        let sealed = one.seal("default", &secret).unwrap();
        assert_eq!(one.open("default", &sealed).unwrap().expose(), "glpat-secret");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_ne!(one.seal("default", &secret).unwrap(), sealed, "each has its own nonce");
        assert!(one.open("another", &sealed).is_err());
        assert!(other.open("default", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            assert!(one.open("default", &damaged).is_err(), "octet {index}");
            assert!(one.open("default", &sealed[..index]).is_err());
        }
    }

    #[test]
    fn a_key_file_is_64_hex_digits_that_are_not_all_zero() {
        let random = Arc::<Counted>::default();
        let made = SealKey::generate(&*random);
        assert!(SealKey::parse(&made, random.clone()).is_some());
        for wrong in ["", "11", &"0".repeat(64), &"1".repeat(63), &"1".repeat(65), &"g".repeat(64)] {
            assert!(SealKey::parse(wrong, random.clone()).is_none(), "{wrong}");
        }
    }
}
