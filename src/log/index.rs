//! Where an entry stands, by its leaf hash: sorted files beside the tiles, so that a proof by hash costs the same at every size.
//!
//! A file covers a block of 16, 256 or 4,096 full tiles, 4,096 to 1,048,576 entries, and is written once, when its last tile is. It
//! follows from the hash tiles alone: one that is missing is made anew at the next start, and until then its tiles are searched.
//! What it says is looked up in the hash tile before it is believed.
//!
//! A record is the first 8 octets of a leaf hash and the entry's number in its block, 2 octets (3 in the largest), both big-endian;
//! records are in order. Hashes are spread evenly, so where one would stand is known to a few hundred records: one short read finds it.

use super::ports::{StoreError, TileStore};
use super::view::{check_hashes, no_node, sealed_tile};
use crate::transparency::Hash;
use crate::transparency::tile::{TILE_WIDTH, TileKind, TilePath};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Of a leaf hash, in a record.
const PREFIX: usize = 8;
/// How many records of each of its sources the largest span holds in memory while it is made.
const HELD: usize = 4096;

/// How many tiles a file covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// 16.
    Small,
    /// 256.
    Large,
    /// 4,096.
    Huge,
}

/// The largest first, as a search wants them.
pub(super) const SPANS: [Span; 3] = [Span::Huge, Span::Large, Span::Small];

impl Span {
    pub(super) const fn tiles(self) -> u64 {
        match self {
            Self::Small => 16,
            Self::Large => 256,
            Self::Huge => 4096,
        }
    }

    /// Octets of a record.
    const fn record(self) -> usize {
        match self {
            Self::Small | Self::Large => PREFIX + 2,
            Self::Huge => PREFIX + 3,
        }
    }

    const fn records(self) -> usize {
        (self.tiles() * TILE_WIDTH) as usize
    }

    /// How far, in records, a hash stands from where it would on the average: three standard deviations.
    const fn spread(self) -> usize {
        match self {
            Self::Small => 96,
            Self::Large => 384,
            Self::Huge => 1536,
        }
    }

    /// `index/<0|1|2>/…`, numbered as tiles are.
    pub(super) fn path(self, block: u64) -> Option<String> {
        let level = match self {
            Self::Small => 0,
            Self::Large => 1,
            Self::Huge => 2,
        };
        let tile = TilePath::full(TileKind::Hashes(level), block)?.to_string();
        tile.strip_prefix("tile").map(|rest| format!("index{rest}"))
    }
}

/// Makes the files that the full tile with this number completes.
pub(super) fn write_completed_by(tile: u64, tiles: &dyn TileStore) -> Result<(), StoreError> {
    // The smallest first: the largest is made of what is below it.
    for span in SPANS.into_iter().rev() {
        if (tile + 1).is_multiple_of(span.tiles()) {
            write(span, tile / span.tiles(), tiles)?;
        }
    }
    Ok(())
}

/// Makes what is missing of the files for the first `sealed` tiles, newest first; `go_on` is asked between them. Whether
/// nothing is missing any more.
pub(super) fn write_missing(
    sealed: u64,
    tiles: &dyn TileStore,
    go_on: impl Fn() -> bool,
) -> Result<bool, StoreError> {
    // Tiles that a larger one covers.
    let mut covered = 0;
    for span in SPANS {
        let first = covered / span.tiles();
        covered = sealed / span.tiles() * span.tiles();
        for block in (first..sealed / span.tiles()).rev() {
            if !go_on() {
                return Ok(false);
            }
            let path = span.path(block).ok_or_else(|| no_node(0, block))?;
            if tiles.get_range(&path, 0, 0)?.is_none() {
                write(span, block, tiles)?;
            }
        }
    }
    Ok(true)
}

fn write(span: Span, block: u64, tiles: &dyn TileStore) -> Result<(), StoreError> {
    let content = match span {
        Span::Small | Span::Large => sorted(span, block, tiles)?,
        Span::Huge => merged(block, tiles)?,
    };
    let path = span.path(block).ok_or_else(|| no_node(0, block))?;
    tiles.put(&path, &content)
}

/// The records of a block, from its hash tiles.
fn sorted(span: Span, block: u64, tiles: &dyn TileStore) -> Result<Vec<u8>, StoreError> {
    let mut records: Vec<(u64, u16)> = Vec::with_capacity(span.records());
    for tile in block * span.tiles()..(block + 1) * span.tiles() {
        for hash in leaf_hashes(tile, tiles)? {
            // No more than 65,536 of them.
            records.push((prefix(&hash), records.len() as u16));
        }
    }
    records.sort_unstable();
    let mut content = Vec::with_capacity(records.len() * span.record());
    for (prefix, number) in records {
        content.extend(prefix.to_be_bytes());
        content.extend(number.to_be_bytes());
    }
    Ok(content)
}

/// The records of the largest kind of block, from the files below it: sorted in memory they would take as much as the server itself.
fn merged(block: u64, tiles: &dyn TileStore) -> Result<Vec<u8>, StoreError> {
    let blocks = Span::Huge.tiles() / Span::Large.tiles();
    let mut sources = Vec::new();
    for number in 0..blocks {
        let source = block * blocks + number;
        let path = Span::Large.path(source).ok_or_else(|| no_node(0, source))?;
        if tiles.get_range(&path, 0, 0)?.is_none() {
            write(Span::Large, source, tiles)?;
        }
        sources.push(Source {
            path,
            first: number as usize * Span::Large.records(),
            next: 0,
            held: Vec::new(),
            at: 0,
        });
    }
    let mut heads = BinaryHeap::new();
    for (number, source) in sources.iter_mut().enumerate() {
        heads.extend(source.take(tiles)?.map(|record| Reverse((record, number))));
    }
    let mut content = Vec::with_capacity(Span::Huge.records() * Span::Huge.record());
    while let Some(Reverse(((prefix, entry), number))) = heads.pop() {
        content.extend(prefix.to_be_bytes());
        content.extend(entry.to_be_bytes().into_iter().skip(1));
        if let Some(source) = sources.get_mut(number) {
            heads.extend(source.take(tiles)?.map(|record| Reverse((record, number))));
        }
    }
    Ok(content)
}

/// A file that is read from its beginning to its end, a piece at a time.
struct Source {
    path: String,
    /// The number of its first entry in the block that is made.
    first: usize,
    /// How many of its records were read.
    next: usize,
    held: Vec<u8>,
    /// How many octets of those were taken.
    at: usize,
}

impl Source {
    /// The next record: a hash's first octets, and the entry's number in the block that is made. `None`: that was the last one.
    fn take(&mut self, tiles: &dyn TileStore) -> Result<Option<(u64, u32)>, StoreError> {
        let record = Span::Large.record();
        if self.at == self.held.len() {
            let count = HELD.min(Span::Large.records() - self.next);
            let held = tiles.get_range(&self.path, (self.next * record) as u64, count * record)?;
            self.held = held.filter(|held| held.len() == count * record).ok_or_else(|| {
                StoreError::Corrupt(format!("{} is not as long as it was written", self.path))
            })?;
            self.next += count;
            self.at = 0;
        }
        let Some(taken) = self.held.get(self.at..self.at + record) else { return Ok(None) };
        self.at += record;
        Ok(taken.split_first_chunk().map(|(prefix, number)| {
            let number = number.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
            (u64::from_be_bytes(*prefix), number + self.first as u32)
        }))
    }
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is no such file, or it is damaged.
    NoFile,
    /// No entry of the block has this hash.
    Absent,
    /// The entry with this index has it.
    At(u64),
}

/// Looks for a leaf hash in a block.
pub(super) fn find(span: Span, block: u64, hash: &Hash, tiles: &dyn TileStore) -> Result<Answer, StoreError> {
    let path = span.path(block).ok_or_else(|| no_node(0, block))?;
    let wanted = prefix(hash);
    let expected = ((u128::from(wanted) * span.records() as u128) >> 64) as usize;
    let start = expected.saturating_sub(span.spread());
    let end = (expected + span.spread()).min(span.records());
    let record = span.record();
    let Some(part) = tiles.get_range(&path, (start * record) as u64, (end - start) * record)? else {
        return Ok(Answer::NoFile);
    };
    let prefix_of = |part: &[u8]| part.first_chunk().map_or(0, |prefix| u64::from_be_bytes(*prefix));
    let last = |part: &[u8]| part.len().checked_sub(record).and_then(|at| part.get(at..)).map(prefix_of);
    let reaches = part.len() == (end - start) * record
        && (start == 0 || prefix_of(&part) < wanted)
        && (end == span.records() || last(&part).is_some_and(|prefix| prefix > wanted));
    let part = if reaches {
        part
    } else {
        let Some(content) = tiles.get(&path)?.filter(|content| content.len() == span.records() * record)
        else {
            return Ok(Answer::NoFile);
        };
        content
    };
    let records: Vec<&[u8]> = part.chunks_exact(record).collect();
    let from = records.partition_point(|record| prefix_of(record) < wanted);
    for record in records.iter().skip(from).take_while(|record| prefix_of(record) == wanted) {
        let number = record.iter().skip(PREFIX).fold(0, |number, octet| number << 8 | u64::from(*octet));
        if number >= span.records() as u64 {
            return Ok(Answer::NoFile);
        }
        let tile = block * span.tiles() + number / TILE_WIDTH;
        let held = leaf_hashes(tile, tiles)?.get((number % TILE_WIDTH) as usize).copied();
        if held == Some(*hash) {
            return Ok(Answer::At(tile * TILE_WIDTH + number % TILE_WIDTH));
        }
    }
    Ok(Answer::Absent)
}

fn prefix(hash: &Hash) -> u64 {
    hash.first_chunk().map_or(0, |prefix| u64::from_be_bytes(*prefix))
}

fn leaf_hashes(tile: u64, tiles: &dyn TileStore) -> Result<Vec<Hash>, StoreError> {
    let path = TilePath::full(TileKind::Hashes(0), tile).ok_or_else(|| no_node(0, tile))?;
    let content = sealed_tile(&path, tiles)?;
    check_hashes(&path, &content)?;
    Ok(content.as_chunks().0.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryTileStore;
    use crate::transparency::sha256;

    fn hash(index: u64) -> Hash {
        sha256(&index.to_be_bytes())
    }

    fn sealed(tiles: u64) -> MemoryTileStore {
        let store = MemoryTileStore::default();
        for tile in 0..tiles {
            let content: Vec<u8> = (tile * 256..(tile + 1) * 256).flat_map(hash).collect();
            let path = TilePath::full(TileKind::Hashes(0), tile).unwrap();
            store.put(&path.to_string(), &content).unwrap();
        }
        store
    }

    #[test]
    fn every_entry_is_found_in_its_block_and_nothing_else() {
        let store = sealed(256);
        for tile in 0..256 {
            write_completed_by(tile, &store).unwrap();
        }
        for index in (0..65_536).step_by(11).chain([65_535]) {
            let found = find(Span::Large, 0, &hash(index), &store).unwrap();
            assert_eq!(found, Answer::At(index));
            let (block, other) = (index / 4096, (index / 4096 + 1) % 16);
            assert_eq!(find(Span::Small, block, &hash(index), &store).unwrap(), Answer::At(index));
            assert_eq!(find(Span::Small, other, &hash(index), &store).unwrap(), Answer::Absent);
        }
        for absent in [hash(65_536), [0; 32], [255; 32]] {
            assert_eq!(find(Span::Large, 0, &absent, &store).unwrap(), Answer::Absent);
        }
        assert_eq!(find(Span::Large, 1, &hash(1), &store).unwrap(), Answer::NoFile);
    }

    /// A million entries, of which the test makes the tiles without the trees above.
    #[test]
    fn the_largest_is_made_of_those_below_it_and_finds_the_same() {
        let store = sealed(4096);
        assert!(write_missing(4096, &store, || true).unwrap());
        let made = |store: &MemoryTileStore| {
            store.paths().into_iter().filter(|path| path.starts_with("index/2/")).collect::<Vec<_>>()
        };
        assert_eq!(made(&store), ["index/2/000"]);
        for index in (0..1 << 20).step_by(9973).chain([(1 << 20) - 1]) {
            assert_eq!(find(Span::Huge, 0, &hash(index), &store).unwrap(), Answer::At(index));
        }
        for absent in [hash(1 << 20), [0; 32], [255; 32]] {
            assert_eq!(find(Span::Huge, 0, &absent, &store).unwrap(), Answer::Absent);
        }
        // The same where its sources are there already.
        let before = store.get("index/2/000").unwrap();
        store.tamper("index/2/000", None);
        write_completed_by(4095, &store).unwrap();
        assert_eq!(store.get("index/2/000").unwrap(), before);
    }

    #[test]
    fn hashes_that_are_not_spread_evenly_are_found_all_the_same() {
        let store = MemoryTileStore::default();
        let uneven = |index: u64| {
            let mut hash = hash(index);
            hash[..8].copy_from_slice(&(index / 3).to_be_bytes());
            hash
        };
        for tile in 0..16 {
            let content: Vec<u8> = (tile * 256..(tile + 1) * 256).flat_map(uneven).collect();
            store.put(&TilePath::full(TileKind::Hashes(0), tile).unwrap().to_string(), &content).unwrap();
        }
        write_completed_by(15, &store).unwrap();
        for index in 0..4096 {
            assert_eq!(find(Span::Small, 0, &uneven(index), &store).unwrap(), Answer::At(index));
        }
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_damaged_is_no_file() {
        let store = sealed(290);
        assert!(!write_missing(290, &store, || false).unwrap());
        assert!(write_missing(290, &store, || true).unwrap());
        let made: Vec<String> = store.paths().into_iter().filter(|path| path.starts_with("index/")).collect();
        assert_eq!(made, ["index/0/016", "index/0/017", "index/1/000"]);
        assert_eq!(find(Span::Large, 0, &hash(77), &store).unwrap(), Answer::At(77));
        store.tamper("index/1/000", Some(vec![0; 1000]));
        assert_eq!(find(Span::Large, 0, &hash(77), &store).unwrap(), Answer::NoFile);
    }
}
