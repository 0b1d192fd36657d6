//! The cache of issuers' keys: one slot an issuer, at most one fetch an issuer at a time, nobody waits for another's.

use super::fetch::{self, FetchError, Fetched};
use super::newcomers::Newcomers;
use super::state::{State, Verdict};
use crate::environment::{Clock, UnixMillis};
use crate::identity::{Issuer, KeySource};
use crate::issuance::IssuerKeys;
use crate::outbound::ClientPool;
use crate::refusal::{Reason, Refusal};
use crate::token::KeySet;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// How many issuers are remembered. Patterns admit any number of them; those without keys go first, then those that
/// were not asked for the longest.
const MAX_ISSUERS: usize = 1024;

/// The keys of issuers, fetched when first needed and kept fresh.
///
/// Asking for keys at hand takes two uncontended locks. A fetch runs as a task of its own: it goes on when the request
/// that began it is dropped, and everybody who needs its outcome waits for the same one.
pub struct JwksCache {
    inner: Arc<Inner>,
}

/// What the cache has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Fetches begun: discovery document and key set together.
    pub fetches: u64,
    /// Fetches that failed.
    pub failures: u64,
    /// Fetches begun for a `kid` that the keys at hand did not have.
    pub unknown_key_fetches: u64,
    /// Tokens with such a `kid`, or of an issuer that was never asked before, that got no fetch: the bucket was empty.
    pub unknown_key_fetches_denied: u64,
    /// Requests that were told to come back later.
    pub unavailable: u64,
}

/// What the cache knows of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIssuer {
    /// Its URL.
    pub url: String,
    /// When the keys at hand were fetched. `None`: there are none, or they are from a file.
    pub fetched_at: Option<UnixMillis>,
    /// How many fetches in a row have failed.
    pub failures: usize,
}

struct Inner {
    clock: Arc<dyn Clock>,
    clients: ClientPool,
    slots: RwLock<HashMap<String, Arc<Slot>>>,
    newcomers: Mutex<Newcomers>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    fetches: AtomicU64,
    failures: AtomicU64,
    unknown_key_fetches: AtomicU64,
    unknown_key_fetches_denied: AtomicU64,
    unavailable: AtomicU64,
}

/// One issuer.
struct Slot {
    url: String,
    source: Arc<KeySource>,
    keys: SlotKeys,
    last_used: AtomicU64,
}

enum SlotKeys {
    /// From a file. `None`: it could not be read as a key set, which was logged.
    Static(Option<Arc<KeySet>>),
    Discovered(Mutex<Discovered>),
}

struct Discovered {
    state: State,
    /// How many fetches were begun.
    begun: u64,
    flight: Option<Flight>,
}

/// A fetch under way. Its channel closes when it has ended, whatever its end was.
#[derive(Clone)]
struct Flight {
    number: u64,
    ended: watch::Receiver<()>,
}

/// What a request does next.
enum Next {
    Answer(Result<Arc<KeySet>, Refusal>),
    Wait(Flight),
}

impl JwksCache {
    /// An empty cache; no issuer is asked for anything yet.
    ///
    /// # Errors
    /// In words: the HTTP client cannot be built.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, String> {
        let clients = ClientPool::default();
        // Built now, so that the first token does not wait for the system's roots to be read.
        clients.clients(None)?;
        let (slots, newcomers, counts) = (RwLock::default(), Mutex::default(), Counts::default());
        Ok(Self { inner: Arc::new(Inner { clock, clients, slots, newcomers, counts }) })
    }

    /// Fetches an issuer's keys now, whatever is at hand, and waits for the outcome.
    ///
    /// # Errors
    /// What failed, for operators.
    pub async fn refresh(&self, issuer: &Issuer) -> Result<Arc<KeySet>, String> {
        let slot = self.inner.slot(issuer);
        let discovered = match &slot.keys {
            SlotKeys::Static(keys) => {
                return keys.clone().ok_or_else(|| "the configured key set cannot be used".to_owned());
            }
            SlotKeys::Discovered(discovered) => discovered,
        };
        let flight = self.inner.fly(&slot, &mut lock(discovered));
        flight.wait().await;
        let now = self.inner.clock.now();
        let mut discovered = lock(discovered);
        match discovered.state.last_error() {
            Some(error) => Err(error.to_string()),
            None => discovered.state.keys(now).ok_or_else(|| "the fetch did not end".to_owned()),
        }
    }

    /// Forgets an issuer's keys, its failures and its bucket. Returns whether it was known.
    pub fn purge(&self, issuer: &str) -> bool {
        self.inner.slots.write().unwrap_or_else(PoisonError::into_inner).remove(issuer).is_some()
    }

    /// What is known of each issuer that was asked for, and not forgotten since.
    pub fn known(&self) -> Vec<KnownIssuer> {
        let slots: Vec<_> =
            self.inner.slots.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        slots.iter().map(|slot| slot.known()).collect()
    }

    /// What the cache has done so far.
    pub fn counters(&self) -> Counters {
        let counts = &self.inner.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            fetches: read(&counts.fetches),
            failures: read(&counts.failures),
            unknown_key_fetches: read(&counts.unknown_key_fetches),
            unknown_key_fetches_denied: read(&counts.unknown_key_fetches_denied),
            unavailable: read(&counts.unavailable),
        }
    }
}

impl IssuerKeys for JwksCache {
    fn keys<'a>(
        &'a self,
        issuer: &'a Issuer,
        key_id: Option<&'a str>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<KeySet>, Refusal>> + Send + 'a>> {
        Box::pin(self.inner.keys(issuer, key_id))
    }
}

impl Inner {
    async fn keys(self: &Arc<Self>, issuer: &Issuer, key_id: Option<&str>) -> Result<Arc<KeySet>, Refusal> {
        let slot = self.slot(issuer);
        let discovered = match &slot.keys {
            SlotKeys::Static(Some(keys)) => return Ok(keys.clone()),
            SlotKeys::Static(None) => {
                return Err(
                    self.unavailable(Duration::from_secs(60), "Its configured key set cannot be used.")
                );
            }
            SlotKeys::Discovered(discovered) => discovered,
        };
        let begun_before = lock(discovered).begun;
        let mut waited = false;
        loop {
            let next = self.next(&slot, &mut lock(discovered), key_id, waited);
            match next {
                Next::Answer(answer) => return answer,
                Next::Wait(flight) => {
                    flight.wait().await;
                    waited |= flight.number > begun_before;
                }
            }
        }
    }

    /// One look at what is known. It ends after two waits at the latest: for a fetch that was under way when the
    /// request came, whose answer may be older than the token's key, and for one that began after it.
    fn next(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        discovered: &mut Discovered,
        key_id: Option<&str>,
        waited: bool,
    ) -> Next {
        let now = self.clock.now();
        match discovered.state.verdict(key_id, waited, now) {
            Verdict::Serve(keys) => Next::Answer(Ok(keys)),
            Verdict::ServeAndRefresh(keys) => {
                self.fly(slot, discovered);
                Next::Answer(Ok(keys))
            }
            Verdict::Fetch => match self.admit(slot, discovered, now) {
                Ok(()) => Next::Wait(self.fly(slot, discovered)),
                Err(wait) => Next::Answer(Err(self.limited(wait))),
            },
            Verdict::FetchForUnknownKey => {
                if let Some(flight) = discovered.flight_under_way() {
                    return Next::Wait(flight);
                }
                match discovered.state.take_refetch(now) {
                    Ok(()) => {
                        count(&self.counts.unknown_key_fetches);
                        Next::Wait(self.fly(slot, discovered))
                    }
                    Err(wait) => Next::Answer(Err(self.limited(wait))),
                }
            }
            Verdict::Unavailable(wait, why) => Next::Answer(Err(self.unavailable(wait, why))),
        }
    }

    /// Whether a fetch may begin, or how long to wait: issuers without keys share the bucket of their key source.
    fn admit(&self, slot: &Slot, discovered: &Discovered, now: UnixMillis) -> Result<(), Duration> {
        if discovered.state.has_keys() || discovered.flight_under_way().is_some() {
            return Ok(());
        }
        lock(&self.newcomers).take(&slot.source, now)
    }

    /// The fetch under way, or a new one.
    fn fly(self: &Arc<Self>, slot: &Arc<Slot>, discovered: &mut Discovered) -> Flight {
        if let Some(flight) = discovered.flight_under_way() {
            return flight;
        }
        count(&self.counts.fetches);
        let (under_way, ended) = watch::channel(());
        discovered.begun += 1;
        let flight = Flight { number: discovered.begun, ended };
        discovered.flight = Some(flight.clone());
        let (inner, slot) = (self.clone(), slot.clone());
        tokio::spawn(async move {
            let fetched = inner.fetch(&slot).await;
            inner.land(&slot, fetched);
            drop(under_way);
        });
        flight
    }

    async fn fetch(self: &Arc<Self>, slot: &Slot) -> Result<Fetched, FetchError> {
        let (inner, source) = (self.clone(), slot.source.clone());
        let clients = tokio::task::spawn_blocking(move || inner.clients.clients(ca_certificate(&source)));
        let clients = match clients.await {
            Ok(clients) => clients.map_err(FetchError::client)?,
            Err(error) => return Err(FetchError::client(error.to_string())),
        };
        fetch::fetch(&clients, &slot.url).await
    }

    /// Keeps what a fetch brought, and says so to the operator.
    fn land(&self, slot: &Slot, fetched: Result<Fetched, FetchError>) {
        let SlotKeys::Discovered(discovered) = &slot.keys else { return };
        let error = fetched.as_ref().err().cloned();
        let failures = {
            let mut discovered = lock(discovered);
            discovered.flight = None;
            discovered.state.record(fetched, self.clock.now())
        };
        match error {
            Some(error) => {
                count(&self.counts.failures);
                tracing::warn!(issuer = slot.url, %error, failures, "cannot fetch the issuer's keys");
            }
            None if failures > 0 => tracing::info!(issuer = slot.url, failures, "the issuer answers again"),
            None => tracing::debug!(issuer = slot.url, "fetched the issuer's keys"),
        }
    }

    fn slot(&self, issuer: &Issuer) -> Arc<Slot> {
        let now = self.clock.now();
        let known = {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            slots.get(&issuer.url).filter(|slot| slot.has_source(&issuer.key_source)).cloned()
        };
        if let Some(slot) = known {
            slot.last_used.store(now.0, Ordering::Relaxed);
            return slot;
        }
        let new = Arc::new(Slot::new(issuer, now));
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        match slots.get(&issuer.url) {
            // Somebody was faster.
            Some(slot) if slot.has_source(&issuer.key_source) => return slot.clone(),
            Some(_) => {}
            None if slots.len() >= MAX_ISSUERS => evict(&mut slots),
            None => {}
        }
        slots.insert(issuer.url.clone(), new.clone());
        new
    }

    fn unavailable(&self, wait: Duration, why: &'static str) -> Refusal {
        count(&self.counts.unavailable);
        Refusal::new(Reason::IssuerUnavailable).retry_after(wait).because(why)
    }

    /// Neither the caller's fault, who may have a token by a key that is seconds old, nor an outage, which forgeries must
    /// not look like.
    fn limited(&self, wait: Duration) -> Refusal {
        count(&self.counts.unknown_key_fetches_denied);
        Refusal::new(Reason::KeyFetchLimited).retry_after(wait)
    }
}

impl Slot {
    fn new(issuer: &Issuer, now: UnixMillis) -> Self {
        let keys = match &*issuer.key_source {
            KeySource::Static(json) => {
                let keys = KeySet::parse(json).inspect_err(
                    |error| tracing::error!(issuer = issuer.url, %error, "cannot use the configured key set"),
                );
                SlotKeys::Static(keys.ok().map(Arc::new))
            }
            KeySource::Discovery { outage_grace, .. } => {
                let state = State::new(*outage_grace, now);
                SlotKeys::Discovered(Mutex::new(Discovered { state, begun: 0, flight: None }))
            }
        };
        let (url, source) = (issuer.url.clone(), issuer.key_source.clone());
        Self { url, source, keys, last_used: AtomicU64::new(now.0) }
    }

    /// Whether its keys come from there: a reloaded configuration may have changed it.
    fn has_source(&self, source: &Arc<KeySource>) -> bool {
        Arc::ptr_eq(&self.source, source)
            || match (&*self.source, &**source) {
                (KeySource::Static(one), KeySource::Static(other)) => one == other,
                (
                    KeySource::Discovery { ca_certificate, outage_grace },
                    KeySource::Discovery { ca_certificate: other_certificate, outage_grace: other_grace },
                ) => ca_certificate == other_certificate && outage_grace == other_grace,
                _ => false,
            }
    }

    fn known(&self) -> KnownIssuer {
        let (fetched_at, failures) = match &self.keys {
            SlotKeys::Static(_) => (None, 0),
            SlotKeys::Discovered(discovered) => {
                let discovered = lock(discovered);
                (discovered.state.fetched_at(), discovered.state.failures())
            }
        };
        KnownIssuer { url: self.url.clone(), fetched_at, failures }
    }

    fn has_keys(&self) -> bool {
        match &self.keys {
            SlotKeys::Static(keys) => keys.is_some(),
            SlotKeys::Discovered(discovered) => lock(discovered).state.has_keys(),
        }
    }
}

impl Discovered {
    fn flight_under_way(&self) -> Option<Flight> {
        // A task that panicked or was cancelled leaves its flight behind, with the channel closed.
        self.flight.clone().filter(|flight| flight.ended.has_changed().is_ok())
    }
}

impl Flight {
    async fn wait(&self) {
        // Nothing is ever sent: the wait ends when the sender is dropped, with the task.
        let _closed = self.ended.clone().changed().await;
    }
}

/// The certificates that are trusted beside the system's roots.
fn ca_certificate(source: &KeySource) -> Option<&[u8]> {
    match source {
        KeySource::Discovery { ca_certificate, .. } => ca_certificate.as_deref(),
        KeySource::Static(_) => None,
    }
}

fn evict(slots: &mut HashMap<String, Arc<Slot>>) {
    let least = slots.values().min_by_key(|slot| (slot.has_keys(), slot.last_used.load(Ordering::Relaxed)));
    if let Some(url) = least.map(|slot| slot.url.clone()) {
        slots.remove(&url);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> UnixMillis {
            UnixMillis::from_secs(1_800_000_000)
        }
    }

    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn issuer(name: &str, json: &str) -> Issuer {
        let key_source = Arc::new(KeySource::Static(json.as_bytes().to_vec()));
        Issuer { url: format!("https://{name}.example"), entries: Arc::new([]), key_source }
    }

    #[test]
    fn the_number_of_issuers_is_bounded_and_those_without_keys_go_first() {
        let cache = JwksCache::new(Arc::new(Noon)).expect("an HTTP client");
        let known = |url: &str| cache.inner.slots.read().expect("no panic").contains_key(url);
        let good = issuer("good", KEYS);
        cache.inner.slot(&good);
        for n in 0..2 * MAX_ISSUERS {
            cache.inner.slot(&issuer(&format!("bad{n}"), "{}"));
        }
        assert_eq!(cache.inner.slots.read().expect("no panic").len(), MAX_ISSUERS);
        assert!(known(&good.url));
        for n in 0..2 * MAX_ISSUERS {
            cache.inner.slot(&issuer(&format!("good{n}"), KEYS)).last_used.store(u64::MAX, Ordering::Relaxed);
        }
        assert_eq!(cache.inner.slots.read().expect("no panic").len(), MAX_ISSUERS);
        assert!(!known(&good.url), "it was not asked for the longest");
    }
}
