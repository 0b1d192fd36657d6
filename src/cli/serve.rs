//! `countersign serve`: runs the CA until it is told to stop.

use super::{CliError, Output, config as check};
use crate::config::{Config, LogConfig};
use crate::server::environment::Environment;
use crate::server::signals::Signals;
use crate::server::{Running, StartError};
use crate::telemetry::{self, Format};
use clap::ValueEnum;
use serde_json::json;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Run the CA
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run the CA: issue certificates, keep the log, serve both.\n\n\
        It starts without asking any issuer, prints where it listens, and ends with 0 on SIGTERM or SIGINT once every \
        request that it took is answered. One process per data directory; a second one is refused.\n\n\
        Changed files are taken over while it runs, within ten seconds or at once on SIGHUP: issuers, identity_config, extensions, \
        policy, the files that they name, the broker's roles, audience and compat, and the TLS certificate. What cannot be used, or needs \
        a restart (every other key), leaves the last good configuration in force and is told in the log, in /readyz and in a metric.",
    after_long_help = "Examples:\n  \
        countersign serve --config ca/countersign.yaml\n  \
        countersign serve --config ca/countersign.yaml --log-format json    for log collectors\n  \
        countersign serve --config ca/countersign.yaml --log-filter countersign=debug\n\n\
        Exit codes: 0 it was told to stop, 1 it could not start or go on, 78 the configuration was refused."
)]
pub struct ServeArgs {
    /// The configuration, as `countersign init` makes it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines look [default: human on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
    /// Which log lines are written, in the syntax of tracing's EnvFilter [default: warn,countersign=info]
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", hide_env_values = true)]
    log_filter: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Human,
    /// One JSON object a line
    Json,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: ServeArgs, output: &mut Output) -> Result<(), CliError> {
    let (runtime, lulls) = super::server_runtime()?;
    // Before anything else: a signal during a long start is kept, and ends nothing halfway.
    let mut signals = {
        let _entered = runtime.enter();
        Signals::catch().map_err(|error| CliError::refused(format!("signals cannot be received: {error}")))?
    };
    let config = load(&args.config, output)?;
    let _written_at_the_end =
        telemetry::init(args.format(), args.log_filter.as_deref()).map_err(CliError::usage)?;
    let url = config.public_url.clone();
    let scheme = config.scheme();
    let log = Recorded::of(&config.log);
    let environment = Environment { lulls: Some(lulls), ..Environment::system() };
    let served = runtime.block_on(async {
        let running = tokio::select! {
            running = Running::start(config, environment) => running.map_err(start_error)?,
            signal = signals.end() => {
                tracing::info!(signal, "told to stop before it was up");
                return Ok(());
            }
        };
        let up = Up { scheme, address: running.address(), admin: running.admin_address(), url, log };
        if let Err(error) = up.show(&args.config, output) {
            tracing::warn!(%error, "nobody is told where the server listens");
        }
        running.until_signal(signals).await.map_err(CliError::refused)
    });
    // What still waits for a file or a disk that does not answer is not waited for.
    runtime.shutdown_background();
    served
}

/// Loads a configuration and shows its warnings. A refused one ends with 78.
pub fn load(file: &Path, output: &mut Output) -> Result<Config, CliError> {
    let (config, warnings) = Config::load(file).map_err(|errors| check::refused(&errors))?;
    for warning in &warnings {
        check::show_warning(warning, output);
    }
    Ok(config)
}

/// Why the server did not start, with its exit code.
pub fn start_error(error: StartError) -> CliError {
    match error {
        StartError::Configuration(message) => CliError::configuration(message),
        StartError::Failed(message) => CliError::refused(message),
    }
}

impl ServeArgs {
    fn format(&self) -> Format {
        match self.log_format {
            Some(LogFormat::Human) => Format::Human,
            Some(LogFormat::Json) => Format::Json,
            None if std::io::stderr().is_terminal() => Format::Human,
            None => Format::Json,
        }
    }
}

/// What an operator wants to know once it is up.
struct Up {
    scheme: &'static str,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    url: Option<String>,
    log: Recorded,
}

/// Where certificates are recorded.
enum Recorded {
    /// In our own log, of this origin.
    Here(String),
    /// In the log at this URL.
    At(String),
    Nowhere,
}

impl Recorded {
    fn of(log: &LogConfig) -> Self {
        match log {
            LogConfig::Embedded(log) => Self::Here(log.origin.clone()),
            LogConfig::External(log) => Self::At(log.url.clone()),
            LogConfig::None => Self::Nowhere,
        }
    }
}

impl Up {
    fn show(&self, file: &Path, output: &mut Output) -> Result<(), CliError> {
        let listening = format!("{}://{}", self.scheme, self.address);
        let admin = self.admin.map(|address| format!("http://{address}"));
        let url = self.url.as_deref().unwrap_or(&listening);
        let (log, log_line) = match &self.log {
            Recorded::Here(origin) => (
                json!({ "url": format!("{url}/ct"), "origin": origin }),
                format!("{url}/ct (origin {origin})"),
            ),
            Recorded::At(url) => (json!({ "url": url }), format!("{url} (not countersign's own)")),
            Recorded::Nowhere => (json!(null), "none: certificates are recorded nowhere".to_owned()),
        };
        output.json(&json!({
            "listening": listening,
            "admin": admin,
            "url": url,
            "log": log,
        }))?;
        output.say(format_args!("countersign is up: {listening}"))?;
        output.say(format_args!("  clients call it  {url}"))?;
        output.say(format_args!("  the log          {log_line}"))?;
        if let Some(admin) = &admin {
            output.say(format_args!("  for operators    {admin}"))?;
        }
        output.say(format_args!(
            "Trust material for clients (also: trust signing-config, trust client-config):\n  \
             countersign trust root --config {} > trusted_root.json",
            file.display()
        ))
    }
}
