//! `countersign restore`: logs put back from a backup, unless anything shows that the backup is not the newest.
//!
//! The one thing that must never happen is a second entry at an index that was answered. What a backup holds can be proven;
//! that nothing was answered after it cannot. So everything that knows of a log is asked, and the last word, how large the
//! log was when it ended, must be said by whoever runs this: for each log.

use super::audit_source::AuditSource;
use super::config::refused;
use super::log_audit::in_one;
use super::own_log::OwnLog;
use super::report::{printable, table};
use super::restore_plan::{Plan, refuse_foreign};
use super::{CliError, Output, encoding};
use crate::config::Config;
use crate::log::ports::{Group, Head};
use crate::log::reader::LogReader;
use crate::log::replica::{Replica, ReplicaError};
use crate::log::view::View;
use crate::log::{LogKind, Stores};
use crate::server::environment::Environment;
use crate::store::{BackupFiles, RestoreError, RestoreTarget};
use crate::transparency::merkle::RightEdge;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use tokio::runtime::Runtime;

/// Put the logs back from a backup
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Put the logs back from a backup, into the empty data directory of the configuration: the certificate log, and \
        the signature log where there is one.\n\n\
        Everything is verified: entries, trees, the checkpoints' signatures, the logs' names and keys. An interrupted restore goes \
        on when it is run again, and nobody serves the directory before it is whole.\n\n\
        A log must not go on from less than it once had: its next entries would stand at indices that others were given, \
        a fork that nobody can mend. So this refuses when anything shows that the log had more: a server that still answers, \
        the old data directory (--replaces), a checkpoint that somebody kept (--checkpoint), a mirror (--mirror, \
        --mirror-signatures, which bring what is missing as well).\n\n\
        Nothing in a backup shows what was answered after it. How many entries each log had when it ended you must \
        say: of the certificate log (--final-size) from the metric countersign_log_entries, from the greatest log_index in the \
        server's log and 1 more, from a mirror or a monitor; of the signature log (--final-signatures) from the metric \
        countersign_signature_log_entries, a mirror, the greatest logIndex in a bundle and 1 more. When you do not know, do not restore: start a successor log.",
    after_long_help = "Examples:\n  \
        countersign restore /backup/ct --config ca/countersign.yaml --replaces data.damaged --final-size 120345 \\\n    --final-signatures 90210\n  \
        countersign restore /backup/ct --config ca/countersign.yaml --mirror https://mirror.example.com/ct \\\n    --final-size 120345 --final-signatures 90210\n\n\
        Exit codes: 0 done, 1 refused or failed, 2 usage, 78 the configuration was refused."
)]
pub struct RestoreArgs {
    /// The backup, as `countersign backup` makes it
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The server's configuration: the data directory to fill, the logs' names and keys
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How many entries the certificate log had when it ended; refused unless exactly that is put back
    #[arg(long, value_name = "ENTRIES")]
    pub final_size: Option<u64>,
    /// The same of the signature log; 0 where there was none
    #[arg(long, value_name = "ENTRIES")]
    pub final_signatures: Option<u64>,
    /// The old data directory, however damaged: its files tell how large the logs were
    #[arg(long, value_name = "DIR")]
    pub replaces: Option<PathBuf>,
    /// A checkpoint of either log that somebody kept; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// Base URL of a mirror of the certificate log, whose entries beyond the backup are put back too
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// The same of the signature log
    #[arg(long, value_name = "URL")]
    pub mirror_signatures: Option<String>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: RestoreArgs, output: &mut Output) -> Result<(), CliError> {
    let (config, _) = Config::load(&args.config).map_err(|errors| refused(&errors))?;
    let runtime = super::runtime()?;
    let logs = OwnLog::all(&config, args.ca_certificate.as_deref())?;
    refuse_to_leave_out(&args.backup, &logs)?;
    refuse_foreign(&args.checkpoint, &logs)?;
    let mut plans = Vec::new();
    for log in logs {
        plans.push(Plan::make(&args, log, &runtime)?);
    }
    for plan in &plans {
        plan.refuse_less_than_was_known(&args)?;
    }
    let what: String = plans.iter().map(Plan::fingerprint).collect();
    let target =
        RestoreTarget::open(&config.data, &what).map_err(|error| CliError::refused(error.to_string()))?;
    if target.is_resumed() {
        output.note("going on with a restore that was interrupted");
    }
    let mut documents = Vec::new();
    for plan in plans {
        let kind = plan.kind();
        if !documents.is_empty() {
            output.say("")?;
        }
        documents.push((kind, carry_out(plan, &config.data, &target, &runtime, output)?));
    }
    target.finish().map_err(|error| CliError::refused(error.to_string()))?;
    output.json(&in_one(documents))?;
    output
        .say(format_args!("Start the server, then: countersign log audit --config {}", args.config.display()))
}

/// What a backup has and the configuration does not would be missing from the new directory, and begin anew some day.
fn refuse_to_leave_out(backup: &Path, logs: &[OwnLog<'_>]) -> Result<(), CliError> {
    for kind in [LogKind::Certificates, LogKind::Signatures] {
        let failed = |error: crate::log::ports::StoreError| CliError::refused(error.to_string());
        let files = BackupFiles::of(backup, kind).map_err(failed)?;
        let has_it = files.map(|files| files.head()).transpose().map_err(failed)?.flatten().is_some();
        if has_it && !logs.iter().any(|log| log.kind() == kind) {
            return Err(CliError::refused(format!(
                "the backup has a {}, and the configuration keeps none (`{}:`): configure it as it was",
                kind.name(),
                kind.section()
            )));
        }
    }
    Ok(())
}

/// Puts one log back, all but the last step, which is for all logs together.
fn carry_out(
    plan: Plan<'_>,
    data: &Path,
    target: &RestoreTarget,
    runtime: &Runtime,
    output: &mut Output,
) -> Result<Value, CliError> {
    let (kind, goal) = (plan.kind(), plan.goal());
    let Plan { log, backup, mirror, known } = plan;
    let failed = |error: ReplicaError| {
        let words = format!("the {} was not put back: {error}", kind.name());
        CliError::refused(printable(&words).into_owned())
    };
    let from_backup =
        |error: ReplicaError| failed(error).with_advice("The backup is damaged, or of another history.");
    let broken = |error: RestoreError| CliError::refused(error.to_string());
    let mut replica = Replica::empty(kind).beginning_with(known);
    if goal.size > 0 || kind.is_dated() {
        let tiles = target.tiles(kind).map_err(broken)?;
        let bar = output.progress(goal.size, "entries");
        let mut progress = |done| bar.set_position(done);
        if let Some((source, snapshot, head)) = backup {
            // The backup as a log that can be read: hashes and tiles are made of what it holds, and compared with its head.
            let resumed =
                Replica::resume(kind, &head, snapshot.right_edge.clone(), &snapshot.unsealed, &source);
            let view = resumed.map_err(|error| from_backup(error.into()))?.view().clone();
            let view = Arc::new(RwLock::new(view));
            let mut reader = LogReader::new(Arc::new(source), view, kind.entry_length());
            replica.extend(&head, &mut reader, &tiles, &mut progress).map_err(from_backup)?;
        }
        if let Some((mirror, head)) = mirror {
            let mut source = AuditSource::new(Arc::new(mirror), runtime.handle(), replica.tiles(&head));
            replica.extend(&head, &mut source, &tiles, &mut progress).map_err(failed)?;
        }
        bar.finish_and_clear();
        put_head(&log, &replica, target)?;
    }
    for missing in replica.missing_issuers() {
        output.note(format_args!(
            "warning: entries name the CA certificate issuer/{}, which the backup does not have",
            hex::encode(missing)
        ));
    }
    let root = encoding::base64(&goal.root);
    let rows = [
        ("log", log.log().origin().to_owned()),
        ("data", data.display().to_string()),
        ("entries", goal.size.to_string()),
        (
            "root",
            if kind.is_dated() { format!("{root}, signed at {}", goal.timestamp) } else { root.clone() },
        ),
    ];
    output.say(table(&rows).trim_end())?;
    Ok(json!({
        "data": data.display().to_string(),
        "origin": log.log().origin(),
        "entries": goal.size,
        "root_hash": root,
        "timestamp_ms": goal.timestamp.0,
        "missing_issuers": replica.missing_issuers().iter().map(hex::encode).collect::<Vec<_>>(),
    }))
}

/// Writes the head, and reads the log back as a server would.
fn put_head(log: &OwnLog<'_>, replica: &Replica<'_>, target: &RestoreTarget) -> Result<(), CliError> {
    let (kind, identity) = (log.kind(), log.log().identity());
    let (sealed, rest) = split(replica.view());
    let objection = |words: String| Refused(CliError::refused(format!("the {}: {words}", kind.name())));
    let clock = Environment::system().clock;
    let put = target.put_head(kind, &identity, (&sealed, &rest), |stores: &Stores| {
        let found = kind.at_rest(&identity, stores, &*clock).map_err(|error| objection(error.to_string()))?;
        match found.is_some_and(|found| found == *replica.view()) {
            true => Ok(()),
            false => Err(objection("what was put back does not read back as it was".to_owned())),
        }
    });
    put.map_err(|Refused(error)| error)
}

/// A refusal on its way through the store.
struct Refused(CliError);

impl From<RestoreError> for Refused {
    fn from(error: RestoreError) -> Self {
        Self(CliError::refused(error.to_string()))
    }
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
