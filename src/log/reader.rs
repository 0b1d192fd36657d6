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
        (start..end).map(|index| view.entry(index).map(|entry| entry.bytes.to_vec())).collect()
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
mod tests;
