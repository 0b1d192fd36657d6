//! What countersign does, seen from outside: one binary, so that it links once.

mod layers;
mod config;
mod log;
mod oidc;
mod identity;
mod support;
mod token;
