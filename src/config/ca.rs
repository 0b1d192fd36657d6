//! `ca:`, the certificates and the key that issue.

use super::reader::{Field, Section};
use super::{issuers, read_key, read_path, read_secret, values};
use crate::certificate::{CaAlgorithm, CaChain};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The default of `ca.validity`, the lifetime that every client of Fulcio expects.
const DEFAULT_VALIDITY: Duration = Duration::from_secs(600);
/// The shortest lifetime of a certificate.
pub(super) const SHORTEST_VALIDITY: Duration = Duration::from_secs(60);
/// The longest.
pub const LONGEST_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

/// `ca:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaConfig {
    /// Its certificates and its key.
    pub material: CaMaterial,
    /// Lifetime of certificates.
    pub validity: Duration,
}

/// Where the CA's certificates and key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaMaterial {
    /// From files.
    Files {
        /// PEM, issuing certificate first, root last.
        certificates: PathBuf,
        /// PEM private key of the issuing certificate.
        key: PathBuf,
        /// The password of an encrypted key.
        password_file: Option<PathBuf>,
    },
    /// Made when the server starts, gone when it ends.
    Ephemeral,
}

impl CaConfig {
    /// The file of the chain; `None`: the CA is ephemeral.
    pub fn certificates(&self) -> Option<&Path> {
        match &self.material {
            CaMaterial::Files { certificates, .. } => Some(certificates),
            CaMaterial::Ephemeral => None,
        }
    }

    /// The file of the key; `None`: the CA is ephemeral.
    pub fn key(&self) -> Option<&Path> {
        match &self.material {
            CaMaterial::Files { key, .. } => Some(key),
            CaMaterial::Ephemeral => None,
        }
    }
}

pub(super) fn read(section: &Section<'_>, directory: &Path) -> Option<CaConfig> {
    let material = match section.has("ephemeral").then(|| section.get("ephemeral")) {
        Some(field) => read_ephemeral(section, &field?),
        None => read_ca_files(section, directory),
    };
    let validity = match section.get("validity") {
        Some(field) => {
            field.parse_scalar(|text| values::duration(text, (SHORTEST_VALIDITY, LONGEST_VALIDITY)))
        }
        None => Some(DEFAULT_VALIDITY),
    };
    section.report_unknown();
    Some(CaConfig { material: material?, validity: validity? })
}

fn read_ephemeral(section: &Section<'_>, field: &Field<'_>) -> Option<CaMaterial> {
    field.section()?.report_unknown();
    for key in ["certificates", "signer"] {
        if let Some(other) = section.get(key) {
            other.error("has no use beside ephemeral, which makes certificates and keys; remove one of them");
        }
    }
    field.warning("makes another CA at every start: what it issued cannot be verified after a restart");
    Some(CaMaterial::Ephemeral)
}

fn read_ca_files(section: &Section<'_>, directory: &Path) -> Option<CaMaterial> {
    let certificates = section
        .require("certificates", "name the PEM file of the chain, issuing certificate first, root last")
        .and_then(|field| read_chain(&field, directory));
    let signer = section
        .require("signer", "write signer: { file: { key: ca/key.pem } }")
        .and_then(|field| read_signer(&field.section()?, directory));
    let (key, password_file) = signer?;
    Some(CaMaterial::Files { certificates: certificates?, key, password_file })
}

fn read_chain(field: &Field<'_>, directory: &Path) -> Option<PathBuf> {
    let path = read_path(field, directory)?;
    let pem = issuers::read_unwatched_file(field, directory);
    match pem.as_deref().map(CaChain::from_pem) {
        Some(Err(error)) => {
            field.error(format!("{}: {error}", path.display()));
            return None;
        }
        Some(Ok(chain)) if chain.algorithm() == CaAlgorithm::Ed25519 => field.warning(
            "has an Ed25519 key: some clients, sigstore-python among them, refuse what such a CA issues",
        ),
        _ => {}
    }
    Some(path)
}

/// Key file, and password file where there is one.
fn read_signer(section: &Section<'_>, directory: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    let file = section
        .require("file", "write file: { key: ca/key.pem }; other signers come with a later version")?;
    section.report_unknown();
    let file = file.section()?;
    let key = file.require("key", "name the PEM file of the issuing certificate's private key");
    let password_file = file.get("password_file").map(|field| read_secret(&field, directory, ""));
    file.report_unknown();
    let key = read_key(&key?, directory)?;
    match password_file {
        Some(path) => Some((key, Some(path?))),
        None => Some((key, None)),
    }
}
