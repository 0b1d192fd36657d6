//! `countersign demo`: the whole way on this machine, told step by step.
//!
//! Everything is the real thing, the code of `init`, `serve`, `request`, `sign` and `verify`; only the GitLab is make-believe.
//! It lives in a temporary directory and on loopback, and all its keys are thrown away.

pub mod gitlab;
mod narrator;
mod next_steps;
mod story;
mod years;

use crate::cli::{self, CliError, Output};
use crate::server::environment::Environment;
use crate::server::signals::Signals;
use narrator::Narrator;
use std::path::Path;
use std::time::Duration;
use story::Stage;

/// How often the token in `demo --serve`'s directory is replaced; a token lives for an hour.
const TOKEN_RENEWAL: Duration = Duration::from_secs(10 * 60);

/// Show the whole way on this machine, with a make-believe GitLab
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show the whole way on this machine, with a make-believe GitLab.\n\n\
        A CA is made and served on loopback, a CI job asks it for a certificate with the ID token of a make-believe \
        GitLab, signs a file, and everything is verified: chain, SCT, inclusion in the log, signature, identity. Then it signs \
        for years, with a timestamp and an entry of the signature log, and both bundles are verified again a year later. Takes \
        a few seconds; nothing is left behind. All keys are throw-away keys.",
    after_long_help = "With --serve it stays up until Ctrl-C, and prints commands to try: our own, cosign's, openssl's."
)]
pub struct DemoArgs {
    /// Keep everything running until Ctrl-C, and print what to try
    #[arg(long)]
    pub serve: bool,
}

/// Runs the command.
pub fn run(args: DemoArgs, output: &mut Output) -> Result<(), CliError> {
    let directory = tempfile::Builder::new()
        .prefix("countersign-demo-")
        .tempdir()
        .map_err(|error| CliError::refused(format!("cannot make a temporary directory: {error}")))?;
    cli::runtime()?.block_on(tell(&args, directory.path(), output))
}

async fn tell(args: &DemoArgs, directory: &Path, output: &mut Output) -> Result<(), CliError> {
    let environment = Environment::system();
    let mut narrator = Narrator::new(output);
    narrator.title("A demonstration with throw-away keys: nothing here proves anything to anybody else.")?;
    narrator.text(
        "A CI pipeline signs a file without keeping a key: it shows who it is with a token that GitLab signed, gets a \
         certificate for ten minutes, and the issuance stands in a public log.",
    )?;
    let stage = Stage::set(directory, &environment, args.serve, &mut narrator).await?;
    let told = story::tell(&stage, &environment, &mut narrator).await;
    match (told, args.serve) {
        (Ok(document), true) => {
            narrator.output().json(&document)?;
            keep_serving(stage, &mut narrator).await
        }
        (told, _) => {
            stage.strike().await;
            let document = told?;
            narrator
                .text("Everything is gone again; `countersign demo --serve` keeps it up for you to try.")?;
            narrator.output().json(&document)
        }
    }
}

/// Serves until a signal comes; the token in the directory stays fresh.
async fn keep_serving(stage: Stage, narrator: &mut Narrator<'_>) -> Result<(), CliError> {
    next_steps::print(&stage, narrator)?;
    let Stage { server, gitlab, directory, .. } = stage;
    let token = directory.join("token");
    let signals = Signals::catch()
        .map_err(|error| CliError::refused(format!("signals cannot be received: {error}")))?;
    let renewals = async {
        let mut timer = tokio::time::interval(TOKEN_RENEWAL);
        loop {
            timer.tick().await;
            // What cannot be written now may be later; the GitLab hands out tokens as well.
            let _ = story::write_token(&token, &gitlab);
        }
    };
    tokio::select! {
        ended = server.until_signal(signals) => ended.map_err(CliError::refused),
        () = renewals => Ok(()),
    }
}
