//! Texts with names in braces: `{role}-{project_path}`.

/// A part of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<N> {
    /// As it stands.
    Text(String),
    /// What stands between braces.
    Name(N),
}

/// Takes a text apart. A brace that is not a name's has no spelling: neither paths nor names of tokens need one.
///
/// # Errors
/// What is wrong, in words that follow the key's name: a brace without its other one, or what `name` says of a name.
pub(super) fn split<N>(
    text: &str,
    name: impl Fn(&str) -> Result<N, String>,
) -> Result<Vec<Piece<N>>, String> {
    const ODD: &str = "has a brace without its other one; names stand in braces: {project_path}";
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, behind) = after.split_once('}').ok_or(ODD)?;
        if before.contains('}') {
            return Err(ODD.to_owned());
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Name(name(inner)?));
        rest = behind;
    }
    if rest.contains('}') {
        return Err(ODD.to_owned());
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}
