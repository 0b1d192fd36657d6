//! Validate a GitLab ID token and print its claims and the certificate it would get

use crate::cli::{CliError, Output};

/// Validate a GitLab ID token and print its claims and the certificate it would get
#[derive(Debug, clap::Args)]
pub struct TokenArgs {}

/// Runs the command.
pub fn run(_args: TokenArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
