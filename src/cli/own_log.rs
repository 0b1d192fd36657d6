//! The logs that a configuration keeps itself: their keys, and where they are read.

use super::CliError;
use super::client::Http;
use super::log_reader::{LogReader, VerifiedCheckpoint};
use crate::config::Config;
use crate::environment::Clock;
use crate::log::ports::LogSigner;
use crate::log::view::View;
use crate::log::{KnownLog, LogKind};
use crate::signer::{LogKey, NoteSigningKey};
use crate::store::log_directory;
use crate::transparency::checkpoint::{SignedTreeHead, TreeHead};
use crate::transparency::note;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The log that a configuration keeps itself, and where it is read.
pub struct OwnLog<'c> {
    config: &'c Config,
    ca_certificate: Option<&'c Path>,
    log: KnownLog,
    key: Box<dyn LogSigner>,
}

impl<'c> OwnLog<'c> {
    /// Opens the key. 78 when it is not usable, 2 when the configuration keeps no such log.
    pub fn of(config: &'c Config, kind: LogKind, ca_certificate: Option<&'c Path>) -> Result<Self, CliError> {
        let (origin, key): (_, Box<dyn LogSigner>) = match kind {
            LogKind::Certificates => {
                let log = config.log.embedded().ok_or_else(|| {
                    CliError::usage(
                        "the configuration's log is not its own: give --url URL and --key FILE of the log",
                    )
                })?;
                (&log.origin, Box::new(LogKey::open(&log.key).map_err(unusable)?))
            }
            LogKind::Signatures => {
                let log = config.signature_log.as_ref().ok_or_else(|| {
                    CliError::usage("the configuration keeps no signature log (`signature_log:`)")
                })?;
                (&log.origin, Box::new(NoteSigningKey::open(&log.key).map_err(unusable)?))
            }
        };
        let log = KnownLog::new(kind, origin, key.public_key()).map_err(unusable)?;
        // The operator's own server: its certificate needs nobody else's word.
        let ca_certificate = ca_certificate.or(config.tls.as_ref().map(|tls| tls.certificate.as_path()));
        Ok(Self { config, ca_certificate, log, key })
    }

    /// Every log that the configuration keeps, the certificate log first. 2 when there is none.
    pub fn all(config: &'c Config, ca_certificate: Option<&'c Path>) -> Result<Vec<Self>, CliError> {
        let kinds = [
            (LogKind::Certificates, config.log.embedded().is_some()),
            (LogKind::Signatures, config.signature_log.is_some()),
        ];
        let kept = kinds.into_iter().filter_map(|(kind, is_kept)| is_kept.then_some(kind));
        let logs: Vec<_> =
            kept.map(|kind| Self::of(config, kind, ca_certificate)).collect::<Result<_, _>>()?;
        if logs.is_empty() {
            return Self::of(config, LogKind::Certificates, ca_certificate).map(|log| vec![log]);
        }
        Ok(logs)
    }

    /// Its name and public key.
    pub const fn log(&self) -> &KnownLog {
        &self.log
    }

    /// What it is of.
    pub const fn kind(&self) -> LogKind {
        self.log.kind()
    }

    /// Its directory in the data directory.
    pub fn directory(&self) -> PathBuf {
        log_directory(&self.config.data, self.kind())
    }

    /// Where the world reads it; tiles from the data directory first.
    pub fn public(&self) -> Result<LogReader, CliError> {
        let base = match self.kind() {
            LogKind::Certificates => self.config.log_url(),
            LogKind::Signatures => self.config.base_url(),
        };
        Ok(self.at(Http::new(self.ca_certificate)?, &base))
    }

    /// Where the server listens; tiles from the data directory first.
    pub fn local(&self) -> Result<LogReader, CliError> {
        let (http, base) = local(self.config, self.ca_certificate)?;
        let base = match self.kind() {
            LogKind::Certificates => format!("{base}/ct"),
            LogKind::Signatures => base,
        };
        Ok(self.at(http, &base))
    }

    fn at(&self, http: Http, base: &str) -> LogReader {
        LogReader::of(http, base, self.log.clone()).with_files(self.directory().join("log"))
    }

    /// The checkpoint of a log at rest, as the server itself would sign it, were it asked now.
    pub fn sign(&self, view: &View, clock: &dyn Clock) -> Result<VerifiedCheckpoint, CliError> {
        let timestamp = clock.now().max(view.head.timestamp);
        let head = TreeHead { size: view.head.size, root: view.head.root, timestamp };
        let cannot =
            |error| CliError::refused(format!("the {}'s key cannot sign: {error}", self.kind().name()));
        let (origin, id) = (self.log.origin(), self.log.log_id());
        let note = match self.kind() {
            LogKind::Certificates => {
                let signature = self.key.sign(&head.signature_input()).map_err(cannot)?;
                SignedTreeHead { head, signature }.to_note(origin, id)
            }
            LogKind::Signatures => {
                let text = note::text(origin, head.size, &head.root);
                let signature = self.key.sign(text.as_bytes()).map_err(cannot)?;
                note::signed(&text, origin, id, &signature)
            }
        };
        Ok(VerifiedCheckpoint { note, head })
    }
}

fn unusable(error: impl std::fmt::Display) -> CliError {
    CliError::configuration(error.to_string())
}

/// The server where it listens. Over TLS it still goes by its public name, which its certificate is for.
fn local(config: &Config, trusted: Option<&Path>) -> Result<(Http, String), CliError> {
    let listen = reachable(config.listen);
    let public = config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    match public.as_ref().and_then(|url| url.domain()).filter(|_| config.tls.is_some()) {
        Some(name) => Ok((Http::at(name, listen, trusted)?, format!("https://{name}:{}", listen.port()))),
        None => Ok((Http::new(trusted)?, format!("{}://{listen}", config.scheme()))),
    }
}

/// An address to connect to for one to listen on: the unspecified address becomes loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let host: IpAddr = match listen.ip() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, listen.port())
}
