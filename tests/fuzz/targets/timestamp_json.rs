//! The reference's JSON request for a timestamp.

use super::timestamp_der::check_token;
use super::world::check_refusal;
use countersign::timestamping::request::{MAX_JSON, TimestampRequest};

/// What is accepted is a JSON object whose hash, decoded, stands in the imprint.
pub fn target(data: &[u8]) {
    let request = match TimestampRequest::from_json(data) {
        Ok(request) => request,
        Err(refusal) => return check_refusal(&refusal),
    };
    assert!(data.len() <= MAX_JSON);
    let json: serde_json::Value = serde_json::from_slice(data).expect("JSON");
    let hash = {
        use base64::Engine as _;
        let text = json["artifactHash"].as_str().expect("a text");
        base64::prelude::BASE64_STANDARD.decode(text).expect("base64")
    };
    assert!(request.imprint().ends_with(&hash));
    assert_eq!(request.wants_certificates(), json["certificates"].as_bool().unwrap_or_default());
    check_token(&request);
}
