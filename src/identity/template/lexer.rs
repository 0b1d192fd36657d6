//! From text to tokens.

use super::SyntaxError;

/// A token; texts are slices of the template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// Text outside of actions.
    Text(&'t str),
    /// `{{`
    LeftDelimiter,
    /// `}}`
    RightDelimiter,
    /// White space between operands, which separates arguments.
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// `|`
    Pipe,
    /// `(`
    LeftParenthesis,
    /// `)`
    RightParenthesis,
    /// A comma, or a printable character that means nothing.
    Character(char),
    /// A string with its quotes, double ones or back quotes.
    Quoted(&'t str),
    /// A character constant with its quotes.
    CharacterConstant(&'t str),
    /// A number.
    Number(&'t str),
    /// A field's name, without its full stop.
    Field(&'t str),
    /// A variable's name, with its dollar sign.
    Variable(&'t str),
    /// A name that is no keyword: a function's.
    Identifier(&'t str),
    /// `true`, `false`
    Bool(bool),
    /// `.`
    Dot,
    /// One of [`KEYWORDS`].
    Keyword(&'static str),
    /// The end.
    End,
}

/// The words that are no functions' names.
const KEYWORDS: [&str; 11] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with"];

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

/// All tokens with their lines, [`Token::End`] last.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, SyntaxError> {
    let mut lexer = Lexer { rest: text, line: 1, parentheses: 0, tokens: Vec::new() };
    lexer.run()?;
    lexer.push(Token::End);
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    rest: &'t str,
    line: usize,
    parentheses: usize,
    tokens: Vec<(Token<'t>, usize)>,
}

impl<'t> Lexer<'t> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some((before, after)) = self.rest.split_once(LEFT) {
            let trims = is_left_trim_marker(after);
            let text = if trims { before.trim_end_matches(is_space) } else { before };
            if !text.is_empty() {
                self.push(Token::Text(text));
            }
            self.advance_to(after);
            if trims {
                self.skip(2);
            }
            if self.rest.starts_with("/*") {
                self.comment()?;
            } else {
                self.push(Token::LeftDelimiter);
                self.action()?;
            }
        }
        if !self.rest.is_empty() {
            self.push(Token::Text(self.rest));
            self.advance_to("");
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        let Some((_, after)) = self.rest.split_at_checked(2).and_then(|(_, rest)| rest.split_once("*/"))
        else {
            return self.fail("unclosed comment");
        };
        self.advance_to(after);
        if self.right_delimiter() { Ok(()) } else { self.fail("a comment ends before its closing braces") }
    }

    /// The tokens up to the closing braces, these included.
    fn action(&mut self) -> Result<(), SyntaxError> {
        self.parentheses = 0;
        loop {
            let at = self.rest;
            let line = self.line;
            if self.right_delimiter() {
                if self.parentheses > 0 {
                    return self.fail("unclosed left parenthesis");
                }
                self.tokens.push((Token::RightDelimiter, line));
                return Ok(());
            }
            let Some(first) = at.chars().next() else { return self.fail("unclosed action") };
            if is_space(first) {
                self.spaces();
            } else {
                self.token(first)?;
            }
        }
    }

    /// Takes closing braces, with or without trim marker, and the white space that the marker trims.
    fn right_delimiter(&mut self) -> bool {
        let mut characters = self.rest.chars();
        let marked = characters.next().is_some_and(is_space) && characters.next() == Some('-');
        if let Some(after) = characters.as_str().strip_prefix(RIGHT).filter(|_| marked) {
            self.advance_to(after.trim_start_matches(is_space));
            return true;
        }
        match self.rest.strip_prefix(RIGHT) {
            Some(after) => {
                self.advance_to(after);
                true
            }
            None => false,
        }
    }

    /// White space, but for the last of it where that belongs to a trim marker.
    fn spaces(&mut self) {
        let after = self.rest.trim_start_matches(is_space);
        let count = self.rest.len() - after.len();
        let belongs = after.strip_prefix('-').is_some_and(|after| after.starts_with(RIGHT));
        self.push(Token::Space);
        self.skip(if belongs { count - 1 } else { count });
    }

    fn token(&mut self, first: char) -> Result<(), SyntaxError> {
        match first {
            '=' => self.take(1, |_| Token::Assign),
            ':' if self.rest.starts_with(":=") => self.take(2, |_| Token::Declare),
            ':' => return self.fail("expected :="),
            '|' => self.take(1, |_| Token::Pipe),
            '"' => return self.quoted('"', "unterminated quoted string", Token::Quoted),
            '\'' => return self.quoted('\'', "unterminated character constant", Token::CharacterConstant),
            '`' => return self.raw_string(),
            '$' => return self.word(1, Token::Variable),
            '.' if !self.rest.chars().nth(1).is_some_and(|next| next.is_ascii_digit()) => {
                return self.field();
            }
            '.' | '+' | '-' | '0'..='9' => return self.number(),
            '(' => {
                self.parentheses += 1;
                self.take(1, |_| Token::LeftParenthesis);
            }
            ')' => {
                let Some(fewer) = self.parentheses.checked_sub(1) else {
                    return self.fail("unexpected right parenthesis");
                };
                self.parentheses = fewer;
                self.take(1, |_| Token::RightParenthesis);
            }
            _ if is_alphanumeric(first) => return self.word(0, identifier),
            _ if first.is_ascii_graphic() => self.take(1, |_| Token::Character(first)),
            _ => return self.fail("a character that means nothing in an action"),
        }
        Ok(())
    }

    fn field(&mut self) -> Result<(), SyntaxError> {
        if self.rest.split_at_checked(1).is_some_and(|(_, after)| is_terminated(after)) {
            self.take(1, |_| Token::Dot);
            return Ok(());
        }
        self.word(1, |word| Token::Field(word.trim_start_matches('.')))
    }

    /// `prefix` octets, then letters, digits and underscores, up to something that may follow a name.
    fn word(&mut self, prefix: usize, token: fn(&'t str) -> Token<'t>) -> Result<(), SyntaxError> {
        let name = self.rest.split_at_checked(prefix).map_or("", |(_, name)| name);
        let after = name.trim_start_matches(is_alphanumeric);
        if !is_terminated(after) {
            let character = after.chars().next().unwrap_or_default();
            return self.fail(&format!("bad character {character:?} after a name"));
        }
        self.take(self.rest.len() - after.len(), token);
        Ok(())
    }

    fn quoted(
        &mut self,
        quote: char,
        fault: &str,
        token: fn(&'t str) -> Token<'t>,
    ) -> Result<(), SyntaxError> {
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            match character {
                '\n' => break,
                '\\' if characters.next().is_none_or(|(_, escaped)| escaped == '\n') => break,
                _ if character == quote => {
                    self.take(index + 1, token);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.fail(fault)
    }

    fn raw_string(&mut self) -> Result<(), SyntaxError> {
        let end = self.rest.char_indices().skip(1).find(|(_, character)| *character == '`');
        match end {
            Some((index, _)) => {
                self.take(index + 1, Token::Quoted);
                Ok(())
            }
            None => self.fail("unterminated raw quoted string"),
        }
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let after = after_number(self.rest);
        let next = after.chars().next();
        if next.is_some_and(is_alphanumeric) {
            return self.fail("bad number syntax");
        }
        if matches!(next, Some('+' | '-')) {
            return self.fail("bad number syntax (complex numbers are not supported)");
        }
        self.take(self.rest.len() - after.len(), Token::Number);
        Ok(())
    }

    fn push(&mut self, token: Token<'t>) {
        self.tokens.push((token, self.line));
    }

    /// Takes `length` octets as a token.
    fn take(&mut self, length: usize, token: impl FnOnce(&'t str) -> Token<'t>) {
        let (taken, after) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.push(token(taken));
        self.advance_to(after);
    }

    fn skip(&mut self, length: usize) {
        let after = self.rest.split_at_checked(length).map_or("", |(_, after)| after);
        self.advance_to(after);
    }

    /// Goes on at `after`, a suffix of the rest.
    fn advance_to(&mut self, after: &'t str) {
        let passed = self.rest.len().saturating_sub(after.len());
        let lines = self.rest.bytes().take(passed).filter(|octet| *octet == b'\n').count();
        self.line += lines;
        self.rest = after;
    }

    fn fail<T>(&self, message: &str) -> Result<T, SyntaxError> {
        Err(SyntaxError { line: self.line, message: message.to_owned() })
    }
}

/// What follows the longest prefix that looks like a number. Whether it is one, `number` decides.
fn after_number(text: &str) -> &str {
    fn digits(text: &str, more: &str) -> usize {
        text.len()
            - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_' || more.contains(c)).len()
    }
    let optional = |text: &'_ str, set: &str| text.chars().next().is_some_and(|c| set.contains(c));
    let cut = |text: &str, length: usize| text.len().min(length);
    let mut position = 0;
    let rest = |position: usize| text.split_at_checked(cut(text, position)).map_or("", |(_, rest)| rest);
    if optional(rest(position), "+-") {
        position += 1;
    }
    let mut base = 10;
    if optional(rest(position), "0") {
        position += 1;
        for (letters, its_base) in [("xX", 16), ("oO", 8), ("bB", 2)] {
            if base == 10 && optional(rest(position), letters) {
                position += 1;
                base = its_base;
            }
        }
    }
    let run = |position: usize| -> usize {
        match base {
            16 => digits(rest(position), "abcdefABCDEF"),
            10 => digits(rest(position), ""),
            8 => {
                rest(position).len()
                    - rest(position).trim_start_matches(|c: char| matches!(c, '0'..='7' | '_')).len()
            }
            _ => rest(position).len() - rest(position).trim_start_matches(['0', '1', '_']).len(),
        }
    };
    position += run(position);
    if optional(rest(position), ".") {
        position += 1;
        position += run(position);
    }
    let exponent = match base {
        10 => "eE",
        16 => "pP",
        _ => "",
    };
    if optional(rest(position), exponent) {
        position += 1;
        if optional(rest(position), "+-") {
            position += 1;
        }
        position += digits(rest(position), "");
    }
    if optional(rest(position), "i") {
        position += 1;
    }
    rest(position)
}

fn identifier(word: &str) -> Token<'_> {
    match (word, KEYWORDS.into_iter().find(|keyword| *keyword == word)) {
        (_, Some(keyword)) => Token::Keyword(keyword),
        ("true", _) => Token::Bool(true),
        ("false", _) => Token::Bool(false),
        _ => Token::Identifier(word),
    }
}

/// Whether a name may end here.
fn is_terminated(after: &str) -> bool {
    after.starts_with(RIGHT)
        || after
            .chars()
            .next()
            .is_none_or(|next| is_space(next) || matches!(next, '.' | ',' | '|' | ':' | ')' | '('))
}

fn is_left_trim_marker(after: &str) -> bool {
    let mut characters = after.chars();
    characters.next() == Some('-') && characters.next().is_some_and(is_space)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || character.is_ascii_digit() || character.is_alphabetic()
}
