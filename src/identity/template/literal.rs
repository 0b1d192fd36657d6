//! Quoted strings and character constants, with Go's escapes.

/// The octets of a string with its quotes. `None`: an escape that Go does not know.
pub(super) fn unquote(quoted: &str) -> Option<Vec<u8>> {
    if let Some(raw) = quoted.strip_prefix('`') {
        // Go drops carriage returns from raw strings.
        return Some(raw.strip_suffix('`')?.bytes().filter(|octet| *octet != b'\r').collect());
    }
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut octets = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unit, after) = unit(rest, '"')?;
        unit.write(&mut octets);
        rest = after;
    }
    Some(octets)
}

/// The number of a character constant with its quotes.
pub(super) fn unquote_character(quoted: &str) -> Option<i64> {
    let (unit, after) = unit(quoted.strip_prefix('\'')?, '\'')?;
    (after == "'").then_some(match unit {
        Unit::Octet(octet) => i64::from(octet),
        Unit::Character(character) => i64::from(u32::from(character)),
    })
}

enum Unit {
    Octet(u8),
    Character(char),
}

impl Unit {
    fn write(&self, octets: &mut Vec<u8>) {
        match self {
            Self::Octet(octet) => octets.push(*octet),
            Self::Character(character) => {
                octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes())
            }
        }
    }
}

/// One character or escape, and what follows it.
fn unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut characters = text.chars();
    let first = characters.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Character(first), characters.as_str()));
    }
    let kind = characters.next()?;
    let after = characters.as_str();
    let octet = |octet| Some((Unit::Octet(octet), after));
    match kind {
        'a' => octet(0x07),
        'b' => octet(0x08),
        'f' => octet(0x0c),
        'n' => octet(b'\n'),
        'r' => octet(b'\r'),
        't' => octet(b'\t'),
        'v' => octet(0x0b),
        '\\' => octet(b'\\'),
        _ if kind == quote => octet(u8::try_from(kind).ok()?),
        'x' => {
            let (number, after) = digits(after, 2, 16)?;
            Some((Unit::Octet(u8::try_from(number).ok()?), after))
        }
        'u' | 'U' => {
            let (number, after) = digits(after, if kind == 'u' { 4 } else { 8 }, 16)?;
            Some((Unit::Character(char::from_u32(number)?), after))
        }
        '0'..='7' => {
            let (_, from_kind) = text.split_at_checked(1)?;
            let (number, after) = digits(from_kind, 3, 8)?;
            Some((Unit::Octet(u8::try_from(number).ok()?), after))
        }
        _ => None,
    }
}

fn digits(text: &str, count: usize, base: u32) -> Option<(u32, &str)> {
    let (digits, after) = text.split_at_checked(count)?;
    let all = digits.chars().all(|digit| digit.is_digit(base));
    Some((u32::from_str_radix(digits, base).ok().filter(|_| all)?, after))
}
