//! Timestamps: the time at which a hash was known, signed (RFC 3161, RFC 5816).
//!
//! Pure: clocks, randomness and signatures are arguments. A token's time is whole seconds, never ahead of a clock that
//! [`guard`] believes.

pub mod asn1;
mod authority;
pub mod guard;
pub mod request;
#[cfg(test)]
mod tests;
pub mod token;
pub mod verification;

pub use authority::{
    Alone, Attested, DEFAULT_ACCURACY, DEFAULT_POLICY, Surroundings, TimestampAuthority, TimestampObserver,
    TimestampSigner,
};
