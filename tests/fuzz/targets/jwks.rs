//! The key set that an issuer serves.

use countersign::token::{Algorithm, KeySet, MAX_KEYS};

/// What is read holds keys that can verify, none of them symmetric; a refusal quotes no key.
pub fn target(data: &[u8]) {
    match KeySet::parse(data) {
        Err(words) => assert!(!words.is_empty() && !words.contains("SECRET"), "{words}"),
        Ok(keys) => {
            assert!((1..=MAX_KEYS).contains(&keys.iter().count()));
            for key in keys.iter() {
                assert!(key.algorithms().count() > 0);
                let symmetric = |it| matches!(it, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
                assert!(!key.algorithms().any(symmetric));
                assert!(key.id().is_none_or(|id| keys.contains(id)));
            }
        }
    }
}
