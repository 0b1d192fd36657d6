//! JSON as RFC 8259 has it, read once and strictly: no member twice at any depth (RFC 7515 §4, RFC 7519 §4),
//! bounded depth, valid UTF-8, nothing after the value.
//!
//! serde_json does the reading; this visitor adds what its `Value` lets pass.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

/// How deeply values may be nested. GitLab's `user_identities` and `job_config` need three levels.
pub const MAX_DEPTH: usize = 16;

/// serde_json hands over numbers that are no 64-bit integers as a map with one private key of this family. In a
/// document such a key is an attack on parsers, so it is refused.
const PRIVATE_KEYS: &str = "$serde_json::private::";

const NOT_JSON: &str = "it is not valid JSON";
/// What is wrong with an object that has two members of one name.
pub(super) const TWICE: &str = "it has a member twice";

/// Where an object's members go.
pub(super) trait Members {
    /// Whether there is one of that name. Who says no of one that there is finds it later.
    fn has(&self, name: &str) -> bool;

    /// Takes one.
    fn push(&mut self, name: Cow<'_, str>, value: Value);
}

impl Members for Map<String, Value> {
    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }

    fn push(&mut self, name: Cow<'_, str>, value: Value) {
        self.insert(name.into_owned(), value);
    }
}

/// Reads a JSON object. Members keep their order, and numbers their spelling, but for an exponent's: `1E5` is read as `1e+5`.
///
/// # Errors
/// What is wrong, without any part of the document.
pub fn parse_object(json: &[u8]) -> Result<Map<String, Value>, &'static str> {
    parse_members(json, Map::new())
}

/// [`parse_object`] into something else.
pub(super) fn parse_members<M: Members>(json: &[u8], members: M) -> Result<M, &'static str> {
    // At once, which is quicker than text by text.
    let json = std::str::from_utf8(json).map_err(|_| NOT_JSON)?;
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    StrictObject { strict: StrictValue { depth: 0, fault: &fault }, members }
        .deserialize(&mut deserializer)
        .and_then(|members| deserializer.end().map(|()| members))
        .map_err(|error| {
            let other = if error.is_data() { "it is not a JSON object" } else { NOT_JSON };
            fault.get().unwrap_or(other)
        })
}

/// The object that the document is.
struct StrictObject<'f, M> {
    strict: StrictValue<'f>,
    members: M,
}

impl<'de, M: Members> DeserializeSeed<'de> for StrictObject<'_, M> {
    type Value = M;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<M, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Members> Visitor<'de> for StrictObject<'_, M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<M, A::Error> {
        match entries.next_key_seed(Name)? {
            Some(first) if first.starts_with(PRIVATE_KEYS) => {
                entries.next_value_seed(NumberSpelling(self.strict))?;
                Err(A::Error::custom("a number"))
            }
            first => self.strict.read_members(first, entries, self.members),
        }
    }
}

/// One value at some depth. serde's errors quote the document, so the fault is told beside them.
#[derive(Clone, Copy)]
struct StrictValue<'f> {
    depth: usize,
    fault: &'f Cell<Option<&'static str>>,
}

impl StrictValue<'_> {
    fn fail<E: Error>(&self, fault: &'static str) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }

    fn deeper<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            Err(self.fail("it is nested too deeply"))
        } else {
            Ok(Self { depth, ..*self })
        }
    }

    /// An object's members behind the first one's name.
    fn read_members<'de, A: MapAccess<'de>, M: Members>(
        &self,
        first: Option<Cow<'de, str>>,
        mut entries: A,
        mut members: M,
    ) -> Result<M, A::Error> {
        let inner = self.deeper()?;
        let mut next = first;
        while let Some(name) = next {
            if name.starts_with(PRIVATE_KEYS) {
                return Err(self.fail("it has a member with a reserved name"));
            }
            if members.has(&name) {
                return Err(self.fail(TWICE));
            }
            members.push(name, entries.next_value_seed(inner)?);
            next = entries.next_key_seed(Name)?;
        }
        Ok(members)
    }
}

impl<'de> DeserializeSeed<'de> for StrictValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        match entries.next_key_seed(Name)? {
            Some(first) if first.starts_with(PRIVATE_KEYS) => {
                entries.next_value_seed(NumberSpelling(self)).map(Value::Number)
            }
            first => self.read_members(first, entries, Map::new()).map(Value::Object),
        }
    }
}

/// A member's name, which is a part of the document unless something in it is escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The spelling of a number. serde_json hands it over as an owned string, which it never does with a string of the
/// document itself: a member that only looks like a number cannot become one.
struct NumberSpelling<'f>(StrictValue<'f>);

impl<'de> DeserializeSeed<'de> for NumberSpelling<'_> {
    type Value = Number;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Number, D::Error> {
        let strict = self.0;
        deserializer.deserialize_any(self).inspect_err(|_| {
            strict.fault.set(Some("it has a member with a reserved name"));
        })
    }
}

impl Visitor<'_> for NumberSpelling<'_> {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Number, E> {
        Err(E::custom("a member with a reserved name"))
    }

    fn visit_string<E: Error>(self, spelling: String) -> Result<Number, E> {
        spelling.parse().map_err(|_| E::custom("not a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> &'static str {
        parse_object(json.as_bytes()).expect_err("must be refused")
    }

    #[test]
    fn numbers_keep_their_spelling_and_members_their_order() {
        let json =
            r#"{"z":1,"a":-0,"m":1.50,"b":18446744073709551616,"c":1e+400,"d":-7,"e":[0.10,{"f":2.0}]}"#;
        let members = parse_object(json.as_bytes()).expect("valid");
        assert_eq!(serde_json::to_string(&Value::Object(members)).expect("JSON"), json);
    }

    #[test]
    fn a_member_that_looks_like_a_private_number_is_no_number() {
        let reserved = "it has a member with a reserved name";
        for json in [
            r#"{"$serde_json::private::Number":"5"}"#,
            r#"{"exp":{"$serde_json::private::Number":"5"}}"#,
            r#"{"exp":{"\u0024serde_json::private::Number":"\u0035"}}"#,
            r#"{"exp":{"$serde_json::private::Number":5}}"#,
            r#"{"exp":{"$serde_json::private::Number":1.5}}"#,
            r#"{"exp":{"$serde_json::private::Number":null}}"#,
            r#"{"exp":{"a":1,"$serde_json::private::Number":"5"}}"#,
            r#"{"exp":{"$serde_json::private::RawValue":"{}"}}"#,
        ] {
            assert_eq!(fault(json), reserved, "{json}");
        }
    }

    #[test]
    fn a_member_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"c":2,"b":3}}"#,
            r#"{"a":[[{"b":1,"b":3}]]}"#,
        ] {
            assert_eq!(fault(json), "it has a member twice", "{json}");
        }
    }

    #[test]
    fn the_depth_is_bounded() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
        assert!(parse_object(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(fault(&nested(MAX_DEPTH + 1)), "it is nested too deeply");
        assert_eq!(fault(&nested(30_000)), "it is nested too deeply");
        let objects = |n: usize| format!("{}{}", "{\"a\":".repeat(n - 1) + "{", "}".repeat(n));
        assert!(parse_object(objects(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(fault(&objects(MAX_DEPTH + 1)), "it is nested too deeply");
    }

    #[test]
    fn what_is_no_object_in_utf8_is_refused() {
        for json in ["5", "1.5", "[]", "\"a\"", "null", "true", "[{\"a\":1,\"a\":1}]", "5 x"] {
            assert_eq!(fault(json), "it is not a JSON object", "{json}");
        }
        for json in
            ["", "{", "{}{}", "{} x", "{'a':1}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}", "{\"a\":NaN}"]
        {
            assert_eq!(fault(json), "it is not valid JSON", "{json}");
        }
        for json in
            [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\xed\xa0\x80\"}", b"\xef\xbb\xbf{}", b"{\"a\":\"\\ud800\"}"]
        {
            assert_eq!(parse_object(json), Err("it is not valid JSON"));
        }
    }
}
