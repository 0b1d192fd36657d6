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
mod lint;
mod partial;
mod patterns;
mod pins;
mod scope;
mod show;
mod syntax;

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
}

/// A member that a condition names.
#[derive(Clone, Debug)]
struct Named {
    /// From the variable to the member.
    path: Vec<String>,
    /// `None`: a group, which is only asked for.
    of: Option<Type>,
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
        Ok(Self { source: source.to_owned(), written, program, patterns, names })
    }

    /// The text that it was made of.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it names: `["claims", "project_path"]` for instance. Nothing else is asked of [`Facts`].
    pub fn names(&self) -> impl Iterator<Item = &[String]> {
        self.names.iter().map(|named| named.path.as_slice())
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// [`Undecided`]: a fact has another type than its scope says, or a sum is too large.
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
