//! What a copy holds, and what it never takes.

use super::*;
use crate::log::reader::LogReader;
use crate::log::testing::{CHAIN, MemoryTiles, TestLog};
use crate::transparency::precertificate::DataTileEntry;
use std::collections::BTreeMap;

/// A log as a source, with objects that are missing or other than they should be, and an end after so many tiles.
struct Served {
    reader: LogReader,
    changed: BTreeMap<String, Option<Vec<u8>>>,
    tiles_left: usize,
}

impl TileSource for Served {
    fn tile(&mut self, path: &TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        self.tiles_left =
            self.tiles_left.checked_sub(1).ok_or_else(|| SourceError("interrupted".to_owned()))?;
        match self.changed.get(&path.to_string()) {
            Some(changed) => Ok(changed.clone()),
            None => TileSource::tile(&mut self.reader, path),
        }
    }

    fn issuer(&mut self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(CHAIN.iter().find(|issuer| sha256(issuer) == *fingerprint).map(|issuer| issuer.to_vec()))
    }
}

fn served(log: &TestLog) -> Served {
    let reader = LogReader::new(log.tiles.clone(), log.view.clone(), DataTileEntry::length);
    Served { reader, changed: BTreeMap::new(), tiles_left: usize::MAX }
}

fn grown(size: u64) -> TestLog {
    let mut log = TestLog::new();
    log.grow_to(size);
    log.seal(size);
    log
}

fn head(log: &TestLog) -> TreeHead {
    let Head { size, root, timestamp, .. } = log.head();
    TreeHead { size, root, timestamp }
}

/// What a backup keeps between two runs.
struct Kept {
    head: TreeHead,
    edge: Vec<Hash>,
    unsealed: Vec<u8>,
}

fn resume<'a>(kept: &Kept, target: &MemoryTiles) -> Replica<'a> {
    Replica::resume(LogKind::Certificates, &kept.head, kept.edge.clone(), &kept.unsealed, target).unwrap()
}

fn copy(replica: &mut Replica<'_>, log: &TestLog, target: &MemoryTiles) -> Result<Kept, ReplicaError> {
    let head = head(log);
    replica.extend(&head, &mut served(log), target, &mut |_| ())?;
    Ok(Kept { head, edge: replica.head().right_edge.clone(), unsealed: replica.unsealed() })
}

#[test]
fn a_copy_that_is_carried_on_is_the_log_octet_for_octet() {
    let sizes = [0, 1, 255, 256, 257, 300, 300, 512, 1000, 65_535, 65_536, 65_800];
    let (mut log, target) = (TestLog::new(), MemoryTiles::default());
    let mut kept: Option<Kept> = None;
    for size in sizes {
        log.grow_to(size);
        log.seal(size);
        let mut replica =
            kept.as_ref().map_or_else(|| Replica::empty(LogKind::Certificates), |kept| resume(kept, &target));
        let announced: Vec<TilePath> = replica.tiles(&head(&log)).collect();
        let new = kept.as_ref().map_or(0, |kept| kept.head.size / 256)..size.div_ceil(256);
        assert!(announced.len() as u64 <= new.end - new.start.min(new.end), "{size}: nothing old is read");
        kept = Some(copy(&mut replica, &log, &target).unwrap());
        assert_eq!(replica.view().head, log.head(), "{size}");
        assert!(replica.missing_issuers().is_empty());
    }
    let mut tiles = target.0.lock().unwrap().clone();
    for issuer in CHAIN {
        assert_eq!(tiles.remove(&issuer_path(&sha256(issuer))).as_deref(), Some(issuer));
    }
    assert_eq!(tiles, *log.tiles.0.lock().unwrap());
}

#[test]
fn a_copy_interrupted_after_any_tile_goes_on_to_the_same_copy() {
    let log = grown(1100);
    let whole = MemoryTiles::default();
    copy(&mut Replica::empty(LogKind::Certificates), &log, &whole).unwrap();
    for end in 0..5 {
        let target = MemoryTiles::default();
        let mut source = served(&log);
        source.tiles_left = end;
        let mut first = Replica::empty(LogKind::Certificates);
        let error = first.extend(&head(&log), &mut source, &target, &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the log cannot be read: interrupted");
        copy(&mut Replica::empty(LogKind::Certificates), &log, &target).unwrap();
        assert_eq!(*target.0.lock().unwrap(), *whole.0.lock().unwrap(), "after {end} tiles");
    }
}

/// A log whose entries from `from` on are others.
fn forked(from: u64, size: u64) -> TestLog {
    let mut log = TestLog::new();
    log.grow_to(from);
    // The entry that was never answered there.
    let (_, place) = crate::log::testing::precertificate(from);
    let other = crate::log::testing::precertificate_of(b"another", &CHAIN.map(sha256), from);
    log.push(vec![other.at(place).0]);
    log.grow_to(size);
    log.seal(size);
    log
}

#[test]
fn a_forked_or_shrunk_log_never_gets_into_the_copy() {
    for held in [1, 255, 256, 300, 700] {
        let target = MemoryTiles::default();
        let kept = copy(&mut Replica::empty(LogKind::Certificates), &grown(held), &target).unwrap();
        let before = target.0.lock().unwrap().clone();
        for from in [0, held / 2, held - 1] {
            for size in [held, held + 1, 1200] {
                let log = forked(from, size);
                let mut replica = resume(&kept, &target);
                let error = copy(&mut replica, &log, &target).err();
                let refused = matches!(
                    error,
                    Some(
                        ReplicaError::Forked { .. } | ReplicaError::Root { .. } | ReplicaError::Shrunk { .. }
                    )
                );
                assert!(refused, "{held} {from} {size}: {error:?}");
                assert_eq!(*target.0.lock().unwrap(), before, "nothing of it was written");
            }
        }
        let error = copy(&mut resume(&kept, &target), &grown(held - 1), &target).err();
        assert_eq!(error, Some(ReplicaError::Shrunk { source_size: held - 1, held }));
        // What forks afterwards is not known to be a fork: it is an extension.
        copy(&mut resume(&kept, &target), &forked(held, 1200), &target).unwrap();
    }
}

#[test]
fn hash_tiles_that_lie_about_the_beginning_do_not_help_a_fork() {
    let target = MemoryTiles::default();
    let kept = copy(&mut Replica::empty(LogKind::Certificates), &grown(512), &target).unwrap();
    let (honest, fork) = (grown(512), forked(3, 1024));
    let mut source = served(&fork);
    for tile in ["tile/0/000", "tile/0/001"] {
        source.changed.insert(tile.to_owned(), honest.tiles.get(tile).unwrap());
    }
    let partial = honest.view.read().unwrap().tile(&TilePath::parse("tile/1/000.p/2").unwrap()).unwrap();
    let rest = fork.view.read().unwrap().tile(&TilePath::parse("tile/1/000.p/4").unwrap()).unwrap();
    let mixed = [&partial, &rest[64..]].concat();
    source.changed.insert("tile/1/000.p/4".to_owned(), Some(mixed));
    let error = resume(&kept, &target).extend(&head(&fork), &mut source, &target, &mut |_| ()).unwrap_err();
    assert_eq!(error, ReplicaError::Root { size: 1024 });
}

#[test]
fn a_tree_that_is_known_must_be_its_beginning() {
    let log = grown(700);
    let known = |size: u64, root| [Known { size, root, from: "a friend".to_owned() }];
    for size in [0, 1, 256, 300, 700] {
        let root = log.roots[size as usize];
        let target = MemoryTiles::default();
        copy(
            &mut Replica::empty(LogKind::Certificates).beginning_with(known(size, Some(root))),
            &log,
            &target,
        )
        .unwrap();
        copy(&mut Replica::empty(LogKind::Certificates).beginning_with(known(size, None)), &log, &target)
            .unwrap();
        let error = copy(
            &mut Replica::empty(LogKind::Certificates).beginning_with(known(size, Some([9; 32]))),
            &log,
            &target,
        )
        .err();
        assert_eq!(error, Some(ReplicaError::Forked { size, known: "a friend".to_owned() }));
    }
}

#[test]
fn damaged_tiles_are_refused_with_their_name_and_the_copy_stays_what_it_was() {
    let log = grown(700);
    let good = log.tiles.get("tile/data/001").unwrap().unwrap();
    let cut = good[..good.len() - 1].to_vec();
    let longer = [&good[..], b"?"].concat();
    let mut flipped = good.clone();
    flipped[30] ^= 1;
    let other = log.tiles.get("tile/data/000").unwrap().unwrap();
    for (changed, said) in [
        (None, "tile/data/001 is missing"),
        (Some(cut), "entry 511"),
        (Some(longer), "tile/data/001"),
        (Some(flipped), "the 700 entries do not make the root"),
        (Some(other), "it says that its index is 0"),
        (Some(Vec::new()), "entry 256"),
    ] {
        let target = MemoryTiles::default();
        let mut source = served(&log);
        source.changed.insert("tile/data/001".to_owned(), changed);
        let error = Replica::empty(LogKind::Certificates)
            .extend(&head(&log), &mut source, &target, &mut |_| ())
            .unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[test]
fn a_damaged_copy_is_not_carried_on() {
    let log = grown(700);
    let target = MemoryTiles::default();
    let kept = copy(&mut Replica::empty(LogKind::Certificates), &log, &target).unwrap();
    let resumed = |head: &TreeHead, edge, unsealed: &[u8]| {
        Replica::resume(LogKind::Certificates, head, edge, unsealed, &target).map(drop)
    };
    resumed(&kept.head, kept.edge.clone(), &kept.unsealed).unwrap();
    let other = TreeHead { root: [1; 32], ..kept.head };
    assert!(resumed(&other, kept.edge.clone(), &kept.unsealed).is_err());
    assert!(resumed(&TreeHead { size: 699, ..kept.head }, kept.edge.clone(), &kept.unsealed).is_err());
    assert!(resumed(&kept.head, kept.edge[1..].to_vec(), &kept.unsealed).is_err());
    assert!(resumed(&kept.head, kept.edge.clone(), &kept.unsealed[..kept.unsealed.len() - 1]).is_err());
    assert!(resumed(&kept.head, kept.edge.clone(), b"").is_err());
    target.0.lock().unwrap().remove("tile/0/001");
    assert!(resumed(&kept.head, kept.edge.clone(), &kept.unsealed).is_err());
}

#[test]
fn what_an_audit_would_refuse_of_an_entry_is_refused() {
    let log = grown(300);
    let target = MemoryTiles::default();
    let no = |_: u64, _: &LoggedEntry<'_>, issuer: Option<&[u8]>| {
        assert_eq!(issuer, Some(CHAIN[0]));
        Err("it is not signed".to_owned())
    };
    let mut replica = Replica::empty(LogKind::Certificates).corresponding(&no);
    let error = replica.extend(&head(&log), &mut served(&log), &target, &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "entry 0: it is not signed");
    let early = TreeHead { timestamp: UnixMillis(1_000_010), ..head(&log) };
    let error = Replica::empty(LogKind::Certificates)
        .extend(&early, &mut served(&log), &target, &mut |_| ())
        .unwrap_err();
    assert!(error.to_string().contains("after the checkpoint's"), "{error}");
}

#[test]
fn a_target_with_other_bytes_keeps_them_and_is_said_so() {
    let (log, target) = (grown(300), MemoryTiles::default());
    target.put("tile/0/000", b"other").unwrap();
    let error = copy(&mut Replica::empty(LogKind::Certificates), &log, &target).err();
    assert!(matches!(error, Some(ReplicaError::Target(StoreError::Corrupt(_)))), "{error:?}");
}
