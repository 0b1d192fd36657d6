//! Auditing a log from its tiles: rebuilds the whole tree out of the entries, in one pass and in constant
//! memory, and compares everything that the log serves with it (c2sp.org/static-ct-api, tlog-tiles).
//!
//! Where tiles come from, and how fast, is the [`TileSource`]'s business. What an entry is, its [`LogKind`] says. Whether a logged
//! TBSCertificate belongs to its precertificate is asked of the caller, since X.509 is not read here.

use super::kind::{LogKind, LoggedEntry};
use super::ports::StoreError;
use super::reader::{LogReader, ReadError};
use crate::environment::UnixMillis;
use crate::transparency::checkpoint::{Checkpoint, CheckpointError, TreeHead};
use crate::transparency::merkle::{self, RightEdge};
use crate::transparency::tile::{self, TILE_LEVELS, TILE_WIDTH, TileKind, TilePath, tile_at};
use crate::transparency::{Hash, MAX_SIZE, Place, sha256};
use std::collections::BTreeMap;

/// After this many problems an audit ends: what is that broken is not worth reading on.
const MAX_PROBLEMS: usize = 100;
/// Issuers that are remembered. A log of ours has a handful.
const MAX_ISSUERS: usize = 64;

/// Where a log's objects come from. Blocking. An error is that the source failed, which ends the audit; an object that
/// is not there is `None`, which is a finding.
pub trait TileSource {
    /// A tile of exactly this path.
    fn tile(&mut self, path: &TilePath) -> Result<Option<Vec<u8>>, SourceError>;

    /// The DER of the CA certificate with this SHA-256.
    fn issuer(&mut self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, SourceError>;
}

/// The source failed, so the audit has no result. The text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Asked for every entry, by its index: whether what was logged belongs together and there, and if not, why. The last argument
/// is the DER of the issuing certificate, where the entry names one and the log has it.
pub type Correspondence<'a> = dyn Fn(u64, &LoggedEntry<'_>, Option<&[u8]>) -> Result<(), String> + 'a;

/// What to audit.
pub struct Audit<'a> {
    kind: LogKind,
    size: u64,
    head: Option<TreeHead>,
    earlier: Vec<TreeHead>,
    correspondence: Option<&'a Correspondence<'a>>,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The number of entries that the log should have.
    pub size: u64,
    /// The root that the entries make.
    pub root: Hash,
    /// The tree head that they were compared with.
    pub head: Option<TreeHead>,
    /// Entries read, of which this many are final certificates; the others are precertificates.
    pub entries: u64,
    /// Final certificates among them.
    pub x509_entries: u64,
    /// Data tiles read.
    pub data_tiles: u64,
    /// Hash tiles of every level compared.
    pub hash_tiles: u64,
    /// CA certificates fetched and compared with their fingerprints.
    pub issuers: u64,
    /// Earlier tree heads that this log extends.
    pub earlier: Vec<TreeHead>,
    /// Whether it was asked of every entry if what was logged belongs together.
    pub correspondence: bool,
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// Whether the audit ended before the end of the log, because too much was wrong.
    pub abandoned: bool,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && !self.abandoned
    }
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", index.map(|index| format!("entry {index}: ")).unwrap_or_default())]
pub struct Problem {
    /// The entry, where it is about one.
    pub index: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
}

impl<'a> Audit<'a> {
    /// An audit against a certificate log's checkpoint, which must verify with the log's key (DER SubjectPublicKeyInfo).
    pub fn of_checkpoint(note: &[u8], origin: &str, log_spki: &[u8]) -> Result<Self, CheckpointError> {
        Ok(Self::of_head(*Checkpoint::verify(note, origin, log_spki)?.head()))
    }

    /// An audit against a tree head that is known to be the log's.
    pub const fn of_head(head: TreeHead) -> Self {
        let kind = LogKind::Certificates;
        Self { kind, size: head.size, head: Some(head), earlier: Vec::new(), correspondence: None }
    }

    /// An audit of the sealed tiles alone that the first `size` entries fill, without a tree head: for the files of a log
    /// whose last entries are still in its head store. It finds whatever contradicts itself, and gives the root.
    pub const fn of_sealed(size: u64) -> Self {
        let size = size / TILE_WIDTH * TILE_WIDTH;
        Self { kind: LogKind::Certificates, size, head: None, earlier: Vec::new(), correspondence: None }
    }

    /// Checks as well that the log extends this tree, whose head was verified before. [`Report::earlier`] says whether the
    /// audit came that far.
    pub fn extending(mut self, earlier: TreeHead) -> Self {
        self.earlier.push(earlier);
        self
    }

    /// The same of another kind of log than certificates'.
    pub const fn of_kind(mut self, kind: LogKind) -> Self {
        self.kind = kind;
        self
    }

    /// Checks as well that what was logged belongs together: every TBSCertificate to its precertificate, for instance.
    pub const fn corresponding(mut self, correspondence: &'a Correspondence<'a>) -> Self {
        self.correspondence = Some(correspondence);
        self
    }

    /// What the log is compared with.
    pub const fn head(&self) -> Option<&TreeHead> {
        self.head.as_ref()
    }

    /// The tiles that [`Self::run`] will read, in that order, for a source that fetches ahead.
    pub fn tiles(&self) -> impl Iterator<Item = TilePath> + use<> {
        let size = self.size.min(MAX_SIZE);
        let full = (0..size / TILE_WIDTH).flat_map(tile::tiles_completed_by);
        // Tiles that are not full are made on request: there are none among the sealed ones.
        let with_partial = self.head.is_some();
        let partial = [TileKind::Data].into_iter().chain((0..TILE_LEVELS).map(TileKind::Hashes));
        full.chain(partial.filter(move |_| with_partial).filter_map(move |kind| partial_tile(kind, size)))
    }

    /// Reads the log from its first entry to its last. `progress` is told after every data tile how many entries are done,
    /// and of how many.
    pub fn run(
        self,
        source: &mut dyn TileSource,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Report, SourceError> {
        let mut run = Run::new(&self, source);
        run.everything(progress)?;
        Ok(run.report)
    }
}

impl TileSource for LogReader {
    fn tile(&mut self, path: &TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        match Self::tile(self, path) {
            Ok(content) => Ok(content),
            // A tile that is missing or damaged is what an audit is there to find.
            Err(ReadError::Store(StoreError::Corrupt(_)) | ReadError::OutOfRange(_)) => Ok(None),
            Err(ReadError::Store(error)) => Err(SourceError(error.to_string())),
        }
    }

    fn issuer(&mut self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, SourceError> {
        Self::issuer(self, fingerprint).map_err(|error| SourceError(error.to_string()))
    }
}

/// An audit on its way.
struct Run<'a> {
    audit: &'a Audit<'a>,
    source: &'a mut dyn TileSource,
    report: Report,
    edge: RightEdge,
    /// For each tile level from 1 on: the nodes of its present tile, as the entries make them.
    upper: [Vec<Hash>; TILE_LEVELS as usize - 1],
    last_timestamp: UnixMillis,
    issuers: BTreeMap<Hash, Option<Vec<u8>>>,
}

impl<'a> Run<'a> {
    fn new(audit: &'a Audit<'a>, source: &'a mut dyn TileSource) -> Self {
        let report = Report {
            size: audit.size,
            root: merkle::empty_root(),
            head: audit.head,
            entries: 0,
            x509_entries: 0,
            data_tiles: 0,
            hash_tiles: 0,
            issuers: 0,
            earlier: Vec::new(),
            correspondence: audit.correspondence.is_some(),
            problems: Vec::new(),
            abandoned: false,
        };
        Self {
            audit,
            source,
            report,
            edge: RightEdge::new(),
            upper: Default::default(),
            last_timestamp: UnixMillis(0),
            issuers: BTreeMap::new(),
        }
    }

    fn everything(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), SourceError> {
        let size = self.audit.size;
        if size > MAX_SIZE {
            self.problem(None, format!("the log is said to have {size} entries, more than a log can have"));
            return Ok(());
        }
        let shrunk = |earlier: &&TreeHead| self.audit.head.is_some() && earlier.size > size;
        for earlier in self.audit.earlier.iter().filter(shrunk) {
            self.problem(None, format!("the log had {} entries before and has {size} now", earlier.size));
        }
        self.compare_with_earlier();
        for index in 0..size.div_ceil(TILE_WIDTH) {
            let width = (size - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
            self.entries_of_tile(index, width)?;
            progress(self.edge.size(), size);
            if self.report.problems.len() >= MAX_PROBLEMS {
                self.report.abandoned = true;
                return Ok(());
            }
        }
        if self.audit.head.is_some() {
            self.partial_upper_tiles(size)?;
        }
        self.report.root = self.edge.root();
        if self.audit.head.is_some_and(|head| head.root != self.report.root) {
            self.problem(None, format!("the root of the {size} entries is not the checkpoint's"));
        }
        Ok(())
    }

    /// Checks one data tile and the hash tiles that it completes.
    fn entries_of_tile(&mut self, index: u64, width: u16) -> Result<(), SourceError> {
        let start = index * TILE_WIDTH;
        let data = self.fetch(TileKind::Data, index, width)?;
        let (mut rest, data_width) = data.as_ref().map_or((&[][..], 0), |(data, width)| (&data[..], *width));
        let (hashes, path) = self.fetch_hashes(0, index, width)?;
        let mut leaves = Vec::with_capacity(usize::from(width));
        for index in start..start + u64::from(width) {
            let (entry, more) = match self.audit.kind.take(rest) {
                Ok(parsed) => parsed,
                Err(error) => {
                    if data.is_some() {
                        self.problem(Some(index), format!("the data tile cannot be read on: {error}"));
                    }
                    rest = &[];
                    break;
                }
            };
            rest = more;
            leaves.push(self.entry(index, &entry)?);
        }
        // What follows is the rest of a full tile where the partial one is gone; else nothing may follow.
        if data_width == width && !rest.is_empty() {
            self.problem(None, format!("data tile {index} goes on after its {width} entries"));
        }
        self.report.data_tiles += u64::from(data.is_some());
        self.compare(&path, start, &leaves, hashes.as_deref());
        // Entries that could not be read count by their hashes, so that the rest of the tree can still be checked.
        let unread = hashes.as_deref().and_then(|hashes| hashes.get(leaves.len()..)).unwrap_or_default();
        leaves.extend_from_slice(unread);
        leaves.resize(usize::from(width), [0; 32]);
        for leaf in &leaves {
            self.edge.push(*leaf);
            self.compare_with_earlier();
        }
        if width == 256 { self.complete_upper(merkle::subtree_root(&leaves), index) } else { Ok(()) }
    }

    /// Checks an entry, and gives its leaf hash.
    fn entry(&mut self, index: u64, entry: &LoggedEntry<'_>) -> Result<Hash, SourceError> {
        self.report.entries += 1;
        if let Some(place) = entry.place() {
            self.place(index, place);
        }
        self.report.x509_entries += u64::from(entry.is_final_certificate());
        let (first, others) = entry.fingerprints().split_at(entry.fingerprints().len().min(1));
        for fingerprint in first {
            self.fetch_issuer(fingerprint, index)?;
        }
        if let Some(corresponds) = self.audit.correspondence {
            let issuer = first.first().and_then(|first| self.issuers.get(first)?.as_deref());
            if let Err(why) = corresponds(index, entry, issuer) {
                self.problem(Some(index), why);
            }
        }
        for fingerprint in others {
            self.fetch_issuer(fingerprint, index)?;
        }
        Ok(entry.leaf_hash())
    }

    /// Checks where and when an entry says that it was logged.
    fn place(&mut self, index: u64, place: Place) {
        if place.index != index {
            self.problem(Some(index), format!("it says that its index is {}", place.index));
        }
        if place.timestamp < self.last_timestamp {
            self.problem(Some(index), "its timestamp is before that of the entry before it".to_owned());
        }
        if self.audit.head.is_some_and(|head| place.timestamp > head.timestamp) {
            self.problem(Some(index), "its timestamp is after the checkpoint's".to_owned());
        }
        self.last_timestamp = place.timestamp;
    }

    /// Makes sure that the log has the issuer, once for all entries.
    fn fetch_issuer(&mut self, fingerprint: &Hash, index: u64) -> Result<(), SourceError> {
        if self.issuers.contains_key(fingerprint) {
            return Ok(());
        }
        let name = hex::encode(fingerprint);
        let issuer = match self.source.issuer(fingerprint)? {
            Some(issuer) if sha256(&issuer) == *fingerprint => {
                self.report.issuers += 1;
                Some(issuer)
            }
            Some(_) => {
                self.problem(Some(index), format!("issuer/{name} does not have that SHA-256"));
                None
            }
            None => {
                self.problem(Some(index), format!("issuer/{name} is missing"));
                None
            }
        };
        if self.issuers.len() >= MAX_ISSUERS {
            self.issuers.clear();
        }
        self.issuers.insert(*fingerprint, issuer);
        Ok(())
    }

    /// Adds the root of the full tile `index` of the level below to level 1, and so on upwards where tiles become full.
    fn complete_upper(&mut self, root: Hash, index: u64) -> Result<(), SourceError> {
        let (mut node, mut node_index) = (root, index);
        for level in 1..TILE_LEVELS {
            let nodes = &mut self.upper[usize::from(level) - 1];
            nodes.push(node);
            if nodes.len() < TILE_WIDTH as usize {
                break;
            }
            let nodes = std::mem::take(nodes);
            node_index /= TILE_WIDTH;
            self.upper_tile(level, node_index, &nodes)?;
            node = merkle::subtree_root(&nodes);
        }
        Ok(())
    }

    /// Compares the tiles of levels above 0 that are not full.
    fn partial_upper_tiles(&mut self, size: u64) -> Result<(), SourceError> {
        for level in 1..TILE_LEVELS {
            let nodes = std::mem::take(&mut self.upper[usize::from(level) - 1]);
            if let Some(path) = partial_tile(TileKind::Hashes(level), size) {
                self.upper_tile(level, path.index(), &nodes)?;
            }
        }
        Ok(())
    }

    fn upper_tile(&mut self, level: u8, index: u64, nodes: &[Hash]) -> Result<(), SourceError> {
        let (hashes, path) = self.fetch_hashes(level, index, nodes.len() as u16)?;
        self.compare(&path, index * TILE_WIDTH, nodes, hashes.as_deref());
        Ok(())
    }

    /// Compares the hashes that entries make with those of a hash tile.
    fn compare(&mut self, path: &str, start: u64, made: &[Hash], served: Option<&[Hash]>) {
        let Some(served) = served else { return };
        self.report.hash_tiles += 1;
        let differing = made.iter().zip(served).position(|(made, served)| made != served);
        if let Some(at) = differing {
            let node = start + at as u64;
            self.problem(None, format!("{path} has a wrong hash at {at}: that of node {node} of its level"));
        }
    }

    /// Compares the tree as far as it is with the earlier heads of that size.
    fn compare_with_earlier(&mut self) {
        let size = self.edge.size();
        for earlier in self.audit.earlier.iter().filter(|earlier| earlier.size == size) {
            if self.edge.root() == earlier.root {
                self.report.earlier.push(*earlier);
            } else {
                let what =
                    format!("the log does not extend its earlier tree of {size} entries: it was forked");
                self.problem(None, what);
            }
        }
    }

    /// The hashes of a tile, and its path as text.
    fn fetch_hashes(
        &mut self,
        level: u8,
        index: u64,
        width: u16,
    ) -> Result<(Option<Vec<Hash>>, String), SourceError> {
        let kind = TileKind::Hashes(level);
        let path = TilePath::new(kind, index, width).map(|path| path.to_string()).unwrap_or_default();
        let Some((mut content, found)) = self.fetch(kind, index, width)? else { return Ok((None, path)) };
        if tile::hashes(&content, found).is_none() {
            self.problem(None, format!("{path} has {} octets, which is not its width", content.len()));
            return Ok((None, path));
        }
        content.truncate(usize::from(width) * 32);
        Ok((Some(content.as_chunks().0.to_vec()), path))
    }

    /// A tile and the width that was found: where a partial one is gone, the full one may be there instead (static-ct-api,
    /// "Partial Tiles").
    fn fetch(
        &mut self,
        kind: TileKind,
        index: u64,
        width: u16,
    ) -> Result<Option<(Vec<u8>, u16)>, SourceError> {
        let Some(path) = TilePath::new(kind, index, width) else { return Ok(None) };
        for path in [path, path.to_full()] {
            if let Some(content) = self.source.tile(&path)? {
                return Ok(Some((content, path.width())));
            }
            if path.is_full() {
                break;
            }
        }
        self.problem(None, format!("{path} is missing or cannot be read"));
        Ok(None)
    }

    fn problem(&mut self, index: Option<u64>, what: String) {
        // One tile can have hundreds; the audit ends after it.
        if self.report.problems.len() < MAX_PROBLEMS {
            self.report.problems.push(Problem { index, what });
        }
    }
}

/// The tile of a kind that a tree of `size` entries has not filled, if it has begun it.
fn partial_tile(kind: TileKind, size: u64) -> Option<TilePath> {
    tile_at(kind, kind.elements(size) / TILE_WIDTH, size)
}

#[cfg(test)]
mod tests;
