//! What `countersign restore` will put back of a log, and all that is known of it: what it must refuse, it refuses here, before
//! anything is written.

use super::client::Http;
use super::log_reader::LogReader as Mirror;
use super::own_log::OwnLog;
use super::report::printable;
use super::restore::RestoreArgs;
use super::{CliError, files};
use crate::environment::UnixMillis;
use crate::log::replica::Known;
use crate::log::snapshot::Snapshot;
use crate::log::{KnownLog, LogKind};
use crate::server::environment::Environment;
use crate::store::{BackupFiles, log_directory, recorded_in, sealed_in};
use crate::transparency::checkpoint::TreeHead;
use crate::transparency::merkle;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

const WAY_OUT: &str = "Find a newer backup, or a mirror (--mirror, --mirror-signatures). When what is missing cannot be found, \
    this log must not go on: start a successor with a new key and a new origin.";

/// What is put back of one log.
pub struct Plan<'c> {
    /// Which log.
    pub log: OwnLog<'c>,
    /// The backup's part of it, with the head that it has.
    pub backup: Option<(BackupFiles, Snapshot, TreeHead)>,
    /// A mirror that has more, and its checkpoint.
    pub mirror: Option<(Mirror, TreeHead)>,
    /// What it is known to have had.
    pub known: Vec<Known>,
}

impl<'c> Plan<'c> {
    /// Asks everything that knows of the log.
    pub fn make(args: &RestoreArgs, log: OwnLog<'c>, runtime: &Runtime) -> Result<Self, CliError> {
        let backup = backed_up(args, &log)?;
        for reader in [log.local()?, log.public()?] {
            if let Ok(checkpoint) = runtime.block_on(reader.checkpoint()) {
                return Err(CliError::refused(format!(
                    "this log is being served ({} has {} entries): two servers of one log fork it. Stop that one first; where it \
                     is a mirror, take its URL out of the configuration and give it as a mirror",
                    reader.place(),
                    checkpoint.head.size
                )));
            }
        }
        let mut known = Vec::new();
        if let Some(data) = &args.replaces {
            known.extend(known_to_directory(data, log.kind())?);
        }
        for file in &args.checkpoint {
            known.extend(kept_checkpoint(file, log.log())?);
        }
        let url = match log.kind() {
            LogKind::Certificates => &args.mirror,
            LogKind::Signatures => &args.mirror_signatures,
        };
        let mut mirror = None;
        if let Some(url) = url {
            let reader = Mirror::of(Http::new(args.ca_certificate.as_deref())?, url, log.log().clone());
            let checkpoint = runtime.block_on(reader.checkpoint());
            let mut there = checkpoint.map_err(|error| CliError::refused(error.to_string()))?.head;
            if !log.kind().is_dated() {
                // Nothing that it covers is later than this.
                there.timestamp = Environment::system().clock.now();
            }
            known.push(Known { size: there.size, root: Some(there.root), from: format!("the mirror {url}") });
            if there.size > backup.as_ref().map_or(0, |(.., head)| head.size) {
                mirror = Some((reader, there));
            }
        }
        Ok(Self { log, backup, mirror, known })
    }

    /// What the log is of.
    pub const fn kind(&self) -> LogKind {
        self.log.kind()
    }

    /// The head that will be put back; that of an empty log where there is nothing.
    pub fn goal(&self) -> TreeHead {
        let nothing = TreeHead { size: 0, root: merkle::empty_root(), timestamp: UnixMillis(0) };
        let held = self.backup.as_ref().map_or(nothing, |(.., head)| *head);
        self.mirror.as_ref().map_or(held, |(_, head)| *head)
    }

    /// What tells this plan from another.
    pub fn fingerprint(&self) -> String {
        let goal = self.goal();
        format!("{} {} {}\n", hex::encode(self.log.log().log_id()), goal.size, hex::encode(goal.root))
    }

    /// Refuses where the log had more, and where nobody says how much it had.
    pub fn refuse_less_than_was_known(&self, args: &RestoreArgs) -> Result<(), CliError> {
        let goal = self.goal().size;
        let name = self.kind().name();
        let (said, flag, metric) = match self.kind() {
            LogKind::Certificates => (args.final_size, "--final-size", "countersign_log_entries"),
            LogKind::Signatures => {
                (args.final_signatures, "--final-signatures", "countersign_signature_log_entries")
            }
        };
        let refuse = |words: String| CliError::refused(printable(&words).into_owned());
        if let Some(more) = self.known.iter().filter(|known| known.size > goal).max_by_key(|known| known.size)
        {
            return Err(refuse(format!(
                "the {name} had at least {} entries ({}), {goal} can be put back: the indices of the others would be given \
                 again, which forks the log",
                more.size, more.from
            ))
            .with_advice(WAY_OUT));
        }
        match said {
            Some(size) if size == goal => Ok(()),
            Some(size) if size > goal => Err(refuse(format!(
                "the {name} had {size} entries, {goal} can be put back: entries that were answered would be lost"
            ))
            .with_advice(WAY_OUT)),
            Some(size) => Err(refuse(format!(
                "the {name} is said to have had {size} entries when it ended, but there are {goal}: find out how many there were"
            ))),
            None => Err(refuse(format!(
                "nothing in a backup shows whether entries of the {name} were answered after it: say with {flag} how many it had \
                 when it ended"
            ))
            .with_advice(&format!(
                "The metric {metric} knows it, a mirror, a monitor; of certificates the server's log too (its greatest log_index \
                 and 1 more). When nobody knows, start a successor log instead."
            ))),
        }
    }
}

/// What the backup has of the log; a backup may be older than the signature log.
fn backed_up(
    args: &RestoreArgs,
    log: &OwnLog<'_>,
) -> Result<Option<(BackupFiles, Snapshot, TreeHead)>, CliError> {
    let kind = log.kind();
    let refuse = |words: String| {
        let words = format!("the {}: {}: {}", kind.name(), args.backup.display(), printable(&words));
        CliError::refused(words)
    };
    let files = BackupFiles::of(&args.backup, kind).map_err(|error| CliError::refused(error.to_string()))?;
    let head = match &files {
        Some(files) => files.head().map_err(|error| CliError::refused(error.to_string()))?,
        None => None,
    };
    let (Some(files), Some(bytes)) = (files, head) else {
        return match kind {
            LogKind::Certificates => Err(refuse("there is no backup that was finished".to_owned())),
            LogKind::Signatures => Ok(None),
        };
    };
    let snapshot = Snapshot::decode(&bytes).map_err(|error| refuse(error.to_string()))?;
    let head = snapshot.verify(log.log()).map_err(|error| refuse(error.to_string()))?;
    Ok(Some((files, snapshot, head)))
}

/// Refuses a kept checkpoint that is of no log of the configuration.
pub fn refuse_foreign(checkpoints: &[PathBuf], logs: &[OwnLog<'_>]) -> Result<(), CliError> {
    for file in checkpoints {
        let note = files::read(file, "the checkpoint")?;
        if !logs.iter().any(|log| is_of(&note, log.log())) {
            let words =
                "it is a checkpoint of another log: its origin is that of no log of the configuration";
            return Err(CliError::refused(format!("{}: {words}", file.display())));
        }
    }
    Ok(())
}

/// Whether the first line of a note names the log.
fn is_of(note: &[u8], log: &KnownLog) -> bool {
    note.split(|byte| *byte == b'\n').next() == Some(log.origin().as_bytes())
}

/// A checkpoint that was kept, where it is this log's.
fn kept_checkpoint(file: &Path, log: &KnownLog) -> Result<Option<Known>, CliError> {
    let note = files::read(file, "the checkpoint")?;
    if !is_of(&note, log) {
        return Ok(None);
    }
    let head =
        log.verify(&note).map_err(|error| CliError::refused(format!("{}: {error}", file.display())))?;
    let from = format!("the checkpoint {}", file.display());
    Ok(Some(Known { size: head.size, root: Some(head.root), from }))
}

/// What the files of an old data directory tell of a log. Its head store is not opened: that would change it.
fn known_to_directory(data: &Path, kind: LogKind) -> Result<Vec<Known>, CliError> {
    if !data.is_dir() {
        return Err(CliError::refused(format!("{} is no directory", data.display())));
    }
    let directory = log_directory(data, kind);
    let shown = directory.display();
    let mut known = Vec::new();
    match recorded_in(&directory) {
        Ok(Some(recorded)) => {
            let from = format!("{shown}/head.record");
            known.push(Known { size: recorded.size, root: Some(recorded.root), from });
        }
        Ok(None) => {}
        Err(error) => {
            return Err(CliError::refused(format!(
                "{shown}: {error}; so it cannot tell how large the {} was: leave --replaces out, and find that out elsewhere",
                kind.name()
            )));
        }
    }
    let sealed = sealed_in(&directory).map_err(|error| CliError::refused(error.to_string()))?;
    // Their root is not asked for: the tiles may be what is damaged.
    if known.iter().all(|known| known.size < sealed) && sealed > 0 {
        known.push(Known { size: sealed, root: None, from: format!("the tiles in {shown}") });
    }
    // A directory may be older than the signature log.
    if known.is_empty() && kind == LogKind::Certificates {
        return Err(CliError::refused(format!("there is no trace of a log in {shown}")));
    }
    Ok(known)
}
