//! `log audit`: every entry of a log read and checked, the tree rebuilt from them, its root compared with the signed one.
//!
//! Checked of each entry: its index and time, its leaf hash against the hash tile, that the precertificate's TBS is the
//! logged one, that the CA named by issuer_key_hash signed it, and that the CA's certificates are served. Checked of the
//! whole: hash tiles of every level, order of times, root. Memory does not grow with the log; a few tiles are read ahead.

use super::log_reader::{LogReader, data_tiles};
use crate::certificate::inspect::Inspected;
use crate::environment::UnixMillis;
use crate::transparency::checkpoint::TreeHead;
use crate::transparency::merkle::{self, RightEdge};
use crate::transparency::precertificate::{DataTileEntry, LoggedCertificate};
use crate::transparency::tile::{self, TILE_LEVELS, TILE_WIDTH, TileKind, TilePath, tile_at};
use crate::transparency::{Hash, sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Tiles that are read and checked at the same time.
const READ_AHEAD: usize = 8;
/// Findings that are kept in words; further ones are counted.
const MAX_FINDINGS: usize = 50;

/// What an audit found.
#[derive(Debug)]
pub struct Audited {
    /// Entries that were read and checked.
    pub entries: u64,
    /// Full and partial tiles that were read, data and hashes.
    pub tiles: u64,
    /// CA certificates that entries name.
    pub issuers: u64,
    /// The root of the tree rebuilt from those entries.
    pub root: Hash,
    /// The time of the last entry.
    pub newest: Option<UnixMillis>,
    /// What is wrong, in words; empty when all is well.
    pub findings: Vec<String>,
    /// How many more there were.
    pub unlisted: u64,
}

/// Audits the first `size` entries. `head`: the signed tree head of that size, where there is one. `progress` hears of
/// the number of entries done.
pub async fn audit(
    reader: Arc<LogReader>,
    size: u64,
    head: Option<TreeHead>,
    progress: impl Fn(u64),
) -> Result<Audited, String> {
    let issuers = Arc::new(Issuers { reader: reader.clone(), known: Mutex::default() });
    let mut whole = Whole::new(reader.clone(), size);
    let mut paths = data_tiles(size);
    let mut ahead: VecDeque<JoinHandle<Result<CheckedTile, String>>> = VecDeque::new();
    loop {
        while ahead.len() < READ_AHEAD {
            let Some(path) = paths.next() else { break };
            ahead.push_back(tokio::spawn(check_tile(reader.clone(), issuers.clone(), path)));
        }
        let Some(next) = ahead.pop_front() else { break };
        let checked = next.await.map_err(|error| format!("a check ended early: {error}"))??;
        whole.take(checked).await?;
        progress(whole.edge.size());
    }
    whole.finish(head).await?;
    let issuers = issuers.known.lock().await.len() as u64;
    Ok(Audited {
        entries: whole.edge.size(),
        tiles: whole.tiles,
        issuers,
        root: whole.edge.root(),
        newest: whole.newest,
        findings: whole.findings.list,
        unlisted: whole.findings.unlisted,
    })
}

/// Findings, bounded.
#[derive(Debug, Default)]
struct Findings {
    list: Vec<String>,
    unlisted: u64,
}

impl Findings {
    fn note(&mut self, finding: String) {
        if self.list.len() < MAX_FINDINGS {
            self.list.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        self.unlisted += other.unlisted;
        other.list.into_iter().for_each(|finding| self.note(finding));
    }
}

/// What one data tile holds.
struct CheckedTile {
    path: TilePath,
    /// Leaf hashes computed from the entries, as many as the tile is wide.
    leaves: Vec<Hash>,
    times: Vec<UnixMillis>,
    findings: Findings,
}

/// Reads a data tile and its hash tile and checks every entry by itself.
async fn check_tile(reader: Arc<LogReader>, issuers: Arc<Issuers>, path: TilePath) -> Result<CheckedTile, String> {
    let mut checked = CheckedTile { path, leaves: Vec::new(), times: Vec::new(), findings: Findings::default() };
    let Some(data) = reader.tile(&path).await? else {
        return Err(format!("{path} is missing: the log cannot be read beyond entry {}", path.index() * TILE_WIDTH));
    };
    let mut rest = data.as_slice();
    for offset in 0..u64::from(path.width()) {
        let index = path.index() * TILE_WIDTH + offset;
        let (entry, after) = DataTileEntry::parse(rest)
            .map_err(|error| format!("{path}: entry {index} cannot be read: {error}"))?;
        rest = after;
        checked.leaves.push(entry.leaf_hash());
        checked.times.push(entry.place().timestamp);
        if entry.place().index != index {
            let words = format!("entry {index} says that it is entry {}", entry.place().index);
            checked.findings.note(words);
        }
        if let Err(words) = check_entry(&entry, &issuers).await? {
            checked.findings.note(format!("entry {index}: {words}"));
        }
    }
    if !rest.is_empty() {
        checked.findings.note(format!("{path} has {} octets after its last entry", rest.len()));
    }
    Ok(checked)
}

/// Whether a CA that the log serves signed the precertificate, and whether what is logged is what it signed. The outer
/// error: the log cannot be read.
async fn check_entry(entry: &DataTileEntry<'_>, issuers: &Issuers) -> Result<Result<(), String>, String> {
    let LoggedCertificate::Precertificate { issuer_key_hash, tbs, precertificate } = entry.certificate() else {
        return Ok(Err("it is a final certificate; this log takes precertificates".to_owned()));
    };
    let mut issuing = None;
    for fingerprint in entry.fingerprints() {
        match issuers.find(fingerprint).await? {
            Err(words) => return Ok(Err(words)),
            Ok(certificate) => issuing = issuing.or(Some(certificate)),
        }
    }
    let Some(issuing) = issuing else {
        return Ok(Err("it names no CA certificate".to_owned()));
    };
    Ok(check_precertificate(precertificate, tbs, issuer_key_hash, &issuing))
}

fn check_precertificate(der: &[u8], tbs: &[u8], issuer_key_hash: &Hash, issuing: &Inspected) -> Result<(), String> {
    let precertificate =
        Inspected::from_der(der).map_err(|error| format!("the precertificate cannot be read: {error}"))?;
    if !precertificate.is_precertificate() {
        return Err("what should be a precertificate has no poison".to_owned());
    }
    if precertificate.logged_tbs().map_err(|error| error.to_string())? != tbs {
        return Err("the logged TBSCertificate is not the precertificate's".to_owned());
    }
    if sha256(issuing.spki_der()) != *issuer_key_hash {
        return Err("issuer_key_hash is not that of the first CA certificate".to_owned());
    }
    precertificate.verify_signed_by(issuing.spki_der()).map_err(|error| error.to_string())
}

/// A CA certificate as the log serves it, or what is wrong with it.
type IssuerAnswer = Result<Arc<Inspected>, String>;

/// CA certificates, each fetched once.
struct Issuers {
    reader: Arc<LogReader>,
    known: Mutex<HashMap<Hash, IssuerAnswer>>,
}

impl Issuers {
    async fn find(&self, fingerprint: &Hash) -> Result<IssuerAnswer, String> {
        // The lock is held while fetching, so that nobody fetches the same twice.
        let mut known = self.known.lock().await;
        if let Some(answer) = known.get(fingerprint) {
            return Ok(answer.clone());
        }
        let name = hex::encode(fingerprint);
        let answer = match self.reader.issuer(fingerprint).await? {
            None => Err(format!("the CA certificate issuer/{name} is missing")),
            Some(der) if sha256(&der) != *fingerprint => Err(format!("issuer/{name} holds another certificate")),
            Some(der) => Inspected::from_der(&der)
                .map(Arc::new)
                .map_err(|error| format!("issuer/{name} cannot be read: {error}")),
        };
        known.insert(*fingerprint, answer.clone());
        Ok(answer)
    }
}

/// What is checked across tiles, in order.
struct Whole {
    reader: Arc<LogReader>,
    size: u64,
    edge: RightEdge,
    /// Nodes of each hash tile that is not complete yet, by level; level 0 is the tile at hand.
    open: Vec<Vec<Hash>>,
    newest: Option<UnixMillis>,
    tiles: u64,
    findings: Findings,
}

impl Whole {
    fn new(reader: Arc<LogReader>, size: u64) -> Self {
        let open = vec![Vec::new(); usize::from(TILE_LEVELS)];
        Self { reader, size, edge: RightEdge::new(), open, newest: None, tiles: 0, findings: Findings::default() }
    }

    async fn take(&mut self, checked: CheckedTile) -> Result<(), String> {
        self.tiles += 1;
        self.findings.merge(checked.findings);
        let first = checked.path.index() * TILE_WIDTH;
        for (index, time) in (first..).zip(checked.times) {
            if self.newest.is_some_and(|newest| time < newest) {
                self.findings.note(format!("entry {index} is older than the one before it"));
            }
            self.newest = self.newest.max(Some(time));
        }
        for leaf in &checked.leaves {
            self.edge.push(*leaf);
        }
        self.close(0, checked.path.index(), checked.leaves).await
    }

    /// Compares the nodes of one hash tile with the tile that the log serves; full ones make a node of the level above.
    async fn close(&mut self, level: u8, index: u64, nodes: Vec<Hash>) -> Result<(), String> {
        let (mut level, mut index, mut nodes) = (level, index, nodes);
        loop {
            self.compare(level, index, &nodes).await?;
            let full = nodes.len() as u64 == TILE_WIDTH;
            let above = level + 1;
            if !full || above >= TILE_LEVELS {
                return Ok(());
            }
            let Some(open) = self.open.get_mut(usize::from(above)) else { return Ok(()) };
            open.push(merkle::subtree_root(&nodes));
            if (open.len() as u64) < TILE_WIDTH {
                return Ok(());
            }
            nodes = std::mem::take(open);
            level = above;
            index /= TILE_WIDTH;
        }
    }

    async fn compare(&mut self, level: u8, index: u64, nodes: &[Hash]) -> Result<(), String> {
        let Some(path) = tile_at(TileKind::Hashes(level), index, self.size) else { return Ok(()) };
        self.tiles += 1;
        let Some(content) = self.reader.tile(&path).await? else {
            self.findings.note(format!("{path} is missing"));
            return Ok(());
        };
        match tile::hashes(&content, path.width()) {
            None => self.findings.note(format!("{path} is not {} hashes", path.width())),
            Some(served) => {
                for (at, _) in served.iter().zip(nodes).enumerate().filter(|(_, (served, ours))| served != ours) {
                    let at = index * TILE_WIDTH + at as u64;
                    let what = if level == 0 { format!("entry {at}") } else { format!("node {at} of its level") };
                    self.findings.note(format!("{path}: the hash of {what} is not that of what is logged"));
                }
            }
        }
        Ok(())
    }

    /// The partial tiles above level 0, and the root.
    async fn finish(&mut self, head: Option<TreeHead>) -> Result<(), String> {
        for level in 1..TILE_LEVELS {
            let nodes = self.open.get_mut(usize::from(level)).map(std::mem::take).unwrap_or_default();
            // The tile that is not complete is the one after all complete ones.
            let index = TileKind::Hashes(level).elements(self.size) / TILE_WIDTH;
            if !nodes.is_empty() && head.is_some() {
                self.compare(level, index, &nodes).await?;
            }
        }
        let Some(head) = head else { return Ok(()) };
        if self.edge.root() != head.root {
            self.findings.note("the root of the entries is not the root that the log signed".to_owned());
        }
        if self.newest.is_some_and(|newest| newest > head.timestamp) {
            self.findings.note("an entry is newer than the checkpoint that covers it".to_owned());
        }
        Ok(())
    }
}
