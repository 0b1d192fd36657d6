//! Conditional requests and ranges (RFC 9110, sections 13 and 14) for what the log serves.
//!
//! A tag follows from the log and the name of an object, which never changes, so whoever has it is answered without a read.
//! Of ranges one is honoured at a time; more, and those that are beyond the object, get the whole of it, which the
//! standard permits. So a reader can go on with a tile where its connection broke.

use crate::transparency::Hash;
use axum::body::Bytes;
use axum::http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use std::fmt::Display;
use std::ops::Range;

/// A strong entity tag.
#[derive(Clone, Debug)]
pub(super) struct Tag(String);

impl Tag {
    /// The tag of what the log calls `name`: another log at the same place has other tags.
    pub(super) fn new(log_id: &Hash, name: impl Display) -> Self {
        let [a, b, c, d, e, f, ..] = *log_id;
        Self(format!("\"{}-{name}\"", hex::encode([a, b, c, d, e, f])))
    }

    /// What the caller's conditions want in place of the object, which must be there (RFC 9110, section 13.2.2): 412 where it asks for another, 304
    /// where it has this. `If-Unmodified-Since` has no meaning for what has no date.
    pub(super) fn instead(&self, headers: &HeaderMap) -> Option<Response> {
        let status = match (self.is_wanted(headers), self.is_held(headers)) {
            (false, _) => StatusCode::PRECONDITION_FAILED,
            (true, true) => StatusCode::NOT_MODIFIED,
            (true, false) => return None,
        };
        let mut response = Response::default();
        *response.status_mut() = status;
        Some(self.on(response))
    }

    /// Whether the caller takes this: `If-Match` is compared strongly (section 13.1.1).
    fn is_wanted(&self, headers: &HeaderMap) -> bool {
        !headers.contains_key(IF_MATCH)
            || listed(headers, IF_MATCH).any(|wanted| wanted == "*" || wanted == self.0)
    }

    /// Whether the caller says that it has this: `If-None-Match` is compared weakly (section 13.1.2).
    fn is_held(&self, headers: &HeaderMap) -> bool {
        listed(headers, IF_NONE_MATCH)
            .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == self.0)
    }

    /// Puts the tag on an answer.
    pub(super) fn on(&self, mut response: Response) -> Response {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(ETAG, value);
        }
        response
    }

    /// Cuts the range that is asked for out of `content`, and makes the answer with `answer`.
    pub(super) fn ranged(
        &self,
        headers: &HeaderMap,
        content: Vec<u8>,
        answer: impl FnOnce(StatusCode, Bytes) -> Response,
    ) -> Response {
        let (total, content) = (content.len(), Bytes::from(content));
        let mut response = match self.range(headers, total) {
            Some(range) => {
                let said = format!("bytes {}-{}/{total}", range.start, range.end - 1);
                let mut response = answer(StatusCode::PARTIAL_CONTENT, content.slice(range));
                if let Ok(said) = HeaderValue::from_str(&said) {
                    response.headers_mut().insert(CONTENT_RANGE, said);
                }
                response
            }
            None => answer(StatusCode::OK, content),
        };
        response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.on(response)
    }

    /// The one range that is asked for, not empty and within `total`.
    fn range(&self, headers: &HeaderMap, total: usize) -> Option<Range<usize>> {
        if headers.get(IF_RANGE).is_some_and(|held| held.as_bytes() != self.0.as_bytes()) {
            return None;
        }
        let asked = headers.get(RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
        let (first, last) = asked.split_once('-')?;
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<usize>().ok(),
            false => None,
        };
        let range = match (first, last) {
            ("", last) => total.saturating_sub(number(last)?)..total,
            (first, "") => number(first)?..total,
            (first, last) => number(first)?..number(last)?.saturating_add(1).min(total),
        };
        (range.start < range.end).then_some(range)
    }
}

/// The tags of a condition.
fn listed(headers: &HeaderMap, condition: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(condition).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn tag() -> Tag {
        Tag::new(&[0xab; 32], "tile.0.000")
    }

    #[test]
    fn who_holds_the_tag_is_known_however_it_is_listed() {
        for held in [
            "\"abababababab-tile.0.000\"",
            "W/\"abababababab-tile.0.000\"",
            "\"x\" , \"abababababab-tile.0.000\"",
            "*",
        ] {
            assert!(tag().is_held(&headers(&[(IF_NONE_MATCH, held)])), "{held}");
        }
        for other in
            ["", "abababababab-tile.0.000", "\"abababababab-tile.0.001\"", "\"cdabababababab-tile.0.000\""]
        {
            assert!(!tag().is_held(&headers(&[(IF_NONE_MATCH, other)])), "{other}");
        }
        assert!(!tag().is_held(&HeaderMap::new()));
    }

    #[test]
    fn who_wants_another_gets_412_before_anything_else() {
        let status = |pairs: &[_]| tag().instead(&headers(pairs)).map(|response| response.status().as_u16());
        let own = "\"abababababab-tile.0.000\"";
        for wanted in [own, "\"x\", \"abababababab-tile.0.000\"", "*"] {
            assert_eq!(status(&[(IF_MATCH, wanted)]), None, "{wanted}");
            assert_eq!(status(&[(IF_MATCH, wanted), (IF_NONE_MATCH, own)]), Some(304), "{wanted}");
        }
        for wanted in ["\"x\"", "W/\"abababababab-tile.0.000\"", ""] {
            assert_eq!(status(&[(IF_MATCH, wanted)]), Some(412), "{wanted}");
            assert_eq!(status(&[(IF_MATCH, wanted), (IF_NONE_MATCH, own)]), Some(412), "{wanted}");
        }
    }

    #[test]
    fn one_range_is_honoured_and_anything_else_is_no_range() {
        for (asked, range) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=2-5", Some(2..6)),
            ("bytes=2-", Some(2..10)),
            ("bytes=2-100", Some(2..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-30", Some(0..10)),
            ("bytes=10-", None),
            ("bytes=5-2", None),
            ("bytes=-0", None),
            ("bytes=-", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=0-99999999999999999999999", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(tag().range(&headers(&[(RANGE, asked)]), 10), range, "{asked}");
        }
        let with = |held| headers(&[(RANGE, "bytes=1-2"), (IF_RANGE, held)]);
        assert_eq!(tag().range(&with("\"abababababab-tile.0.000\""), 10), Some(1..3));
        assert_eq!(tag().range(&with("\"another\""), 10), None);
        assert_eq!(tag().range(&headers(&[(RANGE, "bytes=0-0")]), 0), None);
    }
}
