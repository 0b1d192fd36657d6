//! The password of an encrypted key.

use super::SignerOpenError;
use super::key_file;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// A password, wiped when dropped and never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// From text, an environment variable's for instance.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// From a file that only its owner may read; one line break at its end does not count.
    ///
    /// # Errors
    /// When the file cannot be read, others may read it, or it is empty.
    pub fn from_file(path: &Path) -> Result<Self, SignerOpenError> {
        let failed = |problem| SignerOpenError(format!("password file {}: {problem}", path.display()));
        let text = key_file::read(path).map_err(failed)?;
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [] => Err(failed("it is empty".to_owned())),
            line => Ok(Self(Zeroizing::new(line.to_vec()))),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_is_the_files_first_line_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let read = |content: &[u8], mode| {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Password::from_file(&path).map(|password| password.0.to_vec()).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"horse battery\n", 0o600), Ok(b"horse battery".to_vec()));
        assert_eq!(read(b" a\r\n", 0o600), Ok(b" a".to_vec()));
        assert_eq!(read(b"a\n\n", 0o600), Ok(b"a\n".to_vec()));
        assert!(read(b"\n", 0o600).unwrap_err().contains("it is empty"));
        assert!(read(b"horse", 0o644).unwrap_err().contains("chmod 600"));
        assert_eq!(format!("{:?}", Password::new("horse")), "Password");
    }
}
