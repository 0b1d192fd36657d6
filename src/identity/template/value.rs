//! The values that an execution deals with, by the Go types they have in the reference.

use std::rc::Rc;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// No value at all: `nil`, or the dot of a template that was given none.
    Nothing,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint8`: an octet of a text.
    Octet(u8),
    /// `float64`
    Float(f64),
    /// `string`: any octets.
    Text(Rc<[u8]>),
    /// `map[string]string`: the data.
    Data,
}

impl Value {
    /// A text of these octets.
    pub fn text(octets: impl Into<Rc<[u8]>>) -> Self {
        Self::Text(octets.into())
    }

    /// The type's name in Go.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Nothing => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Octet(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Data => "map[string]string",
        }
    }

    /// The value of an `int` or a `uint8`.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Octet(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// What is charged for touching it.
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(octets) => octets.len(),
            _ => 0,
        }
    }
}
