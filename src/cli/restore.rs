//! `countersign restore`: a log put back from a backup, unless anything shows that the backup is not the newest.
//!
//! The one thing that must never happen is a second entry at an index that was answered. What a backup holds can be proven;
//! that nothing was answered after it cannot. So everything that knows of the log is asked, and the last word, how large the
//! log was when it ended, must be said by whoever runs this.

use super::audit_source::AuditSource;
use super::client::Http;
use super::config::refused;
use super::log::OwnLog;
use super::log_reader::LogReader as Mirror;
use super::report::{printable, table};
use super::{CliError, Output, encoding, files};
use crate::config::Config;
use crate::log::ports::{Group, Head};
use crate::log::reader::LogReader;
use crate::log::replica::{Known, Replica, ReplicaError};
use crate::log::snapshot::Snapshot;
use crate::log::view::View;
use crate::log::{CtLog, Stores};
use crate::server::environment::Environment;
use crate::store::{BackupFiles, RestoreError, RestoreTarget, recorded_in, sealed_in};
use crate::transparency::checkpoint::{Checkpoint, TreeHead};
use crate::transparency::merkle::RightEdge;
use crate::transparency::precertificate::DataTileEntry;
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use tokio::runtime::Runtime;

/// Put a log back from a backup
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Put a log back from a backup, into the empty data directory of the configuration.\n\n\
        Everything is verified: entries, tree, the checkpoint's signature, the log's name and key. An interrupted restore goes \
        on when it is run again, and nobody serves the directory before it is whole.\n\n\
        A log must not go on from less than it once had: its next certificates would stand at indices that others were given, \
        a fork that nobody can mend. So this refuses when anything shows that the log had more: a server that still answers, \
        the old data directory (--replaces), a checkpoint that somebody kept (--checkpoint), a mirror (--mirror, which brings \
        what is missing as well).\n\n\
        Nothing in a backup shows what was answered after it. How many entries the log had when it ended you must say \
        (--final-size): from the metric countersign_log_entries, from the greatest log_index in the server's log and 1 more, \
        from a mirror or a monitor. When you do not know, do not restore: start a successor log.",
    after_long_help = "Examples:\n  \
        countersign restore /backup/ct --config ca/countersign.yaml --replaces data.damaged --final-size 120345\n  \
        countersign restore /backup/ct --config ca/countersign.yaml --mirror https://mirror.example.com/ct --final-size 120345\n\n\
        Exit codes: 0 done, 1 refused or failed, 2 usage, 78 the configuration was refused."
)]
pub struct RestoreArgs {
    /// The backup, as `countersign backup` makes it
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The server's configuration: the data directory to fill, the log's name and key
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How many entries the log had when it ended; refused unless exactly that is put back
    #[arg(long, value_name = "ENTRIES")]
    pub final_size: Option<u64>,
    /// The old data directory, however damaged: its files tell how large the log was
    #[arg(long, value_name = "DIR")]
    pub replaces: Option<PathBuf>,
    /// A checkpoint that somebody kept; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// Base URL of a mirror of the log, whose entries beyond the backup are put back too
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
}

/// What is put back.
struct Plan<'c> {
    config: &'c Config,
    log: OwnLog<'c>,
    snapshot: Snapshot,
    head: TreeHead,
    /// A mirror that has more, and its checkpoint.
    mirror: Option<(Mirror, TreeHead)>,
    known: Vec<Known>,
}

/// Runs the command.
pub fn run(args: RestoreArgs, output: &mut Output) -> Result<(), CliError> {
    let (config, _) = Config::load(&args.config).map_err(|errors| refused(&errors))?;
    let runtime = super::runtime()?;
    let source = BackupFiles::open(&args.backup).map_err(|error| CliError::refused(error.to_string()))?;
    let plan = Plan::make(&args, &config, &source, &runtime)?;
    plan.refuse_less_than_was_known(args.final_size)?;
    plan.carry_out(&args, source, &runtime, output)
}

impl<'c> Plan<'c> {
    /// Asks everything that knows of the log.
    fn make(
        args: &'c RestoreArgs,
        config: &'c Config,
        source: &BackupFiles,
        runtime: &Runtime,
    ) -> Result<Self, CliError> {
        let ca_certificate = args.ca_certificate.as_deref();
        let log = OwnLog::of(config, ca_certificate)?;
        let refuse =
            |words: String| CliError::refused(format!("{}: {}", args.backup.display(), printable(&words)));
        let bytes = source.head().map_err(|error| CliError::refused(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| refuse("there is no backup that was finished".to_owned()))?;
        let snapshot = Snapshot::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
        let head =
            snapshot.verify(log.origin, log.key.spki_der()).map_err(|error| refuse(error.to_string()))?;

        for reader in [log.local()?, log.public()?] {
            if let Ok(checkpoint) = runtime.block_on(reader.checkpoint()) {
                return Err(CliError::refused(format!(
                    "this log is being served ({} has {} entries): two servers of one log fork it. Stop that one first; where it \
                     is a mirror, take its URL out of the configuration and give it as --mirror",
                    reader.place(),
                    checkpoint.head.size
                )));
            }
        }
        let mut known = Vec::new();
        if let Some(data) = &args.replaces {
            known.extend(known_to_directory(data)?);
        }
        for file in &args.checkpoint {
            let note = files::read(file, "the checkpoint")?;
            let checkpoint = Checkpoint::verify(&note, log.origin, log.key.spki_der());
            let checkpoint =
                checkpoint.map_err(|error| CliError::refused(format!("{}: {error}", file.display())))?;
            let TreeHead { size, root, .. } = *checkpoint.head();
            known.push(Known { size, root: Some(root), from: format!("the checkpoint {}", file.display()) });
        }
        let mut mirror = None;
        if let Some(url) = &args.mirror {
            let spki = log.key.spki_der().to_vec();
            let reader = Mirror::over_http(Http::new(ca_certificate)?, url, log.origin, spki);
            let checkpoint = runtime.block_on(reader.checkpoint());
            let there = checkpoint.map_err(|error| CliError::refused(error.to_string()))?.head;
            known.push(Known { size: there.size, root: Some(there.root), from: format!("the mirror {url}") });
            if there.size > head.size {
                mirror = Some((reader, there));
            }
        }
        Ok(Self { config, log, snapshot, head, mirror, known })
    }

    /// The head that will be put back.
    fn goal(&self) -> TreeHead {
        self.mirror.as_ref().map_or(self.head, |(_, head)| *head)
    }

    fn refuse_less_than_was_known(&self, final_size: Option<u64>) -> Result<(), CliError> {
        const WAY_OUT: &str = "Find a newer backup, or a mirror (--mirror). When what is missing cannot be found, this log \
            must not go on: start a successor with a new key and a new origin.";
        let goal = self.goal().size;
        if let Some(more) = self.known.iter().filter(|known| known.size > goal).max_by_key(|known| known.size)
        {
            let words = format!(
                "the log had at least {} entries ({}), {goal} can be put back: the others would be given to new certificates, \
                 which forks the log",
                more.size, more.from
            );
            return Err(CliError::refused(printable(&words).into_owned()).with_advice(WAY_OUT));
        }
        match final_size {
            Some(size) if size == goal => Ok(()),
            Some(size) if size > goal => Err(CliError::refused(format!(
                "the log had {size} entries, {goal} can be put back: entries that were answered would be lost"
            ))
            .with_advice(WAY_OUT)),
            Some(size) => Err(CliError::refused(format!(
                "the log is said to have had {size} entries when it ended, but there are {goal}: find out how many there were"
            ))),
            None => Err(CliError::refused(
                "nothing in a backup shows whether certificates were issued after it: say with --final-size how many entries the \
                 log had when it ended",
            )
            .with_advice(
                "The metric countersign_log_entries knows it, the server's log (its greatest log_index and 1 more), a mirror, a \
                 monitor. When nobody knows, start a successor log instead.",
            )),
        }
    }

    fn carry_out(
        self,
        args: &RestoreArgs,
        source: BackupFiles,
        runtime: &Runtime,
        output: &mut Output,
    ) -> Result<(), CliError> {
        let failed = |error: ReplicaError| {
            CliError::refused(printable(&format!("the log was not put back: {error}")).into_owned())
        };
        let from_backup =
            |error: ReplicaError| failed(error).with_advice("The backup is damaged, or of another history.");
        let goal = self.goal();
        let identity = self.snapshot.identity.clone();
        let what = format!("{} {} {}\n", hex::encode(identity.log_id), goal.size, hex::encode(goal.root));
        let target = RestoreTarget::open(&self.config.data, &what)
            .map_err(|error| CliError::refused(error.to_string()))?;
        if target.is_resumed() {
            output.note("going on with a restore that was interrupted");
        }

        // The backup as a log that can be read: hashes and tiles are made of what it holds, and compared with its head.
        let resumed =
            Replica::resume(&self.head, self.snapshot.right_edge.clone(), &self.snapshot.unsealed, &source);
        let view = resumed.map_err(|error| from_backup(error.into()))?.view().clone();
        let mut reader = LogReader::new(Arc::new(source), Arc::new(RwLock::new(view)), DataTileEntry::length);

        let mut replica = Replica::empty().beginning_with(self.known);
        let bar = output.progress(goal.size, "entries");
        let mut progress = |done| bar.set_position(done);
        replica.extend(&self.head, &mut reader, &target.tiles(), &mut progress).map_err(from_backup)?;
        if let Some((mirror, head)) = self.mirror {
            let mut tiles = AuditSource::new(Arc::new(mirror), runtime.handle(), replica.tiles(&head));
            replica.extend(&head, &mut tiles, &target.tiles(), &mut progress).map_err(failed)?;
        }
        bar.finish_and_clear();
        let (sealed, rest) = split(replica.view());
        let objection = |error: String| Refused(CliError::refused(error));
        let clock = Environment::system().clock;
        let finished = target.finish(&identity, &sealed, &rest, |stores: &Stores| {
            let found =
                CtLog::at_rest(&identity, stores, &*clock).map_err(|error| objection(error.to_string()))?;
            match found.is_some_and(|found| found == *replica.view()) {
                true => Ok(()),
                false => Err(objection("what was put back does not read back as it was".to_owned())),
            }
        });
        finished.map_err(|Refused(error)| error)?;

        for missing in replica.missing_issuers() {
            output.note(format_args!(
                "warning: entries name the CA certificate issuer/{}, which the backup does not have",
                hex::encode(missing)
            ));
        }
        output.json(&json!({
            "data": self.config.data.display().to_string(),
            "origin": self.log.origin,
            "entries": goal.size,
            "root_hash": encoding::base64(&goal.root),
            "timestamp_ms": goal.timestamp.0,
            "missing_issuers": replica.missing_issuers().iter().map(hex::encode).collect::<Vec<_>>(),
        }))?;
        let rows = [
            ("log", self.log.origin.to_owned()),
            ("data", self.config.data.display().to_string()),
            ("entries", goal.size.to_string()),
            ("root", format!("{}, signed at {}", encoding::base64(&goal.root), goal.timestamp)),
        ];
        output.say(table(&rows).trim_end())?;
        output.say(format_args!(
            "Start the server, then: countersign log audit --config {}",
            args.config.display()
        ))
    }
}

/// A refusal on its way through the store.
struct Refused(CliError);

impl From<RestoreError> for Refused {
    fn from(error: RestoreError) -> Self {
        Self(CliError::refused(error.to_string()))
    }
}

/// What the files of an old data directory tell of its log. Its head store is not opened: that would change it.
fn known_to_directory(data: &std::path::Path) -> Result<Vec<Known>, CliError> {
    let shown = data.display();
    if !data.is_dir() {
        return Err(CliError::refused(format!("{shown} is no directory")));
    }
    let mut known = Vec::new();
    match recorded_in(data) {
        Ok(Some(recorded)) => {
            let from = format!("{shown}/head.record");
            known.push(Known { size: recorded.size, root: Some(recorded.root), from });
        }
        Ok(None) => {}
        Err(error) => {
            return Err(CliError::refused(format!(
                "{shown}: {error}; so it cannot tell how large the log was: leave --replaces out, and find that out elsewhere"
            )));
        }
    }
    let sealed = sealed_in(data).map_err(|error| CliError::refused(error.to_string()))?;
    // Their root is not asked for: the tiles may be what is damaged.
    if known.iter().all(|known| known.size < sealed) && sealed > 0 {
        known.push(Known { size: sealed, root: None, from: format!("the tiles in {shown}") });
    }
    if known.is_empty() {
        return Err(CliError::refused(format!("there is no trace of a log in {shown}")));
    }
    Ok(known)
}

/// The head of the entries in full tiles, and the group that brings the others.
fn split(view: &View) -> (Head, Group) {
    let size = view.unsealed_start;
    // A tree's right edge begins with the complete subtrees of the whole tiles: those of the bits above the lowest eight.
    let right_edge: Vec<_> = view.head.right_edge.iter().copied().take(size.count_ones() as usize).collect();
    let edge = RightEdge::from_parts(size, right_edge.clone());
    let root = edge.map_or(view.head.root, |edge| edge.root());
    let sealed = Head { size, root, timestamp: view.head.timestamp, right_edge };
    let group =
        Group { entries: view.unsealed.iter().cloned().collect(), head: view.head.clone(), sealed: size };
    (sealed, group)
}
