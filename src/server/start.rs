//! The order of starting.

use super::broker;
use super::environment::Environment;
use super::limits::Limits;
use super::listener::Listener;
use super::logs::OwnLogs;
use super::material;
use super::operations::{Counting, Operations};
use super::own_thread::OwnThread;
use super::reload::{self, Reloader};
use super::timestamps;
use super::tls::ServerTls;
use super::trust;
use super::unread;
use super::{Reloading, Running, StartError};
use crate::api::broker::BrokerApi;
use crate::api::{self, ApiState};
use crate::certificate::{CaChain, IssuedLately};
use crate::config::{Config, LogConfig, SignatureLogConfig};
use crate::ct_client::{self, ExternalLog};
use crate::environment::Stopwatch;
use crate::issuance::admission::Unread;
use crate::issuance::recording::Recording;
use crate::issuance::{Admission, CertificateAuthority, CurrentRules, LogMode};
use crate::leasing::ports::{Kept, LeaseStore as _};
use crate::log::ct::{CtLogSettings, OpenError};
use crate::log::signatures::OpenError as SignaturesError;
use crate::log::{CtLog, SignatureLog, Stores};
use crate::oidc::JwksCache;
use crate::signer::LogKey;
use crate::store::{DataDirectoryError, LockedDirectory};
use crate::telemetry::metrics::Metrics;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;
/// More than any key file has, in bytes.
const ROOM: usize = 64 * 1024;

/// Starts everything, or leaves nothing running.
pub async fn start(config: Config, environment: Environment) -> Result<Running, StartError> {
    let mut logs = OwnLogs::default();
    let started = start_parts(config, environment, &mut logs).await;
    if started.is_err() {
        logs.close().await;
    }
    started
}

/// `logs` has every log that was opened, whatever comes after it.
async fn start_parts(
    config: Config,
    environment: Environment,
    logs: &mut OwnLogs,
) -> Result<Running, StartError> {
    // The data directory comes first: of two processes the second is told whose it is, before any word of ports.
    let OpenedData { certificates: data, signatures, leases } = open_data(&config).await?;
    let (chain, signer, ephemeral) = material::authority(&config.ca.material, &environment)?;
    let chain = Arc::new(chain);
    let tls = config.tls.clone().map(ServerTls::load).transpose()?;
    let tls_config = tls.as_ref().map(ServerTls::config).transpose()?;
    let keys = Arc::new(JwksCache::new(environment.clock.clone()).map_err(StartError::Failed)?);
    let metrics = Arc::new(Metrics::new(&config.issuers, &config.policy).map_err(StartError::Failed)?);
    let stores = data.map(|data| metrics.measured(data, environment.stopwatch.clone()));
    let signatures = signatures.map(|it| metrics.measured_signatures(it, environment.stopwatch.clone()));
    let log = log_mode(config.log.clone(), stores, &chain, &environment).await?;
    logs.certificates = log.own().cloned();
    let lately = Arc::<IssuedLately>::default();
    let admission = Admission::new(environment.stopwatch.clone(), environment.random.clone());
    let recording = recording(
        config.signature_log.clone(),
        signatures,
        &chain,
        &environment,
        &logs.certificates,
        lately.clone(),
        admission.unread().clone(),
    )
    .await?;
    logs.signatures = recording.as_ref().map(|recording| recording.log().clone());
    logs.heed(environment.lulls.as_ref());
    let logs = Arc::new(logs.clone());
    let stamping = config.timestamps.as_ref().map(|timestamps| {
        timestamps::open(timestamps, ephemeral, &chain, logs.clone(), &metrics, &environment).map(Arc::new)
    });
    let stamping = stamping.transpose()?;
    let parts = trust::Parts {
        chain: &chain,
        log: logs.certificates.as_deref(),
        signatures: logs.signatures.as_deref(),
        timestamps: stamping.as_deref(),
    };
    let trust = trust::files(&config, &parts)?;
    let comparing = config.timestamps.as_ref().and_then(|timestamps| timestamps.ntp.clone());
    let comparing = stamping
        .as_ref()
        .zip(comparing)
        .map(|(authority, ntp)| timestamps::compare(Arc::downgrade(authority), ntp, environment.clone()));

    let whole = environment.clone();
    let authority = Arc::new(CertificateAuthority {
        chain,
        lately,
        signer: Box::new(signer),
        rules: CurrentRules::new(reload::rules(&config)),
        keys: keys.clone(),
        log,
        lifetime: config.ca.validity,
        admission,
        clock: environment.clock,
        random: environment.random,
        stopwatch: environment.stopwatch,
        observer: metrics.clone(),
    });
    let (unread, stopwatch) = (authority.admission.unread().clone(), authority.stopwatch.clone());
    let (listen, admin, admin_names) = (config.listen, config.admin, config.admin_names.clone());
    let broker = match (&config.broker, leases) {
        (Some(config), Some(store)) => {
            let authority = authority.clone();
            let issuers = Arc::new(move || authority.rules.get());
            let api = broker::open(config, store, issuers, keys.clone(), &metrics, &whole).await?;
            Some(BrokerApi { admin_names, ..api })
        }
        _ => None,
    };
    let drains_broker = config.broker.as_ref().is_some_and(|broker| broker.drain);
    let running_broker = broker.as_ref().map(|api| api.broker.clone());
    let reloader =
        Reloader::new(authority.clone(), keys.clone(), metrics.clone(), tls, config, running_broker);
    let reloader = Arc::new(reloader);
    let operations = Arc::new(Operations::new(
        metrics.clone(),
        authority.clone(),
        keys,
        reloader.clone(),
        stamping.clone(),
    ));
    let state = ApiState::new(authority, Arc::new(Counting(metrics)));
    let state =
        Arc::new(state.with_timestamps(stamping).recording(recording).with_trust(trust).with_broker(broker));
    let (public, admin) = open_listeners(listen, tls_config, admin, &state, operations)?;
    let reloading = Reloading {
        watching: tokio::spawn(Reloader::watch(Arc::downgrade(&reloader))),
        comparing: comparing.map(tokio::spawn),
        reloader,
    };
    tokio::spawn(OwnLogs::watch(Arc::downgrade(&logs)));
    tokio::spawn(watch_unread(&unread, &public, stopwatch));
    Ok(Running { public, admin, state, logs, reloading, drains_broker })
}

/// The signature log, where there is to be one. It must not be taken for the certificate log: other key, other name.
async fn recording(
    config: Option<SignatureLogConfig>,
    stores: Option<Stores>,
    chain: &Arc<CaChain>,
    environment: &Environment,
    certificates: &Option<Arc<CtLog>>,
    lately: Arc<IssuedLately>,
    unread: Arc<Unread>,
) -> Result<Option<Arc<Recording>>, StartError> {
    let (Some(config), Some(stores)) = (config, stores) else { return Ok(None) };
    let certificates = certificates.as_ref().map(|log| log.public_key());
    let key = material::signature_key(&config.key, [Some(chain.issuing_spki()), certificates])?;
    let clock = environment.clock.clone();
    let log = SignatureLog::open(config.origin, Arc::new(key), stores, clock, environment.stopwatch.clone())
        .await
        .map_err(|error| match error {
            SignaturesError::Origin(..) | SignaturesError::Key(_) => {
                StartError::Configuration(error.to_string())
            }
            SignaturesError::Start(_) | SignaturesError::First(_) => StartError::Failed(error.to_string()),
        })?;
    let admission = Admission::new(environment.stopwatch.clone(), environment.random.clone()).beside(unread);
    Ok(Some(Arc::new(Recording::new(Arc::new(log), config.writers, chain.clone(), lately, admission))))
}

async fn log_mode(
    config: LogConfig,
    stores: Option<Stores>,
    chain: &CaChain,
    environment: &Environment,
) -> Result<LogMode, StartError> {
    match (config, stores) {
        (LogConfig::Embedded(config), Some(stores)) => {
            let key = material::log_key(&config.key, Some(chain.issuing_spki()))?;
            let log = open_log(config.origin, stores, key, chain, environment).await?;
            Ok(LogMode::Embedded(Arc::new(log.accepting(config.accept))))
        }
        (LogConfig::External(config), _) => {
            let settings = ct_client::Settings {
                url: config.url,
                public_key: config.public_key,
                timeout: config.timeout,
                ca_certificate: config.ca_certificate,
            };
            let log =
                ExternalLog::new(settings, environment.clock.clone()).map_err(StartError::Configuration)?;
            Ok(LogMode::External { log: Arc::new(log), precertificates: config.precertificates })
        }
        (LogConfig::None, _) => {
            tracing::warn!("log.mode is none: what is issued is recorded nowhere");
            Ok(LogMode::None)
        }
        (LogConfig::Embedded(_), None) => Err(StartError::Failed("the log has no data directory".into())),
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
    let (clock, stopwatch) = (environment.clock.clone(), environment.stopwatch.clone());
    tokio::task::spawn_blocking(move || CtLog::open(settings, Arc::new(key), stores, clock, stopwatch))
        .await
        .map_err(|error| StartError::Failed(format!("the log cannot be opened: {error}")))?
        .map_err(|error| match error {
            OpenError::Origin(..) => StartError::Configuration(error.to_string()),
            OpenError::Start(_) | OpenError::Issuer(_) => StartError::Failed(error.to_string()),
        })
}

/// Looks how long callers of the public listener wait, for as long as there are any.
fn watch_unread(
    unread: &Arc<Unread>,
    public: &Listener,
    stopwatch: Arc<dyn Stopwatch>,
) -> impl Future<Output = ()> + use<> {
    let watching = unread::watch(Arc::downgrade(unread), public.open_connections(), stopwatch);
    async {
        if let Err(error) = watching.await {
            tracing::error!(%error, "it cannot be seen how long callers wait: none is refused for that");
        }
    }
}

/// Both listeners, or none.
fn open_listeners(
    public: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    admin: Option<SocketAddr>,
    state: &Arc<ApiState>,
    operations: Arc<Operations>,
) -> Result<(Listener, Option<(Listener, OwnThread)>), StartError> {
    let public = bind("listen", public)?;
    let own = OwnThread::start("operators");
    let own = own.map_err(|error| StartError::Failed(format!("no thread can be started: {error}")))?;
    let admin = match admin {
        Some(address) => {
            let _entered = own.enter();
            Some(bind("admin.listen", address)?)
        }
        None => None,
    };
    let failed = |error: std::io::Error| StartError::Failed(format!("a listener cannot be started: {error}"));
    let secured = tls.is_some();
    let public =
        Listener::start(public, tls, api::public(state.clone()), Limits::public()).map_err(failed)?;
    let admin = admin
        .map(|socket| {
            let _entered = own.enter();
            let answering = api::operators(state.clone(), operations.clone());
            Listener::start(socket, None, answering, Limits::operators())
        })
        .transpose()
        .map_err(failed)?;
    let listeners = [("public", Some(&public)), ("admin", admin.as_ref())];
    let open =
        listeners.into_iter().filter_map(|(name, listener)| Some((name, listener?.open_connections())));
    operations.watch(open.collect());
    tracing::info!(
        listen = %public.address(),
        tls = secured,
        admin = admin.as_ref().map(|admin| admin.address().to_string()),
        "serving"
    );
    Ok((public, admin.map(|admin| (admin, own))))
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

/// Without a broker nobody would end what it has handed out.
fn nothing_lives(kept: &Kept) -> Result<(), StartError> {
    match kept.leases.iter().filter(|lease| !lease.phase.is_over()).count() {
        0 => Ok(()),
        live => Err(StartError::Failed(format!(
            "the data directory has {live} leases of GitLab tokens that are not over, and the configuration has no broker: nobody else would \
             revoke them. Put it back, run `countersign broker revoke --all` and wait until `countersign broker leases` shows none of \
             them, then take it away"
        ))),
    }
}

/// What of the data directory there is to be.
#[derive(Default)]
struct OpenedData {
    certificates: Option<Stores>,
    signatures: Option<Stores>,
    leases: Option<broker::Stored>,
}

async fn open_data(config: &Config) -> Result<OpenedData, StartError> {
    let (certificates, signatures) = (config.log.embedded().is_some(), config.signature_log.is_some());
    let targets = config.broker.as_ref().map(|broker| broker.targets.clone());
    let leases = targets.is_some();
    if !certificates && !signatures && !leases && !config.data.is_dir() {
        return Ok(OpenedData::default());
    }
    let path = config.data.clone();
    let open = move || -> Result<_, StartError> {
        let failed = |error: DataDirectoryError| StartError::Failed(error.to_string());
        let data = LockedDirectory::open(&path).map_err(failed)?;
        let certificates = certificates.then(|| data.certificates()).transpose().map_err(failed)?;
        let signatures = signatures.then(|| data.signatures()).transpose().map_err(failed)?;
        let unusable = |error| StartError::Failed(format!("the leases of the broker: {error}"));
        if !leases && data.has_leases() {
            nothing_lives(&data.leases().map_err(unusable)?.load().map_err(unusable)?)?;
        }
        let leases =
            targets.map(|targets| broker::Stored::open(&data, &targets)).transpose().map_err(unusable)?;
        Ok(OpenedData { certificates, signatures, leases })
    };
    tokio::task::spawn_blocking(open)
        .await
        .map_err(|error| StartError::Failed(format!("the data directory cannot be opened: {error}")))?
}

/// A file of at most `most` bytes.
pub fn read_capped(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    use rustix::fs::OFlags;
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Room from the start: it may be a key, and a buffer that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(ROOM);
    // Opening a pipe would wait for somebody who writes into it.
    let nonblocking = i32::from_ne_bytes(OFlags::NONBLOCK.bits().to_ne_bytes());
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("it is larger than {} KiB", most / 1024)));
    }
    Ok(bytes)
}
