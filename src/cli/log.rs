//! `countersign log checkpoint|prove|audit`: a log read and checked from outside.

use super::audit_source::{AuditSource, Correspondence};
use super::client::Http;
use super::config::refused;
use super::leaf::Leaf;
use super::log_reader::{LogReader, NoCheckpoint, VerifiedCheckpoint, origin_of};
use super::material::TrustedLog;
use super::report::{Checks, Paint, duration, table};
use super::{CliError, Output, encoding, files, metrics_file};
use crate::config::Config;
use crate::log::audit::{Audit, Report};
use crate::server::environment::Environment;
use crate::signer::LogKey;
use crate::transparency::precertificate::LoggedCertificate;
use clap::Subcommand;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Read and check a transparency log
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Read and check a transparency log.\n\n\
        With --url and --key any log of this kind is read over HTTP, by anybody. With --config the operator's own log is \
        read, tiles from its data directory, beside a running server: nothing is locked or changed.",
    after_long_help = "Examples:\n  \
        countersign log checkpoint --config ca/countersign.yaml\n  \
        countersign log prove certificate.pem --config ca/countersign.yaml > proof.json\n  \
        countersign log audit --url https://ca.example.com/ct --key trusted_root.json\n\n\
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
    /// Print the inclusion proof of a certificate, as JSON for `countersign verify --proof`
    #[command(
        after_long_help = "The JSON is that of Sigstore's InclusionProof message: logIndex, treeSize, rootHash, hashes, \
        and the checkpoint that signs size and root. With it and the log's key anybody verifies offline."
    )]
    Prove {
        /// The certificate, PEM or DER; `-` is standard input
        #[arg(value_name = "CERT")]
        certificate: PathBuf,
        #[expect(missing_docs, reason = "a text here would become the help of the whole command")]
        #[command(flatten)]
        source: Source,
    },
    /// Read every entry, rebuild the tree and compare it with the signed root
    #[command(
        after_long_help = "Checked of each entry: index, order of times, leaf hash, that the logged TBSCertificate is \
        the precertificate's, that the CA named in it signed it. Checked of the whole: hash tiles of every level, \
        root, signature of the checkpoint.\n\n\
        From cron: --metrics-file FILE writes countersign_log_audit_success, _last_success_timestamp_seconds, _entries and \
        others in one step, for an alarm that also sees an audit that never ran.\n\n\
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
#[command(group = clap::ArgGroup::new("log").args(["config", "url"]).required(true))]
pub struct Source {
    /// The server's configuration: its log, its key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "key", "origin"])]
    pub config: Option<PathBuf>,
    /// Base URL of the log, `https://ca.example.com/ct` for instance
    #[arg(long, value_name = "URL", requires = "key")]
    pub url: Option<String>,
    /// The log's public key, PEM, or a trusted root that names it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The log's origin, the first line of its checkpoints [default: the URL without its scheme]
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Option<String>,
    /// PEM certificates to trust for TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
}

impl Source {
    /// The log, and its present checkpoint.
    fn open(
        &self,
        runtime: &Runtime,
    ) -> Result<(LogReader, Result<VerifiedCheckpoint, NoCheckpoint>), CliError> {
        if let Some(path) = &self.config {
            return configured(path, self.ca_certificate.as_deref(), runtime);
        }
        let http = Http::new(self.ca_certificate.as_deref())?;
        let (Some(url), Some(key)) = (&self.url, &self.key) else {
            return Err(CliError::usage("give --config FILE, or --url URL and --key FILE"));
        };
        let log = TrustedLog::from_file(key, Some(url))?;
        let origin = self.origin.clone().unwrap_or_else(|| origin_of(url));
        let reader = LogReader::over_http(http, url, &origin, log.spki);
        let checkpoint = runtime.block_on(reader.checkpoint());
        Ok((reader, checkpoint))
    }
}

/// The operator's log: at its public URL or, where that is not reached from here, where the server listens.
fn configured(
    path: &Path,
    ca_certificate: Option<&Path>,
    runtime: &Runtime,
) -> Result<(LogReader, Result<VerifiedCheckpoint, NoCheckpoint>), CliError> {
    let (config, _) = Config::load(path).map_err(|errors| refused(&errors))?;
    let own = OwnLog::of(&config, ca_certificate)?;
    let public = own.public()?;
    let checkpoint = runtime.block_on(public.checkpoint());
    if config.public_url.is_some() && matches!(checkpoint, Err(NoCheckpoint::Unreachable(_))) {
        let local = own.local()?;
        let there = runtime.block_on(local.checkpoint());
        if !matches!(there, Err(NoCheckpoint::Unreachable(_))) {
            return Ok((local, there));
        }
    }
    Ok((public, checkpoint))
}

/// The log that a configuration keeps itself, and where it is read.
pub struct OwnLog<'c> {
    config: &'c Config,
    ca_certificate: Option<&'c Path>,
    /// Its name.
    pub origin: &'c str,
    /// Its key.
    pub key: LogKey,
}

impl<'c> OwnLog<'c> {
    /// Opens the key. 78 when it is not usable, 2 when the configuration keeps no log.
    pub fn of(config: &'c Config, ca_certificate: Option<&'c Path>) -> Result<Self, CliError> {
        let Some(log) = config.log.embedded() else {
            let words = "the configuration's log is not its own: give --url URL and --key FILE of the log";
            return Err(CliError::usage(words));
        };
        let key = LogKey::open(&log.key).map_err(|error| CliError::configuration(error.to_string()))?;
        // The operator's own server: its certificate needs nobody else's word.
        let ca_certificate = ca_certificate.or(config.tls.as_ref().map(|tls| tls.certificate.as_path()));
        Ok(Self { config, ca_certificate, origin: &log.origin, key })
    }

    /// Where the world reads it; tiles from the data directory first.
    pub fn public(&self) -> Result<LogReader, CliError> {
        Ok(self.at(Http::new(self.ca_certificate)?, &self.config.log_url()))
    }

    /// Where the server listens; tiles from the data directory first.
    pub fn local(&self) -> Result<LogReader, CliError> {
        let (http, base) = local(self.config, self.ca_certificate)?;
        Ok(self.at(http, &base))
    }

    fn at(&self, http: Http, base: &str) -> LogReader {
        LogReader::over_http(http, base, self.origin, self.key.spki_der().to_vec())
            .with_files(self.config.data.join("log"))
    }
}

/// The log where the server listens. Over TLS the server still goes by its public name, which its certificate is for.
fn local(config: &Config, trusted: Option<&Path>) -> Result<(Http, String), CliError> {
    let listen = reachable(config.listen);
    let public = config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    match public.as_ref().and_then(|url| url.domain()).filter(|_| config.tls.is_some()) {
        Some(name) => Ok((Http::at(name, listen, trusted)?, format!("https://{name}:{}/ct", listen.port()))),
        None => Ok((Http::new(trusted)?, format!("{}://{listen}/ct", config.scheme()))),
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

/// Runs the command.
pub fn run(args: LogArgs, output: &mut Output) -> Result<(), CliError> {
    match args.command {
        LogCommand::Checkpoint(source) => checkpoint(&source, output),
        LogCommand::Prove { certificate, source } => prove(&certificate, &source, output),
        LogCommand::Audit(AuditArgs { source, metrics_file }) => {
            metrics_file::observed(&metrics_file::AUDIT, metrics_file.as_deref(), |entries| {
                audit_log(&source, entries, output)
            })
        }
    }
}

fn checkpoint(source: &Source, output: &mut Output) -> Result<(), CliError> {
    let (reader, checkpoint) = source.open(&super::runtime()?)?;
    let VerifiedCheckpoint { note, head } =
        checkpoint.map_err(|error| CliError::refused(error.to_string()))?;
    output.json(&json!({
        "origin": reader.origin(),
        "size": head.size,
        "root_hash": encoding::base64(&head.root),
        "timestamp_ms": head.timestamp.0,
        "time": head.timestamp.to_string(),
        "checkpoint": note,
    }))?;
    let age = duration(Environment::system().clock.now().since(head.timestamp));
    output.say(note.trim_end())?;
    output.say("")?;
    output.say(format_args!(
        "Verified: signed by the log's key at {} ({age} ago), {} entries.",
        head.timestamp, head.size
    ))
}

fn prove(certificate: &Path, source: &Source, output: &mut Output) -> Result<(), CliError> {
    let file = files::read(certificate, "the certificate")?;
    let refuse = |words: String| CliError::refused(format!("{}: {words}", certificate.display()));
    let leaf = Leaf::from_file(&file).map_err(refuse)?;
    let runtime = super::runtime()?;
    let (reader, _) = source.open(&runtime)?;
    let id = crate::transparency::sha256(reader.spki());
    let scts = leaf.scts().map_err(|words| refuse(words.to_owned()))?;
    let sct = scts.iter().find(|sct| *sct.log_id() == id).ok_or_else(|| {
        refuse("it is in another log: none of its SCTs is of the log with this key".to_owned())
    })?;
    let place = sct.place().map_err(|error| refuse(error.to_string()))?;
    let proof = runtime.block_on(reader.prove(place.index)).map_err(CliError::refused)?;
    output.document(&proof.to_json())
}

fn audit_log(source: &Source, entries: &mut u64, output: &mut Output) -> Result<(), CliError> {
    let runtime = super::runtime()?;
    let (reader, checkpoint) = source.open(&runtime)?;
    let mut checks = Checks::default();
    let (reader, head) = match (checkpoint, &source.config) {
        (Ok(checkpoint), _) => {
            let head = checkpoint.head;
            checks.ok("checkpoint", format!("{} entries, signed at {}", head.size, head.timestamp));
            (reader, Some(head))
        }
        // Without a server the sealed part can still be read; what it adds up to is signed by nobody.
        (Err(NoCheckpoint::Unreachable(words)), Some(_)) => {
            checks.not_checked("checkpoint", format!("no server answers: {words}"));
            (reader.offline(), None)
        }
        (Err(error), _) => return Err(CliError::refused(error.to_string())),
    };
    let signed = head.is_some();
    let head = match head {
        Some(head) => head,
        None => runtime.block_on(reader.sealed_head()).map_err(CliError::refused)?,
    };
    let reader = Arc::new(reader);
    let correspondence = Correspondence::default();
    let corresponds =
        |logged: &LoggedCertificate<'_>, issuer: Option<&[u8]>| correspondence.check(logged, issuer);
    let audit = Audit::of_head(head).corresponding(&corresponds);
    let mut tiles = AuditSource::new(reader.clone(), runtime.handle(), audit.tiles());
    let bar = output.progress(head.size, "entries");
    let audited = audit.run(&mut tiles, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let audited =
        audited.map_err(|error| CliError::refused(format!("the log cannot be read to its end: {error}")))?;
    *entries = audited.entries;
    describe(&mut checks, &audited, signed);
    report(&checks, &audited, &reader, output)
}

/// What was checked, in words.
fn describe(checks: &mut Checks, audited: &Report, signed: bool) {
    let Report { entries, data_tiles, hash_tiles, issuers, .. } = audited;
    if !signed {
        checks.not_checked(
            "unsealed entries",
            "the newest entries, up to a few hundred, are not in the files yet; the server alone has them",
        );
    }
    if audited.is_clean() && *entries > 0 {
        checks.ok(
            "entries",
            format!("{entries}, each at its index, in order of time, and signed by the CA that it names"),
        );
        checks.ok(
            "tiles",
            format!("{data_tiles} data tiles and {hash_tiles} hash tiles hold what the entries make"),
        );
        checks.ok("CA certificates", format!("{issuers}, as the entries name them"));
    }
    for problem in &audited.problems {
        checks.failed("problem", problem.to_string());
    }
    if audited.abandoned {
        checks.failed("problem", "too much is wrong; the rest was not read");
    }
    match (signed, audited.is_clean()) {
        (true, true) => checks.ok("root", "the tree rebuilt from the entries is the one that the checkpoint signs"),
        (true, false) => checks.failed("root", "see the problems"),
        (false, _) => checks.not_checked(
            "root",
            "only what is sealed was read, and no checkpoint says what it must add up to; run this beside the server",
        ),
    }
}

fn report(
    checks: &Checks,
    audited: &Report,
    reader: &LogReader,
    output: &mut Output,
) -> Result<(), CliError> {
    let paint = Paint::for_stdout();
    let root = encoding::base64(&audited.head.map_or(audited.root, |head| head.root));
    let document = json!({
        "consistent": checks.passed(),
        "origin": reader.origin(),
        "size": audited.head.map_or(audited.size, |head| head.size),
        "entries": audited.entries,
        "data_tiles": audited.data_tiles,
        "hash_tiles": audited.hash_tiles,
        "issuers": audited.issuers,
        "root_hash": root,
        "problems": audited.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "abandoned": audited.abandoned,
        "checks": checks.to_json(),
    });
    let rows = [
        ("log", reader.origin().to_owned()),
        ("read from", reader.place()),
        ("entries", audited.entries.to_string()),
        ("root", root),
    ];
    output.say(table(&rows).trim_end())?;
    output.say(checks.to_text(paint).trim_end_matches('\n'))?;
    if checks.passed() {
        output.say(paint.good("Nothing is wrong with what was checked."))?;
        return output.json(&document);
    }
    Err(CliError::refused("the log is not what it should be").with_json(document))
}
