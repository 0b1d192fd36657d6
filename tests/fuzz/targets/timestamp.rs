//! An RFC 3161 timestamp, as it stands in a bundle or comes from an authority.

use countersign::bundle::{Bundle, TrustedRoot};
use countersign::timestamping::verification::Token;

const ROOT: &[u8] = include_bytes!("../../fixtures/bundle/trusted_root.json");
const BUNDLE: &[u8] = include_bytes!("../../fixtures/bundle/message.json");

/// Whatever verifies says the one time that the authority stated.
pub fn target(data: &[u8]) {
    let Ok(token) = Token::from_response(data) else { return };
    let root = TrustedRoot::from_json(ROOT).expect("the fixture");
    let bundle = Bundle::from_json(BUNDLE).expect("the fixture");
    let certificate = root.timestamp_authorities().first().and_then(|it| it.own.as_deref()).expect("its own");
    let stated = bundle.timestamps().next().expect("a timestamp");
    let stated = Token::from_response(stated).expect("the fixture");
    let signed = token.verify_signed_by(certificate).is_ok();
    assert!(!signed || token.verify_imprint(b"what was not signed").is_err());
    if signed && token.verify_imprint(bundle.signature()).is_ok() {
        assert_eq!((token.time(), token.serial()), (stated.time(), stated.serial()));
    }
    for der in token.certificates() {
        let _ = (token.names(der), token.verify_signed_by(der));
    }
}
