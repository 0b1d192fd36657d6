//! What an audit must find, on logs in memory.

use super::*;
use crate::log::testing::{CHAIN, TestLog, entry, precertificate, precertificate_of};
use crate::transparency::precertificate::{DataTileEntry, LoggedCertificate};

/// A log's objects as a web server would hold them.
struct Copy {
    objects: BTreeMap<String, Vec<u8>>,
    asked: Vec<TilePath>,
}

impl TileSource for Copy {
    fn tile(&mut self, path: &TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        self.asked.push(*path);
        Ok(self.objects.get(&path.to_string()).cloned())
    }

    fn issuer(&mut self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.objects.get(&format!("issuer/{}", hex::encode(fingerprint))).cloned())
    }
}

/// The log of `size` entries with the tiles that its checkpoint needs.
fn published(size: u64) -> (TestLog, Copy) {
    let mut log = TestLog::new();
    log.grow_to(size);
    log.seal(size);
    let reader = LogReader::new(log.tiles.clone(), log.view.clone(), DataTileEntry::length);
    let mut objects = BTreeMap::new();
    for path in Audit::of_head(head(&log)).tiles() {
        let content = reader.tile(&path).unwrap().unwrap_or_else(|| panic!("{path}"));
        objects.insert(path.to_string(), content);
    }
    for certificate in CHAIN {
        objects.insert(format!("issuer/{}", hex::encode(sha256(certificate))), certificate.to_vec());
    }
    (log, Copy { objects, asked: Vec::new() })
}

fn head(log: &TestLog) -> TreeHead {
    let head = log.head();
    TreeHead { size: head.size, root: head.root, timestamp: head.timestamp }
}

fn audit(log: &TestLog, copy: &mut Copy) -> Report {
    Audit::of_head(head(log)).run(copy, &mut |_, _| ()).unwrap()
}

#[test]
fn a_good_log_of_any_size_is_clean_and_read_in_the_order_announced() {
    for size in [0, 1, 255, 256, 257, 512, 700, 65_536, 66_000] {
        let (log, mut copy) = published(size);
        let report = audit(&log, &mut copy);
        assert!(report.is_clean(), "{size}: {:?}", report.problems);
        assert_eq!(report.entries, size);
        assert_eq!(report.data_tiles, size.div_ceil(256));
        assert_eq!(report.issuers, if size == 0 { 0 } else { 2 });
        let announced: Vec<TilePath> = Audit::of_head(head(&log)).tiles().collect();
        assert_eq!(copy.asked, announced, "{size}");
        assert_eq!(report.data_tiles + report.hash_tiles, announced.len() as u64);
    }
}

#[test]
fn the_sealed_part_can_be_audited_alone() {
    let (log, mut copy) = published(700);
    copy.objects.retain(|path, _| !path.contains(".p/"));
    let sealed = || Audit::of_sealed(700);
    let report = sealed().run(&mut copy, &mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.size, report.entries, report.root), (512, 512, log.roots[512]));
    let beyond = TreeHead { size: 600, root: log.roots[600], timestamp: UnixMillis(0) };
    assert!(sealed().extending(beyond).run(&mut copy, &mut |_, _| ()).unwrap().is_clean());
    copy.asked.clear();
    sealed().run(&mut copy, &mut |_, _| ()).unwrap();
    assert_eq!(copy.asked, sealed().tiles().collect::<Vec<_>>());
    copy.objects.get_mut("tile/0/001").unwrap()[9] ^= 1;
    assert!(!sealed().run(&mut copy, &mut |_, _| ()).unwrap().is_clean());
}

#[test]
fn progress_is_told_up_to_the_end() {
    let (log, mut copy) = published(700);
    let mut told = Vec::new();
    Audit::of_head(head(&log)).run(&mut copy, &mut |done, of| told.push((done, of))).unwrap();
    assert_eq!(told, [(256, 700), (512, 700), (700, 700)]);
}

#[test]
fn a_log_can_be_audited_through_its_reader() {
    let (log, copy) = published(700);
    for (path, issuer) in copy.objects.iter().filter(|(path, _)| path.starts_with("issuer/")) {
        log.tiles.0.lock().unwrap().insert(path.clone(), issuer.clone());
    }
    let mut reader = LogReader::new(log.tiles.clone(), log.view.clone(), DataTileEntry::length);
    let report = Audit::of_head(head(&log)).run(&mut reader, &mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    log.tiles.0.lock().unwrap().remove("tile/0/001");
    let report = Audit::of_head(head(&log)).run(&mut reader, &mut |_, _| ()).unwrap();
    assert_eq!(report.problems[0].to_string(), "tile/0/001 is missing or cannot be read");
}

#[test]
fn full_tiles_may_stand_for_partial_ones() {
    let (big, copy) = published(66_048);
    let (log, _) = published(700);
    let full = copy.objects.into_iter().filter(|(path, _)| !path.contains(".p/")).collect();
    let report = audit(&log, &mut Copy { objects: full, asked: Vec::new() });
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(big.roots[700], log.head().root);
}

/// What an audit says after `change`.
fn problems(size: u64, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> String {
    let (log, mut copy) = published(size);
    change(&mut copy.objects);
    let report = audit(&log, &mut copy);
    assert!(!report.is_clean());
    report.problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn every_object_that_is_missing_cut_longer_or_changed_is_found() {
    let low = |path: &str| path.contains("/0/") || path.contains("/data/") || path.contains("issuer");
    let (log, copy) = published(700);
    assert_eq!(copy.objects.keys().filter(|path| low(path)).count(), 8);
    every_change_is_found(&log, &copy, copy.objects.keys());
    let (log, copy) = published(66_000);
    every_change_is_found(&log, &copy, copy.objects.keys().filter(|path| !low(path)));
}

fn every_change_is_found<'p>(log: &TestLog, copy: &Copy, paths: impl Iterator<Item = &'p String>) {
    for path in paths {
        let good = &copy.objects[path];
        let changed = [
            None,
            Some(good[..good.len() - 1].to_vec()),
            Some([good, &[0][..]].concat()),
            Some([&[good[0] ^ 0x80], &good[1..]].concat()),
            Some([&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat()),
        ];
        for changed in changed {
            let mut objects = copy.objects.clone();
            match changed {
                Some(changed) => objects.insert(path.clone(), changed),
                None => objects.remove(path),
            };
            let report = audit(log, &mut Copy { objects, asked: Vec::new() });
            assert!(!report.is_clean(), "{path}");
        }
    }
}

#[test]
fn findings_name_the_entry() {
    let tile = |at: u64, other: crate::transparency::Entry| -> Vec<u8> {
        (0..256)
            .flat_map(|index| if index == at { other.bytes.clone() } else { entry(index).bytes })
            .collect()
    };
    let replaced = |bytes: Vec<u8>| {
        problems(700, move |objects| drop(objects.insert("tile/data/000".to_owned(), bytes)))
    };
    let (original, place) = precertificate(100);
    let changed = precertificate_of(b"tbs of somebody else", &CHAIN.map(sha256), 100);
    let said = replaced(tile(100, changed.at(place).0));
    assert!(said.contains("tile/0/000 has a wrong hash at 100"), "{said}");
    assert!(said.contains("root of the 700 entries is not the checkpoint's"), "{said}");

    let at = |milliseconds| {
        let at = Place { timestamp: UnixMillis(milliseconds), ..place };
        replaced(tile(100, original.clone().at(at).0))
    };
    assert!(at(5).contains("entry 100: its timestamp is before"));
    let said = at(u64::MAX);
    assert!(said.contains("entry 100: its timestamp is after the checkpoint's"), "{said}");
    assert!(said.contains("entry 101: its timestamp is before"), "{said}");
    assert!(replaced(tile(100, entry(99))).contains("entry 100: it says that its index is 99"));

    let foreign = precertificate_of(b"tbs 100", &[[9; 32]], 100);
    let said = replaced(tile(100, foreign.at(place).0));
    assert!(said.contains("entry 100: issuer/0909"), "{said}");

    let said = problems(700, |objects| objects.get_mut("tile/data/000").unwrap().truncate(1000));
    assert!(said.contains("the data tile cannot be read on: malformed"), "{said}");
}

#[test]
fn an_earlier_tree_is_extended_or_the_log_was_forked() {
    let (log, _) = published(700);
    let run = |earlier: TreeHead| {
        let (_, mut copy) = published(700);
        Audit::of_head(head(&log)).extending(earlier).run(&mut copy, &mut |_, _| ()).unwrap()
    };
    for size in [0, 1, 255, 256, 699, 700] {
        let earlier = TreeHead { size, root: log.roots[size as usize], timestamp: UnixMillis(0) };
        let report = run(earlier);
        assert!(report.is_clean(), "{size}: {:?}", report.problems);
        assert_eq!(report.earlier, [earlier]);
        let forked = run(TreeHead { root: [1; 32], ..earlier });
        assert!(forked.problems[0].what.contains("forked"));
    }
    let shrunk = run(TreeHead { size: 701, root: [1; 32], timestamp: UnixMillis(0) });
    assert_eq!(shrunk.problems[0].what, "the log had 701 entries before and has 700 now");
}

#[test]
fn correspondence_is_asked_for_every_entry_with_its_issuer() {
    let (log, mut copy) = published(300);
    let check = |index: u64, logged: &LoggedEntry<'_>, issuer: Option<&[u8]>| {
        assert_eq!(issuer, Some(CHAIN[0]));
        let LoggedEntry::Certificate(entry) = logged else { panic!() };
        let LoggedCertificate::Precertificate { tbs, .. } = entry.certificate() else { panic!() };
        assert_eq!(tbs, format!("tbs {index}").as_bytes());
        if tbs == b"tbs 77" { Err("does not correspond".to_owned()) } else { Ok(()) }
    };
    let report = Audit::of_head(head(&log)).corresponding(&check).run(&mut copy, &mut |_, _| ()).unwrap();
    assert!(report.correspondence);
    assert_eq!(report.problems, [Problem { index: Some(77), what: "does not correspond".to_owned() }]);
}

#[test]
fn an_audit_of_what_is_all_wrong_ends_early() {
    let (log, mut copy) = published(66_000);
    copy.objects.clear();
    let report = audit(&log, &mut copy);
    assert!(report.abandoned);
    assert!(report.problems.len() <= MAX_PROBLEMS);
    let endless = TreeHead { size: u64::MAX, ..head(&log) };
    let report = Audit::of_head(endless).run(&mut copy, &mut |_, _| ()).unwrap();
    assert!(!report.is_clean());
    let huge = TreeHead { size: MAX_SIZE, ..head(&log) };
    assert!(Audit::of_head(huge).run(&mut copy, &mut |_, _| ()).unwrap().abandoned);
}

#[test]
fn a_source_that_fails_ends_the_audit_without_a_result() {
    struct Broken;
    impl TileSource for Broken {
        fn tile(&mut self, _: &TilePath) -> Result<Option<Vec<u8>>, SourceError> {
            Err(SourceError("connection refused".to_owned()))
        }
        fn issuer(&mut self, _: &Hash) -> Result<Option<Vec<u8>>, SourceError> {
            Ok(None)
        }
    }
    let (log, _) = published(10);
    let result = Audit::of_head(head(&log)).run(&mut Broken, &mut |_, _| ());
    assert_eq!(result, Err(SourceError("connection refused".to_owned())));
}
