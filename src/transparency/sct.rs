//! Signed certificate timestamps (RFC 6962 §3.2, §3.3), with static-ct-api's leaf_index extension.

use super::{Hash, Place};

/// A version 1 SCT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sct {
    /// SHA-256 of the log key's DER SubjectPublicKeyInfo.
    pub log_id: Hash,
    /// Index and timestamp.
    pub place: Place,
    /// DER ECDSA signature over SHA-256.
    pub signature: Vec<u8>,
}

impl Sct {
    /// The TLS encoding (SerializedSCT without its length).
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    /// The content of the SCT list extension's OCTET STRING with this one SCT: `u16 total | u16 length | SCT`.
    pub fn to_list(&self) -> Vec<u8> {
        todo!()
    }
}
