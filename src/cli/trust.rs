//! Print the trust material that clients take

use crate::cli::{CliError, Output};

/// Print the trust material that clients take
#[derive(Debug, clap::Args)]
pub struct TrustArgs {}

/// Runs the command.
pub fn run(_args: TrustArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
