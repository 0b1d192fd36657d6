//! Where the log lies: the default store in one data directory, and one in memory for tests.
//!
//! ```text
//! data/LOCK          one process at a time; holds the owner's process id
//! data/head/         the head and the unsealed entries, a few MiB for good: two journal files, and sled
//! data/head.record   the second record of the head
//! data/log/tile/…    sealed tiles, plain files
//! data/log/index/…   where entries stand by their leaf hash; made anew from tiles where it is missing
//! data/log/issuer/…  CA certificates by their SHA-256, plain files
//! data/broker/        leases of GitLab tokens, in sled
//! data/broker.record  how many writes of theirs were durable
//! data/signatures/…  the signature log's head, head.record and log, as above
//! data/RESTORING     while a backup is put back: nobody serves what is not whole
//! ```
//!
//! What must be durable is synced here with `fdatasync`/`fsync`, file and directory. Nothing grows with the log but
//! the plain files.

mod anchor;
mod backup;
mod files;
mod frame;
mod head;
mod journal;
mod leases;
mod lock;
pub mod memory;
mod record;
mod restore;
mod room;
mod sled;

pub use backup::{BackupDirectory, BackupError, BackupFiles, LogBackup, Unfinished};
pub use files::FileTileStore;
pub use head::EmbeddedHeadStore;
pub use leases::EmbeddedLeases;
pub use lock::{DirectoryLock, LockError};
pub use record::FileHeadRecord;
pub use restore::{RestoreError, RestoreTarget, check_owner, recorded_in, sealed_in};

use crate::leasing::ports::KeepError;
use crate::log::ports::StoreError;
use crate::log::{LogKind, Stores};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The signature log's directory in a data directory.
const SIGNATURES: &str = "signatures";

/// The broker's directory in a data directory.
const BROKER: &str = "broker";

/// Where a log's `head`, `head.record` and `log` lie in a data directory, or its part of a backup.
pub fn log_directory(root: &Path, kind: LogKind) -> PathBuf {
    match kind {
        LogKind::Certificates => root.to_owned(),
        LogKind::Signatures => root.join(SIGNATURES),
    }
}

/// The default store: everything that a log needs, in one directory.
#[derive(Debug)]
pub struct DataDirectory {
    /// The head and the unsealed entries.
    pub head: EmbeddedHeadStore,
    /// The second record of the head.
    pub record: FileHeadRecord,
    /// The sealed tiles and the issuers.
    pub tiles: FileTileStore,
    /// Keeps other processes out for as long as it lives.
    pub lock: DirectoryLock,
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// Another process has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A backup was not put back to its end.
    #[error(
        "{} is there: `countersign restore` was interrupted, and what it has put back is not whole; run it again with the \
         same backup, which goes on where it was",
        marker.display()
    )]
    Restoring {
        /// The file that says so.
        marker: PathBuf,
    },
    /// A part of it cannot be opened.
    #[error("cannot open {}: {problem}; it must be readable and writable for this user", path.display())]
    Part {
        /// The part.
        path: PathBuf,
        /// What the store says.
        problem: StoreError,
    },
}

/// A data directory that is locked, before any log in it is opened: several logs share one lock.
pub struct LockedDirectory {
    path: PathBuf,
    lock: Arc<DirectoryLock>,
}

impl LockedDirectory {
    /// Makes the directory (mode 0700) where it is missing, and locks it.
    ///
    /// # Errors
    /// When another process has the directory, and when it can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, DataDirectoryError> {
        Ok(Self { path: path.to_owned(), lock: Arc::new(lock_directory(path)?) })
    }

    /// The stores of a log of that kind.
    ///
    /// # Errors
    /// As [`DataDirectory::open`].
    pub fn log(&self, kind: LogKind) -> Result<Stores, DataDirectoryError> {
        match kind {
            LogKind::Certificates => self.certificates(),
            LogKind::Signatures => self.signatures(),
        }
    }

    /// The certificate log's stores.
    ///
    /// # Errors
    /// As [`DataDirectory::open`].
    pub fn certificates(&self) -> Result<Stores, DataDirectoryError> {
        self.stores(&self.path)
    }

    /// The signature log's stores.
    ///
    /// # Errors
    /// As [`DataDirectory::open`].
    pub fn signatures(&self) -> Result<Stores, DataDirectoryError> {
        let path = log_directory(&self.path, LogKind::Signatures);
        files::make_directory(&path)
            .map_err(|problem| DataDirectoryError::Part { path: path.clone(), problem })?;
        self.stores(&path)
    }

    /// Whether there is a store of leases.
    pub fn has_leases(&self) -> bool {
        self.path.join(BROKER).is_dir()
    }

    /// The leases of the broker.
    ///
    /// # Errors
    /// As [`EmbeddedLeases::open`].
    pub fn leases(&self) -> Result<EmbeddedLeases, KeepError> {
        Ok(EmbeddedLeases::open(&self.path.join(BROKER))?.guarded_by(self.lock.clone()))
    }

    fn stores(&self, path: &Path) -> Result<Stores, DataDirectoryError> {
        let (head, record, tiles) = open_parts(path)?;
        let guard = Box::new(self.lock.clone());
        Ok(Stores { head: Box::new(head), record: Box::new(record), tiles: Arc::new(tiles), guard })
    }
}

/// Makes and locks a data directory, unless a backup is being put back into it.
fn lock_directory(path: &Path) -> Result<DirectoryLock, DataDirectoryError> {
    files::make_directory(path)
        .map_err(|problem| DataDirectoryError::Part { path: path.to_owned(), problem })?;
    let lock = DirectoryLock::acquire(path)?;
    let marker = path.join(restore::MARKER);
    if marker.symlink_metadata().is_ok() {
        return Err(DataDirectoryError::Restoring { marker });
    }
    Ok(lock)
}

/// What one log has in a directory of its own.
fn open_parts(path: &Path) -> Result<(EmbeddedHeadStore, FileHeadRecord, FileTileStore), DataDirectoryError> {
    let part = |name: &str| path.join(name);
    let failed = |path: PathBuf| move |problem| DataDirectoryError::Part { path, problem };
    let head = EmbeddedHeadStore::open(&part("head")).map_err(failed(part("head")))?;
    let record = FileHeadRecord::open(&part("head.record")).map_err(failed(part("head.record")))?;
    let tiles = FileTileStore::open(&part("log")).map_err(failed(part("log")))?;
    files::sync_directory(path).map_err(failed(path.to_owned()))?;
    Ok((head, record, tiles))
}

impl DataDirectory {
    /// Opens the directory, which is made (mode 0700) where it is missing, and locks it.
    ///
    /// # Errors
    /// When another process has the directory, and when a part of it can be neither opened nor made. What is damaged
    /// opens, and is found when the log starts.
    pub fn open(path: &Path) -> Result<Self, DataDirectoryError> {
        let lock = lock_directory(path)?;
        let (head, record, tiles) = open_parts(path)?;
        Ok(Self { head, record, tiles, lock })
    }
}

impl From<DataDirectory> for Stores {
    fn from(DataDirectory { head, record, tiles, lock }: DataDirectory) -> Self {
        Self { head: Box::new(head), record: Box::new(record), tiles: Arc::new(tiles), guard: Box::new(lock) }
    }
}
