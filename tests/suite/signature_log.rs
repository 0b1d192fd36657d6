//! The signature log as its writers and readers see it: Rekor's API v2, and what a bundle's verifier checks.

mod api;
mod mixing;
mod operating;
