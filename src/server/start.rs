//! The order of starting.

use super::environment::Environment;
use super::listener::Listener;
use super::operations::{Counting, Operations};
use super::{Running, StartError, limits};
use crate::api::{self, ApiState};
use crate::certificate::CaChain;
use crate::config::Config;
use crate::issuance::CertificateAuthority;
use crate::log::ct::{CtLogSettings, OpenError};
use crate::log::{CtLog, Stores};
use crate::oidc::JwksCache;
use crate::signer::{FileSigner, LogKey};
use crate::store::DataDirectory;
use crate::telemetry::metrics::Metrics;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// Starts everything.
pub async fn start(config: Config, environment: Environment) -> Result<Running, StartError> {
    // The data directory comes first: of two processes the second is told whose it is, before any word of ports.
    let data = open_data(&config.data).await?;
    let chain = Arc::new(chain(&config.ca.certificates, &environment)?);
    let signer = FileSigner::open(&config.ca.key, &chain).map_err(unusable)?;
    let log_key = LogKey::open(&config.log.key).map_err(unusable)?;
    let keys = Arc::new(JwksCache::new(environment.clock.clone()).map_err(StartError::Failed)?);
    let metrics = Arc::new(Metrics::new(config.issuers.labels()).map_err(StartError::Failed)?);
    let stores = metrics.measured(data.into(), environment.stopwatch.clone());
    let log = Arc::new(open_log(config.log.origin, stores, log_key, &chain, &environment).await?);

    let authority = Arc::new(CertificateAuthority {
        chain,
        signer: Box::new(signer),
        issuers: Arc::new(config.issuers),
        keys: keys.clone(),
        log: log.clone(),
        lifetime: config.ca.validity,
        clock: environment.clock,
        random: environment.random,
        stopwatch: environment.stopwatch,
        observer: metrics.clone(),
    });
    let operations = Arc::new(Operations::new(metrics.clone(), authority.clone(), keys));
    let state = Arc::new(ApiState::new(authority, Arc::new(Counting(metrics))));
    match listen(config.listen, config.admin, &state, operations) {
        Ok((public, admin)) => Ok(Running { public, admin, state, log }),
        Err(error) => {
            super::close(log).await;
            Err(error)
        }
    }
}

async fn open_log(
    origin: String,
    stores: Stores,
    key: LogKey,
    chain: &CaChain,
    environment: &Environment,
) -> Result<CtLog, StartError> {
    let settings = CtLogSettings { origin, issuers: chain.certificates().to_vec() };
    let clock = environment.clock.clone();
    tokio::task::spawn_blocking(move || CtLog::open(settings, Arc::new(key), stores, clock))
        .await
        .map_err(|error| StartError::Failed(format!("the log cannot be opened: {error}")))?
        .map_err(|error| match error {
            OpenError::Origin(..) => StartError::Configuration(error.to_string()),
            OpenError::Start(_) | OpenError::Issuer(_) => StartError::Failed(error.to_string()),
        })
}

/// Both listeners, or none.
fn listen(
    public: SocketAddr,
    admin: Option<SocketAddr>,
    state: &Arc<ApiState>,
    operations: Arc<Operations>,
) -> Result<(Listener, Option<Listener>), StartError> {
    let public = bind("listen", public)?;
    let admin = match admin {
        Some(address) => Some(bind("admin.listen", address)?),
        None => None,
    };
    let failed = |error: std::io::Error| StartError::Failed(format!("a listener cannot be started: {error}"));
    let public =
        Listener::start(public, api::router(state.clone()), limits::connections()).map_err(failed)?;
    let admin = admin
        .map(|socket| {
            let router = api::admin_router(state.clone(), operations.clone());
            Listener::start(socket, router, limits::ADMIN_CONNECTIONS)
        })
        .transpose()
        .map_err(failed)?;
    let listeners = [("public", Some(&public)), ("admin", admin.as_ref())];
    let open =
        listeners.into_iter().filter_map(|(name, listener)| Some((name, listener?.open_connections())));
    operations.watch(open.collect());
    tracing::info!(
        listen = %public.address(),
        admin = admin.as_ref().map(|admin| admin.address().to_string()),
        "serving"
    );
    Ok((public, admin))
}

fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    bound(address)
        .map_err(|error| StartError::Failed(format!("{key}: {address} cannot be listened on: {error}")))
}

/// As `TcpListener::bind`, with a longer queue of connections that wait to be accepted.
fn bound(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn open_data(path: &Path) -> Result<DataDirectory, StartError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || DataDirectory::open(&path))
        .await
        .map_err(|error| StartError::Failed(format!("the data directory cannot be opened: {error}")))?
        .map_err(|error| StartError::Failed(error.to_string()))
}

fn chain(path: &Path, environment: &Environment) -> Result<CaChain, StartError> {
    let unusable = |problem: String| {
        StartError::Configuration(format!("ca.certificates: {}: {problem}", path.display()))
    };
    let pem = read_capped(path).map_err(|error| unusable(error.to_string()))?;
    let chain = CaChain::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
    chain.check_validity(environment.clock.now()).map_err(|error| unusable(error.to_string()))?;
    Ok(chain)
}

/// A file of at most 1 MiB.
fn read_capped(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    const MOST_BYTES: u64 = 1024 * 1024;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

fn unusable(error: crate::signer::SignerOpenError) -> StartError {
    StartError::Configuration(error.to_string())
}
