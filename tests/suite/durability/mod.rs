//! Nothing is lost, and nothing is taken back: what was answered is in the log at its index for good, no two heads of one
//! size differ, and every checkpoint that was served is a beginning of the log.
//!
//! - [`crashes`]: a crash at every write of a real process, on a disk that keeps its word and not more ([`disk`]).
//! - [`lying`]: a disk that does not keep it.
//! - [`pairs`]: two faults at any two calls of the store's ports.
//! - [`recovery`]: what a start finds, as named cases on real directories; [`contradictions`]: what only a store in memory
//!   can be made to hold.

mod contradictions;
mod crashes;
mod disk;
mod driver;
pub mod items;
mod lying;
mod pairs;
mod random;
mod recovery;
pub mod shim;
mod trace;
mod world;
