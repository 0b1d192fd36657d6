//! What the process says about itself: one line an event on stderr, for people or for programs, and [`metrics`].
//!
//! Lines are written by a thread of their own, so that a slow reader of stderr delays nobody; when it is too slow, lines are
//! dropped and counted. A panic is logged by its place, never by its text, which may hold anything.

pub mod metrics;
pub mod panics;
mod stopwatch;
mod writer;

pub use stopwatch::MonotonicClock;
pub use writer::lines_dropped;

use std::fmt;
use std::io::IsTerminal;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};
use writer::LineWriter;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Writes what is left when it is dropped.
#[must_use = "lines that are not yet written are lost without it"]
pub struct Guard {
    _writer: writer::Flush,
}

/// The filter that is used where `filter` says nothing: our own events, and only warnings of libraries.
const DEFAULT_FILTER: &str = "warn,countersign=info";

/// Starts logging to stderr. `filter` has the syntax of `tracing_subscriber`'s `EnvFilter` (`countersign=debug`).
///
/// # Errors
/// When `filter` cannot be parsed, or logging was started before.
pub fn init(format: Format, filter: Option<&str>) -> Result<Guard, String> {
    let (writer, flush) = LineWriter::start(std::io::stderr());
    subscribe(format, filter, shows_colours(&std::io::stderr()), writer)?;
    panics::install();
    Ok(Guard { _writer: flush })
}

/// Whether colours may be written: a terminal, which is not a `dumb` one, and nobody has set `NO_COLOR`.
pub fn shows_colours(stream: &impl IsTerminal) -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    !unwanted && !is_dumb && stream.is_terminal()
}

/// Makes the process's events lines of `writer`.
///
/// # Errors
/// As [`init`].
pub fn subscribe<W>(format: Format, filter: Option<&str>, colours: bool, writer: W) -> Result<(), String>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter.unwrap_or(DEFAULT_FILTER);
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("the log filter {filter:?}: {error}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours).with_timer(Whole);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Human => Box::new(lines.with_target(false).with_filter(filter_fn(is_fit))),
        Format::Json => {
            Box::new(lines.json().flatten_event(true).with_current_span(false).with_filter(filter_fn(is_fit)))
        }
    };
    let subscriber = Registry::default().with(lines).with(filter);
    subscriber.try_init().map_err(|error| format!("logging cannot be started: {error}"))
}

/// The time of a line, RFC 3339 in UTC with microseconds, in one piece: a text that grows with each of its numbers asks the
/// allocator as often.
struct Whole;

impl FormatTime for Whole {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let mut text = String::with_capacity("2026-11-21T09:00:00.000000Z".len());
        SystemTime.format_time(&mut Writer::new(&mut text))?;
        line.write_str(&text)
    }
}

/// Libraries show headers, and with them tokens, when they are asked for details: whatever the filter says, they are not asked.
fn is_fit(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || event.target().starts_with("countersign")
}
