//! `dsse` 0.0.2: the signatures of an envelope (github.com/secure-systems-lab/dsse, version 1.0.2). The log gets the payload's
//! hash, never the payload.

use super::canonical::{CanonicalBody, SignatureOf};
use super::request::signature_of;
use super::verifier::{ProposedVerifier, Verifier};
use crate::hash::HashAlgorithm;
use crate::refusal::{Reason, Refusal};
use std::collections::HashSet;

/// Its name in `kindVersion`.
pub const KIND: &str = "dsse";
/// The most signatures, and the most verifiers.
pub const MOST_SIGNATURES: usize = 10;
/// The longest payload type, in octets.
const MOST_TYPE: usize = 1024;

/// What is said of an envelope that repeats itself.
const REPEATED: &str = "The same key, or the same signature, is in the envelope twice.";

/// As a request has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// What is signed.
    pub payload: Vec<u8>,
    /// Its type.
    pub payload_type: String,
    /// The signatures.
    pub signatures: Vec<Vec<u8>>,
    /// Their keys, in any order.
    pub verifiers: Vec<ProposedVerifier>,
}

/// With keys that can be read.
#[derive(Debug)]
pub struct Prepared {
    pub(super) verifiers: Vec<Verifier>,
    payload: Vec<u8>,
    payload_type: String,
    signatures: Vec<Vec<u8>>,
}

/// PAE, Pre-Authentication Encoding: what an envelope's signatures are over (protocol.md, "Signature Definition").
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

impl Proposed {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`Reason::EnvelopeInvalid`], and those of [`Verifier::read`].
    pub fn prepare(self) -> Result<Prepared, Refusal> {
        let Self { payload, payload_type, signatures, verifiers } = self;
        let invalid = |detail| Err(Refusal::new(Reason::EnvelopeInvalid).because(detail));
        if payload.is_empty() || payload_type.is_empty() {
            return invalid("Payload and payload type must not be empty.");
        }
        if payload_type.len() > MOST_TYPE {
            return invalid("The payload type is longer than 1 KiB.");
        }
        if signatures.is_empty() || signatures.len() > MOST_SIGNATURES {
            return invalid("One to ten signatures are expected.");
        }
        if signatures.len() != verifiers.len() {
            return invalid("Each signature needs its verifier, and each verifier its signature.");
        }
        let verifiers: Vec<Verifier> = verifiers.into_iter().map(Verifier::read).collect::<Result<_, _>>()?;
        // Whoever has one signature could make many entries of it: by naming it again, or as ECDSA's other form of it.
        let keys: HashSet<&[u8]> = verifiers.iter().map(Verifier::spki_der).collect();
        let distinct: HashSet<&Vec<u8>> = signatures.iter().collect();
        if keys.len() != verifiers.len() || distinct.len() != signatures.len() {
            return Err(Refusal::new(Reason::EntrySignatureInvalid).because(REPEATED));
        }
        Ok(Prepared { verifiers, payload, payload_type, signatures })
    }
}

impl Prepared {
    /// Verifies every signature, each by another of the verifiers, and makes the entry.
    ///
    /// # Errors
    /// [`Reason::EntrySignatureInvalid`], [`Reason::EntryTooLarge`].
    pub fn verify(&self) -> Result<CanonicalBody, Refusal> {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        // Each hash once, whatever the number of signatures.
        let mut digests = [const { None }; HashAlgorithm::ALL.len()];
        let mut free: Vec<&Verifier> = self.verifiers.iter().collect();
        let mut verified: Vec<SignatureOf<'_>> = Vec::with_capacity(self.signatures.len());
        for signature in &self.signatures {
            let found = free.iter().position(|verifier| match verifier.hash() {
                Some(hash) => digests
                    .get_mut(hash as usize)
                    .map(|digest| digest.get_or_insert_with(|| hash.digest(&message)))
                    .is_some_and(|digest| verifier.verifies_digest(digest, signature)),
                None => verifier.verifies_message(&message, signature),
            });
            let verifier = free.remove(found.ok_or(Reason::EntrySignatureInvalid)?);
            verified.push(signature_of(signature, verifier));
        }
        CanonicalBody::dsse(&self.payload, &verified).ok_or_else(|| Reason::EntryTooLarge.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
