//! `countersign config check FILE`: everything that is wrong with a configuration, at once.

use super::{CliError, Output};
use crate::config::{self, ConfigErrors, Finding, Warning};
use crate::server::environment::Environment;
use crate::server::material;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Work with configurations
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Check(CheckArgs),
}

/// Check a configuration and show everything that is wrong with it
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Check a configuration and show everything that is wrong with it.\n\n\
        Every error comes with its line and key, all of them at once; unknown keys are errors. The files that it \
        names are checked too: the chain, key sets, certificates and the Fulcio identity configuration are read, private \
        keys have to be there, for their owner alone (0600 or 0400). When all that is right, each key is compared with its certificate as at the \
        start of the server; an encrypted one needs its password (password_file, COUNTERSIGN_CA_KEY_PASSWORD) for that. Nothing is fetched and nothing is written. A Fulcio identity configuration can be \
        checked by itself.\n\n\
        A running server takes over issuers, identity_config, policy, extensions, tls, of the broker its roles, and the files that they name \
        (SIGHUP); all other keys need a restart.",
    after_long_help = "Examples:\n  \
        countersign config check ca/countersign.yaml\n  \
        countersign config check --ignore-missing-files countersign.yaml   in the CI of a repository without the keys\n  \
        countersign config check fulcio.yaml                               a Fulcio identity configuration\n\n\
        Exit codes: 0 it can be served (warnings are on standard error), 78 it cannot."
)]
struct CheckArgs {
    /// The configuration, or a Fulcio identity configuration
    file: PathBuf,
    /// Only warn of files that the configuration names and that are not here
    #[arg(long)]
    ignore_missing_files: bool,
}

/// Runs the command.
pub fn run(args: ConfigArgs, output: &mut Output) -> Result<(), CliError> {
    let ConfigCommand::Check(args) = args.command;
    let warnings = config::check_with(&args.file, args.ignore_missing_files, |config| {
        material::mismatches(config, &Environment::system())
    });
    let warnings = warnings.map_err(|errors| refused(&errors))?;
    for warning in &warnings {
        show_warning(warning, output);
    }
    output.json(&document(&[], &warnings))?;
    output.say(format_args!("{} is fine", args.file.display()))
}

/// The refusal of a configuration: exit code 78, one error a line, then one warning a line.
pub fn refused(errors: &ConfigErrors) -> CliError {
    refused_files("the configuration has", errors)
}

/// The same of other files that are read like it; `which` begins the sentence.
pub fn refused_files(which: &str, errors: &ConfigErrors) -> CliError {
    let count = errors.findings().len();
    let things = if count == 1 { "error" } else { "errors" };
    let warnings: String = errors.warnings().iter().map(|warning| format!("\nwarning: {warning}")).collect();
    CliError::configuration(format!("{which} {count} {things}\n{errors}{warnings}"))
        .with_json(document(errors.findings(), errors.warnings()))
}

/// A warning on standard error; programs find it in the document.
pub fn show_warning(warning: &Warning, output: &mut Output) {
    if !output.is_json() {
        output.note(format_args!("warning: {warning}"));
    }
}

fn document(errors: &[Finding], warnings: &[Warning]) -> Value {
    let list = |findings: &[Finding]| findings.iter().map(finding).collect::<Vec<_>>();
    json!({ "ok": errors.is_empty(), "errors": list(errors), "warnings": list(warnings) })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "file": finding.file.display().to_string(),
        "line": finding.line,
        "key": finding.key,
        "message": finding.message,
    })
}
