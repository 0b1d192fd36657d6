//! What requests in protobuf's JSON have in common (<https://protobuf.dev/programming-guides/json/>), read as leniently as Fulcio and
//! Rekor read it.

mod object;

pub use object::{Object, object, objects, optional};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The octets of a `bytes` field: base64 with either alphabet, padded or not; line breaks are skipped. `None`: it is not base64.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
