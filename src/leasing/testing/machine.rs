//! A machine whose clock is the runtime's paused one, and which crashes at a chosen step.

use super::gitlab::{Client, World};
use crate::broker::{Grant, Lease, LeaseId, Roles, TokenRequest};
use crate::environment::{Clock, Random, Stopwatch, UnixMillis};
use crate::identity::Issuer;
use crate::issuance::{Answer, IssuerKeys, Rules};
use crate::leasing::attempt::{Attempt, Event};
use crate::leasing::memory::MemoryLeases;
use crate::leasing::minting::Handed;
use crate::leasing::ports::{Change, KeepError, Kept, LeaseStore, Observer};
use crate::leasing::{Broker, OpenError, Parts, Rotation, SealKey, Target};
use crate::refusal::{Reason, Refusal};
use crate::token::KeySet;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// 2026-06-29T22:00:00Z: two hours before a midnight.
pub(super) const BEGIN: u64 = 1_782_691_200_000 + 22 * 3_600_000;

/// Clock and stopwatch of the runtime. The clock can be set; GitLab's own is never wrong.
#[derive(Clone)]
pub(in crate::leasing) struct Watch {
    began: Instant,
    set: Arc<AtomicI64>,
    /// Milliseconds in which the machine slept, and nothing else did.
    slept: Arc<AtomicU64>,
}

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "the runtime's clock is paused, and turned by the test")]
    pub(in crate::leasing) fn new() -> Self {
        Self { began: Instant::now(), set: Arc::default(), slept: Arc::default() }
    }

    /// The time, whatever the machine's clock says.
    pub(in crate::leasing) fn true_time(&self) -> UnixMillis {
        UnixMillis(BEGIN + self.elapsed().as_millis() as u64)
    }

    /// The machine sleeps for so many seconds, and nobody works meanwhile.
    pub(in crate::leasing) fn sleep(&self, seconds: u64) {
        self.slept.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Sets the machine's clock wrong by so many milliseconds.
    pub(in crate::leasing) fn set_wrong(&self, by: i64) {
        self.set.store(by, Ordering::SeqCst);
    }
}

impl Clock for Watch {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.true_time().0.saturating_add_signed(self.set.load(Ordering::SeqCst)))
    }
}

impl Stopwatch for Watch {
    fn elapsed(&self) -> Duration {
        self.began.elapsed() + Duration::from_millis(self.slept.load(Ordering::SeqCst))
    }
}

/// Random bytes that are the same for the same seed.
pub(in crate::leasing) struct Seeded(AtomicU64);

impl Seeded {
    pub(in crate::leasing) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(in crate::leasing) fn next(&self) -> u64 {
        // SplitMix64.
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let next = self.next().to_be_bytes();
            part.copy_from_slice(&next[..part.len()]);
        }
    }
}

/// Burns down step by step; when it is at its end, the machine crashes.
#[derive(Clone)]
pub(in crate::leasing) struct Fuse(Arc<(AtomicI64, AtomicBool)>);

impl Fuse {
    pub(in crate::leasing) fn new(steps: i64) -> Self {
        Self(Arc::new((AtomicI64::new(steps), AtomicBool::new(false))))
    }

    /// One step; whether the machine is still there.
    fn burn(&self) -> bool {
        if self.0.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.0.1.store(true, Ordering::SeqCst);
        }
        !self.is_out()
    }

    /// So many steps from now on.
    pub(in crate::leasing) fn burn_after(&self, steps: i64) {
        self.0.0.store(steps, Ordering::SeqCst);
    }

    pub(in crate::leasing) fn blow(&self) {
        self.0.1.store(true, Ordering::SeqCst);
    }

    pub(in crate::leasing) fn is_out(&self) -> bool {
        self.0.1.load(Ordering::SeqCst)
    }

    /// One step of a call: after a crash it never ends.
    pub(in crate::leasing) async fn pass(&self) {
        if !self.burn() {
            pending::<()>().await;
        }
    }
}

/// A store whose machine may crash before or after a write.
pub(in crate::leasing) struct Mortal {
    store: MemoryLeases,
    fuse: Fuse,
}

impl LeaseStore for Mortal {
    fn load(&self) -> Result<Kept, KeepError> {
        self.store.load()
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), KeepError> {
        let gone = || Err(KeepError::Unknown("the machine has crashed".to_owned()));
        if !self.fuse.burn() {
            return gone();
        }
        let result = self.store.write(changes);
        if self.fuse.burn() { result } else { gone() }
    }

    fn check(&self) -> Result<(), KeepError> {
        self.store.check()
    }
}

/// What the observer was told.
#[derive(Default)]
pub(in crate::leasing) struct Told {
    pub(in crate::leasing) attempts: Mutex<Vec<Attempt>>,
    pub(in crate::leasing) events: Mutex<Vec<(&'static str, String)>>,
    pub(in crate::leasing) moves: Mutex<Vec<(LeaseId, &'static str)>>,
}

impl Observer for Told {
    fn exchanged(&self, attempt: &Attempt) {
        self.attempts.lock().unwrap().push(attempt.clone());
    }

    fn moved(&self, lease: &Lease) {
        self.moves.lock().unwrap().push((lease.id, lease.phase.code()));
    }

    fn revocation(&self, _: &Lease, _: &'static str, _: Duration) {}

    fn called(&self, _: &str, _: &'static str, _: u16, _: Duration) {}

    fn event(&self, event: Event<'_>) {
        let target = event.target().unwrap_or_default().to_owned();
        self.events.lock().unwrap().push((event.name(), target));
    }
}

struct NoKeys;

impl IssuerKeys for NoKeys {
    fn keys<'a>(&'a self, _: &'a Issuer, _: Option<&'a str>) -> Answer<'a, Result<Arc<KeySet>, Refusal>> {
        Box::pin(async { Err(Reason::IssuerUnavailable.into()) })
    }
}

/// A broker on a machine, and what it is made of.
pub(in crate::leasing) struct Machine {
    pub(in crate::leasing) broker: Arc<Broker>,
    pub(in crate::leasing) client: Arc<Client>,
    pub(in crate::leasing) world: World,
    pub(in crate::leasing) store: MemoryLeases,
    pub(in crate::leasing) told: Arc<Told>,
    pub(in crate::leasing) watch: Watch,
    pub(in crate::leasing) fuse: Fuse,
    seed: u64,
    rotation: Option<Rotation>,
}

/// Where the instance of [`Machine::new`] is.
pub(in crate::leasing) const HERE: &str = "https://gitlab.example.com";

impl Machine {
    /// A new one, that crashes after so many steps.
    pub(in crate::leasing) async fn crashing_after(steps: i64) -> Self {
        let watch = Watch::new();
        let world = World::new(&watch);
        Self::start(&watch, &world, MemoryLeases::default(), steps, 1, None).await.unwrap()
    }

    /// A new one, that does not.
    pub(in crate::leasing) async fn new() -> Self {
        Self::crashing_after(i64::MAX).await
    }

    /// A new one, whose GitLab allows so many calls at once.
    pub(in crate::leasing) async fn allowed(max_inflight: u32) -> Self {
        let watch = Watch::new();
        let world = World::new(&watch);
        world.allow(max_inflight);
        Self::start(&watch, &world, MemoryLeases::default(), i64::MAX, 1, None).await.unwrap()
    }

    /// With rotation of the main credential.
    pub(in crate::leasing) async fn rotating(
        rotation: Rotation,
        steps: i64,
        prepare: impl FnOnce(&World),
    ) -> Self {
        let watch = Watch::new();
        let world = World::new(&watch);
        prepare(&world);
        Self::start(&watch, &world, MemoryLeases::default(), steps, 1, Some(rotation)).await.unwrap()
    }

    pub(in crate::leasing) async fn start(
        watch: &Watch,
        world: &World,
        store: MemoryLeases,
        steps: i64,
        seed: u64,
        rotation: Option<Rotation>,
    ) -> Result<Self, OpenError> {
        let configured = (HERE, "c0", "glpat-main");
        Self::start_configured(watch, world, store, steps, seed, rotation, configured).await
    }

    async fn start_configured(
        watch: &Watch,
        world: &World,
        store: MemoryLeases,
        steps: i64,
        seed: u64,
        rotation: Option<Rotation>,
        (url, digest, text): (&str, &str, &str),
    ) -> Result<Self, OpenError> {
        let fuse = Fuse::new(steps);
        let client = Arc::new(Client::new(world, &fuse, text));
        let told = Arc::<Told>::default();
        let random = Arc::new(Seeded::new(seed));
        let target = Target {
            name: "default".to_owned(),
            url: url.to_owned(),
            gitlab: client.clone(),
            configured: digest.to_owned(),
            rotation,
            max_inflight: world.max_inflight(),
            sealing: SealKey::parse(&"1".repeat(64), random.clone()).map(|key| Arc::new(key) as _),
        };
        let parts = Parts {
            roles: Arc::new(Roles::default()),
            issuers: Arc::new(|| Arc::new(Rules::default())),
            keys: Arc::new(NoKeys),
            targets: vec![target],
            store: Box::new(Mortal { store: store.clone(), fuse: fuse.clone() }),
            keep: Duration::from_secs(30 * 24 * 3600),
            rate_per_project: 60,
            clock: Arc::new(watch.clone()),
            random,
            stopwatch: Arc::new(watch.clone()),
            observer: told.clone(),
        };
        let broker = Broker::open(parts).await?;
        let (watch, world) = (watch.clone(), world.clone());
        Ok(Self { broker, client, world, store, told, watch, fuse, seed, rotation })
    }

    /// Crashes, and starts anew with what the store has.
    pub(in crate::leasing) async fn restart(self) -> Self {
        self.restart_crashing_after(i64::MAX).await
    }

    pub(in crate::leasing) async fn restart_crashing_after(self, steps: i64) -> Self {
        let Self { watch, world, store, seed, rotation, .. } = &self;
        self.fuse.blow();
        let store = store.crash();
        Self::start(watch, world, store, steps, seed + 1, *rotation).await.unwrap()
    }

    /// Crashes, and starts anew with another main credential in the file.
    pub(in crate::leasing) async fn restart_configured(self, digest: &str, text: &str) -> Self {
        let world = self.world.clone();
        self.restart_at(&world, (HERE, digest, text)).await
    }

    /// Crashes, and starts anew with a target of the same name: the instance, its URL, the credential's digest and text.
    pub(in crate::leasing) async fn restart_at(self, world: &World, configured: (&str, &str, &str)) -> Self {
        let Self { watch, store, seed, rotation, .. } = &self;
        self.fuse.blow();
        let store = store.crash();
        Self::start_configured(watch, world, store, i64::MAX, seed + 1, *rotation, configured).await.unwrap()
    }

    /// Mints, as an exchange does once it has a grant.
    pub(in crate::leasing) async fn mint(&self, grant: Grant) -> Result<Handed, crate::broker::Refused> {
        let mut attempt = Attempt::of(&TokenRequest::default(), &Roles::default(), self.watch.now());
        attempt.note(&grant);
        self.broker.inner.make(grant, attempt).await
    }

    /// Waits until a token is revoked, or so many seconds have passed.
    pub(in crate::leasing) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// The phases of all leases.
    pub(in crate::leasing) fn phases(&self) -> Vec<&'static str> {
        self.broker
            .leases(&Default::default(), None, 1000)
            .leases
            .iter()
            .map(|lease| lease.phase.code())
            .collect()
    }

    /// How many problems there are about tokens that should be dead.
    pub(in crate::leasing) fn late(&self) -> usize {
        let problems = self.broker.problems();
        problems.iter().filter(|line| line.contains("should have been revoked")).count()
    }

    /// How many events of this name there were.
    pub(in crate::leasing) fn events(&self, name: &str) -> usize {
        self.told.events.lock().unwrap().iter().filter(|(event, _)| *event == name).count()
    }
}

/// Lets time pass until every lease is over, and says how it ended: no token lives, and the store knows it.
pub(in crate::leasing) async fn finish(machine: &Machine) {
    while_live(machine, || machine.pass(60)).await;
    // Whatever GitLab still had to do is done.
    machine.pass(700).await;
    all_is_over(machine);
}

/// The same where GitLab is not at work on anything: the machine sleeps most of the time, and the test takes a tenth of it.
pub(in crate::leasing) async fn finish_asleep(machine: &Machine) {
    while_live(machine, || {
        machine.watch.sleep(55);
        machine.pass(6)
    })
    .await;
    all_is_over(machine);
}

async fn while_live<F: Future<Output = ()>>(machine: &Machine, pass: impl Fn() -> F) {
    for _ in 0..400 {
        let all_over = machine.broker.inner.book().live().next().is_none();
        if all_over && machine.world.live().is_empty() && machine.broker.reading().unwritten == 0 {
            break;
        }
        pass().await;
    }
}

fn all_is_over(machine: &Machine) {
    assert_eq!(machine.world.live(), [] as [u64; 0], "tokens live on");
    let open: Vec<_> = machine.store.leases().into_iter().filter(|lease| !lease.phase.is_over()).collect();
    assert!(open.is_empty(), "the store has leases that are not over: {open:#?}");
}
