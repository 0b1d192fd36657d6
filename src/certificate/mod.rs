//! X.509: the profile of code-signing certificates, from a frozen template to precertificate and certificate.
//!
//! Pure: signatures are made elsewhere and handed in. RFC 5280, RFC 6962 §3.1 to §3.3.

pub mod accepted;
mod algorithm;
mod chain;
pub(crate) mod encode;
pub mod inspect;
mod lately;
mod link;
pub mod oids;
pub mod path;
pub mod pem;
mod precertificate;
mod profile;
pub(crate) mod raw;
pub(crate) mod reader;
mod signature;
mod template;
#[cfg(test)]
pub(crate) mod testing;
mod timestamping;
mod verification;

pub use algorithm::CaAlgorithm;
pub use chain::{CaChain, ChainError};
pub(crate) use encode::push_tlv;
pub use lately::IssuedLately;
pub use precertificate::{
    Certificate, CorrespondingTemplate, LoggedPrecertificate, Precertificate, UnpromisedTemplate,
};
pub use raw::{Malformed, without_extension};
pub use signature::{PublicKeyKind, SignatureError, verify as verify_signature};
pub use template::{Template, ToBeSigned};
pub use timestamping::TimestampChain;
pub use verification::VerificationError;

use crate::transparency::sha256;

/// The key identifier of a public key: the first 160 bits of the SHA-256 of the subjectPublicKey's octets
/// (RFC 7093 §2, method 1).
fn key_identifier(subject_public_key: &[u8]) -> [u8; 20] {
    let mut identifier = [0; 20];
    for (octet, hashed) in identifier.iter_mut().zip(sha256(subject_public_key)) {
        *octet = hashed;
    }
    identifier
}
