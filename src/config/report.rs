//! What was found in a file: errors and warnings, each with its line and key.

use super::reading::Fingerprint;
use super::values::{self, FileError};
use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, as the caller named it.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// The key's path, `issuers[0].url`; empty when it concerns the whole file.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    /// `FILE:LINE: key.path: message`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Something that is accepted but hardly meant.
pub type Warning = Finding;

/// Everything that is wrong with a configuration, in the order of the lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<Finding>,
    warnings: Vec<Warning>,
}

impl ConfigErrors {
    /// The errors.
    pub fn findings(&self) -> &[Finding] {
        &self.errors
    }

    /// What was noticed beside them.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// For a file that was refused without a word, which is a fault of ours.
    pub(super) fn unforeseen(file: &Path) -> Self {
        let message =
            "is refused for a reason that nobody foresaw; please report it with the file".to_owned();
        let finding = Finding { file: file.to_owned(), line: 1, key: String::new(), message };
        Self { errors: vec![finding], warnings: Vec::new() }
    }
}

impl fmt::Display for ConfigErrors {
    /// One error a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Error,
    MissingFile,
    Warning,
}

/// Collects findings while files are read.
#[derive(Debug, Default)]
pub struct Report {
    findings: RefCell<Vec<(Weight, Finding)>>,
    files: RefCell<Fingerprint>,
}

impl Report {
    /// A regular file of at most `most` bytes, whose content becomes part of the configuration.
    pub fn read_file(&self, path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
        let content = values::read_file(path, most);
        self.files.borrow_mut().add(path, content.as_deref());
        content
    }

    /// What the files held that were read so far.
    pub fn fingerprint(&self) -> Fingerprint {
        self.files.borrow().clone()
    }

    /// The configuration is wrong.
    pub fn error(&self, place: Place<'_>, message: impl Into<String>) {
        self.add(Weight::Error, place, message.into());
    }

    /// A file that the configuration names is not there.
    pub fn missing_file(&self, place: Place<'_>, message: impl Into<String>) {
        self.add(Weight::MissingFile, place, message.into());
    }

    /// The configuration is accepted, but its author should look.
    pub fn warning(&self, place: Place<'_>, message: impl Into<String>) {
        self.add(Weight::Warning, place, message.into());
    }

    /// Whether anything is wrong, but for missing files.
    pub fn has_errors(&self) -> bool {
        self.findings.borrow().iter().any(|(weight, _)| *weight == Weight::Error)
    }

    /// `Ok` with the warnings, or all errors. With `ignore_missing_files` a missing file is a warning.
    pub fn conclude(self, ignore_missing_files: bool) -> Result<Vec<Warning>, ConfigErrors> {
        let is_warning = |weight: Weight| {
            weight == Weight::Warning || (ignore_missing_files && weight == Weight::MissingFile)
        };
        let (warnings, errors): (Vec<_>, Vec<_>) =
            self.findings.into_inner().into_iter().partition(|(weight, _)| is_warning(*weight));
        let in_order = |findings: Vec<(Weight, Finding)>| {
            let mut findings: Vec<_> = findings.into_iter().map(|(_, finding)| finding).collect();
            findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            findings
        };
        let (errors, warnings) = (in_order(errors), in_order(warnings));
        if errors.is_empty() { Ok(warnings) } else { Err(ConfigErrors { errors, warnings }) }
    }

    fn add(&self, weight: Weight, place: Place<'_>, message: String) {
        let Place { file, line, key } = place;
        let (key, message) = (printable(key), printable(&message));
        let finding = Finding { file: file.to_owned(), line: line.max(1), key, message };
        self.findings.borrow_mut().push((weight, finding));
    }
}

/// The text with its control characters escaped: keys are the file's own, and a terminal must not act on what a file says.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Where something stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The file.
    pub file: &'p Path,
    /// Counted from 1.
    pub line: usize,
    /// The key's path.
    pub key: &'p str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_file_reach_no_terminal() {
        let report = Report::default();
        report.error(Place { file: Path::new("f"), line: 2, key: "a\u{1b}[2J\0" }, "is \u{9b}31m, größer");
        let errors = report.conclude(false).unwrap_err();
        assert_eq!(errors.to_string(), r"f:2: a\u{1b}[2J\u{0}: is \u{9b}31m, größer");
    }
}
