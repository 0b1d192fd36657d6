//! Timestamps: how many were made, why others were not, and how long they took.

use super::Metrics;
use super::families::{Families, SECONDS};
use crate::refusal::Reason;
use crate::timestamping::TimestampObserver;
use prometheus::{Histogram, IntCounter, Result};
use std::time::Duration;

pub struct Timestamps {
    issued: IntCounter,
    refused: Vec<IntCounter>,
    took: Histogram,
}

/// Why a timestamp may be refused, once its request has been read. Other refusals are in `countersign_refusals_total` alone.
const REASONS: [Reason; 9] = [
    Reason::RequestMalformed,
    Reason::RequestEmpty,
    Reason::RequestTooLarge,
    Reason::TimestampHashUnsupported,
    Reason::TimestampHashLength,
    Reason::TimestampPolicyUnknown,
    Reason::TimestampExtensionUnknown,
    Reason::TimestampUnavailable,
    Reason::TimeUnavailable,
];

impl Timestamps {
    pub fn new(families: &Families<'_>) -> Result<Self> {
        let refused = families.counters(
            "countersign_timestamps_refused_total",
            "Timestamps that were refused, by reason.",
            &["reason"],
        )?;
        Ok(Self {
            issued: families.counter("countersign_timestamps_total", "Timestamps that were made.")?,
            refused: REASONS
                .iter()
                .map(|reason| refused.get_metric_with_label_values(&[reason.code()]))
                .collect::<Result<_>>()?,
            took: families.histogram(
                "countersign_timestamp_seconds",
                "How long a timestamp took, from its request's octets to its response's.",
                &SECONDS,
            )?,
        })
    }
}

impl TimestampObserver for Metrics {
    fn timestamp(&self, refused: Option<Reason>, took: Duration) {
        let Timestamps { issued, refused: counters, took: histogram } = &self.timestamps;
        match refused {
            None => {
                issued.inc();
                histogram.observe(took.as_secs_f64());
            }
            Some(reason) => {
                let counter = REASONS.iter().position(|known| *known == reason);
                if let Some(counter) = counter.and_then(|index| counters.get(index)) {
                    counter.inc();
                }
            }
        }
    }
}
