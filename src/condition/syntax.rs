//! From text to syntax trees, within bounds.

use super::Fault;
use crate::panics::contain;
use crate::spelling::is_hidden;
use cel::common::ast::{EntryExpr, Expr, SourceInfo};
use cel::{Env, IdedExpr, ParseErrors};
use std::sync::{Arc, LazyLock};

/// The longest condition, in octets.
const LONGEST: usize = 4096;
/// How deep parentheses, lists and calls may nest.
const DEEPEST_NESTING: u16 = 32;
/// How deep a tree may be: of a chain (`a + b + c`) every link is a level.
pub(super) const DEEPEST: usize = 64;
/// How many nodes a tree may have.
const MOST_NODES: usize = 1024;

/// Parses what is written, and leaves `has` and `exists` the calls that they look like.
static WRITTEN: LazyLock<Env> = LazyLock::new(Env::default);
/// Parses what is evaluated, and evaluates it.
pub(super) static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition's trees.
pub(super) struct Parsed {
    pub written: IdedExpr,
    pub program: IdedExpr,
    places: SourceInfo,
}

impl Parsed {
    /// A fault at a node of [`Self::written`].
    pub fn fault(&self, at: &IdedExpr, message: impl Into<String>) -> Fault {
        let offset = self.places.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        // Offsets are in octets; people count characters.
        let before = self.places.source.char_indices().take_while(|(at, _)| *at < offset);
        let (mut line, mut column) = (1, 1);
        for (_, character) in before {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Fault { line, column, message: message.into() }
    }
}

/// Parses one expression.
pub(super) fn parse(source: &str) -> Result<Parsed, Fault> {
    let whole = |message: &str| Fault { line: 1, column: 1, message: message.to_owned() };
    if source.len() > LONGEST {
        return Err(whole(&format!("is longer than {LONGEST} octets; make several rules of it")));
    }
    if source.trim().is_empty() {
        return Err(whole("is empty; write an expression, or leave it out"));
    }
    if let Some(fault) = hidden(source) {
        return Err(fault);
    }
    if let Some(offset) = comment(source) {
        let line = 1 + source.chars().take(offset).filter(|character| *character == '\n').count();
        let message = "has a comment (//), and where YAML makes one line of several it would end the condition; write # above the key";
        return Err(Fault { line, column: 1, message: message.to_owned() });
    }
    let trees = contain(|| {
        let (written, places) = limited(&WRITTEN).parse_with_source_info(source)?;
        Ok((written, places, limited(&STANDARD).parse(source)?))
    });
    let (written, places, program) = trees
        .map_err(|_| whole("cannot be read: CEL's parser gave up; write it in a simpler way"))?
        .map_err(|errors| first(&errors))?;
    if nodes(&written, 0).is_none_or(|nodes| nodes > MOST_NODES) || nodes(&program, 0).is_none() {
        return Err(whole("is too large or nests too deep; make several rules of it"));
    }
    Ok(Parsed { written, program, places })
}

/// A character that nobody sees: a text with one never equals the text that it looks like. Whoever means it writes its escape, which is seen.
fn hidden(source: &str) -> Option<Fault> {
    let (mut line, mut column) = (1, 1);
    for character in source.chars() {
        match character {
            '\n' => (line, column) = (line + 1, 1),
            '\r' | '\t' | '\u{c}' => column += 1,
            other if is_hidden(other) => {
                let code = u32::from(other);
                let escape = if code > 0xffff { format!("\\U{code:08x}") } else { format!("\\u{code:04x}") };
                let words = "has a character in it that nobody sees, or that turns others around";
                let message =
                    format!("{words}; delete it, or write {escape} in its place where a text is to have it");
                return Some(Fault { line, column, message });
            }
            _ => column += 1,
        }
    }
    None
}

/// Where a comment of CEL begins outside of texts, in characters.
fn comment(source: &str) -> Option<usize> {
    let text: Vec<char> = source.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or_default();
    let mut index = 0;
    while index < text.len() {
        let quote = at(index);
        if matches!(quote, '"' | '\'') {
            let raw = index > 0 && matches!(at(index - 1), 'r' | 'R');
            let length = if at(index + 1) == quote && at(index + 2) == quote { 3 } else { 1 };
            index += length;
            while index < text.len() && !(0..length).all(|more| at(index + more) == quote) {
                index += if at(index) == '\\' && !raw { 2 } else { 1 };
            }
            index += length;
        } else if quote == '/' && at(index + 1) == '/' {
            return Some(index);
        } else {
            index += 1;
        }
    }
    None
}

fn limited(env: &Env) -> cel::parser::Parser {
    env.parser().max_recursion_depth(DEEPEST_NESTING).error_recovery_limit(1)
}

/// The parser's first error. Its words are of its grammar; they say at least where it stopped.
fn first(errors: &ParseErrors) -> Fault {
    let first = errors.errors.first();
    let (line, column) = first.map_or((1, 1), |error| error.pos);
    let message = first.map_or("", |error| error.msg.as_str());
    let message = message.trim_start_matches("Syntax error: ");
    let message = if message.starts_with("OtherError") { "a part of it is not complete" } else { message };
    // What it expected is a list of everything.
    let message = message.split_once(" expecting {").map_or(message, |(found, _)| found);
    let position = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    Fault { line: position(line), column: position(column), message: format!("is not CEL: {message}") }
}

/// How many nodes a tree has; `None`: it is too deep.
fn nodes(tree: &IdedExpr, depth: usize) -> Option<usize> {
    // Expanding a macro makes some levels of one.
    if depth > 4 * DEEPEST {
        return None;
    }
    let mut count = 1usize;
    let mut add = |tree: &IdedExpr| {
        count += nodes(tree, depth + 1)?;
        Some(())
    };
    match &tree.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Call(call) => {
            call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(&mut add)?;
        }
        Expr::Select(select) => add(&select.operand)?,
        Expr::List(list) => list.elements.iter().try_for_each(&mut add)?,
        Expr::Comprehension(of) => {
            [&of.iter_range, &of.accu_init, &of.loop_cond, &of.loop_step, &of.result]
                .into_iter()
                .try_for_each(&mut add)?;
        }
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| add(value_of(&entry.expr)))?,
        Expr::Struct(of) => of.entries.iter().try_for_each(|entry| add(value_of(&entry.expr)))?,
    }
    Some(count)
}

fn value_of(entry: &EntryExpr) -> &IdedExpr {
    match entry {
        EntryExpr::StructField(field) => &field.value,
        EntryExpr::MapEntry(entry) => &entry.value,
    }
}
