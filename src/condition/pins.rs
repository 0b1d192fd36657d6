//! Whether a condition says whose job it is about: in every way in which it can hold, it must fix the project or its group.
//!
//! What a condition does not pin, everybody with an account at the issuer can have. A branch, a runner or an environment can be named by
//! anybody in a project of their own.

mod bound;
#[cfg(test)]
mod tests;

use super::Condition;
use super::functions::is_quantifier;
use super::show::show;
use bound::{Asked, Part};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

/// How much a condition admits, at the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// Projects that it names.
    Project,
    /// Whatever is, or will be, in groups that it names.
    Namespace,
}

/// A part that can hold for jobs of any project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} can hold for jobs of any project")]
pub struct Unpinned {
    /// As a text.
    pub part: String,
}

/// The variable of an `exists`, and what it stands for: texts, or the elements of a claim.
struct Variable<'t> {
    name: &'t str,
    texts: Vec<&'t str>,
    claim: Option<&'t str>,
}

type Element<'t> = Option<Variable<'t>>;

/// `Ok(None)`: it never holds. `Err`: the part that pins nothing.
type Found<'t> = Result<Option<Pin>, &'t IdedExpr>;

impl Condition {
    /// Whose jobs it can hold for. Where it holds, `claims.project_path`, `project_id`, `namespace_path`, `namespace_id` or `sub` is one of
    /// the texts that are written out, or a path below one. A negation pins nothing.
    ///
    /// # Errors
    /// A part that holds whatever those are.
    pub fn pins(&self) -> Result<Pin, Unpinned> {
        match pins(&self.written, &None, Asked::Pins) {
            Ok(pin) => Ok(pin.unwrap_or(Pin::Project)),
            Err(part) => Err(Unpinned { part: show(part) }),
        }
    }

    /// Whether something is asked for that not everybody has who has a token of a public issuer: a path, an id, a subject, a user or a group,
    /// compared with a text that is written out. `issuer`: the issuer is such a thing.
    ///
    /// # Errors
    /// A part that holds for anybody.
    pub fn ties(&self, issuer: bool) -> Result<(), Unpinned> {
        match pins(&self.written, &None, Asked::Ties { issuer }) {
            Ok(_) => Ok(()),
            Err(part) => Err(Unpinned { part: show(part) }),
        }
    }
}

fn pins<'t>(tree: &'t IdedExpr, element: &Element<'t>, asked: Asked) -> Found<'t> {
    let pins = |tree: &'t IdedExpr, element: &Element<'t>| pins(tree, element, asked);
    let compared = |member, against, part| compared(member, against, element, part, asked);
    let call = match &tree.expr {
        Expr::Literal(LiteralValue::Boolean(value)) if !value.inner() => return Ok(None),
        Expr::Call(call) => call,
        _ => return Err(tree),
    };
    match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
        ("_&&_", None, [left, right]) => both_hold(pins(left, element), pins(right, element)).ok_or(tree),
        ("_||_", None, [left, right]) => Ok(pins(left, element)?.max(pins(right, element)?)),
        ("_?_:_", None, [condition, yes, no]) => {
            let yes = both_hold(pins(condition, element), pins(yes, element)).ok_or(yes)?;
            Ok(yes.max(pins(no, element)?))
        }
        ("_==_", None, [left, right]) => compared(left, right, Part::Whole)
            .or_else(|| compared(right, left, Part::Whole))
            .map(Some)
            .ok_or(tree),
        ("@in", None, [member, list]) => compared(member, list, Part::Whole)
            // A text in a claim that is a list.
            .or_else(|| asked.is_wide().then(|| compared(list, member, Part::Whole)).flatten())
            .map(Some)
            .ok_or(tree),
        ("startsWith", Some(member), [prefix]) => {
            compared(member, prefix, Part::Beginning).map(Some).ok_or(tree)
        }
        ("endsWith", Some(member), [end]) => compared(member, end, Part::End).map(Some).ok_or(tree),
        ("matches", Some(member), [pattern]) | ("matches", None, [member, pattern]) => {
            compared(member, pattern, Part::Pattern).map(Some).ok_or(tree)
        }
        (name, Some(list), [variable, condition]) if is_quantifier(name) => match &variable.expr {
            Expr::Ident(variable) => {
                // All of none hold.
                let claim = claim(list, &None, asked).filter(|_| asked.is_wide() && name != "all");
                let texts = match claim {
                    Some(_) => Vec::new(),
                    // Of a list that is written out, which is never empty, one element at least has to hold.
                    None => texts(list, &None).ok_or(tree)?,
                };
                pins(condition, &Some(Variable { name: variable, texts, claim })).map_err(|_| tree)
            }
            _ => Err(tree),
        },
        _ => Err(tree),
    }
}

/// Of two that hold at once the narrower one counts. `None`: neither pins anything.
fn both_hold<'t>(left: Found<'t>, right: Found<'t>) -> Option<Option<Pin>> {
    match (left, right) {
        (Ok(left), Ok(right)) => Some(left.min(right)),
        (Ok(pin), Err(_)) | (Err(_), Ok(pin)) => Some(pin),
        (Err(_), Err(_)) => None,
    }
}

/// A claim against texts, each of which has to pin it.
fn compared<'t>(
    member: &'t IdedExpr,
    against: &'t IdedExpr,
    element: &Element<'t>,
    part: Part,
    asked: Asked,
) -> Option<Pin> {
    let claim = claim(member, element, asked)?;
    let texts = texts(against, element)?;
    let each = texts.into_iter().map(|text| asked.of(part, claim, text)).collect::<Option<Vec<_>>>()?;
    each.into_iter().max()
}

/// `claims.project_path`, or `claims["project_path"]`; where it is asked for ties, also `claims.?user_login.orValue("")`, the variable that stands for
/// a claim's elements, and the issuer.
fn claim<'t>(tree: &'t IdedExpr, element: &Element<'t>, asked: Asked) -> Option<&'t str> {
    let (record, name) = match &tree.expr {
        Expr::Ident(name) if asked.is_wide() && name == "issuer" => return Some("iss"),
        Expr::Ident(name) if asked.is_wide() => {
            return element.as_ref().filter(|element| element.name == name)?.claim;
        }
        Expr::Call(call) if asked.is_wide() && call.func_name == "orValue" => {
            // What it is compared with is never empty.
            let is_empty = call.args.first().and_then(text) == Some("");
            return claim(call.target.as_deref().filter(|_| is_empty)?, element, asked);
        }
        Expr::Call(call) if asked.is_wide() && call.func_name == "_?._" => match call.args.as_slice() {
            [record, name] => (record, text(name)?),
            _ => return None,
        },
        Expr::Select(select) if !select.test => (&*select.operand, select.field.as_str()),
        Expr::Call(call) if call.func_name == "_[_]" => match call.args.as_slice() {
            [record, name] => (record, text(name)?),
            _ => return None,
        },
        _ => return None,
    };
    matches!(&record.expr, Expr::Ident(record) if record == "claims").then_some(name)
}

fn text(tree: &IdedExpr) -> Option<&str> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// A text, a list of texts, or what a variable stands for.
fn texts<'t>(tree: &'t IdedExpr, element: &Element<'t>) -> Option<Vec<&'t str>> {
    match (&tree.expr, element) {
        (Expr::Ident(name), Some(variable)) if name == variable.name && variable.claim.is_none() => {
            Some(variable.texts.clone())
        }
        (Expr::List(list), _) => list.elements.iter().map(text).collect(),
        _ => text(tree).map(|text| vec![text]),
    }
}
