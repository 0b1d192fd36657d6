//! JSON bodies of requests: the first octet picks the version. `$TOKEN` stands for a good token.

use super::server::{self, Answer, ask, token};
use super::world::SECRET;

/// Whatever the body, the answer is a certificate for the token's subject, or a refusal by 4xx in Fulcio's shape.
pub fn target(data: &[u8]) {
    let Some((version, body)) = data.split_first() else { return };
    let version = if version % 2 == 0 { "v1" } else { "v2" };
    let body = replaced(body);
    let path = format!("/api/{version}/signingCert");
    let Answer { status, headers, body } = ask(&path, "application/json", &body);
    let text = String::from_utf8_lossy(&body);
    assert!(!text.contains(SECRET), "the answer repeats what was sent: {text}");
    assert!(headers.contains_key("x-request-id"));
    if status.is_success() {
        let pem = text.replace("\\n", "\n");
        server::check_certificate(&pem);
    } else {
        assert!(status.is_client_error(), "{status}: {text}");
        server::check_error(&body);
    }
}

/// The body with the token in the place of its name.
fn replaced(body: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"$TOKEN";
    match body.windows(NAME.len()).position(|window| window == NAME) {
        Some(at) => [&body[..at], token().as_bytes(), &body[at + NAME.len()..]].concat(),
        None => body.to_vec(),
    }
}
