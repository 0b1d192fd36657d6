//! Whether a condition asks for a branch or a tag by its name without asking whether it is protected, in any way in which it can hold.

use super::held;
use super::lint::last_name;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};

/// Whether it can hold for a name that anybody who may push can give.
pub(super) fn is_missing(tree: &IdedExpr) -> bool {
    let Expr::Call(call) = &tree.expr else { return names_ref(tree) };
    match (call.func_name.as_str(), call.args.as_slice()) {
        ("_&&_", [left, right]) => !asks(left) && !asks(right) && (is_missing(left) || is_missing(right)),
        ("_||_", [left, right]) => is_missing(left) || is_missing(right),
        ("_?_:_", [condition, yes, no]) => {
            let behind_yes = !asks(condition) && !asks(yes) && (is_missing(condition) || is_missing(yes));
            behind_yes || !asks(no) && (is_missing(condition) || is_missing(no))
        }
        ("has", _) => false,
        _ => names_ref(tree),
    }
}

/// Whether the ref is protected wherever it holds.
fn asks(tree: &IdedExpr) -> bool {
    let Expr::Call(call) = &tree.expr else { return false };
    match (call.func_name.as_str(), call.args.as_slice()) {
        ("_&&_", [left, right]) => asks(left) || asks(right),
        ("_||_", [left, right]) => asks(left) && asks(right),
        ("_?_:_", [condition, yes, no]) => (asks(condition) || asks(yes)) && asks(no),
        ("_==_", [left, right]) => is_true(left, right) || is_true(right, left),
        ("@in", [member, list]) => match &list.expr {
            Expr::List(list) => list.elements.iter().all(|text| is_true(member, text)),
            _ => false,
        },
        _ => false,
    }
}

fn is_true(member: &IdedExpr, text: &IdedExpr) -> bool {
    let default_is_true = matches!(&member.expr, Expr::Call(CallExpr { func_name, args, .. })
        if func_name == "orValue" && args.iter().any(|default| is_text(default, "true")));
    last_name(member) == "ref_protected" && is_text(text, "true") && !default_is_true
}

fn is_text(tree: &IdedExpr, wanted: &str) -> bool {
    matches!(&tree.expr, Expr::Literal(LiteralValue::String(text)) if text.inner() == wanted)
}

/// Whether a part asks for a name of a ref, by itself or in a name of the whole pipeline.
fn names_ref(tree: &IdedExpr) -> bool {
    let by_text = held::all(tree).iter().any(|held| match last_name(held.subject) {
        // An e-mail address is none.
        "san" => held.text.contains("://"),
        "sub" | "subject" | "token_subject" => held.text.contains(":ref:"),
        _ => false,
    });
    by_text || names(tree)
}

fn names(tree: &IdedExpr) -> bool {
    let is_name = matches!(
        last_name(tree),
        "ref"
            | "ref_path"
            | "source_repository_ref"
            | "ci_config_ref_uri"
            | "build_config_uri"
            | "build_signer_uri"
    );
    is_name
        || match &tree.expr {
            Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).any(names),
            Expr::Select(select) => names(&select.operand),
            Expr::List(list) => list.elements.iter().any(names),
            _ => false,
        }
}
