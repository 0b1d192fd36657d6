//! Reloads of what may change while the server runs. Names and meaning are those that Prometheus has for its own
//! configuration.

use super::Metrics;
use super::families::Families;
use crate::environment::UnixMillis;
use prometheus::{Gauge, GaugeVec, IntCounterVec, Result};

/// What is loaded anew by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The configuration file, and the files that it names.
    Configuration,
    /// The public listener's certificate and key.
    Tls,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Tls => "tls",
        }
    }
}

/// How a reload may end.
const OUTCOMES: [&str; 2] = ["loaded", "refused"];

pub struct Reloads {
    total: IntCounterVec,
    successful: GaugeVec,
    success_timestamp: GaugeVec,
}

impl Reloads {
    pub fn new(families: &Families<'_>) -> Result<Self> {
        let reloads = Self {
            total: families.counters(
                "countersign_config_reloads_total",
                "Reloads of changed files, by part of the configuration and outcome.",
                &["part", "outcome"],
            )?,
            successful: families.gauges(
                "countersign_config_last_reload_successful",
                "1 if the last load of this part succeeded, 0 while the last good one serves in its place.",
                &["part"],
            )?,
            success_timestamp: families.gauges(
                "countersign_config_last_reload_success_timestamp_seconds",
                "When this part was last loaded, since 1970.",
                &["part"],
            )?,
        };
        for part in [Part::Configuration, Part::Tls] {
            for outcome in OUTCOMES {
                reloads.total.get_metric_with_label_values(&[part.name(), outcome])?;
            }
        }
        Ok(reloads)
    }
}

impl Metrics {
    /// A part was loaded when the server started.
    pub fn loaded_at_start(&self, part: Part, now: UnixMillis) {
        set(&self.reloads.successful, part, 1.0);
        set(&self.reloads.success_timestamp, part, now.0 as f64 / 1000.0);
    }

    /// A part was loaded anew, or refused and left as it was.
    pub fn reloaded(&self, part: Part, succeeded: bool, now: UnixMillis) {
        let [loaded, refused] = OUTCOMES;
        let outcome = if succeeded { loaded } else { refused };
        // An error: the number of labels is wrong, which every test would show.
        if let Ok(counter) = self.reloads.total.get_metric_with_label_values(&[part.name(), outcome]) {
            counter.inc();
        }
        if succeeded {
            self.loaded_at_start(part, now);
        } else {
            set(&self.reloads.successful, part, 0.0);
        }
    }
}

fn set(family: &GaugeVec, part: Part, value: f64) {
    if let Ok(gauge) = gauge(family, part) {
        gauge.set(value);
    }
}

fn gauge(family: &GaugeVec, part: Part) -> Result<Gauge> {
    family.get_metric_with_label_values(&[part.name()])
}
