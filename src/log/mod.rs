//! A tiled transparency log: sequencing, sealing, recovery, reading.
//!
//! It knows nothing of certificates: an entry is bytes with a leaf hash. [`ct`] puts precertificates on it.

pub mod audit;
pub mod ct;
pub mod ports;
pub mod reader;
#[cfg(test)]
mod testing;
pub mod view;

pub use ct::CtLog;
