//! The order of starting.

use super::environment::Environment;
use super::listener::Listener;
use super::tls::ServerTls;
use super::{Reloading, Running, StartError, limits};
use crate::api::{self, ApiState};
use crate::certificate::CaChain;
use crate::config::Config;
use crate::issuance::CertificateAuthority;
use crate::log::ct::{CtLogSettings, OpenError};
use crate::log::{CtLog, Stores};
use crate::oidc::JwksCache;
use crate::signer::{FileSigner, LogKey};
use crate::store::DataDirectory;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;
/// The largest chain file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Starts everything.
pub async fn start(config: Config, environment: Environment) -> Result<Running, StartError> {
    // The data directory comes first: of two processes the second is told whose it is, before any word of ports.
    let data = open_data(&config.data).await?;
    let chain = Arc::new(chain(&config.ca.certificates, &environment)?);
    let signer = FileSigner::open(&config.ca.key, &chain).map_err(unusable)?;
    let tls = config.tls.map(ServerTls::load).transpose()?;
    let tls_config = tls.as_ref().map(ServerTls::config).transpose()?;
    let log_key = LogKey::open(&config.log.key).map_err(unusable)?;
    let keys = JwksCache::new(environment.clock.clone()).map_err(StartError::Failed)?;
    let log = Arc::new(open_log(config.log.origin, data, log_key, &chain, &environment).await?);

    let authority = Arc::new(CertificateAuthority {
        chain,
        signer: Box::new(signer),
        issuers: Arc::new(config.issuers),
        keys: Arc::new(keys),
        log: log.clone(),
        lifetime: config.ca.validity,
        clock: environment.clock,
        random: environment.random,
    });
    let state = Arc::new(ApiState::new(authority));
    match listen(config.listen, tls_config, config.admin, &state) {
        Ok((public, admin)) => {
            let tls =
                tls.map(Arc::new).map(|tls| Reloading { watching: tokio::spawn(tls.clone().watch()), tls });
            Ok(Running { public, admin, state, log, tls })
        }
        Err(error) => {
            super::close(log).await;
            Err(error)
        }
    }
}

async fn open_log(
    origin: String,
    data: DataDirectory,
    key: LogKey,
    chain: &CaChain,
    environment: &Environment,
) -> Result<CtLog, StartError> {
    let DataDirectory { head, record, tiles, lock } = data;
    let stores = Stores {
        head: Box::new(head),
        record: Box::new(record),
        tiles: Arc::new(tiles),
        guard: Box::new(lock),
    };
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
    tls: Option<Arc<ServerConfig>>,
    admin: Option<SocketAddr>,
    state: &Arc<ApiState>,
) -> Result<(Listener, Option<Listener>), StartError> {
    let public = bind("listen", public)?;
    let admin = match admin {
        Some(address) => Some(bind("admin.listen", address)?),
        None => None,
    };
    let failed = |error: std::io::Error| StartError::Failed(format!("a listener cannot be started: {error}"));
    let secured = tls.is_some();
    let public =
        Listener::start(public, tls, api::router(state.clone()), limits::connections()).map_err(failed)?;
    let admin = admin
        .map(|socket| {
            Listener::start(socket, None, api::admin_router(state.clone()), limits::ADMIN_CONNECTIONS)
        })
        .transpose()
        .map_err(failed)?;
    tracing::info!(
        listen = %public.address(),
        tls = secured,
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
    let pem = read_capped(path, MOST_BYTES).map_err(|error| unusable(error.to_string()))?;
    let chain = CaChain::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
    chain.check_validity(environment.clock.now()).map_err(|error| unusable(error.to_string()))?;
    Ok(chain)
}

/// A file of at most `most` bytes.
pub fn read_capped(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("it is larger than {} KiB", most / 1024)));
    }
    Ok(bytes)
}

fn unusable(error: crate::signer::SignerOpenError) -> StartError {
    StartError::Configuration(error.to_string())
}
