//! Proof that the caller holds the private key that the certificate will speak for.
//!
//! Pure. The proof is a signature over the challenge, or a certificate signing request's own signature (RFC 2986).

use crate::refusal::Refusal;

/// A public key and a proof, as the caller sent them.
#[derive(Clone, Copy)]
pub enum Possession<'r> {
    /// A public key and a signature over the challenge.
    PublicKey {
        /// PEM: SubjectPublicKeyInfo, or PKCS#1 `RSA PUBLIC KEY`. v1 of the API takes DER SubjectPublicKeyInfo as well.
        key: &'r [u8],
        /// The signature: DER or r||s for ECDSA, PKCS#1 v1.5 for RSA, 64 octets for Ed25519.
        proof: &'r [u8],
    },
    /// A certificate signing request, PEM. Everything in it but the key is ignored.
    Csr(&'r [u8]),
}

/// A sound public key whose private half the caller holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey {
    spki: Vec<u8>,
}

impl Possession<'_> {
    /// Parses the key, checks its strength, and verifies the proof over `challenge`.
    pub fn prove(self, _challenge: &str) -> Result<ProvenKey, Refusal> {
        todo!()
    }
}

impl ProvenKey {
    /// DER SubjectPublicKeyInfo, canonical.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }
}
