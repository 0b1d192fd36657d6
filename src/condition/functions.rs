//! The functions that conditions may call: each with its types, as CEL's standard library has them.

use super::scope::Type;

/// Functions of a text and another text, `text.function(argument)`.
pub(super) const OF_TEXTS: [&str; 3] = ["startsWith", "endsWith", "contains"];

/// Names of operators in the syntax tree, and how they are written.
const OPERATORS: [(&str, &str); 13] = [
    ("_==_", "=="),
    ("_!=_", "!="),
    ("_<_", "<"),
    ("_<=_", "<="),
    ("_>_", ">"),
    ("_>=_", ">="),
    ("_+_", "+"),
    ("_-_", "-"),
    ("_*_", "*"),
    ("_/_", "/"),
    ("_%_", "%"),
    ("@in", "in"),
    ("_[_]", "[]"),
];

/// How an operator is written; `None`: it is a function.
pub(super) fn operator(name: &str) -> Option<&'static str> {
    OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, written)| *written)
}

/// Whether the operator compares by size.
pub(super) fn is_ordering(name: &str) -> bool {
    matches!(name, "_<_" | "_<=_" | "_>_" | "_>=_")
}

/// The type of `left + right` or `left - right`; `None`: there is no such sum.
pub(super) fn sum(name: &str, left: &Type, right: &Type) -> Option<Type> {
    Some(match (name, left, right) {
        (_, Type::Int, Type::Int) => Type::Int,
        ("_-_", Type::Time, Type::Time) => Type::Span,
        (_, Type::Time, Type::Span) => Type::Time,
        ("_+_", Type::Span, Type::Time) => Type::Time,
        (_, Type::Span, Type::Span) => Type::Span,
        ("_+_", Type::Text, Type::Text) => Type::Text,
        _ => return None,
    })
}

/// Whether a list can be searched by this macro, `list.exists(element, condition)`.
pub(super) fn is_quantifier(name: &str) -> bool {
    matches!(name, "exists" | "all" | "exists_one" | "existsOne")
}
