//! Run the CA

use crate::cli::{CliError, Output};

/// Run the CA
#[derive(Debug, clap::Args)]
pub struct ServeArgs {}

/// Runs the command.
pub fn run(_args: ServeArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
