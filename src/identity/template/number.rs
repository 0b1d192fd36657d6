//! Numbers in a template, with Go's rules for untyped constants.

use super::ast::Operand;

/// The constant that a number's spelling stands for.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Operand, &'static str> {
    if text.ends_with('i') && !is_hexadecimal(text) {
        return Err("complex numbers are not supported");
    }
    if text.contains(['p', 'P']) {
        return Err("hexadecimal floating-point numbers are not supported");
    }
    // The letter e makes a floating-point number, but not in an unsigned hexadecimal one.
    let looks_like_float = text.contains(['.', 'e', 'E'])
        && !text.strip_prefix('0').is_some_and(|rest| rest.starts_with(['x', 'X']));
    match integer(text) {
        Some(integer) => Ok(match i64::try_from(integer) {
            Ok(value) if looks_like_float => Operand::Float(value as f64),
            Ok(value) => Operand::Int(value),
            Err(_) if looks_like_float => Operand::Float(integer as f64),
            Err(_) => Operand::Overflow,
        }),
        None if looks_like_float => float(text).map(Operand::Float).ok_or("illegal number syntax"),
        None => Err("illegal number syntax, or an integer beyond 64 bits"),
    }
}

fn is_hexadecimal(text: &str) -> bool {
    text.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x")
}

/// Go's base 0: a prefix names the base, a leading zero means octal, underscores stand between digits.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = digits.len() != text.len();
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, base)| Some((base, lower.strip_prefix(prefix)?)))
        .or_else(|| lower.strip_prefix('0').filter(|rest| !rest.is_empty()).map(|rest| (8, rest)))
        .unwrap_or((10, &lower));
    let value = i128::from_str_radix(&without_underscores(digits, base != 10)?, base).ok()?;
    let limit = if signed { i128::from(i64::MAX) + i128::from(negative) } else { i128::from(u64::MAX) };
    (value <= limit).then_some(if negative { -value } else { value })
}

/// A decimal floating-point number within the range of a float64.
fn float(text: &str) -> Option<f64> {
    if is_hexadecimal(text) {
        return None;
    }
    let plain = without_underscores(text, false)?;
    plain.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The digits, where every underscore stands between two, or after the base's prefix.
fn without_underscores(text: &str, after_prefix: bool) -> Option<String> {
    let mut digit_before = after_prefix;
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '_' {
            if !digit_before || !characters.peek().is_some_and(|next| next.is_ascii_hexdigit()) {
                return None;
            }
            digit_before = false;
            continue;
        }
        digit_before = character.is_ascii_hexdigit();
        plain.push(character);
    }
    let signs_inside = plain.starts_with(['+', '-']) && after_prefix;
    (!signs_inside && !plain.is_empty()).then_some(plain)
}
