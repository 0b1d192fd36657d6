//! A configuration as it was read, so that one can see later whether its files say something else.

use super::report::{ConfigErrors, Report, Warning};
use super::{Config, values};
use crate::transparency::{Hash, sha256};
use std::path::{Path, PathBuf};

/// What the files held that a configuration is made of: the file itself and those that it names and whose content becomes
/// part of it. The chain, the TLS certificate and private keys are not among them: what uses those reads them itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Content)>);

/// SHA-256 of a file's content; `None`: it could not be read.
type Content = Option<Hash>;

impl Fingerprint {
    /// One more file.
    pub(super) fn add(&mut self, path: &Path, content: Result<&[u8], &values::FileError>) {
        self.0.push((path.to_owned(), content.ok().map(sha256)));
    }
}

/// The file that a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// As the operator named it.
    pub file: PathBuf,
    /// What it held, with the files that it names.
    pub fingerprint: Fingerprint,
}

/// One look at a configuration's files.
pub struct Reading {
    /// What they held, usable or not.
    pub fingerprint: Fingerprint,
    /// What they mean.
    pub outcome: Result<(Config, Vec<Warning>), ConfigErrors>,
}

impl Reading {
    /// Reads a configuration and everything it names but private keys, of which presence and mode are checked.
    pub fn of(path: &Path) -> Self {
        let report = Report::default();
        let config = super::read(path, &report);
        let fingerprint = report.fingerprint();
        let outcome = report.conclude(false).and_then(|warnings| {
            let mut config = config.ok_or_else(|| ConfigErrors::unforeseen(path))?;
            config.origin = Some(Origin { file: path.to_owned(), fingerprint: fingerprint.clone() });
            Ok((config, warnings))
        });
        Self { fingerprint, outcome }
    }
}

impl Config {
    /// The keys in which `other` differs and which a running server cannot take over. The others it can: `issuers`,
    /// `identity_config`, `extensions`, `policy`, `tls` where there is TLS in both or in neither, and of `broker` its roles, its audience and
    /// `compat`, where there is a broker in both.
    pub fn keys_that_need_a_restart(&self, other: &Self) -> Vec<&'static str> {
        let differences = [
            ("listen", self.listen != other.listen),
            ("tls (on or off)", self.tls.is_some() != other.tls.is_some()),
            ("public_url", self.public_url != other.public_url),
            ("admin", (self.admin, &self.admin_names) != (other.admin, &other.admin_names)),
            ("data", self.data != other.data),
            ("ca", self.ca != other.ca),
            ("log", self.log != other.log),
            ("timestamps", self.timestamps != other.timestamps),
            ("signature_log", self.signature_log != other.signature_log),
            ("trust", self.also_trusted != other.also_trusted),
            ("broker (on or off)", self.broker.is_some() != other.broker.is_some()),
        ];
        let keys = differences.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key);
        let brokers = self.broker.as_ref().zip(other.broker.as_ref());
        keys.chain(brokers.into_iter().flat_map(|(one, other)| one.keys_that_need_a_restart(other))).collect()
    }
}
