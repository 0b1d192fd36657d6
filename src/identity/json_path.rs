//! The part of JSONPath (RFC 9535) that names one value: `$.federated_claims.connector_id`, `$["https://x.example/idp"]`, `$.list[0]`.
//!
//! The reference takes a path without the leading `$.` as well. Wildcards, filters and slices name several values, and an issuer is one.

use crate::token::Claims;
use serde_json::Value;

/// A path to one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    first: String,
    rest: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(usize),
}

impl JsonPath {
    /// The longest path, in bytes.
    const MAX_BYTES: usize = 1024;

    /// Reads a path.
    ///
    /// # Errors
    /// In words for the operator, following the key's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no path to one claim; write $.claim, $.outer.inner, $[\"any name\"] or $.list[0]"
            )
        };
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err("must have 1 to 1024 characters; write $.claim".to_owned());
        }
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        if rest == text {
            let (step, after) = member(rest).ok_or_else(wrong)?;
            steps.push(step);
            rest = after;
        }
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('.') {
                Some(rest) => member(rest),
                None => rest.strip_prefix('[').and_then(bracket),
            }
            .ok_or_else(wrong)?;
            steps.push(step);
            rest = after;
        }
        let mut steps = steps.into_iter();
        match steps.next() {
            Some(Step::Member(first)) => Ok(Self { first, rest: steps.collect() }),
            _ => Err(wrong()),
        }
    }

    /// The value at this path.
    pub fn find<'t>(&self, claims: &'t Claims) -> Option<&'t Value> {
        self.rest.iter().try_fold(claims.member(&self.first)?, |value, step| match (step, value) {
            (Step::Member(name), Value::Object(members)) => members.get(name),
            (Step::Index(index), Value::Array(items)) => items.get(*index),
            _ => None,
        })
    }
}

/// A name in dot notation: letters, digits, `_`, and `-` behind the first character.
fn member(text: &str) -> Option<(Step, &str)> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    begins.then(|| (Step::Member(name.to_owned()), rest))
}

/// What follows an opening bracket: a quoted name or an index.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let (name, rest) = text.strip_prefix(quote)?.split_once(quote)?;
        let rest = rest.strip_prefix(']')?;
        let plain = !name.is_empty() && !name.contains('\\');
        return plain.then(|| (Step::Member(name.to_owned()), rest));
    }
    let (index, rest) = text.split_once(']')?;
    let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    Some((Step::Index(digits.then(|| index.parse().ok()).flatten()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(path: &str) -> Option<String> {
        let claims = Claims::parse(
            br#"{"idp":"one","a":{"b":{"c-d":"two"},"x.y":"three"},"https://x.example/idp":"four","list":["five",{"n":"six"}]}"#,
        )
        .expect("claims");
        let path = JsonPath::parse(path).unwrap_or_else(|error| panic!("{error}"));
        path.find(&claims).and_then(Value::as_str).map(str::to_owned)
    }

    #[test]
    fn a_path_leads_to_one_value() {
        for (path, value) in [
            ("$.idp", Some("one")),
            ("idp", Some("one")),
            ("a.b.c-d", Some("two")),
            ("$.a.b.c-d", Some("two")),
            ("$.a['x.y']", Some("three")),
            ("$[\"a\"][\"x.y\"]", Some("three")),
            ("$[\"https://x.example/idp\"]", Some("four")),
            ("$.list[0]", Some("five")),
            ("list[1].n", Some("six")),
            ("$.list[2]", None),
            ("$.list", None),
            ("$.a.idp", None),
            ("$.idp.a", None),
            ("$.idp[0]", None),
            ("$.none", None),
        ] {
            assert_eq!(found(path).as_deref(), value, "{path}");
        }
    }

    #[test]
    fn what_names_no_value_or_several_is_refused() {
        for path in [
            "",
            "$",
            "$.",
            "$.[",
            "$..a",
            "$.a.",
            "$.a[",
            "$.a[]",
            "$.a[*]",
            "$.*",
            "$[0]",
            "$.a[-1]",
            "$.a[0:1]",
            "$.a[?(@.b)]",
            "$.a b",
            "$['a",
            "$['a'",
            "$['']",
            "$['\\u0041']",
            ".a",
            "[0]",
            "$a.b",
            "@.a",
            "$.a[99999999999999999999999]",
        ] {
            let taken = JsonPath::parse(path);
            assert!(taken.is_err(), "{path}: {taken:?}");
        }
        assert!(JsonPath::parse(&"a".repeat(1025)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"[$.\[\]'"a-z0-9*é]{0,20}"#) {
            let _ = JsonPath::parse(&text);
        }
    }
}
