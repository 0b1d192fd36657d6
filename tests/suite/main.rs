//! What countersign does, seen from outside: one binary, so that it links once.

mod config;
mod support;
