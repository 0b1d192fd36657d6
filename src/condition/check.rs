//! The check: every name exists, every type fits, and nothing that may be absent is read before somebody asked whether it is there.
//!
//! What is known to be there flows as CEL evaluates, from left to right: behind `has(claims.environment) &&`, behind
//! `!has(claims.environment) ||`, and in the branches of `has(claims.environment) ? … : …`.

mod calls;
mod messages;
mod possible;

use super::functions;
use super::scope::{Kind, Member, Record, Scope, Type};
use super::show::show;
use super::syntax::{DEEPEST, Parsed};
use super::{Fault, Named};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, ListExpr, LiteralValue};
use messages::{differing, not_asked, not_there, unknown};
use std::collections::{BTreeMap, BTreeSet};

/// How many elements a list may have that stands in the condition.
const MOST_ELEMENTS: usize = 256;
/// From a variable to a member.
type Path = Vec<String>;

/// Members that are known to be there.
type Known = BTreeSet<Path>;

/// Checks a tree; answers with every member that it names.
pub(super) fn check(parsed: &Parsed, scope: &Scope) -> Result<Vec<Named>, Fault> {
    let mut checker = Checker { parsed, scope, named: BTreeMap::new(), element: None };
    let checked = checker.check(&parsed.written, &Known::new(), 0)?;
    if checked.of != Type::Bool {
        return Err(
            parsed.fault(&parsed.written, format!("is a {}, where a condition is true or false", checked.of))
        );
    }
    Ok(checker.named.into_iter().map(|(path, (of, at))| Named { path, of, at }).collect())
}

struct Checker<'c> {
    parsed: &'c Parsed,
    scope: &'c Scope,
    named: BTreeMap<Path, (Option<Type>, (usize, usize))>,
    /// The variable of the `exists` that the check is in.
    element: Option<Element>,
}

/// A variable that stands for the elements of a list.
struct Element {
    name: String,
    of: Type,
    /// The elements, where the list is written out.
    written: Vec<IdedExpr>,
}

/// What a part is, and what its truth tells.
struct Checked {
    of: Type,
    when_true: Known,
    when_false: Known,
}

impl From<Type> for Checked {
    fn from(of: Type) -> Self {
        Self { of, when_true: Known::new(), when_false: Known::new() }
    }
}

/// What a path leads to.
enum Place<'s> {
    Record(&'s Record),
    Value { of: Type, always: bool },
}

impl<'c> Checker<'c> {
    fn check(&mut self, tree: &IdedExpr, known: &Known, depth: usize) -> Result<Checked, Fault> {
        if depth > DEEPEST {
            return Err(self.fault(tree, "nests too deep; make several rules of it"));
        }
        match &tree.expr {
            Expr::Literal(literal) => self.literal(tree, literal).map(Checked::from),
            Expr::Ident(_) | Expr::Select(_) => self.name(tree, known).map(Checked::from),
            Expr::List(list) => self.list(tree, list, known, depth).map(Checked::from),
            Expr::Call(call) => self.call(tree, call, known, depth),
            Expr::Map(_) | Expr::Struct(_) | Expr::Comprehension(_) | Expr::Unspecified => Err(self.fault(
                tree,
                "is something that conditions do not have: there are names, texts, numbers, lists and calls",
            )),
        }
    }

    fn literal(&self, tree: &IdedExpr, literal: &LiteralValue) -> Result<Type, Fault> {
        match literal {
            LiteralValue::Boolean(_) => Ok(Type::Bool),
            LiteralValue::Int(_) => Ok(Type::Int),
            // Characters that nobody sees are refused where they are written (`syntax`); their escapes are seen.
            LiteralValue::String(_) => Ok(Type::Text),
            LiteralValue::Null => {
                Err(self.fault(tree, "null is nothing to compare with; ask has(…) whether a claim is there"))
            }
            LiteralValue::Bytes(_) | LiteralValue::Double(_) | LiteralValue::UInt(_) => {
                Err(self.fault(tree, "is of a type that nothing here has; write a text or a whole number"))
            }
        }
    }

    /// That a member is named.
    fn note(&mut self, tree: &IdedExpr, path: Path, of: Option<Type>) {
        let Fault { line, column, .. } = self.fault(tree, "");
        self.named.entry(path).or_insert((of, (line, column)));
    }

    /// The variable of the `exists` that the check is in, if this is it.
    fn element_named_by(&self, tree: &IdedExpr) -> Option<&Element> {
        let Expr::Ident(name) = &tree.expr else { return None };
        self.element.as_ref().filter(|element| element.name == *name)
    }

    /// A variable, or a member of one.
    fn name(&mut self, tree: &IdedExpr, known: &Known) -> Result<Type, Fault> {
        if let Some(element) = self.element_named_by(tree) {
            return Ok(element.of.clone());
        }
        let path = self.path(tree)?;
        match self.place(tree, &path, known)? {
            Place::Record(_) => {
                Err(self.fault(tree, format!("{} is a group of values; name one of them", path.join("."))))
            }
            Place::Value { of, always } => {
                if !always && !known.contains(&path) {
                    return Err(self.fault(tree, not_asked(&path, &of)));
                }
                self.note(tree, path, Some(of.clone()));
                Ok(of)
            }
        }
    }

    /// The path that a tree spells: `claims.ref`, or `claims["ref"]`.
    fn path(&self, tree: &IdedExpr) -> Result<Path, Fault> {
        match &tree.expr {
            Expr::Ident(name) => Ok(vec![name.clone()]),
            Expr::Select(select) if !select.test => {
                let mut path = self.path(&select.operand)?;
                path.push(select.field.clone());
                Ok(path)
            }
            Expr::Call(call) if call.func_name == "_[_]" => match call.args.as_slice() {
                [of, index] => {
                    let mut path = self.path(of)?;
                    path.push(self.text(index)?.to_owned());
                    Ok(path)
                }
                _ => Err(self.fault(tree, "is an index without an index")),
            },
            _ => Err(self.fault(tree, format!("{} has no members", show(tree)))),
        }
    }

    /// What stands at a path. Of a member that may be absent, its own parts may only be named once it is known.
    fn place(&self, tree: &IdedExpr, path: &[String], known: &Known) -> Result<Place<'c>, Fault> {
        let mut place = Place::Record(self.scope);
        for (index, name) in path.iter().enumerate() {
            let so_far = path.get(..=index).unwrap_or_default();
            let within = path.get(..index).unwrap_or_default();
            let Place::Record(record) = place else {
                return Err(self.fault(tree, format!("{} has no members", within.join("."))));
            };
            place = match (record.member(name), record.other()) {
                (Some(Member { kind: Kind::Value(of), always, .. }), _) => {
                    Place::Value { of: of.clone(), always: *always }
                }
                (Some(Member { kind: Kind::Record(members), always, .. }), _) => {
                    if !always && index + 1 < path.len() && !known.contains(so_far) {
                        return Err(self.fault(tree, not_there(so_far)));
                    }
                    Place::Record(members)
                }
                (None, other) => {
                    let meant = record.meant_by(name);
                    match (other, meant) {
                        (Some(of), None) => Place::Value { of: of.clone(), always: false },
                        (_, meant) => return Err(self.fault(tree, unknown(so_far, meant, record))),
                    }
                }
            };
        }
        Ok(place)
    }

    fn list(&mut self, tree: &IdedExpr, list: &ListExpr, known: &Known, depth: usize) -> Result<Type, Fault> {
        if list.elements.len() > MOST_ELEMENTS {
            return Err(
                self.fault(tree, format!("has more than {MOST_ELEMENTS} elements; make several rules of it"))
            );
        }
        if !list.optional_indices.is_empty() {
            return Err(self.fault(tree, "has an optional element, which conditions do not have"));
        }
        let mut of = None;
        for element in &list.elements {
            let this = self.check(element, known, depth + 1)?.of;
            match &of {
                None => of = Some(this),
                Some(first) if *first == this => {}
                Some(first) => {
                    return Err(self.fault(element, format!("is a {this} in a list of {first}s")));
                }
            }
        }
        of.map(|of| Type::List(Box::new(of)))
            .ok_or_else(|| self.fault(tree, "is an empty list, which has no type; nothing is in it"))
    }

    fn call(
        &mut self,
        tree: &IdedExpr,
        call: &CallExpr,
        known: &Known,
        depth: usize,
    ) -> Result<Checked, Fault> {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            ("_&&_", None, [left, right]) => {
                let left = self.boolean(left, known, depth)?;
                let right = self.boolean(right, &union(known, &left.when_true), depth)?;
                Ok(Checked {
                    of: Type::Bool,
                    when_true: union(&left.when_true, &right.when_true),
                    when_false: common(&left.when_false, &right.when_false),
                })
            }
            ("_||_", None, [left, right]) => {
                let left = self.boolean(left, known, depth)?;
                let right = self.boolean(right, &union(known, &left.when_false), depth)?;
                Ok(Checked {
                    of: Type::Bool,
                    when_true: common(&left.when_true, &right.when_true),
                    when_false: union(&left.when_false, &right.when_false),
                })
            }
            ("!_", None, [of]) => {
                let of = self.boolean(of, known, depth)?;
                Ok(Checked { of: Type::Bool, when_true: of.when_false, when_false: of.when_true })
            }
            ("_?_:_", None, [condition, yes, no]) => {
                let condition = self.boolean(condition, known, depth)?;
                let yes_type = self.check(yes, &union(known, &condition.when_true), depth + 1)?.of;
                let no_type = self.check(no, &union(known, &condition.when_false), depth + 1)?.of;
                if yes_type != no_type {
                    return Err(self.fault(
                        tree,
                        format!("is a {yes_type} or a {no_type}: both sides of : must have one type"),
                    ));
                }
                Ok(yes_type.into())
            }
            ("has", None, [of]) => self.has(tree, of, known),
            ("@in", None, [element, list]) => self.in_list(tree, element, list, known, depth),
            ("_==_" | "_!=_", None, [left, right]) => {
                let (of, other) = (self.value(left, known, depth)?, self.value(right, known, depth)?);
                if of != other {
                    return Err(self.fault(tree, differing(left, &of, right, &other)));
                }
                self.refuse_different(left, right)?;
                Ok(Type::Bool.into())
            }
            (name, None, [left, right]) if functions::is_ordering(name) => {
                let (of, other) = (self.value(left, known, depth)?, self.value(right, known, depth)?);
                match of {
                    _ if of != other => Err(self.fault(tree, differing(left, &of, right, &other))),
                    Type::Int | Type::Time | Type::Span => Ok(Type::Bool.into()),
                    Type::Text => Err(self.fault(
                        tree,
                        "compares texts letter by letter, so that \"10\" is less than \"9\"; ids are texts: compare them with == or in",
                    )),
                    _ => Err(self.fault(tree, format!("compares {of}s by size, and they have none"))),
                }
            }
            ("_+_" | "_-_", None, [left, right]) => {
                let (of, other) = (self.value(left, known, depth)?, self.value(right, known, depth)?);
                functions::sum(name, &of, &other).map(Checked::from).ok_or_else(|| {
                    let written = functions::operator(name).unwrap_or_default();
                    self.fault(tree, format!("{of} {written} {other} is nothing"))
                })
            }
            ("-_", None, [of]) if self.value(of, known, depth)? == Type::Int => Ok(Type::Int.into()),
            ("_[_]", None, _) => self.name(tree, known).map(Checked::from),
            ("_?._", None, [record, member]) => {
                let mut path = self.path(record)?;
                path.push(self.text(member)?.to_owned());
                match self.place(tree, &path, known)? {
                    Place::Value { of, .. } => {
                        self.note(tree, path, Some(of.clone()));
                        Ok(Type::Optional(Box::new(of)).into())
                    }
                    Place::Record(_) => Err(self.fault(
                        tree,
                        format!("{} is a group of values; ask has(…) whether it is there", path.join(".")),
                    )),
                }
            }
            (name, Some(target), args) => self.method(tree, name, target, args, known, depth),
            (name, None, args) => self.function(tree, name, args, known, depth),
        }
    }

    /// `has(claims.environment)`.
    fn has(&mut self, tree: &IdedExpr, of: &IdedExpr, known: &Known) -> Result<Checked, Fault> {
        if !matches!(&of.expr, Expr::Select(_)) {
            return Err(self.fault(tree, "has(…) asks for a member: has(claims.environment)"));
        }
        let path = self.path(of)?;
        self.presence(of, path, known)
    }

    /// Whether what stands at a path is there.
    fn presence(&mut self, tree: &IdedExpr, path: Path, known: &Known) -> Result<Checked, Fault> {
        let of = match self.place(tree, &path, known)? {
            Place::Value { of, .. } => Some(of),
            Place::Record(_) => None,
        };
        self.note(tree, path.clone(), of);
        Ok(Checked { of: Type::Bool, when_true: Known::from([path]), when_false: Known::new() })
    }

    /// `"main" in ["main", "stable"]`; of a group, as `has`: `"x-y" in claims`.
    fn in_list(
        &mut self,
        tree: &IdedExpr,
        element: &IdedExpr,
        list: &IdedExpr,
        known: &Known,
        depth: usize,
    ) -> Result<Checked, Fault> {
        if let Ok(mut path) = self.path(list)
            && self.element.as_ref().is_none_or(|element| path.first() != Some(&element.name))
            && let Place::Record(_) = self.place(list, &path, known)?
        {
            path.push(self.text(element)?.to_owned());
            return self.presence(tree, path, known);
        }
        let of = self.value(element, known, depth)?;
        let list_type = self.value(list, known, depth)?;
        if list_type != Type::List(Box::new(of.clone())) {
            return Err(self.fault(tree, format!("looks for a {of} in a {list_type}")));
        }
        if let Expr::List(literals) = &list.expr {
            for literal in &literals.elements {
                self.refuse_different(element, literal)?;
            }
        }
        Ok(Type::Bool.into())
    }

    /// A text that is written out.
    fn text<'t>(&self, tree: &'t IdedExpr) -> Result<&'t str, Fault> {
        match &tree.expr {
            Expr::Literal(LiteralValue::String(text)) => Ok(text.inner()),
            _ => Err(self.fault(tree, format!("{} must be a text in quotes", show(tree)))),
        }
    }

    fn boolean(&mut self, tree: &IdedExpr, known: &Known, depth: usize) -> Result<Checked, Fault> {
        let checked = self.check(tree, known, depth + 1)?;
        if checked.of == Type::Bool {
            return Ok(checked);
        }
        let advice = if checked.of == Type::Text { "; compare it: == \"true\"" } else { "" };
        Err(self.fault(
            tree,
            format!("{} is a {}, where true or false is needed{advice}", show(tree), checked.of),
        ))
    }

    /// A value that is there.
    fn value(&mut self, tree: &IdedExpr, known: &Known, depth: usize) -> Result<Type, Fault> {
        match self.check(tree, known, depth + 1)?.of {
            Type::Optional(of) => {
                Err(self
                    .fault(tree, format!("may be absent; give it a default of its type ({of}): .orValue(…)")))
            }
            of => Ok(of),
        }
    }

    fn expect(&mut self, tree: &IdedExpr, expected: &Type, known: &Known, depth: usize) -> Result<(), Fault> {
        let of = self.value(tree, known, depth)?;
        if of == *expected {
            return Ok(());
        }
        Err(self.fault(tree, format!("{} is a {of}, where a {expected} is needed", show(tree))))
    }

    fn fault(&self, at: &IdedExpr, message: impl Into<String>) -> Fault {
        self.parsed.fault(at, message)
    }
}

fn union(one: &Known, other: &Known) -> Known {
    one.union(other).cloned().collect()
}

fn common(one: &Known, other: &Known) -> Known {
    one.intersection(other).cloned().collect()
}
