//! The claims set: a JSON object whose members have distinct names (RFC 7519 §4).

use super::json::{Members, TWICE, parse_members};
use crate::refusal::{Reason, Refusal};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// Octets of a document for which there is room for one member from the start: somewhat fewer than a member of GitLab's tokens has.
const OCTETS_A_MEMBER: usize = 24;

/// Among so many names one that came before is looked for one by one, which is quicker than a hash of each. A job's token has some
/// forty.
const FEW: usize = 64;

/// Claims in the token's order. Numbers keep the token's digits, so that `1.0` stays `1.0`.
pub struct Claims {
    /// The members' names, one behind the other.
    names: String,
    /// The [`mark`] of each member's name, to find it by.
    marks: Vec<u64>,
    members: Vec<Member>,
}

struct Member {
    /// Where its name is among the names.
    name: Range<usize>,
    value: Value,
}

impl Claims {
    /// From the payload's octets. Strict: a JSON object in UTF-8, no member twice at any depth, at most 16 levels.
    ///
    /// # Errors
    /// [`Reason::TokenMalformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let count = json.len() / OCTETS_A_MEMBER;
        let room = Self {
            names: String::with_capacity(json.len() / 2),
            marks: Vec::with_capacity(count),
            members: Vec::with_capacity(count),
        };
        parse_members(json, room)
            .and_then(|claims| if claims.has_a_name_twice() { Err(TWICE) } else { Ok(claims) })
            .map_err(|fault| Refusal::new(Reason::TokenMalformed).because(format!("Its payload: {fault}.")))
    }

    /// The claim's value; `None` when absent. A JSON null is `Some(Value::Null)`.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.find(name, self.members.len())
    }

    /// All members in the token's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter().map(|member| {
            let name = self.names.get(member.name.clone()).unwrap_or_default();
            (name, &member.value)
        })
    }

    /// Whether one of many names came before: a long list is not looked through for each of them.
    fn has_a_name_twice(&self) -> bool {
        let count = self.members.len();
        count > FEW && self.iter().map(|(name, _)| name).collect::<HashSet<_>>().len() < count
    }

    /// The one of that name among the first so many.
    fn find(&self, name: &str, most: usize) -> Option<&Value> {
        let mark = mark(name.as_bytes());
        let marked = self.marks.iter().zip(&self.members).take(most).filter(|(other, _)| **other == mark);
        let mut members = marked.map(|(_, member)| member);
        members.find(|member| self.names.get(member.name.clone()) == Some(name)).map(|member| &member.value)
    }
}

/// A number by which most names differ: they are looked through without a look at their texts.
fn mark(name: &[u8]) -> u64 {
    let ends = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(7),
        _ => name.iter().fold(0, |mark, octet| mark << 8 | u64::from(*octet)),
    };
    ends ^ name.len() as u64
}

impl Members for Claims {
    /// Among the first [`FEW`].
    fn has(&self, name: &str) -> bool {
        self.find(name, FEW).is_some()
    }

    fn push(&mut self, name: Cow<'_, str>, value: Value) {
        self.marks.push(mark(name.as_bytes()));
        let begin = self.names.len();
        self.names.push_str(&name);
        self.members.push(Member { name: begin..self.names.len(), value });
    }
}

impl fmt::Debug for Claims {
    /// Their number only: claims are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claims({} members)", self.members.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_by_its_whole_name_and_never_taken_twice_however_many_there_are() {
        for count in [1, FEW - 1, FEW, FEW + 1, 5 * FEW] {
            let list: Vec<_> = (0..count).map(|n| format!("\"n{n}\":{n}")).collect();
            let claims = Claims::parse(format!("{{{}}}", list.join(",")).as_bytes()).expect("an object");
            let names: Vec<_> = claims.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            assert_eq!(names, list);
            for n in 0..count {
                assert_eq!(claims.member(&format!("n{n}")).and_then(Value::as_u64), Some(n as u64));
                let twice = format!("{{{},\"n{n}\":0}}", list.join(","));
                let refusal = Claims::parse(twice.as_bytes()).expect_err("twice");
                assert_eq!(refusal.detail(), Some("Its payload: it has a member twice."));
            }
            for none in ["", "n", "0", "n0\"", &format!("n{count}"), "n0n1", "0n1"] {
                assert_eq!(claims.member(none), None, "{none}");
            }
        }
        // Of one mark: their beginnings and ends are the same.
        let claims =
            Claims::parse(br#"{"beginning-1-the-end":1,"beginning-2-the-end":2}"#).expect("an object");
        assert_eq!(claims.member("beginning-2-the-end"), Some(&Value::from(2)));
        assert_eq!(claims.member("beginning-3-the-end"), None);
        let claims = Claims::parse(br#"{"":1,"a\u0062":2,"\u00e9":3}"#).expect("an object");
        let names: Vec<_> = claims.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["", "ab", "é"]);
        assert_eq!(claims.member("é"), Some(&Value::from(3)));
    }

    #[test]
    fn null_and_absent_differ() {
        let claims = Claims::parse(br#"{"a":null}"#).expect("an object");
        assert_eq!(claims.member("a"), Some(&Value::Null));
        assert_eq!(claims.member("b"), None);
    }

    #[test]
    fn neither_debug_output_nor_a_refusal_shows_a_claim() {
        let claims = Claims::parse(br#"{"user_email":"ada@example.com"}"#).expect("an object");
        assert_eq!(format!("{claims:?}"), "Claims(1 members)");
        let refusal =
            Claims::parse(br#"{"user_email":"ada@example.com","user_email":1}"#).expect_err("twice");
        assert_eq!(refusal.reason(), Reason::TokenMalformed);
        assert!(!format!("{refusal} {refusal:?}").contains("ada"));
    }
}
