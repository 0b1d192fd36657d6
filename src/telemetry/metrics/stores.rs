//! The log's stores, measured: each port of the log wrapped in one that counts what goes through it.
//!
//! So the log itself knows nothing of metrics.

use super::Metrics;
use super::families::{ENTRIES, Families, SECONDS};
use crate::environment::Stopwatch;
use crate::log::Stores;
use crate::log::ports::{
    Group, Head, HeadRecord, HeadStore, Identity, Recorded, StoreError, Stored, TileStore,
};
use prometheus::{Histogram, IntCounter, Result};
use std::sync::Arc;

/// What is counted of the stores.
#[derive(Clone)]
pub struct LogStores {
    sync: Histogram,
    group: Histogram,
    seal: Histogram,
    head_errors: IntCounter,
    record_errors: IntCounter,
    tile_errors: IntCounter,
}

impl LogStores {
    /// For the certificate log, then for the signature log.
    pub fn new(families: &Families<'_>) -> Result<[Self; 2]> {
        let errors = families.counters(
            "countersign_store_errors_total",
            "Reads and writes of a log's store that failed, by part of the store.",
            &["part"],
        )?;
        let parts = |parts: [&str; 3]| -> Result<[IntCounter; 3]> {
            let [head, record, tiles] = parts.map(|part| errors.get_metric_with_label_values(&[part]));
            Ok([head?, record?, tiles?])
        };
        let certificates = Self::of_certificates(families, parts(["head", "record", "tiles"])?)?;
        let names = ["signature_head", "signature_record", "signature_tiles"];
        Ok([certificates, Self::of_signatures(families, parts(names)?)?])
    }

    fn of_signatures(families: &Families<'_>, errors: [IntCounter; 3]) -> Result<Self> {
        let [head_errors, record_errors, tile_errors] = errors;
        Ok(Self {
            sync: families.histogram(
                "countersign_signature_log_sync_seconds",
                "How long a group of the signature log took until it was durable in the head store.",
                &SECONDS,
            )?,
            group: families.histogram(
                "countersign_signature_log_group_entries",
                "How many entries the groups of the signature log had that were written.",
                &ENTRIES,
            )?,
            seal: families.histogram(
                "countersign_signature_log_tile_write_seconds",
                "How long a tile of the signature log took until it was durable.",
                &SECONDS,
            )?,
            head_errors,
            record_errors,
            tile_errors,
        })
    }

    fn of_certificates(families: &Families<'_>, errors: [IntCounter; 3]) -> Result<Self> {
        let [head_errors, record_errors, tile_errors] = errors;
        Ok(Self {
            sync: families.histogram(
                "countersign_log_sync_seconds",
                "How long a group took until it was durable in the head store.",
                &SECONDS,
            )?,
            group: families.histogram(
                "countersign_log_group_entries",
                "How many entries the groups had that were written.",
                &ENTRIES,
            )?,
            seal: families.histogram(
                "countersign_log_tile_write_seconds",
                "How long a tile took until it was durable.",
                &SECONDS,
            )?,
            head_errors,
            record_errors,
            tile_errors,
        })
    }
}

impl Metrics {
    /// The same stores, measured.
    pub fn measured(&self, stores: Stores, stopwatch: Arc<dyn Stopwatch>) -> Stores {
        measured(&self.stores, stores, stopwatch)
    }

    /// The signature log's stores, measured.
    pub fn measured_signatures(&self, stores: Stores, stopwatch: Arc<dyn Stopwatch>) -> Stores {
        measured(&self.signature_stores, stores, stopwatch)
    }
}

fn measured(counts: &LogStores, stores: Stores, stopwatch: Arc<dyn Stopwatch>) -> Stores {
    Stores {
        head: Box::new(Measured { inner: stores.head, counts: counts.clone(), stopwatch: stopwatch.clone() }),
        record: Box::new(Measured {
            inner: stores.record,
            counts: counts.clone(),
            stopwatch: stopwatch.clone(),
        }),
        tiles: Arc::new(Measured { inner: stores.tiles, counts: counts.clone(), stopwatch }),
        guard: stores.guard,
    }
}

/// A store and what is counted of it.
struct Measured<S> {
    inner: S,
    counts: LogStores,
    stopwatch: Arc<dyn Stopwatch>,
}

/// Counts an error, and hands everything on.
fn counted<T>(
    errors: &IntCounter,
    result: std::result::Result<T, StoreError>,
) -> std::result::Result<T, StoreError> {
    result.inspect_err(|_| errors.inc())
}

impl HeadStore for Measured<Box<dyn HeadStore>> {
    fn load(&self) -> std::result::Result<Option<Stored>, StoreError> {
        counted(&self.counts.head_errors, self.inner.load())
    }

    fn create(&mut self, identity: &Identity, head: &Head) -> std::result::Result<(), StoreError> {
        counted(&self.counts.head_errors, self.inner.create(identity, head))
    }

    fn append(&mut self, expected: &Head, group: &Group) -> std::result::Result<(), StoreError> {
        let began = self.stopwatch.elapsed();
        let appended = self.inner.append(expected, group);
        let took = self.stopwatch.elapsed().saturating_sub(began);
        // An empty group is the log asking whether the store works again.
        if appended.is_ok() && !group.entries.is_empty() {
            self.counts.sync.observe(took.as_secs_f64());
            self.counts.group.observe(group.entries.len() as f64);
        }
        counted(&self.counts.head_errors, appended)
    }

    fn check(&self) -> std::result::Result<(), StoreError> {
        counted(&self.counts.head_errors, self.inner.check())
    }
}

impl HeadRecord for Measured<Box<dyn HeadRecord>> {
    fn read(&self) -> std::result::Result<Option<Recorded>, StoreError> {
        counted(&self.counts.record_errors, self.inner.read())
    }

    fn write(&mut self, record: &Recorded) -> std::result::Result<(), StoreError> {
        counted(&self.counts.record_errors, self.inner.write(record))
    }

    fn sync(&self) -> std::result::Result<(), StoreError> {
        counted(&self.counts.record_errors, self.inner.sync())
    }
}

impl TileStore for Measured<Arc<dyn TileStore>> {
    fn put(&self, path: &str, bytes: &[u8]) -> std::result::Result<(), StoreError> {
        let began = self.stopwatch.elapsed();
        let written = self.inner.put(path, bytes);
        let took = self.stopwatch.elapsed().saturating_sub(began);
        if written.is_ok() {
            self.counts.seal.observe(took.as_secs_f64());
        }
        counted(&self.counts.tile_errors, written)
    }

    fn get(&self, path: &str) -> std::result::Result<Option<Vec<u8>>, StoreError> {
        counted(&self.counts.tile_errors, self.inner.get(path))
    }

    fn get_range(
        &self,
        path: &str,
        from: u64,
        length: usize,
    ) -> std::result::Result<Option<Vec<u8>>, StoreError> {
        counted(&self.counts.tile_errors, self.inner.get_range(path, from, length))
    }

    fn any(&self) -> std::result::Result<Option<String>, StoreError> {
        counted(&self.counts.tile_errors, self.inner.any())
    }

    fn check(&self) -> std::result::Result<(), StoreError> {
        counted(&self.counts.tile_errors, self.inner.check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Issuers;
    use crate::policy::Policy;
    use crate::store::memory::MemoryStore;

    /// A store whose disk is full.
    struct Full;

    impl HeadStore for Full {
        fn load(&self) -> std::result::Result<Option<Stored>, StoreError> {
            Ok(None)
        }
        fn create(&mut self, _: &Identity, _: &Head) -> std::result::Result<(), StoreError> {
            Err(StoreError::Conflict)
        }
        fn append(&mut self, _: &Head, _: &Group) -> std::result::Result<(), StoreError> {
            Err(StoreError::Conflict)
        }
        fn check(&self) -> std::result::Result<(), StoreError> {
            Err(StoreError::NotWritten("full".to_owned()))
        }
    }

    #[test]
    fn what_a_store_says_of_itself_is_handed_on_and_counted() {
        let metrics = Metrics::new(&Issuers::default(), &Policy::default()).expect("metrics");
        let MemoryStore { record, tiles, .. } = MemoryStore::default();
        let stores = Stores {
            head: Box::new(Full),
            record: Box::new(record),
            tiles: Arc::new(tiles),
            guard: Box::new(()),
        };
        let stores = metrics.measured(stores, Arc::new(crate::telemetry::MonotonicClock::start()));
        assert_eq!(stores.head.check(), Err(StoreError::NotWritten("full".to_owned())));
        assert_eq!(metrics.stores.head_errors.get(), 1);
        assert_eq!(stores.tiles.any(), Ok(None));
    }
}
