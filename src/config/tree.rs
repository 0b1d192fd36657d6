//! YAML 1.2 as a tree in which every node knows its line.
//!
//! Built from the parser's events, without recursion, with bounds on depth and on what aliases may grow to. Duplicate
//! keys stay in the tree, so that the reader can name each of them. Types are decided by whoever reads a scalar.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::collections::HashMap;

/// How deep collections may nest. Configurations need five levels.
const MAX_DEPTH: usize = 32;
/// How many nodes a document may have, aliases expanded ("billion laughs").
const MAX_NODES: usize = 200_000;

/// A node and where it starts.
#[derive(Clone, Debug)]
pub struct Node {
    /// Counted from 1. For an alias: the alias's own line.
    pub line: usize,
    /// What stands there.
    pub value: Value,
}

impl Node {
    /// The line of the key with this path, or of as much of it as there is.
    pub fn line_of(&self, path: &str) -> usize {
        let (mut node, mut line) = (self, self.line);
        for part in path.split('.') {
            let Value::Map(entries) = &node.value else { break };
            let is_part = |key: &Node| matches!(&key.value, Value::Scalar { text, .. } if text == part);
            let Some((key, value)) = entries.iter().find(|(key, _)| is_part(key)) else { break };
            (node, line) = (value, key.line);
        }
        line
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A scalar's text. Plain scalars may mean null, a boolean or a number; quoted and block scalars are strings.
    Scalar { text: String, plain: bool, lines: Lines },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the file's order, duplicates and merge keys as written.
    Map(Vec<(Node, Node)>),
}

/// Where the lines of a scalar's text stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// All on this one, whatever line breaks a quoted text has in it.
    On(usize),
    /// The first on this one, and each other on a line of its own: a literal block (YAML 1.2 §8.1.2).
    From(usize),
    /// On several that became fewer (YAML 1.2 §6.5), or behind an anchor, from where they may be taken anywhere.
    Folded,
}

/// What a plain scalar means in YAML's core schema (YAML 1.2 §10.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Null,
    Boolean(bool),
    Number,
    Text,
}

/// Why a text is no tree, and on which line.
#[derive(Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// In words for the author of the file.
    pub message: String,
}

/// Parses one document.
///
/// # Errors
/// Not YAML, no document or several of them, too deep, too large when expanded, a tag that means nothing here.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    read(text).or_else(|error| read(&with_aliases_as_keys(text).ok_or(error)?))
}

fn read(text: &str) -> Result<Node, SyntaxError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| not_yaml(text, error.marker().line(), error.info()))?;
        builder.take(event, span)?;
    }
    builder.document.ok_or_else(|| SyntaxError::at(1, "the file is empty"))
}

/// The text with `*name:` at the beginning of a line as `*name :`, where the anchor `&name` is and `&name:` is not. `None`: there is no
/// such line.
///
/// In YAML 1.2 (§6.9.2) the colon belongs to the name; in YAML 1.1 (§5.6), which Fulcio's parser follows and in which its shipped configuration is
/// written, the alias ends before it and is a key.
fn with_aliases_as_keys(text: &str) -> Option<String> {
    let has_anchor = |name: &str| {
        let mut ends = text.split('&').skip(1).filter_map(|rest| rest.strip_prefix(name));
        ends.any(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    };
    let mut changed = false;
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let key = line.trim_start_matches(' ').strip_prefix('*').and_then(|rest| rest.split_once(':'));
        let is_alias = key.is_some_and(|(name, rest)| {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let ends = rest.is_empty() || rest.starts_with(char::is_whitespace);
            !name.is_empty()
                && name.chars().all(word)
                && ends
                && has_anchor(name)
                && !has_anchor(&format!("{name}:"))
        });
        changed |= is_alias;
        lines.push(if is_alias { line.replacen(':', " :", 1) } else { line.to_owned() });
    }
    changed.then(|| lines.join("\n"))
}

/// The same for a file that may be JSON. JSON is YAML but for a few spellings (escaped surrogates); those are read again
/// in their plain form, in which every line is the first.
pub fn parse_json_too(text: &str) -> Result<Node, SyntaxError> {
    parse(text).or_else(|error| {
        let value = serde_json::from_str::<serde_json::Value>(text).ok();
        value.map_or(Err(error), |value| parse(&value.to_string()))
    })
}

/// The parser's error. Of an indentation with tabs it names the line before, or something else altogether.
fn not_yaml(text: &str, line: usize, info: &str) -> SyntaxError {
    let has_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t') && !line.trim().is_empty();
    match text.lines().enumerate().skip(line.saturating_sub(1)).take(2).find(|(_, line)| has_tab(line)) {
        Some((index, _)) => SyntaxError::at(index + 1, "not YAML: indented with a tab; use spaces"),
        None => SyntaxError::at(line, format!("not YAML: {info}")),
    }
}

/// What a plain scalar's text means.
pub fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Boolean(true),
        "false" | "False" | "FALSE" => Plain::Boolean(false),
        _ if is_number(text) => Plain::Number,
        _ => Plain::Text,
    }
}

impl Node {
    /// How many nodes this is, itself included.
    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|(key, value)| key.size() + value.size()).sum(),
        }
    }
}

impl SyntaxError {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: line.max(1), message: message.into() }
    }
}

/// A collection whose end has not come yet.
struct Open {
    line: usize,
    anchor: usize,
    is_map: bool,
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    documents: usize,
    document: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxError::at(line, "a second document begins here; one is expected"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag_means_text(tag.as_deref(), line)?;
                let plain = style == ScalarStyle::Plain && !is_text;
                let lines = match style {
                    // The parser's place is that of the first line that is not empty, or of an anchor or a tag.
                    ScalarStyle::Literal if anchor == 0 && tag.is_none() => {
                        Lines::From(line.saturating_sub(text.chars().take_while(|c| *c == '\n').count()))
                    }
                    _ if span.end.line() == line => Lines::On(line),
                    _ => Lines::Folded,
                };
                let value = Value::Scalar { text: text.into_owned(), plain, lines };
                self.add(Node { line, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => self.begin(line, anchor, false, tag.as_deref()),
            Event::MappingStart(anchor, tag) => self.begin(line, anchor, true, tag.as_deref()),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let (node, size) = self.anchors.get(&anchor).ok_or_else(|| {
                    SyntaxError::at(line, "an alias stands within the very thing that it names")
                })?;
                let (size, node) = (*size, Node { line, value: node.value.clone() });
                self.add(node, 0, size)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(
        &mut self,
        line: usize,
        anchor: usize,
        is_map: bool,
        tag: Option<&Tag>,
    ) -> Result<(), SyntaxError> {
        tag_means_text(tag, line)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(SyntaxError::at(line, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.open.push(Open { line, anchor, is_map, nodes: Vec::new() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = if open.is_map { Value::Map(pairs(open.nodes)) } else { Value::List(open.nodes) };
        self.add(Node { line: open.line, value }, open.anchor, 1)
    }

    /// Puts a finished node where it belongs. `new` is how many nodes it adds to the document's count.
    fn add(&mut self, node: Node, anchor: usize, new: usize) -> Result<(), SyntaxError> {
        self.nodes += new;
        if self.nodes > MAX_NODES {
            return Err(SyntaxError::at(node.line, format!("more than {MAX_NODES} nodes, aliases counted")));
        }
        if anchor > 0 {
            let size = node.size();
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.document = Some(node),
        }
        Ok(())
    }
}

/// Keys and values alternate in the events of a mapping.
fn pairs(nodes: Vec<Node>) -> Vec<(Node, Node)> {
    let mut nodes = nodes.into_iter();
    std::iter::from_fn(|| Some((nodes.next()?, nodes.next()?))).collect()
}

/// Whether a tag makes a plain scalar a string. Tags of the core schema that restate the type are let pass.
fn tag_means_text(tag: Option<&Tag>, line: usize) -> Result<bool, SyntaxError> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
        Some(tag) => Err(SyntaxError::at(
            line,
            format!("the tag {tag} means nothing here; remove it, or put the text in quotes"),
        )),
    }
}

/// Integers and floats of the core schema (YAML 1.2 §10.3.2).
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hex_or_octal = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix)
            .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    if hex_or_octal("0x", 16) || hex_or_octal("0o", 8) {
        return true;
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // Rust's float grammar is wider only by words (`inf`, `nan`), which have no digit in front.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> SyntaxError {
        parse(text).expect_err("refused")
    }

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        for (text, meaning) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("true", Plain::Boolean(true)),
            ("FALSE", Plain::Boolean(false)),
            ("yes", Plain::Text),
            ("7", Plain::Number),
            ("-1", Plain::Number),
            ("+1e3", Plain::Number),
            (".5", Plain::Number),
            ("0x1F", Plain::Number),
            ("0xyz", Plain::Text),
            (".inf", Plain::Number),
            ("inf", Plain::Text),
            ("nan", Plain::Text),
            ("10m", Plain::Text),
            ("1.2.840", Plain::Text),
            ("127.0.0.1:5555", Plain::Text),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
    }

    #[test]
    fn every_node_knows_its_line_behind_a_byte_order_mark_too() {
        for mark in ["", "\u{feff}"] {
            let tree = parse(&format!("{mark}a: 1\n\nb:\n  - x\n  - y\n")).expect("yaml");
            let Value::Map(entries) = &tree.value else { panic!("a mapping") };
            assert_eq!(entries.iter().map(|(key, _)| key.line).collect::<Vec<_>>(), [1, 3]);
            let Value::List(items) = &entries[1].1.value else { panic!("a list") };
            assert_eq!(items.iter().map(|item| item.line).collect::<Vec<_>>(), [4, 5]);
        }
    }

    #[test]
    fn a_scalar_knows_where_its_lines_stand() {
        for (text, expected) in [
            ("a: x", Lines::On(1)),
            ("\na: \"x\\ny\"", Lines::On(2)),
            ("a: 'x'\nb: y", Lines::On(1)),
            ("a: |\n  x\n  y\n", Lines::From(2)),
            ("a:\n  # why\n  |- # how\n\n    x\n    y\n", Lines::From(4)),
            ("b: y\na: |2\n    x\nc: z", Lines::From(3)),
            ("a: x\n  y\n", Lines::Folded),
            ("a: 'x\n  y'\n", Lines::Folded),
            ("a: >\n  x\n  y\n", Lines::Folded),
            ("b: &it |\n  x\n\na: *it\n", Lines::Folded),
        ] {
            let Value::Map(entries) = parse(text).expect(text).value else { panic!("a mapping") };
            let found = entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
                (Value::Scalar { text, .. }, Value::Scalar { lines, .. }) if text == "a" => Some(*lines),
                _ => None,
            });
            assert_eq!(found, Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_single_document_is_refused_with_its_line() {
        assert_eq!(error("").message, "the file is empty");
        assert_eq!(error("# only a comment\n").message, "the file is empty");
        assert_eq!(error("a: 1\n---\nb: 2\n").line, 2);
        assert_eq!(
            error("a: !secret x\n").message,
            "the tag !secret means nothing here; remove it, or put the text in quotes"
        );
        for (text, line) in [("a:\n\tb: 1\n", 2), ("a: b\n\tc: d\n", 2), ("a:\n  b: 1\n  \tc: d\n", 3)] {
            let tab = error(text);
            assert_eq!(
                (tab.line, tab.message.as_str()),
                (line, "not YAML: indented with a tab; use spaces"),
                "{text}"
            );
        }
    }

    #[test]
    fn aliases_cannot_grow_a_document_beyond_its_bounds() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let before = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(","));
        }
        assert!(error(&text).message.contains("aliases counted"));
        assert!(error("a: &a [*a]\n").message.contains("alias"));
    }

    #[test]
    fn an_alias_ends_before_the_colon_of_a_key_as_in_yaml_1_1() {
        let shown =
            |text: &str| parse(text).map(|node| format!("{:?}", node.value)).map_err(|error| error.line);
        let spaced = shown("define: [&a-b x, &c y]\nk:\n  *a-b :\n    z: 1\n  *c : 2\n");
        assert!(spaced.is_ok());
        assert_eq!(shown("define: [&a-b x, &c y]\nk:\n  *a-b:\n    z: 1\n  *c: 2\n").is_ok(), spaced.is_ok());
        assert!(shown("define: [&a x]\nk:\n  *a: 1\n").is_ok());
        // No anchor of that name, or one whose name has the colon: as YAML 1.2 has it.
        assert_eq!(shown("k:\n  *a: 1\n"), Err(2));
        assert!(shown("define: [&a x, &a: y]\nk: [*a: ]\n").is_ok());
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        assert!(error(&"[".repeat(MAX_DEPTH + 1)).message.contains("levels deep"));
        let blocks: String = (0..10_000).map(|level| format!("{:level$}a:\n", "")).take(200).collect();
        assert!(error(&blocks).message.contains("levels deep"));
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
