//! Reads a tree by its keys and collects everything that is wrong, instead of stopping at the first thing.

use super::report::{Place, Report};
use super::tree::{self, Lines, Node, Plain, Value};
use super::values::FileError;
use crate::spelling::nearest;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

/// What is done with a key that nobody asked for, and with scalars of the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// An error: our own files.
    Strict,
    /// A warning, and scalars are taken as text, null as absent: files of the reference, which does the same.
    Lenient,
}

/// The file that is read, and where findings go.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    pub file: &'s Path,
    pub report: &'s Report,
    pub strictness: Strictness,
}

/// A mapping. Every key that is asked for is known; [`Section::report_unknown`] reports the others.
pub struct Section<'s> {
    source: Source<'s>,
    path: String,
    line: usize,
    entries: Vec<Field<'s>>,
    /// The index of each key in `entries`.
    names: HashMap<&'s str, usize>,
    known: RefCell<Vec<&'static str>>,
}

/// A key with its value.
#[derive(Clone)]
pub struct Field<'s> {
    source: Source<'s>,
    name: String,
    path: String,
    line: usize,
    node: &'s Node,
}

impl<'s> Section<'s> {
    /// The mapping at `node`, whose own key is `path` (empty for the whole file).
    pub fn new(source: Source<'s>, node: &'s Node, path: &str) -> Option<Self> {
        let place = Place { file: source.file, line: node.line, key: path };
        let Value::Map(entries) = &node.value else {
            source.report.error(place, "is not a mapping; write `key: value` lines");
            return None;
        };
        let mut section = Self {
            source,
            path: path.to_owned(),
            line: node.line,
            entries: Vec::new(),
            names: HashMap::new(),
            known: RefCell::default(),
        };
        section.add(entries, false);
        Some(section)
    }

    /// The value of `key`, if it is there.
    pub fn get(&self, key: &'static str) -> Option<Field<'s>> {
        self.expect(key);
        let field = self.find(key)?;
        if !field.is_null() {
            return Some(field.clone());
        }
        if self.source.strictness == Strictness::Strict {
            field.error("has no value; give it one or remove the key");
        }
        None
    }

    /// That `key` may be there, whatever its value: somebody else reads it, or has no use for it.
    pub fn expect(&self, key: &'static str) {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
    }

    /// The value of `key`, which must be there; `advice` says what to write.
    pub fn require(&self, key: &'static str, advice: &str) -> Option<Field<'s>> {
        let field = self.get(key);
        if field.is_none() && !self.has(key) {
            let key = join(&self.path, key);
            let place = Place { file: self.source.file, line: self.line, key: &key };
            self.source.report.error(place, format!("is missing; {advice}"));
        }
        field
    }

    /// Every key with its value, in the file's order: for mappings whose keys are data.
    pub fn fields(&self) -> impl Iterator<Item = &Field<'s>> {
        self.entries.iter()
    }

    /// Whether the key is written, be its value null.
    pub fn has(&self, key: &str) -> bool {
        self.names.contains_key(key)
    }

    /// An error about the section itself.
    pub fn error(&self, message: impl Into<String>) {
        let place = Place { file: self.source.file, line: self.line, key: &self.path };
        self.source.report.error(place, message);
    }

    /// An error about a key, be it there or not.
    pub fn error_at(&self, key: &'static str, message: impl Into<String>) {
        self.at(key, |place| self.source.report.error(place, message));
    }

    /// A warning about the section itself.
    pub fn warning(&self, message: impl Into<String>) {
        let place = Place { file: self.source.file, line: self.line, key: &self.path };
        self.source.report.warning(place, message);
    }

    /// A warning about a key, be it there or not.
    pub fn warning_at(&self, key: &'static str, message: impl Into<String>) {
        self.at(key, |place| self.source.report.warning(place, message));
    }

    /// The place of a key, or that where it would stand.
    fn at(&self, key: &str, report: impl FnOnce(Place<'_>)) {
        let line = self.find(key).map_or(self.line, |field| field.line);
        report(Place { file: self.source.file, line, key: &join(&self.path, key) });
    }

    /// Reports every key that was not asked for.
    pub fn report_unknown(&self) {
        let known = self.known.borrow();
        for field in self.entries.iter().filter(|field| !known.contains(&field.name.as_str())) {
            let message = format!("unknown key; {}", suggestion(&field.name, &known));
            match self.source.strictness {
                Strictness::Strict => field.error(message),
                Strictness::Lenient => field.warning(message),
            }
        }
    }

    fn find(&self, key: &str) -> Option<&Field<'s>> {
        self.entries.get(*self.names.get(key)?)
    }

    fn add(&mut self, entries: &'s [(Node, Node)], merged: bool) {
        for (key, value) in entries {
            let Value::Scalar { text, plain, .. } = &key.value else {
                let place = Place { file: self.source.file, line: key.line, key: &self.path };
                self.source.report.error(place, "has a key that is not a scalar");
                continue;
            };
            if *plain && text == "<<" {
                continue;
            }
            let field = Field {
                source: self.source,
                name: text.clone(),
                path: join(&self.path, text),
                line: key.line,
                node: value,
            };
            match self.find(text) {
                // What is written out wins over what is merged in, and the first merged mapping over later ones.
                Some(_) if merged => {}
                Some(first) => {
                    field.error(format!("stands here a second time, first on line {}", first.line));
                }
                None => {
                    self.names.insert(text, self.entries.len());
                    self.entries.push(field);
                }
            }
        }
        for (key, value) in entries {
            if matches!(&key.value, Value::Scalar { text, plain: true, .. } if text == "<<") {
                self.merge(value);
            }
        }
    }

    /// `<<: *base` and `<<: [*one, *two]` (yaml.org/type/merge.html).
    fn merge(&mut self, node: &'s Node) {
        match &node.value {
            Value::Map(entries) => self.add(entries, true),
            Value::List(items) => {
                for item in items {
                    match &item.value {
                        Value::Map(entries) => self.add(entries, true),
                        _ => self.error("merges (`<<`) something that is not a mapping"),
                    }
                }
            }
            Value::Scalar { .. } => self.error("merges (`<<`) something that is not a mapping"),
        }
    }
}

impl<'s> Field<'s> {
    /// The key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line of the key.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The key's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands there.
    pub(super) const fn node(&self) -> &'s Node {
        self.node
    }

    /// Where this stands.
    pub fn place(&self) -> Place<'_> {
        Place { file: self.source.file, line: self.line, key: &self.path }
    }

    /// A string.
    pub fn text(&self) -> Option<&'s str> {
        match &self.node.value {
            Value::Scalar { text, plain, .. } => {
                let meaning = if *plain { tree::resolve(text) } else { Plain::Text };
                match (meaning, self.source.strictness) {
                    (Plain::Text, _) => Some(text),
                    (Plain::Boolean(_) | Plain::Number, Strictness::Lenient) => Some(text),
                    (meaning, _) => {
                        self.error(format!("is {}, a string is expected; put it in quotes", words(meaning)));
                        None
                    }
                }
            }
            Value::List(_) => self.wrong_type("a list", "a string"),
            Value::Map(_) => self.wrong_type("a mapping", "a string"),
        }
    }

    /// A string that `parse` turns into a value, or says why it cannot.
    pub fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(self.text()?).map_err(|message| self.error(message)).ok()
    }

    /// A scalar as it is written, whatever it would mean: durations, so that `600` can be told that it lacks a unit.
    pub fn parse_scalar<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match &self.node.value {
            Value::Scalar { text, .. } => parse(text).map_err(|message| self.error(message)).ok(),
            Value::List(_) => self.wrong_type("a list", "a string"),
            Value::Map(_) => self.wrong_type("a mapping", "a string"),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Scalar { text, plain: true, .. } => match tree::resolve(text) {
                Plain::Boolean(value) => Some(value),
                meaning => self.wrong_type(words(meaning), "true or false"),
            },
            Value::Scalar { .. } => self.wrong_type("a string", "true or false"),
            Value::List(_) => self.wrong_type("a list", "true or false"),
            Value::Map(_) => self.wrong_type("a mapping", "true or false"),
        }
    }

    /// The text of a scalar in this mapping, without a word about anything that is wrong.
    pub fn scalar_below(&self, key: &str) -> Option<&'s str> {
        let Value::Map(entries) = &self.node.value else { return None };
        entries.iter().find_map(|(name, value)| match (&name.value, &value.value) {
            (Value::Scalar { text: name, .. }, Value::Scalar { text, .. }) if name == key => {
                Some(text.as_str())
            }
            _ => None,
        })
    }

    /// The text of a scalar, without a word about anything that is wrong.
    pub const fn word(&self) -> Option<&'s str> {
        match &self.node.value {
            Value::Scalar { text, .. } => Some(text.as_str()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The file's line on which a line of this scalar's text stands, both counted from 1. Where that cannot be said: the key's.
    pub fn line_of(&self, line: usize) -> usize {
        match &self.node.value {
            Value::Scalar { lines: Lines::On(on), .. } => *on,
            Value::Scalar { lines: Lines::From(first), .. } => first + line.saturating_sub(1),
            _ => self.line,
        }
    }

    /// Something is wrong with this value, on this line of the file.
    pub fn error_on(&self, line: usize, message: impl Into<String>) {
        self.source.report.error(Place { line, ..self.place() }, message);
    }

    /// A mapping.
    pub fn section(&self) -> Option<Section<'s>> {
        let section = Section::new(self.source, self.node, &self.path)?;
        Some(Section { line: self.line, ..section })
    }

    /// A list, each item as a field of its own (`key[0]`, `key[1]`, …).
    pub fn items(&self) -> Option<Vec<Field<'s>>> {
        let Value::List(items) = &self.node.value else {
            self.error("is not a list; write one `- …` line for each item");
            return None;
        };
        let item = |(index, node): (usize, &'s Node)| Field {
            source: self.source,
            name: index.to_string(),
            path: format!("{}[{index}]", self.path),
            line: node.line,
            node,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Whether this is a list of nothing.
    pub fn is_empty_list(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if items.is_empty())
    }

    /// A file that this key names, whose content becomes part of the configuration.
    pub fn read_file(&self, path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
        self.source.report.read_file(path, most)
    }

    /// Something is wrong with this value.
    pub fn error(&self, message: impl Into<String>) {
        self.source.report.error(self.place(), message);
    }

    /// The file that this value names is not there.
    pub fn missing_file(&self, message: impl Into<String>) {
        self.source.report.missing_file(self.place(), message);
    }

    /// The author should look at this value.
    pub fn warning(&self, message: impl Into<String>) {
        self.source.report.warning(self.place(), message);
    }

    fn is_null(&self) -> bool {
        matches!(&self.node.value, Value::Scalar { text, plain: true, .. } if tree::resolve(text) == Plain::Null)
    }

    fn wrong_type<T>(&self, is: &str, expected: &str) -> Option<T> {
        self.error(format!("is {is}, {expected} is expected"));
        None
    }
}

fn words(meaning: Plain) -> &'static str {
    match meaning {
        Plain::Null => "null",
        Plain::Boolean(_) => "a boolean",
        Plain::Number => "a number",
        Plain::Text => "a string",
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The nearest known key, or all of them.
fn suggestion(unknown: &str, known: &[&'static str]) -> String {
    match nearest(unknown, known.iter().copied(), |key| (key.len() / 3).max(1)) {
        Some(key) => format!("did you mean {key}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested_and_all_of_them_when_none_is_near() {
        let known = ["listen", "public_url", "issuers"];
        assert_eq!(suggestion("lisen", &known), "did you mean listen?");
        assert_eq!(suggestion("publicUrl", &known), "did you mean public_url?");
        assert_eq!(suggestion("public-url", &known), "did you mean public_url?");
        assert_eq!(suggestion("database", &known), "known here: listen, public_url, issuers");
        assert_eq!(suggestion(&"x".repeat(1000), &known), "known here: listen, public_url, issuers");
    }
}
