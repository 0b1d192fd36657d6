//! How much work a condition is, before it is done. A token's lists and texts may be long, and in `exists` a condition goes over them
//! again and again: what would take too long is not begun.
//!
//! Counted are steps: one for each node that is evaluated and each element that is looked at, and one for every few octets that are
//! compared, searched or copied. It is a bound, since every part counts, be it evaluated or not.

use super::paths;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};
use std::collections::BTreeMap;

/// The most steps: a tenth of a second or so. Two hundred groups, the most that GitLab puts into a token, and the longest condition that there can
/// be are a tenth of it.
pub(super) const MOST_STEPS: u64 = 2_000_000;
/// Octets that are compared, searched or copied in one step.
const OCTETS_A_STEP: u64 = 16;

/// How large a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Octets of a text, or of all texts of a list.
    pub octets: u64,
    /// Of the longest text of a list.
    pub longest: u64,
    /// How many elements a list has.
    pub elements: u64,
}

impl Size {
    /// Of one text.
    pub const fn of_text(octets: u64) -> Self {
        Self { octets, longest: octets, elements: 0 }
    }
}

/// The sizes of what a condition names, by their paths. What is not there has none.
pub(super) type Sizes = BTreeMap<Vec<String>, Size>;

/// Whether a condition does more than to look at each of its nodes once: only then is its work counted each time.
pub(super) fn varies(tree: &IdedExpr) -> bool {
    match &tree.expr {
        Expr::Call(call) => {
            let name = call.func_name.as_str();
            super::functions::is_quantifier(name)
                || matches!(name, "_+_" | "matches")
                || call.target.iter().map(|target| &**target).chain(&call.args).any(varies)
        }
        Expr::Select(select) => varies(&select.operand),
        Expr::List(list) => list.elements.iter().any(varies),
        _ => false,
    }
}

/// The steps of a condition over values of these sizes.
pub(super) fn steps(tree: &IdedExpr, sizes: &Sizes) -> u64 {
    Counter { sizes, element: None }.count(tree).0
}

struct Counter<'s> {
    sizes: &'s Sizes,
    /// The variable of the `exists` that the count is in, and the size of the largest element.
    element: Option<(&'s str, Size)>,
}

impl<'s> Counter<'s> {
    /// The steps of a part, and the size of what it is.
    fn count(&self, tree: &'s IdedExpr) -> (u64, Size) {
        match &tree.expr {
            Expr::Ident(name) if self.element.is_some_and(|(element, _)| element == name) => {
                (1, self.element.map(|(_, size)| size).unwrap_or_default())
            }
            Expr::Ident(_) | Expr::Select(_) => self.of_path(tree),
            Expr::Literal(LiteralValue::String(text)) => (1, Size::of_text(text.inner().len() as u64)),
            Expr::List(list) => {
                let mut whole = (1, Size::default());
                for element in &list.elements {
                    let (steps, size) = self.count(element);
                    whole.0 = plus(whole.0, steps);
                    whole.1.octets = plus(whole.1.octets, size.octets);
                    whole.1.longest = whole.1.longest.max(size.octets);
                    whole.1.elements += 1;
                }
                whole
            }
            Expr::Call(call) => self.call(tree, call),
            _ => (1, Size::default()),
        }
    }

    fn of_path(&self, tree: &IdedExpr) -> (u64, Size) {
        let size = paths::path(tree).and_then(|path| {
            let steps = path.len() as u64;
            Some((steps, self.sizes.get(&path).copied()?))
        });
        size.unwrap_or((2, Size::default()))
    }

    fn call(&self, tree: &'s IdedExpr, call: &'s CallExpr) -> (u64, Size) {
        let name = call.func_name.as_str();
        if matches!(name, "_[_]" | "_?._") {
            return self.of_path(tree);
        }
        if let (Some(target), [variable, condition]) = (call.target.as_deref(), call.args.as_slice())
            && super::functions::is_quantifier(name)
            && let Expr::Ident(variable) = &variable.expr
        {
            return (self.quantifier(target, variable, condition), Size::default());
        }
        let parts: Vec<_> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let (mut steps, mut octets, mut elements) = (1, 0, 0);
        let mut longest = 0;
        for part in &parts {
            let (of_part, size) = self.count(part);
            steps = plus(steps, of_part);
            octets = plus(octets, size.octets);
            elements = plus(elements, size.elements);
            longest = longest.max(size.octets);
        }
        let own = match name {
            // Each part is looked at once.
            "_&&_" | "_||_" | "!_" | "_?_:_" | "has" | "hasValue" | "orValue" => 0,
            // A pattern may make a machine that is as large as itself for each octet.
            "matches" => {
                let pattern = parts.last().map_or(0, |pattern| self.count(pattern).1.octets);
                octets.saturating_mul(pattern.max(1)) / OCTETS_A_STEP
            }
            _ => plus(elements, octets / OCTETS_A_STEP),
        };
        let size = match name {
            "_+_" => Size::of_text(octets),
            "orValue" | "_?_:_" => Size { octets: longest, longest, elements },
            _ => Size::default(),
        };
        (plus(steps, own), size)
    }

    /// The condition once for each element.
    fn quantifier(&self, list: &'s IdedExpr, variable: &'s str, condition: &'s IdedExpr) -> u64 {
        // Steps of the loop itself: the element's variable, what was found so far, and whether that is enough.
        const LOOP: u64 = 4;
        let (steps, size) = self.count(list);
        let inner = Counter { sizes: self.sizes, element: Some((variable, Size::of_text(size.longest))) };
        let (each, _) = inner.count(condition);
        plus(steps, size.elements.saturating_mul(plus(each, LOOP)))
    }
}

const fn plus(one: u64, other: u64) -> u64 {
    one.saturating_add(other)
}

/// The size of a list of texts.
pub(super) fn of_texts(texts: &[String]) -> Size {
    let lengths = || texts.iter().map(|text| text.len() as u64);
    Size {
        octets: lengths().sum(),
        longest: lengths().max().unwrap_or_default(),
        elements: lengths().count() as u64,
    }
}
