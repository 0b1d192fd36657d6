//! A backup of the logs as a directory.
//!
//! ```text
//! backup/LOCK          one process at a time writes it
//! backup/backup.json   the certificate log's head: written last, in one step
//! backup/log/…         full tiles and CA certificates, as in a data directory
//! backup/signatures/…  the signature log's backup.json and log, where there is one
//! ```
//!
//! A head is replaced whole, once everything that it needs is durable: an interrupted backup is the one before it.

use super::files::{is_issuer, is_tile, make_directory, sync_directory, write_whole};
use super::{DirectoryLock, FileTileStore, LockError, SIGNATURES, log_directory};
use crate::log::LogKind;
use crate::log::ports::{StoreError, TileStore};
use crate::log::snapshot;
use crate::transparency::tile::TilePath;
use rustix::fs::{Mode, OFlags, openat};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HEAD: &str = "backup.json";
/// The largest data tile that is read: 256 entries of the largest size that a log takes are below it.
const MAX_TILE: u64 = 64 << 20;
/// A full hash tile.
const HASH_TILE: u64 = 256 * 32;
/// The largest CA certificate that is read.
const MAX_ISSUER: u64 = 1 << 20;

/// Why a backup's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another process writes it.
    #[error("the backup {} is being written by {holder}; wait for that one, or give another directory", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// `process 123`, or `another process`.
        holder: String,
    },
    /// Something else lies there.
    #[error(
        "{} holds {found:?} and is no backup: give an empty directory, or one that does not exist, or a backup", directory.display()
    )]
    NotABackup {
        /// The directory.
        directory: PathBuf,
        /// What was found.
        found: String,
    },
    /// It cannot be opened.
    #[error("cannot use the backup {}: {problem}", directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        problem: String,
    },
}

/// A backup that is written.
#[derive(Debug)]
pub struct BackupDirectory {
    root: PathBuf,
    _lock: DirectoryLock,
}

impl BackupDirectory {
    /// Opens the directory, which is made (mode 0700) where it is missing, and locks it.
    ///
    /// # Errors
    /// See [`BackupError`]. A directory that holds anything else than a backup is not touched.
    pub fn open(root: &Path) -> Result<Self, BackupError> {
        make(root)?;
        only(root, &["LOCK", "log", "lost+found", SIGNATURES, HEAD, &temporary_name()])?;
        let lock = DirectoryLock::acquire(root).map_err(|error| match error {
            LockError::InUse { directory, holder } => BackupError::InUse { directory, holder },
            LockError::Failed { problem, .. } => unusable(root)(format!("cannot lock it: {problem}")),
        })?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// What it has of one log, or will have.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn log(&self, kind: LogKind) -> Result<LogBackup<'_>, BackupError> {
        let root = log_directory(&self.root, kind);
        if kind != LogKind::Certificates {
            make(&root)?;
            only(&root, &["log", HEAD, &temporary_name()])?;
        }
        let tiles = FileTileStore::open(&root.join("log"));
        let tiles = tiles.map_err(|error| unusable(&root)(error.to_string()))?;
        Ok(LogBackup { root, tiles: Arc::new(tiles), _directory: self })
    }

    /// Whether a backup of that log was ever begun here.
    pub fn has(&self, kind: LogKind) -> bool {
        log_directory(&self.root, kind).join(HEAD).symlink_metadata().is_ok()
    }
}

fn unusable(root: &Path) -> impl Fn(String) -> BackupError {
    move |problem| BackupError::Unusable { directory: root.to_owned(), problem }
}

fn make(root: &Path) -> Result<(), BackupError> {
    make_directory(root).map_err(|error| unusable(root)(error.to_string()))
}

/// Refuses a directory with anything else in it.
fn only(root: &Path, ours: &[&str]) -> Result<(), BackupError> {
    let failed = |error: io::Error| unusable(root)(error.to_string());
    for item in fs::read_dir(root).map_err(failed)? {
        let name = item.map_err(failed)?.file_name();
        if !ours.iter().any(|known| name == **known) {
            let found = name.to_string_lossy().into_owned();
            return Err(BackupError::NotABackup { directory: root.to_owned(), found });
        }
    }
    Ok(())
}

/// One log's part of a backup.
#[derive(Debug)]
pub struct LogBackup<'d> {
    root: PathBuf,
    tiles: Arc<FileTileStore>,
    /// Keeps others away.
    _directory: &'d BackupDirectory,
}

impl LogBackup<'_> {
    /// Full tiles and CA certificates, of which those of the first `held` entries are the backup's: they stay as they are.
    /// What lies beyond them was left by a run that did not come to its end, and nothing vouches for it.
    pub fn tiles(&self, held: u64) -> Unfinished {
        Unfinished { tiles: self.tiles.clone(), held }
    }

    /// The head's file; `None` when no backup was ever finished here.
    ///
    /// # Errors
    /// `NotWritten` when it cannot be read.
    pub fn head(&self) -> Result<Option<Vec<u8>>, StoreError> {
        BackupFiles::open(&self.root)?.head()
    }

    /// Replaces the head, durable when this returns. Everything that it names must be durable before.
    ///
    /// # Errors
    /// `NotWritten`: the one before it stands. `Unknown`: one of the two does.
    pub fn commit(&self, head: &[u8]) -> Result<(), StoreError> {
        write_whole(&self.root.join(temporary_name()), &self.root.join(HEAD), head)?;
        sync_directory(&self.root)
    }
}

/// Tiles that are being written, and may be replaced where nobody relies on them yet.
#[derive(Debug)]
pub struct Unfinished {
    pub(super) tiles: Arc<FileTileStore>,
    /// Tiles of the first so many entries are never replaced.
    pub(super) held: u64,
}

impl TileStore for Unfinished {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let is_held = TilePath::parse(path).is_some_and(|tile| tile.is_within(self.held));
        self.tiles.write(path, bytes, !is_held)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.tiles.get(path)
    }

    fn any(&self) -> Result<Option<String>, StoreError> {
        self.tiles.any()
    }
}

fn temporary_name() -> String {
    format!(".{HEAD}.tmp")
}

/// A backup that is read, with what lies there taken for anybody's: no link is followed, only plain files are read, and
/// none beyond its size. Writes nothing, so it may lie on a medium that cannot be written.
#[derive(Debug)]
pub struct BackupFiles {
    root: File,
    shown: PathBuf,
}

impl BackupFiles {
    /// What a backup's directory has of one log. `None`: nothing of that log is there.
    ///
    /// # Errors
    /// `NotWritten` when it cannot be opened.
    pub fn of(root: &Path, kind: LogKind) -> Result<Option<Self>, StoreError> {
        let certificates = Self::open(root)?;
        match kind {
            LogKind::Certificates => Ok(Some(certificates)),
            LogKind::Signatures => match certificates.open_beneath(SIGNATURES) {
                Ok(root) => Ok(Some(Self { root, shown: certificates.shown.join(SIGNATURES) })),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::NotWritten(format!(
                    "cannot read {}: {error}",
                    certificates.shown.join(SIGNATURES).display()
                ))),
            },
        }
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// `NotWritten` when it cannot be opened.
    fn open(root: &Path) -> Result<Self, StoreError> {
        let opened = File::open(root).and_then(|file| match file.metadata()?.is_dir() {
            true => Ok(file),
            false => Err(ErrorKind::NotADirectory.into()),
        });
        let opened = opened
            .map_err(|error| StoreError::NotWritten(format!("cannot read {}: {error}", root.display())))?;
        Ok(Self { root: opened, shown: root.to_owned() })
    }

    /// The head's file, or `None`.
    ///
    /// # Errors
    /// `NotWritten` when it cannot be read, `Corrupt` when it is no file of that kind.
    pub fn head(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(HEAD, snapshot::MAX_BYTES as u64)
    }

    fn read(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let shown = self.shown.join(path).display().to_string();
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => None,
            _ => Some(StoreError::NotWritten(format!("cannot read {shown}: {error}"))),
        };
        let file = match self.open_beneath(path) {
            Ok(file) => file,
            Err(error) => return failed(error).map_or(Ok(None), Err),
        };
        let metadata = file
            .metadata()
            .map_err(|error| StoreError::NotWritten(format!("cannot read {shown}: {error}")))?;
        if !metadata.is_file() || metadata.size() > most {
            return Err(StoreError::Corrupt(format!("{shown} is no plain file, or larger than it can be")));
        }
        let mut bytes = Vec::new();
        let read = file.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| StoreError::NotWritten(format!("cannot read {shown}: {error}")))?;
        if bytes.len() as u64 > most {
            return Err(StoreError::Corrupt(format!("{shown} grew while it was read")));
        }
        Ok(Some(bytes))
    }

    /// Opens `path` step by step, so that no part of it may be a link. A pipe in the place of a file does not block.
    fn open_beneath(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut opened: Option<File> = None;
        for part in path.split('/') {
            let directory = opened.as_ref().unwrap_or(&self.root);
            opened = Some(openat(directory, part, flags, Mode::empty())?.into());
        }
        opened.ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl TileStore for BackupFiles {
    fn put(&self, path: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::NotWritten(format!("{path}: a backup that is read is not written")))
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let most = match path {
            _ if is_issuer(path) => MAX_ISSUER,
            _ if !is_tile(path) => return Ok(None),
            _ if path.starts_with("tile/data/") => MAX_TILE,
            _ => HASH_TILE,
        };
        self.read(&format!("log/{path}"), most)
    }

    fn any(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn one_process_at_a_time_writes_a_backup() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("backup");
        let first = BackupDirectory::open(&root).unwrap();
        let error = BackupDirectory::open(&root).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        BackupDirectory::open(&root).unwrap();
    }

    #[test]
    fn what_is_no_backup_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("letters"), "").unwrap();
        let error = BackupDirectory::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("letters"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_head_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let backup = BackupDirectory::open(directory.path()).unwrap();
        for (kind, root) in [
            (LogKind::Certificates, directory.path().to_owned()),
            (LogKind::Signatures, directory.path().join("signatures")),
        ] {
            let backup = backup.log(kind).unwrap();
            assert_eq!(backup.head().unwrap(), None);
            // What a crash left.
            fs::write(root.join(".backup.json.tmp"), "half of something longer").unwrap();
            for head in ["first", "2nd", kind.name()] {
                backup.commit(head.as_bytes()).unwrap();
                assert_eq!(backup.head().unwrap().unwrap(), head.as_bytes());
            }
        }
        for kind in [LogKind::Certificates, LogKind::Signatures] {
            let files = BackupFiles::of(directory.path(), kind).unwrap().unwrap();
            assert_eq!(files.head().unwrap().unwrap(), kind.name().as_bytes());
        }
    }

    #[test]
    fn what_an_interrupted_run_left_is_replaced_and_what_the_head_stands_on_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let backup = BackupDirectory::open(directory.path()).unwrap();
        let backup = backup.log(LogKind::Certificates).unwrap();
        for tile in ["tile/data/000", "tile/data/001", "tile/1/000"] {
            backup.tiles(0).put(tile, b"first").unwrap();
        }
        let tiles = backup.tiles(300);
        assert!(matches!(tiles.put("tile/data/000", b"other"), Err(StoreError::Corrupt(_))));
        tiles.put("tile/data/001", b"other").unwrap();
        tiles.put("tile/1/000", b"other").unwrap();
        assert_eq!(tiles.get("tile/data/000").unwrap().unwrap(), b"first");
        assert_eq!(tiles.get("tile/data/001").unwrap().unwrap(), b"other");
    }

    #[test]
    fn a_hostile_backup_gives_neither_other_peoples_files_nor_endless_ones() {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("000"), [7; 8192]).unwrap();
        let root = directory.path().join("backup");
        fs::create_dir_all(root.join("log/tile/1")).unwrap();
        symlink(secret.join("000"), root.join("backup.json")).unwrap();
        symlink(secret.join("000"), root.join("log/tile/1/000")).unwrap();
        symlink(&secret, root.join("log/tile/0")).unwrap();
        symlink("/dev/zero", root.join("log/tile/1/001")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(root.join("log/tile/1/002")).status();
        assert!(pipe.unwrap().success());
        fs::create_dir(root.join("log/tile/1/003")).unwrap();
        fs::write(root.join("log/tile/1/004"), [0; 8193]).unwrap();
        let backup = BackupFiles::open(&root).unwrap();
        assert!(backup.head().is_err());
        for path in ["tile/1/000", "tile/0/000", "tile/1/001", "tile/1/002", "tile/1/003", "tile/1/004"] {
            assert!(backup.get(path).is_err(), "{path}");
        }
        for path in ["../secret/000", "tile/../../secret/000", "/etc/passwd", "tile/1/005", "backup.json"] {
            assert_eq!(backup.get(path).unwrap(), None, "{path}");
        }
        symlink(&secret, root.join("signatures")).unwrap();
        assert!(BackupFiles::of(&root, LogKind::Signatures).is_err());
        fs::write(root.join("log/tile/1/006"), [0; 8192]).unwrap();
        assert!(backup.get("tile/1/006").unwrap().is_some());
    }
}
