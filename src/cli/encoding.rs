//! Small encodings that several commands need.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Base64 with padding (RFC 4648 §4), as JSON of protobuf messages has it.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The octets of base64 text with padding; white space around it does not matter.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

/// The octets of a JWT's segment (RFC 7515 §2: base64url without padding).
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Every DER document labelled `label` in a PEM text, in order.
///
/// # Errors
/// Text that is no PEM, in words.
pub fn pem_documents(text: &[u8], label: &str) -> Result<Vec<Vec<u8>>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut documents = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, after) = after.split_once(&end).ok_or_else(|| format!("a line `{end}` is missing"))?;
        let body: String = body.split_ascii_whitespace().collect();
        documents.push(STANDARD.decode(body).map_err(|_| format!("the base64 of a {label} is damaged"))?);
        rest = after;
    }
    if documents.is_empty() { Err(format!("there is no `{begin}` in it")) } else { Ok(documents) }
}

/// PEM (RFC 7468) of a DER document, with a newline at its end.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (at, c) in body.char_indices() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_goes_out_and_comes_back() {
        let first: Vec<u8> = (0..=255).collect();
        let pem = to_pem("CERTIFICATE", &first) + "comments between\r\n" + &to_pem("CERTIFICATE", b"second");
        assert!(pem.lines().all(|line| line.len() <= 64));
        assert_eq!(pem_documents(pem.as_bytes(), "CERTIFICATE"), Ok(vec![first, b"second".to_vec()]));
    }

    #[test]
    fn damaged_pem_is_told_apart() {
        let cases: [(&[u8], &str); 4] = [
            (b"\xff", "not text"),
            (b"hello", "no `-----BEGIN CERTIFICATE-----`"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA", "is missing"),
            (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", "damaged"),
        ];
        for (pem, words) in cases {
            let error = pem_documents(pem, "CERTIFICATE").expect_err("damaged");
            assert!(error.contains(words), "{error}");
        }
    }
}
