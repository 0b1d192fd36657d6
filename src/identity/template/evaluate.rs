//! Executing a parsed template, within bounds.

use super::ast::{Command, Control, ControlKeyword, List, Node, Operand, Pipeline};
use super::data::{Data, Datum};
use super::functions::{self, Function};
use super::value::Value;
use super::{FUEL, MAX_DEPTH, MAX_TEXT_BYTES, format};
use crate::refusal::Reason;
use std::collections::BTreeMap;

/// Why an execution failed. Without any value of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is nothing under this name.
    Absent(String),
    /// What is under this name must not be used.
    Refused(String, Reason),
    /// Anything else, in words that follow a colon.
    Failed(&'static str),
}

impl Fault {
    pub(super) const fn failed(message: &'static str) -> Self {
        Self::Failed(message)
    }
}

pub(super) type Outcome<T> = Result<T, Fault>;

/// The octets that `main` makes of the data.
pub(super) fn execute(main: &List, defined: &BTreeMap<Vec<u8>, List>, data: &Data<'_>) -> Outcome<Vec<u8>> {
    let root = ("$", Value::Data);
    let mut execution = Execution {
        defined,
        data,
        variables: vec![root],
        output: Vec::new(),
        budget: Budget::default(),
        depth: 0,
    };
    execution.list(main, &Value::Data)?;
    Ok(execution.output)
}

/// What is left of the work that an execution may cost.
pub(super) struct Budget {
    fuel: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { fuel: FUEL }
    }
}

impl Budget {
    pub fn spend(&mut self, units: usize) -> Outcome<()> {
        self.fuel = self.fuel.checked_sub(units).ok_or(Fault::failed("it takes too much work"))?;
        Ok(())
    }

    /// A text that was made, if it is not too long.
    pub fn text(&mut self, octets: Vec<u8>) -> Outcome<Value> {
        self.bound(octets.len())?;
        Ok(Value::text(octets))
    }

    pub fn bound(&mut self, length: usize) -> Outcome<()> {
        if length > MAX_TEXT_BYTES {
            return Err(Fault::failed("it makes a text longer than 64 KiB"));
        }
        self.spend(length)
    }
}

struct Execution<'t, 'd> {
    defined: &'t BTreeMap<Vec<u8>, List>,
    data: &'t Data<'d>,
    /// Those of the template that is executed, innermost last.
    variables: Vec<(&'t str, Value)>,
    output: Vec<u8>,
    budget: Budget,
    depth: usize,
}

/// How a list ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'t> Execution<'t, '_> {
    fn list(&mut self, list: &'t List, dot: &Value) -> Outcome<Flow> {
        self.deeper(|this| {
            for node in list {
                let flow = this.node(node, dot)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    fn node(&mut self, node: &'t Node, dot: &Value) -> Outcome<Flow> {
        self.budget.spend(1)?;
        match node {
            Node::Text(text) => self.write(text.as_bytes())?,
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    let text = format::action_text(&value, self.data)?;
                    self.write(&text)?;
                }
            }
            Node::Control(control) => return self.control(control, dot),
            Node::Template { name, dot: pipeline } => self.template(name, pipeline.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, octets: &[u8]) -> Outcome<()> {
        self.budget.spend(octets.len())?;
        if self.output.len() + octets.len() > MAX_TEXT_BYTES {
            return Err(Fault::failed("its text is longer than 64 KiB"));
        }
        self.output.extend_from_slice(octets);
        Ok(())
    }

    fn control(&mut self, control: &'t Control, dot: &Value) -> Outcome<Flow> {
        let variables = self.variables.len();
        let value = self.pipeline(&control.pipeline, dot)?;
        let flow = match control.keyword {
            ControlKeyword::Range => self.range(control, value, dot),
            ControlKeyword::If | ControlKeyword::With if functions::is_true(&value, self.data) => {
                let inner = if control.keyword == ControlKeyword::With { &value } else { dot };
                self.list(&control.then, inner)
            }
            _ => self.otherwise(control, dot),
        };
        self.variables.truncate(variables);
        flow
    }

    fn otherwise(&mut self, control: &'t Control, dot: &Value) -> Outcome<Flow> {
        control.otherwise.as_ref().map_or(Ok(Flow::Next), |list| self.list(list, dot))
    }

    fn range(&mut self, control: &'t Control, value: Value, dot: &Value) -> Outcome<Flow> {
        let data = self.data;
        match value {
            Value::Data if !data.is_empty() => {
                for (name, datum) in data.iter() {
                    let key = self.budget.text(name.as_bytes().to_vec())?;
                    let element = self.datum(name, datum)?;
                    if self.iteration(control, key, element)? == Flow::Break {
                        break;
                    }
                }
                Ok(Flow::Next)
            }
            Value::Data | Value::Nothing => self.otherwise(control, dot),
            Value::Int(_) | Value::Octet(_) if control.pipeline.variables.len() > 1 => {
                Err(Fault::failed("a range over a number has one variable"))
            }
            Value::Int(_) | Value::Octet(_) => {
                let count = value.integer().unwrap_or_default();
                if count <= 0 {
                    return self.otherwise(control, dot);
                }
                for number in 0..count {
                    // The element has the number's own type.
                    let element = match value {
                        Value::Octet(_) => u8::try_from(number).map_or(Value::Int(number), Value::Octet),
                        _ => Value::Int(number),
                    };
                    if self.iteration(control, Value::Nothing, element)? == Flow::Break {
                        break;
                    }
                }
                Ok(Flow::Next)
            }
            _ => Err(Fault::failed("range needs the claims or a number")),
        }
    }

    /// One turn; [`Flow::Break`] is the last.
    fn iteration(&mut self, control: &'t Control, key: Value, element: Value) -> Outcome<Flow> {
        self.budget.spend(1)?;
        let mark = self.variables.len();
        let pipeline = &control.pipeline;
        let mut values = match pipeline.variables.len() {
            0 => vec![],
            1 => vec![element.clone()],
            _ => vec![key, element.clone()],
        };
        if pipeline.assigns {
            for (name, value) in pipeline.variables.iter().zip(values) {
                self.assign(name, value)?;
            }
        } else {
            // The pipeline has just declared them: they are the innermost.
            for (_, slot) in self.variables.iter_mut().rev().take(values.len()) {
                if let Some(value) = values.pop() {
                    *slot = value;
                }
            }
        }
        let flow = self.list(&control.then, &element);
        self.variables.truncate(mark);
        flow
    }

    fn template(&mut self, name: &[u8], pipeline: Option<&'t Pipeline>, dot: &Value) -> Outcome<()> {
        let Some(list) = self.defined.get(name) else {
            return Err(Fault::failed("it calls a template that is not defined"));
        };
        let inner = match pipeline {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nothing,
        };
        // A template sees no variable of its caller.
        let outer = std::mem::replace(&mut self.variables, vec![("$", inner.clone())]);
        self.list(list, &inner)?;
        self.variables = outer;
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &'t Pipeline, dot: &Value) -> Outcome<Value> {
        self.deeper(|this| {
            let mut value = None;
            for command in &pipeline.commands {
                value = Some(this.command(command, dot, value)?);
            }
            let value = value.unwrap_or(Value::Nothing);
            for name in &pipeline.variables {
                if pipeline.assigns {
                    this.assign(name, value.clone())?;
                } else {
                    this.variables.push((name, value.clone()));
                }
            }
            Ok(value)
        })
    }

    /// `piped` is the value of the command before.
    fn command(&mut self, command: &'t Command, dot: &Value, piped: Option<Value>) -> Outcome<Value> {
        self.budget.spend(1)?;
        if let Operand::Function(function) = command.first {
            return self.call(function, &command.arguments, dot, piped);
        }
        if piped.is_some() || !command.arguments.is_empty() {
            return Err(Fault::failed("it gives an argument to what is no function"));
        }
        if matches!(command.first, Operand::Nil) {
            return Err(Fault::failed("nil is not a command"));
        }
        self.operand(&command.first, dot)
    }

    fn operand(&mut self, operand: &'t Operand, dot: &Value) -> Outcome<Value> {
        self.budget.spend(1)?;
        match operand {
            Operand::Bool(value) => Ok(Value::Bool(*value)),
            Operand::Nil => Ok(Value::Nothing),
            Operand::Dot => Ok(dot.clone()),
            Operand::Int(value) => Ok(Value::Int(*value)),
            Operand::Float(value) => Ok(Value::Float(*value)),
            Operand::Overflow => Err(Fault::failed("a number overflows int")),
            Operand::Text(octets) => self.budget.text(octets.clone()),
            Operand::Field(names) => self.fields(dot.clone(), names),
            Operand::Variable(name, names) => {
                let value = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = value.ok_or(Fault::failed("it uses a variable that was never set"))?.1.clone();
                self.fields(value, names)
            }
            Operand::Function(function) => self.call(*function, &[], dot, None),
            Operand::Pipeline(pipeline) => self.pipeline(pipeline, dot),
            Operand::Chain(first, names) => {
                let value = self.operand(first, dot)?;
                self.fields(value, names)
            }
        }
    }

    fn fields(&mut self, mut value: Value, names: &[String]) -> Outcome<Value> {
        for name in names {
            value = match value {
                Value::Data => match self.data.member(name) {
                    Some(datum) => self.datum(name, datum)?,
                    None => return Err(Fault::Absent(name.clone())),
                },
                Value::Nothing => return Err(Fault::Absent(name.clone())),
                _ => return Err(Fault::failed("it asks for the field of what has no fields")),
            };
        }
        Ok(value)
    }

    fn datum(&mut self, name: &str, datum: &Datum<'_>) -> Outcome<Value> {
        match datum {
            Datum::Text(text) => self.budget.text(text.as_bytes().to_vec()),
            Datum::Refused(reason) => Err(Fault::Refused(name.to_owned(), *reason)),
        }
    }

    fn assign(&mut self, name: &str, value: Value) -> Outcome<()> {
        let slot = self.variables.iter_mut().rev().find(|(known, _)| *known == name);
        slot.ok_or(Fault::failed("it assigns to a variable that was never declared"))?.1 = value;
        Ok(())
    }

    fn call(
        &mut self,
        function: Function,
        operands: &'t [Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Outcome<Value> {
        if let Function::And | Function::Or = function {
            return self.and_or(function, operands, dot, piped);
        }
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        let weight: usize = arguments.iter().map(Value::weight).sum();
        self.budget.spend(weight)?;
        functions::call(function, &arguments, self.data, &mut self.budget)
    }

    /// The first argument that decides; those after it are not evaluated.
    fn and_or(
        &mut self,
        function: Function,
        operands: &'t [Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Outcome<Value> {
        let mut last = None;
        for operand in operands {
            let value = self.operand(operand, dot)?;
            if functions::is_true(&value, self.data) == (function == Function::Or) {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or(Fault::failed("and, or: an argument is missing"))
    }

    fn deeper<T>(&mut self, step: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        // A list and the pipeline or list in it are two.
        if self.depth >= 2 * MAX_DEPTH + 2 {
            return Err(Fault::failed("it is nested too deeply"));
        }
        self.depth += 1;
        let outcome = step(self);
        self.depth -= 1;
        outcome
    }
}
