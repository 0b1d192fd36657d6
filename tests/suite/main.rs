//! What countersign does, seen from outside: one binary, so that it links once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test says by a panic that it failed; the harness is outside of the functions that clippy takes for tests"
)]

mod admission;
mod advisories;
mod api;
mod backup;
mod broker;
mod broker_cli;
mod broker_import;
mod ca_keys;
mod cli_operator;
mod cli_user;
mod component;
mod config;
mod config_check;
mod connections;
mod ct_api;
mod demo;
mod docs;
mod durability;
mod external_log;
mod fuzz_corpus;
mod gitlab;
mod golden;
mod grpc;
mod identity;
mod layers;
mod log;
mod metrics;
mod oidc;
mod policy;
mod policy_cli;
mod policy_files;
mod policy_paper;
mod quickstart;
mod reload;
mod secrets;
mod server;
mod sign;
mod signature_log;
mod support;
mod timestamps;
mod tls;
mod token;
mod traffic;
mod trust;
mod v1;
mod verifying;
