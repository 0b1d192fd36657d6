//! Regular expressions are compiled when a condition is loaded, not each time that it is asked: that would cost a hundred times the search.

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};
use cel::{Context, IdedExpr};
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// The function that looks for a pattern by its number. No condition that is checked can name it.
const SEARCH: &str = "@search";

/// What a compiled pattern may take, in octets.
const LARGEST: usize = 256 * 1024;

/// Compiles a pattern, within bounds.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(LARGEST).build()
}

/// Whether a pattern is known to be in every text of one line: it needs nothing, and is bound to no place.
pub(super) fn matches_everything(pattern: &str) -> bool {
    const BOUND: [&str; 7] = ["^", "$", "^.*", ".*$", "^.*$", "^(.*)$", "^.*?$"];
    let is_free = !pattern.contains(['^', '$', '\\']);
    BOUND.contains(&pattern) || is_free && compile(pattern).is_ok_and(|pattern| pattern.is_match(""))
}

/// Takes the patterns out of a program, in whose place their numbers stand.
pub(super) fn take(program: &mut IdedExpr) -> Vec<Regex> {
    let mut patterns = Vec::new();
    walk(program, &mut patterns);
    patterns
}

/// Lets programs find them.
pub(super) fn give(patterns: &Arc<[Regex]>, context: &mut Context<'_, '_>) {
    if patterns.is_empty() {
        return;
    }
    let patterns = patterns.clone();
    // An error: there is a function of this name, which no standard has.
    let _ = context.add_function(SEARCH, move |text: Arc<String>, number: i64| {
        usize::try_from(number)
            .ok()
            .and_then(|number| patterns.get(number))
            .is_some_and(|it| it.is_match(&text))
    });
}

fn walk(tree: &mut IdedExpr, patterns: &mut Vec<Regex>) {
    match &mut tree.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| walk(target, patterns));
            call.args.iter_mut().for_each(|part| walk(part, patterns));
            replace(call, patterns);
        }
        Expr::Select(select) => walk(&mut select.operand, patterns),
        Expr::List(list) => list.elements.iter_mut().for_each(|element| walk(element, patterns)),
        Expr::Comprehension(of) => {
            for part in
                [&mut of.iter_range, &mut of.accu_init, &mut of.loop_cond, &mut of.loop_step, &mut of.result]
            {
                walk(part, patterns);
            }
        }
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| walk(value_of(&mut entry.expr), patterns)),
        Expr::Struct(of) => of.entries.iter_mut().for_each(|entry| walk(value_of(&mut entry.expr), patterns)),
    }
}

fn value_of(entry: &mut EntryExpr) -> &mut IdedExpr {
    match entry {
        EntryExpr::StructField(field) => &mut field.value,
        EntryExpr::MapEntry(entry) => &mut entry.value,
    }
}

/// `text.matches("…")` and `matches(text, "…")`.
fn replace(call: &mut CallExpr, patterns: &mut Vec<Regex>) {
    if call.func_name != "matches" {
        return;
    }
    let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|last| &last.expr) else {
        return;
    };
    let (Ok(pattern), Ok(number)) = (compile(pattern.inner()), i64::try_from(patterns.len())) else {
        return;
    };
    if let Some(last) = call.args.last_mut() {
        last.expr = Expr::Literal(LiteralValue::Int(number.into()));
    }
    if let Some(target) = call.target.take() {
        call.args.insert(0, *target);
    }
    call.func_name = SEARCH.to_owned();
    patterns.push(pattern);
}
