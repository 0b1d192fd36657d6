//! Read and check a transparency log

use crate::cli::{CliError, Output};

/// Read and check a transparency log
#[derive(Debug, clap::Args)]
pub struct LogArgs {}

/// Runs the command.
pub fn run(_args: LogArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
