//! What a log finds when it starts, as named cases: it goes on from what is stored, or says what is wrong and the way out.
//!
//! | found | answer |
//! |---|---|
//! | nothing at all | a new log |
//! | a store ahead of its second record (a crash between the two) | goes on; these entries stay in the log |
//! | full tiles of entries that the store still has (a crash before they were dropped) | goes on; they are sealed again |
//! | complete tiles not yet written | goes on; they are sealed |
//! | no second record, or a damaged one | [`StartError`]: without it an older head store cannot be told from the newest |
//! | anything else that does not fit together | [`StartError`] |
//!
//! A log is never started on less than it once had: a second entry at an index that was answered would be a fork.

use super::Stores;
use super::ports::{Head, HeadStore, Identity, Recorded, StoreError, Stored, TileStore};
use super::view::{View, sealed_node};
use crate::environment::{Clock, UnixMillis};
use crate::transparency::tile::{TILE_WIDTH, TileKind, TilePath, tiles_completed_by};
use crate::transparency::{Entry, Hash, merkle};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A clock this far behind the last entry still starts: entries then keep that timestamp until the clock has caught up.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

/// Why a log does not start. Each text says what was found, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The head store cannot be read or written.
    #[error(
        "the log's head store cannot be used: {0}; check that the data directory is readable and writable for this user, and the disk's state"
    )]
    StoreUnusable(StoreError),
    /// The head store contradicts itself.
    #[error("the log's head store is damaged: {0}; {RESTORE}")]
    StoreDamaged(String),
    /// Tiles or issuers cannot be read or written.
    #[error(
        "the log's tiles cannot be used: {0}; check that the data directory is readable and writable for this user, and the disk's state"
    )]
    TilesUnusable(StoreError),
    /// Tiles or CA certificates are there, their head is not.
    #[error("there are files of a log ({tile}), but no head store that belongs to them; {RESTORE}")]
    TilesWithoutStore {
        /// The tile, or else the CA certificate, that was found.
        tile: String,
    },
    /// The second record tells of a log, and the store is gone.
    #[error(
        "the head's second record tells of a log with {size} entries, but the head store is gone or empty; {RESTORE}"
    )]
    RecordWithoutStore {
        /// The size in the record.
        size: u64,
    },
    /// The store lost what had been made durable, or an older copy of it was put back.
    #[error(
        "the head store has {stored} entries, but its second record says that there were {recorded}: the store has lost entries that were answered, or is an older copy; {RESTORE}"
    )]
    StoreBehindRecord {
        /// The size in the store.
        stored: u64,
        /// The size in the record.
        recorded: u64,
    },
    /// The record is of another history.
    #[error(
        "the head store and its second record disagree about the first {size} entries: they belong to different logs or to different histories of one; {RESTORE}"
    )]
    RecordContradictsStore {
        /// The size in the record.
        size: u64,
    },
    /// A part of the record is not what was written.
    #[error(
        "the head's second record is damaged, so whether the head store is the newest cannot be told: {0}; {NEWEST}; else {RESTORE}"
    )]
    RecordDamaged(String),
    /// There is no record. It is made durable before the head store is made, so no crash leaves it so.
    #[error(
        "the head store has {size} entries, but its second record (`head.record`) is missing, so whether the head store is the newest cannot be told; {NEWEST}; else {RESTORE}"
    )]
    RecordMissing {
        /// The size in the store.
        size: u64,
    },
    /// The record cannot be read or written.
    #[error(
        "the head's second record cannot be used: {0}; check that the data directory is readable and writable for this user, and the disk's state"
    )]
    RecordUnusable(StoreError),
    /// Tiles exist for entries that the store does not have: an older copy of the store beside newer tiles.
    #[error(
        "the head store has {size} entries, but there is a tile beyond them ({tile}): the store is older than the tiles, as after restoring a backup; {RESTORE}"
    )]
    TilesBeyondStore {
        /// The tile that was found.
        tile: String,
        /// The size in the store.
        size: u64,
    },
    /// A sealed tile is missing.
    #[error(
        "the head store says that {tile} was written, but it is missing; put the file back from a backup or a mirror of the tiles (they never change)"
    )]
    TileMissing {
        /// The missing tile.
        tile: String,
    },
    /// A tile that is to be sealed again has other bytes.
    #[error(
        "{tile} differs from the entries in the head store: the two belong to different histories; {RESTORE}"
    )]
    TileDiffers {
        /// The tile.
        tile: String,
    },
    /// Tiles and entries do not make the head.
    #[error(
        "the tiles and the head do not fit together: {0}; if a tile was damaged, put it back from a backup or a mirror (tiles never change); else {RESTORE}"
    )]
    TreeContradictsHead(String),
    /// The log was made with another key.
    #[error(
        "this is the log with the id {stored}, but the key given has the id {given}: give the key that the log was made with (`log.key`), or start another log in an empty data directory"
    )]
    WrongKey {
        /// The id in the store, hexadecimal.
        stored: String,
        /// SHA-256 of the given key, hexadecimal.
        given: String,
    },
    /// The log was made with another origin.
    #[error(
        "this is the log {stored:?}, but `log.origin` says {given:?}: set it back, or start another log in an empty data directory; the origin of a log never changes"
    )]
    WrongOrigin {
        /// The origin in the store.
        stored: String,
        /// The origin given.
        given: String,
    },
    /// The machine's clock is wrong.
    #[error(
        "the clock says {now}, but the log's last entry is of {last}: set the clock right; timestamps of a log never go back"
    )]
    ClockBehind {
        /// The clock's time.
        now: UnixMillis,
        /// The head's time.
        last: UnixMillis,
    },
}

/// The end of every text where entries may be lost.
const RESTORE: &str = "put the data directory back whole, from the newest copy there is, and never a part of it; when what is lost \
     cannot be found, this log must not go on: start a successor with a new key and a new origin in an empty data directory";

/// The way out where nothing but the record is lost.
const NEWEST: &str = "put it back where it alone was left out of a copy; if you are certain that the head store is \
     the newest there is, write the word `newest` into the file `head.record` in the data directory and start again";

/// How the leaf hash of an entry is made from its bytes.
pub(super) type LeafHash = fn(&[u8]) -> Option<Hash>;

/// Checks what is stored and makes the log's live view of it; in an empty store it makes a new log.
///
/// # Errors
/// See [`StartError`]. Nothing was changed then.
pub(super) fn start(
    identity: &Identity,
    stores: &mut Stores,
    leaf_hash: LeafHash,
    clock: &dyn Clock,
) -> Result<View, StartError> {
    let found = read(identity, stores, leaf_hash, clock)?;
    let is_new = found.is_none();
    let mut view = found.unwrap_or_else(View::empty);
    if is_new {
        view.head.timestamp = clock.now();
    }
    // Durable before there is a head store: where that is, and no record, it was lost.
    stores.record.write(&Recorded::from(&view.head)).map_err(StartError::RecordUnusable)?;
    stores.record.sync().map_err(StartError::RecordUnusable)?;
    if is_new {
        create(identity, &mut *stores.head, &view.head)?;
    }
    Ok(view)
}

/// The same checks, with nothing made and nothing written. `None`: there is no log, and no trace of one.
///
/// # Errors
/// See [`StartError`].
pub(super) fn read(
    identity: &Identity,
    stores: &Stores,
    leaf_hash: LeafHash,
    clock: &dyn Clock,
) -> Result<Option<View>, StartError> {
    let Stores { head, record, tiles, .. } = stores;
    let recorded = record.read().map_err(|error| match error {
        StoreError::Corrupt(reason) => StartError::RecordDamaged(reason),
        other => StartError::RecordUnusable(other),
    })?;
    match head.load().map_err(store_error)? {
        Some(stored) => {
            check_entries(&stored, leaf_hash)?;
            resume(stored, identity, recorded, tiles, clock).map(Some)
        }
        None => check_nothing_is_there(recorded, tiles).map(|()| None),
    }
}

/// The tree covers leaf hashes alone: the bytes must be those that they were made of.
fn check_entries(stored: &Stored, leaf_hash: LeafHash) -> Result<(), StartError> {
    let damaged = |entry: &Entry| leaf_hash(&entry.bytes) != Some(entry.leaf_hash);
    match (stored.first..).zip(&stored.unsealed).find(|(_, entry)| damaged(entry)) {
        Some((index, _)) => Err(StartError::StoreDamaged(format!("entry {index} is not what was logged"))),
        None => Ok(()),
    }
}

fn check_nothing_is_there(recorded: Option<Recorded>, tiles: &Arc<dyn TileStore>) -> Result<(), StartError> {
    if let Some(recorded) = recorded.filter(|recorded| recorded.size > 0) {
        return Err(StartError::RecordWithoutStore { size: recorded.size });
    }
    // The first tile before any other object: it names the case best.
    if let Some(tile) = existing(0, tiles)? {
        return Err(StartError::TilesWithoutStore { tile });
    }
    // CA certificates are written once the head store is there: they tell of a log that has no tile yet.
    match tiles.any().map_err(StartError::TilesUnusable)? {
        Some(tile) => Err(StartError::TilesWithoutStore { tile }),
        None => Ok(()),
    }
}

fn create(identity: &Identity, store: &mut dyn HeadStore, head: &Head) -> Result<(), StartError> {
    store.create(identity, head).map_err(store_error)?;
    tracing::warn!(
        origin = identity.origin,
        log_id = hex::encode(identity.log_id),
        "the data directory was empty: a NEW transparency log starts here with its first entry; if this log had entries \
         before, stop now and restore its data directory"
    );
    Ok(())
}

fn resume(
    stored: Stored,
    identity: &Identity,
    recorded: Option<Recorded>,
    tiles: &Arc<dyn TileStore>,
    clock: &dyn Clock,
) -> Result<View, StartError> {
    check_identity(&stored.identity, identity)?;
    check_not_behind(&stored.head, recorded)?;
    let size = stored.head.size;
    if let Some(tile) = existing(size / TILE_WIDTH, tiles)? {
        return Err(StartError::TilesBeyondStore { tile, size });
    }
    let view = restore(stored, tiles)?;
    check_unsealed_tiles(&view, tiles)?;
    match recorded {
        Some(recorded) => check_record_is_of_this_tree(&view, &recorded, tiles)?,
        None => return Err(StartError::RecordMissing { size }),
    }
    let (now, last) = (clock.now(), view.head.timestamp);
    if now.plus(CLOCK_TOLERANCE) < last {
        return Err(StartError::ClockBehind { now, last });
    }
    Ok(view)
}

fn check_identity(stored: &Identity, given: &Identity) -> Result<(), StartError> {
    if stored.log_id != given.log_id {
        let (stored, given) = (hex::encode(stored.log_id), hex::encode(given.log_id));
        return Err(StartError::WrongKey { stored, given });
    }
    if stored.origin != given.origin {
        let (stored, given) = (stored.origin.clone(), given.origin.clone());
        return Err(StartError::WrongOrigin { stored, given });
    }
    Ok(())
}

fn check_not_behind(head: &Head, recorded: Option<Recorded>) -> Result<(), StartError> {
    match recorded {
        Some(recorded) if recorded.size > head.size => {
            Err(StartError::StoreBehindRecord { stored: head.size, recorded: recorded.size })
        }
        _ => Ok(()),
    }
}

/// The record lags at most: the tree of its size must be the beginning of this tree.
fn check_record_is_of_this_tree(
    view: &View,
    recorded: &Recorded,
    tiles: &Arc<dyn TileStore>,
) -> Result<(), StartError> {
    let root = merkle::tree_root(recorded.size, &mut |level, index| match view.node(level, index) {
        Some(hash) => Ok(hash),
        None => sealed_node(level, index, &**tiles),
    });
    let root = root.map_err(|error| StartError::TreeContradictsHead(error.to_string()))?;
    if root == recorded.root && recorded.timestamp <= view.head.timestamp {
        Ok(())
    } else {
        Err(StartError::RecordContradictsStore { size: recorded.size })
    }
}

/// The view, with every hash that it needs recomputed from tiles and entries and compared with the head.
fn restore(stored: Stored, tiles: &Arc<dyn TileStore>) -> Result<View, StartError> {
    if let Some(last) = (stored.first / TILE_WIDTH).checked_sub(1) {
        // The tree's check reads hash tiles alone.
        let tile = path(TileKind::Data, last);
        if tiles.get(&tile).map_err(StartError::TilesUnusable)?.is_none() {
            return Err(StartError::TileMissing { tile });
        }
    }
    let noting = Noting { tiles: tiles.clone(), missing: Mutex::new(None), failed: Mutex::new(None) };
    let restored = View::restore(stored.head, stored.first, stored.unsealed, &noting);
    restored.map_err(|error| {
        if let Some(error) = noting.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return StartError::TilesUnusable(error);
        }
        match noting.missing.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(tile) => StartError::TileMissing { tile },
            None => StartError::TreeContradictsHead(error.to_string()),
        }
    })
}

/// Tiles that a crash left without the append that drops their entries must be what sealing again would write.
fn check_unsealed_tiles(view: &View, tiles: &Arc<dyn TileStore>) -> Result<(), StartError> {
    for number in view.unsealed_start / TILE_WIDTH..view.head.size / TILE_WIDTH {
        for path in tiles_completed_by(number) {
            let tile = path.to_string();
            let present = tiles.get(&tile).map_err(StartError::TilesUnusable)?;
            if present.is_some() && present != view.tile(&path) {
                return Err(StartError::TileDiffers { tile });
            }
        }
    }
    Ok(())
}

/// The data tile or the tile of level 0 with this number, when one of them exists.
fn existing(number: u64, tiles: &Arc<dyn TileStore>) -> Result<Option<String>, StartError> {
    for kind in [TileKind::Data, TileKind::Hashes(0)] {
        let tile = path(kind, number);
        if tiles.get(&tile).map_err(StartError::TilesUnusable)?.is_some() {
            return Ok(Some(tile));
        }
    }
    Ok(None)
}

fn path(kind: TileKind, number: u64) -> String {
    TilePath::full(kind, number).map(|path| path.to_string()).unwrap_or_default()
}

fn store_error(error: StoreError) -> StartError {
    match error {
        StoreError::Corrupt(reason) => StartError::StoreDamaged(reason),
        other => StartError::StoreUnusable(other),
    }
}

/// Tiles, with a note of the first one that was asked for and not there, and of the first failure.
struct Noting {
    tiles: Arc<dyn TileStore>,
    missing: Mutex<Option<String>>,
    failed: Mutex<Option<StoreError>>,
}

impl TileStore for Noting {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.tiles.put(path, bytes)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.tiles.get(path);
        match &found {
            Ok(Some(_)) => {}
            Ok(None) => {
                self.missing
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert_with(|| path.to_owned());
            }
            Err(error) => {
                self.failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert_with(|| error.clone());
            }
        }
        found
    }

    fn any(&self) -> Result<Option<String>, StoreError> {
        self.tiles.any()
    }
}
