//! Keys that sign: the CA's, the log's and the timestamp authority's, and the ceremony that makes them.
//!
//! Implements [`crate::issuance::CaSigner`] and [`crate::log::ports::LogSigner`]. ECDSA's nonce comes from aws-lc's own
//! generator.

pub mod ceremony;
#[cfg(test)]
mod counterparts;
mod file;
mod key_file;
mod log_key;
mod note_key;
mod password;
mod signing_key;
mod timestamp_key;

pub use file::FileSigner;
pub use key_file::NO_PASSWORD;
pub use log_key::LogKey;
pub use note_key::NoteSigningKey;
pub use password::Password;
pub use timestamp_key::TimestampKey;

/// Why a key cannot be used. The text is for operators: which file, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignerOpenError(pub String);
