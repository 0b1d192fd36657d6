//! The entries of a signature log, as Rekor v2 defines them (`dev.sigstore.rekor.v2`, entries of version 0.0.2).
//!
//! Pure. A request is parsed , verified, and becomes the octets that the log holds
//! ([`canonical`]). What is verified: the key or certificate can be read, the key and the digest fit the algorithm that the
//! request names, the signature holds. Whether the writer may write is decided elsewhere.

pub mod algorithm;
pub mod canonical;

pub use algorithm::{HashAlgorithm, KeyDetails};
pub use canonical::{CanonicalBody, MAX_BODY};
