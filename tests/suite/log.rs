//! The log under load and single faults: groups, refusals, health, and certificates on it. What survives, and what starts, is in
//! [`crate::durability`].

use crate::durability::items::*;
use crate::support::TestClock;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use countersign::environment::UnixMillis;
use countersign::log::ct::{CtLogSettings, OpenError};
use countersign::log::ports::{HeadRecord, LogSigner, Recorded, StoreError, TileStore};
use countersign::log::{Candidate, CtLog, Lifecycle as _, Log, QUEUE, StartError, Stores};
use countersign::refusal::Reason;
use countersign::store::memory::{Fault, MemoryHeadRecord, MemoryStore, MemoryTileStore};
use countersign::transparency::checkpoint::Checkpoint;
use countersign::transparency::precertificate::{LogEntry, LoggedCertificate};
use countersign::transparency::sct::ReceivedSct;
use countersign::transparency::{Entry, Hash, Place, merkle, sha256};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

// --- groups

#[test]
fn entries_at_once_get_consecutive_places_in_few_groups_and_are_all_stored() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.head.close_gate();
    let helper = {
        let log = log.clone();
        std::thread::spawn(move || enter_many(&log, 1000))
    };
    store.head.wait_for_append();
    store.head.open_gate();
    let mut places = helper.join().unwrap();
    places.sort_by_key(|place| place.index);
    assert!(places.iter().zip(0..).all(|(place, index)| place.index == index));
    assert_eq!(places.len(), 1000);
    assert_eq!(store.head.stored().unwrap().head.size, 1000);
    audit(&log, &places);
    assert_eq!(log.health(), Ok(()));
}

#[test]
fn nothing_is_answered_or_visible_before_it_is_durable() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.head.close_gate();
    let mut entering = Box::pin(log.enter(Item(1)));
    assert!(poll(&mut entering).is_pending());
    store.head.wait_for_append();
    assert!(poll(&mut entering).is_pending());
    assert_eq!((size(&log), store.head.stored().unwrap().head.size), (0, 0));
    store.head.open_gate();
    assert_eq!(wait(entering).unwrap().index, 0);
    assert_eq!((size(&log), store.head.stored().unwrap().head.size), (1, 1));
    assert_eq!(
        store.record.read().unwrap().unwrap().size,
        1,
        "the second record is written before the answer"
    );
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_again_later() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.head.close_gate();
    let mut first = Box::pin(log.enter(Item(0)));
    assert!(poll(&mut first).is_pending());
    store.head.wait_for_append();
    let mut queued: Vec<_> = (0..QUEUE).map(|_| Box::pin(log.enter(Item(1)))).collect();
    assert!(queued.iter_mut().all(|entering| poll(entering).is_pending()));
    let Poll::Ready(Err(refusal)) = poll(&mut Box::pin(log.enter(Item(2)))) else {
        panic!("the queue has no end")
    };
    assert_eq!((refusal.reason(), refusal.retry_after_seconds()), (Reason::Overloaded, Some(1)));

    // Callers that went away before they were taken are passed over.
    queued.truncate(100);
    store.head.open_gate();
    let last = queued.into_iter().map(|entering| wait(entering).unwrap()).next_back();
    assert_eq!(last.unwrap().index, 100);
    assert_eq!(wait(first).unwrap().index, 0);
    assert_eq!(enter(&log).unwrap().index, 101);
}

#[test]
fn timestamps_never_go_back_while_the_clock_does() {
    let store = MemoryStore::default();
    let clock = TestClock::at(UnixMillis(NOW));
    let log: Log<Item> = Log::open(&identity(), stores(&store), clock.clone(), clock.clone()).unwrap();
    assert_eq!(enter(&log).unwrap().timestamp, UnixMillis(NOW));
    clock.set(UnixMillis(NOW - 10_000));
    assert_eq!(enter(&log).unwrap().timestamp, UnixMillis(NOW));
    for behind in [10_001, 3_600_000] {
        clock.set(UnixMillis(NOW - behind));
        assert_eq!(
            enter(&log).unwrap_err().reason(),
            Reason::LogUnavailable,
            "nobody takes an SCT of the future"
        );
    }
    clock.set(UnixMillis(NOW + 5));
    assert_eq!(enter(&log).unwrap().timestamp, UnixMillis(NOW + 5));
    audit(&log, &[]);
}

#[test]
fn a_clock_that_leaps_ahead_dates_nothing() {
    let (store, clock, stopwatch) =
        (MemoryStore::default(), TestClock::at(UnixMillis(NOW)), TestClock::at(UnixMillis(0)));
    let log: Log<Item> = Log::open(&identity(), stores(&store), clock.clone(), stopwatch.clone()).unwrap();
    let day = 86_400_000;
    clock.set(UnixMillis(NOW + 400 * day));
    assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable);
    assert!(log.health().unwrap_err().contains("went ahead at once"), "operators are told why");
    clock.set(UnixMillis(NOW + 1));
    assert_eq!(enter(&log).unwrap().timestamp, UnixMillis(NOW + 1), "the log is as good as before");
    assert_eq!(log.health(), Ok(()));
    clock.set(UnixMillis(NOW + day));
    stopwatch.set(UnixMillis(day));
    assert_eq!(enter(&log).unwrap().timestamp, UnixMillis(NOW + day), "a day that passed");
    audit(&log, &[]);
}

#[test]
fn a_close_answers_what_waits_and_then_refuses() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.head.close_gate();
    let mut waiting: Vec<_> = (0..300).map(|number| Box::pin(log.enter(Item(number)))).collect();
    assert!(waiting.iter_mut().all(|entering| poll(entering).is_pending()));
    let closing = {
        let log = log.clone();
        std::thread::spawn(move || log.close())
    };
    store.head.open_gate();
    closing.join().unwrap();
    assert!(waiting.into_iter().all(|entering| wait(entering).is_ok()));
    assert!(store.tiles.paths().iter().any(|path| path == "tile/data/000"), "what is complete is sealed");
    assert_eq!(enter(&log).unwrap_err().reason(), Reason::ShuttingDown);
    log.close();
    survives(&store, &[]);
}

// --- faults

#[test]
fn a_write_that_did_not_happen_is_refused_and_the_log_goes_on() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    let mut answered = enter_many(&log, 300);
    store.head.fail([Some(Fault::Refused), Some(Fault::Refused)]);
    for _ in 0..2 {
        assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable);
    }
    assert!(log.health().unwrap_err().contains("no space left"), "health says why");
    answered.push(enter(&log).unwrap());
    assert_eq!(answered.last().unwrap().index, 300);
    assert_eq!(log.health(), Ok(()));
    audit(&log, &answered);
    survives(&store, &answered);
}

#[test]
fn health_recovers_without_traffic() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.head.fail([Some(Fault::Refused)]);
    enter(&log).unwrap_err();
    // Asking makes the log try; a close waits for that try.
    log.health().unwrap_err();
    log.close();
    assert_eq!(log.health(), Ok(()));
    assert_eq!(size(&log), 0);
    survives(&store, &[]);
}

#[test]
fn health_sees_a_full_disk_before_any_caller_meets_it() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    enter(&log).unwrap();
    let appended = store.head.stored();
    store.head.set_full(true);
    while log.health().is_ok() {
        std::thread::yield_now();
    }
    assert!(log.health().unwrap_err().contains("cannot write entries"));
    assert!(store.head.stored() == appended, "nothing is written to find out");
    store.head.set_full(false);
    while log.health().is_err() {
        std::thread::yield_now();
    }
    enter(&log).unwrap();
}

#[test]
fn health_sees_that_tiles_cannot_be_written_before_one_is_complete() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    enter(&log).unwrap();
    store.tiles.set_full(true);
    while log.health().is_ok() {
        std::thread::yield_now();
    }
    assert!(log.health().unwrap_err().contains("cannot write tiles"));
    enter(&log).unwrap();
    assert!(store.tiles.paths().is_empty(), "nothing is written to find out");
    store.tiles.set_full(false);
    while log.health().is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn health_says_that_the_clock_was_set_back() {
    let (store, clock) = (MemoryStore::default(), TestClock::at(UnixMillis(NOW)));
    let log: Arc<Log<Item>> =
        Arc::new(Log::open(&identity(), stores(&store), clock.clone(), clock.clone()).unwrap());
    enter(&log).unwrap();
    for (now, well) in [(NOW - 10_000, true), (NOW - 10_001, false), (NOW - 3_600_000, false), (NOW, true)] {
        clock.set(UnixMillis(now));
        assert_eq!(log.health().is_ok(), well, "{now}: {:?}", log.health());
    }
}

#[test]
fn after_an_unknown_write_the_log_stops_and_recovers_at_the_next_start() {
    for (fault, kept) in [(Fault::Kept, 1), (Fault::Lost, 0)] {
        let store = MemoryStore::default();
        let log = open(&store).unwrap();
        let answered = enter_many(&log, 300);
        store.head.fail([Some(fault)]);
        assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable);
        assert!(wait(log.stopped()).contains("the sync failed"));
        for _ in 0..3 {
            assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable, "never tried again");
        }
        log.health().unwrap_err();
        assert_eq!(size(&log), 300, "nothing unanswered became visible");
        assert_eq!(store.head.stored().unwrap().head.size, 300 + kept);
        drop(log);
        assert_eq!(survives(&store, &answered), 300 + kept);
    }
}

#[test]
fn when_tiles_cannot_be_written_the_log_refuses_before_memory_grows_and_recovers() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.tiles.fail(std::iter::repeat_n(Some(Fault::Refused), 1_000_000));
    let answered = enter_many(&log, 17_000);
    assert!(answered.len() <= 64 * 256, "{}", answered.len());
    assert_eq!(
        enter(&log).err().map(|refusal| refusal.reason()),
        (answered.len() == 64 * 256).then_some(Reason::LogUnavailable)
    );
    assert!(log.health().unwrap_err().contains("tiles"));
    let mut crashed = store.crash();
    crashed.tiles.heal();
    survives(&crashed, &answered);

    store.tiles.heal();
    log.close();
    crashed = store.crash();
    assert_eq!(
        crashed.tiles.paths().iter().filter(|path| path.starts_with("tile/data/")).count(),
        answered.len() / 256
    );
    survives(&crashed, &answered);
}

#[test]
fn large_entries_that_cannot_be_sealed_are_refused_by_their_size() {
    /// Of 64 KiB.
    struct Large;

    impl Candidate for Large {
        type Answer = Place;

        fn at(self, place: Place) -> (Entry, Place) {
            let mut bytes = vec![0; 64 << 10];
            bytes[..8].copy_from_slice(&place.index.to_be_bytes());
            (Entry { leaf_hash: merkle::leaf_hash(&bytes), bytes: bytes.into() }, place)
        }

        fn leaf_hash(bytes: &[u8]) -> Option<Hash> {
            Some(merkle::leaf_hash(bytes))
        }
    }

    let store = MemoryStore::default();
    let clock = TestClock::at(UnixMillis(NOW));
    let log: Log<Large> = Log::open(&identity(), stores(&store), clock.clone(), clock).unwrap();
    store.tiles.fail(std::iter::repeat_n(Some(Fault::Refused), 1_000_000));
    let answered = (0..500).take_while(|_| wait(log.enter(Large)).is_ok()).count();
    // 24 MiB, the group that goes over it, and no less than a tile.
    assert!((384..=386).contains(&answered), "{answered}");
    assert_eq!(log.view().read().unwrap().unsealed_octets, answered << 16);

    store.tiles.heal();
    while log.health().is_err() {
        std::thread::yield_now();
    }
    assert_eq!(wait(log.enter(Large)).unwrap().index, answered as u64);
    log.close();
    let view = log.view().read().unwrap();
    assert_eq!((view.unsealed_start, view.unsealed_octets), (256, (answered + 1 - 256) << 16));
}

#[test]
fn nobody_is_told_of_what_the_second_record_does_not_have() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    enter(&log).unwrap();
    store.record.fail([Some(Fault::Refused); 3]);
    for _ in 0..2 {
        assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable);
        assert_eq!((store.record.read().unwrap().unwrap().size, size(&log)), (1, 1));
        assert_eq!(store.head.stored().unwrap().head.size, 2, "it stands in the log, and no more is added");
    }
    // The first to ask makes it try again, and it goes on.
    while log.health().is_err() {
        std::thread::yield_now();
    }
    assert_eq!((store.record.read().unwrap().unwrap().size, size(&log)), (2, 2));
    assert_eq!(enter(&log).unwrap().index, 2);
    assert_eq!(survives(&store, &[]), 3);
}

/// A record and a tile store that wait for as long as a lock is held.
struct Hanging<S>(S, Arc<Mutex<()>>);

impl HeadRecord for Hanging<MemoryHeadRecord> {
    fn read(&self) -> Result<Option<Recorded>, StoreError> {
        self.0.read()
    }

    fn write(&mut self, record: &Recorded) -> Result<(), StoreError> {
        drop(self.1.lock());
        self.0.write(record)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }
}

impl TileStore for Hanging<MemoryTileStore> {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        drop(self.1.lock());
        self.0.put(path, bytes)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(path)
    }

    fn any(&self) -> Result<Option<String>, StoreError> {
        self.0.any()
    }
}

#[test]
fn a_record_or_a_tile_that_is_never_written_is_noticed_and_nobody_waits_for_it() {
    for tiles in [false, true] {
        let (store, clock) = (MemoryStore::default(), TestClock::at(UnixMillis(NOW)));
        let (record, tile) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let hanging = Stores {
            record: Box::new(Hanging(store.record.clone(), record.clone())),
            tiles: Arc::new(Hanging(store.tiles.clone(), tile.clone())),
            ..stores(&store)
        };
        let log: Arc<Log<Item>> =
            Arc::new(Log::open(&identity(), hanging, clock.clone(), clock.clone()).unwrap());
        assert_eq!(enter_many(&log, 255).len(), 255);
        let held = if tiles { tile.lock() } else { record.lock() };
        let mut waiting = Box::pin(log.enter(Item(1)));
        if tiles {
            // It is answered: tiles are written beside.
            assert_eq!(wait(waiting).unwrap().index, 255);
            waiting = Box::pin(log.enter(Item(2)));
        } else {
            assert!(poll(&mut waiting).is_pending());
        }
        // The thread may not have begun yet.
        while log.health().is_ok() {
            log.watch();
            std::thread::yield_now();
        }
        assert!(log.health().unwrap_err().contains("waits for the disk"));
        assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable, "refused at once");
        (0..60).for_each(|_| log.watch());
        assert!(log.health().unwrap_err().contains("stopped"));
        if !tiles {
            let refused = wait(waiting).unwrap_err();
            assert_eq!(refused.reason(), Reason::LogUnavailable, "who waited is told");
        }
        // Ends without waiting for the disk.
        log.close();
        drop(held);
    }
}

#[test]
fn a_store_that_does_not_answer_is_noticed() {
    let (store, clock) = (MemoryStore::default(), TestClock::at(UnixMillis(NOW)));
    let log: Log<Item> = Log::open(&identity(), stores(&store), clock.clone(), clock.clone()).unwrap();
    store.head.close_gate();
    let mut entering = Box::pin(log.enter(Item(1)));
    assert!(poll(&mut entering).is_pending());
    store.head.wait_for_append();
    // The clock may be set, and the machine may sleep, as they like: what counts is how often it was looked.
    log.watch();
    clock.set(UnixMillis(NOW + 3_000_000));
    (0..9).for_each(|_| log.watch());
    assert_eq!(log.health(), Ok(()));
    log.watch();
    assert!(log.health().unwrap_err().contains("waits for the disk"));
    (0..49).for_each(|_| log.watch());
    assert!(log.health().unwrap_err().contains("waits for the disk"));
    // Nobody asks for health, and it is noticed all the same.
    log.watch();
    assert!(wait(log.stopped()).contains("has not answered"));
    assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable);
    assert_eq!(wait(entering).unwrap_err().reason(), Reason::LogUnavailable, "who waited is told");
    log.close();
    // It does answer after all: the entry stands in the log, and nobody was promised it.
    store.head.open_gate();
    while store.head.stored().unwrap().head.size == 0 {
        std::thread::yield_now();
    }
    survives(&store, &[]);
}

#[test]
fn who_waits_for_a_disk_is_told_before_the_server_ends() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.head.close_gate();
    let mut entering = Box::pin(log.enter(Item(1)));
    assert!(poll(&mut entering).is_pending());
    store.head.wait_for_append();
    log.end_soon();
    (0..7).for_each(|_| log.watch());
    assert_eq!(wait(entering).unwrap_err().reason(), Reason::LogUnavailable);
    log.close();
    store.head.open_gate();
}

#[test]
fn a_close_does_not_wait_for_a_disk_for_ever() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    store.head.close_gate();
    let mut waiting: Vec<_> = (0..2 * QUEUE).map(|_| Box::pin(log.enter(Item(1)))).collect();
    waiting.iter_mut().for_each(|entering| drop(poll(entering)));
    store.head.wait_for_append();
    log.close();
    store.head.open_gate();
}

#[test]
fn a_panic_in_the_sequencer_stops_the_log() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    let answered = enter_many(&log, 10);
    assert_eq!(wait(log.enter(Item(u64::MAX))).unwrap_err().reason(), Reason::LogUnavailable);
    assert!(wait(log.stopped()).contains("panicked"));
    assert_eq!(enter(&log).unwrap_err().reason(), Reason::LogUnavailable);
    survives(&store, &answered);
}

// --- certificates

struct TestKey(EcdsaKeyPair, Vec<u8>);

impl TestKey {
    fn generate() -> Arc<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref().to_vec();
        Arc::new(Self(key, public))
    }
}

impl LogSigner for TestKey {
    fn public_key(&self) -> &[u8] {
        &self.1
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        #[expect(clippy::disallowed_methods, reason = "a nonce for a test's signature")]
        let random = aws_lc_rs::rand::SystemRandom::new();
        Ok(self.0.sign(&random, message).unwrap().as_ref().to_vec())
    }
}

fn open_ct(store: &MemoryStore, key: &Arc<TestKey>, clock: &Arc<TestClock>) -> Result<CtLog, OpenError> {
    let issuers = vec![b"intermediate".to_vec(), b"root".to_vec()];
    let settings = CtLogSettings { origin: "ca.example.com/ct".to_owned(), issuers };
    CtLog::open(settings, key.clone(), stores(store), clock.clone(), clock.clone())
}

fn precertificate(number: u32) -> LogEntry {
    let (tbs, precertificate) = (format!("tbs {number}"), format!("precertificate {number}"));
    let logged = LoggedCertificate::Precertificate {
        issuer_key_hash: &[5; 32],
        tbs: tbs.as_bytes(),
        precertificate: precertificate.as_bytes(),
    };
    LogEntry::new(logged, &[sha256(b"intermediate"), sha256(b"root")])
}

#[test]
fn an_sct_is_of_a_durable_entry_and_verifies() {
    let (store, key, clock) = (MemoryStore::default(), TestKey::generate(), TestClock::at(UnixMillis(NOW)));
    let log = open_ct(&store, &key, &clock).unwrap();
    for number in 0..3 {
        let entry = precertificate(number);
        let sct = wait(log.enter(entry.clone())).unwrap();
        assert_eq!(sct.place, Place { index: u64::from(number), timestamp: UnixMillis(NOW) });
        let received = ReceivedSct::parse(&sct.to_bytes()).unwrap();
        received.verify_precertificate(&key.1, &[5; 32], format!("tbs {number}").as_bytes()).unwrap();
        let stored = store.head.stored().unwrap();
        assert_eq!(stored.unsealed.last(), Some(&entry.at(sct.place).0));
    }
    store.head.fail([Some(Fault::Lost)]);
    assert_eq!(wait(log.enter(precertificate(3))).unwrap_err().reason(), Reason::LogUnavailable, "no SCT");
}

#[test]
fn a_store_lost_before_the_first_tile_is_no_new_log() {
    let (store, key) = (MemoryStore::default(), TestKey::generate());
    let clock = TestClock::at(UnixMillis(NOW));
    let log = open_ct(&store, &key, &clock).unwrap();
    wait(log.enter(precertificate(0))).unwrap();
    log.close();
    let MemoryStore { tiles, .. } = store.crash();
    // Head and record are gone; of this log there are only the CA certificates.
    let lost = MemoryStore { tiles, ..MemoryStore::default() };
    let refused = open_ct(&lost, &key, &clock).err();
    assert!(
        matches!(&refused, Some(OpenError::Start(StartError::TilesWithoutStore { tile })) if tile.starts_with("issuer/")),
        "{refused:?}"
    );
    assert_eq!(lost.head.stored(), None);
}

#[test]
fn issuers_are_there_before_any_entry() {
    let (store, key, clock) = (MemoryStore::default(), TestKey::generate(), TestClock::at(UnixMillis(NOW)));
    let log = open_ct(&store, &key, &clock).unwrap();
    assert_eq!(log.issuer(&sha256(b"root")).unwrap().unwrap(), b"root");
    assert_eq!(log.issuer(&[1; 32]), Ok(None));
    assert_eq!(log.roots().collect::<Vec<_>>(), [b"root"]);
    assert_eq!(
        store.tiles.get(&format!("issuer/{}", hex::encode(sha256(b"root")))).unwrap().unwrap(),
        b"root"
    );
    drop(log);
    assert!(open_ct(&store, &key, &clock).is_ok());
    let other_key = open_ct(&store, &TestKey::generate(), &clock);
    assert!(matches!(other_key, Err(OpenError::Start(StartError::WrongKey { .. }))));
}

#[test]
fn tree_heads_are_signed_once_for_each_head_and_their_timestamps_strictly_increase() {
    let (store, key, clock) = (MemoryStore::default(), TestKey::generate(), TestClock::at(UnixMillis(NOW)));
    let log = open_ct(&store, &key, &clock).unwrap();
    let first = log.sth().unwrap();
    first.verify(&key.1).unwrap();
    assert_eq!((first.head.size, first.head.timestamp), (0, UnixMillis(NOW)));
    clock.set(UnixMillis(NOW + 59_999));
    assert_eq!(log.sth().unwrap(), first, "served from memory");
    let checkpoint = Checkpoint::verify(log.checkpoint().unwrap().as_bytes(), log.origin(), &key.1).unwrap();
    assert_eq!(*checkpoint.signed_head(), first, "checkpoint and STH are one");
    clock.set(UnixMillis(NOW + 60_000));
    let second = log.sth().unwrap();
    assert_eq!((second.head.size, second.head.timestamp), (0, UnixMillis(NOW + 60_000)));

    // Heads of one millisecond get timestamps of their own, and so do heads after a clock was set back: what was
    // answered is covered by what is asked for afterwards.
    let mut last = second;
    for number in 0..1_100 {
        if number == 1_000 {
            clock.set(UnixMillis(NOW + 51_000));
        }
        wait(log.enter(precertificate(number))).unwrap();
        let next = log.sth().unwrap();
        assert_eq!(next.head.timestamp.0, last.head.timestamp.0 + 1);
        assert_eq!(next.head.size, u64::from(number) + 1);
        next.verify(&key.1).unwrap();
        last = next;
    }
    assert_eq!(log.sth().unwrap(), last, "a clock that stepped back signs nothing new for an old head");
}

// --- on disk

#[test]
fn a_log_on_disk_survives_restarts_and_its_directory_has_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let log = open_in(&path).unwrap();
    let mut answered = enter_many(&log, 600);
    let error = stores_in(&path).err().expect("the second process is refused").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    audit(&log, &answered);
    drop(log);
    for _ in 0..3 {
        let log = open_in(&path).unwrap();
        audit(&log, &answered);
        answered.extend(enter_many(&log, 200));
        audit(&log, &answered);
        log.close();
    }
    assert!(path.join("log/tile/data/003").is_file());
}

fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
