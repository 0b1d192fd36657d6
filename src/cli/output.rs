//! What a command prints: lines for people, or one JSON document for programs (`--json`), and how it ends.
//!
//! Standard output carries the answer, standard error everything said on the way to it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};

/// Exit code: the request was refused, the verification failed, or the work could not be done.
pub const REFUSED: u8 = 1;
/// Exit code: the command line makes no sense (clap's own is the same).
pub const USAGE: u8 = 2;
/// Exit code: the configuration, or material that it names, was refused (`EX_CONFIG` of sysexits.h).
pub const CONFIGURATION: u8 = 78;

/// How a command failed: its exit code, and words for people.
#[derive(Debug)]
pub struct CliError {
    code: u8,
    message: String,
    json: Option<Value>,
}

impl CliError {
    /// Refused, failed, not verified: exit code 1.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { code: REFUSED, message: message.into(), json: None }
    }

    /// The arguments contradict each other or cannot be used: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into(), json: None }
    }

    /// The configuration or what it names is refused: exit code 78.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self { code: CONFIGURATION, message: message.into(), json: None }
    }

    /// A command that was run for the caller ended so, and has said itself what there is to say.
    pub const fn ended(code: u8) -> Self {
        Self { code, message: String::new(), json: None }
    }

    /// A command that was to be run for the caller was not: 126 or 127, as shells have it.
    pub fn not_started(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), json: None }
    }

    /// The same error with the document that `--json` prints in place of `{"error": message}`.
    pub fn with_json(mut self, document: Value) -> Self {
        self.json = Some(document);
        self
    }

    /// The same error with one more line for people.
    pub fn with_advice(mut self, advice: &str) -> Self {
        self.message.push('\n');
        self.message.push_str(advice);
        self
    }

    /// The exit code.
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// What happened, in words; may have several lines.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<io::Error> for CliError {
    /// Output that cannot be written. A reader that went away (`| head`) is caught in [`Output`].
    fn from(error: io::Error) -> Self {
        Self::refused(format!("cannot write the output: {error}"))
    }
}

/// Where a command's words go.
pub struct Output {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    json: bool,
    terminal: bool,
}

impl Output {
    /// The process's own streams.
    pub fn system(json: bool) -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            json,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Streams of the caller's, for tests and for commands that run others.
    pub fn to(out: impl Write + 'static, err: impl Write + 'static, json: bool) -> Self {
        Self { out: Box::new(out), err: Box::new(err), json, terminal: false }
    }

    /// Whether the answer is for a program: one JSON document on standard output, nothing else there.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// A line of the answer for people; nothing under `--json`.
    pub fn say(&mut self, line: impl Display) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        reader_may_leave(writeln!(self.out, "{line}").and_then(|()| self.out.flush()))
    }

    /// The answer for programs; nothing without `--json`.
    pub fn json(&mut self, document: &Value) -> Result<(), CliError> {
        if !self.json {
            return Ok(());
        }
        self.document(document)
    }

    /// A JSON document that is the answer in either form, indented, with a newline at its end.
    pub fn document(&mut self, document: &Value) -> Result<(), CliError> {
        reader_may_leave(writeln!(self.out, "{document:#}").and_then(|()| self.out.flush()))
    }

    /// An answer, in either form, that is of use only to whoever gets it.
    ///
    /// # Errors
    /// It was not written, be it that the reader is gone.
    pub fn hand_over(&mut self, answer: &str) -> Result<(), CliError> {
        Ok(writeln!(self.out, "{answer}").and_then(|()| self.out.flush())?)
    }

    /// Bytes that are the answer for people and programs alike: a completion script.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        reader_may_leave(self.out.write_all(bytes).and_then(|()| self.out.flush()))
    }

    /// A line beside the answer (a warning, what is being done), on standard error.
    pub fn note(&mut self, line: impl Display) {
        // There is nobody to tell when standard error cannot be written.
        let _ = writeln!(self.err, "{line}");
    }

    /// How a failure is told: on standard error for people, as a document on standard output for programs.
    pub fn failure(&mut self, error: &CliError) {
        if error.message.is_empty() && error.json.is_none() {
            return;
        }
        let document = || error.json.clone().unwrap_or_else(|| json!({ "error": error.message }));
        let is_told = self.json && self.hand_over(&format!("{:#}", document())).is_ok();
        // Where standard output is what failed, it is told all the same.
        if !is_told {
            self.note(format_args!("error: {}", error.message));
        }
    }

    /// A progress bar over `length` steps of `what`; it draws on a terminal, for people, and nowhere else.
    pub fn progress(&self, length: u64, what: &'static str) -> ProgressBar {
        let target = if self.terminal && !self.json {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(length), target).with_message(what);
        match ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// A reader that has enough (`countersign … | head -1`) is no failure.
fn reader_may_leave(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no test panics here").clone()).expect("text")
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics here").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn people_get_lines_and_programs_get_one_document() {
        for (json, expected) in [(false, "done\n"), (true, "{\n  \"done\": true\n}\n")] {
            let (out, err) = (Buffer::default(), Buffer::default());
            let mut output = Output::to(out.clone(), err.clone(), json);
            output.say("done").expect("written");
            output.json(&json!({"done": true})).expect("written");
            output.note("on the way");
            assert_eq!(out.text(), expected);
            assert_eq!(err.text(), "on the way\n");
        }
    }

    #[test]
    fn a_failure_is_a_document_for_programs_and_a_line_on_standard_error_for_people() {
        let error = CliError::refused("no such log");
        let (out, err) = (Buffer::default(), Buffer::default());
        Output::to(out.clone(), err.clone(), true).failure(&error);
        assert_eq!((out.text().as_str(), err.text().as_str()), ("{\n  \"error\": \"no such log\"\n}\n", ""));
        Output::to(out, err.clone(), false).failure(&error);
        assert_eq!(err.text(), "error: no such log\n");
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure() {
        assert!(Output::to(Gone, Gone, false).say("line").is_ok());
    }

    #[test]
    fn what_is_handed_over_has_a_reader_or_failed() {
        let out = Buffer::default();
        Output::to(out.clone(), Gone, true).hand_over("token").expect("written");
        assert_eq!(out.text(), "token\n");
        assert!(Output::to(Gone, Gone, false).hand_over("token").is_err());
    }
}
