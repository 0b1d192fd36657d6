//! Verify a certificate: chain, SCT, inclusion in the log, identity

use crate::cli::{CliError, Output};

/// Verify a certificate: chain, SCT, inclusion in the log, identity
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {}

/// Runs the command.
pub fn run(_args: VerifyArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
