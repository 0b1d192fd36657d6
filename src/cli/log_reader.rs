//! A log as its readers see it: checkpoint, tiles, issuers, over HTTP or from the data directory (static-ct-api, tlog-tiles).
//!
//! The files of a running server may be read beside it: they never change once they are there. What is not sealed yet
//! is not among them, so the tail and the checkpoint are asked for at the server's own URL.

use super::client::Http;
use super::proof::InclusionProof;
use super::report::printable;
use crate::environment::UnixMillis;
use crate::log::{KnownLog, LogKind};
use crate::transparency::checkpoint::{CheckpointError, TreeHead};
use crate::transparency::tile::{self, NodeInTile, TILE_WIDTH, TileKind, TilePath, tile_at};
use crate::transparency::{Hash, merkle};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A base URL without scheme and trailing slash: a log's origin, unless its operator chose another.
pub fn origin_of(base_url: &str) -> String {
    let base = base_url.trim_end_matches('/');
    base.split_once("://").map_or(base, |(_, rest)| rest).to_owned()
}

/// A log's origin, unless its operator chose another: of a signature log it is the bare host of its URL.
pub fn default_origin(kind: LogKind, base_url: &str) -> String {
    let host = || Some(url::Url::parse(base_url).ok()?.host_str()?.trim_matches(['[', ']']).to_owned());
    match kind {
        LogKind::Certificates => origin_of(base_url),
        LogKind::Signatures => host().unwrap_or_else(|| origin_of(base_url)),
    }
}

/// A log, with the name and the key that its checkpoints must have.
#[derive(Clone, Debug)]
pub struct LogReader {
    /// Directory with `tile/` and `issuer/`; looked at first.
    directory: Option<PathBuf>,
    /// Nobody is asked; there is what lies in the directory.
    is_offline: bool,
    http: Http,
    /// What comes before `/checkpoint` and `/tile/…`.
    base: String,
    log: KnownLog,
}

/// A checkpoint that was fetched and verified.
#[derive(Clone, Debug)]
pub struct VerifiedCheckpoint {
    /// The signed note.
    pub note: String,
    /// What it says.
    pub head: TreeHead,
}

/// Why there is no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCheckpoint {
    /// Nobody answers there.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody answers who has no such log.
    #[error("{0}")]
    Absent(String),
    /// There is one, but not one of this log.
    #[error("{0}")]
    Wrong(String),
}

impl LogReader {
    /// The certificate log at `base` (without the `checkpoint` or `tile/…` that follows). `spki`: its DER SubjectPublicKeyInfo.
    pub fn over_http(http: Http, base: &str, origin: &str, spki: Vec<u8>) -> Self {
        Self::of(http, base, KnownLog::certificates(origin, spki))
    }

    /// The log at `base`: as above, or the base URL under which clients write to a signature log.
    pub fn of(http: Http, base: &str, log: KnownLog) -> Self {
        let base = base.trim_end_matches('/');
        let base = match log.kind() {
            LogKind::Certificates => base.to_owned(),
            LogKind::Signatures => format!("{base}/api/v2"),
        };
        Self { directory: None, is_offline: false, http, base, log }
    }

    /// The same, with the files in `directory` read from there.
    pub fn with_files(self, directory: PathBuf) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// The same, with nobody asked.
    pub fn offline(self) -> Self {
        Self { is_offline: true, ..self }
    }

    /// The origin that checkpoints must have.
    pub fn origin(&self) -> &str {
        self.log.origin()
    }

    /// Which log it is.
    pub const fn log(&self) -> &KnownLog {
        &self.log
    }

    /// Where the log is read, for people.
    pub fn place(&self) -> String {
        match &self.directory {
            Some(directory) if self.is_offline => directory.display().to_string(),
            Some(directory) => format!("{} and {}", directory.display(), self.base),
            None => self.base.clone(),
        }
    }

    /// The present checkpoint, verified.
    pub async fn checkpoint(&self) -> Result<VerifiedCheckpoint, NoCheckpoint> {
        let url = format!("{}/checkpoint", self.base);
        let answer = self.http.get(&url).await.map_err(NoCheckpoint::Unreachable)?;
        let note = answer.ok_or_else(|| NoCheckpoint::Absent(format!("{url}: there is no checkpoint")))?;
        self.verify_checkpoint(note).map_err(|words| NoCheckpoint::Wrong(format!("{url}: {words}")))
    }

    fn verify_checkpoint(&self, note: Vec<u8>) -> Result<VerifiedCheckpoint, String> {
        let verified = self.log.verify(&note).map_err(|error| match error {
            CheckpointError::OtherOrigin => {
                let named = note.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let named = String::from_utf8_lossy(named);
                format!("its origin is `{}`, expected is `{}`", printable(&named), self.origin())
            }
            error => error.to_string(),
        })?;
        let note = String::from_utf8(note).map_err(|_| "it is not text".to_owned())?;
        Ok(VerifiedCheckpoint { note, head: verified })
    }

    /// The proof that the entry `index` is in the tree of the present checkpoint.
    pub async fn prove(&self, index: u64) -> Result<InclusionProof, String> {
        let VerifiedCheckpoint { note, head } = self.checkpoint().await.map_err(|error| error.to_string())?;
        if index >= head.size {
            return Err(format!("there is no entry {index} yet: the log has {} entries", head.size));
        }
        let mut tiles = HashMap::new();
        let (leaf, hashes) = loop {
            // Tiles that a run lacks are fetched, and the run is tried anew; a proof has a handful of tiles.
            let mut find = |level, at| node(level, at, head.size, &tiles);
            let leaf = find(0, index);
            match leaf.and_then(|leaf| Ok((leaf, merkle::inclusion_proof(index, head.size, &mut find)?))) {
                Ok((leaf, hashes)) => break (leaf, hashes.ok_or("the index is beyond the tree")?),
                Err(missing) => self.fetch_into(&mut tiles, missing).await?,
            }
        };
        let proof = InclusionProof {
            log_index: index,
            tree_size: head.size,
            root_hash: head.root,
            hashes,
            checkpoint: Some(note),
        };
        // Tiles are signed by nobody: what they make must lead to the root that is.
        if proof.proves(&leaf) {
            return Ok(proof);
        }
        Err(format!(
            "the log's hash tiles do not lead from entry {index} to the root of its checkpoint: one of them is damaged"
        ))
    }

    /// A tile, full or partial, exactly as wide as asked for; `None` where there is none. A partial hash tile that was
    /// sealed since is cut from the full one.
    pub async fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, String> {
        if let Some(content) = self.object(&path.to_string()).await? {
            return Ok(Some(content));
        }
        let TileKind::Hashes(level) = path.kind() else { return Ok(None) };
        if path.is_full() {
            return Ok(None);
        }
        if let Some(mut content) = self.object(&path.to_full().to_string()).await? {
            content.truncate(usize::from(path.width()) * 32);
            return Ok(Some(content));
        }
        match level.checked_sub(1) {
            Some(below) if self.is_offline => self.roots_of_full_tiles(below, path).await,
            _ => Ok(None),
        }
    }

    /// A partial tile that only a server has, made of the full tiles below it: each of its hashes is the root of one.
    async fn roots_of_full_tiles(&self, below: u8, path: &TilePath) -> Result<Option<Vec<u8>>, String> {
        let first = path.index() * TILE_WIDTH;
        let mut content = Vec::new();
        for index in first..first + u64::from(path.width()) {
            let Some(full) = TilePath::full(TileKind::Hashes(below), index) else { return Ok(None) };
            let Some(hashes) = self.object(&full.to_string()).await? else { return Ok(None) };
            let Some(hashes) = tile::hashes(&hashes, full.width()) else { return Ok(None) };
            content.extend_from_slice(&merkle::subtree_root(hashes));
        }
        Ok(Some(content))
    }

    /// The CA certificate with this fingerprint, DER; `None` where there is none.
    pub async fn issuer(&self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, String> {
        self.object(&format!("issuer/{}", hex::encode(fingerprint))).await
    }

    /// The tree of the entries that are sealed in the directory, as its hash tiles have it. Nobody signed this head; its
    /// time is the end of time.
    pub async fn sealed_head(&self) -> Result<TreeHead, String> {
        let size = self.sealed_tiles() * TILE_WIDTH;
        let mut tiles = HashMap::new();
        let root = loop {
            match merkle::tree_root(size, &mut |level, at| node(level, at, size, &tiles)) {
                Ok(root) => break root,
                Err(missing) => self.fetch_into(&mut tiles, missing).await?,
            }
        };
        Ok(TreeHead { size, root, timestamp: UnixMillis(u64::MAX) })
    }

    /// How many full data tiles there must be: the last of them, or the hash tile that was written with it, is there.
    fn sealed_tiles(&self) -> u64 {
        let Some(directory) = &self.directory else { return 0 };
        let mut open = vec![directory.join("tile/data"), directory.join("tile/0")];
        let mut tiles = 0;
        while let Some(next) = open.pop() {
            // What is no directory, or cannot be read, adds nothing; a tile that is missed then is a finding.
            for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let name = path.strip_prefix(directory).ok().and_then(Path::to_str);
                let tile = name.and_then(TilePath::parse).filter(TilePath::is_full);
                match tile {
                    Some(tile) if !is_directory => tiles = tiles.max(tile.index() + 1),
                    _ if is_directory => open.push(path),
                    _ => {}
                }
            }
        }
        tiles
    }

    /// Fetches the tile that a walk over nodes lacked.
    async fn fetch_into(
        &self,
        tiles: &mut HashMap<TilePath, Vec<u8>>,
        missing: Option<TilePath>,
    ) -> Result<(), String> {
        let path = missing.ok_or("a hash tile is shorter than its name says")?;
        let content = self.tile(&path).await?.ok_or_else(|| format!("{path} is missing"))?;
        tiles.insert(path, content);
        Ok(())
    }

    async fn object(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(directory) = &self.directory {
            let file = directory.join(path);
            let shown = file.display().to_string();
            let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
            match read.map_err(|error| error.to_string())? {
                Ok(content) => return Ok(Some(content)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{shown}: {error}")),
            }
        }
        if self.is_offline {
            return Ok(None);
        }
        // tlog-tiles calls entries `entries` where static-ct-api, and the directory, call them `data`.
        let url = match path.strip_prefix("tile/data/").filter(|_| self.log.kind() == LogKind::Signatures) {
            Some(rest) => format!("{}/tile/entries/{rest}", self.base),
            None => format!("{}/{path}", self.base),
        };
        self.http.get(&url).await
    }
}

/// The node out of the tiles at hand, or the tile that it needs. `None`: no tree has such a node.
fn node(
    level: u32,
    index: u64,
    size: u64,
    tiles: &HashMap<TilePath, Vec<u8>>,
) -> Result<Hash, Option<TilePath>> {
    let place = NodeInTile::new(level, index).ok_or(None)?;
    let path = tile_at(TileKind::Hashes(place.level), place.tile, size).ok_or(None)?;
    let content = tiles.get(&path).ok_or(Some(path))?;
    // A tile that is too short for its own width proves nothing; `None` ends the search.
    place.read(content).ok_or(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_the_base_url_without_scheme_and_slash() {
        for url in ["https://ca.example.com/ct", "https://ca.example.com/ct/", "ca.example.com/ct"] {
            assert_eq!(origin_of(url), "ca.example.com/ct");
        }
    }

    #[test]
    fn a_signature_logs_origin_is_the_bare_host() {
        for (url, origin) in [
            ("https://ca.example.com", "ca.example.com"),
            ("https://ca.example.com:8443/", "ca.example.com"),
            ("http://[::1]:5555", "::1"),
        ] {
            assert_eq!(default_origin(LogKind::Signatures, url), origin);
        }
    }
}
