//! What a log finds at its start on a real data directory, as named cases: it goes on with everything that was answered, or
//! says what it found and the way out. The table stands in `src/log/recovery.rs` and in docs/DURABILITY.md.

use super::shim::shim;
use super::world::{self, NOW, ORIGIN, Promises, TestKey, audit, enter_many, start, start_on};
use crate::support::TestClock;
use countersign::environment::UnixMillis;
use countersign::log::LogKind;
use countersign::log::ct::OpenError;
use countersign::log::ports::HeadStore;
use countersign::log::{CtLog, StartError};
use countersign::store::DataDirectory;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A data directory with a log of 600 entries, two tiles of them sealed and dropped from the head store.
struct Case {
    directory: tempfile::TempDir,
    key: Arc<TestKey>,
    promises: Promises,
}

impl Case {
    fn new() -> Self {
        Self::of(600)
    }

    /// A log of so many entries, closed.
    fn of(entries: u64) -> Self {
        Self::empty().grow(entries)
    }

    /// No log yet.
    fn empty() -> Self {
        Self { directory: super::driver::scratch(), key: TestKey::generate(), promises: Promises::default() }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Enters more, in two groups at least, and closes the log.
    fn grow(mut self, entries: u64) -> Self {
        let log = start(&self.data(), &self.key, &TestClock::at(UnixMillis(NOW))).unwrap();
        for group in [0..entries - 1, entries - 1..entries] {
            let answers = enter_many(&log, group);
            self.promises.entries.extend(answers.iter().map(|(sct, leaf)| (sct.place.index, *leaf)));
        }
        self.promises.heads.push(log.sth().unwrap().head);
        log.close();
        self
    }

    /// A copy of the whole directory, as a backup.
    fn copied(&self) -> tempfile::TempDir {
        let copied = super::driver::scratch();
        copy(&self.data(), &copied.path().join("data"));
        copied
    }

    /// The log starts, and has everything that was promised.
    fn starts(&self) -> Arc<CtLog> {
        self.starts_in(&self.data())
    }

    fn starts_in(&self, data: &Path) -> Arc<CtLog> {
        let log =
            start(data, &self.key, &TestClock::at(UnixMillis(NOW))).unwrap_or_else(|error| panic!("{error}"));
        audit(&log, &self.key, &self.promises).unwrap();
        log
    }

    /// Why the log does not start; nothing of the tiles is changed.
    fn refused(&self) -> StartError {
        self.refused_at(NOW)
    }

    fn refused_at(&self, now: u64) -> StartError {
        let tiles = tree(&self.data().join("log"));
        let stores = DataDirectory::open(&self.data()).unwrap_or_else(|error| panic!("{error}"));
        match start_on(stores.into(), &self.key, &TestClock::at(UnixMillis(now))) {
            Err(OpenError::Start(error)) => {
                assert_eq!(tiles, tree(&self.data().join("log")), "nothing was changed");
                names_the_way_out(&error);
                error
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("such a log must not start"),
        }
    }
}

/// Every text says what was found, and after it what to do.
fn names_the_way_out(error: &StartError) {
    let text = error.to_string();
    let ways = ["put the", "put it", "check that", "give the key", "set it back", "set the clock right"];
    assert!(ways.iter().any(|way| text.contains(way)), "{text}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target)
        } else {
            fs::copy(item.path(), target).map(|_| ()).unwrap()
        }
    }
}

/// Every file with its bytes.
fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(items) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> = items
        .map(|item| item.unwrap().path())
        .flat_map(
            |path| if path.is_dir() { tree(&path) } else { vec![(path.clone(), fs::read(&path).unwrap())] },
        )
        .collect();
    files.sort();
    files
}

#[test]
fn nothing_at_all_is_a_new_log() {
    let directory = super::driver::scratch();
    let log =
        start(&directory.path().join("data"), &TestKey::generate(), &TestClock::at(UnixMillis(NOW))).unwrap();
    assert_eq!(log.extent().entries, 0);
}

#[test]
fn a_torn_tail_goes_on_with_all_of_the_last_group_or_nothing_of_it() {
    let case = Case::of(300);
    let before = fs::read(case.data().join("head/journal.0")).unwrap();
    let record = fs::read(case.data().join("head.record")).unwrap();
    let log = case.starts();
    let (start, group) = (log.extent().entries, 40);
    enter_many(&log, start..start + group);
    // As a kill leaves it: the process has not closed anything.
    let after = fs::read(case.data().join("head/journal.0")).unwrap();
    drop(log);
    let changed: Vec<usize> = (0..after.len()).filter(|at| before.get(*at) != after.get(*at)).collect();
    let (first, last) = (changed[0] / 512, changed[changed.len() - 1] / 512 + 1);
    for torn in [first, first + 1, (first + last) / 2, last - 1, last] {
        let crashed = case.copied();
        let mut bytes = after[..(torn * 512).min(after.len())].to_vec();
        bytes.extend(before.get(torn * 512..).unwrap_or_default());
        fs::write(crashed.path().join("data/head/journal.0"), bytes).unwrap();
        fs::write(crashed.path().join("data/head.record"), &record).unwrap();
        let log = case.starts_in(&crashed.path().join("data"));
        let entries = log.extent().entries;
        assert!(entries >= start && entries <= start + group, "{entries}");
    }
}

#[test]
fn what_a_start_that_was_cut_short_leaves_behind_is_no_damage() {
    // A snapshot that sled had begun.
    let case = Case::of(100);
    fs::write(case.data().join("head/snap.00000000FFFFFFFF.generating"), b"half of it").unwrap();
    case.starts();
    // A head store that was being made.
    let directory = super::driver::scratch();
    let data = directory.path().join("data");
    fs::create_dir_all(data.join("head.new/blobs")).unwrap();
    fs::write(data.join("head.new/conf"), [0; 58]).unwrap();
    let log = start(&data, &TestKey::generate(), &TestClock::at(UnixMillis(NOW))).unwrap();
    assert_eq!(log.extent().entries, 0);
    assert!(!data.join("head.new").exists());
}

#[test]
fn a_store_ahead_of_its_record_goes_on() {
    let case = Case::of(100);
    let record = fs::read(case.data().join("head.record")).unwrap();
    let log = case.starts();
    enter_many(&log, 100..300);
    log.close();
    drop(log);
    fs::write(case.data().join("head.record"), record).unwrap();
    assert_eq!(case.starts().extent().entries, 300);
}

#[test]
fn a_sealed_tile_whose_head_was_not_moved_on_is_sealed_again_byte_for_byte() {
    let case = Case::of(256);
    let tiles = tree(&case.data().join("log"));
    assert!(case.data().join("log/tile/data/000").is_file());
    let stored = DataDirectory::open(&case.data()).unwrap().head.load().unwrap().unwrap();
    assert_eq!((stored.first, stored.unsealed.len()), (0, 256), "the head store still has them");
    case.starts().close();
    assert_eq!(tree(&case.data().join("log")), tiles);
}

#[test]
fn a_head_without_its_sealed_tile_does_not_start() {
    let case = Case::new();
    for tile in ["tile/data/000", "tile/0/000", "tile/data/001", "tile/0/001"] {
        let copied = case.copied();
        let damaged = Case { directory: copied, key: case.key.clone(), promises: case.promises.clone() };
        fs::remove_file(damaged.data().join("log").join(tile)).unwrap();
        // Of the data tiles only the newest is asked for at a start: the audit reads them all.
        if tile == "tile/data/000" {
            let log = start(&damaged.data(), &case.key, &TestClock::at(UnixMillis(NOW))).unwrap();
            assert!(audit(&log, &case.key, &case.promises).unwrap_err().contains("missing"));
            continue;
        }
        let error = damaged.refused();
        assert!(matches!(&error, StartError::TileMissing { tile: missing } if missing == tile), "{error}");
    }
}

#[test]
fn a_tile_that_differs_from_the_head_does_not_start() {
    let case = Case::new();
    fs::write(case.data().join("log/tile/0/001"), [7; 8192]).unwrap();
    assert!(matches!(case.refused(), StartError::TreeContradictsHead(_)));
    let case = Case::of(256);
    fs::write(case.data().join("log/tile/data/000"), b"other bytes").unwrap();
    assert!(matches!(case.refused(), StartError::TileDiffers { tile } if tile == "tile/data/000"));
}

#[test]
fn an_older_copy_of_the_head_store_beside_newer_tiles_does_not_start() {
    let mut case = Case::of(200);
    let older = case.copied();
    let log = case.starts();
    case.promises
        .entries
        .extend(enter_many(&log, 200..500).iter().map(|(sct, leaf)| (sct.place.index, *leaf)));
    log.close();
    drop(log);
    fs::remove_dir_all(case.data().join("head")).unwrap();
    copy(&older.path().join("data/head"), &case.data().join("head"));
    assert!(matches!(case.refused(), StartError::StoreBehindRecord { stored: 200, recorded: 500 }));
    // With its own older record, as from a backup that left the tiles out.
    fs::copy(older.path().join("data/head.record"), case.data().join("head.record")).unwrap();
    let error = case.refused();
    assert!(
        matches!(&error, StartError::TilesBeyondStore { size: 200, tile } if tile == "tile/data/000"),
        "{error}"
    );
    fs::remove_file(case.data().join("head.record")).unwrap();
    assert!(matches!(case.refused(), StartError::TilesBeyondStore { size: 200, .. }));
}

#[test]
fn a_clock_behind_the_last_timestamp_does_not_start_but_within_the_tolerance() {
    let case = Case::of(3);
    assert!(matches!(case.refused_at(NOW - 10_001), StartError::ClockBehind { .. }));
    assert!(start(&case.data(), &case.key, &TestClock::at(UnixMillis(NOW - 10_000))).is_ok());
}

#[test]
fn the_wrong_key_does_not_start() {
    let mut case = Case::of(3);
    let right = std::mem::replace(&mut case.key, TestKey::generate());
    assert!(matches!(case.refused(), StartError::WrongKey { .. }));
    case.key = right;
    case.starts();
}

#[test]
fn the_wrong_origin_does_not_start() {
    let case = Case::of(3);
    let stores = DataDirectory::open(&case.data()).unwrap();
    let error = world::start_as(
        "elsewhere.example.com/ct",
        stores.into(),
        &case.key,
        &TestClock::at(UnixMillis(NOW)),
    );
    let Err(OpenError::Start(error @ StartError::WrongOrigin { .. })) = error else {
        panic!("it must not start")
    };
    assert!(error.to_string().contains(ORIGIN), "{error}");
    names_the_way_out(&error);
    case.starts();
}

/// What becomes of a log when this file or directory is gone: `None`, it goes on with everything; else a part of the error.
const MISSING: [(&str, Option<&str>); 16] = [
    ("LOCK", None),
    ("head.record", Some("its second record (`head.record`) is missing")),
    ("head", Some("second record tells of a log with 600 entries")),
    ("head/db", Some("the log's head store is damaged")),
    ("head/journal.0", Some("the log's head store is damaged")),
    ("head/journal.1", Some("the log's head store is damaged")),
    ("head/conf", None),
    ("head/blobs", None),
    ("head/snap.", None),
    ("log", Some("tile/data/001 was written, but it is missing")),
    ("log/issuer", None),
    ("log/tile", Some("tile/data/001 was written, but it is missing")),
    ("log/tile/0", Some("but it is missing")),
    ("log/tile/data", Some("but it is missing")),
    ("log/tile/0/000", Some("tile/0/000 was written, but it is missing")),
    ("log/tile/data/001", Some("tile/data/001 was written, but it is missing")),
];

#[test]
fn missing_files_are_made_anew_or_named() {
    let case = Case::new();
    for (missing, expected) in MISSING {
        let copied = case.copied();
        let damaged = Case { directory: copied, key: case.key.clone(), promises: case.promises.clone() };
        let mut path = damaged.data().join(missing);
        if missing.ends_with("snap.") {
            let items = fs::read_dir(damaged.data().join("head")).unwrap().map(|item| item.unwrap().path());
            path = items.into_iter().find(|path| path.to_string_lossy().contains("snap.")).unwrap();
        }
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        match expected {
            None => drop(damaged.starts()),
            Some(part) => {
                let error = damaged.refused().to_string();
                assert!(error.contains(part), "{missing}: {error}");
            }
        }
    }
    // Head store and record together: the tiles tell.
    fs::remove_dir_all(case.data().join("head")).unwrap();
    fs::remove_file(case.data().join("head.record")).unwrap();
    assert!(matches!(case.refused(), StartError::TilesWithoutStore { tile } if tile == "tile/data/000"));
}

#[test]
fn a_damaged_record_does_not_start() {
    let case = Case::of(300);
    let path = case.data().join("head.record");
    let whole = fs::read(&path).unwrap();
    // All of it, or one bit of one slot, which may have been the newer one.
    for slots in [&[0, 4096][..], &[0], &[4096]] {
        let mut record = whole.clone();
        slots.iter().for_each(|slot| record[slot + 30] ^= 1);
        fs::write(&path, record).unwrap();
        let error = case.refused();
        assert!(
            matches!(error, StartError::RecordDamaged(_))
                && error.to_string().contains("write the word `newest`")
        );
    }
}

#[test]
fn a_lost_or_damaged_record_is_replaced_on_the_operators_word() {
    for lost in [true, false] {
        let case = Case::of(300);
        let path = case.data().join("head.record");
        if lost {
            fs::remove_file(&path).unwrap()
        } else {
            fs::write(&path, [7; 64]).unwrap()
        }
        case.refused();
        fs::write(&path, "newest\n").unwrap();
        drop(case.starts());
        drop(case.starts());
    }
}

#[test]
fn an_older_copy_of_the_head_store_without_its_record_does_not_start() {
    for before in [0, 5] {
        let case = if before > 0 { Case::of(before) } else { Case::empty() };
        drop(start(&case.data(), &case.key, &TestClock::at(UnixMillis(NOW))).unwrap());
        let older = case.copied();
        let log = case.starts();
        enter_many(&log, before..before + 5);
        log.close();
        drop(log);
        fs::remove_dir_all(case.data().join("head")).unwrap();
        copy(&older.path().join("data/head"), &case.data().join("head"));
        assert!(matches!(case.refused(), StartError::StoreBehindRecord { .. }));
        fs::remove_file(case.data().join("head.record")).unwrap();
        assert!(matches!(case.refused(), StartError::RecordMissing { size } if size == before));
    }
}

#[test]
fn something_else_in_the_place_of_a_part_is_named() {
    for part in ["head", "head.record", "log"] {
        let directory = super::driver::scratch();
        let in_the_way = directory.path().join(part);
        match part {
            "head.record" => fs::create_dir(&in_the_way).unwrap(),
            _ => fs::write(&in_the_way, "a file where a directory should be").unwrap(),
        }
        let error = DataDirectory::open(directory.path()).expect_err("it cannot be opened").to_string();
        assert!(error.contains(&in_the_way.display().to_string()), "{error}");
    }
}

// --- permissions: the tests may run as root, whom no mode of a file stops; so the calls themselves are refused

/// What is forbidden, and what the error names.
const FORBIDDEN: [(&str, &str); 11] = [
    ("open EACCES -1 {}/LOCK", "{}"),
    ("open EACCES -1 {}/head/db", "{}/head"),
    ("open EACCES -1 {}/head/conf", "{}/head"),
    ("open EACCES -1 {}/head/journal.1", "{}/head"),
    ("open EACCES -1 {}/head.record", "{}/head.record"),
    ("open EACCES -1 {}/log/tile/0/", "{}/log/tile/0"),
    ("change EACCES -1 {}/log", "{}/log"),
    ("change EROFS -1 {}/log", "{}/log"),
    ("change EACCES -1 {}/log/tile/data", "{}/log/tile/data"),
    ("change EACCES -1 {}/head", "{}/head"),
    ("sync EIO -1 {}/head", "{}/head"),
];

#[test]
fn what_is_not_permitted_is_named_at_the_start_and_not_later() {
    let Some(shim) = shim() else { return };
    let case = Case::new();
    let data = fs::canonicalize(case.data()).unwrap().display().to_string();
    let faults = case.directory.path().join("faults");
    for (fault, named) in FORBIDDEN {
        fs::write(&faults, fault.replace("{}", &data)).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::recovery::child_that_starts", "--ignored", "--nocapture"])
            .env("LD_PRELOAD", shim)
            .env("DISK_FAULTS", &faults)
            .env("DISK_DATA", &data)
            .env("DISK_DRIVER_KEY", case.key.to_hex())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout).into_owned();
        let told = output
            .lines()
            .find(|line| line.contains("REFUSED"))
            .unwrap_or_else(|| panic!("{fault}: {output}"));
        assert!(told.contains(&named.replace("{}", &data)), "{fault}: {told}");
        assert!(told.contains("for this user"), "{fault}: {told}");
    }
    case.starts();
}

#[test]
#[ignore = "run by what_is_not_permitted_is_named_at_the_start_and_not_later"]
fn child_that_starts() {
    let Ok(data) = std::env::var("DISK_DATA") else { return };
    let key = TestKey::from_hex(LogKind::Certificates, &std::env::var("DISK_DRIVER_KEY").unwrap());
    match start(Path::new(&data), &key, &TestClock::at(UnixMillis(NOW))) {
        Ok(_) => println!("STARTED"),
        Err(error) => println!("REFUSED {error}"),
    }
}
