//! What a condition holds against texts that are written out, for advice.

use super::functions::is_quantifier;
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

/// A call with a text, or with one of several.
pub(super) struct Held<'t> {
    /// `_==_`, `@in`, `startsWith` and so on.
    pub(super) function: &'t str,
    /// What is held against the text.
    pub(super) subject: &'t IdedExpr,
    pub(super) text: &'t str,
    /// The call.
    pub(super) call: &'t IdedExpr,
}

/// The variable of an `exists`, and the texts that it stands for.
type Element<'t> = Option<(&'t str, Vec<&'t str>)>;

/// Every such call in a tree, each once for each of its texts.
pub(super) fn all(tree: &IdedExpr) -> Vec<Held<'_>> {
    let mut found = Vec::new();
    walk(tree, &None, &mut found);
    found
}

fn walk<'t>(tree: &'t IdedExpr, element: &Element<'t>, found: &mut Vec<Held<'t>>) {
    match &tree.expr {
        Expr::Call(call) if is_quantifier(&call.func_name) => {
            let (Some(list), [variable, condition]) = (call.target.as_deref(), call.args.as_slice()) else {
                return;
            };
            let element = match &variable.expr {
                Expr::Ident(name) => Some((name.as_str(), texts(list, &None))),
                _ => None,
            };
            walk(condition, &element, found);
        }
        Expr::Call(call) => {
            let parts: Vec<_> = call.target.iter().map(|target| &**target).chain(&call.args).collect();
            for (at, part) in parts.iter().enumerate() {
                let subjects = || parts.iter().enumerate().filter(|(other, _)| *other != at);
                for text in texts(part, element) {
                    for (_, subject) in subjects() {
                        found.push(Held { function: &call.func_name, subject, text, call: tree });
                    }
                }
                walk(part, element, found);
            }
        }
        Expr::Select(select) => walk(&select.operand, element, found),
        Expr::List(list) => list.elements.iter().for_each(|one| walk(one, element, found)),
        _ => {}
    }
}

/// The texts that a part is, or stands for.
fn texts<'t>(tree: &'t IdedExpr, element: &Element<'t>) -> Vec<&'t str> {
    match (&tree.expr, element) {
        (Expr::Literal(LiteralValue::String(text)), _) => vec![text.inner()],
        (Expr::Ident(name), Some((variable, texts))) if name == variable => texts.clone(),
        (Expr::List(list), _) => list.elements.iter().flat_map(|one| texts(one, &None)).collect(),
        _ => Vec::new(),
    }
}
