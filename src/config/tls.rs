//! `tls:`, the public listener's certificate and key.

use super::reader::{Field, Section};
use super::values;
use std::path::{Path, PathBuf};

/// `tls:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM, the server's certificate first, then its chain.
    pub certificate: PathBuf,
    /// PEM private key of the certificate.
    pub key: PathBuf,
}

/// The section's value. The key is not opened; that the two belong together is seen when the server starts.
pub fn read(section: &Section<'_>, directory: &Path) -> Option<TlsConfig> {
    let certificate = section
        .require("certificate", "name the PEM file of the server's certificate and its chain")
        .and_then(|field| read_certificate(&field, directory));
    let key = section
        .require("key", "name the PEM file of the certificate's private key")
        .and_then(|field| read_key(&field, directory));
    section.report_unknown();
    Some(TlsConfig { certificate: certificate?, key: key? })
}

fn read_certificate(field: &Field<'_>, directory: &Path) -> Option<PathBuf> {
    let path = super::read_path(field, directory)?;
    let pem = super::issuers::read_unwatched_file(field, directory);
    if let Some(Err(message)) = pem.as_deref().map(values::pem_certificates) {
        field.error(format!("{}: {message}", path.display()));
        return None;
    }
    Some(path)
}

fn read_key(field: &Field<'_>, directory: &Path) -> Option<PathBuf> {
    let path = super::read_path(field, directory)?;
    match values::check_file(&path) {
        Ok(()) => warn_of_mode(field, &path),
        Err(values::FileError::Missing(message)) => field.missing_file(message),
        Err(values::FileError::Unusable(message)) => {
            field.error(message);
            return None;
        }
    }
    Some(path)
}

/// Whoever reads the key can pose as the server. Not an error: platforms that hand out certificates choose the mode.
fn warn_of_mode(field: &Field<'_>, path: &Path) {
    if let Err(message) = values::check_private(path) {
        field.warning(message);
    }
}
