//! What is said of a name or a comparison that is wrong.

use crate::condition::scope::{Record, Type};
use crate::condition::show::show;
use cel::IdedExpr;

pub(super) fn not_asked(path: &[String], of: &Type) -> String {
    let name = path.join(".");
    let default = match (of, path) {
        (Type::Text, [record, member]) => format!(", or {record}.?{member}.orValue(\"\")"),
        _ => String::new(),
    };
    format!("{name} is not always there; write has({name}) && …{default}")
}

pub(super) fn not_there(path: &[String]) -> String {
    let name = path.join(".");
    format!("{name} is not always there; write has({name}) && … before it")
}

pub(super) fn unknown(path: &[String], meant: Option<&str>, record: &Record) -> String {
    let name = path.join(".");
    match meant {
        Some(meant) => format!("{name} is unknown; did you mean {meant}?"),
        None => format!("{name} is unknown; there are {}", record.names().collect::<Vec<_>>().join(", ")),
    }
}

pub(super) fn differing(left: &IdedExpr, of: &Type, right: &IdedExpr, other: &Type) -> String {
    let quotes =
        if matches!((of, other), (Type::Text, _) | (_, Type::Text)) { "; texts stand in quotes" } else { "" };
    format!("compares {} (a {of}) with {} (a {other}){quotes}", show(left), show(right))
}
