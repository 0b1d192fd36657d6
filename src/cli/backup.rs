//! `countersign backup`: a copy of the log that grows with it, taken beside a running server or from a log at rest.

use super::audit_source::{AuditSource, Correspondence};
use super::config::refused;
use super::log::OwnLog;
use super::log_reader::{NoCheckpoint, VerifiedCheckpoint};
use super::metrics_file;
use super::report::{duration, printable, table};
use super::{CliError, Output, encoding};
use crate::config::Config;
use crate::environment::Clock;
use crate::log::audit::TileSource;
use crate::log::ports::{Identity, LogSigner};
use crate::log::reader::LogReader;
use crate::log::replica::{Replica, ReplicaError};
use crate::log::snapshot::Snapshot;
use crate::log::{CtLog, Stores, replica::Known};
use crate::server::environment::Environment;
use crate::store::{BackupDirectory, DataDirectory, DataDirectoryError, LockError, check_owner};
use crate::transparency::checkpoint::{SignedTreeHead, TreeHead};
use crate::transparency::precertificate::{DataTileEntry, LoggedCertificate};
use crate::transparency::tile::TilePath;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use tokio::runtime::Runtime;

/// Copy the log, beside a running server
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Copy the log, beside a running server.\n\n\
        BACKUP gets the log's immutable files and one small file with its head, written last: an interrupted backup is the \
        one before it, and the next run goes on. Each run costs what is new. Everything is read as an auditor reads it: the \
        tree is made anew of the entries and must have the root that the log's key signed, and it must begin with what the \
        backup holds. So a log that was forked, damaged or put back to an older state never gets into a good backup.\n\n\
        Without a running server the log is read from its data directory, as its owner. There are no keys in a backup: keep \
        the configuration and the keys that it names apart.",
    after_long_help = "Examples:\n  \
        countersign backup /backup/ct --config /etc/countersign/countersign.yaml\n  \
        countersign backup /backup/ct --config ca/countersign.yaml --verify    read and compare all of it\n\n\
        Exit codes: 0 done, 1 refused or failed (the backup is as good as before), 2 usage, 78 the configuration was refused."
)]
pub struct BackupArgs {
    /// The backup: an empty directory or none, or one made before
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The server's configuration: its log, its key
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Read the whole log again, compare every file of the backup with it, and write those that are missing
    #[arg(long)]
    pub verify: bool,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// Write the outcome as metrics for node_exporter's textfile collector, whatever it is
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: BackupArgs, output: &mut Output) -> Result<(), CliError> {
    let file = args.metrics_file.clone();
    metrics_file::observed(&metrics_file::BACKUP, file.as_deref(), |entries| back_up(&args, entries, output))
}

fn back_up(args: &BackupArgs, entries: &mut u64, output: &mut Output) -> Result<(), CliError> {
    let Environment { clock, stopwatch, .. } = Environment::system();
    let began = stopwatch.elapsed();
    let (config, _) = Config::load(&args.config).map_err(|errors| refused(&errors))?;
    let log = OwnLog::of(&config, args.ca_certificate.as_deref())?;
    outside_of(&args.backup, &config.data)?;
    let backup = BackupDirectory::open(&args.backup).map_err(|error| CliError::refused(error.to_string()))?;
    let held = held(&backup, &log, &args.backup)?;
    let runtime = super::runtime()?;
    let Source { place, checkpoint, tiles } = Source::open(&config, &log, &runtime, &*clock)?;

    let failed = |error: ReplicaError| {
        CliError::refused(printable(&format!("the backup was not carried on: {error}")).into_owned())
            .with_advice("It is as good as it was before.")
    };
    let correspondence = Correspondence::default();
    let corresponds =
        |logged: &LoggedCertificate<'_>, issuer: Option<&[u8]>| correspondence.check(logged, issuer);
    let before = held.as_ref().map_or(0, |(_, head)| head.size);
    let target = &backup.tiles(before);
    let replica = match &held {
        Some((snapshot, head)) if !args.verify => {
            Replica::resume(head, snapshot.right_edge.clone(), &snapshot.unsealed, target).map_err(
                |error| {
                    CliError::refused(format!("the backup {} is damaged: {error}", args.backup.display()))
                        .with_advice("--verify compares all of it with the log, and writes what is missing.")
                },
            )?
        }
        _ => Replica::empty(),
    };
    let known =
        held.map(|(_, head)| Known { size: head.size, root: Some(head.root), from: "the backup".to_owned() });
    if before > checkpoint.head.size {
        return Err(failed(ReplicaError::Shrunk { source_size: checkpoint.head.size, held: before }));
    }
    let mut replica = replica.beginning_with(known).corresponding(&corresponds);
    let mut source = tiles.open(&runtime, replica.tiles(&checkpoint.head));
    let bar = output.progress(checkpoint.head.size, "entries");
    bar.set_position(replica.head().size);
    let extended = replica.extend(&checkpoint.head, &mut *source, target, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    extended.map_err(failed)?;
    let snapshot = Snapshot {
        identity: Identity { origin: log.origin.to_owned(), log_id: *log.key.log_id() },
        checkpoint: checkpoint.note,
        right_edge: replica.head().right_edge.clone(),
        unsealed: replica.unsealed(),
    };
    backup.commit(&snapshot.encode()).map_err(|error| CliError::refused(error.to_string()))?;
    *entries = checkpoint.head.size;

    for missing in replica.missing_issuers() {
        output.note(format_args!(
            "warning: entries name the CA certificate issuer/{}, which the log does not have",
            hex::encode(missing)
        ));
    }
    let TreeHead { size, root, timestamp } = checkpoint.head;
    let took = stopwatch.elapsed().saturating_sub(began);
    output.json(&json!({
        "backup": args.backup.display().to_string(),
        "origin": log.origin,
        "entries": size,
        "new_entries": size - before,
        "root_hash": encoding::base64(&root),
        "timestamp_ms": timestamp.0,
        "read_from": place,
        "verified": if args.verify || before == 0 { "everything" } else { "what is new" },
        "missing_issuers": replica.missing_issuers().iter().map(hex::encode).collect::<Vec<_>>(),
        "seconds": took.as_secs_f64(),
    }))?;
    output.say(
        table(&[
            ("log", log.origin.to_owned()),
            ("read from", place),
            ("backup", args.backup.display().to_string()),
            ("entries", format!("{size}, of which {} are new", size - before)),
            ("root", format!("{}, signed at {timestamp}", encoding::base64(&root))),
            ("took", duration(took)),
        ])
        .trim_end(),
    )?;
    output.say("The keys and the configuration are not in it: keep them apart.")
}

/// What the backup holds, signed by this log's key.
fn held(
    backup: &BackupDirectory,
    log: &OwnLog<'_>,
    shown: &Path,
) -> Result<Option<(Snapshot, TreeHead)>, CliError> {
    let refuse = |words: String| CliError::refused(format!("{}: {}", shown.display(), printable(&words)));
    let Some(bytes) = backup.head().map_err(|error| CliError::refused(error.to_string()))? else {
        return Ok(None);
    };
    let snapshot = Snapshot::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
    let head = snapshot.verify(log.origin, log.key.spki_der()).map_err(|error| refuse(error.to_string()))?;
    Ok(Some((snapshot, head)))
}

/// A backup within the data directory would be lost with it, and be taken for a part of the log.
fn outside_of(backup: &Path, data: &Path) -> Result<(), CliError> {
    let absolute = |path: &Path| {
        path.canonicalize().or_else(|_| {
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok::<_, std::io::Error>(parent.canonicalize()?.join(path.file_name().unwrap_or_default()))
        })
    };
    match (absolute(backup), absolute(data)) {
        (Ok(backup), Ok(data)) if backup.starts_with(&data) || data.starts_with(&backup) => {
            Err(CliError::usage("the backup and the data directory must not be one within the other"))
        }
        _ => Ok(()),
    }
}

/// The log as it is now.
struct Source {
    /// Where it is read, for people.
    place: String,
    checkpoint: VerifiedCheckpoint,
    tiles: Tiles,
}

/// Where tiles come from.
enum Tiles {
    /// The files of a running server, and the server for the rest.
    Beside(super::log_reader::LogReader),
    /// The files, and what the head store held when it was read.
    AtRest(Box<LogReader>),
}

impl Tiles {
    fn open(
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

impl Source {
    /// The server's own listener is asked first: what stands at the public URL may be a copy that lags. Where nobody
    /// listens the data directory is locked for as long as its head is read.
    fn open(
        config: &Config,
        log: &OwnLog<'_>,
        runtime: &Runtime,
        clock: &dyn Clock,
    ) -> Result<Self, CliError> {
        let beside = |reader: super::log_reader::LogReader| match runtime.block_on(reader.checkpoint()) {
            Ok(checkpoint) => {
                Ok(Ok(Self { place: reader.place(), checkpoint, tiles: Tiles::Beside(reader) }))
            }
            Err(NoCheckpoint::Unreachable(words)) => Ok(Err(words)),
            Err(NoCheckpoint::Wrong(words)) => Err(CliError::refused(words)),
        };
        let unreachable = match beside(log.local()?)? {
            Ok(source) => return Ok(source),
            Err(words) => words,
        };
        match Self::at_rest(config, log, clock)? {
            Ok(source) => Ok(source),
            // Somebody works on it, though nobody answers here: perhaps in another network namespace.
            Err(locked) => beside(log.public()?)?
                .map_err(|_| CliError::refused(format!("{locked}\nbut it does not answer: {unreachable}"))),
        }
    }

    /// `Err` within: another process has the directory.
    fn at_rest(
        config: &Config,
        log: &OwnLog<'_>,
        clock: &dyn Clock,
    ) -> Result<Result<Self, LockError>, CliError> {
        let none = || CliError::refused(format!("there is no log in {}", config.data.display()));
        // Opening would make what is missing.
        if !config.data.join("head").is_dir() {
            return Err(none());
        }
        check_owner(&config.data).map_err(|error| CliError::refused(error.to_string()))?;
        let opened = match DataDirectory::open(&config.data) {
            Ok(opened) => opened,
            Err(DataDirectoryError::Lock(error @ LockError::InUse { .. })) => return Ok(Err(error)),
            Err(error) => return Err(CliError::refused(error.to_string())),
        };
        let stores = Stores::from(opened);
        let identity = Identity { origin: log.origin.to_owned(), log_id: *log.key.log_id() };
        let view = CtLog::at_rest(&identity, &stores, clock);
        let view = view.map_err(|error| CliError::refused(error.to_string()))?.ok_or_else(none)?;
        // As the server itself would sign it, were it asked now.
        let timestamp = clock.now().max(view.head.timestamp);
        let head = TreeHead { size: view.head.size, root: view.head.root, timestamp };
        let signature = log.key.sign(&head.signature_input());
        let signature =
            signature.map_err(|error| CliError::refused(format!("the log's key cannot sign: {error}")))?;
        let note = SignedTreeHead { head, signature }.to_note(&identity.origin, &identity.log_id);
        let reader = LogReader::new(stores.tiles, Arc::new(RwLock::new(view)), DataTileEntry::length);
        Ok(Ok(Self {
            place: format!("{} (no server runs)", config.data.display()),
            checkpoint: VerifiedCheckpoint { note, head },
            tiles: Tiles::AtRest(Box::new(reader)),
        }))
    }
}
