//! Timestamps that `openssl ts` made, whole and broken.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// A timestamp that `openssl ts` made, the signature that it is of, and its authority's certificate.
fn made() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let octets = |value: &Value| crate::bundle::from_base64(value.as_str().unwrap()).unwrap();
    let bundle = include_str!("../../../tests/fixtures/bundle/message.json");
    let root = include_str!("../../../tests/fixtures/bundle/trusted_root.json");
    let (bundle, root): (Value, Value) =
        (serde_json::from_str(bundle).unwrap(), serde_json::from_str(root).unwrap());
    let timestamps = &bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
    let chain = &root["timestampAuthorities"][0]["certChain"]["certificates"];
    (
        octets(&timestamps[0]["signedTimestamp"]),
        octets(&bundle["messageSignature"]["signature"]),
        octets(&chain[0]["rawBytes"]),
    )
}

#[test]
fn a_timestamp_of_openssl_holds_for_its_message_and_its_signer() {
    let (response, message, certificate) = made();
    let token = Token::from_response(&response).unwrap();
    assert_eq!(token.verify_imprint(&message), Ok(()));
    assert_eq!(token.verify_imprint(b"other"), Err(TimestampError::Imprint));
    assert!(token.names(&certificate) && token.certificates().contains(&certificate.as_slice()));
    assert_eq!(token.verify_signed_by(&certificate), Ok(()));
    assert_eq!(token.policy().to_string(), "1.2.3.4");
    assert!(token.nonce().is_some() && !token.serial().is_empty());
    let other = crate::certificate::testing::chain().certificates()[0].clone();
    assert!(!token.names(&other));
    let refused = token.verify_signed_by(&other);
    assert_eq!(refused, Err(TimestampError::Attributes("another certificate is named as the signer's")));
}

#[test]
fn no_bit_that_is_signed_can_be_changed() {
    let (response, message, certificate) = made();
    let whole = Token::from_response(&response).unwrap();
    for at in 0..response.len() {
        let mut changed = response.clone();
        changed[at] ^= 1 << (at % 8);
        let Ok(token) = Token::from_response(&changed) else { continue };
        if token.verify_signed_by(&certificate).is_ok() && token.verify_imprint(&message).is_ok() {
            // The status, versions, lists of algorithms and embedded certificates are outside of the signature.
            assert_eq!((token.time(), token.serial()), (whole.time(), whole.serial()), "octet {at}");
        }
    }
}

#[test]
fn of_what_a_timestamp_says_besides_nothing_critical_is_passed_over() {
    let (response, ..) = made();
    let token = Token::from_response(&response).unwrap();
    let with = |extensions: &[u8]| {
        let fields = Element::only(token.content, SEQUENCE).unwrap().value;
        let mut fields = fields.to_vec();
        crate::certificate::push_tlv(&mut fields, CONTEXT_1, extensions);
        let mut info = Vec::new();
        crate::certificate::push_tlv(&mut info, SEQUENCE, &fields);
        Info::parse(&info).map(|info| info.time)
    };
    // The extension 1.2.3 with NULL: plain, critical, and with a default that DER leaves out.
    assert_eq!(with(&[0x30, 8, 6, 2, 0x2a, 3, 4, 2, 5, 0]), Ok(token.time()));
    for refused in [
        &[0x30, 11, 6, 2, 0x2a, 3, 1, 1, 0xff, 4, 2, 5, 0][..],
        &[0x30, 11, 6, 2, 0x2a, 3, 1, 1, 0, 4, 2, 5, 0],
        &[0x30, 4, 6, 2, 0x2a, 3],
        &[0x30, 0],
        &[5, 0],
    ] {
        assert!(with(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn times_are_utc_with_fractions_that_end() {
    let time = |text: &str| generalized_time(text.as_bytes()).map(|at| at.0);
    assert_eq!(time("20261121090000Z"), Some(1_795_251_600_000));
    assert_eq!(time("20261121090000.5Z"), Some(1_795_251_600_500));
    assert_eq!(time("20261121090000.123456Z"), Some(1_795_251_600_123));
    for wrong in [
        "20261121090000",
        "20261121090000.Z",
        "20261121090000.50Z",
        "20261121090000+0100",
        "2026112109Z",
        "Z",
    ] {
        assert_eq!(time(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..1500) {
        let _ = Token::from_response(&octets);
        let (mut response, message, certificate) = made();
        let at = at.min(response.len());
        let end = (at + octets.len()).min(response.len());
        response.splice(at..end, octets);
        if let Ok(token) = Token::from_response(&response) {
            let _ = (token.verify_imprint(&message), token.verify_signed_by(&certificate));
        }
    }
}
