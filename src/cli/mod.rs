//! The command line: one module a subcommand, each with its arguments and a `run`.
//!
//! Exit codes: 0 done, 1 refused or failed verification, 2 usage, 78 refused configuration.

pub mod admission;
pub mod audit_source;
pub mod backup;
pub mod backup_source;
pub mod broker;
pub mod bundle;
pub mod client;
pub mod completions;
pub mod config;
pub mod encoding;
pub mod examination;
pub mod files;
pub mod init;
pub mod inspect;
pub mod job_token;
pub mod leaf;
pub mod log;
pub mod log_audit;
pub mod log_reader;
pub mod material;
pub mod memory;
pub mod metrics_file;
pub mod output;
pub mod own_log;
pub mod policy;
pub mod proof;
pub mod report;
pub mod request;
pub mod restore;
pub mod restore_plan;
pub mod serve;
pub mod sign;
pub mod signing;
pub mod signing_key;
pub mod signing_services;
pub mod time;
pub mod token;
pub mod trust;
pub mod verification;
pub mod verify;

pub use output::{CliError, Output};

use crate::log::Lulls;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "countersign",
    version,
    about = "A certificate authority for GitLab pipelines, with its transparency log in the same binary",
    long_about = "A certificate authority for GitLab pipelines, with its transparency log in the same binary.\n\n\
        A CI job hands over the ID token that GitLab signed for it and a public key; the answer is a ten-minute \
        code-signing certificate that carries the pipeline's identity, recorded in a transparency log. Clients of \
        Sigstore's Fulcio (cosign, sigstore-python, …) work with it unchanged.",
    after_long_help = "Start here:\n  \
        countersign demo                                   see all of it on this machine, in a few seconds\n  \
        countersign init ca --gitlab https://gitlab.com    make a CA in the directory ca\n  \
        countersign serve --config ca/countersign.yaml     run it\n\n\
        Exit codes: 0 done, 1 refused or failed verification, 2 usage, 78 refused configuration.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct CommandLine {
    /// Print one JSON document for programs on standard output instead of lines for people
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process has one of them, once")]
#[expect(missing_docs, reason = "each command's text stands at its arguments, and becomes its help")]
pub enum Command {
    Demo(crate::demo::DemoArgs),
    Init(init::InitArgs),
    Serve(serve::ServeArgs),
    Request(request::RequestArgs),
    Inspect(inspect::InspectArgs),
    Sign(sign::SignArgs),
    Verify(verify::VerifyArgs),
    Token(token::TokenArgs),
    Log(log::LogArgs),
    Policy(policy::PolicyArgs),
    Broker(broker::BrokerArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Trust(trust::TrustArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Does what was asked.
    pub fn run(self, output: &mut Output) -> Result<(), CliError> {
        match self {
            Self::Demo(args) => crate::demo::run(args, output),
            Self::Init(args) => init::run(args, output),
            Self::Serve(args) => serve::run(args, output),
            Self::Request(args) => request::run(args, output),
            Self::Inspect(args) => inspect::run(args, output),
            Self::Sign(args) => sign::run(args, output),
            Self::Verify(args) => verify::run(args, output),
            Self::Token(args) => token::run(args, output),
            Self::Log(args) => log::run(args, output),
            Self::Policy(args) => policy::run(args, output),
            Self::Broker(args) => broker::run(args, output),
            Self::Backup(args) => backup::run(args, output),
            Self::Restore(args) => restore::run(args, output),
            Self::Trust(args) => trust::run(args, output),
            Self::Config(args) => config::run(args, output),
            Self::Completions(args) => completions::run(args, output),
        }
    }
}

/// Runs the process's command line.
pub fn main() -> ExitCode {
    crate::telemetry::panics::install();
    if let Err(problem) = memory::keep_private() {
        Output::system(false).note(format_args!("warning: {problem}"));
    }
    run(std::env::args_os())
}

/// Runs a command line, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::read(arguments) {
        Ok(line) => line,
        Err(error) => {
            // `--help` and `--version` come this way too, with code 0. A reader that left is not told.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(output::USAGE));
        }
    };
    let mut output = Output::system(line.json);
    match line.command.run(&mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::from(error.code())
        }
    }
}

impl CommandLine {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let mut line = Self::try_parse_from(&arguments)?;
        // A `--` with nothing behind it is to clap as if it were not there.
        if let (Command::Broker(args), Some(last)) = (&mut line.command, arguments.last())
            && last == "--"
        {
            args.expect_command();
        }
        Ok(line)
    }
}

/// The command line as data: for completions and for the test that freezes every help text.
pub fn command() -> clap::Command {
    CommandLine::command()
}

/// The runtime for commands that talk to the network.
pub fn runtime() -> Result<Runtime, CliError> {
    build(Builder::new_multi_thread().enable_all())
}

/// The server's runtime, and where its workers tell that they have nothing to do.
pub fn server_runtime() -> Result<(Runtime, Arc<Lulls>), CliError> {
    let lulls = Arc::<Lulls>::default();
    let (begins, ends) = (lulls.clone(), lulls.clone());
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .on_thread_park(move || begins.begins())
        .on_thread_unpark(move || ends.ends())
        // What the log's thread wakes comes through this queue: certificates that only need their last signature. Looked at every
        // second time, they do not wait behind the requests of a flood, which come through the workers' own queues. (Every
        // time would starve those: they wait until the flood is over.)
        .global_queue_interval(2)
        // What was begun is finished before more is begun: the workers' own queues get few requests at a time, and are asked for
        // more when they are empty. In a flood requests then wait unread, in order, in the system's memory, and hardly any has
        // to be refused; read at once, they would be in each other's way, and overflow into the queue of those that are nearly done.
        .max_io_events_per_tick(64)
        .event_interval(256);
    let runtime = build(&mut builder)?;
    lulls.of_workers(runtime.metrics().num_workers());
    Ok((runtime, lulls))
}

fn build(builder: &mut Builder) -> Result<Runtime, CliError> {
    builder.build().map_err(|error| CliError::refused(format!("cannot start the runtime: {error}")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_servers_workers_tell_when_they_have_nothing_to_do() {
        let (runtime, lulls) = super::server_runtime().unwrap();
        for _ in 0..2 {
            while !lulls.is_now() {
                std::thread::yield_now();
            }
            runtime.block_on(async { tokio::spawn(async {}).await }).unwrap();
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
