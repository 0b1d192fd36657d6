//! The body of an entry, exact to the octet: RFC 8785 (JCS) of an `Entry` in protobuf's JSON.
//!
//! Clients rebuild it from a bundle and hash it, so every octet counts. All that is variable in it is base64 and the names of
//! enumerations: nothing that JSON would escape. Members stand in the order of RFC 8785 §3.2.3.

use super::algorithm::KeyDetails;
use crate::hash::HashAlgorithm;
use crate::transparency::{Hash, merkle};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The longest body: an entry tile gives its length in 16 bits (c2sp.org/tlog-tiles, "Log Entries").
pub const MAX_BODY: usize = 65_535;

/// Whose signature it is, as the entry says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMaterial<'k> {
    /// DER SubjectPublicKeyInfo.
    PublicKey(&'k [u8]),
    /// DER certificate.
    Certificate(&'k [u8]),
}

/// A signature and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureOf<'s> {
    /// As the signer made it: DER for ECDSA.
    pub content: &'s [u8],
    /// The key.
    pub key: KeyMaterial<'s>,
    /// Its algorithm.
    pub details: KeyDetails,
}

/// The octets of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalBody(Vec<u8>);

impl CanonicalBody {
    /// A hashedrekord 0.0.2: a signature over a digest. `None`: it would be longer than [`MAX_BODY`].
    pub fn hashedrekord(algorithm: HashAlgorithm, digest: &[u8], signature: SignatureOf<'_>) -> Option<Self> {
        let mut body = String::with_capacity(BESIDE + room_for(signature));
        body.push_str(r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":"#);
        push_digest(&mut body, algorithm, digest);
        body.push_str(r#","signature":"#);
        push_signature(&mut body, signature);
        body.push_str("}}}");
        Self::of(body)
    }

    /// A dsse 0.0.2: the signatures of an envelope with this payload, in the order of their octets. `None`: it would be longer
    /// than [`MAX_BODY`].
    pub fn dsse(payload: &[u8], signatures: &[SignatureOf<'_>]) -> Option<Self> {
        Self::dsse_of_digest(&HashAlgorithm::Sha256.digest(payload), signatures)
    }

    /// The same, with the payload's SHA-256.
    pub(super) fn dsse_of_digest(digest: &[u8], signatures: &[SignatureOf<'_>]) -> Option<Self> {
        let mut sorted: Vec<SignatureOf<'_>> = signatures.to_vec();
        sorted.sort_by_key(|signature| signature.content);
        let room = sorted.iter().map(|signature| room_for(*signature)).sum::<usize>();
        let mut body = String::with_capacity(BESIDE + room);
        body.push_str(r#"{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":"#);
        push_digest(&mut body, HashAlgorithm::Sha256, digest);
        body.push_str(r#","signatures":["#);
        for (index, signature) in sorted.into_iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            push_signature(&mut body, signature);
        }
        body.push_str("]}}}");
        Self::of(body)
    }

    fn of(body: String) -> Option<Self> {
        (body.len() <= MAX_BODY).then(|| Self(body.into_bytes()))
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// RFC 6962 §2.1: the body is the leaf.
    pub fn leaf_hash(&self) -> Hash {
        merkle::leaf_hash(&self.0)
    }
}

/// Octets that a body has beside its signatures, at most.
const BESIDE: usize = 256;

/// Octets that a signature takes in a body, at most: the body is not moved while it grows.
const fn room_for(signature: SignatureOf<'_>) -> usize {
    let (KeyMaterial::PublicKey(key) | KeyMaterial::Certificate(key)) = signature.key;
    256 + (signature.content.len() + key.len()) / 3 * 4
}

/// `HashOutput`
fn push_digest(body: &mut String, algorithm: HashAlgorithm, digest: &[u8]) {
    body.push_str(r#"{"algorithm":""#);
    body.push_str(algorithm.name());
    body.push_str(r#"","digest":""#);
    push_base64(body, digest);
    body.push_str(r#""}"#);
}

/// `Signature`
fn push_signature(body: &mut String, signature: SignatureOf<'_>) {
    body.push_str(r#"{"content":""#);
    push_base64(body, signature.content);
    body.push_str(r#"","verifier":{"keyDetails":""#);
    body.push_str(signature.details.name());
    let (member, octets) = match signature.key {
        KeyMaterial::PublicKey(octets) => (r#"","publicKey":{"rawBytes":""#, octets),
        KeyMaterial::Certificate(octets) => (r#"","x509Certificate":{"rawBytes":""#, octets),
    };
    body.push_str(member);
    push_base64(body, octets);
    body.push_str(r#""}}}"#);
}

fn push_base64(body: &mut String, octets: &[u8]) {
    BASE64_STANDARD.encode_string(octets, body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const SIGNATURE: SignatureOf<'static> = SignatureOf {
        content: &[0xfb, 0xff, 1],
        key: KeyMaterial::Certificate(&[0x30, 0]),
        details: KeyDetails::P256Sha256,
    };

    /// RFC 8785 for what has no numbers: members sorted, no blanks.
    fn sorted(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("{name:?}:{}", sorted(value))).collect();
                format!("{{{}}}", members.join(","))
            }
            Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
            other => other.to_string(),
        }
    }

    #[test]
    fn a_body_is_exact_to_the_octet() {
        let body = CanonicalBody::hashedrekord(HashAlgorithm::Sha256, &[0; 32], SIGNATURE).unwrap();
        assert_eq!(
            String::from_utf8(body.as_bytes().to_vec()).unwrap(),
            r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"signature":{"content":"+/8B","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"MAA="}}}}}}"#
        );
        let mut leaf = vec![0];
        leaf.extend_from_slice(body.as_bytes());
        assert_eq!(body.leaf_hash(), crate::transparency::sha256(&leaf));
    }

    #[test]
    fn members_and_signatures_are_sorted() {
        let key = KeyMaterial::PublicKey(&[0x30, 1]);
        let other = SignatureOf { content: &[0, 9], key, details: KeyDetails::Ed25519 };
        let one = CanonicalBody::dsse(b"payload", &[SIGNATURE, other]).unwrap();
        assert_eq!(CanonicalBody::dsse(b"payload", &[other, SIGNATURE]), Some(one.clone()));
        let hashed = CanonicalBody::hashedrekord(HashAlgorithm::Sha512, &[1; 64], other).unwrap();
        for body in [one, hashed] {
            let text = String::from_utf8(body.as_bytes().to_vec()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(sorted(&value), text);
        }
    }

    #[test]
    fn what_no_entry_tile_can_hold_is_none() {
        let large = vec![1; MAX_BODY];
        let signature = SignatureOf { content: &large, ..SIGNATURE };
        assert_eq!(CanonicalBody::hashedrekord(HashAlgorithm::Sha256, &[0; 32], signature), None);
        assert_eq!(CanonicalBody::dsse(b"", &[signature]), None);
    }
}
