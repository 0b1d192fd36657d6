//! Metrics in Prometheus' text format 0.0.4, as `docs/METRICS.md` describes them; a test compares the two.
//!
//! Names and labels are the reference's where the meaning is the same, and `countersign_…` elsewhere. Every label has a
//! bounded set of values, none of which is a caller's text. What happens is counted where it happens, with a few atomic
//! additions; what is, is read when somebody asks.

mod broker;
mod families;
mod issuance;
mod policy;
mod process;
mod readings;
mod reloads;
mod requests;
mod stores;
mod timestamps;

pub use readings::{KeysReading, KeysTotals, Readings};
pub use reloads::Part;
pub use requests::Call;

use crate::identity::Issuers;
use crate::policy::Policy;
use broker::Brokered;
use families::Families;
use issuance::Issuances;
use policy::Decisions;
use process::Process;
use prometheus::{Registry, Result, TextEncoder};
use readings::Gauges;
use reloads::Reloads;
use requests::Requests;
use std::sync::{Mutex, OnceLock, PoisonError};
use stores::LogStores;
use timestamps::Timestamps;

/// What `Content-Type` the text has.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label of what no configured issuer stands behind.
const UNKNOWN: &str = "unknown";

/// All metrics of one server.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    issuances: Issuances,
    decisions: Decisions,
    stores: LogStores,
    signature_stores: LogStores,
    gauges: Gauges,
    reloads: Reloads,
    timestamps: Timestamps,
    process: Process,
    /// Where there is a broker.
    brokered: OnceLock<Brokered>,
    /// One text at a time: gauges are set for each.
    rendering: Mutex<()>,
}

impl Metrics {
    /// Everything at zero, for these issuers and rules.
    ///
    /// # Errors
    /// In words: two families have the same name.
    pub fn new(issuers: &Issuers, policy: &Policy) -> std::result::Result<Self, String> {
        Self::registered(issuers, policy).map_err(|error| format!("metrics cannot be set up: {error}"))
    }

    fn registered(issuers: &Issuers, policy: &Policy) -> Result<Self> {
        let registry = Registry::new();
        let families = Families(&registry);
        let [stores, signature_stores] = LogStores::new(&families)?;
        Ok(Self {
            requests: Requests::new(&families)?,
            issuances: Issuances::new(&families, issuers.labels())?,
            decisions: Decisions::new(&families, issuers, policy)?,
            stores,
            signature_stores,
            gauges: Gauges::new(&families)?,
            reloads: Reloads::new(&families)?,
            timestamps: Timestamps::new(&families)?,
            process: Process::new(&families)?,
            brokered: OnceLock::new(),
            rendering: Mutex::new(()),
            registry,
        })
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// In words: the text cannot be made.
    pub fn render(&self, readings: &Readings<'_>) -> std::result::Result<String, String> {
        let _one_at_a_time = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauges.set(readings);
        if let Some(broker) = &readings.broker {
            self.set_broker(broker);
        }
        self.process.read();
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(|error| error.to_string())
    }
}
