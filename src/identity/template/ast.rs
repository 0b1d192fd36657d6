//! The tree of a parsed template.

use super::functions::Function;

/// A sequence of texts and actions.
pub(super) type List = Vec<Node>;

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Text, as it stands.
    Text(String),
    /// `{{pipeline}}`
    Action(Pipeline),
    /// `{{if}}`, `{{with}}` or `{{range}}`
    Control(Control),
    /// `{{template "name" pipeline}}`
    Template {
        /// The name, unquoted.
        name: Vec<u8>,
        /// Its dot.
        dot: Option<Pipeline>,
    },
    /// `{{break}}`
    Break,
    /// `{{continue}}`
    Continue,
}

/// A control structure.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// Which.
    pub keyword: ControlKeyword,
    /// What it decides by.
    pub pipeline: Pipeline,
    /// What it does with a value that is not empty.
    pub then: List,
    /// What it does otherwise.
    pub otherwise: Option<List>,
}

/// The keyword of a control structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlKeyword {
    /// `if`
    If,
    /// `with`
    With,
    /// `range`
    Range,
}

/// `$x, $y := command | command`
#[derive(Clone, Debug, Default)]
pub(super) struct Pipeline {
    /// The variables, `$` included.
    pub variables: Vec<String>,
    /// `=` rather than `:=`.
    pub assigns: bool,
    /// At least one.
    pub commands: Vec<Command>,
}

/// `operand argument…`
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// What is called or evaluated.
    pub first: Operand,
    /// Its arguments.
    pub arguments: Vec<Operand>,
}

/// A simple expression.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// `true`, `false`
    Bool(bool),
    /// `nil`
    Nil,
    /// `.`
    Dot,
    /// A number that is an int in Go, a character included.
    Int(i64),
    /// A number that is a float64 in Go.
    Float(f64),
    /// A number that fits into no int: an error when it is evaluated.
    Overflow,
    /// A string, unquoted: any octets.
    Text(Vec<u8>),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    /// A function's name.
    Function(Function),
    /// `(pipeline)`
    Pipeline(Box<Pipeline>),
    /// `(pipeline).a.b`
    Chain(Box<Operand>, Vec<String>),
}

/// Whether a template is made of white space alone: such a definition gives way to another of its name.
pub(super) fn is_blank(list: &List) -> bool {
    list.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
