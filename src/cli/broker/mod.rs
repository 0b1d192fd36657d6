//! `countersign broker`: GitLab tokens for jobs, and what their operators need.

pub mod import_env;

use super::{CliError, Output};
use clap::Subcommand;

/// Get GitLab tokens for jobs, and look after them
#[derive(Debug, clap::Args)]
pub struct BrokerArgs {
    #[command(subcommand)]
    command: BrokerCommand,
}

#[derive(Debug, Subcommand)]
enum BrokerCommand {
    ImportEnv(import_env::ImportEnvArgs),
}

/// Runs the command.
pub fn run(args: BrokerArgs, output: &mut Output) -> Result<(), CliError> {
    match args.command {
        BrokerCommand::ImportEnv(args) => import_env::run(args, output),
    }
}
