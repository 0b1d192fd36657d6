//! `countersign backup`: a copy of the logs that grows with them, taken beside a running server or from logs at rest.
//!
//! Each log's head is consistent with its own tiles. Between the two: an entry of the signature log names a certificate that was
//! logged before it. So the signature log's head is read before the certificate log's, and replaced after it: whatever a backup's
//! signature log names, its certificate log has, also where a run was cut short.

use super::audit_source::EntryCheck;
use super::backup_source::Source;
use super::config::refused;
use super::log_audit::in_one;
use super::metrics_file::{self, Entries};
use super::own_log::OwnLog;
use super::report::{duration, printable, table};
use super::{CliError, Output, encoding};
use crate::config::Config;
use crate::environment::UnixMillis;
use crate::log::LogKind;
use crate::log::kind::LoggedEntry;
use crate::log::replica::{Known, Replica, ReplicaError};
use crate::log::snapshot::Snapshot;
use crate::server::environment::Environment;
use crate::store::{BackupDirectory, LogBackup};
use crate::transparency::checkpoint::TreeHead;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Copy the logs, beside a running server
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Copy the logs, beside a running server: the certificate log, and the signature log where there is one.\n\n\
        BACKUP gets each log's immutable files and one small file with its head, written last: an interrupted backup is the \
        one before it, and the next run goes on. Each run costs what is new. Everything is read as an auditor reads it: the \
        tree is made anew of the entries and must have the root that the log's key signed, and it must begin with what the \
        backup holds. So a log that was forked, damaged or put back to an older state never gets into a good backup. The \
        signature log's head is read first and written last, so a backup has every certificate that its signatures name.\n\n\
        Without a running server the logs are read from its data directory, as its owner. There are no keys in a backup: keep \
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
    /// The server's configuration: its logs, their keys
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Read the whole logs again, compare every file of the backup with it, and write those that are missing
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

fn back_up(args: &BackupArgs, entries: &mut Entries, output: &mut Output) -> Result<(), CliError> {
    let Environment { clock, stopwatch, .. } = Environment::system();
    let (config, _) = Config::load(&args.config).map_err(|errors| refused(&errors))?;
    let logs = OwnLog::all(&config, args.ca_certificate.as_deref())?;
    outside_of(&args.backup, &config.data)?;
    let backup = BackupDirectory::open(&args.backup).map_err(|error| CliError::refused(error.to_string()))?;
    for kind in [LogKind::Certificates, LogKind::Signatures] {
        if backup.has(kind) && !logs.iter().any(|log| log.kind() == kind) {
            output.note(format_args!(
                "warning: the backup has a {} that the configuration does not keep: it stays as it is",
                kind.name()
            ));
        }
    }
    let mut parts = Vec::new();
    for log in &logs {
        let part = backup.log(log.kind()).map_err(|error| CliError::refused(error.to_string()))?;
        let held = held(&part, log, &args.backup)?;
        parts.push((log, part, held));
    }
    let runtime = super::runtime()?;
    let mut documents = Vec::new();
    // The certificate log is the first: where it cannot be carried on, the signature log must not be ahead of it.
    for ((log, part, held), source) in parts.iter().zip(Source::open_all(&config, &logs, &runtime, &*clock)?)
    {
        let began = stopwatch.elapsed();
        let Some(source) = source else {
            if held.is_some() {
                return Err(named(log, &format!("there is none in {}", config.data.display())));
            }
            output.note(format_args!("there is no {} in {} yet", log.kind().name(), config.data.display()));
            continue;
        };
        let copied = carry_on(args, log, part, held.as_ref(), source, &runtime, output)?;
        entries.note(log.kind(), copied.head.size);
        let took = stopwatch.elapsed().saturating_sub(began);
        copied.say(args, log, took, !documents.is_empty(), output)?;
        documents.push((log.kind(), copied.to_json(args, log, took)));
    }
    output.json(&in_one(documents))?;
    output.say("The keys and the configuration are not in it: keep them apart.")
}

/// What was done about a log.
struct Copied {
    head: TreeHead,
    /// Entries that the backup had.
    before: u64,
    read_from: String,
    missing_issuers: Vec<String>,
}

/// Carries the copy of a log on to its present checkpoint.
fn carry_on(
    args: &BackupArgs,
    log: &OwnLog<'_>,
    part: &LogBackup<'_>,
    held: Option<&(Snapshot, TreeHead)>,
    Source { place, checkpoint, tiles }: Source,
    runtime: &Runtime,
    output: &mut Output,
) -> Result<Copied, CliError> {
    let kind = log.kind();
    let failed = |error: ReplicaError| {
        let words = format!("the backup was not carried on: the {}: {error}", kind.name());
        CliError::refused(printable(&words).into_owned()).with_advice("It is as good as it was before.")
    };
    let check = EntryCheck::of(log.log());
    let corresponds =
        |index: u64, entry: &LoggedEntry<'_>, issuer: Option<&[u8]>| check.check(index, entry, issuer);
    let before = held.map_or(0, |(_, head)| head.size);
    let target = &part.tiles(before);
    let replica = match held {
        Some((snapshot, head)) if !args.verify => {
            Replica::resume(kind, head, snapshot.right_edge.clone(), &snapshot.unsealed, target).map_err(
                |error| {
                    let words = format!(
                        "the backup {} is damaged: the {}: {error}",
                        args.backup.display(),
                        kind.name()
                    );
                    CliError::refused(words)
                        .with_advice("--verify compares all of it with the log, and writes what is missing.")
                },
            )?
        }
        _ => Replica::empty(kind),
    };
    let known =
        held.map(|(_, head)| Known { size: head.size, root: Some(head.root), from: "the backup".to_owned() });
    if before > checkpoint.head.size {
        return Err(failed(ReplicaError::Shrunk { source_size: checkpoint.head.size, held: before }));
    }
    let mut replica = replica.beginning_with(known).corresponding(&corresponds);
    let mut source = tiles.open(runtime, replica.tiles(&checkpoint.head));
    let bar = output.progress(checkpoint.head.size, "entries");
    bar.set_position(replica.head().size);
    let extended = replica.extend(&checkpoint.head, &mut *source, target, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    extended.map_err(failed)?;
    let snapshot = Snapshot {
        identity: log.log().identity(),
        checkpoint: checkpoint.note,
        right_edge: replica.head().right_edge.clone(),
        unsealed: replica.unsealed(),
        read_at: (!kind.is_dated()).then_some(checkpoint.head.timestamp),
    };
    part.commit(&snapshot.encode()).map_err(|error| CliError::refused(error.to_string()))?;
    let missing_issuers: Vec<_> = replica.missing_issuers().iter().map(hex::encode).collect();
    for missing in &missing_issuers {
        output.note(format_args!(
            "warning: entries name the CA certificate issuer/{missing}, which the log does not have"
        ));
    }
    Ok(Copied { head: checkpoint.head, before, read_from: place, missing_issuers })
}

impl Copied {
    fn to_json(&self, args: &BackupArgs, log: &OwnLog<'_>, took: Duration) -> Value {
        let TreeHead { size, root, timestamp: UnixMillis(timestamp) } = self.head;
        json!({
            "backup": args.backup.display().to_string(),
            "origin": log.log().origin(),
            "entries": size,
            "new_entries": size - self.before,
            "root_hash": encoding::base64(&root),
            "timestamp_ms": timestamp,
            "read_from": self.read_from,
            "verified": if args.verify || self.before == 0 { "everything" } else { "what is new" },
            "missing_issuers": self.missing_issuers,
            "seconds": took.as_secs_f64(),
        })
    }

    fn say(
        &self,
        args: &BackupArgs,
        log: &OwnLog<'_>,
        took: Duration,
        is_another: bool,
        output: &mut Output,
    ) -> Result<(), CliError> {
        let TreeHead { size, root, timestamp } = self.head;
        let root = encoding::base64(&root);
        let rows = [
            ("log", log.log().origin().to_owned()),
            ("read from", self.read_from.clone()),
            ("backup", args.backup.display().to_string()),
            ("entries", format!("{size}, of which {} are new", size - self.before)),
            ("root", if log.kind().is_dated() { format!("{root}, signed at {timestamp}") } else { root }),
            ("took", duration(took)),
        ];
        if is_another {
            output.say("")?;
        }
        output.say(table(&rows).trim_end())
    }
}

fn named(log: &OwnLog<'_>, words: &str) -> CliError {
    CliError::refused(format!("the {}: {}", log.kind().name(), printable(words)))
}

/// What the backup holds, signed by this log's key.
fn held(
    part: &LogBackup<'_>,
    log: &OwnLog<'_>,
    shown: &Path,
) -> Result<Option<(Snapshot, TreeHead)>, CliError> {
    let refuse = |words: String| named(log, &format!("{}: {words}", shown.display()));
    let Some(bytes) = part.head().map_err(|error| CliError::refused(error.to_string()))? else {
        return Ok(None);
    };
    let snapshot = Snapshot::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
    let head = snapshot.verify(log.log()).map_err(|error| refuse(error.to_string()))?;
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
