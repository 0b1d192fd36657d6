//! The token broker: what it was asked for, how its leases stand, how GitLab answers.

use super::families::Families;
use super::{Metrics, UNKNOWN};
use crate::broker::{Code, Phase};
use crate::leasing::{Event, Reading};
use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounterVec, Result};
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// `result` of an exchange that gave a token.
const ISSUED: &str = "issued";
/// How a call to revoke may end.
const REVOCATIONS: [&str; 3] = ["revoked", "expired", "failed"];

/// The families; there are some only where there is a broker.
pub struct Brokered {
    /// The configured ones: no caller's text becomes a label.
    roles: RwLock<HashSet<String>>,
    exchanges: IntCounterVec,
    leases: GaugeVec,
    revocations: IntCounterVec,
    lag: Histogram,
    overdue: Gauge,
    unwritten: Gauge,
    calls: HistogramVec,
    expiry: GaugeVec,
    to_revoke: GaugeVec,
    events: IntCounterVec,
}

impl Brokered {
    fn new(families: &Families<'_>) -> Result<Self> {
        let brokered = Self {
            roles: RwLock::default(),
            exchanges: families.counters(
                "countersign_broker_exchanges_total",
                "Requests for a GitLab token, by role (as configured) and result.",
                &["role", "result"],
            )?,
            leases: families.gauges("countersign_broker_leases", "Leases by phase.", &["phase"])?,
            revocations: families.counters(
                "countersign_broker_revocation_attempts_total",
                "Calls that were to revoke a token, by result.",
                &["result"],
            )?,
            lag: families.histogram(
                "countersign_broker_revocation_lag_seconds",
                "How long after its deadline, or after somebody wanted it, GitLab confirmed that a token is dead.",
                &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86_400.0],
            )?,
            overdue: families.gauge(
                "countersign_broker_oldest_overdue_seconds",
                "How late the latest revocation is.",
            )?,
            unwritten: families.gauge(
                "countersign_broker_unwritten_leases",
                "Leases of which the store has an older state than the server.",
            )?,
            calls: families.histograms(
                "countersign_broker_gitlab_request_seconds",
                "How long calls to GitLab took, by target, route and status (0: no answer).",
                &["target", "route", "code"],
            )?,
            expiry: families.gauges(
                "countersign_broker_credential_expiry_seconds",
                "Until the main credential of each target expires; absent where it does not.",
                &["target"],
            )?,
            to_revoke: families.gauges(
                "countersign_broker_credentials_to_revoke",
                "Credentials of each target that are not used any more and could not be revoked.",
                &["target"],
            )?,
            events: families.counters(
                "countersign_broker_events_total",
                "What else happened, by event.",
                &["event"],
            )?,
        };
        for result in REVOCATIONS {
            brokered.revocations.get_metric_with_label_values(&[result])?;
        }
        for event in Event::NAMES {
            brokered.events.get_metric_with_label_values(&[event])?;
        }
        Ok(brokered)
    }

    /// From now on these are the roles; new ones begin at zero.
    fn follow<'r>(&self, roles: impl Iterator<Item = &'r str>) -> Result<()> {
        let roles: HashSet<String> = roles.map(str::to_owned).collect();
        for role in &roles {
            for result in [ISSUED].into_iter().chain([Code::TargetRefused.code()]) {
                self.exchanges.get_metric_with_label_values(&[role.as_str(), result])?;
            }
        }
        *self.roles.write().unwrap_or_else(PoisonError::into_inner) = roles;
        Ok(())
    }
}

impl Metrics {
    /// From now on there is a broker, with these roles.
    ///
    /// # Errors
    /// In words: two families have the same name.
    pub fn begin_broker<'r>(&self, roles: impl Iterator<Item = &'r str>) -> std::result::Result<(), String> {
        let begin = || {
            let brokered = Brokered::new(&Families(&self.registry))?;
            brokered.follow(roles)?;
            Ok::<_, prometheus::Error>(brokered)
        };
        let brokered = begin().map_err(|error| format!("metrics cannot be set up: {error}"))?;
        self.brokered.set(brokered).map_err(|_| "there is a broker already".to_owned())
    }

    /// From now on these are the broker's roles.
    pub fn follow_roles<'r>(&self, roles: impl Iterator<Item = &'r str>) {
        self.broker(|it| it.follow(roles));
    }

    /// An exchange was answered. `role` is what was asked for.
    pub fn exchanged(&self, role: &str, refused: Option<&str>) {
        self.broker(|it| {
            let known = it.roles.read().unwrap_or_else(PoisonError::into_inner).contains(role);
            let labels = [if known { role } else { UNKNOWN }, refused.unwrap_or(ISSUED)];
            it.exchanges.get_metric_with_label_values(&labels).map(|it| it.inc())
        });
    }

    /// A call to revoke has ended, so long after it was wanted.
    pub fn revocation(&self, result: &'static str, late: Duration) {
        self.broker(|it| {
            if result == REVOCATIONS[0] {
                it.lag.observe(late.as_secs_f64());
            }
            it.revocations.get_metric_with_label_values(&[result]).map(|it| it.inc())
        });
    }

    /// A call to GitLab has ended.
    pub fn gitlab_called(&self, target: &str, route: &'static str, status: u16, took: Duration) {
        let code = status.to_string();
        self.broker(|it| {
            let calls = it.calls.get_metric_with_label_values(&[target, route, &code]);
            calls.map(|it| it.observe(took.as_secs_f64()))
        });
    }

    /// Something else has happened.
    pub fn broker_event(&self, event: &'static str) {
        self.broker(|it| it.events.get_metric_with_label_values(&[event]).map(|it| it.inc()));
    }

    /// How it stands now.
    pub(super) fn set_broker(&self, reading: &Reading) {
        self.broker(|it| {
            for phase in Phase::CODES {
                let count = reading.leases.get(phase).copied().unwrap_or_default();
                it.leases.get_metric_with_label_values(&[phase])?.set(count as f64);
            }
            it.overdue.set(reading.oldest_overdue.as_secs_f64());
            it.unwritten.set(reading.unwritten as f64);
            it.expiry.reset();
            for target in &reading.targets {
                let to_revoke = it.to_revoke.get_metric_with_label_values(&[target.name.as_str()])?;
                to_revoke.set(target.to_revoke.len() as f64);
                if let Some(left) = target.credential_left {
                    it.expiry.get_metric_with_label_values(&[target.name.as_str()])?.set(left.as_secs_f64());
                }
            }
            Ok(())
        });
    }

    /// An error: the number of labels is wrong, which every test would show.
    fn broker(&self, count: impl FnOnce(&Brokered) -> Result<()>) {
        if let Some(brokered) = self.brokered.get() {
            count(brokered).ok();
        }
    }
}
