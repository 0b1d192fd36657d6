//! HTTP clients for what the server asks of others: whom they trust, what they follow, which proxies they take.
//!
//! Shared by the adapters that ask: `oidc` for issuers' keys, `ct_client` for timestamps of a log.

mod client;
mod tls;

pub use client::{ClientPool, Clients, causes};
pub use tls::client_config;
