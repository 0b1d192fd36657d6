//! An ID token's text, from anybody; or, where there is a line break, a header and a payload that the issuer signed.

use super::world::{EXPECTED, ISSUER, NOW, check_refusal, issuer_key, key_set, signed};
use aws_lc_rs::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use countersign::token::{Algorithm, MAX_TOKEN_BYTES, UnverifiedToken};
use serde_json::Value;

/// What is read as a token is one, in one spelling; and none is believed but with the issuer's signature.
pub fn target(data: &[u8]) {
    let text = match data.iter().position(|octet| *octet == b'\n') {
        Some(at) => signed(&data[..at], &data[at + 1..]),
        None => match std::str::from_utf8(data) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
    };
    let token = match UnverifiedToken::parse(&text) {
        Ok(token) => token,
        Err(refusal) => return check_refusal(&refusal),
    };
    assert!(text.len() <= MAX_TOKEN_BYTES && token.issuer().len() <= 2048);
    let segments: Vec<&str> = text.split('.').collect();
    let decoded: Vec<Vec<u8>> =
        segments.iter().map(|segment| BASE64_URL_SAFE_NO_PAD.decode(segment).expect("base64url")).collect();
    let encoded: Vec<String> = decoded.iter().map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).collect();
    assert_eq!(encoded, segments, "a token has one spelling");
    let [header, payload, signature] = decoded.as_slice() else { panic!("three segments") };
    // What other readers of JSON see there is what was read.
    let header: Value = serde_json::from_slice(header).expect("JSON");
    let payload: Value = serde_json::from_slice(payload).expect("JSON");
    assert_eq!(payload["iss"].as_str(), Some(token.issuer()));
    assert_eq!(header["alg"].as_str(), Some(format!("{:?}", token.algorithm()).as_str()));
    assert_eq!(header["kid"].as_str().filter(|kid| !kid.is_empty()), token.key_id());
    assert!(header.get("crit").is_none());
    assert!(!matches!(token.algorithm(), Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512));

    match token.verify(key_set(), &EXPECTED, NOW) {
        Err(refusal) => check_refusal(&refusal),
        Ok(verified) => {
            assert_eq!(verified.algorithm(), Algorithm::EdDSA);
            let (input, _) = text.rsplit_once('.').expect("segments");
            let key = UnparsedPublicKey::new(&ED25519, issuer_key().public_key().as_ref());
            assert!(key.verify(input.as_bytes(), signature).is_ok(), "the issuer did not sign this");
            assert_eq!(payload["iss"], ISSUER);
            let members: serde_json::Map<_, _> =
                verified.claims().iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
            assert_eq!(Value::Object(members), payload);
        }
    }
}
