//! A main credential that an operator has put into the store, sealed: what a file would have had, for a target with `token: sealed`.
//!
//! It has a record of its own beside that of the rotation, and means what a configured credential means: another one in its place goes before
//! whatever the broker has made of the one before. It is sealed for the target's name and URL, and for nothing else of the store's.

use super::ports::{Change, Sealing, Secret};

/// Behind the place that rotation's record has.
const MARK: &str = " sealed";

/// Where the store has it.
pub fn place_of_sealed_token(target: &str, url: &str) -> String {
    format!("{target} {url}{MARK}")
}

/// The target whose credential stands in this place of the store: its name, a space, and its URL.
pub(super) fn target_of(place: &str) -> &str {
    place.strip_suffix(MARK).unwrap_or(place)
}

/// Seals it: the change that puts it into the store, in place of one that is there.
///
/// # Errors
/// For the operator: it cannot be sealed.
pub fn seal_token(target: &str, url: &str, secret: &Secret, sealing: &dyn Sealing) -> Result<Change, String> {
    let place = place_of_sealed_token(target, url);
    let record = sealing.seal(&place, secret)?;
    Ok(Change::Credential { place, record })
}

/// Opens what the store has for this target.
///
/// # Errors
/// For the operator: another key, another target, or damaged.
pub fn open_sealed_token(
    target: &str,
    url: &str,
    record: &[u8],
    sealing: &dyn Sealing,
) -> Result<Secret, String> {
    sealing.open(&place_of_sealed_token(target, url), record)
}

#[cfg(test)]
mod tests {
    use super::super::SealKey;
    use super::*;
    use crate::leasing::testing::Seeded;
    use std::sync::Arc;

    const URL: &str = "https://gitlab.example.com";

    fn key(digit: &str) -> SealKey {
        SealKey::parse(&digit.repeat(64), Arc::new(Seeded::new(1))).unwrap()
    }

    #[test]
    fn it_opens_for_its_target_at_its_url_alone() {
        let (one, other) = (key("1"), key("2"));
        let secret = Secret::new("glpat-sealed".to_owned());
        let Change::Credential { place, record } = seal_token("gitlab", URL, &secret, &one).unwrap() else {
            panic!("no credential")
        };
        assert_eq!(place, place_of_sealed_token("gitlab", URL));
        assert_eq!(target_of(&place), format!("gitlab {URL}"));
        assert_eq!(open_sealed_token("gitlab", URL, &record, &one).unwrap().expose(), "glpat-sealed");
        for (target, url, key) in [
            ("gitlab", URL, &other),
            ("gitlab2", URL, &one),
            ("gitlab", "https://gitlab.example.org", &one),
            ("gitlab https://gitlab.example.com", "", &one),
        ] {
            assert!(open_sealed_token(target, url, &record, key).is_err(), "{target} {url}");
        }
        // Nor is it what rotation has sealed in the place beside.
        let rotated = one.seal(target_of(&place), &secret).unwrap();
        assert!(open_sealed_token("gitlab", URL, &rotated, &one).is_err());
    }
}
