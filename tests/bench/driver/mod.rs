//! What drives a server as its callers do, and measures what they see.
//!
//! [`server`] runs the binary in a fresh directory; [`process`] reads its CPU time, memory and writes; [`requests`] makes real
//! requests beforehand, since making them costs more than sending them; [`connection`] is HTTP/1.1 and nothing more; [`load`] sends
//! from many connections at once; [`histogram`] keeps how long answers took; [`report`] holds figures against goals.

pub mod answer;
pub mod connection;
pub mod histogram;
pub mod load;
pub mod process;
pub mod report;
pub mod requests;
pub mod server;
mod wheel;
