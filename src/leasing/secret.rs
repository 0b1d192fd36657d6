//! A token's text, which nothing shows.

use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;
use zeroize::Zeroizing;

/// A token's text. It is wiped when it is dropped, and shown by nothing but [`Self::expose`].
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Of this text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself: for GitLab, or for the job that it was made for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What records have instead of it: SHA-256 in 64 lower-case hex digits.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// SHA-256 of a token's text, as records have it.
pub(super) fn sha256_hex(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_by_nothing() {
        let secret = Secret::new("glpat-x".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.expose(), "glpat-x");
        assert_eq!(secret.sha256().len(), 64);
    }
}
