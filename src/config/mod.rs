//! The configuration file: YAML as people write it, to values that cannot be wrong.

use crate::identity::Issuers;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A configuration that passed every check that needs no network and no private key.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where JSON and gRPC are served. Port 0: the system chooses.
    pub listen: SocketAddr,
    /// What trust material names, without a trailing slash. Default: `http://{listen}`.
    pub public_url: Option<String>,
    /// The operators' listener; `None`: there is none.
    pub admin: Option<SocketAddr>,
    /// The embedded store's directory.
    pub data: PathBuf,
    /// The certificate authority's material.
    pub ca: CaConfig,
    /// The transparency log.
    pub log: LogConfig,
    /// The allow-list, from `issuers` and `identity_config` together.
    pub issuers: Issuers,
}

/// `ca:`
#[derive(Clone, Debug)]
pub struct CaConfig {
    /// PEM, issuing certificate first, root last.
    pub certificates: PathBuf,
    /// PEM private key of the issuing certificate.
    pub key: PathBuf,
    /// Lifetime of certificates.
    pub validity: Duration,
}

/// `log:`
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// PEM private key, ECDSA P-256.
    pub key: PathBuf,
    /// The origin line of checkpoints: the log's base URL without its scheme.
    pub origin: String,
}
