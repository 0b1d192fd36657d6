//! `--policy`: policies from a file, what is to be said about them, and how it is told which one admits or why none does.

use super::report::printable;
use super::{CliError, Output};
use crate::bundle::VerificationError;
use crate::bundle::admission::{Policies, PolicyAdvice, Refused, Why};
use crate::condition::{Step, Value as Found};
use crate::config;
use crate::identity::extensions::ClaimsArc;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Policies, and warnings about them.
pub struct PolicyFile {
    /// The policies.
    pub policies: Policies,
    /// What their authors should know.
    pub advice: Vec<PolicyAdvice>,
}

impl PolicyFile {
    /// Reads the file. `identified`: an identity or a key is expected besides, so that the policies need not say who signed.
    ///
    /// # Errors
    /// Exit code 78, with every error and its line.
    pub fn read(path: &Path, arc: Option<&ClaimsArc>, identified: bool) -> Result<Self, CliError> {
        let policies = config::read_policies(path)
            .map_err(|errors| super::config::refused_files("the policy file has", &errors))?;
        let advice =
            policies.advice().into_iter().filter(|it| !(identified && it.lint.is_of_identity())).collect();
        Ok(Self { policies: policies.with_arc(arc.cloned().unwrap_or_default()), advice })
    }

    /// Warnings on standard error; programs find them in the document.
    pub fn warn(&self, output: &mut Output) {
        if output.is_json() {
            return;
        }
        for advice in &self.advice {
            let line = format!("policy \"{}\" {} [{}]", advice.policy, advice.message, advice.lint.code());
            output.note(format_args!("warning: {}", printable(&line)));
        }
    }

    /// The same for programs.
    pub fn warnings_json(&self) -> Value {
        let one = |advice: &PolicyAdvice| json!({ "policy": advice.policy, "code": advice.lint.code(), "message": advice.message });
        self.advice.iter().map(one).collect()
    }
}

/// Why none admits it, a line for each policy and each of its reasons.
pub fn lines(error: &VerificationError) -> Vec<String> {
    let mut lines = Vec::new();
    for refused in error.refused() {
        let message = refused.message().map(|message| format!(": {message}")).unwrap_or_default();
        lines.push(printable(&format!("policy \"{}\"{message}", refused.policy())).into_owned());
        lines.extend(refused.reasons().iter().map(|reason| format!("  {}", printable(reason))));
    }
    lines
}

/// The same for programs.
pub fn refused_json(error: &VerificationError) -> Value {
    error.refused().iter().map(one_json).collect()
}

fn one_json(refused: &Refused) -> Value {
    let steps = match refused.why() {
        Why::Fails(steps) => steps.as_slice(),
        Why::Lacks(_) | Why::Undecided(_) | Why::AlsoFails => &[],
    };
    json!({
        "policy": refused.policy(),
        "message": refused.message(),
        "reasons": refused.reasons(),
        "steps": steps.iter().map(step_json).collect::<Vec<_>>(),
    })
}

fn step_json(step: &Step) -> Value {
    let values: Map<String, Value> =
        step.facts.iter().map(|(name, value)| (name.clone(), value_json(value.as_ref()))).collect();
    json!({
        "depth": step.depth,
        "part": step.text,
        "holds": step.holds.as_ref().ok(),
        "values": values,
    })
}

fn value_json(value: Option<&Found>) -> Value {
    match value {
        None => Value::Null,
        Some(Found::Bool(yes)) => json!(yes),
        Some(Found::Int(number)) => json!(number),
        Some(Found::Text(text)) => json!(text),
        Some(Found::Texts(texts)) => json!(texts),
        Some(Found::Time(at)) => json!(at.to_string()),
        Some(Found::Group) => json!({}),
    }
}
