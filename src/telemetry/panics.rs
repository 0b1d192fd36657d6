//! The process's panic hook: a panic is told by its place, never by its text, which may hold anything of a request.

use crate::panics;
use std::panic::{PanicHookInfo, set_hook};

/// Replaces Rust's own hook, which prints the text. From now on a panic is one event, or one line on stderr while nobody
/// listens to events; one that [`panics::contain`] answers is neither.
pub fn install() {
    set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        if panics::is_contained(panic.location()) {
            return;
        }
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        if tracing::dispatcher::has_been_set() {
            tracing::error!(%place, "panicked");
        } else {
            // Not `eprintln!`, which panics where stderr is closed.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("countersign has a fault: it panicked at {place}; please report this line\n"),
            );
        }
    }));
}
