//! Points in time as people and trust material write them.

use crate::environment::UnixMillis;
use der::DateTime;

/// RFC 3339 in UTC (`2026-11-21T09:00:00Z`, fractions of a second cut off), or whole seconds since 1970.
///
/// # Errors
/// In words that name the accepted forms.
pub fn parse(text: &str) -> Result<UnixMillis, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(UnixMillis::from_secs).map_err(|_| format!("{text} seconds are too many"));
    }
    parse_rfc3339(text).ok_or_else(|| {
        format!("`{text}` is no time: write it in UTC like 2026-11-21T09:00:00Z, or as seconds since 1970")
    })
}

fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    let utc = text.strip_suffix(['Z', 'z']).or_else(|| text.strip_suffix("+00:00"))?;
    let whole = match utc.split_once('.') {
        Some((whole, fraction))
            if !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            whole
        }
        Some(_) => return None,
        None => utc,
    };
    let whole = whole.replacen(['t', ' '], "T", 1);
    let date: DateTime = format!("{whole}Z").parse().ok()?;
    Some(UnixMillis::from_secs(date.unix_duration().as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_people_and_trust_material_use() {
        let expected = UnixMillis::from_secs(1_795_251_600);
        for text in [
            "2026-11-21T09:00:00Z",
            " 2026-11-21 09:00:00Z",
            "2026-11-21T09:00:00.123456Z",
            "2026-11-21T09:00:00+00:00",
            "1795251600",
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        for text in [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T09:00:00",
            "2026-11-21T10:00:00+01:00",
            "2026-13-01T00:00:00Z",
            "2026-11-21T09:00:00.Z",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
