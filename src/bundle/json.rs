//! The JSON of protobuf messages (ProtoJSON) as Sigstore's files have it: octets in base64, 64-bit numbers as strings, names in
//! camelCase or snake_case, `null` for what is not there.
//!
//! No member may occur twice: the types that use this say so through `serde`'s derive.

use crate::protojson::{Base64, Integer, Scalar};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// Padding may be missing, as ProtoJSON says; the bits beyond the last octet must be zero.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Octets, in base64.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Octets({})", self.0.len())
    }
}

impl std::ops::Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Octets {
    fn from(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

/// The octets of base64, of either alphabet.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode(text).ok()
}

/// Base64 with padding.
pub fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Octets;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Octets, E> {
                from_base64(text).map(Octets).ok_or_else(|| E::custom("not valid base64"))
            }
        }
        from.deserialize_str(Text)
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        Base64(&self.0).serialize(into)
    }
}

/// A number from 0 to 2^63 - 1: an index, a size, seconds. Protobuf's int64, of which no negative one means anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u64);

impl Number {
    /// Whether it is protobuf's default.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = match Scalar::deserialize(from)? {
            Scalar::Text(text) | Scalar::Number(text) => text,
        };
        let is_decimal = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_decimal && i64::try_from(*number).is_ok());
        number.map(Self).ok_or_else(|| de::Error::custom("not a number from 0 to 2^63 - 1"))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        Integer(self.0).serialize(into)
    }
}

/// A list; `null` is the empty one.
pub fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

/// A value; `null` is protobuf's default.
pub fn plain<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_and_not_negative() {
        let read = |text: &str| serde_json::from_str::<Number>(text).ok().map(|number| number.0);
        assert_eq!(read("\"27246492\""), Some(27_246_492));
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("\"9223372036854775807\""), Some(i64::MAX as u64));
        for wrong in ["-1", "\"-1\"", "\"+1\"", "\"\"", "\"9223372036854775808\"", "1.5", "\"0x1\"", "true"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        for tree in ["null", "{}", "[7]", r#"{"a":7}"#, r#"{"$serde_json::private::Number":"7"}"#] {
            assert_eq!(read(tree), None, "{tree}");
        }
        // What is no number is refused where it begins, however much follows.
        let long = format!("[{}7]", "{\"\":0},".repeat(1000));
        assert!(serde_json::from_str::<Number>(&long).unwrap_err().column() < 3);
        assert_eq!(serde_json::to_string(&Number(5)).unwrap(), "\"5\"");
    }

    #[test]
    fn octets_are_base64_of_either_alphabet() {
        let read = |text: &str| serde_json::from_str::<Octets>(text).ok().map(|octets| octets.0);
        for text in ["\"+/8=\"", "\"+/8\"", "\"-_8=\"", "\"-_8\""] {
            assert_eq!(read(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        for wrong in ["\"+_8=\"", "\"+/9=\"", "\"+/8= \"", "5", "\"*\""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
