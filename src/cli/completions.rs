//! Print a completion script for a shell

use crate::cli::{CliError, Output};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {}

/// Runs the command.
pub fn run(_args: CompletionsArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
