//! Where an entry stands, by its leaf hash: sorted files beside the tiles, so that a proof by hash costs the same at every size.
//!
//! A file covers a block of 16 or of 256 full tiles, 4,096 or 65,536 entries, and is written once, when its last tile is. It is
//! made of the hash tiles alone: one that is missing is made anew at the next start, and until then its tiles are searched.
//! What it says is looked up in the hash tile before it is believed.
//!
//! A record is the first 8 octets of a leaf hash and the entry's number in its block, 2 octets, both big-endian; records are in
//! order. Hashes are spread evenly, so where one would stand is known to a few hundred records: one short read finds it.

use super::ports::{StoreError, TileStore};
use super::view::{check_hashes, no_node, sealed_tile};
use crate::transparency::Hash;
use crate::transparency::tile::{TILE_WIDTH, TileKind, TilePath};

const RECORD: usize = 10;

/// How many tiles a file covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// 16.
    Small,
    /// 256.
    Large,
}

/// The largest first, as a search wants them.
pub(super) const SPANS: [Span; 2] = [Span::Large, Span::Small];

impl Span {
    pub(super) const fn tiles(self) -> u64 {
        match self {
            Self::Small => 16,
            Self::Large => 256,
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
        }
    }

    /// `index/<0|1>/…`, numbered as tiles are.
    pub(super) fn path(self, block: u64) -> Option<String> {
        let level = match self {
            Self::Small => 0,
            Self::Large => 1,
        };
        let tile = TilePath::full(TileKind::Hashes(level), block)?.to_string();
        tile.strip_prefix("tile").map(|rest| format!("index{rest}"))
    }
}

/// Makes the files that the full tile with this number completes.
pub(super) fn write_completed_by(tile: u64, tiles: &dyn TileStore) -> Result<(), StoreError> {
    for span in SPANS {
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
    for span in SPANS {
        // A large one stands for its small ones.
        let first = if span == Span::Large { 0 } else { sealed / 256 * 16 };
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
    let mut records: Vec<(u64, u16)> = Vec::with_capacity(span.records());
    for tile in block * span.tiles()..(block + 1) * span.tiles() {
        for hash in leaf_hashes(tile, tiles)? {
            // No more than 65,536 of them.
            records.push((prefix(&hash), records.len() as u16));
        }
    }
    records.sort_unstable();
    let mut content = Vec::with_capacity(records.len() * RECORD);
    for (prefix, number) in records {
        content.extend(prefix.to_be_bytes());
        content.extend(number.to_be_bytes());
    }
    let path = span.path(block).ok_or_else(|| no_node(0, block))?;
    tiles.put(&path, &content)
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
    let Some(part) = tiles.get_range(&path, (start * RECORD) as u64, (end - start) * RECORD)? else {
        return Ok(Answer::NoFile);
    };
    let records = part.as_chunks::<RECORD>().0;
    let number = |record: &[u8; RECORD]| record.first_chunk().map_or(0, |prefix| u64::from_be_bytes(*prefix));
    let reaches = part.len() == (end - start) * RECORD
        && (start == 0 || records.first().is_some_and(|record| number(record) < wanted))
        && (end == span.records() || records.last().is_some_and(|record| number(record) > wanted));
    let whole;
    let records = if reaches {
        records
    } else {
        let Some(content) = tiles.get(&path)?.filter(|content| content.len() == span.records() * RECORD)
        else {
            return Ok(Answer::NoFile);
        };
        whole = content;
        whole.as_chunks::<RECORD>().0
    };
    let from = records.partition_point(|record| number(record) < wanted);
    for record in records.iter().skip(from).take_while(|record| number(record) == wanted) {
        let [.., high, low] = *record;
        let at = u64::from(u16::from_be_bytes([high, low]));
        let tile = block * span.tiles() + at / TILE_WIDTH;
        let held = leaf_hashes(tile, tiles)?.get((at % TILE_WIDTH) as usize).copied();
        if held == Some(*hash) {
            return Ok(Answer::At(tile * TILE_WIDTH + at % TILE_WIDTH));
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
