//! The claims set: a JSON object whose members have distinct names (RFC 7519 §4).

use serde_json::Value;

/// Claims in the token's order. Numbers keep their spelling.
#[derive(Debug)]
pub struct Claims {
    members: serde_json::Map<String, Value>,
}

impl Claims {
    /// Strict: a JSON object, no duplicate member at any depth, bounded depth.
    pub fn parse(_json: &[u8]) -> Result<Self, crate::refusal::Refusal> {
        todo!()
    }
    /// The claim's value; `None` when absent. `null` is `Some(Value::Null)`.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
    /// All members in the token's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }
}
