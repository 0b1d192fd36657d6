//! The figures, for people and for programs.

use serde_json::{Value, json};
use std::fmt;

/// What was measured, in order.
#[derive(Default)]
pub struct Table(Vec<(String, f64, usize)>);

impl Table {
    /// A figure, and how many digits after the point are shown.
    pub fn put(&mut self, name: &str, value: f64, digits: usize) {
        eprintln!("{name}: {value:.digits$}");
        self.0.push((name.to_owned(), value, digits));
    }

    pub fn to_json(&self) -> Value {
        self.0
            .iter()
            .map(|(name, value, _)| (name.clone(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | value |\n|---|---|")?;
        self.0.iter().try_for_each(|(name, value, digits)| writeln!(f, "| {name} | {value:.digits$} |"))
    }
}
