//! The verification keys of issuers: OpenID Connect Discovery 1.0 §4, then the JWK set that it names (RFC 7517 §5).
//!
//! [`JwksCache`] keeps them, fetches them anew in time, and lives through an issuer's outage. [`fetch_keys`] fetches
//! once and tells what failed. Nobody is asked who is not on the allow-list: callers hand over an
//! [`Issuer`](crate::identity::Issuer) that they found there.

mod cache;
mod fetch;
mod newcomers;
mod state;

pub use cache::{Counters, JwksCache, KnownIssuer};
pub use fetch::{FETCH_TIMEOUT, FetchError, Step, fetch_keys};
pub use state::{MAX_FRESHNESS, MIN_FRESHNESS, REFETCH_INTERVAL, REFETCH_TOKENS};
