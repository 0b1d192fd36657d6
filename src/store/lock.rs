//! One process at a time on a data directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Holds the data directory until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The lock belongs to the open file.
    file: File,
}

impl Drop for DirectoryLock {
    /// In so many words, and not by closing the file: a child process that is being started has a copy of it until it begins its program,
    /// and the lock would live as long.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works on it.
    #[error(
        "the data directory {} is in use by {holder}: one process at a time may work on it; stop that one first, or \
         give this one a `data` directory of its own",
        directory.display()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// `process 123`, or `another process` when its id cannot be read.
        holder: String,
    },
    /// The lock file can be neither opened nor written.
    #[error("cannot lock the data directory {}: {problem}; it must be writable for this user", directory.display())]
    Failed {
        /// The data directory.
        directory: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
}

impl DirectoryLock {
    /// Locks `directory`, which exists, through its file `LOCK`.
    ///
    /// # Errors
    /// When another process holds it, and when the file cannot be opened.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let failed = |problem| LockError::Failed { directory: directory.to_owned(), problem };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(directory.join("LOCK"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::InUse { directory: directory.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(problem)) => return Err(failed(problem)),
        }
        note_holder(&mut file).map_err(failed)?;
        Ok(Self { file })
    }
}

fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(id) if read.is_ok() => format!("process {id}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_the_directory_and_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let error = DirectoryLock::acquire(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&directory.path().display().to_string()), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        DirectoryLock::acquire(directory.path()).unwrap();
    }

    #[test]
    fn a_copy_of_the_file_in_a_child_process_does_not_hold_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        DirectoryLock::acquire(directory.path()).unwrap();
        drop(copy);
    }

    #[test]
    fn a_lock_file_left_behind_does_not_lock() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("LOCK"), "4294967295 and more").unwrap();
        DirectoryLock::acquire(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join("LOCK")).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}
