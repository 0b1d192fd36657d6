//! `countersign broker seal-key`: the key under which main credentials are kept in the store.

use crate::cli::files::{self, Existing};
use crate::cli::{CliError, Output};
use crate::server::environment::Environment;
use serde_json::json;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Make the key that seals main credentials in the store
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Make the key that seals main credentials in the store.\n\n\
        Writes 32 random octets in hex, for their owner alone. `broker.seal_key` of the configuration names the file; it is needed where a target \
        rotates its main credential, or has it in the store (`countersign broker seal-token`). A backup of the data directory is of no use to a thief without it, and lost with it: keep a copy elsewhere. \
        A file that is there is never replaced.",
    after_long_help = "Example:\n  \
        countersign broker seal-key broker.key\n\n\
        Exit codes: 0 made, 1 not (it is there already, or cannot be written)."
)]
pub struct SealKeyArgs {
    /// Where it goes
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs the command.
pub fn run(args: SealKeyArgs, output: &mut Output) -> Result<(), CliError> {
    let mut key = Zeroizing::new([0; 32]);
    Environment::system().random.fill(&mut *key);
    let text = Zeroizing::new(format!("{}\n", &*Zeroizing::new(hex::encode(*key))));
    files::write(&args.file, text.as_bytes(), true, Existing::Keep)?;
    output.say(format_args!("{} is made; back it up apart from the data directory", args.file.display()))?;
    output.json(&json!({ "file": args.file.display().to_string() }))
}
