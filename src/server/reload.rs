//! Reload: files that changed while the server runs, taken over as a whole or not at all.
//!
//! Every ten seconds, and at SIGHUP at once, the configuration is read again with the files that it names. By content, not by
//! name or time: a renamed file, a switched link and a touched one are told apart from a changed one. What cannot be used leaves
//! the last good one in force, and is told once.
//!
//! A file that changes what only a start can take over is refused whole: what runs is always one file that somebody wrote,
//! never half of one and half of another.

use super::tls::{Look, ServerTls};
use crate::config::{Config, Fingerprint, Reading, Warning};
use crate::environment::{Clock, Stopwatch};
use crate::issuance::{CertificateAuthority, Rules};
use crate::leasing::Broker;
use crate::oidc::JwksCache;
use crate::telemetry::metrics::{Metrics, Part};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often the files are looked at. Soon enough for a list of issuers, and for a certificate that is replaced days before
/// its end.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A look that takes longer is itself worth a warning: a file does not answer.
const LONG_LOOK: Duration = Duration::from_secs(30);

/// The part of a configuration that can be taken over while the server runs, but for TLS, which has a keeper of its own.
pub fn rules(config: &Config) -> Rules {
    Rules { issuers: config.issuers.clone(), policy: config.policy.clone() }
}

/// Why somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is time.
    Routine,
    /// An operator asks, and is answered in any case.
    Operator,
}

/// Looks at the files, and puts in force what they say.
pub struct Reloader {
    authority: Arc<CertificateAuthority>,
    keys: Arc<JwksCache>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    stopwatch: Arc<dyn Stopwatch>,
    tls: Option<Arc<ServerTls>>,
    /// The token broker, where there is one.
    broker: Option<Arc<Broker>>,
    /// Held for as long as a look takes, which may be for ever where a file does not answer: by threads of looks alone.
    state: Mutex<State>,
    /// What is told of the looks; never held while files are read.
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// When the look began that is under way.
    looking_since: Option<Duration>,
    warnings: Vec<String>,
}

struct State {
    /// What runs.
    config: Config,
    /// What the last look refused, while nothing good came since.
    refused: Option<Refused>,
    /// Why the TLS files could not be used at the last look that found them changed.
    tls_refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    fingerprint: Fingerprint,
    reason: String,
}

impl Reloader {
    /// For a server that runs with `config`.
    pub fn new(
        authority: Arc<CertificateAuthority>,
        keys: Arc<JwksCache>,
        metrics: Arc<Metrics>,
        tls: Option<ServerTls>,
        config: Config,
        broker: Option<Arc<Broker>>,
    ) -> Self {
        let clock = authority.clock.clone();
        metrics.loaded_at_start(Part::Configuration, clock.now());
        if tls.is_some() {
            metrics.loaded_at_start(Part::Tls, clock.now());
        }
        let stopwatch = authority.stopwatch.clone();
        let state = Mutex::new(State { config, refused: None, tls_refused: None });
        Self {
            authority,
            keys,
            metrics,
            clock,
            stopwatch,
            broker,
            tls: tls.map(Arc::new),
            state,
            told: Mutex::default(),
        }
    }

    /// Looks every ten seconds, for as long as it is polled. Between looks it keeps nothing alive: a data directory is free
    /// as soon as its server has ended.
    pub async fn watch(reloader: Weak<Self>) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let Some(reloader) = reloader.upgrade() else { return };
            reloader.look(Asked::Routine).await;
        }
    }

    /// Looks now, on a thread of its own: the runtime's would be waited for at the end, and a file may never answer.
    pub async fn look(self: Arc<Self>, asked: Asked) {
        let (done, is_done) = oneshot::channel();
        let look = move || {
            self.look_at_files(asked);
            // An error: nobody waits any more.
            let _ = done.send(());
        };
        match std::thread::Builder::new().name("reload".into()).spawn(look) {
            // An error: the look panicked, and has said so.
            Ok(_) => drop(is_done.await),
            Err(error) => tracing::warn!(%error, "reload: the files cannot be looked at"),
        }
    }

    /// What an operator should know of the last reload; empty while all is well. Never waits for a file.
    pub fn warnings(&self) -> Vec<String> {
        let told = self.told();
        let looking = told.looking_since.map(|since| self.stopwatch.elapsed().saturating_sub(since));
        let stuck = looking.filter(|long| *long >= LONG_LOOK).map(|long| {
            let long = long.as_secs();
            format!("a file of the configuration has not answered for {long} s: changes are not taken over")
        });
        stuck.into_iter().chain(told.warnings.iter().cloned()).collect()
    }

    fn look_at_files(&self, asked: Asked) {
        // One look at a time: SIGHUP may come while the clock's look is under way.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.told().looking_since = Some(self.stopwatch.elapsed());
        self.look_at_configuration(&mut state, asked);
        self.look_at_tls(&mut state);
        *self.told() = Told { looking_since: None, warnings: state.warnings() };
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_at_configuration(&self, state: &mut State, asked: Asked) {
        let Some(origin) = state.config.origin.clone() else {
            if asked == Asked::Operator {
                tracing::info!("the configuration was not read from a file: there is nothing to read again");
            }
            return;
        };
        let Reading { fingerprint, outcome } = Reading::of(&origin.file);
        let taken = match outcome {
            Ok(_) if fingerprint == origin.fingerprint && state.refused.is_none() => {
                if asked == Asked::Operator {
                    tracing::info!("reload: the configuration has not changed");
                }
                return;
            }
            Ok((config, warnings)) => self.take_over(state, config, &warnings),
            Err(errors) => Err(errors.to_string().replace('\n', "; ")),
        };
        let Err(reason) = taken else { return };
        let refused = Some(Refused { fingerprint, reason });
        if asked == Asked::Operator || refused != state.refused {
            let reason = refused.as_ref().map_or("", |refused| &refused.reason);
            tracing::warn!(reason, "reload: the configuration is refused; the last good one stays in force");
            self.metrics.reloaded(Part::Configuration, false, self.clock.now());
        }
        state.refused = refused;
    }

    /// Puts a configuration in force, or says why not; then nothing has changed.
    fn take_over(&self, state: &mut State, config: Config, warnings: &[Warning]) -> Result<(), String> {
        let fixed = state.config.keys_that_need_a_restart(&config);
        if !fixed.is_empty() {
            return Err(format!(
                "{} changed, which needs a restart; nothing of it is in force",
                fixed.join(", ")
            ));
        }
        if let (Some(tls), Some(files)) = (&self.tls, &config.tls)
            && config.tls != state.config.tls
        {
            tls.replace(files.clone(), self.clock.now())?;
            state.tls_refused = None;
            self.metrics.reloaded(Part::Tls, true, self.clock.now());
        }
        for warning in warnings {
            tracing::warn!(%warning, "reload: the configuration is taken with a warning");
        }
        let before = self.authority.rules.get();
        let rules = self.authority.rules.replace(rules(&config));
        self.metrics.follow(&rules.issuers, &rules.policy);
        if let (Some(broker), Some(config)) = (&self.broker, &config.broker) {
            broker.replace_roles(config.roles.clone());
            self.metrics.follow_roles(config.roles.iter().map(|role| role.name()));
        }
        for known in self.keys.known() {
            if rules.issuers.find(&known.url).is_none() {
                self.keys.purge(&known.url);
            }
        }
        let labels = |rules: &Rules| rules.issuers.labels().map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (labels(&before), labels(&rules));
        let missing = |from: &[String], of: &[String]| {
            let names: Vec<_> = of.iter().filter(|label| !from.contains(label)).map(String::as_str).collect();
            names.join(" ")
        };
        tracing::info!(
            issuers = new.len(),
            rules = rules.policy.rules().len(),
            added = missing(&old, &new),
            removed = missing(&new, &old),
            "reload: the configuration is in force"
        );
        self.metrics.reloaded(Part::Configuration, true, self.clock.now());
        state.config = config;
        state.refused = None;
        Ok(())
    }

    fn look_at_tls(&self, state: &mut State) {
        let Some(tls) = &self.tls else { return };
        match tls.look(self.clock.now()) {
            Look::Unchanged => {}
            Look::Loaded => {
                state.tls_refused = None;
                self.metrics.reloaded(Part::Tls, true, self.clock.now());
            }
            Look::Refused(reason) => {
                state.tls_refused = Some(reason);
                self.metrics.reloaded(Part::Tls, false, self.clock.now());
            }
        }
    }
}

impl State {
    fn warnings(&self) -> Vec<String> {
        let refused = self.refused.as_ref().map(|refused| {
            format!("the configuration was refused, and the last good one is in force: {}", refused.reason)
        });
        let tls = self
            .tls_refused
            .as_ref()
            .map(|reason| format!("the TLS certificate was refused, and the last good one serves: {reason}"));
        refused.into_iter().chain(tls).collect()
    }
}
