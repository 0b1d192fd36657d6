//! What countersign does, seen from outside: one binary, so that it links once.

mod api;
mod config;
mod ct_api;
mod identity;
mod layers;
mod oidc;
mod support;
mod token;
