//! The entries of a signature log, as Rekor v2 defines them (`dev.sigstore.rekor.v2`, entries of version 0.0.2).
//!
//! Pure. A request is parsed ([`Request`]), its keys are read ([`Prepared`]), its signatures verified ([`VerifiedEntry`]), and what
//! the log holds is the [`CanonicalBody`]: key and digest fit the algorithm that the request names, the signature holds. Chain and
//! validity of certificates are not looked at, as with the reference; whether the writer may write, [`Writers`] says.

pub mod algorithm;
pub mod canonical;
pub mod dsse;
pub mod hashedrekord;
pub mod logged;
pub mod request;
#[cfg(test)]
mod tests;
pub mod verifier;
pub mod writers;

pub use crate::hash::HashAlgorithm;
pub use algorithm::KeyDetails;
pub use canonical::{CanonicalBody, MAX_BODY};
pub use logged::LoggedBody;
pub use request::{Prepared, Request, VerifiedEntry};
pub use verifier::Verifier;
pub use writers::{Listed, Writer, Writers};
