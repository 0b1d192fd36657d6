//! Ask the CA for a certificate from inside a CI job

use crate::cli::{CliError, Output};

/// Ask the CA for a certificate from inside a CI job
#[derive(Debug, clap::Args)]
pub struct RequestArgs {}

/// Runs the command.
pub fn run(_args: RequestArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
