//! gRPC calls: the first octet picks the method, the rest is the message, in gRPC's frame if the octet is below 128.

use super::server::{self, Answer, ask};
use super::world::SECRET;

const METHODS: [&str; 6] = [
    "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate",
    "/dev.sigstore.fulcio.v2.CA/GetTrustBundle",
    "/dev.sigstore.fulcio.v2.CA/GetConfiguration",
    "/dev.sigstore.fulcio.v1beta.CA/CreateSigningCertificate",
    "/grpc.health.v1.Health/Check",
    "/dev.sigstore.fulcio.v2.CA/NoSuchMethod",
];

/// The codes of refusals that are the caller's fault: INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (too
/// large), UNIMPLEMENTED, UNAUTHENTICATED.
const CALLERS: [&str; 6] = ["3", "5", "7", "8", "12", "16"];

/// Whatever the message, the call ends well or by the caller's fault.
pub fn target(data: &[u8]) {
    let Some((selector, message)) = data.split_first() else { return };
    let method = METHODS[usize::from(*selector & 0x7f) % METHODS.len()];
    let body = if *selector < 128 {
        [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
    } else {
        message.to_vec()
    };
    let Answer { status, headers, body } = ask(method, "application/grpc", &body);
    assert_eq!(status, 200);
    let shown = format!("{headers:?} {}", String::from_utf8_lossy(&body));
    assert!(!shown.contains(SECRET), "the answer repeats what was sent: {shown}");
    // A refusal alone has its status among the headers; otherwise it is in the trailers, which `ask` adds to them.
    let code = headers.get("grpc-status").expect("a status").to_str().expect("text");
    if code == "0" {
        let text = String::from_utf8_lossy(&body);
        if let Some(at) = text.find("-----BEGIN CERTIFICATE-----")
            && method.ends_with("CreateSigningCertificate")
        {
            server::check_certificate(&text[at..]);
        }
    } else {
        // The reference's server says INTERNAL of a message that is no protobuf, and so does ours.
        let unreadable = code == "13" && shown.contains("grpc: error unmarshalling request");
        assert!(unreadable || CALLERS.contains(&code), "{shown}");
    }
}
