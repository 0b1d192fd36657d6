//! What `html`, `js` and `urlquery` make of a text, and Go's quoting.

/// For HTML: what `html` does.
pub(super) fn html(octets: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(octets.len());
    for octet in octets {
        match octet {
            0 => escaped.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => escaped.extend_from_slice(b"&#34;"),
            b'\'' => escaped.extend_from_slice(b"&#39;"),
            b'&' => escaped.extend_from_slice(b"&amp;"),
            b'<' => escaped.extend_from_slice(b"&lt;"),
            b'>' => escaped.extend_from_slice(b"&gt;"),
            _ => escaped.push(*octet),
        }
    }
    escaped
}

/// For a JavaScript string: what `js` does.
pub(super) fn js(octets: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(octets.len());
    for unit in units(octets) {
        match unit {
            Unit::Character(special @ ('\\' | '\'' | '"')) => {
                escaped.push(b'\\');
                push(&mut escaped, special);
            }
            Unit::Character(special @ ('<' | '>' | '&' | '=' | '\0'..='\x1f')) => {
                escaped.extend_from_slice(format!("\\u{:04X}", u32::from(special)).as_bytes());
            }
            Unit::Character(character) if character.is_ascii() || is_printable(character) => {
                push(&mut escaped, character)
            }
            Unit::Character(character) => {
                escaped.extend_from_slice(format!("\\u{:04X}", u32::from(character)).as_bytes());
            }
            // U+FFFD, which stands for such an octet, is printable: the octet itself is kept.
            Unit::Octet(octet) => escaped.push(octet),
        }
    }
    escaped
}

/// For a URL's query: what `urlquery` does.
pub(super) fn url_query(octets: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(octets.len());
    for octet in octets {
        match octet {
            b' ' => escaped.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(*octet),
            _ if octet.is_ascii_alphanumeric() => escaped.push(*octet),
            _ => escaped.extend_from_slice(format!("%{octet:02X}").as_bytes()),
        }
    }
    escaped
}

/// A Go string literal: what `%q` does; `ascii` as `%+q`.
pub(super) fn quote(octets: &[u8], ascii: bool) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for unit in units(octets) {
        match unit {
            Unit::Octet(octet) => quoted.extend_from_slice(format!("\\x{octet:02x}").as_bytes()),
            Unit::Character(character) => quote_into(&mut quoted, character, '"', ascii),
        }
    }
    quoted.push(b'"');
    quoted
}

/// A Go character literal: what `%q` does with a number.
pub(super) fn quote_character(character: char, ascii: bool) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    quote_into(&mut quoted, character, '\'', ascii);
    quoted.push(b'\'');
    quoted
}

/// Octets as characters; an octet that belongs to none stands alone.
pub(super) enum Unit {
    /// A character.
    Character(char),
    /// An octet that is not UTF-8.
    Octet(u8),
}

/// The characters and stray octets of a text.
pub(super) fn units(octets: &[u8]) -> impl Iterator<Item = Unit> {
    octets.utf8_chunks().flat_map(|chunk| {
        let stray = chunk.invalid().iter().map(|octet| Unit::Octet(*octet));
        chunk.valid().chars().map(Unit::Character).chain(stray)
    })
}

fn quote_into(quoted: &mut Vec<u8>, character: char, quote: char, ascii: bool) {
    let short = match character {
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        '\\' => "\\\\",
        _ => "",
    };
    let number = u32::from(character);
    if !short.is_empty() {
        quoted.extend_from_slice(short.as_bytes());
    } else if character == quote {
        quoted.push(b'\\');
        push(quoted, character);
    } else if is_printable(character) && (!ascii || character.is_ascii()) {
        push(quoted, character);
    } else if number < 0x20 || number == 0x7f {
        quoted.extend_from_slice(format!("\\x{number:02x}").as_bytes());
    } else if number < 0x1_0000 {
        quoted.extend_from_slice(format!("\\u{number:04x}").as_bytes());
    } else {
        quoted.extend_from_slice(format!("\\U{number:08x}").as_bytes());
    }
}

/// Go's notion: letters, marks, numbers, punctuation, symbols, and of white space the ASCII space.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    // After another character the standard library escapes exactly what is not printable.
    let mut text = String::from("a");
    text.push(character);
    text.escape_debug().count() == 2
}

fn push(octets: &mut Vec<u8>, character: char) {
    octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
