//! Everything that readers may ask of a log: tiles, entries, proofs (c2sp.org/static-ct-api, RFC 6962 §4.4 to §4.6, §4.8).
//!
//! Blocking: hashes and entries come from the sealed tiles in a [`TileStore`], and from the live [`View`] as long as they
//! are not sealed. Signed tree heads are not made here.

use super::index::{self, Answer};
use super::ports::{StoreError, TileStore};
use super::view::{self, View};
use crate::transparency::tile::{NodeInTile, TILE_WIDTH, TileKind, TilePath};
use crate::transparency::{Hash, merkle};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Why a reader got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The question is wrong: beyond the tree, or a range that is none. Words for the one who asked.
    #[error("{0}")]
    OutOfRange(String),
    /// The store failed. Words for the operator alone.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long the first entry in the bytes of a data tile is. `None`: there is no entry. What an entry is depends on the
/// log: [`DataTileEntry::length`](crate::transparency::precertificate::DataTileEntry::length) for precertificates.
pub type EntryLength = fn(&[u8]) -> Option<usize>;

/// Answers readers. Cheap to clone; takes the view's lock for moments only, never while the store is read.
#[derive(Clone)]
pub struct LogReader {
    tiles: Arc<dyn TileStore>,
    view: Arc<RwLock<View>>,
    entry_length: EntryLength,
}

impl LogReader {
    /// A reader of the log whose sealed part is in `tiles` and whose live part is `view`.
    pub const fn new(tiles: Arc<dyn TileStore>, view: Arc<RwLock<View>>, entry_length: EntryLength) -> Self {
        Self { tiles, view, entry_length }
    }

    /// The number of entries now.
    pub fn size(&self) -> u64 {
        self.view().head.size
    }

    /// The audit path of the leaf `index` in the tree of the first `size` entries, lowest node first (RFC 6962 §2.1.1).
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        self.check_size(size)?;
        merkle::inclusion_proof(index, size, &mut self.nodes())?.ok_or_else(|| {
            ReadError::OutOfRange(format!("there is no leaf {index} in a tree of {size} entries"))
        })
    }

    /// The same in the present tree, with its size and root, out of memory alone: `None` where a node is sealed already, or where
    /// there is no such leaf. Never blocks for long.
    pub fn live_inclusion_proof(&self, index: u64) -> Option<(u64, Hash, Vec<Hash>)> {
        let view = self.view();
        let (size, root) = (view.head.size, view.head.root);
        let mut live = |level, index| view.node(level, index).ok_or(());
        let proof = merkle::inclusion_proof(index, size, &mut live).ok().flatten()?;
        Some((size, root, proof))
    }

    /// The proof that the tree of `second` entries extends that of `first` (RFC 6962 §2.1.2); empty when `first` is 0 or
    /// `second`.
    pub fn consistency_proof(&self, first: u64, second: u64) -> Result<Vec<Hash>, ReadError> {
        self.check_size(second)?;
        merkle::consistency_proof(first, second, &mut self.nodes())?.ok_or_else(|| {
            ReadError::OutOfRange(format!("the first tree, {first}, is larger than the second, {second}"))
        })
    }

    /// The root of the tree of the first `size` entries.
    pub fn root(&self, size: u64) -> Result<Hash, ReadError> {
        self.check_size(size)?;
        Ok(merkle::tree_root(size, &mut self.nodes())?)
    }

    /// The index of the entry with this leaf hash among the first `size`, or `None`. Looks newest first: in the files that
    /// cover many tiles (see `index`), and where there is none yet in the leaf hashes of a tile, 8 KiB for 256 entries.
    pub fn index_of_leaf(&self, leaf_hash: &Hash, size: u64) -> Result<Option<u64>, ReadError> {
        self.check_size(size)?;
        let sealed = self.view().unsealed_start / TILE_WIDTH;
        let mut end = size.div_ceil(TILE_WIDTH);
        while let Some(tile) = end.checked_sub(1) {
            if let Some((start, at)) = self.index_in_block(leaf_hash, tile, sealed)? {
                if let Some(at) = at.filter(|at| *at < size) {
                    return Ok(Some(at));
                }
                end = start;
                continue;
            }
            let start = tile * TILE_WIDTH;
            let hashes = self.leaf_hashes(tile, (size - start).min(TILE_WIDTH) as u16)?;
            if let Some(at) = hashes.as_chunks::<32>().0.iter().rposition(|hash| hash == leaf_hash) {
                return Ok(Some(start + at as u64));
            }
            end = tile;
        }
        Ok(None)
    }

    /// Looks in the largest block of sealed tiles with this one that has a file: its first tile, and the entry if it is there.
    fn index_in_block(
        &self,
        leaf_hash: &Hash,
        tile: u64,
        sealed: u64,
    ) -> Result<Option<(u64, Option<u64>)>, StoreError> {
        for span in index::SPANS {
            let block = tile / span.tiles();
            if (block + 1) * span.tiles() <= sealed {
                match index::find(span, block, leaf_hash, &*self.tiles)? {
                    Answer::NoFile => {}
                    Answer::Absent => return Ok(Some((block * span.tiles(), None))),
                    Answer::At(at) => return Ok(Some((block * span.tiles(), Some(at)))),
                }
            }
        }
        Ok(None)
    }

    /// The entries from `start` to `end`, both included, as data tiles hold them: at most `cap`, and none beyond the
    /// present end (RFC 6962 §4.6).
    pub fn entries(&self, start: u64, end: u64, cap: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let size = self.size();
        if start > end {
            return Err(ReadError::OutOfRange(format!(
                "the range starts at {start} and ends before, at {end}"
            )));
        }
        if start >= size {
            return Err(ReadError::OutOfRange(format!(
                "there is no entry {start}: the log has {size} entries"
            )));
        }
        let end = end.saturating_add(1).min(size).min(start.saturating_add(cap as u64));
        let mut entries = Vec::new();
        let mut at = start;
        while at < end {
            let tile = at / TILE_WIDTH;
            let tile_end = ((tile + 1) * TILE_WIDTH).min(end);
            match self.live_entries(at, tile_end) {
                Some(live) => entries.extend(live),
                None => self.sealed_entries(at, tile_end, &mut entries)?,
            }
            at = tile_end;
        }
        Ok(entries)
    }

    /// The content of a tile, full or partial, or `None` when the log does not reach that far. A partial tile of a full
    /// one is its beginning.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, ReadError> {
        {
            let view = self.view();
            if !path.is_within(view.head.size) {
                return Ok(None);
            }
            if let Some(content) = view.tile(path) {
                return Ok(Some(content));
            }
        }
        let full = path.to_full();
        let mut content = view::sealed_tile(&full, &*self.tiles)?;
        let length = match path.kind() {
            TileKind::Hashes(_) => {
                view::check_hashes(&full, &content).map(|()| usize::from(path.width()) * 32)?
            }
            // Full ones too: a file that was cut or emptied must not be taken for the tile, and kept by caches.
            TileKind::Data => {
                let entries = self.split(&full, &content)?;
                entries.iter().take(usize::from(path.width())).map(|entry| entry.len()).sum()
            }
        };
        content.truncate(length);
        Ok(Some(content))
    }

    /// The DER of the CA certificate with this SHA-256 (static-ct-api, "Issuers"), or `None`.
    pub fn issuer(&self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.tiles.get(&format!("issuer/{}", hex::encode(fingerprint)))?)
    }

    /// Where a proof finds its nodes: what is not in the view was sealed before it left it. The tile that was read last
    /// is kept, since the nodes of a proof come from few tiles, one after the other.
    fn nodes(&self) -> impl FnMut(u32, u64) -> Result<Hash, StoreError> {
        let mut last: Option<(TilePath, Vec<u8>)> = None;
        move |level, index| {
            if let Some(hash) = self.view().node(level, index) {
                return Ok(hash);
            }
            let (node, path) = NodeInTile::new(level, index)
                .and_then(|node| Some((node, node.path()?)))
                .ok_or_else(|| view::no_node(level, index))?;
            let content = match last.take().filter(|(kept, _)| *kept == path) {
                Some((_, content)) => content,
                None => view::sealed_tile(&path, &*self.tiles)?,
            };
            view::check_hashes(&path, &content)?;
            let (_, content) = last.insert((path, content));
            node.read(content).ok_or_else(|| view::no_node(level, index))
        }
    }

    /// The first `width` leaf hashes of a tile of level 0, as octets.
    fn leaf_hashes(&self, tile: u64, width: u16) -> Result<Vec<u8>, ReadError> {
        let path = TilePath::new(TileKind::Hashes(0), tile, width).ok_or_else(|| view::no_node(0, tile))?;
        Ok(self.tile(&path)?.unwrap_or_default())
    }

    /// The entries from `start` to before `end`, when they are all live.
    fn live_entries(&self, start: u64, end: u64) -> Option<Vec<Vec<u8>>> {
        let view = self.view();
        (start..end).map(|index| view.entry(index).map(|entry| entry.bytes.clone())).collect()
    }

    /// Adds the entries from `start` to before `end`, which all stand in one sealed tile.
    fn sealed_entries(&self, start: u64, end: u64, into: &mut Vec<Vec<u8>>) -> Result<(), StoreError> {
        let path =
            TilePath::full(TileKind::Data, start / TILE_WIDTH).ok_or_else(|| view::no_node(0, start))?;
        let content = view::sealed_tile(&path, &*self.tiles)?;
        let entries = self.split(&path, &content)?;
        let range = (start % TILE_WIDTH) as usize..((end - 1) % TILE_WIDTH) as usize + 1;
        into.extend(entries.get(range).unwrap_or_default().iter().map(|entry| entry.to_vec()));
        Ok(())
    }

    /// The entries of a full data tile.
    fn split<'t>(&self, path: &TilePath, content: &'t [u8]) -> Result<Vec<&'t [u8]>, StoreError> {
        let mut entries = Vec::with_capacity(TILE_WIDTH as usize);
        let mut rest = content;
        while !rest.is_empty() && entries.len() < TILE_WIDTH as usize {
            let Some((entry, more)) =
                (self.entry_length)(rest).and_then(|length| rest.split_at_checked(length))
            else {
                break;
            };
            entries.push(entry);
            rest = more;
        }
        if rest.is_empty() && entries.len() == TILE_WIDTH as usize {
            return Ok(entries);
        }
        Err(StoreError::Corrupt(format!("{path} is not 256 entries")))
    }

    fn check_size(&self, size: u64) -> Result<(), ReadError> {
        let present = self.size();
        if size <= present {
            return Ok(());
        }
        Err(ReadError::OutOfRange(format!("a tree of {size} entries was asked for, the log has {present}")))
    }

    /// The view, as its last writer left it: a panic elsewhere leaves nothing half done that readers could see.
    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
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
                let chosen =
                    |at: &u64| (at + size).is_multiple_of(47) || at.is_multiple_of(128) || size - at < 3;
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
                assert!(
                    matches!(answer, Err(ReadError::Store(StoreError::Corrupt(_)))),
                    "{path}: {answer:?}"
                );
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
                |from, to| -> Vec<Vec<u8>> { (from..to).map(|index| entry(index).bytes).collect() };
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
}
