//! From tokens to the tree, with the scopes of variables checked.

use super::ast::{Command, Control, ControlKeyword, List, Node, Operand, Pipeline, is_blank};
use super::functions::Function;
use super::lexer::{self, Token};
use super::{MAX_DEPTH, SyntaxError, literal, number};
use std::collections::BTreeMap;

/// The main template, and those that it defines.
pub(super) fn parse(text: &str) -> Result<(List, BTreeMap<Vec<u8>, List>), SyntaxError> {
    let tokens = lexer::tokens(text)?;
    let mut parser =
        Parser { tokens: &tokens, position: 0, scope: Scope::default(), defined: BTreeMap::new(), depth: 0 };
    let main = parser.document()?;
    Ok((main, parser.defined))
}

type Parsed<T> = Result<T, SyntaxError>;

struct Parser<'t> {
    tokens: &'t [(Token<'t>, usize)],
    position: usize,
    scope: Scope,
    defined: BTreeMap<Vec<u8>, List>,
    depth: usize,
}

/// What is known at a place of one template.
struct Scope {
    variables: Vec<String>,
    ranges: usize,
}

impl Default for Scope {
    fn default() -> Self {
        Self { variables: vec!["$".to_owned()], ranges: 0 }
    }
}

/// How a list ended.
enum Closing {
    End,
    Else,
    /// `{{else if` or `{{else with`, with the keyword still to come.
    ElseControl,
}

impl<'t> Parser<'t> {
    fn document(&mut self) -> Parsed<List> {
        let mut list = List::new();
        loop {
            match self.peek() {
                Token::End => return Ok(list),
                Token::LeftDelimiter => {
                    let start = self.position;
                    self.next();
                    if self.next_past_space() == Token::Keyword("define") {
                        self.definition()?;
                        continue;
                    }
                    self.position = start;
                }
                _ => {}
            }
            match self.text_or_action()? {
                Ok(node) => list.push(node),
                Err(Closing::End) => return self.fail("unexpected {{end}}"),
                Err(_) => return self.fail("unexpected {{else}}"),
            }
        }
    }

    fn definition(&mut self) -> Parsed<()> {
        let name = self.template_name()?;
        self.expect_right_delimiter("a definition")?;
        self.template_body(name)
    }

    /// The text of a `define` or a `block`: a template of its own, with no variable of this one.
    fn template_body(&mut self, name: Vec<u8>) -> Parsed<()> {
        let outer = std::mem::take(&mut self.scope);
        let (list, end) = self.list()?;
        self.scope = outer;
        if !matches!(end, Closing::End) {
            return self.fail("unexpected {{else}} in a definition");
        }
        if name.is_empty() {
            return self.fail("a template without a name is not supported");
        }
        match self.defined.get(&name) {
            Some(known) if !is_blank(known) => {
                if !is_blank(&list) {
                    return self.fail("a template is defined twice");
                }
            }
            _ => drop(self.defined.insert(name, list)),
        }
        Ok(())
    }

    /// Everything up to an `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Parsed<(List, Closing)> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        let mut list = List::new();
        loop {
            if self.peek_past_space() == Token::End {
                return self.fail("unexpected end of the template: an {{end}} is missing");
            }
            match self.text_or_action()? {
                Ok(node) => list.push(node),
                Err(end) => {
                    self.depth -= 1;
                    return Ok((list, end));
                }
            }
        }
    }

    fn text_or_action(&mut self) -> Parsed<Result<Node, Closing>> {
        match self.next_past_space() {
            Token::Text(text) => Ok(Ok(Node::Text(text.to_owned()))),
            Token::LeftDelimiter => self.action(),
            _ => self.fail("unexpected token outside of an action"),
        }
    }

    fn action(&mut self) -> Parsed<Result<Node, Closing>> {
        let start = self.position;
        let Token::Keyword(keyword) = self.next_past_space() else {
            self.position = start;
            return Ok(Ok(Node::Action(self.pipeline("command", Token::RightDelimiter)?)));
        };
        match keyword {
            "if" => Ok(Ok(self.control(ControlKeyword::If)?)),
            "with" => Ok(Ok(self.control(ControlKeyword::With)?)),
            "range" => Ok(Ok(self.control(ControlKeyword::Range)?)),
            "block" => Ok(Ok(self.block()?)),
            "template" => Ok(Ok(self.template()?)),
            "break" => Ok(Ok(self.loop_control(Node::Break)?)),
            "continue" => Ok(Ok(self.loop_control(Node::Continue)?)),
            "end" => {
                self.expect_right_delimiter("{{end}}")?;
                Ok(Err(Closing::End))
            }
            "else" => {
                if matches!(self.peek_past_space(), Token::Keyword("if" | "with")) {
                    return Ok(Err(Closing::ElseControl));
                }
                self.expect_right_delimiter("{{else}}")?;
                Ok(Err(Closing::Else))
            }
            _ => {
                self.position = start;
                Ok(Ok(Node::Action(self.pipeline("command", Token::RightDelimiter)?)))
            }
        }
    }

    fn control(&mut self, keyword: ControlKeyword) -> Parsed<Node> {
        let variables = self.scope.variables.len();
        let is_range = keyword == ControlKeyword::Range;
        let context = if is_range { "range" } else { "condition" };
        let pipeline = self.pipeline(context, Token::RightDelimiter)?;
        self.scope.ranges += usize::from(is_range);
        let (then, end) = self.list()?;
        self.scope.ranges -= usize::from(is_range);
        let otherwise = match end {
            Closing::End => None,
            Closing::Else => Some(self.last_list()?),
            Closing::ElseControl => Some(self.else_control(keyword)?),
        };
        self.scope.variables.truncate(variables);
        Ok(Node::Control(Control { keyword, pipeline, then, otherwise }))
    }

    fn last_list(&mut self) -> Parsed<List> {
        match self.list()? {
            (list, Closing::End) => Ok(list),
            _ => self.fail("expected {{end}}, found {{else}}"),
        }
    }

    /// `{{else if …}}` stands for `{{else}}{{if …}}…{{end}}`; likewise `with`, each in its own kind alone.
    fn else_control(&mut self, keyword: ControlKeyword) -> Parsed<List> {
        let same = match keyword {
            ControlKeyword::If => Token::Keyword("if"),
            ControlKeyword::With => Token::Keyword("with"),
            ControlKeyword::Range => Token::End,
        };
        if self.peek() != same && self.peek_past_space() != same {
            return self.fail("after {{else, expected the closing braces");
        }
        self.next_past_space();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        let control = self.control(keyword)?;
        self.depth -= 1;
        Ok(vec![control])
    }

    fn block(&mut self) -> Parsed<Node> {
        let name = self.template_name()?;
        let dot = self.pipeline("block", Token::RightDelimiter)?;
        self.template_body(name.clone())?;
        Ok(Node::Template { name, dot: Some(dot) })
    }

    fn template(&mut self) -> Parsed<Node> {
        let name = self.template_name()?;
        let start = self.position;
        let dot = if self.next_past_space() == Token::RightDelimiter {
            None
        } else {
            self.position = start;
            Some(self.pipeline("template", Token::RightDelimiter)?)
        };
        Ok(Node::Template { name, dot })
    }

    fn template_name(&mut self) -> Parsed<Vec<u8>> {
        match self.next_past_space() {
            Token::Quoted(quoted) => self.unquote(quoted),
            _ => self.fail("the name of a template is a quoted string"),
        }
    }

    fn loop_control(&mut self, node: Node) -> Parsed<Node> {
        self.expect_right_delimiter("{{break}} or {{continue}}")?;
        if self.scope.ranges == 0 {
            return self.fail("{{break}} or {{continue}} outside of {{range}}");
        }
        Ok(node)
    }

    fn pipeline(&mut self, context: &str, end: Token<'t>) -> Parsed<Pipeline> {
        let mut pipeline = Pipeline::default();
        self.declarations(context, &mut pipeline)?;
        loop {
            let start = self.position;
            match self.next_past_space() {
                token if token == end => break,
                Token::Bool(_)
                | Token::CharacterConstant(_)
                | Token::Dot
                | Token::Field(_)
                | Token::Identifier(_)
                | Token::Number(_)
                | Token::Keyword("nil")
                | Token::Quoted(_)
                | Token::Variable(_)
                | Token::LeftParenthesis => {
                    self.position = start;
                    let command = self.command()?;
                    pipeline.commands.push(command);
                }
                token => return self.fail(&format!("unexpected {} in a {context}", described(token))),
            }
        }
        if pipeline.commands.is_empty() {
            return self.fail(&format!("missing value for a {context}"));
        }
        if pipeline.commands.iter().skip(1).any(|command| is_inert(&command.first)) {
            return self.fail("a command after | is no function");
        }
        Ok(pipeline)
    }

    /// `$x :=`, `$x =`, and for a range `$x, $y :=`.
    fn declarations(&mut self, context: &str, pipeline: &mut Pipeline) -> Parsed<()> {
        loop {
            let Token::Variable(name) = self.peek_past_space() else { return Ok(()) };
            let start = self.position;
            self.next();
            let next = self.peek_past_space();
            match next {
                Token::Assign | Token::Declare => {
                    self.next();
                    pipeline.assigns = next == Token::Assign;
                    self.declare(name, pipeline);
                    return Ok(());
                }
                Token::Character(',') => {
                    self.next();
                    self.declare(name, pipeline);
                    if context != "range" || pipeline.variables.len() >= 2 {
                        return self.fail(&format!("too many declarations in a {context}"));
                    }
                    let allowed = matches!(
                        self.peek_past_space(),
                        Token::Variable(_) | Token::RightDelimiter | Token::RightParenthesis
                    );
                    if !allowed {
                        return self.fail("a range can only declare variables");
                    }
                }
                _ => {
                    self.position = start;
                    return Ok(());
                }
            }
        }
    }

    fn declare(&mut self, name: &str, pipeline: &mut Pipeline) {
        pipeline.variables.push(name.to_owned());
        self.scope.variables.push(name.to_owned());
    }

    /// Operands with space between, up to `|` (which is taken) or the end (which is not).
    fn command(&mut self) -> Parsed<Command> {
        let mut operands = Vec::new();
        loop {
            self.peek_past_space();
            operands.extend(self.operand()?);
            let start = self.position;
            match self.next() {
                Token::Space => continue,
                Token::RightDelimiter | Token::RightParenthesis => self.position = start,
                Token::Pipe => {}
                token => return self.fail(&format!("unexpected {} in an operand", described(token))),
            }
            let mut operands = operands.into_iter();
            let Some(first) = operands.next() else { return self.fail("empty command") };
            return Ok(Command { first, arguments: operands.collect() });
        }
    }

    /// A term with the fields that follow it. `None`: what follows is no operand.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while let Token::Field(name) = self.peek() {
            self.next();
            fields.push(name.to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        Ok(Some(match term {
            Operand::Field(mut first) => {
                first.append(&mut fields);
                Operand::Field(first)
            }
            Operand::Variable(name, _) => Operand::Variable(name, fields),
            Operand::Function(_) | Operand::Pipeline(_) => Operand::Chain(Box::new(term), fields),
            _ => return self.fail("unexpected . after a constant or a dot"),
        }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let start = self.position;
        Ok(Some(match self.next_past_space() {
            Token::Identifier(name) => match Function::named(name) {
                Some(function) => Operand::Function(function),
                None => return self.fail(&format!("function {name:?} not defined")),
            },
            Token::Dot => Operand::Dot,
            Token::Keyword("nil") => Operand::Nil,
            Token::Variable(name) => {
                if !self.scope.variables.iter().any(|known| known == name) {
                    return self.fail(&format!("undefined variable {name:?}"));
                }
                Operand::Variable(name.to_owned(), Vec::new())
            }
            Token::Field(name) => Operand::Field(vec![name.to_owned()]),
            Token::Bool(value) => Operand::Bool(value),
            Token::CharacterConstant(quoted) => match literal::unquote_character(quoted) {
                Some(character) => Operand::Int(character),
                None => return self.fail("malformed character constant"),
            },
            Token::Number(text) => match number::parse(text) {
                Ok(operand) => operand,
                Err(fault) => return self.fail(fault),
            },
            Token::Quoted(quoted) => Operand::Text(self.unquote(quoted)?),
            Token::LeftParenthesis => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return self.fail("nested too deeply");
                }
                let pipeline = self.pipeline("parenthesized pipeline", Token::RightParenthesis)?;
                self.depth -= 1;
                Operand::Pipeline(Box::new(pipeline))
            }
            _ => {
                self.position = start;
                return Ok(None);
            }
        }))
    }

    fn unquote(&self, quoted: &str) -> Parsed<Vec<u8>> {
        literal::unquote(quoted)
            .map_or_else(|| self.fail("a quoted string has an escape that means nothing"), Ok)
    }

    fn expect_right_delimiter(&mut self, context: &str) -> Parsed<()> {
        match self.next_past_space() {
            Token::RightDelimiter => Ok(()),
            token => self.fail(&format!("unexpected {} in {context}", described(token))),
        }
    }

    fn peek(&self) -> Token<'t> {
        self.tokens.get(self.position).map_or(Token::End, |(token, _)| *token)
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        self.position += 1;
        token
    }

    /// Passes white space, and looks at what follows.
    fn peek_past_space(&mut self) -> Token<'t> {
        while self.peek() == Token::Space {
            self.position += 1;
        }
        self.peek()
    }

    fn next_past_space(&mut self) -> Token<'t> {
        self.peek_past_space();
        self.next()
    }

    fn fail<T>(&self, message: &str) -> Parsed<T> {
        let last = self.position.saturating_sub(1);
        let line = self.tokens.get(last).or(self.tokens.last()).map_or(1, |(_, line)| *line);
        Err(SyntaxError { line, message: message.to_owned() })
    }
}

/// Whether it can take no value from the command before it.
fn is_inert(operand: &Operand) -> bool {
    matches!(
        operand,
        Operand::Bool(_)
            | Operand::Dot
            | Operand::Nil
            | Operand::Int(_)
            | Operand::Float(_)
            | Operand::Overflow
            | Operand::Text(_)
    )
}

fn described(token: Token<'_>) -> String {
    match token {
        Token::Text(_) => "text".to_owned(),
        Token::LeftDelimiter => "{{".to_owned(),
        Token::RightDelimiter => "}}".to_owned(),
        Token::Space => "space".to_owned(),
        Token::Assign => "=".to_owned(),
        Token::Declare => ":=".to_owned(),
        Token::Pipe => "|".to_owned(),
        Token::LeftParenthesis => "(".to_owned(),
        Token::RightParenthesis => ")".to_owned(),
        Token::Character(character) => format!("{character:?}"),
        Token::Quoted(text)
        | Token::CharacterConstant(text)
        | Token::Number(text)
        | Token::Variable(text)
        | Token::Identifier(text) => text.to_owned(),
        Token::Field(name) => format!(".{name}"),
        Token::Bool(value) => value.to_string(),
        Token::Dot => ".".to_owned(),
        Token::Keyword(keyword) => keyword.to_owned(),
        Token::End => "end of the template".to_owned(),
    }
}
