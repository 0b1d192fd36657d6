//! How the demonstration speaks: numbered steps, prose in lines of readable length, values in columns.

use crate::cli::report::{Checks, Paint, table};
use crate::cli::{CliError, Output};

/// Columns of prose.
const WIDTH: usize = 96;

/// Tells a story to somebody who has never heard of it.
pub struct Narrator<'o> {
    output: &'o mut Output,
    paint: Paint,
    steps: usize,
}

impl<'o> Narrator<'o> {
    /// Speaks to `output`; only to people, so nothing is said under `--json`.
    pub fn new(output: &'o mut Output) -> Self {
        Self { output, paint: Paint::for_stdout(), steps: 0 }
    }

    /// For what is said to programs.
    pub fn output(&mut self) -> &mut Output {
        self.output
    }

    /// A line that stands out.
    pub fn title(&mut self, text: &str) -> Result<(), CliError> {
        self.output.say(self.paint.strong(text))
    }

    /// The next step's heading.
    pub fn step(&mut self, title: &str) -> Result<(), CliError> {
        self.steps += 1;
        self.output.say("")?;
        self.output.say(self.paint.strong(&format!("{}. {title}", self.steps)))
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) -> Result<(), CliError> {
        for line in wrapped(text, WIDTH) {
            self.output.say(format_args!("   {line}"))?;
        }
        Ok(())
    }

    /// One line as it stands, indented: a command to copy.
    pub fn line(&mut self, line: &str) -> Result<(), CliError> {
        self.output.say(format_args!("   {line}").to_string().trim_end())
    }

    /// One line as it stands, from the first column: for whoever looks for it with a program.
    pub fn flush_left(&mut self, line: &str) -> Result<(), CliError> {
        self.output.say(line)
    }

    /// Labels and values.
    pub fn table(&mut self, rows: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<(), CliError> {
        for line in table(rows).lines() {
            self.output.say(format_args!("   {line}"))?;
        }
        Ok(())
    }

    /// A list of checks.
    pub fn checks(&mut self, checks: &Checks) -> Result<(), CliError> {
        for line in checks.to_text(self.paint).lines() {
            self.output.say(format_args!("   {line}"))?;
        }
        Ok(())
    }
}

/// The words of `text` in lines of at most `width` characters, as far as words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn prose_is_wrapped_between_words() {
        assert_eq!(super::wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(super::wrapped("unbreakable", 3), ["unbreakable"]);
        assert!(super::wrapped("  ", 10).is_empty());
    }
}
