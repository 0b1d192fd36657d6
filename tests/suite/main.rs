//! What countersign does, seen from outside: one binary, so that it links once.

mod cli_operator;
mod config;
mod identity;
mod layers;
mod log;
mod oidc;
mod support;
mod token;
