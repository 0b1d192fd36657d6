//! The CA's own certificates: the issuing one first, the root last.

use crate::environment::UnixMillis;

/// What the CA's key signs with, decided by the issuing certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaAlgorithm {
    /// ecdsa-with-SHA256, P-256.
    EcdsaP256Sha256,
    /// ecdsa-with-SHA384, P-384.
    EcdsaP384Sha384,
}

/// Why a chain cannot be used to issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("{0}")]
    Unusable(String),
}

/// A chain that chains: every certificate is signed by the next, the last by itself.
#[derive(Clone, Debug)]
pub struct CaChain {
    certificates: Vec<Vec<u8>>,
}

impl CaChain {
    /// Parses PEM, issuing certificate first, root last. Checks signatures, names, key identifiers, basicConstraints, key usage, EKU, path lengths.
    pub fn from_pem(_pem: &[u8]) -> Result<Self, ChainError> {
        todo!()
    }
    /// Refuses a chain of which any certificate is expired or not valid yet.
    pub fn check_validity(&self, _now: UnixMillis) -> Result<(), ChainError> {
        todo!()
    }
    /// DER, issuing certificate first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }
    /// PEM of each, issuing certificate first, each ending in a newline.
    pub fn pem(&self) -> &[String] {
        todo!()
    }
    /// DER SubjectPublicKeyInfo of the issuing certificate.
    pub fn issuing_spki(&self) -> &[u8] {
        todo!()
    }
    /// SHA-256 of it (RFC 6962 §3.2, issuer_key_hash).
    pub fn issuer_key_hash(&self) -> &[u8; 32] {
        todo!()
    }
    /// SHA-256 of each certificate's DER, in order (static-ct-api, chain fingerprints).
    pub fn fingerprints(&self) -> &[[u8; 32]] {
        todo!()
    }
    /// The earliest notAfter in the chain.
    pub fn not_after(&self) -> UnixMillis {
        todo!()
    }
    pub fn algorithm(&self) -> CaAlgorithm {
        todo!()
    }
}
