//! The `countersign` command: everything is in the library, see `countersign::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    countersign::cli::main()
}
