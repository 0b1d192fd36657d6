//! How the users' commands report: lists of checks, labelled values, coloured words where somebody looks.
//!
//! Text from outside (claims, names in certificates, messages of servers) is printed with its control characters
//! escaped, so that no certificate can drive a terminal.

use crate::spelling::is_hidden;
use crate::telemetry;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Colours, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    coloured: bool,
}

impl Paint {
    /// Colours where standard output can show them.
    pub fn for_stdout() -> Self {
        Self { coloured: telemetry::shows_colours(&std::io::stdout()) }
    }

    /// What went well.
    pub fn good(self, text: &str) -> Cow<'_, str> {
        self.wrap("32", text)
    }

    /// What did not.
    pub fn bad(self, text: &str) -> Cow<'_, str> {
        self.wrap("31;1", text)
    }

    /// What deserves a second look.
    pub fn doubtful(self, text: &str) -> Cow<'_, str> {
        self.wrap("33", text)
    }

    /// Headings.
    pub fn strong(self, text: &str) -> Cow<'_, str> {
        self.wrap("1", text)
    }

    fn wrap<'t>(self, code: &str, text: &'t str) -> Cow<'t, str> {
        if self.coloured { Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")) } else { Cow::Borrowed(text) }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Ok,
    /// It does not hold.
    Failed,
    /// It was not looked at.
    NotChecked,
}

impl Outcome {
    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }
}

/// One check: what was looked at, how it ended, and in which words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A short name, `signature` for instance.
    pub name: Cow<'static, str>,
    /// How it ended.
    pub outcome: Outcome,
    /// What exactly was found, or why it was not looked at.
    pub detail: String,
}

/// Checks in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks(Vec<Check>);

impl Checks {
    /// Notes that a check holds.
    pub fn ok(&mut self, name: impl Into<Cow<'static, str>>, detail: impl Into<String>) {
        self.push(name, Outcome::Ok, detail);
    }

    /// Notes that a check does not hold.
    pub fn failed(&mut self, name: impl Into<Cow<'static, str>>, detail: impl Into<String>) {
        self.push(name, Outcome::Failed, detail);
    }

    /// Notes that something was not looked at, and why.
    pub fn not_checked(&mut self, name: impl Into<Cow<'static, str>>, detail: impl Into<String>) {
        self.push(name, Outcome::NotChecked, detail);
    }

    /// Notes a result: what was found, or what was wrong. Hands back what was found.
    pub fn record<T>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        result: Result<(T, String), String>,
    ) -> Option<T> {
        match result {
            Ok((value, detail)) => {
                self.ok(name, detail);
                Some(value)
            }
            Err(detail) => {
                self.failed(name, detail);
                None
            }
        }
    }

    fn push(&mut self, name: impl Into<Cow<'static, str>>, outcome: Outcome, detail: impl Into<String>) {
        self.0.push(Check { name: name.into(), outcome, detail: detail.into() });
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Check> {
        self.0.iter()
    }

    /// Whether none failed.
    pub fn passed(&self) -> bool {
        self.0.iter().all(|check| check.outcome != Outcome::Failed)
    }

    /// The names of those that failed.
    pub fn failures(&self) -> Vec<&str> {
        self.0.iter().filter(|check| check.outcome == Outcome::Failed).map(|check| &*check.name).collect()
    }

    /// A line for each, in columns.
    pub fn to_text(&self, paint: Paint) -> String {
        let width = self.0.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        self.0.iter().fold(String::new(), |mut text, check| {
            let word = match check.outcome {
                Outcome::Ok => paint.good("ok         "),
                Outcome::Failed => paint.bad("FAILED     "),
                Outcome::NotChecked => paint.doubtful("not checked"),
            };
            let detail = if check.outcome == Outcome::NotChecked {
                format!("({})", printable(&check.detail))
            } else {
                printable(&check.detail).into_owned()
            };
            let _ = writeln!(text, "  {word} {:width$}  {detail}", printable(&check.name));
            text
        })
    }

    /// `[{"check", "outcome", "detail"}]`.
    pub fn to_json(&self) -> Value {
        self.0
            .iter()
            .map(
                |check| json!({"check": check.name, "outcome": check.outcome.word(), "detail": check.detail}),
            )
            .collect()
    }
}

/// Labels and values in two columns.
pub fn table(rows: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let width = rows.iter().map(|(label, _)| label.as_ref().chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, (label, value)| {
        let _ = writeln!(text, "  {:width$}  {}", printable(label.as_ref()), printable(value.as_ref()));
        text
    })
}

/// The text with everything escaped that a terminal would obey, that would reorder the line, or that nobody would see.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 8), |mut shown, c| {
        if is_hidden(c) {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    }))
}

/// A span of time as people say it: `59 min 30 s`, `2 h 5 min`, `3 d`. The two largest units; always rounded down.
pub fn duration(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let words: Vec<_> = units
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if words.is_empty() { "0 s".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_failed_check_fails_the_list_and_is_named() {
        let mut checks = Checks::default();
        checks.ok("chain", "fine");
        checks.not_checked("inclusion", "no proof given");
        assert!(checks.passed());
        assert_eq!(checks.record::<()>("identity", Err("another".into())), None);
        assert!(!checks.passed());
        assert_eq!(checks.failures(), ["identity"]);
        let text = checks.to_text(Paint::default());
        assert!(text.contains("FAILED      identity"), "{text}");
        assert!(text.contains("not checked inclusion"), "{text}");
    }

    #[test]
    fn text_from_outside_cannot_drive_a_terminal() {
        assert_eq!(printable("a\x1b[31mb\u{202e}c\n"), "a\\u{1b}[31mb\\u{202e}c\\u{a}");
        assert_eq!(printable("ma\u{200b}in\u{61c} \u{e0041}"), "ma\\u{200b}in\\u{61c} \\u{e0041}");
        assert_eq!(printable("größe @ 東京"), "größe @ 東京");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (600, "10 min"),
            (3599, "59 min 59 s"),
            (3600, "1 h"),
            (90_061, "1 d 1 h"),
        ];
        for (seconds, words) in cases {
            assert_eq!(duration(Duration::from_secs(seconds)), words);
        }
    }
}
