//! Calls of functions, with the types of their arguments.

use super::{Checked, Checker, Element, Known};
use crate::condition::functions::{self, OF_TEXTS};
use crate::condition::scope::Type;
use crate::condition::{Fault, patterns};
use cel::IdedExpr;
use cel::common::ast::Expr;
use regex::Regex;

/// The longest regular expression, in octets.
const LONGEST_PATTERN: usize = 512;

/// Years in which a time may lie, and the longest duration, in seconds: their sums and differences can be computed.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;
const LONGEST_SPAN: u64 = 10 * 366 * 24 * 3600;

impl Checker<'_> {
    pub(super) fn method(
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
                self.refuse_part(tree, name, target, argument)?;
                Ok(Type::Bool.into())
            }
            [pattern] if name == "matches" => {
                self.expect(target, &Type::Text, known, depth)?;
                let pattern = self.pattern(pattern)?;
                self.refuse_never(tree, target, &|text| pattern.is_match(text))?;
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

    pub(super) fn function(
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
                let pattern = self.pattern(pattern)?;
                self.refuse_never(tree, text, &|text| pattern.is_match(text))?;
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
        let written = match &list.expr {
            Expr::List(list) => list.elements.clone(),
            _ => Vec::new(),
        };
        self.element = Some(Element { name: variable_name.clone(), of, written });
        let checked = self.boolean(condition, known, depth);
        self.element = None;
        checked.map(|_| Type::Bool)
    }

    /// A regular expression, which must be written out, so that it is checked when it is loaded.
    fn pattern(&self, tree: &IdedExpr) -> Result<Regex, Fault> {
        let pattern = self.text(tree)?;
        if pattern.len() > LONGEST_PATTERN {
            return Err(
                self.fault(tree, format!("is a regular expression of more than {LONGEST_PATTERN} octets"))
            );
        }
        match patterns::compile(pattern) {
            Ok(pattern) => Ok(pattern),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err(self.fault(tree, "is a regular expression that takes too much memory"))
            }
            Err(_) => Err(self.fault(tree, "is no regular expression (RE2's syntax)")),
        }
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
}
