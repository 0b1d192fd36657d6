//! Files that users hand over and get: sizes are capped, `-` is standard input, private keys are for their owner alone.

use super::CliError;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// The largest file of certificates, keys, tokens or proofs that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// More than any key or token has, in bytes.
const ROOM: usize = 128 * 1024;

/// The file's bytes; `-` is standard input. `what` names it in the error.
pub fn read(path: &Path, what: &str) -> Result<Vec<u8>, CliError> {
    read_up_to(path, what, MAX_BYTES)
}

/// The same with another cap, in bytes.
pub fn read_up_to(path: &Path, what: &str, most: u64) -> Result<Vec<u8>, CliError> {
    let shown = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    let refuse = |error: io::Error| CliError::refused(format!("cannot read {what} from {shown}: {error}"));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(refuse)?)
    };
    // Room from the start: it may be a key or a token, and a buffer that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(ROOM);
    source.take(most + 1).read_to_end(&mut bytes).map_err(refuse)?;
    if bytes.len() as u64 > most {
        const MIB: u64 = 1024 * 1024;
        let size = if most < MIB { format!("{} KiB", most / 1024) } else { format!("{} MiB", most / MIB) };
        return Err(CliError::refused(format!("{what} in {shown} is larger than {size}")));
    }
    Ok(bytes)
}

/// The file's bytes, however many they are.
pub fn read_whole(path: &Path, what: &str) -> Result<Vec<u8>, CliError> {
    fs::read(path)
        .map_err(|error| CliError::refused(format!("cannot read {what} from {}: {error}", path.display())))
}

/// How a file that may exist already is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the command fails.
    Keep,
    /// It is replaced.
    Replace,
}

/// Writes a file in one step: it is there whole or not at all. `private`: for its owner alone (0600).
pub fn write(path: &Path, bytes: &[u8], private: bool, existing: Existing) -> Result<(), CliError> {
    write_whole(path, bytes, private, existing)
        .map_err(|error| CliError::refused(format!("cannot write {}: {error}", path.display())))
}

fn write_whole(path: &Path, bytes: &[u8], private: bool, existing: Existing) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is made with mode 0600, so a key is never readable by others, not even for a moment.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    if !private {
        readable_by_all(file.as_file())?;
    }
    match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    }
    .map(drop)
    .map_err(|failed| failed.error)
}

#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Makes the directory, with its parents.
pub fn make_directory(path: &Path) -> Result<(), CliError> {
    fs::create_dir_all(path)
        .map_err(|error| CliError::refused(format!("cannot make the directory {}: {error}", path.display())))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_file_is_for_its_owner_alone_even_when_it_replaces_an_open_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key.pem");
        write(&path, b"open", false, Existing::Keep).expect("written");
        let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o644);
        assert!(write(&path, b"key", true, Existing::Keep).is_err(), "it must not be overwritten silently");
        assert_eq!(fs::read(&path).expect("there"), b"open");
        write(&path, b"key", true, Existing::Replace).expect("replaced");
        assert_eq!((mode(), fs::read(&path).expect("there")), (0o600, b"key".to_vec()));
    }
}
