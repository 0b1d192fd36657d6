//! Check a configuration

use crate::cli::{CliError, Output};

/// Check a configuration
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {}

/// Runs the command.
pub fn run(_args: ConfigArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
