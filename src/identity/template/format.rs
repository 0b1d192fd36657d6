//! Values as text: what actions, `print` and `printf` make of them, as Go's package fmt documents it.

use super::MAX_TEXT_BYTES;
use super::data::{Data, Datum};
use super::escape::{self, Unit};
use super::evaluate::{Fault, Outcome};
use super::value::Value;

/// What an action writes.
pub(super) fn action_text(value: &Value, data: &Data<'_>) -> Outcome<Vec<u8>> {
    match value {
        Value::Nothing => Ok(b"<no value>".to_vec()),
        _ => print(std::slice::from_ref(value), data),
    }
}

/// `print`: a space between operands where neither is a string.
pub(super) fn print(values: &[Value], data: &Data<'_>) -> Outcome<Vec<u8>> {
    let mut text = Vec::new();
    let mut after_string = true;
    for value in values {
        let is_string = matches!(value, Value::Text(_));
        if !is_string && !after_string {
            text.push(b' ');
        }
        text.append(&mut formatted(value, 'v', &Directive::default(), data)?);
        bound(&text)?;
        after_string = is_string;
    }
    Ok(text)
}

/// `println`: spaces between all operands, and a newline.
pub(super) fn println(values: &[Value], data: &Data<'_>) -> Outcome<Vec<u8>> {
    let mut text = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        text.append(&mut formatted(value, 'v', &Directive::default(), data)?);
        bound(&text)?;
    }
    text.push(b'\n');
    Ok(text)
}

/// What `html`, `js` and `urlquery` escape: as `print`, but nothing is `<no value>`, as in an action.
pub(super) fn to_escape(values: &[Value], data: &Data<'_>) -> Outcome<Vec<u8>> {
    let shown = |value: &Value| match value {
        Value::Nothing => Value::text(*b"<no value>"),
        _ => value.clone(),
    };
    print(&values.iter().map(shown).collect::<Vec<_>>(), data)
}

/// `printf`. Faults of the format are written into the text, as Go does.
pub(super) fn printf(form: &[u8], values: &[Value], data: &Data<'_>) -> Outcome<Vec<u8>> {
    let mut text = Vec::new();
    let mut values_left = values.iter();
    let mut units = escape::units(form).peekable();
    while let Some(unit) = units.next() {
        match unit {
            Unit::Character('%') => {}
            Unit::Character(character) => {
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            Unit::Octet(octet) => {
                text.push(octet);
                continue;
            }
        }
        let directive = Directive::read(&mut units)?;
        let verb = if directive.ends_in_dot { Some(Unit::Character('.')) } else { units.next() };
        match verb {
            None => text.extend_from_slice(b"%!(NOVERB)"),
            Some(Unit::Octet(_)) => return Err(UNSUPPORTED),
            Some(Unit::Character('%')) => text.push(b'%'),
            Some(Unit::Character('*' | '[')) => return Err(UNSUPPORTED),
            Some(Unit::Character(verb)) => match values_left.next() {
                Some(value) => text.append(&mut formatted(value, verb, &directive, data)?),
                None => text.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes()),
            },
        }
        bound(&text)?;
    }
    let extra: Vec<_> = values_left.collect();
    if !extra.is_empty() {
        text.extend_from_slice(b"%!(EXTRA ");
        for (index, value) in extra.into_iter().enumerate() {
            if index > 0 {
                text.extend_from_slice(b", ");
            }
            if !matches!(value, Value::Nothing) {
                text.extend_from_slice(format!("{}=", value.type_name()).as_bytes());
            }
            text.append(&mut formatted(value, 'v', &Directive::default(), data)?);
            bound(&text)?;
        }
        text.push(b')');
    }
    Ok(text)
}

const UNSUPPORTED: Fault = Fault::failed("printf: that form of a directive is not supported");

fn bound(text: &[u8]) -> Outcome<()> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Fault::failed("it makes a text longer than 64 KiB"));
    }
    Ok(())
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// The format ends where a precision would begin: Go takes the full stop for the verb.
    ends_in_dot: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Directive {
    fn read(units: &mut std::iter::Peekable<impl Iterator<Item = Unit>>) -> Outcome<Self> {
        let mut directive = Self::default();
        loop {
            let flag = match units.peek() {
                Some(Unit::Character('-')) => &mut directive.minus,
                Some(Unit::Character('+')) => &mut directive.plus,
                Some(Unit::Character('#')) => &mut directive.sharp,
                Some(Unit::Character(' ')) => &mut directive.space,
                Some(Unit::Character('0')) => &mut directive.zero,
                _ => break,
            };
            *flag = true;
            units.next();
        }
        directive.width = number(units)?;
        if matches!(units.peek(), Some(Unit::Character('.'))) {
            units.next();
            directive.ends_in_dot = units.peek().is_none();
            if !directive.ends_in_dot {
                directive.precision = Some(number(units)?.unwrap_or(0));
            }
        }
        Ok(directive)
    }

    /// The text, padded to the width in characters.
    fn pad(&self, text: Vec<u8>, with_zeros: bool) -> Vec<u8> {
        let missing = self.width.unwrap_or(0).saturating_sub(escape::units(&text).count());
        if self.minus {
            let mut padded = text;
            padded.resize(padded.len() + missing, b' ');
            padded
        } else {
            let mut padded = vec![if with_zeros { b'0' } else { b' ' }; missing];
            padded.extend_from_slice(&text);
            padded
        }
    }
}

fn number(units: &mut std::iter::Peekable<impl Iterator<Item = Unit>>) -> Outcome<Option<usize>> {
    let mut number = None;
    while let Some(Unit::Character(character)) = units.peek() {
        let Some(digit) = character.to_digit(10) else { break };
        let so_far = number.unwrap_or(0usize) * 10 + digit as usize;
        if so_far > MAX_TEXT_BYTES {
            return Err(UNSUPPORTED);
        }
        number = Some(so_far);
        units.next();
    }
    Ok(number)
}

fn formatted(value: &Value, verb: char, directive: &Directive, data: &Data<'_>) -> Outcome<Vec<u8>> {
    if verb == 'v' && directive.plus {
        // `%+v` is about the names of fields, which nothing here has.
        return formatted(value, verb, &Directive { plus: false, ..*directive }, data);
    }
    if directive.sharp && !matches!((value, verb), (Value::Int(_), 'd' | 'b' | 'o' | 'x' | 'X')) {
        return Err(UNSUPPORTED);
    }
    match value {
        Value::Nothing => Ok(match verb {
            'v' | 'T' => directive.pad(b"<nil>".to_vec(), directive.zero),
            _ => format!("%!{verb}(<nil>)").into_bytes(),
        }),
        _ if verb == 'T' => Ok(text(value.type_name().as_bytes(), directive)),
        Value::Bool(value) if matches!(verb, 'v' | 't') => {
            Ok(directive.pad(value.to_string().into_bytes(), directive.zero))
        }
        Value::Int(value) => integer(*value, "int", verb, directive),
        Value::Octet(value) => integer(i64::from(*value), "uint8", verb, directive),
        Value::Float(value) => float(*value, verb, directive),
        Value::Text(octets) => string(octets, verb, directive),
        Value::Data => map(data, verb, directive),
        Value::Bool(_) => Ok(bad_verb(verb, "bool", &formatted(value, 'v', directive, data)?)),
    }
}

/// `map[name:value …]`, with the directive applied to every name and value.
fn map(data: &Data<'_>, verb: char, directive: &Directive) -> Outcome<Vec<u8>> {
    if verb == 'p' {
        return Err(UNSUPPORTED);
    }
    let mut shown = b"map[".to_vec();
    for (index, (name, datum)) in data.iter().enumerate() {
        if index > 0 {
            shown.push(b' ');
        }
        let value = match datum {
            Datum::Text(value) => value,
            Datum::Refused(reason) => return Err(Fault::Refused(name.to_owned(), *reason)),
        };
        shown.append(&mut string(name.as_bytes(), verb, directive)?);
        shown.push(b':');
        shown.append(&mut string(value.as_bytes(), verb, directive)?);
        bound(&shown)?;
    }
    shown.push(b']');
    Ok(shown)
}

fn string(octets: &[u8], verb: char, directive: &Directive) -> Outcome<Vec<u8>> {
    match verb {
        'v' | 's' => Ok(text(octets, directive)),
        'q' => Ok(directive.pad(escape::quote(truncated(octets, directive), directive.plus), directive.zero)),
        'x' | 'X' if directive.space => Err(UNSUPPORTED),
        'x' | 'X' => {
            let upper = verb == 'X';
            let limit = directive.precision.unwrap_or(octets.len());
            let digits: String = octets
                .iter()
                .take(limit)
                .map(|octet| if upper { format!("{octet:02X}") } else { format!("{octet:02x}") })
                .collect();
            Ok(directive.pad(digits.into_bytes(), directive.zero))
        }
        _ => Ok(bad_verb(verb, "string", &text(octets, directive))),
    }
}

/// `%s`: at most as many characters as the precision says, padded.
fn text(octets: &[u8], directive: &Directive) -> Vec<u8> {
    directive.pad(truncated(octets, directive).to_vec(), directive.zero)
}

fn truncated<'o>(octets: &'o [u8], directive: &Directive) -> &'o [u8] {
    let Some(precision) = directive.precision else { return octets };
    let length = escape::units(octets)
        .take(precision)
        .map(|unit| match unit {
            Unit::Character(character) => character.len_utf8(),
            Unit::Octet(_) => 1,
        })
        .sum();
    octets.get(..length).unwrap_or(octets)
}

fn integer(value: i64, type_name: &str, verb: char, directive: &Directive) -> Outcome<Vec<u8>> {
    let magnitude = value.unsigned_abs();
    let digits = match verb {
        'v' | 'd' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' | 'q' | 'U' => return Ok(character(value, verb, directive)),
        _ => return Ok(bad_verb(verb, type_name, &integer(value, type_name, 'v', directive)?)),
    };
    let sign = match (value < 0, directive.plus, directive.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    if directive.precision == Some(0) && value == 0 {
        return Ok(vec![b' '; directive.width.unwrap_or(0)]);
    }
    let least = match (directive.precision, directive.width) {
        (Some(precision), _) => precision,
        (None, Some(width)) if directive.zero && !directive.minus => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let mut padded = "0".repeat(least.saturating_sub(digits.len()));
    padded.push_str(&digits);
    let prefix = match verb {
        'O' => "0o",
        'b' if directive.sharp => "0b",
        'o' if directive.sharp && !padded.starts_with('0') => "0",
        'x' if directive.sharp => "0x",
        'X' if directive.sharp => "0X",
        _ => "",
    };
    Ok(directive.pad(format!("{sign}{prefix}{padded}").into_bytes(), false))
}

/// `%c`, `%q`, `%U` of a number.
fn character(value: i64, verb: char, directive: &Directive) -> Vec<u8> {
    let character = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    match verb {
        'c' => directive.pad(character.to_string().into_bytes(), directive.zero),
        'q' => directive.pad(escape::quote_character(character, directive.plus), directive.zero),
        _ => {
            let digits = directive.precision.unwrap_or(4).max(4);
            directive.pad(format!("U+{:0digits$X}", value as u64).into_bytes(), false)
        }
    }
}

fn float(value: f64, verb: char, directive: &Directive) -> Outcome<Vec<u8>> {
    if directive.precision.is_some_and(|precision| precision > 400) {
        return Err(UNSUPPORTED);
    }
    let precision = directive.precision;
    let unsigned = value.abs();
    let digits = match verb {
        'v' | 'g' => general(unsigned, precision),
        'G' => general(unsigned, precision).to_ascii_uppercase(),
        'e' => exponential(unsigned, precision.unwrap_or(6)),
        'E' => exponential(unsigned, precision.unwrap_or(6)).to_ascii_uppercase(),
        'f' | 'F' => format!("{unsigned:.*}", precision.unwrap_or(6)),
        'b' | 'x' | 'X' => return Err(UNSUPPORTED),
        _ => return Ok(bad_verb(verb, "float64", &float(value, 'v', directive)?)),
    };
    let sign = match (value.is_sign_negative(), directive.plus, directive.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    // Zeros go between a sign and the digits.
    let missing = directive.width.unwrap_or(0).saturating_sub(sign.len() + digits.len());
    if directive.zero && !directive.minus {
        return Ok(format!("{sign}{}{digits}", "0".repeat(missing)).into_bytes());
    }
    Ok(directive.pad(format!("{sign}{digits}").into_bytes(), false))
}

/// `%g`: as short as the number can be told by, or with `precision` significant digits.
fn general(value: f64, precision: Option<usize>) -> String {
    let scientific = match precision {
        None => format!("{value:e}"),
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let trimmed = digits.trim_end_matches('0');
    let digits = if trimmed.is_empty() { "0" } else { trimmed };
    let limit = match precision {
        None => 6,
        Some(precision) => {
            let precision = precision.max(1) as i32;
            let count = digits.len() as i32;
            if precision > count && count > exponent { count.max(1) } else { precision }
        }
    };
    if exponent < -4 || exponent >= limit {
        let fraction = digits.get(1..).filter(|rest| !rest.is_empty());
        let point = if fraction.is_some() { "." } else { "" };
        return format!(
            "{}{point}{}{}",
            digits.get(..1).unwrap_or("0"),
            fraction.unwrap_or(""),
            exponent_text(exponent)
        );
    }
    positional(digits, exponent)
}

/// Digits without an exponent; the first has the weight 10^exponent.
fn positional(digits: &str, exponent: i32) -> String {
    let Ok(whole) = usize::try_from(exponent + 1) else {
        return format!("0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    };
    if whole == 0 {
        return format!("0.{digits}");
    }
    match digits.split_at_checked(whole) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits}{}", "0".repeat(whole - digits.len())),
    }
}

fn exponential(value: f64, precision: usize) -> String {
    let scientific = format!("{value:.precision$e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    format!("{mantissa}{}", exponent_text(exponent.parse().unwrap_or(0)))
}

/// With a sign, and two digits at least.
fn exponent_text(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:02}", exponent.unsigned_abs())
}

fn bad_verb(verb: char, type_name: &str, value: &[u8]) -> Vec<u8> {
    let mut text = format!("%!{verb}({type_name}=").into_bytes();
    text.extend_from_slice(value);
    text.push(b')');
    text
}
