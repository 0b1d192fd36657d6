//! `countersign policy test|explain|dry-run`: rules tried before they bite.
//!
//! Nothing here decides anything by itself: what is printed is what [`crate::policy`] says, which is what the server asks.

mod cases;
mod certificates;
mod claims;
mod coverage;
mod dry_run;
mod explain;
mod list;
mod paper;
mod replay;
mod rules;
mod test;

use super::{CliError, Output};
use clap::Subcommand;

/// Try the rules for who may have a certificate, before they bite
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Try the rules for who may have a certificate, before they bite.\n\n\
        `test` runs your own cases and says which rules they reach. `explain` shows step by step what the rules make of one \
        token. `dry-run` asks new rules about every certificate that the log has, and lists who would be refused. No server \
        is needed, nothing is issued, and nothing is changed.\n\n\
        The rules are those of a server's configuration (--config), or of a file of their own (--policy). With both the file's rules are \
        tried for the issuers of the configuration. With --policy alone the issuers that the rules name are taken for GitLabs.",
    after_long_help = "Examples:\n  \
        countersign policy test policy/\n  \
        countersign policy explain --token token.jwt --config ca/countersign.yaml\n  \
        countersign policy dry-run --policy new.yaml --config ca/countersign.yaml\n\n\
        Exit codes: 0 all is as expected, nobody is refused; 1 not so; 2 usage; 78 the rules or the cases cannot be read."
)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process has one of them, once")]
#[expect(missing_docs, reason = "each command's text stands at its arguments, and becomes its help")]
pub enum PolicyCommand {
    Test(test::TestArgs),
    Explain(explain::ExplainArgs),
    DryRun(dry_run::DryRunArgs),
}

/// Runs the command.
pub fn run(args: PolicyArgs, output: &mut Output) -> Result<(), CliError> {
    match args.command {
        PolicyCommand::Test(args) => test::run(&args, output),
        PolicyCommand::Explain(args) => explain::run(&args, output),
        PolicyCommand::DryRun(args) => dry_run::run(&args, output),
    }
}
