//! Timestamps: the time at which a hash was known, signed (RFC 3161, RFC 5816).

pub mod asn1;
pub mod verification;
