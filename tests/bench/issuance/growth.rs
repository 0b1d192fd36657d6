//! A log that has grown: entries made by the same way into the log as every other, only without anybody who waits for an SCT.

use crate::driver::requests::Wire;
use crate::driver::server::Home;
use crate::subject::Subject;
use countersign::log::ct::CtLogSettings;
use countersign::log::ports::LogSigner;
use countersign::log::{CtLog, Stores};
use countersign::server::environment::Environment;
use countersign::store::DataDirectory;
use countersign::transparency::precertificate::{DataTileEntry, LogEntry, LoggedCertificate};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

/// Entries on their way at once: less than the log's queue takes.
const AT_ONCE: usize = 2048;

/// Entries at the end that come like a server's, and how many of those at once.
const CALM: u64 = 20_000;
const CALMLY_AT_ONCE: usize = 16;

/// Octets of TBSCertificate and precertificate in a small entry.
const SMALL: usize = 200;

/// The log's key as far as an entry without an SCT needs it: it names the log, and signs nothing.
struct Unsigned(Vec<u8>);

impl LogSigner for Unsigned {
    fn public_key(&self) -> &[u8] {
        &self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

/// Fills the log of a new CA up to `entries`: copies of one real entry, or of the beginning of one, each with a place and a leaf
/// hash of its own.
pub async fn fill(home: &Arc<Home>, request: &Wire, entries: u64, small: bool) {
    let subject = Subject::own(home.clone().start().await);
    let mut connection =
        crate::driver::connection::Connection::open(subject.address).await.expect("a connection");
    assert_eq!(connection.ask(request).await.expect("an answer").status, 200);
    let tile = subject.get("/ct/tile/data/000.p/1").await;
    let entry = copy(&tile, if small { SMALL } else { usize::MAX });
    let Subject { trust, own, .. } = subject;
    let own = own.expect("our own server");
    let chain = trust.chain.expect("its chain");
    let (origin, key) = (own.origin, trust.log_key.expect("its key"));
    own.server.stop();

    let began = Instant::now();
    let stores = Stores::from(DataDirectory::open(&home.path().join("data")).expect("the data directory"));
    let settings = CtLogSettings { origin, issuers: chain.certificates().to_vec() };
    let Environment { clock, stopwatch, .. } = Environment::system();
    let log =
        Arc::new(CtLog::open(settings, Arc::new(Unsigned(key)), stores, clock, stopwatch).expect("the log"));
    // The last ones at the pace of a server: else the journal is as long as such a haste makes it.
    let calm = CALM.min(entries.saturating_sub(1));
    enter(&log, &entry, entries.saturating_sub(1 + calm), AT_ONCE).await;
    enter(&log, &entry, calm, CALMLY_AT_ONCE).await;
    tokio::task::spawn_blocking(move || log.close()).await.expect("it closes");
    eprintln!("{entries} entries after {:.0} s", began.elapsed().as_secs_f64());
}

/// Enters so many copies of the entry, so many at once.
async fn enter(log: &Arc<CtLog>, entry: &LogEntry, entries: u64, at_once: usize) {
    let to_come = Arc::new(AtomicU64::new(entries));
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let (log, to_come, entry) = (log.clone(), to_come.clone(), entry.clone());
        tasks.spawn(async move {
            let one = |left: u64| left.checked_sub(1);
            while to_come.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one).is_ok() {
                log.enter(entry.clone()).await.expect("it is entered");
            }
        });
    }
    let mut ticks = tokio::time::interval(std::time::Duration::from_secs(10));
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended.expect("it does not panic"),
                None => break,
            },
            _ = ticks.tick() => eprintln!("filling the log: {} entries", log.extent().entries),
        }
    }
}

/// The entry of a data tile's first place, to be entered again.
fn copy(tile: &[u8], most: usize) -> LogEntry {
    let (entry, _) = DataTileEntry::parse(tile).expect("an entry");
    let LoggedCertificate::Precertificate { issuer_key_hash, tbs, precertificate } = entry.certificate()
    else {
        panic!("a precertificate")
    };
    let [tbs, precertificate] = [tbs, precertificate].map(|octets| &octets[..octets.len().min(most)]);
    let first = LoggedCertificate::Precertificate { issuer_key_hash, tbs, precertificate };
    LogEntry::new(first, entry.fingerprints())
}
