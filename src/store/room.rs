//! Whether a file system takes more, as far as it tells.

use crate::log::ports::StoreError;
use rustix::fs::{StatVfsMountFlags, fstatvfs};
use std::fs::File;
use std::path::Path;

/// Asks the file system of `file` for `wanted` bytes; `path` is its name for operators.
///
/// # Errors
/// `NotWritten`: it is read-only, full, or does not answer.
pub(super) fn check(file: &File, path: &Path, wanted: u64) -> Result<(), StoreError> {
    let path = path.display();
    let system = fstatvfs(file).map_err(|error| {
        StoreError::NotWritten(format!("cannot ask for the free space of {path}: {error}"))
    })?;
    if system.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(StoreError::NotWritten(format!("the file system of {path} is read-only")));
    }
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free < wanted {
        let kib = |bytes: u64| bytes / 1024;
        return Err(StoreError::NotWritten(format!(
            "the file system of {path} is full: {} KiB free, {} KiB wanted",
            kib(free),
            kib(wanted)
        )));
    }
    Ok(())
}
