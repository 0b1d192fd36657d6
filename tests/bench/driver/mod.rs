//! What drives a server as its callers do, and measures what they see.
//!
//! [`server`] runs the binary in a fresh directory; [`process`] reads its CPU time, memory and writes; [`requests`] makes real
//! requests beforehand, since making them costs more than sending them; [`load`] sends them from many connections at once, which one
//! thread drives ([`event_loop`]); [`answer`] reads what comes back; [`connection`] is for one question after the other; [`histogram`]
//! keeps how long answers took; [`report`] holds figures against goals.

pub mod answer;
pub mod connection;
mod event_loop;
pub mod histogram;
pub mod load;
pub mod process;
pub mod report;
pub mod requests;
pub mod server;
