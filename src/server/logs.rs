//! The logs of this process: what happens to one of them happens to the other.

use crate::environment::UnixMillis;
use crate::log::{CtLog, Lifecycle, Lulls, SignatureLog};
use crate::timestamping::Attested;
use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often it is looked whether the logs' disk answers.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// The logs that there are.
#[derive(Clone, Default)]
pub struct OwnLogs {
    pub certificates: Option<Arc<CtLog>>,
    pub signatures: Option<Arc<SignatureLog>>,
}

impl OwnLogs {
    /// Looks every second whether their disk answers, whoever else asks, for as long as there are logs: while the server ends as
    /// well.
    pub async fn watch(logs: Weak<Self>) {
        loop {
            tokio::time::sleep(WATCH_PERIOD).await;
            let Some(logs) = logs.upgrade() else { return };
            logs.each().for_each(|log| log.watch());
        }
    }

    /// Their groups wait for lulls, where workers tell of them.
    pub fn heed(&self, lulls: Option<&Arc<Lulls>>) {
        lulls.into_iter().for_each(|lulls| self.each().for_each(|log| log.heed(lulls.clone())));
    }

    /// The server is to end within seconds.
    pub fn end_soon(&self) {
        self.each().for_each(|log| log.end_soon());
    }

    /// Waits until one of them has stopped for good, and says which and why.
    pub async fn stopped(&self) -> String {
        tokio::select! {
            reason = stopped(self.certificates()) => format!("the log has stopped: {reason}"),
            reason = stopped(self.signatures()) => format!("the signature log has stopped: {reason}"),
        }
    }

    /// Closes them, which blocks, on a thread for that.
    pub async fn close(self) {
        // An error: a log panicked while closing, and has said so.
        let _ = tokio::task::spawn_blocking(move || self.each().for_each(|log| log.close())).await;
    }

    fn each(&self) -> impl Iterator<Item = &dyn Lifecycle> {
        self.certificates().into_iter().chain(self.signatures())
    }

    fn certificates(&self) -> Option<&dyn Lifecycle> {
        self.certificates.as_ref().map(|log| log.lifecycle())
    }

    fn signatures(&self) -> Option<&dyn Lifecycle> {
        self.signatures.as_ref().map(|log| log.lifecycle())
    }
}

/// Never, where there is no log.
async fn stopped(log: Option<&dyn Lifecycle>) -> String {
    match log {
        Some(log) => log.stopped().await,
        None => pending().await,
    }
}

impl Attested for OwnLogs {
    /// The later of the two: each of them has dated entries that callers know of.
    fn last(&self) -> Option<UnixMillis> {
        let certificates = self.certificates.as_ref().map(|log| log.last_timestamp());
        certificates.max(self.signatures.as_ref().map(|log| log.last_timestamp()))
    }
}
