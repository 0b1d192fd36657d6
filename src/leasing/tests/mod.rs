//! What leasing promises: at the end of every test no token lives that should not, and no lease is forgotten.

mod edges;
mod limits;
mod random;
mod replaced;
mod rotation;
mod table;
mod weaknesses;
