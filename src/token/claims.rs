//! The claims set: a JSON object whose members have distinct names (RFC 7519 §4).

use super::json::parse_object;
use crate::refusal::{Reason, Refusal};
use serde_json::{Map, Value};
use std::fmt;

/// Claims in the token's order. Numbers keep the token's digits, so that `1.0` stays `1.0`.
pub struct Claims {
    members: Map<String, Value>,
}

impl Claims {
    /// From the payload's octets. Strict: a JSON object in UTF-8, no member twice at any depth, at most 16 levels.
    ///
    /// # Errors
    /// [`Reason::TokenMalformed`].
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        match parse_object(json) {
            Ok(members) => Ok(Self { members }),
            Err(fault) => Err(Refusal::new(Reason::TokenMalformed).because(format!("Its payload: {fault}."))),
        }
    }

    /// The claim's value; `None` when absent. A JSON null is `Some(Value::Null)`.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// All members in the token's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
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
