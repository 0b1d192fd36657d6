//! Conditions whose truth does not hang on whom they are asked about. It is for warnings; nothing is decided by it.

use super::paths;
use super::patterns;
use super::scope::{Scope, Type};
use super::show::show;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a condition that was checked holds for everybody, or for nobody; `None`: that hangs on what it names, as far as can be told.
pub(super) fn constant(tree: &IdedExpr, scope: &Scope) -> Option<bool> {
    match &tree.expr {
        Expr::Literal(LiteralValue::Boolean(yes)) => Some(*yes.inner()),
        Expr::Call(call) => of_call(tree, call, scope),
        _ => None,
    }
}

fn of_call(tree: &IdedExpr, call: &CallExpr, scope: &Scope) -> Option<bool> {
    match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
        ("_||_", None, _) => of_chain(tree, "_||_", true, scope),
        ("_&&_", None, _) => of_chain(tree, "_&&_", false, scope),
        ("!_", None, [of]) => constant(of, scope).map(|of| !of),
        ("_?_:_", None, [condition, yes, no]) => match constant(condition, scope) {
            Some(true) => constant(yes, scope),
            Some(false) => constant(no, scope),
            None => constant(yes, scope).filter(|yes| constant(no, scope) == Some(*yes)),
        },
        ("_==_", None, [left, right]) => equal(left, right),
        ("_!=_", None, [left, right]) => equal(left, right).map(|equal| !equal),
        ("has", None, _) => is_always_there(tree, scope),
        ("@in", None, [element, list]) => match &list.expr {
            Expr::List(list) => {
                let listed = |one: &IdedExpr| equal(element, one) == Some(true);
                let texts: BTreeSet<_> = list.elements.iter().filter_map(text).collect();
                let all = values(element, scope)
                    .is_some_and(|values| values.iter().all(|value| texts.contains(value)));
                (all || list.elements.iter().any(listed)).then_some(true)
            }
            _ => is_always_there(tree, scope),
        },
        ("hasValue", Some(target), []) => {
            let (_, always) = paths::member(scope, &paths::path(target)?)?;
            always.then_some(true)
        }
        ("startsWith", Some(target), [part]) => of_texts(target, part, |text, part| text.starts_with(part)),
        ("endsWith", Some(target), [part]) => of_texts(target, part, |text, part| text.ends_with(part)),
        ("contains", Some(target), [part]) => of_texts(target, part, |text, part| text.contains(part)),
        ("matches", Some(_), [pattern]) | ("matches", None, [_, pattern]) => {
            patterns::matches_everything(text(pattern)?).then_some(true)
        }
        _ => None,
    }
}

/// A chain of `||` (`wins`: true) or of `&&` (`wins`: false).
fn of_chain(tree: &IdedExpr, operator: &str, wins: bool, scope: &Scope) -> Option<bool> {
    let mut parts = Vec::new();
    flatten(tree, operator, &mut parts);
    let truths: Vec<_> = parts.iter().map(|part| constant(part, scope)).collect();
    if truths.contains(&Some(wins)) || are_contrary(&parts) || are_all_values(&parts, wins, scope) {
        return Some(wins);
    }
    truths.iter().all(|truth| *truth == Some(!wins)).then_some(!wins)
}

fn flatten<'t>(tree: &'t IdedExpr, operator: &str, parts: &mut Vec<&'t IdedExpr>) {
    match &tree.expr {
        Expr::Call(call) if call.func_name == operator => {
            call.args.iter().for_each(|part| flatten(part, operator, parts));
        }
        _ => parts.push(tree),
    }
}

/// Whether one part is what another one is not.
fn are_contrary(parts: &[&IdedExpr]) -> bool {
    let all: BTreeSet<_> = parts.iter().map(|part| without_not(part)).collect();
    all.iter().any(|(text, holds)| all.contains(&(text.clone(), !holds)))
}

/// A part without the `!` before it, or with `==` where `!=` stood; and whether it has to hold.
fn without_not(tree: &IdedExpr) -> (String, bool) {
    if let Expr::Call(call) = &tree.expr {
        match (call.func_name.as_str(), call.args.as_slice()) {
            ("!_", [of]) => {
                let (text, holds) = without_not(of);
                return (text, !holds);
            }
            (name @ ("_==_" | "_!=_"), [left, right]) => {
                let mut sides = [show(left), show(right)];
                sides.sort();
                return (sides.join(" == "), name == "_==_");
            }
            _ => {}
        }
    }
    (show(tree), true)
}

/// Whether a name with few values is compared with each of them: `==` between `||`, `!=` between `&&`.
fn are_all_values(parts: &[&IdedExpr], wins: bool, scope: &Scope) -> bool {
    let operator = if wins { "_==_" } else { "_!=_" };
    let mut compared: BTreeMap<String, (BTreeSet<&str>, &[&str])> = BTreeMap::new();
    for part in parts {
        let Expr::Call(call) = &part.expr else { continue };
        let [left, right] = call.args.as_slice() else { continue };
        for (name, literal) in [(left, right), (right, left)] {
            if call.func_name == operator
                && let (Some(values), Some(text)) = (values(name, scope), text(literal))
            {
                compared.entry(show(name)).or_insert_with(|| (BTreeSet::new(), values)).0.insert(text);
            }
        }
    }
    compared.values().any(|(texts, values)| values.iter().all(|value| texts.contains(value)))
}

/// The same on both sides, or two literals.
fn equal(left: &IdedExpr, right: &IdedExpr) -> Option<bool> {
    match (&left.expr, &right.expr) {
        (Expr::Literal(_), Expr::Literal(_)) => Some(show(left) == show(right)),
        _ => (show(left) == show(right)).then_some(true),
    }
}

fn is_always_there(tree: &IdedExpr, scope: &Scope) -> Option<bool> {
    let (_, always) = paths::member(scope, &paths::asked(tree)?)?;
    always.then_some(true)
}

fn of_texts(target: &IdedExpr, part: &IdedExpr, holds: fn(&str, &str) -> bool) -> Option<bool> {
    match (text(target), text(part)?) {
        (_, "") => Some(true),
        (Some(target), part) => Some(holds(target, part)),
        (None, _) => None,
    }
}

fn text(tree: &IdedExpr) -> Option<&str> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The only values of a name that is always there.
fn values(tree: &IdedExpr, scope: &Scope) -> Option<&'static [&'static str]> {
    let (member, always) = paths::member(scope, &paths::path(tree)?)?;
    let is_text = matches!(&member.kind, super::scope::Kind::Value(Type::Text));
    (always && is_text && !member.values.is_empty()).then_some(member.values)
}
