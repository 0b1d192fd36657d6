//! Timestamps (RFC 3161, RFC 5816).

pub mod verification;
