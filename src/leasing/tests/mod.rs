//! What leasing promises: at the end of every test no token lives that should not, and no lease is forgotten.

mod abandoning;
mod broken;
mod edges;
mod leftovers;
mod limits;
mod priority;
mod random;
mod replaced;
mod rotation;
mod succession;
mod table;
mod undelivered;
mod version;
mod weaknesses;
