//! The name that somebody may have meant.

/// Longer names are near to nothing: what comes from outside costs no time.
const LONGEST: usize = 64;

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
