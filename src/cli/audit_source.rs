//! Where `log audit` gets a log's tiles from: a [`LogReader`], some tiles ahead of the audit.
//!
//! The audit is blocking and asks for one tile after the other; here a task fetches those that come next, and a CA
//! certificate is fetched when it is asked for. Must run outside of the runtime's own threads.

use super::log_reader::LogReader;
use crate::certificate::inspect::Inspected;
use crate::log::audit::{SourceError, TileSource};
use crate::transparency::precertificate::LoggedCertificate;
use crate::transparency::tile::TilePath;
use crate::transparency::{Hash, sha256};
use std::cell::RefCell;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Tiles on their way at the same time; a full data tile has half a megabyte.
const READ_AHEAD: usize = 16;

type Fetched = Result<Option<Vec<u8>>, String>;

/// A log's tiles, fetched ahead.
pub struct AuditSource {
    reader: Arc<LogReader>,
    runtime: Handle,
    ahead: mpsc::Receiver<(TilePath, JoinHandle<Fetched>)>,
}

impl AuditSource {
    /// `tiles`: those that will be asked for, in this order; others are fetched when asked for.
    pub fn new(
        reader: Arc<LogReader>,
        runtime: &Handle,
        tiles: impl Iterator<Item = TilePath> + Send + 'static,
    ) -> Self {
        let (sender, ahead) = mpsc::channel(READ_AHEAD);
        let shared = reader.clone();
        runtime.spawn(async move {
            for path in tiles {
                // The place comes first: no more tiles than places are on their way.
                let Ok(place) = sender.reserve().await else { return };
                let reader = shared.clone();
                place.send((path, tokio::spawn(async move { reader.tile(&path).await })));
            }
        });
        Self { reader, runtime: runtime.clone(), ahead }
    }
}

impl TileSource for AuditSource {
    fn tile(&mut self, path: &TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        let reader = &self.reader;
        let ahead = &mut self.ahead;
        self.runtime.block_on(async {
            // The audit may skip a tile; it never goes back to one.
            while let Some((fetched, content)) = if path.is_full() || !ahead.is_empty() || !ahead.is_closed() {
                ahead.recv().await
            } else {
                None
            } {
                if fetched == *path {
                    return content.await.map_err(|error| error.to_string()).and_then(|content| content);
                }
            }
            reader.tile(path).await
        })
        .map_err(SourceError)
    }

    fn issuer(&mut self, fingerprint: &Hash) -> Result<Option<Vec<u8>>, SourceError> {
        self.runtime.block_on(self.reader.issuer(fingerprint)).map_err(SourceError)
    }
}
