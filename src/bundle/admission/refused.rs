//! Why a policy does not admit something.

use super::{AdmissionPolicy, MOST_EXPLAINED, Part};
use crate::condition::{Step, Undecided, Value};
use std::fmt;

/// How much of a text is shown, in characters.
const SHOWN: usize = 200;
/// How many texts of a list are.
const SHOWN_TEXTS: usize = 16;

/// A policy that does not admit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    policy: String,
    message: Option<String>,
    why: Why,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its condition names what is not there.
    Lacks(Part),
    /// Its condition neither holds nor fails to.
    Undecided(Undecided),
    /// Its condition does not hold; each of its parts. Of a text that is too long to be shown there is the beginning, and how long it was.
    Fails(Vec<Step>),
    /// Its condition does not hold either: [`MOST_EXPLAINED`] others are explained.
    AlsoFails,
}

impl Why {
    pub(super) fn fails(mut steps: Vec<Step>) -> Self {
        for step in &mut steps {
            for (_, value) in &mut step.facts {
                *value = value.take().map(beginning);
            }
        }
        Self::Fails(steps)
    }
}

/// As much of a value as is shown.
pub(super) fn beginning(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(beginning_of(text)),
        Value::Texts(texts) => {
            let more = texts.len().saturating_sub(SHOWN_TEXTS);
            let mut shown: Vec<_> = texts.into_iter().take(SHOWN_TEXTS).map(beginning_of).collect();
            if more > 0 {
                shown.push(format!("… and {more} more"));
            }
            Value::Texts(shown)
        }
        other => other,
    }
}

fn beginning_of(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text,
        Some((end, _)) => {
            let shown = text.get(..end).unwrap_or_default();
            format!("{shown}… ({} characters)", text.chars().count())
        }
    }
}

impl Refused {
    pub(super) fn new(policy: &AdmissionPolicy, why: Why) -> Self {
        Self { policy: policy.name.clone(), message: policy.message.clone(), why }
    }

    /// The policy's name.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// What its author says to whoever is refused.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Why.
    pub const fn why(&self) -> &Why {
        &self.why
    }

    /// The same in words, a line for each part that is not as it must be, with the values that it names. The values are the
    /// certificate's and the bundle's, and may have anything in them but line breaks; long ones are cut.
    pub fn reasons(&self) -> Vec<String> {
        match &self.why {
            Why::Lacks(part) => vec![part.to_string()],
            Why::Undecided(undecided) => vec![format!("it cannot be decided: {undecided}")],
            Why::Fails(steps) => {
                failing(steps).into_iter().map(|(step, wanted)| sentence(step, wanted)).collect()
            }
            Why::AlsoFails => {
                vec![format!(
                    "its condition does not hold either; which part of it is told of {MOST_EXPLAINED} policies"
                )]
            }
        }
    }
}

impl fmt::Display for Refused {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": ", self.policy)?;
        if let Some(message) = self.message() {
            write!(f, "{} ", message)?;
        }
        f.write_str(&self.reasons().join("; "))
    }
}

/// The innermost parts that made it fail, and what each of them should have been.
fn failing(steps: &[Step]) -> Vec<(&Step, bool)> {
    let mut found = Vec::new();
    walk(steps, true, &mut found);
    found
}

/// Parts stand before those that they are made of, which are one deeper. All of `steps` are siblings with what is below them.
fn walk<'s>(mut steps: &'s [Step], wanted: bool, found: &mut Vec<(&'s Step, bool)>) {
    while let [step, rest @ ..] = steps {
        let end = rest.iter().position(|other| other.depth <= step.depth).unwrap_or(rest.len());
        let (below, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        if step.holds != Ok(wanted) {
            if below.is_empty() {
                found.push((step, wanted));
            } else {
                walk(below, wanted != (step.text == "not"), found);
            }
        }
        steps = after;
    }
}

fn sentence(step: &Step, wanted: bool) -> String {
    let verdict = match (&step.holds, wanted) {
        (Err(undecided), _) => format!("cannot be decided: {undecided}"),
        (Ok(_), true) => "does not hold".to_owned(),
        (Ok(_), false) => "holds, and must not".to_owned(),
    };
    let values: Vec<_> = step
        .facts
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name} is {}", shown(value)),
            None => format!("{name} is not there"),
        })
        .collect();
    let values = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
    format!("{} {verdict}{values}", step.text)
}

/// As it would stand in a condition.
fn shown(value: &Value) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        Value::Bool(yes) => yes.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Texts(texts) => {
            format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
        Value::Time(at) => format!("timestamp(\"{at}\")"),
        Value::Group => "there".to_owned(),
    }
}
