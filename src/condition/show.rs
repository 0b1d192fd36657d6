//! A tree as text again, for explanations.

use super::functions;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};

/// What was written, but for spaces and parentheses that make no difference.
pub(super) fn show(tree: &IdedExpr) -> String {
    let mut out = String::new();
    write(tree, &mut out);
    out
}

fn write(tree: &IdedExpr, out: &mut String) {
    match &tree.expr {
        Expr::Ident(name) => out.push_str(name),
        Expr::Literal(literal) => out.push_str(&literal_text(literal)),
        Expr::Select(select) => {
            write(&select.operand, out);
            out.push('.');
            out.push_str(&select.field);
        }
        Expr::List(list) => {
            out.push('[');
            write_all(&list.elements, out);
            out.push(']');
        }
        Expr::Call(call) => write_call(call, out),
        // No condition that was checked has any of these.
        Expr::Unspecified | Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) => out.push('…'),
    }
}

fn write_call(call: &CallExpr, out: &mut String) {
    match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
        ("_&&_", _, [left, right]) => write_both(left, " && ", right, out),
        ("_||_", _, [left, right]) => write_both(left, " || ", right, out),
        ("!_", _, [of]) => {
            out.push('!');
            write_operand(of, out);
        }
        ("-_", _, [of]) => {
            out.push('-');
            write_operand(of, out);
        }
        ("_?_:_", _, [condition, yes, no]) => {
            write_operand(condition, out);
            out.push_str(" ? ");
            write_operand(yes, out);
            out.push_str(" : ");
            write_operand(no, out);
        }
        ("_[_]", _, [of, index]) => {
            write_operand(of, out);
            out.push('[');
            write(index, out);
            out.push(']');
        }
        ("_?._", _, [of, member]) => {
            write_operand(of, out);
            out.push_str(".?");
            match &member.expr {
                Expr::Literal(LiteralValue::String(name)) => out.push_str(name.inner()),
                _ => write(member, out),
            }
        }
        (name, _, [left, right]) if functions::operator(name).is_some() => {
            let written = functions::operator(name).unwrap_or_default();
            write_both(left, &format!(" {written} "), right, out);
        }
        (name, target, args) => {
            if let Some(target) = target {
                write_operand(target, out);
                out.push('.');
            }
            out.push_str(name);
            out.push('(');
            write_all(args, out);
            out.push(')');
        }
    }
}

fn write_both(left: &IdedExpr, between: &str, right: &IdedExpr, out: &mut String) {
    write_operand(left, out);
    out.push_str(between);
    write_operand(right, out);
}

fn write_all(all: &[IdedExpr], out: &mut String) {
    for (index, one) in all.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(one, out);
    }
}

/// In parentheses where it is itself made of two or three.
fn write_operand(tree: &IdedExpr, out: &mut String) {
    let is_compound = matches!(&tree.expr, Expr::Call(call)
        if call.target.is_none() && call.args.len() > 1 && call.func_name.starts_with(['_', '@'])
            && !matches!(call.func_name.as_str(), "_[_]" | "_?._"));
    if is_compound {
        out.push('(');
    }
    write(tree, out);
    if is_compound {
        out.push(')');
    }
}

fn literal_text(literal: &LiteralValue) -> String {
    match literal {
        LiteralValue::Boolean(yes) => yes.inner().to_string(),
        LiteralValue::Int(number) => number.inner().to_string(),
        // JSON's quotes and escapes are CEL's.
        LiteralValue::String(text) => serde_json::Value::from(text.inner()).to_string(),
        LiteralValue::Bytes(_) | LiteralValue::Double(_) | LiteralValue::Null | LiteralValue::UInt(_) => {
            "…".to_owned()
        }
    }
}
