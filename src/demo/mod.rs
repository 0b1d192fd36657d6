//! demo

pub mod gitlab;
