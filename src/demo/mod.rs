//! Show the whole way on this machine, with a make-believe GitLab

pub mod gitlab;

use crate::cli::{CliError, Output};

/// Show the whole way on this machine, with a make-believe GitLab
#[derive(Debug, clap::Args)]
pub struct DemoArgs {}

/// Runs the command.
pub fn run(_args: DemoArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
