//! Tiles (c2sp.org/tlog-tiles, static-ct-api "Merkle Tree", "Log Entries"): their paths, their widths, their hashes.
//!
//! A hash tile of level `L` holds up to 256 nodes of the Merkle tree's level `8 L`; a data tile up to 256 entries.

use super::{Hash, MAX_SIZE, merkle};
use std::fmt;

/// Nodes or entries in a full tile.
pub const TILE_WIDTH: u64 = 256;

/// Levels of the Merkle tree in a tile: `2^TILE_HEIGHT` is [`TILE_WIDTH`].
pub const TILE_HEIGHT: u32 = 8;

/// Levels of hash tiles: 0 to 5, as much as 2^40 entries can fill (static-ct-api).
pub const TILE_LEVELS: u8 = 6;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Entries: `tile/data/…`.
    Data,
    /// Hashes of a level from 0 to 5: `tile/0/…`.
    Hashes(u8),
}

impl TileKind {
    /// How many leaves of the tree one element stands for, as a power of two.
    const fn height(self) -> u32 {
        match self {
            Self::Data => 0,
            Self::Hashes(level) => level as u32 * TILE_HEIGHT,
        }
    }

    /// How many elements of this kind a tree of `size` entries has.
    pub const fn elements(self, size: u64) -> u64 {
        match size.checked_shr(self.height()) {
            Some(elements) => elements,
            None => 0,
        }
    }
}

/// The path of a tile, `tile/0/x001/x234/067` or `tile/data/000.p/5`. Its text is canonical: one tile, one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// The tile number `index` of a kind with `width` elements, 1 to 256. `None` for what no log can have.
    pub const fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level_exists = match kind {
            TileKind::Data => true,
            TileKind::Hashes(level) => level < TILE_LEVELS,
        };
        if level_exists && index < MAX_SIZE / TILE_WIDTH && width >= 1 && width <= 256 {
            Some(Self { kind, index, width })
        } else {
            None
        }
    }

    /// The full tile number `index` of a kind.
    pub const fn full(kind: TileKind, index: u64) -> Option<Self> {
        Self::new(kind, index, 256)
    }

    /// Reads a path, without a leading slash. Strict: three-digit groups, all but the last with an `x` in front and
    /// none superfluous, widths 1 to 255 after `.p/`, levels 0 to 5, no leading zeros.
    pub fn parse(text: &str) -> Option<Self> {
        // The longest: tile/data/x004/x294/x967/295.p/255
        if text.len() > 40 {
            return None;
        }
        let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
        let kind = match level.as_bytes() {
            b"data" => TileKind::Data,
            [digit @ b'0'..=b'5'] => TileKind::Hashes(digit - b'0'),
            _ => return None,
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, parse_partial_width(width)?),
            None => (rest, 256),
        };
        Self::new(kind, parse_index(index)?, width)
    }

    /// What the tile holds.
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its number, counted from 0 within its kind.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Number of its hashes or entries, 1 to 256.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it has 256 hashes or entries.
    pub const fn is_full(&self) -> bool {
        self.width == 256
    }

    /// The full tile that this one is, or becomes.
    pub const fn to_full(self) -> Self {
        Self { width: 256, ..self }
    }

    /// Whether a tree of `size` entries has every element of this tile.
    pub const fn is_within(&self, size: u64) -> bool {
        self.index * TILE_WIDTH + self.width as u64 <= self.kind.elements(size)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Data => f.write_str("tile/data/")?,
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut unit = 1_000_000_000;
        while unit > 1 {
            if self.index >= unit {
                write!(f, "x{:03}/", self.index / unit % 1000)?;
            }
            unit /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// The tile number `index` of a kind as a tree of `size` entries has it: full, partial, or `None` when it would be empty.
pub fn tile_at(kind: TileKind, index: u64, size: u64) -> Option<TilePath> {
    let elements = kind.elements(size).checked_sub(index.checked_mul(TILE_WIDTH)?)?;
    TilePath::new(kind, index, u16::try_from(elements.min(TILE_WIDTH)).ok()?)
}

/// The full tiles that come into being when a log grows from `before` to `after` entries, each after those below it:
/// for every 256 entries the data tile, the tile of level 0, then those of higher levels that are completed with it.
pub fn completed_tiles(before: u64, after: u64) -> impl Iterator<Item = TilePath> {
    (before / TILE_WIDTH..after / TILE_WIDTH).flat_map(tiles_completed_by)
}

/// The full tiles that are complete once the data tile number `index` is.
pub fn tiles_completed_by(index: u64) -> impl Iterator<Item = TilePath> {
    let size = index.saturating_add(1).saturating_mul(TILE_WIDTH);
    let hashes = (0..TILE_LEVELS)
        .take_while(move |level| size.trailing_zeros() >= (u32::from(*level) + 1) * TILE_HEIGHT)
        .filter_map(move |level| {
            let kind = TileKind::Hashes(level);
            TilePath::full(kind, (kind.elements(size) / TILE_WIDTH).checked_sub(1)?)
        });
    TilePath::full(TileKind::Data, index).into_iter().chain(hashes)
}

/// Where a node of the Merkle tree is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInTile {
    /// Level of the hash tile.
    pub level: u8,
    /// Number of the tile.
    pub tile: u64,
    /// The first of the tile's hashes that the node is the root of, 0 to 255.
    pub first: usize,
    /// How many hashes of the tile it is the root of: 1, 2, 4 … 128.
    pub count: usize,
}

impl NodeInTile {
    /// Finds the node `(level, index)` of the tree, see [`merkle`]. `None` for what no log can have.
    pub fn new(level: u32, index: u64) -> Option<Self> {
        let tile_level = u8::try_from(level / TILE_HEIGHT).ok().filter(|level| *level < TILE_LEVELS)?;
        let count = 1_u64 << (level % TILE_HEIGHT);
        let first = index.checked_mul(count).filter(|first| *first < MAX_SIZE)?;
        Some(Self {
            level: tile_level,
            tile: first / TILE_WIDTH,
            first: usize::try_from(first % TILE_WIDTH).ok()?,
            count: usize::try_from(count).ok()?,
        })
    }

    /// The full tile with this node.
    pub const fn path(&self) -> Option<TilePath> {
        TilePath::full(TileKind::Hashes(self.level), self.tile)
    }

    /// The node, out of the bytes of its tile, full or partial. `None` when the tile does not reach that far.
    pub fn read(&self, tile: &[u8]) -> Option<Hash> {
        let (hashes, []) = tile.as_chunks::<32>() else { return None };
        Some(merkle::subtree_root(hashes.get(self.first..self.first.checked_add(self.count)?)?))
    }
}

/// The hashes of a hash tile, which must be exactly `width`.
pub fn hashes(tile: &[u8], width: u16) -> Option<&[Hash]> {
    match tile.as_chunks() {
        (hashes, []) if hashes.len() == usize::from(width) => Some(hashes),
        _ => None,
    }
}

/// `.p/W`: 1 to 255 without leading zeros.
fn parse_partial_width(text: &str) -> Option<u16> {
    let width: u16 = canonical_digits(text)?.parse().ok()?;
    (1..=255).contains(&width).then_some(width)
}

/// Digits only, the first of them no zero.
fn canonical_digits(text: &str) -> Option<&str> {
    let canonical = text.bytes().all(|octet| octet.is_ascii_digit()) && !text.starts_with('0');
    (canonical && !text.is_empty()).then_some(text)
}

/// `x001/x234/067`.
fn parse_index(text: &str) -> Option<u64> {
    let (groups, last) = match text.rsplit_once('/') {
        Some((groups, last)) => (Some(groups), last),
        None => (None, text),
    };
    let mut index = 0_u64;
    for group in groups.into_iter().flat_map(|groups| groups.split('/')) {
        let group = parse_group(group.strip_prefix('x')?)?;
        // A first group of zeros would be a second text for the same number.
        if index == 0 && group == 0 {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    index.checked_mul(1000)?.checked_add(parse_group(last)?)
}

fn parse_group(text: &str) -> Option<u64> {
    match text.as_bytes() {
        [a, b, c] if text.bytes().all(|octet| octet.is_ascii_digit()) => {
            Some([a, b, c].into_iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_paths_are_read_and_written_the_same() {
        for (text, kind, index, width) in [
            ("tile/0/000", TileKind::Hashes(0), 0, 256),
            ("tile/5/000.p/1", TileKind::Hashes(5), 0, 1),
            ("tile/0/999.p/255", TileKind::Hashes(0), 999, 255),
            ("tile/0/x001/000", TileKind::Hashes(0), 1000, 256),
            ("tile/1/x001/x234/067", TileKind::Hashes(1), 1_234_067, 256),
            ("tile/data/x001/x234/067.p/10", TileKind::Data, 1_234_067, 10),
            ("tile/data/x010/x000/000", TileKind::Data, 10_000_000, 256),
            ("tile/0/x004/x294/x967/295.p/100", TileKind::Hashes(0), (1 << 32) - 1, 100),
        ] {
            let path = TilePath::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((path.kind(), path.index(), path.width()), (kind, index, width));
            assert_eq!(path.to_string(), text);
            assert_eq!(TilePath::new(kind, index, width), Some(path));
        }
    }

    #[test]
    fn every_other_text_is_refused() {
        for text in [
            "",
            "tile",
            "tile/",
            "tile//",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0//000",
            "Tile/0/000",
            "tile/6/000",
            "tile/9/000",
            "tile/10/000",
            "tile/00/000",
            "tile/+0/000",
            "tile/-1/000",
            "tile/x/000",
            "tile/Data/000",
            "tile/entries/000",
            "tile/data",
            "tile/data/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/1000",
            "tile/0/x000",
            "tile/0/x001",
            "tile/0/x000/000",
            "tile/0/x000/001",
            "tile/0/x000/x001/000",
            "tile/0/001/000",
            "tile/0/X001/000",
            "tile/0/xx01/000",
            "tile/0/x01/000",
            "tile/0/x0001/000",
            "tile/0/x001/x000",
            "tile/0/+01",
            "tile/0/-01",
            "tile/0/ 01",
            "tile/0/0 1",
            "tile/0/\u{664}\u{664}\u{664}",
            "tile/0/x004/x294/x967/296",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/00",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/-1",
            "tile/0/000.p/256",
            "tile/0/000.p/257",
            "tile/0/000.p/65537",
            "tile/0/000.p/99999999999999999999",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/000.P/1",
            "tile/0/000p/1",
            "tile/0/.p/1",
            "tile/0/000.p/1 ",
            "tile/0/000?",
            "tile/0/../0/000",
            "tile/0/%30%30%30",
            "tile/0/000\0",
            "tile/0/000\n",
        ] {
            assert_eq!(TilePath::parse(text), None, "{text:?}");
        }
        assert_eq!(TilePath::new(TileKind::Hashes(6), 0, 1), None);
        assert_eq!(TilePath::new(TileKind::Data, 1 << 32, 1), None);
        assert_eq!(TilePath::new(TileKind::Data, 0, 0), None);
        assert_eq!(TilePath::new(TileKind::Data, 0, 257), None);
    }

    #[test]
    fn a_tree_of_70_000_entries_has_the_tiles_that_the_specification_counts() {
        let tile = |kind, index| tile_at(kind, index, 70_000).map(|path| path.width());
        assert_eq!(tile(TileKind::Data, 272), Some(256));
        assert_eq!(tile(TileKind::Data, 273), Some(112));
        assert_eq!(tile(TileKind::Data, 274), None);
        assert_eq!(tile(TileKind::Hashes(1), 0), Some(256));
        assert_eq!(tile(TileKind::Hashes(1), 1), Some(17));
        assert_eq!(tile(TileKind::Hashes(2), 0), Some(1));
        assert_eq!(tile(TileKind::Hashes(2), 1), None);
        assert_eq!(tile(TileKind::Hashes(3), 0), None);
        assert_eq!(tile(TileKind::Data, u64::MAX), None);
        assert_eq!(tile_at(TileKind::Data, 0, 256).map(|path| path.is_full()), Some(true));
        assert_eq!(tile_at(TileKind::Hashes(1), 0, 256).map(|path| path.width()), Some(1));
    }

    #[test]
    fn tiles_complete_in_the_order_in_which_they_rest_on_each_other() {
        let text = |before, after| -> Vec<String> {
            completed_tiles(before, after).map(|path| path.to_string()).collect()
        };
        assert!(text(0, 255).is_empty());
        assert_eq!(text(255, 256), ["tile/data/000", "tile/0/000"]);
        assert!(text(256, 511).is_empty());
        assert_eq!(text(100, 700), ["tile/data/000", "tile/0/000", "tile/data/001", "tile/0/001"]);
        assert_eq!(text(65_535, 65_536), ["tile/data/255", "tile/0/255", "tile/1/000"]);
        assert_eq!(text(131_071, 131_072), ["tile/data/511", "tile/0/511", "tile/1/001"]);
        let third = ["tile/data/x065/535", "tile/0/x065/535", "tile/1/255", "tile/2/000"];
        assert_eq!(text((1 << 24) - 1, 1 << 24), third);
    }

    #[test]
    fn a_tile_is_within_the_trees_that_have_all_of_it() {
        let within = |text, size| TilePath::parse(text).is_some_and(|path| path.is_within(size));
        assert!(within("tile/0/000.p/5", 5) && !within("tile/0/000.p/6", 5));
        assert!(within("tile/0/000", 256) && !within("tile/0/000", 255));
        assert!(within("tile/1/000.p/1", 256) && !within("tile/1/000.p/1", 255));
        assert!(within("tile/data/001.p/1", 257) && !within("tile/data/001.p/1", 256));
        assert!(!within("tile/5/x004/x294/x967/295", u64::MAX));
    }

    #[test]
    fn nodes_are_found_in_their_tiles() {
        let tile: Vec<u8> = (0..=255_u8).flat_map(|index| [index; 32]).collect();
        let hashes = hashes(&tile, 256).unwrap();
        for (level, index) in [(0, 0), (0, 255), (1, 127), (3, 5), (7, 0), (7, 1)] {
            let node = NodeInTile::new(level, index).unwrap();
            assert_eq!((node.level, node.tile), (0, 0));
            let start = (index << level) as usize;
            let expected = merkle::subtree_root(&hashes[start..start + (1 << level)]);
            assert_eq!(node.read(&tile), Some(expected), "{level} {index}");
            let reach = (start + (1 << level)) * 32;
            assert_eq!(node.read(&tile[..reach]), Some(expected), "a partial tile has it");
            assert_eq!(node.read(&tile[..reach - 32]), None);
            assert_eq!(node.read(&tile[..reach - 1]), None);
        }
        let node = NodeInTile::new(17, 129).unwrap();
        assert_eq!((node.level, node.tile, node.first, node.count), (2, 1, 2, 2));
        assert_eq!(NodeInTile::new(48, 0), None);
        assert_eq!(NodeInTile::new(7, u64::MAX), None);
        assert_eq!(NodeInTile::new(0, u64::MAX), None);
        assert_eq!(super::hashes(&tile, 255), None);
        assert_eq!(super::hashes(&tile[1..], 256), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_would_be_written(text in "tile/([0-9]|data|[0-9]{2})/(x?[0-9]{2,4}/){0,4}x?[0-9]{3}(\\.p/[0-9]{1,3})?") {
            if let Some(path) = TilePath::parse(&text) {
                prop_assert_eq!(path.to_string(), text);
            }
        }

        #[test]
        fn every_tile_has_a_text_that_reads_back(level in 0_u8..7, index in 0_u64..1 << 32, shift in 0..32, width in 1_u16..=256) {
            let kind = TileKind::Hashes(level).min(TileKind::Hashes(5));
            for kind in [kind, TileKind::Data] {
                let path = TilePath::new(kind, index >> shift, width).unwrap();
                prop_assert_eq!(TilePath::parse(&path.to_string()), Some(path));
            }
        }

        #[test]
        fn any_text_and_any_numbers_are_survived(text in "\\PC{0,60}", level in any::<u32>(), index in any::<u64>(), size in any::<u64>()) {
            let _ = TilePath::parse(&text);
            let _ = TilePath::parse(&format!("tile/{text}"));
            let _ = NodeInTile::new(level, index);
            let _ = tile_at(TileKind::Hashes(level as u8), index, size);
            prop_assert!(tiles_completed_by(index).count() <= 7);
        }
    }
}
