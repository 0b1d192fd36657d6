//! A glance at a token: the texts that it claims, and nothing else. Enough to refuse it when places are short, and for nothing more.

use super::{Claims, MAX_TOKEN_BYTES, Segments};
use crate::refusal::Refusal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A token's payload, decoded and not looked at.
pub struct Payload(Vec<u8>);

/// The members of a payload that are texts. Nobody has vouched for them, nor for the token's shape.
pub struct ClaimedTexts<'p>(Vec<(Cow<'p, str>, Cow<'p, str>)>);

impl Payload {
    /// `None` for what is no token: who reads it whole says why.
    pub fn decode(token: &str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let segments = Segments::split(token).ok()?;
        URL_SAFE_NO_PAD.decode(segments.payload).ok().map(Self)
    }

    /// All of it, for people who look at what a token says. Nobody has vouched for it.
    ///
    /// # Errors
    /// [`Reason::TokenMalformed`](crate::refusal::Reason::TokenMalformed).
    pub fn claims(&self) -> Result<Claims, Refusal> {
        Claims::parse(&self.0)
    }

    /// `None` for what is no JSON object.
    pub fn texts(&self) -> Option<ClaimedTexts<'_>> {
        serde_json::Deserializer::from_slice(&self.0).deserialize_map(Members).ok()
    }
}

impl ClaimedTexts<'_> {
    /// The text of the first member with that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| &**text)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = ClaimedTexts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // GitLab's tokens have about thirty.
        let mut texts = Vec::with_capacity(32);
        while let Some(name) = map.next_key_seed(Text)? {
            if let (Some(name), Some(text)) = (name, map.next_value_seed(Text)?) {
                texts.push((name, text));
            }
        }
        Ok(ClaimedTexts(texts))
    }
}

/// A text, where it stands if it can; `None` for anything else.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(payload: &str, names: &[&str]) -> Option<Vec<Option<String>>> {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        let payload = Payload::decode(&token)?;
        let texts = payload.texts()?;
        Some(names.iter().map(|name| texts.get(name).map(str::to_owned)).collect())
    }

    #[test]
    fn texts_are_seen_and_nothing_else() {
        let payload = r#"{"n":1.50,"big":18446744073709551616,"iss":"https:\/\/a.example","o":{"iss":"no","l":[1,{}]},
            "l":["no",[null]],"t":true,"z":null,"project_path":"g/p","project_path":"later","i":-1}"#;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            texts(payload, &["iss", "project_path", "n", "big", "o", "l", "t", "z", "i", "absent"]),
            Some([vec![some("https://a.example"), some("g/p")], vec![None; 8]].concat())
        );
        assert_eq!(texts("{}", &["iss"]), Some(vec![None]));
    }

    #[test]
    fn what_is_no_token_shows_nothing() {
        for payload in ["", "[]", "1", "1.5", "\"a\"", "{", "{\"a\"}"] {
            assert_eq!(texts(payload, &["iss"]), None, "{payload}");
        }
        for token in ["", "a.b", "e30.e30.e30.e30", "e30.*.c2ln"] {
            assert!(Payload::decode(token).is_none(), "{token}");
        }
        assert!(Payload::decode(&format!("e30.{}.c2ln", "A".repeat(MAX_TOKEN_BYTES))).is_none());
        let deep = "{\"a\":".repeat(30_000) + &"}".repeat(30_000);
        assert_eq!(texts(&deep, &["a"]), None);
    }
}
