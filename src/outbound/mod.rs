//! HTTP clients for what the server asks of others: whom they trust, what they follow, which proxies they take.
//!
//! Shared by the adapters that ask: `oidc` for issuers' keys, `ct_client` for timestamps of a log. And a question to NTP servers.

mod client;
pub mod sntp;
mod tls;

pub use client::{ClientPool, Clients, causes};
pub use tls::client_config;
