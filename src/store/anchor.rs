//! Whether a path still leads to what was opened there.
//!
//! A file that was deleted, moved away, replaced or hidden by an unmount takes writes and syncs as before, through the handle
//! that is open. Nobody will find them at the next start. So it is looked before each append, and before each tile.

use crate::log::ports::StoreError;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found at a path when it was opened.
#[derive(Debug)]
pub(super) struct Anchor {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// While it is open no other file gets its inode.
    _open: File,
}

impl Anchor {
    /// Remembers what stands at `path` now.
    ///
    /// # Errors
    /// When nothing does.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let open = File::open(path)?;
        let found = open.metadata()?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino(), _open: open })
    }

    /// Compares what stands there now. Nothing is lost by refusing here: the same thing put back is as good as before.
    ///
    /// # Errors
    /// `NotWritten`: it is gone, or something else is in its place.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let path = self.path.display();
        match fs::metadata(&self.path) {
            Ok(found) if self.is(&found) => Ok(()),
            Ok(_) => Err(StoreError::NotWritten(format!(
                "{path} was replaced under the running server: put back what was there"
            ))),
            Err(error) => Err(StoreError::NotWritten(format!(
                "{path} is gone from under the running server ({error}): put it back"
            ))),
        }
    }

    fn is(&self, found: &Metadata) -> bool {
        (found.dev(), found.ino()) == (self.device, self.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_away_or_replaced_is_noticed_and_what_is_put_back_is_good() {
        let directory = tempfile::tempdir().unwrap();
        let (path, aside) = (directory.path().join("db"), directory.path().join("aside"));
        fs::write(&path, "one").unwrap();
        let anchor = Anchor::of(&path).unwrap();
        anchor.check().unwrap();
        fs::rename(&path, &aside).unwrap();
        assert!(anchor.check().unwrap_err().to_string().contains("is gone"));
        fs::copy(&aside, &path).unwrap();
        assert!(anchor.check().unwrap_err().to_string().contains("was replaced"));
        fs::rename(&aside, &path).unwrap();
        anchor.check().unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "one").unwrap();
        assert!(matches!(anchor.check(), Err(StoreError::NotWritten(_))));
    }
}
