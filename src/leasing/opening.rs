//! Start and end: what a crash left is taken up before anything else, and nothing is lost at the end.

use super::attempt::Event;
use super::book::Book;
use super::inner::{EXCHANGES, Inner};
use super::life;
use super::ports::{KeepError, Kept, LeaseStore, Observer};
use super::rates::Rates;
use super::records::Ring;
use super::site::{Site, Target};
use super::time::Time;
use super::writer::Writer;
use super::{Broker, Filter, keeper, rotation, scheduler, sealed_token};
use crate::broker::{Lease, Phase, Roles};
use crate::environment::{Clock, Random, Stopwatch, UnixMillis};
use crate::issuance::{IssuerKeys, Rules};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a stop waits for exchanges under way.
const FINISH: Duration = Duration::from_secs(30);
/// How long it waits for tokens to be revoked. What is left is revoked after the next start.
const DRAIN: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// What a broker is made of.
pub struct Parts {
    /// Who may have what.
    pub roles: Arc<Roles>,
    /// The issuers that hold now.
    pub issuers: Arc<dyn Fn() -> Arc<Rules> + Send + Sync>,
    /// Their keys.
    pub keys: Arc<dyn IssuerKeys>,
    /// The GitLab instances.
    pub targets: Vec<Target>,
    /// Where leases are kept.
    pub store: Box<dyn LeaseStore>,
    /// How long those that are over stay listed.
    pub keep: Duration,
    /// How often a project may ask for a token, in a minute.
    pub rate_per_project: u32,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Names of leases, and jitter.
    pub random: Arc<dyn Random>,
    /// What passes whatever the clock says.
    pub stopwatch: Arc<dyn Stopwatch>,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be read.
    #[error("the store of the leases cannot be read: {0}")]
    Store(#[from] KeepError),
    /// Tokens live at an instance that the configuration has no more.
    #[error(
        "{live} leases of target {target} at {url} are not over, and the configuration has no such target: nobody else would revoke their tokens. Put it \
         back, run `countersign broker revoke --all` and wait until `countersign broker leases` shows none of them, then take it away"
    )]
    TargetGone {
        /// Its name.
        target: String,
        /// Its URL, when the tokens were made.
        url: String,
        /// How many.
        live: usize,
    },
    /// A credential in the store cannot be used.
    #[error(
        "target {target}: {reason}. Put the seal key back, or configure a new main credential, which goes before the one in the store"
    )]
    Credential {
        /// The target.
        target: String,
        /// Why.
        reason: String,
    },
}

impl Broker {
    /// Loads what the store has, and begins to work: what is overdue is revoked, what is uncertain looked up. GitLab need not be there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(parts: Parts) -> Result<Arc<Self>, OpenError> {
        let Parts { roles, issuers, keys, targets, store, keep, clock, random, stopwatch, observer, .. } =
            parts;
        let (store, kept) = load(store).await?;
        let Kept { leases, used, credentials, attempts } = kept;
        let sites: BTreeMap<_, _> =
            targets.into_iter().map(|target| (target.name.clone(), Arc::new(Site::new(target)))).collect();
        all_targets_are_there(&leases, &sites)?;
        for (place, _) in &credentials {
            if !sites.values().any(|site| site.place() == sealed_token::target_of(place)) {
                observer.event(Event::CredentialElsewhere { place });
            }
        }
        for site in sites.values() {
            let stored = credentials.iter().find(|(place, _)| *place == site.place());
            site.take_up(stored.map(|(_, record)| &**record))
                .await
                .map_err(|reason| OpenError::Credential { target: site.name.clone(), reason })?;
        }
        let time = Time::new(clock, stopwatch);
        let book = book(leases, used, time.now());
        let (writer, writing) = Writer::start(store, observer.clone());
        let inner = Arc::new(Inner {
            roles: RwLock::new(roles),
            issuers,
            keys,
            sites,
            writer,
            keep,
            time,
            random,
            observer,
            closing: AtomicBool::new(false),
            exchanges: Arc::new(Semaphore::new(EXCHANGES as usize)),
            attempts: Mutex::new(Ring::load(attempts)),
            rates: Mutex::new(Rates::new(parts.rate_per_project)),
            book: Mutex::new(book),
        });
        let mut tasks = vec![tokio::spawn(keeper::run(inner.clone()))];
        for site in inner.sites.values() {
            tasks.push(tokio::spawn(scheduler::run(inner.clone(), site.clone())));
            tasks.push(tokio::spawn(rotation::keep(inner.clone(), site.clone())));
        }
        Ok(Arc::new(Self { inner, tasks: Mutex::new(tasks), writing: Mutex::new(Some(writing)) }))
    }

    /// Stops: nothing is issued from now on; what is under way ends; with `drain` every live token is revoked, as far as GitLab lets it be
    /// within a minute; and what is queued for the store is written. A second call finds nothing to do.
    pub async fn close(&self, drain: bool) {
        let inner = &self.inner;
        inner.closing.store(true, Ordering::SeqCst);
        let all = inner.exchanges.clone().acquire_many_owned(EXCHANGES);
        // Permits are kept, so that nobody begins; at a second call there are none left to wait for.
        if let Ok(Ok(all)) = tokio::time::timeout(FINISH, all).await {
            all.forget();
            inner.exchanges.close();
        }
        if drain {
            // What the store does not take is revoked all the same.
            let _ = inner.revoke_where(&Filter::default(), "drain").await;
            let drained = async {
                // A dead one that is only looked after is looked after from the next start on.
                while inner.book().live().any(|lease| !lease.phase.is_settling()) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            let _ = tokio::time::timeout(DRAIN, drained).await;
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for site in inner.sites.values() {
            // However long it takes: each call has its time, no other change begins, and a new credential may be known to nobody else.
            site.credentials.rest().await;
        }
        for task in &mut tasks {
            task.abort();
            let _ = task.await;
        }
        inner.writer.close();
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writing) = writing {
            let _ = writing.await;
        }
    }
}

async fn load(store: Box<dyn LeaseStore>) -> Result<(Box<dyn LeaseStore>, Kept), KeepError> {
    let loading = tokio::task::spawn_blocking(move || {
        let kept = store.load();
        (store, kept)
    });
    match loading.await {
        Ok((store, kept)) => Ok((store, kept?)),
        Err(_) => Err(KeepError::Unknown("the store failed in a way it should not".to_owned())),
    }
}

fn all_targets_are_there(leases: &[Lease], sites: &BTreeMap<String, Arc<Site>>) -> Result<(), OpenError> {
    let is_there = |lease: &&Lease| {
        sites.get(&lease.target).is_some_and(|site| [&*site.url, ""].contains(&&*lease.instance))
    };
    let mut counts = BTreeMap::new();
    for lease in leases.iter().filter(|lease| !lease.phase.is_over() && !is_there(lease)) {
        *counts.entry((&lease.target, &lease.instance)).or_default() += 1;
    }
    match counts.into_iter().next() {
        Some(((target, url), live)) => {
            Err(OpenError::TargetGone { target: target.clone(), url: url.clone(), live })
        }
        None => Ok(()),
    }
}

fn book(leases: Vec<Lease>, used: Vec<([u8; 32], u32, UnixMillis)>, now: UnixMillis) -> Book {
    let mut book = Book::default();
    for lease in leases {
        let due = life::due(&lease).map(|due| due_after_start(&lease, due, now));
        book.load(lease, due);
    }
    book.load_uses(used);
    book
}

/// A lease that was made in the future shows that the clock was set back: it gets no more time than it was made with.
fn due_after_start(lease: &Lease, due: UnixMillis, now: UnixMillis) -> UnixMillis {
    // What a token waits for, GitLab or a clock that was wrong, may be over.
    if matches!(lease.phase, Phase::Revoking { .. }) {
        return now;
    }
    if lease.created > now {
        let given = due.since(lease.created);
        return due.min(now.plus(given));
    }
    due
}
