//! What is read when somebody asks: gauges, and counters that are kept elsewhere.

use super::families::Families;
use crate::environment::UnixMillis;
use crate::issuance::Occupancy;
use crate::log::ct::Extent;
use prometheus::{Counter, CounterVec, Gauge, GaugeVec, Result};
use std::collections::HashMap;
use std::time::Duration;

/// The state of a server at one moment.
#[derive(Clone, Debug, Default)]
pub struct Readings<'r> {
    /// The token broker, where there is one.
    pub broker: Option<crate::leasing::Reading>,
    /// The moment.
    pub now: UnixMillis,
    /// Every check that `/readyz` goes by, and whether it passes.
    pub checks: Vec<(&'static str, bool)>,
    /// Whether the token broker works as it should, where there is one. Ready or not does not depend on it.
    pub broker_check: Option<bool>,
    /// Each certificate of the CA's chain, and the last second of its validity.
    pub certificates: Vec<(&'r str, UnixMillis)>,
    /// The log, where it is in this process.
    pub log: Option<Extent>,
    /// The signature log, where there is one.
    pub signature_log: Option<Extent>,
    /// Entries of the signature log that are under way.
    pub recording: Occupancy,
    /// The issuers whose keys were asked for, by label.
    pub keys: Vec<KeysReading<'r>>,
    /// What the cache of keys has done so far.
    pub keys_totals: KeysTotals,
    /// Open connections by listener.
    pub connections: Vec<(&'static str, usize)>,
    /// Certificates in the making.
    pub admission: Occupancy,
}

/// What is known of an issuer's keys. Several issuers may share a label: the worst of them is shown.
#[derive(Clone, Copy, Debug)]
pub struct KeysReading<'r> {
    /// The issuer as configured.
    pub issuer: &'r str,
    /// How long ago the keys at hand were fetched.
    pub age: Option<Duration>,
    /// Fetches in a row that failed.
    pub failures: usize,
}

/// What the cache of keys has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeysTotals {
    /// Fetches begun.
    pub fetches: u64,
    /// Fetches that failed.
    pub failures: u64,
    /// Fetches begun for a `kid` that the keys at hand did not have.
    pub unknown_key_fetches: u64,
    /// Tokens with such a `kid` that got no fetch.
    pub unknown_key_fetches_denied: u64,
}

pub struct Gauges {
    ready: Gauge,
    checks: GaugeVec,
    expiry: GaugeVec,
    log_entries: Gauge,
    log_unsealed: Gauge,
    signatures: Gauge,
    signatures_unsealed: Gauge,
    recording: Gauge,
    recording_limit: Gauge,
    recording_refused: CounterVec,
    keys_age: GaugeVec,
    keys_failures: GaugeVec,
    fetches: Counter,
    fetch_failures: Counter,
    unknown_key_fetches: Counter,
    unknown_key_fetches_denied: Counter,
    connections: GaugeVec,
    issuing: Gauge,
    issuing_limit: Gauge,
    issuing_by_issuer: GaugeVec,
    turned_away: CounterVec,
    lines_dropped: Counter,
}

impl Gauges {
    pub fn new(families: &Families<'_>) -> Result<Self> {
        let version = env!("CARGO_PKG_VERSION");
        // The reference's labels; what Rust does not know is empty.
        families
            .gauges(
                "fulcio_build_info",
                "A metric with a constant '1' value labeled by the version that is running.",
                &["version", "revision", "build_date", "goversion"],
            )?
            .get_metric_with_label_values(&[version, "", "", ""])?
            .set(1.0);
        families
            .gauges("countersign_build_info", "The version that is running; always 1.", &["version"])?
            .get_metric_with_label_values(&[version])?
            .set(1.0);
        Ok(Self {
            ready: families.gauge("countersign_ready", "1 while /readyz says READY, else 0. The broker does not count.")?,
            checks: families.gauges("countersign_check", "1 for each check of /readyz that passes, else 0.", &["check"])?,
            expiry: families.gauges(
                "countersign_ca_expiry_days",
                "Days until this certificate of the CA's chain expires.",
                &["certificate"],
            )?,
            log_entries: families.gauge("countersign_log_entries", "Entries in the log.")?,
            log_unsealed: families
                .gauge("countersign_log_unsealed_entries", "Entries that no durable tile holds yet.")?,
            signatures: families
                .gauge("countersign_signature_log_entries", "Entries in the signature log.")?,
            signatures_unsealed: families.gauge(
                "countersign_signature_log_unsealed_entries",
                "Entries of the signature log that no durable tile holds yet.",
            )?,
            recording: families.gauge(
                "countersign_recordings_in_flight",
                "Entries of the signature log that are under way.",
            )?,
            recording_limit: families.gauge(
                "countersign_recordings_limit",
                "How many entries of the signature log may be under way before shares are enforced.",
            )?,
            recording_refused: families.read_counters(
                "countersign_recording_refusals_total",
                "Entries of the signature log that got no place, by how far they had come.",
                &["stage"],
            )?,
            keys_age: families.gauges(
                "countersign_jwks_age_seconds",
                "How long ago the issuer's keys at hand were fetched; the oldest where issuers share a label.",
                &["issuer"],
            )?,
            keys_failures: families.gauges(
                "countersign_jwks_consecutive_failures",
                "How many fetches of the issuer's keys have failed in a row.",
                &["issuer"],
            )?,
            fetches: families.read_counter("countersign_jwks_fetches_total", "Fetches of issuers' keys.")?,
            fetch_failures: families
                .read_counter("countersign_jwks_fetch_failures_total", "Fetches of issuers' keys that failed.")?,
            unknown_key_fetches: families.read_counter(
                "countersign_jwks_unknown_key_fetches_total",
                "Fetches for a token whose key was not among those at hand.",
            )?,
            unknown_key_fetches_denied: families.read_counter(
                "countersign_jwks_unknown_key_fetches_denied_total",
                "Tokens with an unknown key or a new issuer that got no fetch: too many came.",
            )?,
            connections: families.gauges(
                "countersign_open_connections",
                "Connections that are open, by listener.",
                &["listener"],
            )?,
            issuing: families
                .gauge("countersign_issuances_in_flight", "Certificates in the making.")?,
            issuing_limit: families.gauge(
                "countersign_issuances_limit",
                "How many certificates may be in the making before shares are enforced.",
            )?,
            issuing_by_issuer: families.gauges(
                "countersign_issuances_in_flight_by_issuer",
                "Certificates in the making, by issuer (as configured).",
                &["issuer"],
            )?,
            turned_away: families.read_counters(
                "countersign_admission_refusals_total",
                "Requests that got no place, by how far they had come.",
                &["stage"],
            )?,
            lines_dropped: families.read_counter(
                "countersign_log_lines_dropped_total",
                "Lines of the process's log that were dropped, since stderr was read too slowly.",
            )?,
        })
    }

    pub fn set(&self, readings: &Readings<'_>) {
        let all_pass = readings.checks.iter().all(|(_, passes)| *passes);
        self.ready.set(f64::from(u8::from(all_pass)));
        set_all(
            &self.checks,
            readings
                .checks
                .iter()
                .copied()
                .chain(readings.broker_check.map(|passes| ("broker", passes)))
                .map(|(name, passes)| (name, f64::from(u8::from(passes)))),
        );
        let days = |end: UnixMillis| (end.0 as f64 - readings.now.0 as f64) / 86_400_000.0;
        set_all(&self.expiry, readings.certificates.iter().map(|&(name, end)| (name, days(end))));
        let log = readings.log.unwrap_or_default();
        self.log_entries.set(log.entries as f64);
        self.log_unsealed.set(log.unsealed as f64);
        let signatures = readings.signature_log.unwrap_or_default();
        self.signatures.set(signatures.entries as f64);
        self.signatures_unsealed.set(signatures.unsealed as f64);
        let recording = &readings.recording;
        self.recording.set(recording.making as f64);
        self.recording_limit.set(recording.limit as f64);
        for (stage, total) in &recording.refused {
            if let Ok(counter) = self.recording_refused.get_metric_with_label_values(&[stage]) {
                set_counter(&counter, *total as f64);
            }
        }
        let ages = readings.keys.iter().filter_map(|keys| Some((keys.issuer, keys.age?.as_secs_f64())));
        set_all(&self.keys_age, ages);
        set_all(&self.keys_failures, readings.keys.iter().map(|keys| (keys.issuer, keys.failures as f64)));
        let totals = &readings.keys_totals;
        set_counter(&self.fetches, totals.fetches as f64);
        set_counter(&self.fetch_failures, totals.failures as f64);
        set_counter(&self.unknown_key_fetches, totals.unknown_key_fetches as f64);
        set_counter(&self.unknown_key_fetches_denied, totals.unknown_key_fetches_denied as f64);
        set_all(&self.connections, readings.connections.iter().map(|&(name, open)| (name, open as f64)));
        let Occupancy { making, limit, by_issuer, refused } = &readings.admission;
        self.issuing.set(*making as f64);
        self.issuing_limit.set(*limit as f64);
        set_all(
            &self.issuing_by_issuer,
            by_issuer.iter().map(|(issuer, places)| (&**issuer, *places as f64)),
        );
        for (stage, total) in refused {
            if let Ok(counter) = self.turned_away.get_metric_with_label_values(&[stage]) {
                set_counter(&counter, *total as f64);
            }
        }
        set_counter(&self.lines_dropped, crate::telemetry::lines_dropped() as f64);
    }
}

/// Sets every gauge of a family; of those with the same label the largest counts. What is not named goes away.
fn set_all<'l>(family: &GaugeVec, values: impl Iterator<Item = (&'l str, f64)>) {
    let mut largest = HashMap::new();
    for (label, value) in values {
        largest.entry(label).and_modify(|known: &mut f64| *known = known.max(value)).or_insert(value);
    }
    family.reset();
    for (label, value) in largest {
        // An error: the number of labels is wrong, which every test would show.
        if let Ok(gauge) = family.get_metric_with_label_values(&[label]) {
            gauge.set(value);
        }
    }
}

/// Sets a counter that is kept elsewhere.
pub fn set_counter(counter: &Counter, total: f64) {
    counter.reset();
    counter.inc_by(total);
}
