//! Members by their paths, as they stand in a tree.

use super::scope::{Kind, Member, Record, Scope};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

/// The path that a tree spells: `claims.ref`, `claims["ref"]`, or `claims.?ref` (and with a default behind it).
pub(super) fn path(tree: &IdedExpr) -> Option<Vec<String>> {
    match &tree.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => {
            let mut path = path(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        Expr::Call(call) if matches!(call.func_name.as_str(), "_[_]" | "_?._") => {
            let [of, name] = call.args.as_slice() else { return None };
            below(of, name)
        }
        _ => None,
    }
}

/// The path of a member that is named by a text.
fn below(record: &IdedExpr, name: &IdedExpr) -> Option<Vec<String>> {
    let Expr::Literal(LiteralValue::String(name)) = &name.expr else { return None };
    let mut path = path(record)?;
    path.push(name.inner().to_owned());
    Some(path)
}

/// The path of what `has(claims.ref)` and `"ref" in claims` ask for. Of a list, `"x" in claims.groups` looks the same.
pub(super) fn asked(tree: &IdedExpr) -> Option<Vec<String>> {
    let Expr::Call(call) = &tree.expr else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        ("has", [of]) => path(of),
        ("@in", [name, record]) => below(record, name),
        _ => None,
    }
}

/// Whether a member is named anywhere in a tree: itself, and not something in it.
pub(super) fn names(tree: &IdedExpr, wanted: &[String]) -> bool {
    if let Some(path) = path(tree) {
        return path == wanted;
    }
    if asked(tree).is_some_and(|path| path == wanted) {
        return true;
    }
    match &tree.expr {
        Expr::Call(call) => {
            call.target.iter().map(|target| &**target).chain(&call.args).any(|part| names(part, wanted))
        }
        Expr::Select(select) => names(&select.operand, wanted),
        Expr::List(list) => list.elements.iter().any(|element| names(element, wanted)),
        _ => false,
    }
}

/// What stands at a path, and whether it and all around it is always there.
pub(super) fn member<'s>(scope: &'s Scope, path: &[String]) -> Option<(&'s Member, bool)> {
    let (last, groups) = path.split_last()?;
    let mut record: &Record = scope;
    let mut always = true;
    for group in groups {
        let member = record.member(group)?;
        let Kind::Record(members) = &member.kind else { return None };
        always &= member.always;
        record = members;
    }
    let member = record.member(last)?;
    Some((member, always && member.always))
}
