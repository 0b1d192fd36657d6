//! Where the API meets telemetry and the cache of keys: adapters do not know each other, so it happens here.

use super::listener::OpenConnections;
use super::reload::Reloader;
use crate::api::{self, Answered, ApiState, Refreshed};
use crate::issuance::{Answer, CertificateAuthority, Rules};
use crate::oidc::JwksCache;
use crate::telemetry::metrics::{Call, KeysReading, KeysTotals, Metrics, Readings, TEXT_FORMAT};
use crate::timestamping::TimestampAuthority;
use std::sync::{Arc, OnceLock};

/// How many days before its end a timestamp certificate is told of.
const ALARM_DAYS: u64 = 30;

/// Counts answers.
pub struct Counting(pub Arc<Metrics>);

impl api::Observer for Counting {
    fn answered(&self, answered: &Answered<'_>) {
        let call = match answered.call {
            api::Call::Http { method, status } => Call::Http { method, status },
            api::Call::Grpc { path, code } => Call::Grpc { path, code },
        };
        self.0.answered(call, answered.refused, answered.took);
    }
}

/// What operators may ask for.
pub struct Operations {
    metrics: Arc<Metrics>,
    authority: Arc<CertificateAuthority>,
    keys: Arc<JwksCache>,
    reloader: Arc<Reloader>,
    timestamps: Option<Arc<TimestampAuthority>>,
    connections: OnceLock<Vec<(&'static str, OpenConnections)>>,
}

impl Operations {
    /// For this authority, whose keys come from `keys`.
    pub const fn new(
        metrics: Arc<Metrics>,
        authority: Arc<CertificateAuthority>,
        keys: Arc<JwksCache>,
        reloader: Arc<Reloader>,
        timestamps: Option<Arc<TimestampAuthority>>,
    ) -> Self {
        Self { metrics, authority, keys, reloader, timestamps, connections: OnceLock::new() }
    }

    /// The listeners' connections, once there are listeners.
    pub fn watch(&self, connections: Vec<(&'static str, OpenConnections)>) {
        // An error: there are listeners already, and there is but one set of them.
        self.connections.set(connections).ok();
    }

    fn readings<'r>(&'r self, state: &ApiState, rules: &'r Rules) -> Readings<'r> {
        let CertificateAuthority { chain, clock, log, .. } = &*self.authority;
        let issuers = &rules.issuers;
        let now = clock.now();
        let known = self.keys.known();
        let keys = known.iter().filter_map(|known| {
            let age = known.fetched_at.map(|fetched| now.since(fetched));
            Some(KeysReading { issuer: issuers.label(&known.url)?, age, failures: known.failures })
        });
        let totals = self.keys.counters();
        let mut admission = self.authority.admission.occupancy();
        admission.by_issuer.extend(issuers.labels().map(|label| (label.into(), 0)));
        let connections = self.connections.get().into_iter().flatten();
        Readings {
            broker: state.broker().map(|broker| broker.reading()),
            now,
            checks: state.checks().into_iter().map(|(name, check)| (name, check.is_ok())).collect(),
            broker_check: state.broker_check().map(|check| check.is_ok()),
            certificates: chain
                .ends()
                .chain(self.timestamps.iter().flat_map(|it| it.chain().ends()))
                .collect(),
            log: log.own().map(|log| log.extent()),
            signature_log: state.signature_log_extent(),
            recording: state.recording_occupancy(),
            keys: keys.collect(),
            keys_totals: KeysTotals {
                fetches: totals.fetches,
                failures: totals.failures,
                unknown_key_fetches: totals.unknown_key_fetches,
                unknown_key_fetches_denied: totals.unknown_key_fetches_denied,
            },
            connections: connections.map(|(name, connections)| (*name, connections.count())).collect(),
            admission,
        }
    }

    /// The issuers that are listed by name, and those that came through a pattern and are remembered.
    fn all_issuers(&self, rules: &Rules) -> Vec<String> {
        let listed = rules.issuers.iter().map(|issuer| issuer.url.clone());
        let mut all: Vec<String> = listed.collect();
        let mut others: Vec<String> = self.keys.known().into_iter().map(|known| known.url).collect();
        others.sort();
        others.retain(|url| !all.contains(url));
        all.extend(others);
        all
    }
}

impl api::Operations for Operations {
    fn metrics(&self, state: &ApiState) -> Result<(&'static str, String), String> {
        let rules = self.authority.rules.get();
        Ok((TEXT_FORMAT, self.metrics.render(&self.readings(state, &rules))?))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.reloader.warnings();
        let now = self.authority.clock.now();
        for (title, end) in self.timestamps.iter().flat_map(|authority| authority.chain().ends()) {
            let days = end.since(now).as_secs() / 86_400;
            if days < ALARM_DAYS {
                warnings.push(format!("{title} expires in {days} days; renew it"));
            }
        }
        warnings
    }

    fn refresh<'a>(&'a self, issuer: Option<&'a str>) -> Answer<'a, Vec<Refreshed>> {
        Box::pin(async move {
            let rules = self.authority.rules.get();
            let urls = issuer.map_or_else(|| self.all_issuers(&rules), |issuer| vec![issuer.to_owned()]);
            let issuers = urls.iter().filter_map(|url| rules.issuers.find(url));
            // All at once: one that does not answer keeps nobody waiting but who asked.
            let fetches = issuers.map(|issuer| {
                let keys = self.keys.clone();
                tokio::spawn(async move {
                    let fetched = keys.refresh(&issuer).await.map(|keys| keys.iter().count());
                    Refreshed { issuer: issuer.url, keys: fetched }
                })
            });
            let mut refreshed = Vec::new();
            for fetch in fetches.collect::<Vec<_>>() {
                // An error: the task panicked, which was logged.
                refreshed.extend(fetch.await.ok());
            }
            refreshed
        })
    }
}
