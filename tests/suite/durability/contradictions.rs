//! What only the store in memory can be made to hold: crashes at given sizes, and stores, records and tiles that contradict
//! each other or themselves. [`super::recovery`] has the cases of real directories.

use super::items::{NOW, closed_with, enter, enter_many, identity, open, open_as, refused, size, survives};
use countersign::environment::UnixMillis;
use countersign::log::ports::{HeadRecord, Identity, Recorded, Stored, TileStore};
use countersign::log::{Lifecycle as _, StartError};
use countersign::store::memory::{MemoryHeadStore, MemoryStore};
use countersign::transparency::Entry;

#[test]
fn a_crash_at_any_size_around_the_boundaries_of_tiles_loses_nothing() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    let mut answered = Vec::new();
    for goal in [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_279, 65_535, 65_536, 65_537, 65_792, 66_000] {
        answered.extend(enter_many(&log, goal - size(&log)));
        assert_eq!(survives(&store, &answered), goal);
    }
    log.close();
    assert_eq!(survives(&store, &answered), 66_000);
    assert!(store.tiles.paths().iter().any(|path| path == "tile/1/000"));
}

#[test]
fn a_store_ahead_of_its_second_record_goes_on() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    enter_many(&log, 5);
    let lagging = store.record.read().unwrap();
    let answered = enter_many(&log, 295);
    log.close();
    store.record.set(lagging);
    assert_eq!(survives(&store, &answered), 300);
}

#[test]
fn tiles_written_before_a_crash_are_sealed_again_byte_for_byte() {
    let (store, _) = closed_with(256);
    let stored = store.head.stored().unwrap();
    assert_eq!((stored.first, stored.unsealed.len()), (0, 256), "sealed, and not yet dropped");
    let before = store.crash();
    assert_eq!(survives(&store, &[]), 256);
    let again = store.crash();
    let log = open(&again).unwrap();
    // An append after the sealing drops them.
    while again.head.stored().unwrap().first == 0 {
        enter(&log).unwrap();
    }
    log.close();
    for path in before.tiles.paths() {
        assert_eq!(before.tiles.get(&path), again.tiles.get(&path), "{path}");
    }
}

#[test]
fn a_lost_store_is_no_new_log() {
    let (mut store, _) = closed_with(300);
    store.head = MemoryHeadStore::default();
    assert!(matches!(refused(&store), StartError::RecordWithoutStore { size: 300 }));
    store.record.set(None);
    assert!(matches!(refused(&store), StartError::TilesWithoutStore { tile } if tile == "tile/data/000"));
    store.tiles.tamper("tile/data/000", None);
    assert!(matches!(refused(&store), StartError::TilesWithoutStore { tile } if tile == "tile/0/000"));
}

#[test]
fn an_older_copy_of_the_store_does_not_start() {
    let store = MemoryStore::default();
    let log = open(&store).unwrap();
    enter_many(&log, 250);
    let older = store.head.stored();
    enter_many(&log, 5);
    log.close();
    let mut restored = store.crash();
    restored.head = MemoryHeadStore::holding(older.clone());
    assert!(matches!(refused(&restored), StartError::StoreBehindRecord { stored: 250, recorded: 255 }));

    // The same without the record, beside newer tiles.
    let log = open(&store).unwrap();
    enter_many(&log, 10);
    log.close();
    let mut restored = store.crash();
    restored.head = MemoryHeadStore::holding(older);
    restored.record.set(None);
    assert!(matches!(refused(&restored), StartError::TilesBeyondStore { size: 250, .. }));
}

#[test]
fn a_record_of_another_history_does_not_start() {
    let (store, _) = closed_with(300);
    let record = store.record.read().unwrap().unwrap();
    for other in [
        Recorded { root: [1; 32], ..record },
        Recorded { size: 299, ..record },
        Recorded { timestamp: UnixMillis(record.timestamp.0 + 1), ..record },
    ] {
        store.record.set(Some(other));
        assert!(matches!(refused(&store), StartError::RecordContradictsStore { .. }));
    }
    store.record.set(None);
    assert!(matches!(refused(&store), StartError::RecordMissing { size: 300 }));
    store.record.set(Some(record));
    assert_eq!(survives(&store, &[]), 300);
}

#[test]
fn missing_and_changed_tiles_do_not_start() {
    let (store, _) = closed_with(700);
    // As an append after the sealing leaves it.
    let mut stored = store.head.stored().unwrap();
    stored.unsealed.drain(..(512 - stored.first) as usize);
    stored.first = 512;
    let store = MemoryStore { head: MemoryHeadStore::holding(Some(stored)), ..store };
    assert_eq!(survives(&store, &[]), 700);
    for path in ["tile/0/000", "tile/0/001", "tile/data/001"] {
        let damaged = store.crash();
        damaged.tiles.tamper(path, None);
        assert!(matches!(refused(&damaged), StartError::TileMissing { tile } if tile == path));
    }
    for bytes in [vec![7; 8192], vec![], vec![1; 100]] {
        let damaged = store.crash();
        damaged.tiles.tamper("tile/0/000", Some(bytes));
        assert!(matches!(refused(&damaged), StartError::TreeContradictsHead(_)));
    }
}

#[test]
fn a_tile_that_differs_from_unsealed_entries_does_not_start() {
    let (store, _) = closed_with(256);
    for path in ["tile/0/000", "tile/data/000"] {
        let damaged = store.crash();
        damaged.tiles.tamper(path, Some(vec![7; 8192]));
        assert!(matches!(refused(&damaged), StartError::TileDiffers { tile } if tile == path));
    }
}

fn change(entry: &mut Entry, change: fn(&mut Vec<u8>)) {
    let mut bytes = entry.bytes.to_vec();
    change(&mut bytes);
    entry.bytes = bytes.into();
}

#[test]
fn a_store_that_contradicts_itself_does_not_start() {
    let (store, _) = closed_with(300);
    let good = store.head.stored().unwrap();
    let damages: [fn(&mut Stored); 8] = [
        |stored| change(&mut stored.unsealed[9], |bytes| bytes[20] ^= 1),
        |stored| change(&mut stored.unsealed[9], |bytes| bytes.push(0)),
        |stored| drop(stored.unsealed.pop()),
        |stored| drop(stored.unsealed.remove(0)),
        |stored| stored.unsealed.swap(3, 4),
        |stored| stored.unsealed[9].leaf_hash[0] ^= 1,
        |stored| stored.head.root[0] ^= 1,
        |stored| stored.head.right_edge[0][0] ^= 1,
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let mut stored = good.clone();
        damage(&mut stored);
        let mut damaged = store.crash();
        damaged.record.set(None);
        damaged.head = MemoryHeadStore::holding(Some(stored));
        let error = refused(&damaged);
        let seen = matches!(error, StartError::TreeContradictsHead(_) | StartError::StoreDamaged(_));
        assert!(seen, "damage {number}: {error}");
    }
}

#[test]
fn another_key_or_origin_does_not_start() {
    let (store, _) = closed_with(3);
    let key = Identity { log_id: [8; 32], ..identity() };
    assert!(matches!(open_as(&key, &store, NOW), Err(StartError::WrongKey { .. })));
    let origin = Identity { origin: "log.example.com".to_owned(), ..identity() };
    assert!(matches!(open_as(&origin, &store, NOW), Err(StartError::WrongOrigin { .. })));
    assert_eq!(survives(&store, &[]), 3);
}

#[test]
fn a_clock_behind_the_last_entry_does_not_start_but_within_the_tolerance() {
    let (store, _) = closed_with(3);
    assert!(matches!(open_as(&identity(), &store, NOW - 10_001), Err(StartError::ClockBehind { .. })));
    let log = open_as(&identity(), &store, NOW - 10_000).unwrap();
    assert_eq!(enter(&log).unwrap().timestamp, UnixMillis(NOW));
}
