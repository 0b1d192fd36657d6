//! The live part of the log in memory: its head, and every hash and entry that is not in a sealed tile yet.
//!
//! Pure. A view begins at the first unsealed entry, which is a multiple of 256, and holds of every level of the tree the nodes
//! from the first unsealed tile on. So each tile lies wholly in the view or wholly in the store, however far sealing lags; and no
//! proof hashes again what was hashed when the tree grew.

use super::ports::{Head, StoreError, TileStore};
use crate::environment::UnixMillis;
use crate::transparency::merkle::{self, RightEdge};
use crate::transparency::tile::{self, NodeInTile, TILE_HEIGHT, TILE_LEVELS, TILE_WIDTH, TileKind, TilePath};
use crate::transparency::{Entry, Hash};
use std::collections::VecDeque;

/// Levels of the tree that a log may get.
const LEVELS: usize = TILE_LEVELS as usize * TILE_HEIGHT as usize;

/// The live part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The log's head; readers are answered against it.
    pub head: Head,
    /// Everything below this index is in sealed tiles, which are durable. A multiple of 256.
    pub unsealed_start: u64,
    /// The entries from `unsealed_start` to before `head.size`.
    pub unsealed: VecDeque<Entry>,
    /// How many octets these entries have.
    pub unsealed_octets: usize,
    /// For each level of the tree: its complete nodes from the first unsealed tile with that level on.
    nodes: Vec<VecDeque<Hash>>,
}

impl View {
    /// The view of an empty log.
    pub fn empty() -> Self {
        let head = Head {
            size: 0,
            root: merkle::empty_root(),
            timestamp: UnixMillis::default(),
            right_edge: Vec::new(),
        };
        Self {
            head,
            unsealed_start: 0,
            unsealed: VecDeque::new(),
            unsealed_octets: 0,
            nodes: vec![VecDeque::new(); LEVELS],
        }
    }

    /// The view of a stored log: `entries` are those from `start` on to before `head.size`, everything earlier is read
    /// from `tiles`: at most 255 tiles of each level.
    ///
    /// `Corrupt`: entries, tiles and head contradict each other, or a tile is missing.
    pub fn restore(
        head: Head,
        start: u64,
        entries: Vec<Entry>,
        tiles: &dyn TileStore,
    ) -> Result<Self, StoreError> {
        let count = entries.len();
        if !start.is_multiple_of(TILE_WIDTH) || start.checked_add(count as u64) != Some(head.size) {
            return Err(StoreError::Corrupt(format!(
                "the log's head has {} entries, but the {count} entries stored with it begin at {start}",
                head.size
            )));
        }
        let mut view = Self { unsealed_start: start, ..Self::empty() };
        for level in 1..TILE_LEVELS {
            let first = usize::from(level) * TILE_HEIGHT as usize;
            let hashes = unsealed_hashes(level, start, tiles)?;
            view.nodes
                .iter_mut()
                .skip(first)
                .zip(within_a_tile(hashes))
                .for_each(|(kept, nodes)| *kept = nodes);
        }
        view.push_group(head, entries);
        view.check_root(tiles)?;
        Ok(view)
    }

    /// Takes a group that is durable in the head store: `entries` are those from the present size to before `head.size`.
    pub fn push_group(&mut self, head: Head, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            self.push_leaf(entry.leaf_hash);
            self.unsealed_octets += entry.bytes.len();
            self.unsealed.push_back(entry);
        }
        debug_assert_eq!(self.unsealed_start + self.unsealed.len() as u64, head.size);
        self.head = head;
    }

    /// Lets everything go that is in tiles sealed for the first `sealed` entries; rounds down to whole tiles.
    pub fn forget_below(&mut self, sealed: u64) {
        let sealed = sealed.min(self.head.size) / TILE_WIDTH * TILE_WIDTH;
        if sealed <= self.unsealed_start {
            return;
        }
        for (level, nodes) in (0..).zip(&mut self.nodes) {
            let gone = first_unsealed_node(level, sealed) - first_unsealed_node(level, self.unsealed_start);
            nodes.drain(..as_index(gone));
        }
        let gone = self.unsealed.drain(..as_index(sealed - self.unsealed_start));
        self.unsealed_octets -= gone.map(|entry| entry.bytes.len()).sum::<usize>();
        self.unsealed_start = sealed;
    }

    /// The entry `index`, unless it is sealed or not there yet.
    pub fn entry(&self, index: u64) -> Option<&Entry> {
        self.unsealed.get(usize::try_from(index.checked_sub(self.unsealed_start)?).ok()?)
    }

    /// The root of the complete subtree `(level, index)`, see [`merkle`], unless it lies in a sealed tile or is not there yet.
    pub fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let nodes = self.nodes.get(usize::try_from(level).ok()?)?;
        let at = index.checked_sub(first_unsealed_node(level, self.unsealed_start))?;
        nodes.get(usize::try_from(at).ok()?).copied()
    }

    /// The content of a tile, full or partial, unless it is sealed or not there yet.
    pub fn tile(&self, path: &TilePath) -> Option<Vec<u8>> {
        let start = path.index() * TILE_WIDTH;
        let elements = start..start + u64::from(path.width());
        let mut content;
        match path.kind() {
            TileKind::Data => {
                let first = usize::try_from(start.checked_sub(self.unsealed_start)?).ok()?;
                let entries = self.unsealed.iter().skip(first).take(usize::from(path.width()));
                content = Vec::with_capacity(entries.map(|entry| entry.bytes.len()).sum());
                for index in elements {
                    content.extend_from_slice(&self.entry(index)?.bytes);
                }
            }
            TileKind::Hashes(level) => {
                content = Vec::with_capacity(usize::from(path.width()) * 32);
                for index in elements {
                    content.extend_from_slice(&self.node(u32::from(level) * TILE_HEIGHT, index)?);
                }
            }
        }
        Some(content)
    }

    /// Compares the head with what tiles and entries make.
    fn check_root(&self, tiles: &dyn TileStore) -> Result<(), StoreError> {
        let Head { size, root, .. } = self.head;
        let rebuilt = merkle::tree_root(size, &mut |level, index| match self.node(level, index) {
            Some(hash) => Ok(hash),
            None => sealed_node(level, index, tiles),
        })?;
        let edge = RightEdge::from_parts(size, self.head.right_edge.clone()).map(|edge| edge.root());
        if rebuilt == root && edge == Some(root) {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!(
            "the log's head says that {size} entries have the root {}, but tiles and entries make {}",
            hex::encode(root),
            hex::encode(rebuilt)
        )))
    }

    /// Adds a leaf, and the nodes that it completes. Amortised one hash.
    fn push_leaf(&mut self, leaf_hash: Hash) {
        let mut node = Some(leaf_hash);
        for level in &mut self.nodes {
            let Some(complete) = node else { break };
            level.push_back(complete);
            let pair = if level.len().is_multiple_of(2) { level.len().checked_sub(2) } else { None };
            node = pair.and_then(|left| Some(merkle::node_hash(level.get(left)?, &complete)));
        }
    }
}

/// The first node of the tree's `level` in the first tile with that level that is not complete with `sealed` entries.
fn first_unsealed_node(level: u32, sealed: u64) -> u64 {
    let elements = sealed >> (level / TILE_HEIGHT * TILE_HEIGHT);
    (elements / TILE_WIDTH * TILE_WIDTH) >> (level % TILE_HEIGHT)
}

/// The hashes of the incomplete tile of `level` of a tree of `sealed` entries: each is the root of a full tile below.
fn unsealed_hashes(level: u8, sealed: u64, tiles: &dyn TileStore) -> Result<VecDeque<Hash>, StoreError> {
    let elements = TileKind::Hashes(level).elements(sealed);
    (elements / TILE_WIDTH * TILE_WIDTH..elements)
        .map(|index| Ok(merkle::subtree_root(&sealed_hashes(level - 1, index, tiles)?)))
        .collect()
}

/// The nodes above a tile's hashes up to where the next tile level begins, those hashes first.
fn within_a_tile(hashes: VecDeque<Hash>) -> impl Iterator<Item = VecDeque<Hash>> {
    let above = |nodes: &VecDeque<Hash>| {
        let pairs = nodes.iter().step_by(2).zip(nodes.iter().skip(1).step_by(2));
        Some(pairs.map(|(left, right)| merkle::node_hash(left, right)).collect())
    };
    std::iter::successors(Some(hashes), above).take(TILE_HEIGHT as usize)
}

/// The root of the complete subtree `(level, index)`, see [`merkle`], which lies in a sealed tile.
pub(super) fn sealed_node(level: u32, index: u64, tiles: &dyn TileStore) -> Result<Hash, StoreError> {
    let node = NodeInTile::new(level, index).ok_or_else(|| no_node(level, index))?;
    let hashes = sealed_hashes(node.level, node.tile, tiles)?;
    Ok(merkle::subtree_root(&hashes[node.first..node.first + node.count]))
}

/// The 256 hashes of a sealed tile.
fn sealed_hashes(level: u8, index: u64, tiles: &dyn TileStore) -> Result<Vec<Hash>, StoreError> {
    let path = TilePath::full(TileKind::Hashes(level), index)
        .ok_or_else(|| no_node(u32::from(level) * TILE_HEIGHT, index))?;
    let content = sealed_tile(&path, tiles)?;
    check_hashes(&path, &content)?;
    Ok(content.as_chunks().0.to_vec())
}

/// Refuses what is not a full hash tile.
pub(super) fn check_hashes(path: &TilePath, content: &[u8]) -> Result<(), StoreError> {
    if tile::hashes(content, 256).is_some() {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("{path} has {} octets instead of 8192", content.len())))
}

/// A node or tile that is beyond what any log can have.
pub(super) fn no_node(level: u32, index: u64) -> StoreError {
    StoreError::Corrupt(format!("no log has a node {index} at level {level}"))
}

/// The content of a sealed tile, which must be there.
pub(super) fn sealed_tile(path: &TilePath, tiles: &dyn TileStore) -> Result<Vec<u8>, StoreError> {
    let missing = || StoreError::Corrupt(format!("{path} is missing, though the log is beyond it"));
    tiles.get(&path.to_string())?.ok_or_else(missing)
}

/// A number of things in memory.
fn as_index(number: u64) -> usize {
    usize::try_from(number).expect("no more than there are in memory")
}
