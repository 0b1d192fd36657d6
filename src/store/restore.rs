//! A data directory that logs are put back into.
//!
//! The order keeps a server away from what is not whole: first a file says that something is under way, last it goes.
//! In between come, for each log, the tiles, the head store, and the head's second record. Whatever stood there before is not
//! touched.

use super::files::{make_directory, sync_directory, write_whole};
use super::{
    DataDirectoryError, DirectoryLock, FileHeadRecord, FileTileStore, LockError, Unfinished, log_directory,
    open_parts,
};
use crate::log::ports::{Group, Head, HeadRecord, HeadStore, Identity, Recorded, StoreError};
use crate::log::{LogKind, Stores};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that says that a backup is being put back.
pub(super) const MARKER: &str = "RESTORING";
/// Names that a directory may hold and be empty all the same.
const NOTHING: [&str; 2] = ["LOCK", "lost+found"];

/// Why nothing can be put back into a directory.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Another process has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Something lies there.
    #[error(
        "the data directory {} is not empty ({found} is there): a backup is put back into an empty one alone. Move it away, \
         and keep it: with `--replaces` it tells whether the backup is the newest there is", directory.display()
    )]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
        /// What was found.
        found: String,
    },
    /// Another backup, or another state of this one, was being put back.
    #[error(
        "the restore that was interrupted in {} was of another backup, or of another state of this one; give that one, or \
         empty the directory", directory.display()
    )]
    OtherRestore {
        /// The directory.
        directory: PathBuf,
    },
    /// Files would belong to the wrong user.
    #[error(
        "{} belongs to another user (id {owner}): run this as that user, or a server of theirs could not write what is made here",
        directory.display()
    )]
    OtherOwner {
        /// The directory.
        directory: PathBuf,
        /// The id of its owner.
        owner: u32,
    },
    /// It cannot be written.
    #[error("cannot write {}: {problem}", directory.display())]
    Failed {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        problem: StoreError,
    },
    /// What was put back cannot be opened.
    #[error(transparent)]
    Open(#[from] DataDirectoryError),
}

/// The directory, locked.
#[derive(Debug)]
pub struct RestoreTarget {
    path: PathBuf,
    lock: Arc<DirectoryLock>,
    resumed: bool,
}

/// Refuses to work on a directory of another user.
///
/// # Errors
/// `OtherOwner`.
pub fn check_owner(path: &Path) -> Result<(), RestoreError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.uid() != rustix::process::geteuid().as_raw() => {
            Err(RestoreError::OtherOwner { directory: path.to_owned(), owner: metadata.uid() })
        }
        _ => Ok(()),
    }
}

impl RestoreTarget {
    /// Takes an empty directory, which is made (mode 0700) where it is missing, or one where putting back the same was
    /// interrupted. `what` tells one backup from another.
    ///
    /// # Errors
    /// See [`RestoreError`]. Nothing was changed then.
    pub fn open(path: &Path, what: &str) -> Result<Self, RestoreError> {
        let failed = |problem| RestoreError::Failed { directory: path.to_owned(), problem };
        let unreadable = |error: io::Error| failed(StoreError::NotWritten(error.to_string()));
        check_owner(path)?;
        make_directory(path).map_err(failed)?;
        // Before the lock's own file is made or touched.
        let marker = path.join(MARKER);
        let resumed = match fs::read(&marker) {
            Ok(text) if text == what.as_bytes() => true,
            Ok(_) => return Err(RestoreError::OtherRestore { directory: path.to_owned() }),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(unreadable(error)),
        };
        if !resumed {
            let temporary = temporary();
            for item in fs::read_dir(path).map_err(unreadable)? {
                let name = item.map_err(unreadable)?.file_name();
                if name != *temporary && !NOTHING.iter().any(|nothing| name == *nothing) {
                    let found = name.to_string_lossy().into_owned();
                    return Err(RestoreError::NotEmpty { directory: path.to_owned(), found });
                }
            }
        }
        let lock = DirectoryLock::acquire(path)?;
        if !resumed {
            write_whole(&path.join(temporary()), &marker, what.as_bytes()).map_err(failed)?;
        }
        sync_directory(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), lock: Arc::new(lock), resumed })
    }

    /// Where a log's tiles and CA certificates go.
    ///
    /// # Errors
    /// `Failed`.
    pub fn tiles(&self, kind: LogKind) -> Result<Unfinished, RestoreError> {
        let directory = log_directory(&self.path, kind);
        let failed = |problem| RestoreError::Failed { directory: directory.clone(), problem };
        make_directory(&directory).map_err(failed)?;
        let tiles = Arc::new(FileTileStore::open(&directory.join("log")).map_err(failed)?);
        Ok(Unfinished { tiles, held: 0 })
    }

    /// Whether this goes on with what was interrupted.
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Puts a log's head back, once all its tiles are there. `sealed` is the head of the entries in full tiles, `rest` brings the
    /// others and the head of all. `check` sees the stores as a server would find them, and may object.
    ///
    /// # Errors
    /// See [`RestoreError`], and what `check` objects: the directory stays marked.
    pub fn put_head<E: From<RestoreError>>(
        &self,
        kind: LogKind,
        identity: &Identity,
        (sealed, rest): (&Head, &Group),
        check: impl FnOnce(&Stores) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = log_directory(&self.path, kind);
        let failed = |problem| E::from(RestoreError::Failed { directory: path.clone(), problem });
        // A head store that is there is half of what an interrupted restore made: the marker keeps everybody else away.
        match fs::remove_dir_all(path.join("head")) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(StoreError::NotWritten(format!("cannot clear the head store: {error}"))));
            }
            _ => {}
        }
        let (mut head, mut record, tiles) = open_parts(&path).map_err(RestoreError::from)?;
        head.create(identity, sealed).map_err(failed)?;
        if !rest.entries.is_empty() {
            head.append(sealed, rest).map_err(failed)?;
        }
        record.write(&Recorded::from(&rest.head)).map_err(failed)?;
        record.sync().map_err(failed)?;
        let guard = Box::new(self.lock.clone());
        check(&Stores { head: Box::new(head), record: Box::new(record), tiles: Arc::new(tiles), guard })
    }

    /// Everything is back: from now on the directory may be served.
    ///
    /// # Errors
    /// `Failed`.
    pub fn finish(self) -> Result<(), RestoreError> {
        let failed = |problem| RestoreError::Failed { directory: self.path.clone(), problem };
        let removed = fs::remove_file(self.path.join(MARKER));
        removed
            .map_err(|error| failed(StoreError::NotWritten(format!("cannot remove {MARKER}: {error}"))))?;
        sync_directory(&self.path).map_err(failed)
    }
}

fn temporary() -> String {
    format!(".{MARKER}.tmp")
}

/// What the second record in a log's directory says of it, with nothing made or written there.
///
/// # Errors
/// When it cannot be read, or no slot of it is whole.
pub fn recorded_in(data: &Path) -> Result<Option<Recorded>, StoreError> {
    FileHeadRecord::peek(&data.join("head.record"))
}

/// The number of entries that the tiles in a log's directory tell of: beyond the last tile there may be more.
///
/// # Errors
/// When a tile cannot be asked for.
pub fn sealed_in(data: &Path) -> Result<u64, StoreError> {
    let mut open = vec![data.join("log/tile/data"), data.join("log/tile/0")];
    let mut tiles = 0;
    while let Some(next) = open.pop() {
        let items = match fs::read_dir(&next) {
            Ok(items) => items,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(StoreError::NotWritten(format!("cannot read {}: {error}", next.display())));
            }
        };
        for item in items {
            let path = item.map_err(|error| StoreError::NotWritten(error.to_string()))?.path();
            let name = path.strip_prefix(data.join("log")).ok().and_then(Path::to_str).unwrap_or_default();
            match crate::transparency::tile::TilePath::parse(name).filter(|tile| tile.is_full()) {
                Some(tile) if !path.is_dir() => tiles = tiles.max(tile.index() + 1),
                _ if path.is_dir() => open.push(path),
                _ => {}
            }
        }
    }
    Ok(tiles * 256)
}
