//! Where `countersign backup` reads the logs: a running server and its files, or the files alone.

use super::CliError;
use super::audit_source::AuditSource;
use super::log_reader::{self, NoCheckpoint, VerifiedCheckpoint};
use super::own_log::OwnLog;
use crate::config::Config;
use crate::environment::Clock;
use crate::log::LogKind;
use crate::log::audit::TileSource;
use crate::log::reader::LogReader;
use crate::store::{DataDirectoryError, LockError, LockedDirectory, check_owner};
use crate::transparency::tile::TilePath;
use std::sync::{Arc, RwLock};
use tokio::runtime::Runtime;

/// A log as it is now.
pub struct Source {
    /// Where it is read, for people.
    pub place: String,
    /// Its present checkpoint; that of a signature log with the time at which it was read.
    pub checkpoint: VerifiedCheckpoint,
    /// Its tiles.
    pub tiles: Tiles,
}

/// Where tiles come from.
pub enum Tiles {
    /// The files of a running server, and the server for the rest.
    Beside(log_reader::LogReader),
    /// The files, and what the head store held when it was read.
    AtRest(Box<LogReader>),
}

impl Tiles {
    /// `ahead`: those that will be asked for.
    pub fn open(
        self,
        runtime: &Runtime,
        ahead: impl Iterator<Item = TilePath> + Send + 'static,
    ) -> Box<dyn TileSource> {
        match self {
            Self::Beside(reader) => Box::new(AuditSource::new(Arc::new(reader), runtime.handle(), ahead)),
            Self::AtRest(reader) => reader,
        }
    }
}

/// Whether the data directory has this log.
fn has_head(log: &OwnLog<'_>) -> bool {
    log.directory().join("head").is_dir()
}

/// For each log where it is read; `None`: there is no such log yet.
type Sources = Vec<Option<Source>>;

impl Source {
    /// All logs, in their order. The server's own listener is asked first: what stands at the public URL may be a copy that lags.
    /// Where nobody listens the data directory is locked for as long as the heads are read.
    pub fn open_all(
        config: &Config,
        logs: &[OwnLog<'_>],
        runtime: &Runtime,
        clock: &dyn Clock,
    ) -> Result<Sources, CliError> {
        let unreachable = match Self::beside(logs, OwnLog::local, runtime, clock)? {
            Ok(sources) => return Ok(sources),
            Err(words) => words,
        };
        match Self::at_rest(config, logs, clock)? {
            Ok(sources) => Ok(sources),
            // Somebody works on it, though nobody answers here: perhaps in another network namespace.
            Err(locked) => Self::beside(logs, OwnLog::public, runtime, clock)?
                .map_err(|_| CliError::refused(format!("{locked}\nbut it does not answer: {unreachable}"))),
        }
    }

    /// `Err` within: it does not answer.
    fn beside<'c>(
        logs: &[OwnLog<'c>],
        reader: impl Fn(&OwnLog<'c>) -> Result<log_reader::LogReader, CliError>,
        runtime: &Runtime,
        clock: &dyn Clock,
    ) -> Result<Result<Sources, String>, CliError> {
        let mut sources = Vec::new();
        // The certificate log last: then its checkpoint covers every certificate that the other's entries name.
        for log in logs.iter().rev() {
            let reader = reader(log)?;
            let mut checkpoint = match runtime.block_on(reader.checkpoint()) {
                Ok(checkpoint) => checkpoint,
                // It was configured after the server's last start. Whoever is no server of ours has no certificate log either.
                Err(NoCheckpoint::Absent(_)) if log.kind() == LogKind::Signatures && !has_head(log) => {
                    sources.push(None);
                    continue;
                }
                Err(NoCheckpoint::Unreachable(words) | NoCheckpoint::Absent(words)) => return Ok(Err(words)),
                Err(NoCheckpoint::Wrong(words)) => return Err(CliError::refused(words)),
            };
            if !log.kind().is_dated() {
                checkpoint.head.timestamp = clock.now();
            }
            let place = reader.place();
            sources.push(Some(Self { place, checkpoint, tiles: Tiles::Beside(reader) }));
        }
        sources.reverse();
        Ok(Ok(sources))
    }

    /// `Err` within: another process has the directory.
    fn at_rest(
        config: &Config,
        logs: &[OwnLog<'_>],
        clock: &dyn Clock,
    ) -> Result<Result<Sources, LockError>, CliError> {
        let refused = |error: &dyn std::fmt::Display| CliError::refused(error.to_string());
        // Opening would make what is missing.
        if !logs.iter().any(has_head) {
            return Err(CliError::refused(format!("there is no log in {}", config.data.display())));
        }
        check_owner(&config.data).map_err(|error| refused(&error))?;
        let locked = match LockedDirectory::open(&config.data) {
            Ok(locked) => locked,
            Err(DataDirectoryError::Lock(error @ LockError::InUse { .. })) => return Ok(Err(error)),
            Err(error) => return Err(refused(&error)),
        };
        let mut sources = Vec::new();
        for log in logs {
            let source = match has_head(log) {
                true => Self::of_directory(config, log, &locked, clock)?,
                false => None,
            };
            // A signature log may have been configured after the last start.
            if source.is_none() && log.kind() == LogKind::Certificates {
                return Err(refused(&format!("there is no certificate log in {}", config.data.display())));
            }
            sources.push(source);
        }
        Ok(Ok(sources))
    }

    fn of_directory(
        config: &Config,
        log: &OwnLog<'_>,
        locked: &LockedDirectory,
        clock: &dyn Clock,
    ) -> Result<Option<Self>, CliError> {
        let kind = log.kind();
        let failed = |words: String| CliError::refused(format!("the {}: {words}", kind.name()));
        let stores = locked.log(kind).map_err(|error| failed(error.to_string()))?;
        let view = kind.at_rest(&log.log().identity(), &stores, clock);
        let Some(view) = view.map_err(|error| failed(error.to_string()))? else { return Ok(None) };
        let checkpoint = log.sign(&view, clock)?;
        let reader = LogReader::new(stores.tiles, Arc::new(RwLock::new(view)), kind.entry_length());
        Ok(Some(Self {
            place: format!("{} (no server runs)", config.data.display()),
            checkpoint,
            tiles: Tiles::AtRest(Box::new(reader)),
        }))
    }
}
