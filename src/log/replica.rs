//! A second copy of a log, made tile by tile out of the entries: a backup, or the log that is put back from one.
//!
//! Nothing of the tree is copied. Entries are read, every hash and every hash tile is made of them as the log makes its own,
//! and at the end their root must be the one that the log's key signed. A copy that held the beginning is carried on from
//! there: then the signed root proves as well that the source is an extension of what the copy held.

use super::audit::{Correspondence, SourceError, TileSource};
use super::kind::{LogKind, LoggedEntry};
use super::ports::{Head, StoreError, TileStore};
use super::view::View;
use crate::environment::UnixMillis;
use crate::transparency::checkpoint::TreeHead;
use crate::transparency::merkle::{self, RightEdge};
use crate::transparency::tile::{NodeInTile, TILE_WIDTH, TileKind, TilePath, tile_at, tiles_completed_by};
use crate::transparency::{Entry, Hash, MAX_SIZE, sha256};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Why a copy was not made. What was written of it stays, and the next try goes on with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The source failed.
    #[error("the log cannot be read: {0}")]
    Source(#[from] SourceError),
    /// A tile that the source must have is not there.
    #[error("{0} is missing, or is not the width that it should be")]
    Missing(String),
    /// An entry of the source is not what a log may hold.
    #[error("entry {index}: {what}")]
    Entry {
        /// Its index.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// The source has fewer entries than the copy.
    #[error(
        "the log has {source_size} entries, {held} were known: it has lost entries, or was put back to an older state"
    )]
    Shrunk {
        /// Entries of the source.
        source_size: u64,
        /// Entries of the copy.
        held: u64,
    },
    /// The source is another history than what is known of the log.
    #[error(
        "the first {size} entries are not those of {known}: one of the two is of another log, or the log was forked"
    )]
    Forked {
        /// How many entries the trees that differ have.
        size: u64,
        /// Where the other tree is known from.
        known: String,
    },
    /// The entries do not make the signed root.
    #[error(
        "the {size} entries do not make the root that the log's key signed: a tile is damaged, or of another history; \
         `countersign log audit` says which"
    )]
    Root {
        /// The size that was signed.
        size: u64,
    },
    /// The copy cannot be written.
    #[error("{0}")]
    Target(#[from] StoreError),
}

/// A tree that the log is known to have had: whatever is copied must begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Number of entries.
    pub size: u64,
    /// Their tree hash, where that is known too.
    pub root: Option<Hash>,
    /// Where that is known from, for people.
    pub from: String,
}

/// A copy on its way.
pub struct Replica<'a> {
    kind: LogKind,
    view: View,
    edge: RightEdge,
    /// The time of the last entry, where it is at hand.
    last: UnixMillis,
    known: Vec<Known>,
    correspondence: Option<&'a Correspondence<'a>>,
    present_issuers: BTreeSet<Hash>,
    missing_issuers: BTreeSet<Hash>,
}

impl<'a> Replica<'a> {
    /// A copy with nothing in it.
    pub fn empty(kind: LogKind) -> Self {
        Self {
            kind,
            view: View::empty(),
            edge: RightEdge::new(),
            last: UnixMillis(0),
            known: Vec::new(),
            correspondence: None,
            present_issuers: BTreeSet::new(),
            missing_issuers: BTreeSet::new(),
        }
    }

    /// A copy that holds what `head` says: sealed tiles in `target`, and the entries after them in `unsealed`, as a data tile
    /// has them. The root is made anew out of hash tiles and entries: at most 255 tiles of each level are read.
    ///
    /// # Errors
    /// `Corrupt` when they do not make the root, or a tile is missing.
    pub fn resume(
        kind: LogKind,
        head: &TreeHead,
        right_edge: Vec<Hash>,
        unsealed: &[u8],
        target: &dyn TileStore,
    ) -> Result<Self, StoreError> {
        let corrupt = |what: String| StoreError::Corrupt(what);
        let start = head.size / TILE_WIDTH * TILE_WIDTH;
        let mut entries = Vec::new();
        let mut last = UnixMillis(0);
        let mut rest = unsealed;
        while !rest.is_empty() {
            let taken = take_entry(kind, rest, start + entries.len() as u64).map_err(corrupt)?;
            last = taken.parsed.place().map_or(last, |place| place.timestamp);
            rest = taken.rest;
            entries.push(taken.entry);
        }
        let edge = RightEdge::from_parts(head.size, right_edge.clone())
            .ok_or_else(|| corrupt("the right edge is not of this size".to_owned()))?;
        let head = Head { size: head.size, root: head.root, timestamp: head.timestamp, right_edge };
        let view = View::restore(head, start, entries, target)?;
        Ok(Self { view, edge, last, ..Self::empty(kind) })
    }

    /// The same copy, which also must begin with these trees.
    #[must_use]
    pub fn beginning_with(mut self, known: impl IntoIterator<Item = Known>) -> Self {
        self.known.extend(known);
        self
    }

    /// The same copy, which asks of each entry whether what was logged belongs together. A certificate log's root does not cover
    /// the precertificate beside the TBSCertificate, so this alone sees it damaged.
    #[must_use]
    pub const fn corresponding(mut self, correspondence: &'a Correspondence<'a>) -> Self {
        self.correspondence = Some(correspondence);
        self
    }

    /// What the copy holds.
    pub const fn head(&self) -> &Head {
        &self.view.head
    }

    /// The live part of the copy: what is not in tiles.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// The entries after the last sealed tile, as a data tile has them.
    pub fn unsealed(&self) -> Vec<u8> {
        self.view.unsealed.iter().flat_map(|entry| entry.bytes.iter().copied()).collect()
    }

    /// CA certificates that entries name and the source does not have. An audit tells of them too.
    pub const fn missing_issuers(&self) -> &BTreeSet<Hash> {
        &self.missing_issuers
    }

    /// The data tiles that [`Self::extend`] will read, in that order, for a source that fetches ahead.
    pub fn tiles(&self, head: &TreeHead) -> impl Iterator<Item = TilePath> + use<> {
        let (held, size) = (self.view.head.size, head.size.min(MAX_SIZE));
        let tiles = held / TILE_WIDTH..if size > held { size.div_ceil(TILE_WIDTH) } else { 0 };
        tiles.filter_map(move |index| tile_at(TileKind::Data, index, size))
    }

    /// Carries the copy on to `head`, which the log's key signed: full tiles and CA certificates go into `target`, durable
    /// when this returns. `progress` is told after each data tile how many entries there are.
    ///
    /// # Errors
    /// See [`ReplicaError`]. The value must not be used any more then.
    pub fn extend(
        &mut self,
        head: &TreeHead,
        source: &mut dyn TileSource,
        target: &dyn TileStore,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ReplicaError> {
        let held = self.view.head.size;
        if head.size < held {
            return Err(ReplicaError::Shrunk { source_size: head.size, held });
        }
        if head.size > MAX_SIZE {
            return Err(ReplicaError::Entry {
                index: MAX_SIZE,
                what: "no log has so many entries".to_owned(),
            });
        }
        self.compare_known()?;
        if held > 0 && head.size > held {
            // Before anything of another history is written. That the hash tiles asked here are true shows at the end.
            self.compare_beginning(head.size, source)?;
        }
        for path in self.tiles(head) {
            self.take_tile(&path, head, source, target)?;
            progress(self.view.head.size);
        }
        if self.edge.root() != head.root {
            return Err(ReplicaError::Root { size: head.size });
        }
        // No entry and no tree head was before this; whoever goes on from here goes on after it.
        self.view.head.timestamp = head.timestamp;
        Ok(())
    }

    fn take_tile(
        &mut self,
        path: &TilePath,
        head: &TreeHead,
        source: &mut dyn TileSource,
        target: &dyn TileStore,
    ) -> Result<(), ReplicaError> {
        let content = fetch(path, source)?.ok_or_else(|| ReplicaError::Missing(path.to_string()))?;
        let mut rest = &*content.bytes;
        let start = path.index() * TILE_WIDTH;
        let mut added = Vec::new();
        for index in start..start + u64::from(path.width()) {
            let wrong = |what: String| ReplicaError::Entry { index, what };
            let Taken { entry, parsed, rest: more } = take_entry(self.kind, rest, index).map_err(wrong)?;
            rest = more;
            if index < self.edge.size() {
                if self.view.entry(index).is_some_and(|held| held.leaf_hash != entry.leaf_hash) {
                    return Err(self.forked());
                }
                continue;
            }
            // A signature says nothing of its time.
            let time = parsed.place().map_or(self.last, |place| place.timestamp);
            if time < self.last {
                return Err(wrong("its timestamp is before that of the entry before it".to_owned()));
            }
            if time > head.timestamp {
                return Err(wrong("its timestamp is after the checkpoint's".to_owned()));
            }
            self.take_issuers(&parsed, index, source, target)?;
            self.last = time;
            self.edge.push(entry.leaf_hash);
            added.push(entry);
            self.compare_known()?;
        }
        if content.width == path.width() && !rest.is_empty() {
            return Err(ReplicaError::Missing(path.to_string()));
        }
        self.push(added);
        if path.is_full() { self.seal(path.index(), target) } else { Ok(()) }
    }

    fn push(&mut self, added: Vec<Entry>) {
        let head = Head {
            size: self.edge.size(),
            root: self.edge.root(),
            timestamp: self.last,
            right_edge: self.edge.hashes().to_vec(),
        };
        self.view.push_group(head, added);
    }

    /// Writes the tiles that are full with the data tile `index`, hash tiles as the entries make them.
    fn seal(&mut self, index: u64, target: &dyn TileStore) -> Result<(), ReplicaError> {
        for path in tiles_completed_by(index) {
            let content = self.view.tile(&path).ok_or_else(|| ReplicaError::Missing(path.to_string()))?;
            target.put(&path.to_string(), &content)?;
        }
        self.view.forget_below(self.view.head.size);
        Ok(())
    }

    /// Copies the CA certificates that an entry names, each once.
    fn take_issuers(
        &mut self,
        entry: &LoggedEntry<'_>,
        index: u64,
        source: &mut dyn TileSource,
        target: &dyn TileStore,
    ) -> Result<(), ReplicaError> {
        for fingerprint in entry.fingerprints() {
            if self.present_issuers.contains(fingerprint) || self.missing_issuers.contains(fingerprint) {
                continue;
            }
            match source.issuer(fingerprint)?.filter(|issuer| sha256(issuer) == *fingerprint) {
                Some(issuer) => {
                    target.put(&issuer_path(fingerprint), &issuer)?;
                    self.present_issuers.insert(*fingerprint);
                }
                None => {
                    self.missing_issuers.insert(*fingerprint);
                }
            }
        }
        if let Some(corresponds) = self.correspondence {
            let first = entry.fingerprints().first();
            let issuer = match first.filter(|first| self.present_issuers.contains(*first)) {
                Some(first) => target.get(&issuer_path(first))?,
                None => None,
            };
            corresponds(index, entry, issuer.as_deref())
                .map_err(|what| ReplicaError::Entry { index, what })?;
        }
        Ok(())
    }

    /// Compares the copy, as far as it is, with the trees that are known of that size.
    fn compare_known(&self) -> Result<(), ReplicaError> {
        let size = self.edge.size();
        let other = self
            .known
            .iter()
            .filter(|known| known.size == size)
            .find(|known| known.root.is_some_and(|root| root != self.edge.root()));
        other.map_or(Ok(()), |known| Err(ReplicaError::Forked { size, known: known.from.clone() }))
    }

    /// Compares the source's tree of what is held, as its hash tiles have it.
    fn compare_beginning(&self, size: u64, source: &mut dyn TileSource) -> Result<(), ReplicaError> {
        let root = merkle::tree_root(self.edge.size(), &mut |level, index| {
            let node = NodeInTile::new(level, index);
            let path = node.and_then(|node| tile_at(TileKind::Hashes(node.level), node.tile, size));
            let (Some(node), Some(path)) = (node, path) else {
                return Err(ReplicaError::Missing(format!("node {index} of level {level}")));
            };
            let content = fetch(&path, source)?;
            let hash = content.and_then(|content| node.read(&content.bytes));
            hash.ok_or_else(|| ReplicaError::Missing(path.to_string()))
        })?;
        if root == self.edge.root() { Ok(()) } else { Err(self.forked()) }
    }

    fn forked(&self) -> ReplicaError {
        ReplicaError::Forked { size: self.edge.size(), known: "the copy".to_owned() }
    }
}

/// A tile, and how wide the source has it.
struct Content {
    bytes: Vec<u8>,
    width: u16,
}

/// The tile, or the full one where the partial one is gone (static-ct-api, "Partial Tiles").
fn fetch(path: &TilePath, source: &mut dyn TileSource) -> Result<Option<Content>, SourceError> {
    if let Some(bytes) = source.tile(path)? {
        return Ok(Some(Content { bytes, width: path.width() }));
    }
    if path.is_full() {
        return Ok(None);
    }
    Ok(source.tile(&path.to_full())?.map(|bytes| Content { bytes, width: 256 }))
}

/// An entry read from a data tile.
struct Taken<'t> {
    entry: Entry,
    parsed: LoggedEntry<'t>,
    /// What follows it.
    rest: &'t [u8],
}

/// The first entry of `bytes`, which must say that it stands at `index`, where it says anything about that.
fn take_entry(kind: LogKind, bytes: &[u8], index: u64) -> Result<Taken<'_>, String> {
    let (parsed, rest) = kind.take(bytes)?;
    if let Some(place) = parsed.place().filter(|place| place.index != index) {
        return Err(format!("it says that its index is {}", place.index));
    }
    let own = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
    Ok(Taken {
        entry: Entry { leaf_hash: parsed.leaf_hash(), bytes: Bytes::copy_from_slice(own) },
        parsed,
        rest,
    })
}

/// static-ct-api, "Issuers".
fn issuer_path(fingerprint: &Hash) -> String {
    format!("issuer/{}", hex::encode(fingerprint))
}

#[cfg(test)]
mod tests;
