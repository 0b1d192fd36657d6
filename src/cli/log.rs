//! `countersign log checkpoint|prove|audit`: a log read and checked from outside.

use super::client::Http;
use super::config::refused;
use super::leaf::Leaf;
use super::log_reader::{LogReader, NoCheckpoint, VerifiedCheckpoint, default_origin};
use super::material::TrustedLog;
use super::own_log::OwnLog;
use super::report::duration;
use super::{CliError, Output, encoding, files, log_audit};
use crate::bundle::LogEntry;
use crate::config::Config;
use crate::log::{KnownLog, LogKind};
use crate::server::environment::Environment;
use crate::transparency::checkpoint::TreeHead;
use crate::transparency::merkle;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Read and check a transparency log
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Read and check a transparency log.\n\n\
        With --url and --key any log of this kind is read over HTTP, by anybody. With --config the operator's own logs are \
        read, tiles from the data directory, beside a running server: nothing is locked or changed. --log says which: \
        certificates, or signatures.",
    after_long_help = "Examples:\n  \
        countersign log checkpoint --config ca/countersign.yaml\n  \
        countersign log prove certificate.pem --config ca/countersign.yaml > proof.json\n  \
        countersign log prove artifact.sigstore.json --config ca/countersign.yaml > proof.json\n  \
        countersign log audit --url https://ca.example.com/ct --key trusted_root.json\n  \
        countersign log audit --log signatures --url https://ca.example.com --key trusted_root.json\n\n\
        Exit codes: 0 it is so, 1 it is not or the log cannot be read, 78 the configuration was refused."
)]
pub struct LogArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LogCommand,
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Fetch the log's checkpoint, verify its signature and print it
    Checkpoint(Source),
    /// Print the inclusion proof of a certificate, or of a signature in a bundle, as JSON
    #[command(
        after_long_help = "The JSON is that of Sigstore's InclusionProof message: logIndex, treeSize, rootHash, hashes, \
        and the checkpoint that signs size and root. With it and the log's key anybody verifies offline; of a certificate \
        `countersign verify --proof` does."
    )]
    Prove {
        /// A certificate, PEM or DER; or a Sigstore bundle, or an entry as the signature log answered it; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
        #[command(flatten)]
        source: Source,
    },
    /// Read every entry, rebuild the tree and compare it with the signed root
    #[command(
        after_long_help = "Checked of each certificate: index, order of times, leaf hash, that the logged TBSCertificate is \
        the precertificate's, that the CA named in it signed it. Of each signature: leaf hash, that the body is a canonical \
        entry; the first is the log's own. Checked of the whole: hash tiles of every level, root, signature of the checkpoint.\n\n\
        With --config both logs are audited, as far as there are both, unless --log says which.\n\n\
        From cron: --metrics-file FILE writes countersign_log_audit_success, _last_success_timestamp_seconds, _entries and \
        others in one step, of all logs together, for an alarm that also sees an audit that never ran.\n\n\
        Exit codes: 0 all is well, 1 something is wrong or could not be read, 2 usage, 78 the configuration was refused."
    )]
    Audit(AuditArgs),
}

/// What to audit, and who is told.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct AuditArgs {
    #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
    #[command(flatten)]
    pub source: Source,
    /// Write the outcome as metrics for node_exporter's textfile collector, whatever it is
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// Which log.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("place").args(["config", "url"]).required(true))]
pub struct Source {
    /// Which log [default: certificates; audit --config: both; prove: what FILE is]
    #[arg(long, value_name = "LOG")]
    pub log: Option<Which>,
    /// The server's configuration: its logs, their keys
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "key", "origin"])]
    pub config: Option<PathBuf>,
    /// Base URL of the log: `https://ca.example.com/ct` for instance, `https://ca.example.com` of a signature log
    #[arg(long, value_name = "URL", requires = "key")]
    pub url: Option<String>,
    /// The log's public key, PEM, or a trusted root that names it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The log's origin, the first line of its checkpoints [default: the URL without its scheme; signatures: its host]
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Option<String>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
}

/// Which log is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// The certificate log.
    Certificates,
    /// The signature log.
    Signatures,
}

impl From<Which> for LogKind {
    fn from(which: Which) -> Self {
        match which {
            Which::Certificates => Self::Certificates,
            Which::Signatures => Self::Signatures,
        }
    }
}

/// A log that was found, with its present checkpoint.
pub struct Opened {
    /// Where it is read.
    pub reader: LogReader,
    /// Its checkpoint, or why there is none.
    pub checkpoint: Result<VerifiedCheckpoint, NoCheckpoint>,
}

/// A log that can be read up to a head.
pub struct Readable {
    /// Where it is read.
    pub reader: LogReader,
    /// What its entries add up to.
    pub head: TreeHead,
    /// Why nobody signed the head; `None`: the log did.
    pub unsigned: Option<String>,
}

impl Opened {
    /// What can be read of it. `own`: without a server the operator's own files can still be read as far as they are sealed; what they add
    /// up to is signed by nobody then.
    pub fn readable(self, own: bool, runtime: &Runtime) -> Result<Readable, CliError> {
        let Self { reader, checkpoint } = self;
        match (checkpoint, own) {
            (Ok(checkpoint), _) => Ok(Readable { reader, head: checkpoint.head, unsigned: None }),
            (Err(NoCheckpoint::Unreachable(words) | NoCheckpoint::Absent(words)), true) => {
                let reader = reader.offline();
                let head = runtime.block_on(reader.sealed_head()).map_err(CliError::refused)?;
                Ok(Readable { reader, head, unsigned: Some(words) })
            }
            (Err(error), _) => Err(CliError::refused(error.to_string())),
        }
    }
}

impl Source {
    /// The certificate log, unless it is said which.
    pub fn open_one(&self, runtime: &Runtime) -> Result<Opened, CliError> {
        self.open(LogKind::Certificates, runtime)
    }

    /// The logs that are meant: the configuration's, all or one, or the one at the URL.
    pub fn open_all(&self, runtime: &Runtime) -> Result<Vec<Opened>, CliError> {
        match (&self.config, self.log) {
            (Some(path), None) => {
                let (config, _) = Config::load(path).map_err(|errors| refused(&errors))?;
                let logs = OwnLog::all(&config, self.ca_certificate.as_deref())?;
                logs.iter().map(|own| configured(&config, own, runtime)).collect()
            }
            _ => Ok(vec![self.open_one(runtime)?]),
        }
    }

    /// The log, `kind` unless it is said which.
    fn open(&self, kind: LogKind, runtime: &Runtime) -> Result<Opened, CliError> {
        let kind = self.log.map_or(kind, LogKind::from);
        if let Some(path) = &self.config {
            let (config, _) = Config::load(path).map_err(|errors| refused(&errors))?;
            let own = OwnLog::of(&config, kind, self.ca_certificate.as_deref())?;
            return configured(&config, &own, runtime);
        }
        let http = Http::new(self.ca_certificate.as_deref())?;
        let (Some(url), Some(key)) = (&self.url, &self.key) else {
            return Err(CliError::usage("give --config FILE, or --url URL and --key FILE"));
        };
        let log = TrustedLog::from_file(key, Some(url), kind)?;
        let origin = self.origin.clone().unwrap_or_else(|| default_origin(kind, url));
        let log = KnownLog::new(kind, &origin, &log.spki)
            .map_err(|error| CliError::refused(format!("{}: {error}", key.display())))?;
        let reader = LogReader::of(http, url, log);
        let checkpoint = runtime.block_on(reader.checkpoint());
        Ok(Opened { reader, checkpoint })
    }
}

/// The operator's log: at its public URL or, where that is not reached from here, where the server listens.
fn configured(config: &Config, own: &OwnLog<'_>, runtime: &Runtime) -> Result<Opened, CliError> {
    let reader = own.public()?;
    let checkpoint = runtime.block_on(reader.checkpoint());
    if config.public_url.is_some()
        && matches!(checkpoint, Err(NoCheckpoint::Unreachable(_) | NoCheckpoint::Absent(_)))
    {
        let reader = own.local()?;
        let there = runtime.block_on(reader.checkpoint());
        if !matches!(there, Err(NoCheckpoint::Unreachable(_) | NoCheckpoint::Absent(_))) {
            return Ok(Opened { reader, checkpoint: there });
        }
    }
    Ok(Opened { reader, checkpoint })
}

/// Runs the command.
pub fn run(args: LogArgs, output: &mut Output) -> Result<(), CliError> {
    match args.command {
        LogCommand::Checkpoint(source) => checkpoint(&source, output),
        LogCommand::Prove { file, source } => prove(&file, &source, output),
        LogCommand::Audit(AuditArgs { source, metrics_file }) => {
            log_audit::run(&source, metrics_file.as_deref(), output)
        }
    }
}

fn checkpoint(source: &Source, output: &mut Output) -> Result<(), CliError> {
    let Opened { reader, checkpoint } = source.open(LogKind::Certificates, &super::runtime()?)?;
    let VerifiedCheckpoint { note, head } =
        checkpoint.map_err(|error| CliError::refused(error.to_string()))?;
    let mut document = json!({
        "origin": reader.origin(),
        "size": head.size,
        "root_hash": encoding::base64(&head.root),
        "checkpoint": note,
    });
    let dated = reader.log().kind().is_dated();
    if dated {
        document["timestamp_ms"] = json!(head.timestamp.0);
        document["time"] = json!(head.timestamp.to_string());
    }
    output.json(&document)?;
    output.say(note.trim_end())?;
    output.say("")?;
    if !dated {
        return output.say(format_args!("Verified: signed by the log's key, {} entries.", head.size));
    }
    let age = duration(Environment::system().clock.now().since(head.timestamp));
    output.say(format_args!(
        "Verified: signed by the log's key at {} ({age} ago), {} entries.",
        head.timestamp, head.size
    ))
}

fn prove(path: &Path, source: &Source, output: &mut Output) -> Result<(), CliError> {
    let file = files::read(path, "the certificate or the bundle")?;
    let is_json = file.trim_ascii_start().starts_with(b"{");
    let kind = if is_json { LogKind::Signatures } else { LogKind::Certificates };
    if source.log.is_some_and(|which| LogKind::from(which) != kind) {
        let what = if is_json { "a bundle or an entry of a signature log" } else { "a certificate" };
        return Err(CliError::usage(format!("{} is {what}, which --log contradicts", path.display())));
    }
    let refuse = |words: String| CliError::refused(format!("{}: {words}", path.display()));
    let runtime = super::runtime()?;
    let Opened { reader, .. } = source.open(kind, &runtime)?;
    let (index, leaf_hash) = match kind {
        LogKind::Certificates => (certificate_index(&file, reader.log()).map_err(refuse)?, None),
        LogKind::Signatures => {
            let entry = logged_entry(&file, reader.log()).map_err(refuse)?;
            (entry.log_index.0, Some(merkle::leaf_hash(&entry.canonicalized_body)))
        }
    };
    let proof = runtime.block_on(reader.prove(index)).map_err(CliError::refused)?;
    if leaf_hash.is_some_and(|leaf_hash| !proof.proves(&leaf_hash)) {
        return Err(refuse(format!("entry {index} of the log is another one")));
    }
    output.document(&proof.to_json())
}

/// Where the log has promised to have a certificate.
fn certificate_index(file: &[u8], log: &KnownLog) -> Result<u64, String> {
    let leaf = Leaf::from_file(file)?;
    let scts = leaf.scts().map_err(str::to_owned)?;
    let sct = scts
        .iter()
        .find(|sct| sct.log_id() == log.log_id())
        .ok_or("it is in another log: none of its SCTs is of the log with this key")?;
    Ok(sct.place().map_err(|error| error.to_string())?.index)
}

/// The entry of the log in a bundle, or one by itself.
fn logged_entry(file: &[u8], log: &KnownLog) -> Result<LogEntry, String> {
    let document: Value = serde_json::from_slice(file).map_err(|error| format!("it is no JSON: {error}"))?;
    let member =
        |value: &Value, camel: &str, snake: &str| value.get(camel).or_else(|| value.get(snake)).cloned();
    let material = member(&document, "verificationMaterial", "verification_material");
    let entries = match material.map(|material| member(&material, "tlogEntries", "tlog_entries")) {
        Some(Some(Value::Array(entries))) => entries,
        Some(_) => return Err("the bundle has no `tlogEntries`".to_owned()),
        None => vec![document],
    };
    let entries = entries.into_iter().map(serde_json::from_value::<LogEntry>);
    let entries =
        entries.collect::<Result<Vec<_>, _>>().map_err(|error| format!("it holds no log entry: {error}"))?;
    entries
        .into_iter()
        .find(|entry| *entry.log_id.key_id == *log.log_id())
        .ok_or_else(|| "it is in another log: none of its entries is of the log with this key".to_owned())
}
