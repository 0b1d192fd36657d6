//! What GitLab says of a failure, made fit for records: short, on one line, and without anything that could be a token.

use serde::Deserialize;
use serde_json::Value;

/// The longest text, in characters.
const LONGEST: usize = 200;
/// The shortest run of letters and digits that may be a token.
const TOKEN: usize = 16;
/// What stands for one.
const REMOVED: &str = "[removed]";

/// The body of a failure, as far as it is one of GitLab's.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Said {
    /// What GitLab's own code says: a text, or what is wrong by parameter.
    pub message: Option<Value>,
    /// What its framework or OAuth says.
    pub error: Option<Value>,
    /// More of the latter.
    pub error_description: Option<Value>,
}

impl Said {
    /// Reads a body; an empty one where it is no object.
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// `message`, where it is a text.
    pub fn message(&self) -> &str {
        self.message.as_ref().and_then(Value::as_str).unwrap_or_default()
    }

    /// `error`, where it is a text.
    pub fn error(&self) -> &str {
        self.error.as_ref().and_then(Value::as_str).unwrap_or_default()
    }

    fn words(&self) -> String {
        let parts = [&self.error, &self.message, &self.error_description];
        let text = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
        parts.into_iter().flatten().map(text).collect::<Vec<_>>().join(": ")
    }
}

/// A body in words.
pub fn of(body: &[u8]) -> String {
    let words = Said::read(body).words();
    if !words.is_empty() {
        return fit(&words);
    }
    let text = String::from_utf8_lossy(body.get(..body.len().min(4 * LONGEST)).unwrap_or_default());
    let text = text.trim();
    if text.is_empty() {
        "without a word".to_owned()
    } else if text.starts_with('<') {
        "with a page of HTML, which is not GitLab's API".to_owned()
    } else {
        fit(text)
    }
}

/// Without control characters and tokens, cut.
pub fn fit(text: &str) -> String {
    let mut fitted = String::new();
    let mut run = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || "-_".contains(character) {
            run.push(character);
            continue;
        }
        flush(&mut fitted, &mut run);
        fitted.push(if character.is_control() { ' ' } else { character });
    }
    flush(&mut fitted, &mut run);
    let text = fitted.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// Tokens are random: long runs with digits, or with letters of both cases. GitLab's own words are neither.
fn flush(fitted: &mut String, run: &mut String) {
    let has = |is: fn(&u8) -> bool| run.as_bytes().iter().any(is);
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let random = run.len() >= TOKEN && (has(u8::is_ascii_digit) || mixed);
    // `glpat-`, `gldt-`, `glptt-`, `glsoat-`, …: whatever follows.
    let named = run.starts_with("gl") && run.split_once('-').is_some_and(|(_, rest)| rest.len() >= 8);
    fitted.push_str(if random || named { REMOVED } else { run });
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitlabs_words_are_kept() {
        for (body, words) in [
            (r#"{"message":"404 Project Not Found"}"#, "404 Project Not Found"),
            (r#"{"error":"scopes does not have a valid value"}"#, "scopes does not have a valid value"),
            (r#"{"message":{"name":["can't be blank"]}}"#, r#"{"name":["can't be blank"]}"#),
            (
                r#"{"error":"insufficient_scope","error_description":"Too few."}"#,
                "insufficient_scope: Too few.",
            ),
            ("Retry later\n", "Retry later"),
            ("", "without a word"),
            ("<html><body>glpat-abc", "with a page of HTML, which is not GitLab's API"),
            ("a\u{1b}[31m\nb", "a [31m b"),
        ] {
            assert_eq!(of(body.as_bytes()), words, "{body}");
        }
    }

    #[test]
    fn tokens_of_every_form_are_removed() {
        for token in [
            "glpat-M9iUXnKNzxxypv7-bS7e",
            "gldt-fB1mVdANx2wHYHdnPr2o",
            "glptt-7d1dd6a16b6c1e0d3a9d7c4f2b8e5a6d0c9b8a7f",
            "company-prefix-M9iUXnKNzxxypv7",
            "abcdefghijKLMNOPQRST",
            "0123456789abcdef0123",
            "glabcdef-abcdefgh",
        ] {
            for body in [
                format!("token {token} is bad"),
                format!(r#"{{"message":"no \"{token}\""}}"#),
                format!(r#"{{"error":{{"token":["{token}"]}}}}"#),
            ] {
                let said = of(body.as_bytes());
                assert!(!said.contains(token) && said.contains(REMOVED), "{said}");
            }
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let said = fit(&"word ".repeat(500));
        assert_eq!(said.chars().count(), LONGEST + 1);
        // A token that reaches over the cut is removed before.
        let said = fit(&format!("{}glpat-M9iUXnKNzxxypv7-bS7e", "word ".repeat(39)));
        assert!(!said.contains("glpat"), "{said}");
    }
}
