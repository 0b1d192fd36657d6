//! A DER TimeStampReq.

use super::world::check_refusal;
use countersign::timestamping::asn1::TimeStampReq;
use countersign::timestamping::request::{MAX_DER, MAX_NONCE, TimestampRequest};
use der::{Decode as _, Encode as _};

/// What is accepted is a request as the ASN.1 has it, of which the token repeats imprint and nonce octet for octet.
pub fn target(data: &[u8]) {
    let request = match TimestampRequest::from_der(data) {
        Ok(request) => request,
        Err(refusal) => return check_refusal(&refusal),
    };
    assert!(data.len() <= MAX_DER);
    let theirs = TimeStampReq::from_der(data).expect("a request");
    assert_eq!(theirs.message_imprint.to_der().expect("DER"), request.imprint());
    assert_eq!(theirs.nonce.map(|nonce| nonce.to_der().expect("DER")).as_deref(), request.nonce());
    assert!(request.nonce().is_none_or(|nonce| nonce.len() <= MAX_NONCE + 2));
    assert!([32, 48, 64].contains(&theirs.message_imprint.hashed_message.as_bytes().len()));
    assert!(theirs.extensions.is_none());
    check_token(&request);
}

/// Every request that is accepted makes a token that can be read.
pub fn check_token(request: &TimestampRequest) {
    use countersign::certificate::TimestampChain;
    use countersign::timestamping::DEFAULT_POLICY;
    use countersign::timestamping::asn1::TimeStampResp;
    use countersign::timestamping::token::TokenMaker;
    use std::sync::OnceLock;
    use std::time::Duration;
    static MAKER: OnceLock<TokenMaker> = OnceLock::new();
    let maker = MAKER.get_or_init(|| {
        let pem = include_bytes!("../../fixtures/certificate/timestamps.pem");
        let chain = TimestampChain::from_pem(pem).expect("a chain");
        TokenMaker::new(&chain, DEFAULT_POLICY, Duration::from_secs(1)).expect("an authority")
    });
    let attributes = maker.prepare(request, super::world::NOW, [7; 16]).expect("attributes");
    let response = maker.response(&attributes, &[1; 70]);
    let read = TimeStampResp::from_der(&response).expect("a response");
    assert_eq!(read.to_der().expect("DER"), response);
}
