//! What the rules of the CA and the policies of verifiers have in common: a condition, and a message for whoever is refused.

use super::reader::Field;
use crate::condition::Fault;
use crate::spelling::is_hidden;

/// The longest message, in characters.
const LONGEST_MESSAGE: usize = 500;

/// A condition that `compile` makes of the text, whatever YAML would make of it: `true` is one too.
pub fn condition<T>(field: &Field<'_>, compile: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
    let Some(source) = field.word() else {
        let _ = field.text();
        return None;
    };
    compile(source)
        .map_err(|fault| {
            let column = match fault.column {
                0 | 1 => String::new(),
                column => format!(" (character {column})"),
            };
            field.error_on(field.line_of(fault.line), format!("{}{column}", fault.message));
        })
        .ok()
}

/// A message of one line.
pub fn message(text: &str) -> Result<String, String> {
    // A block scalar ends in a line break.
    let text = text.trim_end_matches('\n');
    let count = text.chars().count();
    if count == 0 || count > LONGEST_MESSAGE {
        return Err(format!("has {count} characters; 1 to {LONGEST_MESSAGE} are possible"));
    }
    if text.chars().any(char::is_control) {
        return Err(
            "has a control character or a line break in it; write it on one line, or with >".to_owned()
        );
    }
    hidden(text)?;
    Ok(text.to_owned())
}

/// A character that shows a text as another one.
///
/// # Errors
/// What is wrong with it, and its number.
pub fn hidden(text: &str) -> Result<(), String> {
    match text.chars().find(|character| is_hidden(*character)) {
        Some(hidden) => Err(format!(
            "has a character in it that nobody sees, or that turns others around ({})",
            hidden.escape_unicode()
        )),
        None => Ok(()),
    }
}
