//! Nothing is lost, and nothing is taken back: what was answered is in the log at its index for good, no two heads of one
//! size differ, and every checkpoint that was served is a beginning of the log.
//!
//! [`crashes`] proves it for a disk that keeps its word, with a crash at every write of a real process.

mod crashes;
mod disk;
mod driver;
mod random;
mod shim;
mod trace;
mod world;
