//! `countersign serve`: runs the CA until it is told to stop.

use super::{CliError, Output, config as check};
use crate::config::Config;
use crate::server::environment::Environment;
use crate::server::{Running, StartError};
use clap::ValueEnum;
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use tracing_subscriber::EnvFilter;

/// Run the CA
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run the CA: issue certificates, keep the log, serve both.\n\n\
        It starts without asking any issuer, prints where it listens, and ends with 0 on SIGTERM or SIGINT once every\n\
        request that it took is answered. One process per data directory; a second one is refused.",
    after_long_help = "Examples:\n  \
        countersign serve --config ca/countersign.yaml\n  \
        countersign serve --config ca/countersign.yaml --log-format json    for log collectors\n  \
        RUST_LOG=countersign=debug countersign serve --config ca/countersign.yaml\n\n\
        Exit codes: 0 it was told to stop, 1 it could not start or go on, 78 the configuration was refused."
)]
pub struct ServeArgs {
    /// The configuration, as `countersign init` makes it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines look [default: human on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
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
    let config = load(&args.config, output)?;
    log_lines(args.log_format);
    let hints = Hints::new(&args.config, &config);
    super::runtime()?.block_on(async {
        let stop = stop_signal()?;
        let running = Running::start(config, Environment::system()).await.map_err(start_error)?;
        hints.show(&running, output)?;
        stop.await;
        output.say("stopping: every request that was taken is answered first")?;
        running.shut_down().await;
        Ok(())
    })
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

/// Sends log lines to standard error. `RUST_LOG` chooses which; without it, `info`.
pub fn log_lines(format: Option<LogFormat>) {
    let is_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if is_terminal { LogFormat::Human } else { LogFormat::Json });
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only the first subscriber of a process counts; a command that runs another keeps its own.
    let _ = match format {
        LogFormat::Human => lines.with_ansi(is_terminal).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// A future that ends on SIGTERM or SIGINT; both are caught from now on.
pub fn stop_signal() -> Result<impl Future<Output = ()>, CliError> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let caught = |kind| {
            signal(kind).map_err(|error| CliError::refused(format!("cannot wait for signals: {error}")))
        };
        let (mut terminate, mut interrupt) =
            (caught(SignalKind::terminate())?, caught(SignalKind::interrupt())?);
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without a way to be told there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// What an operator wants to know once it is up.
struct Hints {
    file: String,
    public_url: Option<String>,
    origin: String,
}

impl Hints {
    fn new(file: &Path, config: &Config) -> Self {
        Self {
            file: file.display().to_string(),
            public_url: config.public_url.clone(),
            origin: config.log.origin.clone(),
        }
    }

    fn show(&self, running: &Running, output: &mut Output) -> Result<(), CliError> {
        let listening = format!("http://{}", running.address());
        let admin = running.admin_address().map(|address| format!("http://{address}"));
        let url = self.public_url.as_deref().unwrap_or(&listening);
        output.json(&json!({
            "listening": listening,
            "admin": admin,
            "url": url,
            "log": { "url": format!("{url}/ct"), "origin": self.origin },
        }))?;
        output.say(format_args!("countersign is up: {listening}"))?;
        output.say(format_args!("  clients call it   {url}"))?;
        output.say(format_args!("  the log           {url}/ct (origin {})", self.origin))?;
        if let Some(admin) = &admin {
            output.say(format_args!("  for operators     {admin}"))?;
        }
        output.say(format_args!(
            "Trust material for clients: countersign trust root --config {0} > trusted_root.json\n\
             (also: trust signing-config, trust client-config)",
            self.file
        ))
    }
}
