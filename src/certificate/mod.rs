//! X.509: the profile of code-signing certificates, from a frozen template to precertificate and certificate.
//!
//! Pure: signatures are made elsewhere and handed in. RFC 5280, RFC 6962 §3.1 to §3.3.

mod chain;
pub mod inspect;
mod template;

pub use chain::{CaAlgorithm, CaChain, ChainError};
pub use template::{Certificate, LoggedPrecertificate, Precertificate, Template};
