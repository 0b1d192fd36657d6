//! The check: every name exists, every type fits, and nothing that may be absent is read before somebody asked whether it is there.
//!
//! What is known to be there flows as CEL evaluates, from left to right: behind `has(claims.environment) &&`, behind
//! `!has(claims.environment) ||`, and in the branches of `has(claims.environment) ? … : …`.

use super::functions::{self, OF_TEXTS};
use super::scope::{Kind, Member, Record, Scope, Type};
use super::show::show;
use super::syntax::{DEEPEST, Parsed};
use super::{Fault, Named, patterns};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, ListExpr, LiteralValue};
use std::collections::{BTreeMap, BTreeSet};

/// How many elements a list may have that stands in the condition.
const MOST_ELEMENTS: usize = 256;
/// The longest regular expression, in octets.
const LONGEST_PATTERN: usize = 512;

/// Years in which a time may lie, and the longest duration, in seconds: their sums and differences can be computed.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;
const LONGEST_SPAN: u64 = 10 * 366 * 24 * 3600;

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
    Ok(checker.named.into_iter().map(|(path, of)| Named { path, of }).collect())
}

struct Checker<'c> {
    parsed: &'c Parsed,
    scope: &'c Scope,
    named: BTreeMap<Path, Option<Type>>,
    /// The variable of the `exists` that the check is in, and its type.
    element: Option<(String, Type)>,
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
    Value { of: Type, always: bool, values: &'static [&'static str] },
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
            LiteralValue::String(_) => Ok(Type::Text),
            LiteralValue::Null => {
                Err(self.fault(tree, "null is nothing to compare with; ask has(…) whether a claim is there"))
            }
            LiteralValue::Bytes(_) | LiteralValue::Double(_) | LiteralValue::UInt(_) => {
                Err(self.fault(tree, "is of a type that nothing here has; write a text or a whole number"))
            }
        }
    }

    /// A variable, or a member of one.
    fn name(&mut self, tree: &IdedExpr, known: &Known) -> Result<Type, Fault> {
        if let (Expr::Ident(name), Some((element, of))) = (&tree.expr, &self.element)
            && name == element
        {
            return Ok(of.clone());
        }
        let path = self.path(tree)?;
        match self.place(tree, &path, known)? {
            Place::Record(_) => {
                Err(self.fault(tree, format!("{} is a group of values; name one of them", path.join("."))))
            }
            Place::Value { of, always, .. } => {
                if !always && !known.contains(&path) {
                    return Err(self.fault(tree, not_asked(&path, &of)));
                }
                self.named.insert(path, Some(of.clone()));
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
                (Some(Member { kind: Kind::Value(of), always, values }), _) => {
                    Place::Value { of: of.clone(), always: *always, values }
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
                        (Some(of), None) => Place::Value { of: of.clone(), always: false, values: &[] },
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
                self.refuse_impossible(left, right, known)?;
                self.refuse_impossible(right, left, known)?;
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
                        self.named.insert(path, Some(of.clone()));
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
        self.named.insert(path.clone(), of);
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
            && !matches!(&self.element, Some((name, _)) if path.first() == Some(name))
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
                self.refuse_impossible(element, literal, known)?;
            }
        }
        Ok(Type::Bool.into())
    }

    fn method(
        &mut self,
        tree: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        args: &[IdedExpr],
        known: &Known,
        depth: usize,
    ) -> Result<Checked, Fault> {
        match args {
            [variable, condition] if functions::is_quantifier(name) => {
                self.quantifier(tree, target, variable, condition, known, depth).map(Checked::from)
            }
            [argument] if OF_TEXTS.contains(&name) => {
                self.expect(target, &Type::Text, known, depth)?;
                self.expect(argument, &Type::Text, known, depth)?;
                Ok(Type::Bool.into())
            }
            [pattern] if name == "matches" => {
                self.expect(target, &Type::Text, known, depth)?;
                self.pattern(pattern)?;
                Ok(Type::Bool.into())
            }
            [] if name == "size" => self.size(target, known, depth),
            [] if name == "hasValue" => match self.check(target, known, depth + 1)?.of {
                Type::Optional(_) => Ok(Type::Bool.into()),
                of => Err(self.fault(tree, format!("is a {of}, which always has a value"))),
            },
            [default] if name == "orValue" => match self.check(target, known, depth + 1)?.of {
                Type::Optional(of) => {
                    self.expect(default, &of, known, depth)?;
                    Ok((*of).into())
                }
                of => Err(self.fault(tree, format!("is a {of}, which is always there; a default stands behind .?: claims.?environment.orValue(\"\")"))),
            },
            _ => Err(self.no_such(tree, name, args.len())),
        }
    }

    fn function(
        &mut self,
        tree: &IdedExpr,
        name: &str,
        args: &[IdedExpr],
        known: &Known,
        depth: usize,
    ) -> Result<Checked, Fault> {
        match (name, args) {
            ("size", [of]) => self.size(of, known, depth),
            ("matches", [text, pattern]) => {
                self.expect(text, &Type::Text, known, depth)?;
                self.pattern(pattern)?;
                Ok(Type::Bool.into())
            }
            ("timestamp", [text]) => {
                let text = self.text(text)?;
                match chrono::DateTime::parse_from_rfc3339(text) {
                    Ok(time) if YEARS.contains(&chrono::Datelike::year(&time)) => Ok(Type::Time.into()),
                    Ok(_) => Err(self.fault(tree, "is a time outside of the years 1970 to 2200")),
                    Err(_) => Err(self.fault(tree, "is no time; write it as 2026-01-31T08:00:00Z")),
                }
            }
            ("duration", [text]) => {
                let text = self.text(text)?;
                let whole = |unit: char, seconds: u64| {
                    let number = text.strip_suffix(unit)?;
                    if !number.bytes().all(|octet| octet.is_ascii_digit()) {
                        return None;
                    }
                    number.parse::<u64>().ok()?.checked_mul(seconds)
                };
                match whole('s', 1).or(whole('m', 60)).or(whole('h', 3600)) {
                    Some(seconds) if seconds <= LONGEST_SPAN => Ok(Type::Span.into()),
                    Some(_) => Err(self.fault(tree, "is longer than ten years")),
                    None => Err(self.fault(tree, "is no duration; write it as \"90s\", \"10m\" or \"24h\"")),
                }
            }
            _ => Err(self.no_such(tree, name, args.len())),
        }
    }

    fn size(&mut self, of: &IdedExpr, known: &Known, depth: usize) -> Result<Checked, Fault> {
        match self.value(of, known, depth)? {
            Type::Text | Type::List(_) => Ok(Type::Int.into()),
            other => Err(self.fault(of, format!("is a {other}, which has no size"))),
        }
    }

    /// `claims.groups_direct.exists(group, group == "acme")`. Not within another one: the work would be their product.
    fn quantifier(
        &mut self,
        tree: &IdedExpr,
        list: &IdedExpr,
        variable: &IdedExpr,
        condition: &IdedExpr,
        known: &Known,
        depth: usize,
    ) -> Result<Type, Fault> {
        let Expr::Ident(variable_name) = &variable.expr else {
            return Err(self.fault(variable, "is no name for the list's elements"));
        };
        if self.element.is_some() {
            return Err(self.fault(tree, "stands within another one of its kind; make several rules of it"));
        }
        if self.scope.member(variable_name).is_some() {
            return Err(self.fault(
                variable,
                format!("{variable_name} is a variable already; give the elements another name"),
            ));
        }
        let of = match self.value(list, known, depth)? {
            Type::List(of) => *of,
            other => return Err(self.fault(list, format!("is a {other}, and no list"))),
        };
        self.element = Some((variable_name.clone(), of));
        let checked = self.boolean(condition, known, depth);
        self.element = None;
        checked.map(|_| Type::Bool)
    }

    /// A regular expression, which must be written out, so that it is checked when it is loaded.
    fn pattern(&self, tree: &IdedExpr) -> Result<(), Fault> {
        let pattern = self.text(tree)?;
        if pattern.len() > LONGEST_PATTERN {
            return Err(
                self.fault(tree, format!("is a regular expression of more than {LONGEST_PATTERN} octets"))
            );
        }
        match patterns::compile(pattern) {
            Ok(_) => Ok(()),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err(self.fault(tree, "is a regular expression that takes too much memory"))
            }
            Err(_) => Err(self.fault(tree, "is no regular expression (RE2's syntax)")),
        }
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

    /// A comparison with something that a member never is.
    fn refuse_impossible(&self, member: &IdedExpr, literal: &IdedExpr, known: &Known) -> Result<(), Fault> {
        let Expr::Literal(LiteralValue::String(text)) = &literal.expr else { return Ok(()) };
        let Ok(path) = self.path(member) else { return Ok(()) };
        if let Ok(Place::Value { values, .. }) = self.place(member, &path, known)
            && !values.is_empty()
            && !values.contains(&text.inner())
        {
            let all = values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ");
            return Err(self.fault(literal, format!("{} is never that: it is one of {all}", path.join("."))));
        }
        Ok(())
    }

    fn no_such(&self, tree: &IdedExpr, name: &str, arguments: usize) -> Fault {
        let name = functions::operator(name).unwrap_or(name);
        self.fault(
            tree,
            format!(
                "{name} with {arguments} arguments is nothing that conditions have; there are == != < <= > >= + - && || ! ?: in, has, \
                 startsWith, endsWith, contains, matches, size, exists, all, exists_one, orValue, hasValue, timestamp and duration"
            ),
        )
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

fn not_asked(path: &[String], of: &Type) -> String {
    let name = path.join(".");
    let default = match (of, path) {
        (Type::Text, [record, member]) => format!(", or {record}.?{member}.orValue(\"\")"),
        _ => String::new(),
    };
    format!("{name} is not always there; write has({name}) && …{default}")
}

fn not_there(path: &[String]) -> String {
    let name = path.join(".");
    format!("{name} is not always there; write has({name}) && … before it")
}

fn unknown(path: &[String], meant: Option<&str>, record: &Record) -> String {
    let name = path.join(".");
    match meant {
        Some(meant) => format!("{name} is unknown; did you mean {meant}?"),
        None => format!("{name} is unknown; there are {}", record.names().collect::<Vec<_>>().join(", ")),
    }
}

fn differing(left: &IdedExpr, of: &Type, right: &IdedExpr, other: &Type) -> String {
    let quotes =
        if matches!((of, other), (Type::Text, _) | (_, Type::Text)) { "; texts stand in quotes" } else { "" };
    format!("compares {} (a {of}) with {} (a {other}){quotes}", show(left), show(right))
}
