//! Show what a certificate says: every identity extension by name, its SCT, its validity

use crate::cli::{CliError, Output};

/// Show what a certificate says: every identity extension by name, its SCT, its validity
#[derive(Debug, clap::Args)]
pub struct InspectArgs {}

/// Runs the command.
pub fn run(_args: InspectArgs, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::refused("not built yet"))
}
