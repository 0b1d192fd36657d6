//! What messages in protobuf's JSON have in common (<https://protobuf.dev/programming-guides/json/>): requests, read as leniently as
//! Fulcio and Rekor read them, and answers.

mod object;

pub use object::{Object, object, objects, optional};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::display::Base64Display;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The octets of a `bytes` field: base64 with either alphabet, padded or not; line breaks are skipped. `None`: it is not base64.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    // Nearly everybody's is read as it stands.
    if let Ok(octets) = LENIENT.decode(text) {
        return Some(octets);
    }
    let standard: Vec<u8> = text
        .bytes()
        .filter(|octet| !matches!(octet, b'\r' | b'\n'))
        .map(|octet| match octet {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        })
        .collect();
    LENIENT.decode(standard).ok()
}

/// A `bytes` field to be written: base64, straight into the text.
pub struct Base64<'o>(pub &'o [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Base64Display::new(self.0, &BASE64_STANDARD))
    }
}

/// An integer of 64 bits to be written: a string.
pub struct Integer(pub u64);

impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// A field that comes as text or as a number: an enumeration, an integer of 64 bits. Nothing else is read: a list or an object is
/// refused at its first octet, however much is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A string.
    Text(String),
    /// A number, as it was spelled: `-1`, `1.5`, `1e3`.
    Number(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Scalar, A::Error> {
                match members.next_key()? {
                    Some(Member::Spelling) => members.next_value().map(|Spelling(text)| Scalar::Number(text)),
                    Some(Member::Another) | None => Err(A::Error::custom("a string or a number is expected")),
                }
            }
        }
        from.deserialize_any(Either)
    }
}

/// The name of an object's first member.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Member {
    /// What serde_json calls a number's spelling when it hands it over as a map of one member (its feature `arbitrary_precision`).
    #[serde(rename = "$serde_json::private::Number")]
    Spelling,
    #[serde(other)]
    Another,
}

/// A number's spelling. serde_json hands it over owned, and a string of the text itself never: so an object which somebody wrote
/// with a member of that name is no number.
struct Spelling(String);

impl<'de> Deserialize<'de> for Spelling {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Owned;
        impl Visitor<'_> for Owned {
            type Value = Spelling;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number's spelling")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Spelling, E> {
                Err(E::custom("an object is no number"))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Spelling, E> {
                Ok(Spelling(text))
            }
        }
        from.deserialize_any(Owned)
    }
}

/// A list that may have `MOST` items. Of a longer one the first `MOST + 1` are kept, which is how the reader knows; the rest is
/// passed over and takes no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtMost<const MOST: usize, T>(pub Vec<T>);

impl<const MOST: usize, T> AtMost<MOST, T> {
    /// Whether the list was longer.
    pub const fn is_too_long(&self) -> bool {
        self.0.len() > MOST
    }
}

impl<const MOST: usize, T> Default for AtMost<MOST, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, const MOST: usize, T: Deserialize<'de>> Deserialize<'de> for AtMost<MOST, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Items<const MOST: usize, T>(PhantomData<T>);
        impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for Items<MOST, T> {
            type Value = AtMost<MOST, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut kept = AtMost(Vec::new());
                while !kept.is_too_long() {
                    match items.next_element()? {
                        Some(item) => kept.0.push(item),
                        None => return Ok(kept),
                    }
                }
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(kept)
            }
        }
        from.deserialize_seq(Items(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_a_string_or_a_number_as_it_was_spelled() {
        let read = |text: &str| serde_json::from_str::<Scalar>(text).ok();
        for (text, spelling) in [("7", "7"), ("-1", "-1"), ("1.50", "1.50"), ("1e3", "1e+3")] {
            assert_eq!(read(text), Some(Scalar::Number(spelling.to_owned())), "{text}");
        }
        for (text, said) in [(r#""7""#, "7"), (r#""""#, ""), (r#""\u0041""#, "A")] {
            assert_eq!(read(text), Some(Scalar::Text(said.to_owned())), "{text}");
        }
        for wrong in [
            "null",
            "true",
            "[]",
            "{}",
            r#"{"a":1}"#,
            r#"{"$serde_json::private::Number":"7"}"#,
            r#"{"$serde_json::private::Number":"\u0037"}"#,
            r#"{"$serde_json::private::Number":7}"#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tree_in_the_place_of_a_scalar_is_refused_at_its_first_octet() {
        for (item, most) in [("{\"\":0}", 2), ("[0]", 2), ("0", 2)] {
            let tree = format!("[{}]", vec![item; 1000].join(","));
            let error = serde_json::from_str::<Scalar>(&tree).unwrap_err();
            assert!(error.column() <= most, "{item}: {error}");
        }
        let tree = format!(r#"{{"a":[{}]}}"#, vec!["0"; 1000].join(","));
        let error = serde_json::from_str::<Scalar>(&tree).unwrap_err();
        assert!(error.column() < 10, "{error}");
    }

    #[test]
    fn of_a_list_that_is_too_long_one_item_more_is_kept() {
        let read = |text: &str| serde_json::from_str::<AtMost<2, u8>>(text).ok();
        for (text, kept) in [("[]", vec![]), ("[1,2]", vec![1, 2])] {
            let list = read(text).unwrap();
            assert!(!list.is_too_long());
            assert_eq!(list.0, kept);
        }
        let long = read(r#"[1,2,3,"passed over",[{}]]"#).unwrap();
        assert!(long.is_too_long());
        assert_eq!(long.0, [1, 2, 3]);
        for wrong in ["[1,", "[1,2,3,]", "{}", "1", "[300]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn base64_comes_in_both_alphabets_padded_or_not_wrapped_or_not() {
        for text in ["+/+/+w==", "-_-_-w==", "+_-/-w==", "+/+/+w", "-_-_-w", "-_-_-x", "+/+/\n+w==\r\n"] {
            assert_eq!(bytes(text), Some(vec![0xfb, 0xff, 0xbf, 0xfb]), "{text}");
        }
        for text in ["!!!!", "a", "ab=c", "a b"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
