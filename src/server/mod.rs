//! Puts the parts together and runs them.

pub mod environment;

use crate::config::Config;
use environment::Environment;
use std::net::SocketAddr;

/// A server that is up.
pub struct Running {}

/// Why a server did not start, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, or material that it names, cannot be used: exit code 78.
    #[error("{0}")]
    Configuration(String),
    /// Something else: a port that is taken, a store that needs recovery, a data directory in use: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Running {
    /// Starts everything: store, log, CA, listeners. No issuer needs to answer.
    pub async fn start(_config: Config, _environment: Environment) -> Result<Self, StartError> {
        todo!()
    }
    /// Where JSON is served, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
    /// The operators' listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// Stops taking connections, answers every request that was taken, seals, and closes the store.
    pub async fn shut_down(self) {
        todo!()
    }
}
