//! `countersign broker seal-token`: a target's main credential goes into the store, sealed.

use crate::cli::config::refused;
use crate::cli::{CliError, Output, files};
use crate::config::broker::{CredentialSource, TargetConfig};
use crate::config::{BrokerConfig, Config};
use crate::leasing::ports::LeaseStore as _;
use crate::leasing::{open_sealed_token, place_of_sealed_token, seal_token};
use crate::server::credentials;
use crate::server::environment::Environment;
use crate::store::{DataDirectoryError, EmbeddedLeases, LockError, LockedDirectory, check_owner};
use serde_json::json;
use std::fmt::Display;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Put a target's main credential into the store, sealed
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Put a target's main credential into the store, sealed.\n\n\
        For a target with `token: sealed`. The token is read from standard input, or a file, sealed with `broker.seal_key` for the target's name and URL, and \
        is durable in the data directory when this ends, in place of one that was there. What is shown of it is its SHA-256. GitLab is not asked, and \
        what was there before is not revoked.\n\n\
        The server must not run: it owns the data directory, and takes a new credential at its start. Its operators' listener takes none, since it asks \
        nobody for a password.",
    after_long_help = "Examples:\n  \
        countersign broker seal-token --config countersign.yaml --target gitlab <token\n  \
        countersign broker seal-token --config countersign.yaml --target gitlab --token-file token\n\n\
        Exit codes: 0 sealed, 1 not (the server runs, the token is none, the store cannot be written), 2 usage, 78 the configuration was refused."
)]
pub struct SealTokenArgs {
    /// The server's configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The target's name there
    #[arg(long, value_name = "NAME")]
    pub target: String,
    /// The token, in a file with nothing else in it; `-`, as without this, is standard input
    #[arg(long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub token_file: PathBuf,
}

/// Runs the command.
pub fn run(args: SealTokenArgs, output: &mut Output) -> Result<(), CliError> {
    let (config, _) = Config::load(&args.config).map_err(|errors| refused(&errors))?;
    let (target, key_file) = target_of(&config, &args.target)?;
    let TargetConfig { name, url, .. } = target;
    let key = credentials::seal_key(key_file, &Environment::system())
        .map_err(|error| CliError::configuration(error.to_string()))?;
    if args.token_file == Path::new("-") && std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "standard input is a terminal, which shows what is typed: give --token-file, or a pipe",
        ));
    }
    let octets = Zeroizing::new(files::read_up_to(&args.token_file, "the token", credentials::LONGEST)?);
    let secret =
        credentials::credential(&octets).map_err(|why| CliError::refused(format!("the token {why}")))?;
    let mut store = open_store(&config.data)?;
    let refused = |error: &dyn Display| CliError::refused(error.to_string());
    let before = store.credential(&place_of_sealed_token(name, url)).map_err(|error| refused(&error))?;
    // One that was sealed with another key is replaced as well.
    let opened = before.as_ref().and_then(|record| open_sealed_token(name, url, record, &key).ok());
    let replaced = opened.map(|secret| secret.sha256());
    let change = seal_token(name, url, &secret, &key).map_err(|why| refused(&why))?;
    store.write(&[change]).map_err(|error| refused(&error))?;
    drop(store);
    let sha256 = secret.sha256();
    output.say(format_args!("the main credential of target {name} at {url} is sealed: SHA-256 {sha256}"))?;
    if before.is_some() && replaced.as_ref() != Some(&sha256) {
        let which = replaced.as_deref().unwrap_or("one that was sealed with another key");
        output.say(format_args!("in place of {which}, which is not revoked: do that at GitLab"))?;
    }
    let replaced = json!({ "any": before.is_some(), "sha256": replaced });
    output.json(&json!({ "target": name, "url": url, "sha256": sha256, "replaced": replaced }))
}

/// The target that is meant, and the key's file.
fn target_of<'c>(config: &'c Config, name: &str) -> Result<(&'c TargetConfig, &'c Path), CliError> {
    let missing = |why: &str| CliError::usage(format!("the configuration {why}"));
    let BrokerConfig { targets, seal_key, .. } =
        config.broker.as_ref().ok_or_else(|| missing("has no `broker:`"))?;
    let target = targets.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| missing(&format!("has no target {name}")))?;
    if target.token != CredentialSource::Sealed {
        return Err(missing(&format!(
            "has the token of target {name} elsewhere, so that nothing in the store would be used: write `token: sealed` first"
        )));
    }
    // A target with such a token has been asked for it.
    let seal_key = seal_key.as_deref().ok_or_else(|| missing("has no `seal_key`"))?;
    Ok((target, seal_key))
}

/// The store of leases, which is made where there is none; nobody else's while this has it.
fn open_store(data: &Path) -> Result<EmbeddedLeases, CliError> {
    check_owner(data).map_err(|error| CliError::refused(error.to_string()))?;
    let locked = LockedDirectory::open(data).map_err(|error| match error {
        DataDirectoryError::Lock(LockError::InUse { directory, holder }) => CliError::refused(format!(
            "{} is in use by {holder}: stop the server, run this again, and start it; it takes a new credential at its start alone",
            directory.display()
        )),
        other => CliError::refused(other.to_string()),
    })?;
    locked.leases().map_err(|error| CliError::refused(error.to_string()))
}
