//! Conditions that people write, in CEL (the Common Expression Language, github.com/google/cel-spec).
//!
//! Whoever writes one must not be able to write one that never holds and nobody notices. So a [`Condition`] is checked when it is
//! loaded, against the [`Scope`] of what it may name: a name that does not exist, a type that does not fit and a member that may be absent
//! and was not asked for with `has(…)` are errors with their line. What the check does not know is refused, so the language is smaller than
//! CEL, and bounded: no loop but over a list, no text that grows.
//!
//! `cel` parses and evaluates; the check is ours (`check`), and so are the bounds (`syntax`). The condition is parsed twice: as it is written,
//! which is what is checked and explained, and with `exists` and its siblings expanded, which is what is evaluated.

mod check;
mod evaluation;
mod functions;
mod held;
mod lint;
mod partial;
mod paths;
mod patterns;
mod pins;
mod protection;
mod scope;
mod show;
mod syntax;
mod truth;
mod work;

pub use evaluation::{Facts, Step, Undecided, Value};
pub use lint::{Advice, Lint, PathKind};
pub use pins::{Pin, Unpinned};
pub use scope::{Member, Record, Scope, Type};

use cel::IdedExpr;
use regex::Regex;
use std::fmt;
use std::sync::Arc;

/// A condition that was checked.
#[derive(Clone)]
pub struct Condition {
    source: String,
    /// As it is written.
    written: IdedExpr,
    /// With macros expanded.
    program: IdedExpr,
    /// The regular expressions that it looks for, which the program calls by their numbers.
    patterns: Arc<[Regex]>,
    /// What it names.
    names: Vec<Named>,
    /// Whether its work hangs on how large the values are.
    varies: bool,
    constant: Option<bool>,
}

/// A member that a condition names.
#[derive(Clone, Debug)]
struct Named {
    /// From the variable to the member.
    path: Vec<String>,
    /// `None`: a group, which is only asked for.
    of: Option<Type>,
    /// Line and column of the first place that names it.
    at: (usize, usize),
}

/// What is wrong with a condition, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong, and what to write.
    pub message: String,
}

impl Condition {
    /// Parses and checks.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(source: &str, scope: &Scope) -> Result<Self, Fault> {
        let parsed = syntax::parse(source)?;
        let names = check::check(&parsed, scope)?;
        let syntax::Parsed { written, mut program, .. } = parsed;
        let patterns = patterns::take(&mut program).into();
        let (varies, constant) = (work::varies(&written), truth::constant(&written, scope));
        Ok(Self { source: source.to_owned(), written, program, patterns, names, varies, constant })
    }

    /// Whether it holds for everybody (`true`), or for nobody, as far as that can be told without asking. What cannot be decided is
    /// refused all the same.
    pub const fn constant(&self) -> Option<bool> {
        self.constant
    }

    /// A fault where it names a member for the first time.
    pub fn fault_at(&self, path: &[String], message: String) -> Fault {
        let (line, column) =
            self.names.iter().find(|named| named.path == path).map_or((1, 1), |named| named.at);
        Fault { line, column, message }
    }

    /// The text that it was made of.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The texts with which it compares a member by `==` or `in`: `["claims", "aud"]`.
    pub fn compared(&self, path: &[&str]) -> Vec<&str> {
        let held = held::all(&self.written).into_iter();
        held.filter(|held| matches!(held.function, "_==_" | "@in"))
            .filter(|held| paths::path(held.subject).is_some_and(|subject| subject == path))
            .map(|held| held.text)
            .collect()
    }

    /// What it names: `["claims", "project_path"]` for instance. Nothing else is asked of [`Facts`].
    pub fn names(&self) -> impl Iterator<Item = &[String]> {
        self.names.iter().map(|named| named.path.as_slice())
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// [`Undecided`]: a fact has another type than its scope says, a sum is too large, or it would take too long.
    pub fn holds(&self, facts: &dyn Facts) -> Result<bool, Undecided> {
        evaluation::holds(self, facts)
    }

    /// Whether it holds whatever the members are that `is_unknown` of, each as `claims.ref`; `None`: that depends on them, or cannot be
    /// decided.
    pub fn holds_without(&self, facts: &dyn Facts, is_unknown: &dyn Fn(&str) -> bool) -> Option<bool> {
        partial::of_steps(&self.steps(facts), is_unknown)
    }

    /// Why it holds or not: each of its parts between `&&`, `||`, `!` and `?:`.
    pub fn steps(&self, facts: &dyn Facts) -> Vec<Step> {
        evaluation::steps(self, facts)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests;
