//! `countersign completions SHELL`: a script that completes commands and options.

use super::{CliError, Output};
use clap_complete::{Shell, generate};
use serde_json::json;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    countersign completions bash > /etc/bash_completion.d/countersign\n  \
    countersign completions zsh > ~/.zfunc/_countersign\n  \
    countersign completions fish > ~/.config/fish/completions/countersign.fish")]
pub struct CompletionsArgs {
    /// The shell that will read the script
    shell: Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs, output: &mut Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::command(), "countersign", &mut script);
    if output.is_json() {
        let script = String::from_utf8_lossy(&script);
        return output.json(&json!({ "shell": args.shell.to_string(), "script": script }));
    }
    output.raw(&script)
}
