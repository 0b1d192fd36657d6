//! The predefined functions.

use super::data::{Data, Datum};
use super::evaluate::{Budget, Fault, Outcome};
use super::value::Value;
use super::{escape, format};
use std::cmp::Ordering;

macro_rules! functions {
    ($($variant:ident = $name:literal,)+) => {
        /// A predefined function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Function {
            $(#[doc = $name] $variant,)+
        }

        impl Function {
            /// The function of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

functions! {
    And = "and",
    Or = "or",
    Not = "not",
    Eq = "eq",
    Ne = "ne",
    Lt = "lt",
    Le = "le",
    Gt = "gt",
    Ge = "ge",
    Index = "index",
    Slice = "slice",
    Len = "len",
    Print = "print",
    Printf = "printf",
    Println = "println",
    Html = "html",
    Js = "js",
    Urlquery = "urlquery",
    Call = "call",
}

/// Calls a function; `and` and `or` are not here, since they do not evaluate all of their arguments.
pub(super) fn call(
    function: Function,
    arguments: &[Value],
    data: &Data<'_>,
    budget: &mut Budget,
) -> Outcome<Value> {
    match function {
        Function::Not => match arguments {
            [value] => Ok(Value::Bool(!is_true(value, data))),
            _ => Err(WRONG_NUMBER),
        },
        Function::Len => match arguments {
            [value] => len(value, data),
            _ => Err(WRONG_NUMBER),
        },
        Function::Eq => match arguments {
            [first, others @ ..] if !others.is_empty() => equal_any(first, others).map(Value::Bool),
            _ => Err(WRONG_NUMBER),
        },
        Function::Ne | Function::Lt | Function::Le | Function::Gt | Function::Ge => match arguments {
            [one, other] => compare(function, one, other).map(Value::Bool),
            _ => Err(WRONG_NUMBER),
        },
        Function::Index => match arguments {
            [item, indices @ ..] => index(item, indices, data, budget),
            [] => Err(WRONG_NUMBER),
        },
        Function::Slice => match arguments {
            [item, indices @ ..] => slice(item, indices, budget),
            [] => Err(WRONG_NUMBER),
        },
        Function::Printf => match arguments {
            [Value::Text(form), others @ ..] => budget.text(format::printf(form, others, data)?),
            [_, ..] => Err(Fault::failed("the first argument of printf must be a string")),
            [] => Err(WRONG_NUMBER),
        },
        Function::Print => budget.text(format::print(arguments, data)?),
        Function::Println => budget.text(format::println(arguments, data)?),
        Function::Html => budget.text(escape::html(&format::to_escape(arguments, data)?)),
        Function::Js => budget.text(escape::js(&format::to_escape(arguments, data)?)),
        Function::Urlquery => budget.text(escape::url_query(&format::to_escape(arguments, data)?)),
        // No datum is a function.
        Function::Call => Err(Fault::failed("it calls what is no function")),
        Function::And | Function::Or => Err(Fault::failed("and, or: not evaluated here")),
    }
}

const WRONG_NUMBER: Fault = Fault::failed("it calls a function with a wrong number of arguments");
const INCOMPARABLE: Fault = Fault::failed("it compares values whose types cannot be compared");
const OUT_OF_RANGE: Fault = Fault::failed("an index is out of range");

/// Not the empty value of its type.
pub(super) fn is_true(value: &Value, data: &Data<'_>) -> bool {
    match value {
        Value::Nothing => false,
        Value::Bool(value) => *value,
        Value::Int(value) => *value != 0,
        Value::Octet(value) => *value != 0,
        Value::Float(value) => *value != 0.0,
        Value::Text(octets) => !octets.is_empty(),
        Value::Data => !data.is_empty(),
    }
}

fn len(value: &Value, data: &Data<'_>) -> Outcome<Value> {
    let length = match value {
        Value::Text(octets) => octets.len(),
        Value::Data => data.len(),
        _ => return Err(Fault::failed("len of what has no length")),
    };
    i64::try_from(length).map(Value::Int).map_err(|_| OUT_OF_RANGE)
}

/// Whether the first equals any of the others. Nothing is evaluated, so nothing compared, after the first match.
fn equal_any(first: &Value, others: &[Value]) -> Outcome<bool> {
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(one: &Value, other: &Value) -> Outcome<bool> {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
        (Value::Float(one), Value::Float(other)) => Ok(one == other),
        (Value::Text(one), Value::Text(other)) => Ok(one == other),
        (Value::Nothing, Value::Nothing) => Ok(true),
        (Value::Nothing, _) | (_, Value::Nothing) => Ok(false),
        _ => match (one.integer(), other.integer()) {
            (Some(one), Some(other)) => Ok(one == other),
            _ => Err(INCOMPARABLE),
        },
    }
}

fn compare(function: Function, one: &Value, other: &Value) -> Outcome<bool> {
    if function == Function::Ne {
        return equal(one, other).map(|equal| !equal);
    }
    let order = match (one, other) {
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        _ => match (one.integer(), other.integer()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => return Err(INCOMPARABLE),
        },
    };
    let order = order.ok_or(INCOMPARABLE)?;
    Ok(match function {
        Function::Lt => order == Ordering::Less,
        Function::Le => order != Ordering::Greater,
        Function::Gt => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

/// `index x 1 2` is `x[1][2]`. A name that is absent from the data has the empty text: that is no error.
fn index(item: &Value, indices: &[Value], data: &Data<'_>, budget: &mut Budget) -> Outcome<Value> {
    if matches!(item, Value::Nothing) {
        return Err(Fault::failed("index of nil"));
    }
    let mut item = item.clone();
    for index in indices {
        item = match (&item, index) {
            (Value::Data, Value::Text(name)) => {
                let name = std::str::from_utf8(name).ok();
                match name.and_then(|name| Some((name, data.member(name)?))) {
                    Some((_, Datum::Text(text))) => budget.text(text.as_bytes().to_vec())?,
                    Some((name, Datum::Refused(reason))) => {
                        return Err(Fault::Refused(name.to_owned(), *reason));
                    }
                    None => Value::text([]),
                }
            }
            (Value::Text(octets), index) => {
                let octet = position(index).and_then(|position| octets.get(position));
                Value::Octet(*octet.ok_or(OUT_OF_RANGE)?)
            }
            _ => return Err(Fault::failed("it takes the index of what has none, or with a wrong type")),
        };
    }
    Ok(item)
}

fn slice(item: &Value, indices: &[Value], budget: &mut Budget) -> Outcome<Value> {
    let (Value::Text(octets), true) = (item, indices.len() <= 2) else {
        return Err(Fault::failed("slice takes a string and at most two indices"));
    };
    let mut bounds = [0, octets.len()];
    for (bound, index) in bounds.iter_mut().zip(indices) {
        *bound = position(index).ok_or(OUT_OF_RANGE)?;
    }
    let [from, to] = bounds;
    budget.text(octets.get(from..to).ok_or(OUT_OF_RANGE)?.to_vec())
}

fn position(index: &Value) -> Option<usize> {
    usize::try_from(index.integer()?).ok()
}
