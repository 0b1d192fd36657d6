//! Other files of the operator's, read as strictly as the configuration: the cases that try rules.

pub(crate) use super::reader::{Field, Section};
use super::reader::{Source, Strictness};
use super::report::{ConfigErrors, Place, Report, Warning};
use super::tree::{self, Node, Plain, Value};
use super::values::{self, FileError};
use serde_json::{Map, Number, Value as Json};
use std::path::Path;

/// Several files, and everything that is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    report: Report,
}

impl Documents {
    /// Reads a file that is one mapping, YAML or JSON. `None`: it is none, which is noted.
    pub fn read<T>(&self, path: &Path, read: impl FnOnce(&Section<'_>) -> T) -> Option<T> {
        let (_, document) = super::open(path, "", &self.report)?;
        let source = Source { file: path, report: &self.report, strictness: Strictness::Strict };
        Some(read(&Section::new(source, &document, "")?))
    }

    /// A value as JSON has it. Plain scalars mean what YAML's core schema says.
    pub fn json(&self, field: &Field<'_>) -> Option<Json> {
        json(field.node())
            .map_err(|(line, message)| self.report.error(Place { line, ..field.place() }, message))
            .ok()
    }

    /// The content of a file that a value names, of at most `most` octets.
    pub fn bytes(&self, field: &Field<'_>, path: &Path, most: u64) -> Option<Vec<u8>> {
        field
            .read_file(path, most)
            .map_err(|(FileError::Missing(message) | FileError::Unusable(message))| field.error(message))
            .ok()
    }

    /// Something is wrong with a whole file.
    pub fn error(&self, path: &Path, message: impl Into<String>) {
        self.report.error(Place { file: path, line: 1, key: "" }, message);
    }

    /// `Ok` with the warnings, or all errors.
    pub fn conclude(self) -> Result<Vec<Warning>, ConfigErrors> {
        self.report.conclude(false)
    }
}

/// The issuers that a file of rules names, as far as it can be read: what is wrong with it, whoever reads the rules says.
pub(crate) fn issuers_of_rules(path: &Path) -> Vec<String> {
    let documents = Documents::default();
    let named = documents.read(path, |section| {
        let rules = section.get("rules").and_then(|field| field.items()).unwrap_or_default();
        let issuers = rules.iter().filter_map(|rule| rule.section()?.get("issuers")?.items()).flatten();
        issuers.filter_map(|issuer| issuer.word().map(str::to_owned)).collect::<Vec<_>>()
    });
    let mut named = named.unwrap_or_default();
    named.sort();
    named.dedup();
    named
}

/// Trees are bounded in depth, so this may be recursive.
fn json(node: &Node) -> Result<Json, (usize, String)> {
    let fault = |message: String| Err((node.line, message));
    match &node.value {
        Value::Scalar { text, plain: false, .. } => Ok(Json::String(text.clone())),
        Value::Scalar { text, plain: true, .. } => match tree::resolve(text) {
            Plain::Null => Ok(Json::Null),
            Plain::Boolean(yes) => Ok(Json::Bool(yes)),
            Plain::Text => Ok(Json::String(text.clone())),
            Plain::Number => match text.parse::<Number>() {
                Ok(number) => Ok(Json::Number(number)),
                Err(_) => {
                    fault("is a number that JSON does not have; put it in quotes if it is a text".to_owned())
                }
            },
        },
        Value::List(items) => items.iter().map(json).collect::<Result<_, _>>().map(Json::Array),
        Value::Map(entries) => {
            let mut members = Map::new();
            for (key, value) in entries {
                let Value::Scalar { text, plain, .. } = &key.value else {
                    return fault("has a key that is not a scalar".to_owned());
                };
                if *plain && text == "<<" {
                    return Err((
                        key.line,
                        "merges (`<<`), which is not done in claims; write the whole".to_owned(),
                    ));
                }
                if members.insert(text.clone(), json(value)?).is_some() {
                    return Err((key.line, format!("has {} twice", values::quoted(text))));
                }
            }
            Ok(Json::Object(members))
        }
    }
}
