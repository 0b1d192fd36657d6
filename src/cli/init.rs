//! Make a CA: its keys, its certificates and a commented configuration

use crate::cli::{CliError, Output};

/// Make a CA: its keys, its certificates and a commented configuration
#[derive(Debug, clap::Args)]
pub struct InitArgs {}

/// Runs the command.
pub fn run(_args: InitArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
