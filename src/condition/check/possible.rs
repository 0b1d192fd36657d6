//! Comparisons that could never hold: of a name that has few values with something that is none of them.

use super::Checker;
use crate::condition::scope::Member;
use crate::condition::show::show;
use crate::condition::{Fault, paths};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};
use std::collections::BTreeSet;

/// The texts that a part may be, where they can be told.
#[derive(Default)]
struct Possible {
    texts: BTreeSet<String>,
    /// Whether a name with few values is among the parts: of two literals a comparison may be meant as it is.
    closed: bool,
}

impl Possible {
    fn or(mut self, other: Self) -> Self {
        self.texts.extend(other.texts);
        self.closed |= other.closed;
        self
    }

    fn quoted(&self, first: &[&'static str]) -> String {
        // In the order in which they are documented.
        let mut texts: Vec<&str> = first.iter().copied().filter(|text| self.texts.contains(*text)).collect();
        texts.extend(self.texts.iter().map(String::as_str).filter(|text| !first.contains(text)));
        texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
    }
}

impl Checker<'_> {
    /// Refuses a comparison of two parts that have no text in common.
    pub(super) fn refuse_different(&self, left: &IdedExpr, right: &IdedExpr) -> Result<(), Fault> {
        // Each element of a list is compared.
        for (one, other) in [(left, right), (right, left)] {
            for element in self.element_named_by(one).iter().flat_map(|element| &element.written) {
                self.refuse_different(element, other)?;
            }
        }
        let (Some(of_left), Some(of_right)) = (self.possible(left), self.possible(right)) else {
            return Ok(());
        };
        if !(of_left.closed || of_right.closed) || !of_left.texts.is_disjoint(&of_right.texts) {
            return Ok(());
        }
        let is_literal = |tree: &IdedExpr| matches!(&tree.expr, Expr::Literal(_));
        // The literal is what was misspelt.
        let (name, texts, other) = match of_left.closed && !is_literal(left) {
            true => (left, of_left, right),
            false => (right, of_right, left),
        };
        Err(self.fault(
            other,
            format!("{} is never that: it is one of {}", show(name), self.values_of(name, &texts)),
        ))
    }

    /// Refuses `startsWith` and its siblings where none of the few values has such a part.
    pub(super) fn refuse_part(
        &self,
        tree: &IdedExpr,
        function: &str,
        target: &IdedExpr,
        part: &IdedExpr,
    ) -> Result<(), Fault> {
        let Some(parts) = self.possible(part) else { return Ok(()) };
        self.refuse_never(tree, target, &|text| {
            parts.texts.iter().any(|part| match function {
                "startsWith" => text.starts_with(part),
                "endsWith" => text.ends_with(part),
                _ => text.contains(part),
            })
        })
    }

    /// Refuses a question that none of the few values of a name answers with yes.
    pub(super) fn refuse_never(
        &self,
        tree: &IdedExpr,
        target: &IdedExpr,
        holds: &dyn Fn(&str) -> bool,
    ) -> Result<(), Fault> {
        match self.possible(target) {
            Some(texts) if texts.closed && !texts.texts.iter().any(|text| holds(text)) => {
                let list = self.values_of(target, &texts);
                Err(self.fault(tree, format!("never holds: {} is one of {list}", show(target))))
            }
            _ => Ok(()),
        }
    }

    fn values_of(&self, name: &IdedExpr, texts: &Possible) -> String {
        let name = match &name.expr {
            Expr::Call(call) if call.func_name == "orValue" => call.target.as_deref().unwrap_or(name),
            _ => name,
        };
        let values = self.member(name).map_or(&[][..], |member| member.values);
        texts.quoted(values)
    }

    fn member(&self, tree: &IdedExpr) -> Option<&Member> {
        Some(paths::member(self.scope, &paths::path(tree)?)?.0)
    }

    fn possible(&self, tree: &IdedExpr) -> Option<Possible> {
        if let Some(element) = self.element_named_by(tree) {
            let mut elements = element.written.iter();
            let first = self.possible_without_elements(elements.next()?)?;
            return elements.try_fold(first, |all, one| Some(all.or(self.possible_without_elements(one)?)));
        }
        self.possible_without_elements(tree)
    }

    /// An element of a list does not name the list's own variable.
    fn possible_without_elements(&self, tree: &IdedExpr) -> Option<Possible> {
        match &tree.expr {
            Expr::Literal(LiteralValue::String(text)) => {
                Some(Possible { texts: BTreeSet::from([text.inner().to_owned()]), closed: false })
            }
            Expr::Call(call) if call.func_name == "orValue" => {
                let there = self.possible(call.target.as_deref()?)?;
                Some(there.or(self.possible(call.args.first()?)?))
            }
            Expr::Call(call) if call.func_name == "_?_:_" => match call.args.as_slice() {
                [_, yes, no] => Some(self.possible(yes)?.or(self.possible(no)?)),
                _ => None,
            },
            _ => match self.member(tree)?.values {
                [] => None,
                values => {
                    let texts = values.iter().map(|text| (*text).to_owned()).collect();
                    Some(Possible { texts, closed: true })
                }
            },
        }
    }
}
