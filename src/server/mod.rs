//! Puts the parts together and runs them.
//!
//! Start: data directory, chain, keys, log, listeners, in this order, so that what is wrong is told before anything
//! listens. End: listeners first, then the log, so that every request that was taken is answered.

mod activity;
mod broker;
mod connection;
pub mod credentials;
mod crowd;
pub mod environment;
mod exchange;
mod frames;
mod guarded;
pub mod limits;
pub mod listener;
mod logs;
pub mod material;
mod operations;
mod own_thread;
mod reload;
pub mod signals;
mod start;
mod timestamps;
mod tls;
mod trust;
mod unread;

use crate::api::ApiState;
use crate::config::Config;
use environment::Environment;
use listener::Listener;
use logs::OwnLogs;
use own_thread::OwnThread;
use reload::{Asked, Reloader};
use signals::{Signalled, Signals};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long callers get to take their last answers after the order to stop, and operators after them: with what is around
/// it, all ends within 15 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const ADMIN_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A server that is up.
pub struct Running {
    public: Listener,
    admin: Option<(Listener, OwnThread)>,
    state: Arc<ApiState>,
    logs: Arc<OwnLogs>,
    reloading: Reloading,
    /// Whether the end revokes every GitLab token.
    drains_broker: bool,
}

/// The files, looked at by a task that ends with it.
struct Reloading {
    reloader: Arc<Reloader>,
    watching: JoinHandle<()>,
    /// Asks NTP servers, where there are any.
    comparing: Option<JoinHandle<()>>,
}

impl Drop for Reloading {
    fn drop(&mut self) {
        self.watching.abort();
        if let Some(comparing) = &self.comparing {
            comparing.abort();
        }
    }
}

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
    ///
    /// # Errors
    /// [`StartError`], with nothing left running.
    pub async fn start(config: Config, environment: Environment) -> Result<Self, StartError> {
        start::start(config, environment).await
    }

    /// Where JSON is served, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.public.address()
    }

    /// The operators' listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(listener, _)| listener.address())
    }

    /// Serves until SIGTERM or SIGINT, then shuts down; a second one ends it at once. SIGHUP makes it look at its files.
    ///
    /// # Errors
    /// In words for the operator, after the shutdown: when a log stopped for good.
    pub async fn until_signal(self, mut signals: Signals) -> Result<(), String> {
        let logs = self.logs.clone();
        let ended = tokio::select! {
            signal = self.reload_until_the_end(&mut signals) => Ok(signal),
            which_and_why = logs.stopped() => Err(which_and_why),
        };
        if let Ok(signal) = &ended {
            tracing::info!(signal, "shutting down");
        }
        // Whoever asks twice does not want to wait. Nothing that was answered is lost by it.
        tokio::select! {
            () = self.shut_down() => ended.map(|_| ()),
            again = signals.end() => Err(format!("{again} came again: ended before every request was answered")),
        }
    }

    /// Looks now, as SIGHUP does, for what is otherwise looked for every few seconds: a changed configuration, a new TLS
    /// certificate.
    pub async fn reload(&self) {
        self.reloading.reloader.clone().look(Asked::Operator).await;
    }

    /// Looks as the clock does: what has been refused before is not told again.
    pub async fn look(&self) {
        self.reloading.reloader.clone().look(Asked::Routine).await;
    }

    /// Reloads on SIGHUP; the signal that ends it all. A file may never answer, and the end is heard all the same.
    async fn reload_until_the_end(&self, signals: &mut Signals) -> &'static str {
        let asked = Notify::new();
        let listening = async {
            loop {
                match signals.next().await {
                    Signalled::End(signal) => return signal,
                    Signalled::Reload => asked.notify_one(),
                }
            }
        };
        let reloading = async {
            loop {
                asked.notified().await;
                tracing::info!(signal = "SIGHUP", "reload: the configuration and its files are read again");
                self.reload().await;
            }
        };
        tokio::select! {
            signal = listening => signal,
            never = reloading => never,
        }
    }

    /// Stops taking connections, answers every request that was taken, seals, and closes the store.
    pub async fn shut_down(self) {
        let Self { public, admin, state, logs, reloading: _ending, drains_broker } = self;
        state.drain();
        logs.end_soon();
        public.stop(STOP_TIMEOUT).await;
        if let Some(broker) = state.broker() {
            broker.close(drains_broker).await;
        }
        if let Some((admin, _thread)) = admin {
            admin.stop(ADMIN_STOP_TIMEOUT).await;
        }
        OwnLogs::clone(&logs).close().await;
        tracing::info!("stopped");
    }
}
