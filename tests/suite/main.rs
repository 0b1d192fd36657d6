//! What countersign does, seen from outside: one binary, so that it links once.

mod api;
mod cli_operator;
mod cli_user;
mod config;
mod ct_api;
mod demo;
mod identity;
mod layers;
mod log;
mod metrics;
mod oidc;
mod server;
mod support;
mod token;
mod traffic;
