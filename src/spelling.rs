//! The name that somebody may have meant.

/// Longer names are near to nothing: what comes from outside costs no time.
const LONGEST: usize = 64;

/// Whether a character cannot be seen, looks like a space, or changes the direction of what stands beside it (Unicode's categories Cc, Cf, Zl
/// and Zp, spaces but the one of ASCII, and what a reader may ignore): two names that differ by it look the same, or like a third one.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
            | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The nearest of the known names, when it is at most so many slips away (Damerau and Levenshtein: a letter too much, too few, another
/// one, or two that changed places). Case, `-` and `_` make no difference.
pub fn nearest<'n>(
    name: &str,
    known: impl Iterator<Item = &'n str>,
    slips: impl Fn(&str) -> usize,
) -> Option<&'n str> {
    let folded = |name: &str| name.to_lowercase().replace(['-', '_'], "");
    let name = Some(folded(name)).filter(|name| name.len() <= LONGEST)?;
    known
        .map(|known| (strsim::damerau_levenshtein(&name, &folded(known)), known))
        .filter(|(distance, known)| *distance <= slips(known))
        .min()
        .map(|(_, known)| known)
}
