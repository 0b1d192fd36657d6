//! `countersign broker`: GitLab tokens for jobs, and what their operators need.

mod connection;
mod exchange;
pub mod git_credential;
pub mod import_env;
pub mod operators;
mod running;
pub mod seal_key;
pub mod seal_token;
pub mod token;

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
    Token(token::TokenArgs),
    GitCredential(git_credential::GitCredentialArgs),
    Leases(operators::LeasesArgs),
    Revoke(operators::RevokeArgs),
    Rotate(operators::RotateArgs),
    SealKey(seal_key::SealKeyArgs),
    SealToken(seal_token::SealTokenArgs),
    ImportEnv(import_env::ImportEnvArgs),
}

impl BrokerArgs {
    /// The command line ends with `--`, so that a command was to follow.
    pub fn expect_command(&mut self) {
        if let BrokerCommand::Token(args) = &mut self.command {
            args.is_cut_off = true;
        }
    }
}

/// Runs the command.
pub fn run(args: BrokerArgs, output: &mut Output) -> Result<(), CliError> {
    match args.command {
        BrokerCommand::Token(args) => token::run(args, output),
        BrokerCommand::GitCredential(args) => git_credential::run(args, output),
        BrokerCommand::Leases(args) => operators::leases(args, output),
        BrokerCommand::Revoke(args) => operators::revoke(args, output),
        BrokerCommand::Rotate(args) => operators::rotate(args, output),
        BrokerCommand::SealKey(args) => seal_key::run(args, output),
        BrokerCommand::SealToken(args) => seal_token::run(args, output),
        BrokerCommand::ImportEnv(args) => import_env::run(args, output),
    }
}
