//! Evaluates conditions that were checked.

use super::scope::Type;
use super::show::show;
use super::syntax::STANDARD;
use super::work::{self, Size, Sizes};
use super::{Condition, Named, paths, patterns};
use crate::environment::UnixMillis;
use crate::panics::contain;
use cel::common::ast::Expr;
use cel::objects::{Key, Map};
use cel::{Context, IdedExpr};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a condition is asked about.
pub trait Facts {
    /// The value at a path, `["claims", "ref"]`; `None`: it is absent. Only paths of the condition's scope are asked for. Of a group it is
    /// [`Value::Group`], when it is there.
    ///
    /// # Errors
    /// [`Undecided`]: it is there, and is nothing that a [`Value`] can be. One of another type than the scope says decides nothing either;
    /// that is checked behind this.
    fn value(&self, path: &[String]) -> Result<Option<Value>, Undecided>;
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// CEL's bool.
    Bool(bool),
    /// CEL's int.
    Int(i64),
    /// CEL's string.
    Text(String),
    /// CEL's list of strings.
    Texts(Vec<String>),
    /// CEL's timestamp.
    Time(UnixMillis),
    /// There are members: they are asked for by their own paths.
    Group,
}

/// Why a condition neither holds nor fails to. It names no value of any claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Undecided(pub String);

/// A part of a condition, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How deep it stands, for indenting it.
    pub depth: usize,
    /// The part as text; of parts that are made of others, the operator.
    pub text: String,
    /// Whether it holds.
    pub holds: Result<bool, Undecided>,
    /// Whether anything hangs on it. What cannot be decided by itself, where the parts beside it decide, is not asked:
    /// `claims.environment == "x"` behind a `has(claims.environment)` that does not hold.
    pub is_asked: bool,
    /// The members it names, with what they are; absent ones with `None`.
    pub facts: Vec<(String, Option<Value>)>,
}

pub(super) fn holds(condition: &Condition, facts: &dyn Facts) -> Result<bool, Undecided> {
    let context = context(condition, facts)?;
    evaluate(&condition.program, &context)
}

fn evaluate(program: &IdedExpr, context: &Context<'_, '_>) -> Result<bool, Undecided> {
    match contain(|| context.resolve(program)) {
        Ok(Ok(cel::Value::Bool(holds))) => Ok(holds),
        Ok(Ok(_)) => Err(Undecided("the condition is neither true nor false".to_owned())),
        // CEL's own words may have values in them.
        Ok(Err(_)) => Err(Undecided("the condition cannot be computed from these values".to_owned())),
        Err(_) => Err(Undecided("the condition could not be evaluated".to_owned())),
    }
}

/// The variables that a condition names, with the members that it names.
fn context<'v>(condition: &Condition, facts: &dyn Facts) -> Result<Context<'static, 'v>, Undecided> {
    let mut tree = Tree::default();
    let mut sizes = Sizes::new();
    for Named { path, of, .. } in &condition.names {
        if let Some(value) = facts.value(path)? {
            if let Some(of) = of
                && !value.is(of)
            {
                return Err(Undecided(format!("{} is not a {of}", path.join("."))));
            }
            if condition.varies {
                sizes.insert(path.clone(), value.size());
            }
            tree.put(path, value);
        }
        // So is a group in a variable, where none of the members is that the condition names.
        for end in 2..path.len() {
            let group = path.get(..end).unwrap_or_default();
            if facts.value(group)? == Some(Value::Group) {
                tree.put(group, Value::Group);
            }
        }
        // A variable is there, even where none of its members is.
        if let [variable, _, ..] = path.as_slice() {
            tree.0.entry(variable.clone()).or_insert_with(|| Branch::Group(Tree::default()));
        }
    }
    if condition.varies && work::steps(&condition.written, &sizes) > work::MOST_STEPS {
        return Err(Undecided("the values are too long for what is asked of them".to_owned()));
    }
    let mut context = Context::with_env(STANDARD.clone());
    patterns::give(&condition.patterns, &mut context);
    for (name, branch) in tree.0 {
        context.add_variable_from_value(name, branch.into_value());
    }
    Ok(context)
}

#[derive(Default)]
struct Tree(BTreeMap<String, Branch>);

enum Branch {
    Value(Value),
    Group(Tree),
}

impl Tree {
    fn put(&mut self, path: &[String], value: Value) {
        let [name, rest @ ..] = path else { return };
        if rest.is_empty() {
            match value {
                Value::Group => {
                    self.0.entry(name.clone()).or_insert_with(|| Branch::Group(Self::default()));
                }
                value => {
                    self.0.insert(name.clone(), Branch::Value(value));
                }
            }
            return;
        }
        let group = self.0.entry(name.clone()).or_insert_with(|| Branch::Group(Self::default()));
        if let Branch::Group(tree) = group {
            tree.put(rest, value);
        }
    }
}

impl Branch {
    fn into_value(self) -> cel::Value {
        match self {
            Self::Value(value) => value.into_cel(),
            Self::Group(tree) => {
                let members = tree.0.into_iter().map(|(name, branch)| (Key::from(name), branch.into_value()));
                cel::Value::Map(Map { map: Arc::new(members.collect::<HashMap<_, _>>()) })
            }
        }
    }
}

impl Value {
    /// Whether it is of this type.
    pub fn is(&self, of: &Type) -> bool {
        match (self, of) {
            (Self::Bool(_), Type::Bool)
            | (Self::Int(_), Type::Int)
            | (Self::Text(_), Type::Text)
            | (Self::Time(_), Type::Time) => true,
            (Self::Texts(_), Type::List(of)) => **of == Type::Text,
            _ => false,
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::Text(text) => Size::of_text(text.len() as u64),
            Self::Texts(texts) => work::of_texts(texts),
            Self::Bool(_) | Self::Int(_) | Self::Time(_) | Self::Group => Size::default(),
        }
    }

    fn into_cel(self) -> cel::Value {
        match self {
            Self::Bool(yes) => cel::Value::Bool(yes),
            Self::Int(number) => cel::Value::Int(number),
            Self::Text(text) => cel::Value::String(Arc::new(text)),
            Self::Texts(texts) => {
                let texts = texts.into_iter().map(|text| cel::Value::String(Arc::new(text)));
                cel::Value::List(Arc::new(texts.collect()))
            }
            Self::Time(time) => {
                let millis = i64::try_from(time.0).ok().and_then(chrono::DateTime::from_timestamp_millis);
                cel::Value::Timestamp(millis.unwrap_or_default().fixed_offset())
            }
            Self::Group => cel::Value::Map(Map { map: Arc::default() }),
        }
    }
}

pub(super) fn steps(condition: &Condition, facts: &dyn Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    match context(condition, facts) {
        Ok(context) => {
            let whole = (&condition.written, &condition.program);
            walk(whole, (0, false), &context, condition, facts, &mut steps);
        }
        Err(undecided) => {
            steps.push(Step {
                depth: 0,
                text: show(&condition.written),
                holds: Err(undecided),
                is_asked: true,
                facts: Vec::new(),
            });
        }
    }
    steps
}

/// Both trees have the same shape down to the parts that are shown. With the depth it is told whether what is around is decided.
fn walk(
    (written, program): (&IdedExpr, &IdedExpr),
    (depth, is_decided): (usize, bool),
    context: &Context<'_, '_>,
    condition: &Condition,
    facts: &dyn Facts,
    steps: &mut Vec<Step>,
) {
    let holds = evaluate(program, context);
    let is_asked = holds.is_ok() || !is_decided;
    if let (Expr::Call(written_call), Expr::Call(call)) = (&written.expr, &program.expr)
        && let Some(text) = joint(&written_call.func_name)
        && written_call.func_name == call.func_name
    {
        // A chain of one operator is one step with many parts.
        let mut parts = Vec::new();
        flatten((written, program), &call.func_name, &mut parts);
        let is_decided = is_decided || holds.is_ok();
        steps.push(Step { depth, text: text.to_owned(), holds, is_asked, facts: Vec::new() });
        for part in parts {
            walk(part, (depth + 1, is_decided), context, condition, facts, steps);
        }
        return;
    }
    let mut named = Vec::new();
    for Named { path, .. } in &condition.names {
        // Of what cannot be decided, nobody can say whether it is there.
        if paths::names(written, path)
            && let Ok(value) = facts.value(path)
        {
            named.push((path.join("."), value));
        }
    }
    steps.push(Step { depth, text: show(written), holds, is_asked, facts: named });
}

/// The step of a chain of `&&`.
pub(super) const ALL_OF: &str = "all of";
/// The step of a chain of `||`.
pub(super) const ONE_OF: &str = "one of";
/// The step of a `!`.
pub(super) const NOT: &str = "not";

fn joint(function: &str) -> Option<&'static str> {
    match function {
        "_&&_" => Some(ALL_OF),
        "_||_" => Some(ONE_OF),
        "!_" => Some(NOT),
        _ => None,
    }
}

fn flatten<'t>(
    pair: (&'t IdedExpr, &'t IdedExpr),
    function: &str,
    parts: &mut Vec<(&'t IdedExpr, &'t IdedExpr)>,
) {
    match (&pair.0.expr, &pair.1.expr) {
        (Expr::Call(written), Expr::Call(program))
            if written.func_name == function && program.func_name == function && function != "!_" =>
        {
            for part in written.args.iter().zip(&program.args) {
                flatten(part, function, parts);
            }
        }
        (Expr::Call(written), Expr::Call(program)) if parts.is_empty() && function == "!_" => {
            parts.extend(written.args.iter().zip(&program.args));
        }
        _ => parts.push(pair),
    }
}
