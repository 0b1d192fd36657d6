//! Go's text/template language, as far as identity configurations use it.
//!
//! The meaning is that of Go's documentation of `text/template` with `Option("missingkey=error")` over a map of texts, which
//! is what Fulcio executes; `tests/interop/gotemplate` compares the two. All of the language is here but complex numbers,
//! hexadecimal floating-point numbers, `define ""`, and of `printf` the flag `#` on anything but integers, `*` and `[n]`: those are refused.
//!
//! A template is parsed when the configuration is read. Executing it is pure and bounded: in steps, in nesting, in the
//! size of every text. What this does not do: methods, functions of one's own, other delimiters.

mod ast;
mod data;
mod escape;
mod evaluate;
mod format;
mod functions;
mod lexer;
mod literal;
mod number;
mod parser;
mod value;

pub use data::{Data, Datum};
pub use evaluate::Fault;

use ast::List;
use std::collections::BTreeMap;
use std::fmt;

/// The longest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 16 * 1024;

/// The longest text that a template may make, in bytes, its intermediate texts included.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// How deeply control structures, parentheses and calls of templates may be nested, all together.
pub const MAX_DEPTH: usize = 100;

/// What one execution may cost: one unit for each node and each octet of each text that is touched.
const FUEL: usize = 4 * 1024 * 1024;

/// A parsed template, with the templates it defines.
#[derive(Clone, Debug)]
pub struct Template {
    main: List,
    defined: BTreeMap<Vec<u8>, List>,
}

/// Why a text is no template, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line within the template, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// What Go's parser refuses, and what the module's documentation leaves out.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_TEMPLATE_BYTES {
            let message = format!("it is longer than {} KiB", MAX_TEMPLATE_BYTES / 1024);
            return Err(SyntaxError { line: 1, message });
        }
        let (main, defined) = parser::parse(text)?;
        Ok(Self { main, defined })
    }

    /// Executes the template: its text for these data.
    ///
    /// # Errors
    /// What Go's execution refuses, a datum that must not be used, a text that is not UTF-8, and work beyond the bounds.
    pub fn execute(&self, data: &Data<'_>) -> Result<String, Fault> {
        let text = self.execute_to_bytes(data)?;
        String::from_utf8(text).map_err(|_| Fault::failed("its text is not valid UTF-8"))
    }

    fn execute_to_bytes(&self, data: &Data<'_>) -> Result<Vec<u8>, Fault> {
        evaluate::execute(&self.main, &self.defined, data)
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

#[cfg(test)]
mod tests;
