//! What countersign does, seen from outside: one binary, so that it links once.

mod identity;
mod layers;
mod support;
