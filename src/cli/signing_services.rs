//! The services that `sign` asks beside the CA: a timestamp authority (RFC 3161) and a signature log (Rekor's API v2).

use super::client::{Http, Patience, Post, RequestError};
use crate::bundle::{LogEntry, MessageSignature, base64};
use crate::environment::Random;
use crate::hash::HashAlgorithm;
use crate::timestamping::asn1::{MessageImprint, TimeStampReq};
use crate::timestamping::verification::Token;
use crate::transparency::sha256;
use der::Encode;
use der::asn1::{Any, Int, OctetString};
use serde_json::{Value, json};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// DER TimeStampReq for a signature: SHA-256, with a nonce and the wish for the authority's certificate.
fn timestamp_request(signature: &[u8], nonce: &[u8]) -> der::Result<Vec<u8>> {
    TimeStampReq {
        version: Int::new(&[1])?,
        message_imprint: MessageImprint {
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: HashAlgorithm::Sha256.oid(),
                parameters: Some(Any::null()),
            },
            hashed_message: OctetString::new(sha256(signature))?,
        },
        req_policy: None,
        nonce: Some(Int::new(nonce)?),
        cert_req: true,
        extensions: None,
    }
    .to_der()
}

/// Asks for a timestamp of the signature: DER TimeStampResp, whose signature is for the verifier.
pub async fn timestamp(
    http: &Http,
    url: &str,
    signature: &[u8],
    random: &dyn Random,
    patience: Patience,
    note: impl FnMut(&str),
) -> Result<Vec<u8>, RequestError> {
    let broken = |words: String| RequestError::Failed(format!("{url}: {words}"));
    let mut nonce = [0; 8];
    random.fill(&mut nonce);
    // A positive INTEGER in the fewest octets: the first is from 0x40 to 0x7f.
    nonce[0] = nonce[0] & 0x3f | 0x40;
    let request = timestamp_request(signature, &nonce).map_err(|error| broken(error.to_string()))?;
    let post = Post { who: "the timestamp authority", url, content_type: "application/timestamp-query" };
    let answer = http.post(&post, request, patience, note).await?;
    let token = Token::from_response(&answer).map_err(|error| broken(error.to_string()))?;
    token.verify_imprint(signature).map_err(|error| broken(error.to_string()))?;
    if token.nonce() != Some(&nonce) {
        return Err(broken("the timestamp answers another request: its nonce is another".to_owned()));
    }
    Ok(answer)
}

/// What is logged: an entry `hashedrekord` 0.0.2 over a digest.
pub fn log_request(digest: &[u8], signature: &[u8], certificate: &[u8]) -> Value {
    json!({ "hashedRekordRequestV002": {
        "digest": base64(digest),
        "signature": {
            "content": base64(signature),
            "verifier": {
                "x509Certificate": { "rawBytes": base64(certificate) },
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            },
        },
    } })
}

/// The entries' path below a log's base URL.
fn entries_url(base: &str) -> String {
    format!("{}/api/v2/log/entries", base.trim_end_matches('/'))
}

/// Writes to a log: the entry as a bundle has it.
pub async fn log(
    http: &Http,
    base: &str,
    request: &Value,
    patience: Patience,
    note: impl FnMut(&str),
) -> Result<LogEntry, RequestError> {
    let url = entries_url(base);
    let post = Post { who: "the signature log", url: &url, content_type: "application/json" };
    let answer = http.post(&post, request.to_string().into_bytes(), patience, note).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| RequestError::Failed(format!("{url} answered, but not with a log entry: {error}")))
}

/// The message signature of a bundle.
pub fn message_signature(digest: &[u8], signature: &[u8]) -> MessageSignature {
    MessageSignature {
        message_digest: Some(crate::bundle::HashOutput {
            algorithm: "SHA2_256".to_owned(),
            digest: digest.to_vec().into(),
        }),
        signature: signature.to_vec().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Decode;

    #[test]
    fn a_timestamp_is_asked_for_by_hash_with_a_nonce() {
        let der = timestamp_request(b"signature", &[0x40, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        let request = TimeStampReq::from_der(&der).unwrap();
        assert_eq!(request.message_imprint.hashed_message.as_bytes(), sha256(b"signature"));
        assert!(request.cert_req && request.nonce.is_some() && request.req_policy.is_none());
    }

    #[test]
    fn slashes_at_the_end_of_a_base_url_do_not_matter() {
        for base in ["https://log.example.com", "https://log.example.com/", "https://log.example.com//"] {
            assert_eq!(entries_url(base), "https://log.example.com/api/v2/log/entries");
        }
    }
}
