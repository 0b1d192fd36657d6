//! Many claims sets in one file: a JSON list, or one object after the other (JSON lines). One at a time is in memory.

use crate::token::{Claims, MAX_TOKEN_BYTES};
use std::io::{BufRead, Bytes};

/// The claims sets of a file.
pub struct ClaimsList<R: BufRead> {
    bytes: Bytes<R>,
    read: u64,
    number: u64,
    failed: bool,
    place: Place,
}

/// Where in the file the reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before anything, or between objects that stand one after the other.
    Lines,
    /// Behind the list's bracket.
    ListBegun,
    /// Behind an element of the list.
    Element,
    /// Behind the comma that follows one.
    Comma,
    /// Behind the list's end.
    ListEnded,
}

impl<R: BufRead> ClaimsList<R> {
    /// Of this text.
    pub fn new(reader: R) -> Self {
        Self { bytes: reader.bytes(), read: 0, number: 0, failed: false, place: Place::Lines }
    }

    /// How many octets were read.
    pub const fn octets(&self) -> u64 {
        self.read
    }

    fn byte(&mut self) -> Result<Option<u8>, String> {
        let byte = self.bytes.next().transpose().map_err(|error| error.to_string())?;
        self.read += u64::from(byte.is_some());
        Ok(byte)
    }

    /// To the next object's opening brace; `false`: there is none, and the file is whole.
    fn find(&mut self) -> Result<bool, String> {
        loop {
            self.place = match (self.byte()?, self.place) {
                (Some(b' ' | b'\t' | b'\r' | b'\n'), place) => place,
                (Some(b'{'), Place::Lines) => return Ok(true),
                (Some(b'{'), Place::ListBegun | Place::Comma) => {
                    self.place = Place::Element;
                    return Ok(true);
                }
                // A list is the whole file.
                (Some(b'['), Place::Lines) if self.number == 0 => Place::ListBegun,
                (Some(b']'), Place::ListBegun | Place::Element) => Place::ListEnded,
                (Some(b','), Place::Element) => Place::Comma,
                (None, Place::Lines | Place::ListEnded) => return Ok(false),
                (None, _) => return Err("the file ends within the list: a part of it is missing".to_owned()),
                (Some(_), Place::ListEnded) => return Err("there is something behind the list".to_owned()),
                (Some(_), _) => return Err("there is something that is no JSON object".to_owned()),
            }
        }
    }

    /// The next object's text.
    fn object(&mut self) -> Result<Option<Vec<u8>>, String> {
        if !self.find()? {
            return Ok(None);
        }
        let mut text = vec![b'{'];
        let (mut depth, mut in_text, mut escaped) = (1usize, false, false);
        while depth > 0 {
            let byte = self.byte()?.ok_or("the file ends within it")?;
            if text.len() >= MAX_TOKEN_BYTES {
                return Err(format!("it is larger than {} KiB, as no token is", MAX_TOKEN_BYTES / 1024));
            }
            text.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' if !in_text => depth += 1,
                b'}' if !in_text => depth -= 1,
                _ => {}
            }
        }
        Ok(Some(text))
    }
}

impl<R: BufRead> Iterator for ClaimsList<R> {
    type Item = Result<Claims, String>;

    /// The next claims set, or why the file cannot be read on.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let parsed = self.object().and_then(|text| match text {
            Some(text) => {
                let claims = Claims::parse(&text);
                claims.map(Some).map_err(|refusal| refusal.detail().unwrap_or_default().to_owned())
            }
            None => Ok(None),
        });
        self.number += 1;
        self.failed = parsed.is_err();
        parsed.map_err(|words| format!("claims set {}: {words}", self.number)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(text: &str) -> Result<Vec<String>, String> {
        let list = ClaimsList::new(text.as_bytes());
        list.map(|claims| Ok(claims?.member("sub").unwrap().as_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn a_list_and_lines_are_the_same() {
        let expected = Ok(vec!["a}\"{".to_owned(), "b".to_owned()]);
        for text in [
            "[{\"sub\": \"a}\\\"{\", \"x\": {\"y\": []}}, {\"sub\": \"b\"}]",
            "{\"sub\":\"a}\\\"{\"}\n{\"sub\":\"b\"}\n",
            "\r\n  {\"sub\":\"a}\\\"{\"}{\"sub\":\"b\"}",
        ] {
            assert_eq!(subjects(text), expected, "{text}");
        }
        assert_eq!(subjects(""), Ok(vec![]));
        assert_eq!(subjects("[]"), Ok(vec![]));
        assert_eq!(subjects(" [ ]\n"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_claims_set_ends_the_list() {
        for (text, words) in [
            ("{\"sub\":\"a\"}\nb", "claims set 2: there is something that is no JSON object"),
            ("[\"a\"]", "claims set 1: there is something that is no JSON object"),
            ("{\"sub\":\"a\"", "claims set 1: the file ends within it"),
            ("[", "claims set 1: the file ends within the list: a part of it is missing"),
            ("[{\"sub\":\"a\"}", "claims set 2: the file ends within the list: a part of it is missing"),
            ("[{\"sub\":\"a\"},", "claims set 2: the file ends within the list: a part of it is missing"),
            ("[[{\"sub\":\"a\"}]]", "claims set 1: there is something that is no JSON object"),
            ("[{\"sub\":\"a\"} {\"sub\":\"b\"}]", "claims set 2: there is something that is no JSON object"),
            ("[{\"sub\":\"a\"},]", "claims set 2: there is something that is no JSON object"),
            ("[,{\"sub\":\"a\"}]", "claims set 1: there is something that is no JSON object"),
            ("{\"sub\":\"a\"},{\"sub\":\"b\"}", "claims set 2: there is something that is no JSON object"),
            ("{\"sub\":\"a\"}[{\"sub\":\"b\"}]", "claims set 2: there is something that is no JSON object"),
            ("[{\"sub\":\"a\"}][]", "claims set 2: there is something behind the list"),
            ("]", "claims set 1: there is something that is no JSON object"),
            ("{\"sub\":\"a\",\"sub\":\"b\"}", "claims set 1: Its payload: it has a member twice."),
        ] {
            assert_eq!(subjects(text).unwrap_err(), words);
        }
        let large = format!("{{\"sub\":\"{}\"}}", "a".repeat(MAX_TOKEN_BYTES));
        assert!(subjects(&large).unwrap_err().contains("larger than 64 KiB"));
        let mut list = ClaimsList::new(&b"x{}"[..]);
        assert!(list.next().is_some_and(|it| it.is_err()) && list.next().is_none());
    }
}
