use super::super::testing::{TestLog, entry};
use super::*;
use crate::log::ports::Head;
use crate::transparency::precertificate::DataTileEntry;

fn reader(log: &TestLog) -> LogReader {
    LogReader::new(log.tiles.clone(), log.view.clone(), DataTileEntry::length)
}

/// A log of `size` entries that came in groups of `group`, of which all but the last `lag` are sealed and forgotten.
fn grown(size: u64, group: u64, lag: u64) -> TestLog {
    let mut log = TestLog::new();
    while log.edge.size() < size {
        log.grow_to((log.edge.size() + group).min(size));
        log.seal(log.edge.size().saturating_sub(lag));
    }
    log
}

#[test]
fn proofs_between_all_trees_up_to_600_entries_verify_however_far_sealing_lags() {
    for (group, lag) in [(1, 0), (7, 300), (600, 1000)] {
        let mut log = TestLog::new();
        let reader = reader(&log);
        let mut grow = 0;
        for size in 0..=600_u64 {
            if size > log.edge.size() || size == 600 {
                grow = (grow + group).min(600);
                log.grow_to(grow.max(size));
                log.seal(log.edge.size().saturating_sub(lag));
            }
            assert_eq!(reader.root(size).unwrap(), log.roots[size as usize]);
            // Every pair would take long: in each tree others, and all those at its edges.
            let chosen = |at: &u64| (at + size).is_multiple_of(47) || at.is_multiple_of(128) || size - at < 3;
            for index in (0..size).filter(chosen) {
                let leaf = entry(index).leaf_hash;
                let proof = reader.inclusion_proof(index, size).unwrap();
                let root = &log.roots[size as usize];
                assert!(merkle::verify_inclusion(&leaf, index, size, &proof, root), "{index} of {size}");
            }
            for first in (0..=size).filter(chosen) {
                let proof = reader.consistency_proof(first, size).unwrap();
                let [from, to] = [first, size].map(|size| &log.roots[size as usize]);
                assert!(merkle::verify_consistency(first, from, size, to, &proof), "{first} to {size}");
            }
        }
    }
}

#[test]
fn every_tile_of_every_width_is_its_entries_whether_sealed_or_not() {
    for lag in [0, 300, 1000] {
        let log = grown(700, 50, lag);
        let reader = reader(&log);
        for index in 0..3 {
            for width in 1..=256_u16 {
                let data = TilePath::new(TileKind::Data, index, width).unwrap();
                let hashes = TilePath::new(TileKind::Hashes(0), index, width).unwrap();
                let range = index * 256..index * 256 + u64::from(width);
                if range.end > 700 {
                    assert!(reader.tile(&data).unwrap().is_none());
                    assert!(reader.tile(&hashes).unwrap().is_none());
                    continue;
                }
                let (mut bytes, mut leaves) = (Vec::new(), Vec::new());
                for entry in range.map(entry) {
                    bytes.extend(entry.bytes);
                    leaves.extend(entry.leaf_hash);
                }
                assert!(reader.tile(&data).unwrap() == Some(bytes), "{data}, {lag} unsealed");
                assert!(reader.tile(&hashes).unwrap() == Some(leaves), "{hashes}, {lag} unsealed");
            }
        }
    }
}

#[test]
fn a_sealed_data_tile_that_was_cut_is_not_served() {
    let log = grown(600, 50, 0);
    let reader = reader(&log);
    let full = TilePath::parse("tile/data/000").unwrap();
    let whole = reader.tile(&full).unwrap().unwrap();
    let with_more = [&whole[..], b"x"].concat();
    for damaged in [&whole[..0], &whole[..1000], &whole[..whole.len() - 1], &with_more] {
        log.tiles.0.lock().unwrap().insert(full.to_string(), damaged.to_vec());
        for path in ["tile/data/000", "tile/data/000.p/255"] {
            let answer = reader.tile(&TilePath::parse(path).unwrap());
            assert!(matches!(answer, Err(ReadError::Store(StoreError::Corrupt(_)))), "{path}: {answer:?}");
        }
    }
}

#[test]
fn a_log_of_70_000_entries_has_the_tiles_that_the_specification_counts() {
    let log = grown(70_000, 5_000, 3_000);
    let reader = reader(&log);
    let exists = |text: &str| {
        let path = TilePath::parse(text).unwrap_or_else(|| panic!("{text}"));
        reader.tile(&path).unwrap().map(|content| content.len() / 32)
    };
    assert_eq!(exists("tile/0/272"), Some(256));
    assert_eq!(exists("tile/0/273.p/112"), Some(112));
    assert_eq!(exists("tile/0/273.p/113"), None);
    assert_eq!(exists("tile/1/000"), Some(256));
    assert_eq!(exists("tile/1/001.p/17"), Some(17));
    assert_eq!(exists("tile/1/001.p/18"), None);
    assert_eq!(exists("tile/2/000.p/1"), Some(1));
    assert_eq!(exists("tile/2/000.p/2"), None);
    assert_eq!(exists("tile/3/000.p/1"), None);
    assert_eq!(reader.root(70_000).unwrap(), log.roots[70_000]);
    assert_eq!(reader.root(65_536).unwrap(), log.roots[65_536]);
    let top = TilePath::parse("tile/2/000.p/1").unwrap();
    assert_eq!(reader.tile(&top).unwrap().unwrap(), log.roots[65_536]);
    for index in [0, 255, 256, 65_535, 65_536, 66_999, 67_000, 69_999] {
        let leaf = entry(index).leaf_hash;
        let proof = reader.inclusion_proof(index, 70_000).unwrap();
        assert!(merkle::verify_inclusion(&leaf, index, 70_000, &proof, &log.roots[70_000]));
        assert_eq!(reader.index_of_leaf(&leaf, 70_000).unwrap(), Some(index));
    }
    // 67,000 may be forgotten, rounded down to whole tiles.
    assert_eq!(log.view.read().unwrap().unsealed.len(), 70_000 - 66_816);
}

#[test]
fn readers_miss_nothing_while_the_log_grows_and_seals() {
    const SIZE: u64 = 5_000;
    let whole = grown(SIZE, SIZE, SIZE);
    let mut log = TestLog::new();
    let reader = reader(&log);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while log.edge.size() < SIZE {
                log.grow_to((log.edge.size() + 37).min(SIZE));
                log.seal(log.edge.size());
            }
        });
        loop {
            let size = reader.size();
            assert_eq!(reader.root(size).unwrap(), whole.roots[size as usize]);
            for index in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|at| *at < size) {
                let proof = reader.inclusion_proof(index, size).unwrap();
                let leaf = entry(index).leaf_hash;
                let root = &whole.roots[size as usize];
                assert!(merkle::verify_inclusion(&leaf, index, size, &proof, root));
                assert_eq!(reader.entries(index, index, 1).unwrap(), [entry(index).bytes]);
                let path = TilePath::full(TileKind::Data, index / 256).unwrap();
                assert!(reader.tile(&path).is_ok());
            }
            if size == SIZE {
                break;
            }
        }
    });
}

#[test]
fn a_restored_view_answers_like_the_one_that_was_lost() {
    for (size, lag) in [(0, 0), (1, 0), (256, 0), (700, 0), (700, 600), (66_000, 300), (131_072, 0)] {
        let log = grown(size, 1000, lag);
        let lost = log.view.read().unwrap().clone();
        let unsealed = lost.unsealed.iter().cloned().collect::<Vec<_>>();
        let view = View::restore(log.head(), lost.unsealed_start, unsealed.clone(), &*log.tiles).unwrap();
        assert!(view == lost, "{size} entries");

        let later = View::restore(log.head(), lost.unsealed_start + 1, unsealed.clone(), &*log.tiles);
        assert!(matches!(later, Err(StoreError::Corrupt(_))));
        let head = Head { root: [1; 32], ..log.head() };
        let other = View::restore(head, lost.unsealed_start, unsealed, &*log.tiles);
        assert!(matches!(other, Err(StoreError::Corrupt(_))));
    }
}

#[test]
fn a_view_is_not_restored_from_tiles_that_are_missing_or_changed() {
    let log = grown(1000, 100, 0);
    let view = log.view.read().unwrap().clone();
    let restore = || {
        let unsealed = view.unsealed.iter().cloned().collect();
        View::restore(log.head(), view.unsealed_start, unsealed, &*log.tiles)
    };
    assert!(restore().is_ok());
    for change in ["removed", "cut", "changed"] {
        let path = "tile/0/001".to_owned();
        let good = log.tiles.0.lock().unwrap().remove(&path).unwrap();
        let bad = match change {
            "cut" => Some(good[..8160].to_vec()),
            "changed" => Some([&[good[0] ^ 1], &good[1..]].concat()),
            _ => None,
        };
        if let Some(bad) = bad {
            log.tiles.0.lock().unwrap().insert(path.clone(), bad);
        }
        assert!(matches!(restore(), Err(StoreError::Corrupt(_))), "{change}");
        log.tiles.0.lock().unwrap().insert(path, good);
    }
}

#[test]
fn entries_come_from_tiles_and_view_alike_up_to_the_cap_and_the_end() {
    for lag in [0, 300, 1000] {
        let log = grown(700, 70, lag);
        let reader = reader(&log);
        let expected =
            |from, to| -> Vec<Vec<u8>> { (from..to).map(|index| entry(index).bytes.to_vec()).collect() };
        for (start, end, cap, until) in [
            (0, 0, 10, 1),
            (0, 699, 1000, 700),
            (0, u64::MAX, 1000, 700),
            (0, 699, 10, 10),
            (250, 260, 100, 261),
            (255, 255, 100, 256),
            (256, 256, 100, 257),
            (699, 699, 100, 700),
            (699, 900, 100, 700),
            (5, 9, 0, 5),
        ] {
            let entries = reader.entries(start, end, cap).unwrap();
            assert!(entries == expected(start, until), "{start} to {end}, {lag} unsealed");
        }
    }
}

#[test]
fn questions_beyond_the_tree_are_the_askers_fault() {
    let log = grown(300, 300, 0);
    let reader = reader(&log);
    let wrong = |answer: Result<(), ReadError>| matches!(answer, Err(ReadError::OutOfRange(_)));
    for (index, size) in [(300, 300), (0, 0), (0, 301), (u64::MAX, u64::MAX), (u64::MAX, 300)] {
        assert!(wrong(reader.inclusion_proof(index, size).map(drop)), "{index} of {size}");
    }
    for (first, second) in [(2, 1), (1, 301), (301, 300), (0, u64::MAX), (u64::MAX, 0)] {
        assert!(wrong(reader.consistency_proof(first, second).map(drop)), "{first} to {second}");
    }
    for (start, end) in [(1, 0), (300, 300), (300, 400), (u64::MAX, u64::MAX)] {
        assert!(wrong(reader.entries(start, end, 10).map(drop)), "{start} to {end}");
    }
    assert!(wrong(reader.root(301).map(drop)));
    assert!(wrong(reader.index_of_leaf(&[0; 32], 301).map(drop)));
}

#[test]
fn a_leaf_is_found_in_the_tree_asked_for_and_not_beyond() {
    let log = grown(700, 100, 100);
    let reader = reader(&log);
    for index in [0, 1, 255, 256, 511, 512, 600, 699] {
        let leaf = entry(index).leaf_hash;
        assert_eq!(reader.index_of_leaf(&leaf, 700).unwrap(), Some(index));
        assert_eq!(reader.index_of_leaf(&leaf, index + 1).unwrap(), Some(index));
        assert_eq!(reader.index_of_leaf(&leaf, index).unwrap(), None);
    }
    assert_eq!(reader.index_of_leaf(&[0; 32], 700).unwrap(), None);
}

#[test]
fn a_missing_or_damaged_tile_is_the_stores_fault() {
    let log = grown(700, 100, 0);
    let reader = reader(&log);
    let corrupt = |answer: Result<(), ReadError>| {
        assert!(matches!(answer, Err(ReadError::Store(StoreError::Corrupt(_)))), "{answer:?}");
    };
    let (data, hashes) = ("tile/data/000".to_owned(), "tile/0/000".to_owned());
    log.tiles.0.lock().unwrap().get_mut(&data).unwrap().pop();
    corrupt(reader.entries(3, 3, 1).map(drop));
    corrupt(reader.tile(&TilePath::parse("tile/data/000.p/3").unwrap()).map(drop));
    log.tiles.0.lock().unwrap().get_mut(&hashes).unwrap().pop();
    corrupt(reader.inclusion_proof(3, 700).map(drop));
    corrupt(reader.tile(&TilePath::parse("tile/0/000").unwrap()).map(drop));
    log.tiles.0.lock().unwrap().clear();
    corrupt(reader.inclusion_proof(3, 700).map(drop));
    corrupt(reader.entries(3, 3, 1).map(drop));
}
