//! The steps of the log.

use crate::setting::{Setting, now, runtime};
use countersign::log::ct::CtLogSettings;
use countersign::log::ports::{Group, Head, HeadStore as _, Identity, LogSigner as _, TileStore as _};
use countersign::log::view::View;
use countersign::log::{CtLog, Stores};
use countersign::store::memory::MemoryStore;
use countersign::store::{DataDirectory, FileTileStore};
use countersign::transparency::checkpoint::TreeHead;
use countersign::transparency::merkle::RightEdge;
use countersign::transparency::precertificate::{LogEntry, LoggedCertificate};
use countersign::transparency::sct::Sct;
use countersign::transparency::tile::{TileKind, TilePath};
use countersign::transparency::{Entry, Hash, Place};
use divan::Bencher;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Entries of the log that is read: three levels of tiles.
const READ: u64 = 70_000;

/// A promise in shape, without a true signature.
pub fn sct() -> Sct {
    Sct { log_id: [7; 32], place: Place { index: 4711, timestamp: now() }, signature: vec![0x30; 71] }
}

fn candidate() -> LogEntry {
    LogEntry::from(&crate::precertificate(&Setting::make()))
}

fn directory() -> TempDir {
    TempDir::with_prefix_in("steps-", env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The entry's bytes and its leaf hash.
#[divan::bench]
fn f1_entry(bencher: Bencher) {
    let (candidate, place) = (candidate(), sct().place);
    bencher.with_inputs(|| candidate.clone()).bench_values(|candidate| candidate.at(place));
}

/// The SCT's signature and its encoding.
#[divan::bench]
fn f2_sct(bencher: Bencher) {
    let (setting, candidate, place) = (Setting::make(), candidate(), sct().place);
    let (_, unsigned) = candidate.at(place);
    bencher.bench(|| {
        let signature = setting.log_key.sign(&unsigned.input).unwrap();
        Sct { log_id: [7; 32], place, signature }.to_bytes()
    });
}

/// A group in the store, durable: the time of all of it by the clock, the disk's sync included.
#[divan::bench(args = [1, 8, 64], max_time = 3)]
fn f3_store_append(bencher: Bencher, entries: usize) {
    let (directory, candidate) = (directory(), candidate());
    let mut store = DataDirectory::open(directory.path()).unwrap().head;
    let mut edge = RightEdge::new();
    let mut head = head_of(&edge);
    store.create(&Identity { origin: "steps.example/ct".into(), log_id: [7; 32] }, &head).unwrap();
    bencher.bench_local(|| {
        let group: Vec<Entry> = (0..entries as u64)
            .map(|number| Place { index: head.size + number, timestamp: now() })
            .map(|place| candidate.clone().at(place).0)
            .collect();
        group.iter().for_each(|entry| edge.push(entry.leaf_hash));
        let expected = std::mem::replace(&mut head, head_of(&edge));
        let sealed = expected.size / 256 * 256;
        store.append(&expected, &Group { entries: group, head: head.clone(), sealed }).unwrap();
    });
}

fn head_of(edge: &RightEdge) -> Head {
    Head { size: edge.size(), root: edge.root(), timestamp: now(), right_edge: edge.hashes().to_vec() }
}

/// The log as requests meet it: so many at once, until all are answered with their SCTs.
#[divan::bench(args = [1, 64], max_time = 3)]
fn f4_log_enter(bencher: Bencher, entries: usize) {
    let (directory, setting, candidate) = (directory(), Setting::make(), candidate());
    let runtime = runtime();
    let log = open(Stores::from(DataDirectory::open(directory.path()).unwrap()), setting);
    bencher.bench_local(|| runtime.block_on(enter(&log, &candidate, entries)));
    log.close();
}

/// The group in memory: tree and view.
#[divan::bench]
fn f5_view_push_group_of_64(bencher: Bencher) {
    let (candidate, place) = (candidate(), sct().place);
    let entries: Vec<Entry> = (0..64).map(|_| candidate.clone().at(place).0).collect();
    bencher.with_inputs(|| (View::empty(), entries.clone())).bench_local_values(|(mut view, entries)| {
        let mut edge = RightEdge::new();
        entries.iter().for_each(|entry| edge.push(entry.leaf_hash));
        view.push_group(head_of(&edge), entries);
        view
    });
}

/// A data tile of 256 entries, durable; by the clock.
#[divan::bench(max_time = 3)]
fn g1_data_tile(bencher: Bencher) {
    let (directory, candidate) = (directory(), candidate());
    let tile = candidate.at(sct().place).0.bytes.repeat(256);
    put(bencher, &directory, TileKind::Data, &tile);
}

/// A tile of 256 hashes, durable; by the clock.
#[divan::bench(max_time = 3)]
fn g2_hash_tile(bencher: Bencher) {
    put(bencher, &directory(), TileKind::Hashes(0), &[0x5a; 8192]);
}

fn put(bencher: Bencher, directory: &TempDir, kind: TileKind, tile: &[u8]) {
    let store = FileTileStore::open(directory.path()).unwrap();
    let mut index = 0;
    bencher.bench_local(|| {
        store.put(&TilePath::full(kind, index).unwrap().to_string(), tile).unwrap();
        index += 1;
    });
}

/// A signed tree head, as a checkpoint.
#[divan::bench]
fn h1_checkpoint(bencher: Bencher) {
    let setting = Setting::make();
    let head = TreeHead { size: 4711, root: [5; 32], timestamp: now() };
    bencher.bench(|| setting.log_key.sign(&head.signature_input()).unwrap());
}

/// Inclusion of an entry in a log of 70,000, by its index.
#[divan::bench]
fn h2_inclusion_proof(bencher: Bencher) {
    let log = grown();
    let mut index = 0;
    bencher.bench_local(|| {
        index = (index + 7919) % READ;
        log.reader().inclusion_proof(index, READ).unwrap()
    });
}

/// The index of an entry, by its leaf hash.
#[divan::bench]
fn h3_index_of_leaf(bencher: Bencher) {
    let log = grown();
    let path = TilePath::full(TileKind::Hashes(0), 100).unwrap();
    let tile = log.reader().tile(&path).unwrap().unwrap();
    let leaf: Hash = tile[..32].try_into().unwrap();
    bencher.bench_local(|| log.reader().index_of_leaf(&leaf, READ).unwrap().unwrap());
}

/// A tile of hashes, read.
#[divan::bench]
fn h4_tile(bencher: Bencher) {
    let log = grown();
    let path = TilePath::full(TileKind::Hashes(0), 100).unwrap();
    bencher.bench_local(|| log.reader().tile(&path).unwrap().unwrap());
}

/// A log in memory.
fn grown() -> Arc<CtLog> {
    let MemoryStore { head, record, tiles } = MemoryStore::default();
    let stores = Stores {
        head: Box::new(head),
        record: Box::new(record),
        tiles: Arc::new(tiles),
        guard: Box::new(()),
    };
    let log = open(stores, Setting::make());
    let small = LoggedCertificate::Precertificate {
        issuer_key_hash: &[7; 32],
        tbs: &[0x5a; 100],
        precertificate: &[0x5a; 100],
    };
    let candidate = LogEntry::new(small, &[[7; 32]; 2]);
    let runtime = runtime();
    for _ in 0..READ / 1000 {
        runtime.block_on(enter(&log, &candidate, 1000));
    }
    log
}

fn open(stores: Stores, setting: Setting) -> Arc<CtLog> {
    let issuers = setting.chain.certificates().to_vec();
    let settings = CtLogSettings { origin: "steps.example/ct".into(), issuers };
    let (signer, machine) = (Arc::new(setting.log_key), setting.machine);
    Arc::new(CtLog::open(settings, signer, stores, machine.clock, machine.stopwatch).unwrap())
}

async fn enter(log: &Arc<CtLog>, candidate: &LogEntry, entries: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..entries {
        let (log, candidate) = (log.clone(), candidate.clone());
        tasks.spawn(async move { log.enter(candidate).await.unwrap() });
    }
    tasks.join_all().await;
}
