//! Tiles and issuers as plain files, so that any web server, rsync or CDN serves and copies them.
//!
//! A file appears whole: it is written under a temporary name in its own directory, synced, renamed, and the directory
//! is synced. Temporary names start with a dot; one that a crash left behind is overwritten by the next try.

use super::anchor::Anchor;
use crate::log::ports::{StoreError, TileStore};
use rustix::fs::{Access, Advice, access, fadvise};
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How many directories are remembered as synced. A log has one new directory for 256,000 entries.
const REMEMBERED: usize = 1024;
/// From this size on a file leaves the system's cache as soon as it is durable. Pages that were never used before cost more than
/// writing on them does: those of one data tile serve the next. Whoever reads it brings it back.
const LARGE: usize = 128 << 10;
/// Space that must be left for the largest tile that 256 usual entries make, and a new directory.
const RESERVE: u64 = 1 << 20;

/// Objects as files below one directory.
#[derive(Debug)]
pub struct FileTileStore {
    root: PathBuf,
    /// What stands at `root`.
    anchor: Anchor,
    /// Directories whose own entry in their parent is known to be durable. Also serialises writers.
    durable: Mutex<HashSet<PathBuf>>,
}

impl FileTileStore {
    /// Opens the directory, which is made when it is missing, and looks whether files can be made where tiles and issuers go.
    ///
    /// # Errors
    /// `NotWritten` when it can be neither opened nor made, and when it or a directory in it is forbidden or read-only.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        make_directory(root)?;
        for directory in ["", "tile", "tile/data", "tile/0", "issuer"].map(|name| root.join(name)) {
            try_to_write(&directory)?;
        }
        let anchor = Anchor::of(root).map_err(|error| not_written(root, &error))?;
        Ok(Self { root: root.to_owned(), anchor, durable: Mutex::new(HashSet::new()) })
    }

    /// The file of an object: only the shapes of static-ct-api's paths, so nothing leaves the directory.
    fn locate(&self, path: &str) -> Result<PathBuf, StoreError> {
        if is_tile(path) || is_issuer(path) || is_index(path) {
            Ok(self.root.join(path))
        } else {
            Err(StoreError::NotWritten(format!("{path:?} is not the path of a full tile or of an issuer")))
        }
    }

    /// Makes `directory` and what leads to it, and syncs each parent of a directory that is not known to be durable.
    fn make_durable(&self, directory: &Path, known: &mut HashSet<PathBuf>) -> Result<(), StoreError> {
        // It may have been deleted under the server; what stood in it is for the audit to miss.
        if known.contains(directory) && directory.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .create(directory)
            .map_err(|error| not_written(directory, &error))?;
        let ours = directory.ancestors().take_while(|ancestor| ancestor.starts_with(&self.root));
        for made in ours {
            if let Some(parent) = made.parent() {
                sync_directory(parent)?;
            }
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
    }

    /// As [`put`](TileStore::put); with `replace`, other bytes that stand there are replaced: for what nobody relies on yet.
    pub(super) fn write(&self, path: &str, bytes: &[u8], replace: bool) -> Result<(), StoreError> {
        let file = self.locate(path)?;
        let Some((directory, name)) = file.parent().zip(file.file_name()) else {
            return Err(StoreError::NotWritten(format!("{path:?} has no directory")));
        };
        self.anchor.check()?;
        let mut known = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_durable(directory, &mut known)?;
        match read(&file)? {
            Some(present) if present != bytes && !replace => Err(StoreError::Corrupt(format!(
                "{} exists with other bytes than the log would write",
                file.display()
            ))),
            // A process may have ended between the rename and the sync of the directory.
            Some(present) if present == bytes => sync_directory(directory),
            _ => {
                let mut temporary = std::ffi::OsString::from(".");
                temporary.push(name);
                temporary.push(".tmp");
                write_whole(&directory.join(temporary), &file, bytes)?;
                sync_directory(directory)
            }
        }
    }
}

impl TileStore for FileTileStore {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(path, bytes, false)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.locate(path)?)
    }

    fn get_range(&self, path: &str, from: u64, length: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.locate(path)?;
        let failed =
            |error: io::Error| StoreError::NotWritten(format!("cannot read {}: {error}", path.display()));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut part = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = part.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, from + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        part.truncate(filled);
        Ok(Some(part))
    }

    fn any(&self) -> Result<Option<String>, StoreError> {
        let mut open = vec![self.root.clone()];
        while let Some(directory) = open.pop() {
            let failed = |error: io::Error| {
                StoreError::NotWritten(format!("cannot read {}: {error}", directory.display()))
            };
            for item in fs::read_dir(&directory).map_err(failed)? {
                let item = item.map_err(failed)?;
                let path = item.path();
                let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str).unwrap_or_default();
                if item.file_type().map_err(failed)?.is_dir() {
                    open.push(path);
                } else if is_tile(name) || is_issuer(name) {
                    return Ok(Some(name.to_owned()));
                }
            }
        }
        Ok(None)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.anchor.check()?;
        let failed = |error: io::Error| not_written(&self.root, &error);
        access(&self.root, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| failed(error.into()))?;
        super::room::check(&File::open(&self.root).map_err(failed)?, &self.root, RESERVE)
    }
}

/// Makes a directory that only its owner may enter, and syncs its parent.
pub(super) fn make_directory(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| not_written(path, &error))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

/// Makes and removes a file, so that a directory that this user may not write is known before the first tile is complete.
/// What may pass, as a full disk, is no error here; nor is a directory that is not there yet.
fn try_to_write(directory: &Path) -> Result<(), StoreError> {
    let probe = directory.join(".probe.tmp");
    let tried = File::create(&probe).and_then(|_| fs::remove_file(&probe));
    match tried {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Err(not_written(directory, &error))
        }
        _ => Ok(()),
    }
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| {
        StoreError::Unknown(format!("cannot sync the directory {}: {error}", path.display()))
    })
}

/// Until the rename nothing is visible, so all but a failed sync may be tried again. After a failed sync the system may
/// believe that lost pages are clean, so that must not be tried again.
pub(super) fn write_whole(temporary: &Path, file: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = File::create(temporary).and_then(|mut open| open.write_all(bytes).map(|()| open));
    let open = written.map_err(|error| {
        // Gives the space back; the error that counts is the first one.
        fs::remove_file(temporary).ok();
        not_written(file, &error)
    })?;
    open.sync_all()
        .map_err(|error| StoreError::Unknown(format!("cannot sync {}: {error}", file.display())))?;
    if bytes.len() >= LARGE {
        // Advice: where it is not taken nothing is lost.
        fadvise(&open, 0, None, Advice::DontNeed).ok();
    }
    fs::rename(temporary, file).map_err(|error| not_written(file, &error))
}

fn read(file: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::NotWritten(format!("cannot read {}: {error}", file.display()))),
    }
}

fn not_written(path: &Path, error: &io::Error) -> StoreError {
    StoreError::NotWritten(format!("cannot write {}: {error}", path.display()))
}

/// `tile/<L|data>/[xNNN/…]NNN`: a full tile (tlog-tiles, "Merkle Tree").
pub(super) fn is_tile(path: &str) -> bool {
    let Some((level, number)) = path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let is_level = level == "data" || (level.len() == 1 && level.bytes().all(|digit| digit.is_ascii_digit()));
    let is_group = |group: &str| group.len() == 3 && group.bytes().all(|digit| digit.is_ascii_digit());
    let mut groups = number.rsplit('/');
    is_level
        && groups.next().is_some_and(is_group)
        && groups.all(|group| group.strip_prefix('x').is_some_and(is_group))
        && number.len() <= 4 * 7
}

/// `index/<L>/…`, numbered as tiles are: what follows from the tiles of hashes.
fn is_index(path: &str) -> bool {
    path.strip_prefix("index/")
        .is_some_and(|rest| !rest.starts_with("data") && is_tile(&format!("tile/{rest}")))
}

/// `issuer/<SHA-256 in lower-case hexadecimal>` (static-ct-api, "Issuers").
pub(super) fn is_issuer(path: &str) -> bool {
    path.strip_prefix("issuer/").is_some_and(|name| {
        name.len() == 64 && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance;

    #[test]
    fn it_is_a_tile_store() {
        let directory = tempfile::tempdir().unwrap();
        conformance::tile_store(|| FileTileStore::open(&directory.path().join("log")).unwrap());
    }

    #[test]
    fn only_paths_of_full_tiles_and_issuers_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileTileStore::open(&directory.path().join("log")).unwrap();
        let issuer = format!("issuer/{}", "0a".repeat(32));
        for path in
            ["tile/0/000", "tile/data/999", "tile/5/x001/x234/067", "index/1/x001/002", issuer.as_str()]
        {
            store.put(path, b"bytes").unwrap();
            assert_eq!(store.get(path).unwrap().unwrap(), b"bytes", "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../LOCK",
            "tile/../../LOCK",
            "tile/0/../000",
            "tile/0/000.p/5",
            "tile/0/0",
            "tile/0/x000",
            "tile/0/000/x000",
            "tile/0/x000/",
            "tile/00/000",
            "tile/-1/000",
            "tile/data/00a",
            "issuer/",
            "issuer/..",
            "index/data/000",
            "index/1/../000",
            "index/",
            "issuer/0A",
            "tile/0/x000/x000/x000/x000/x000/x000/x000/000",
        ] {
            assert!(store.put(path, b"bytes").is_err(), "{path}");
            assert!(store.get(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_temporary_file_of_a_crash_is_overwritten_and_never_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileTileStore::open(directory.path()).unwrap();
        fs::create_dir_all(directory.path().join("tile/0")).unwrap();
        fs::write(directory.path().join("tile/0/.000.tmp"), "half of something longer").unwrap();
        assert_eq!(store.get("tile/0/000").unwrap(), None);
        store.put("tile/0/000", b"whole").unwrap();
        assert_eq!(store.get("tile/0/000").unwrap().unwrap(), b"whole");
        assert_eq!(fs::read_dir(directory.path().join("tile/0")).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_was_moved_away_is_not_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, aside) = (directory.path().join("log"), directory.path().join("aside"));
        let store = FileTileStore::open(&path).unwrap();
        store.check().unwrap();
        store.put("tile/0/000", b"first").unwrap();
        fs::rename(&path, &aside).unwrap();
        assert!(matches!(store.check(), Err(StoreError::NotWritten(_))));
        for tile in ["tile/0/001", "tile/1/000"] {
            assert!(matches!(store.put(tile, b"second"), Err(StoreError::NotWritten(_))), "{tile}");
        }
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        assert!(matches!(store.put("tile/0/001", b"second"), Err(StoreError::NotWritten(_))));
        fs::remove_dir(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
        store.check().unwrap();
        store.put("tile/0/001", b"second").unwrap();
    }

    #[test]
    fn a_directory_of_tiles_that_was_deleted_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileTileStore::open(directory.path()).unwrap();
        store.put("tile/0/000", b"first").unwrap();
        fs::remove_dir_all(directory.path().join("tile")).unwrap();
        store.put("tile/0/001", b"second").unwrap();
        assert_eq!(store.get("tile/0/001").unwrap().unwrap(), b"second");
    }

    #[test]
    fn the_data_directory_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        make_directory(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
