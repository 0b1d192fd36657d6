//! Claims sets for rules: where they come from, and whether rules can be asked about them.

use super::certificates::carry;
use super::rules::Rules;
use crate::cli::{CliError, encoding, files};
use crate::condition::Facts as _;
use crate::policy::RequestFacts;
use crate::token::{Claims, MAX_TOKEN_BYTES};
use serde_json::Value as Json;
use std::path::Path;
use zeroize::Zeroizing;

/// Claims from a file of JSON, or from a token in one. Nothing is verified.
pub fn from_file(path: &Path) -> Result<Claims, CliError> {
    let bytes = Zeroizing::new(files::read(path, "the claims")?);
    from_bytes(&bytes).map_err(|words| CliError::refused(format!("{}: {words}", shown(path))))
}

/// The same of a file's content.
pub fn from_bytes(bytes: &[u8]) -> Result<Claims, String> {
    let bytes = bytes.trim_ascii();
    if bytes.len() > MAX_TOKEN_BYTES {
        return Err(format!("is larger than {} KiB, as no token is", MAX_TOKEN_BYTES / 1024));
    }
    if bytes.starts_with(b"{") {
        return Claims::parse(bytes).map_err(|refusal| of_refusal(&refusal));
    }
    let payload = std::str::from_utf8(bytes).ok().and_then(payload_of);
    let payload = payload.ok_or("is neither a JSON object of claims nor a token")?;
    Claims::parse(&payload).map_err(|refusal| of_refusal(&refusal))
}

/// The second of a token's three segments.
fn payload_of(token: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut segments = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return None;
    };
    encoding::from_base64url(payload).map(Zeroizing::new)
}

fn of_refusal(refusal: &crate::refusal::Refusal) -> String {
    format!("holds no claims. {}", refusal.detail().unwrap_or_default()).trim_end().to_owned()
}

/// A file's name for people.
pub fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Why rules about an issuer's tokens cannot be asked about what is known of a request: a claim that each of its tokens has is not there, or has a
/// type that it cannot have there. Such a token is refused before any rule is read. Claims of which tokens may have another type are left
/// to the rules, which cannot be decided then.
pub fn unfit_of(rules: &Rules, request: &RequestFacts<'_>, is_known: &dyn Fn(&str) -> bool) -> Vec<String> {
    let record = rules.record(request.iss);
    let mut found = Vec::new();
    let concerned = rules.policy.rules().iter().filter(|rule| rule.concerns(request.issuer));
    for rule in concerned {
        for path in rule.when.iter().flat_map(|condition| condition.names()) {
            let [variable, name] = path else { continue };
            let Some((of, always)) = record.value(name).filter(|_| variable == "claims" && is_known(name))
            else {
                continue;
            };
            let message = match request.value(path) {
                Ok(Some(value)) if value.is(of) => continue,
                Ok(None) if !always => continue,
                Ok(None) => format!(
                    "there is no claim {name}, which every token of {} has, and the rule \"{}\" asks for it",
                    request.iss, rule.name
                ),
                Ok(Some(_)) | Err(_) if !always && !carry(name) => continue,
                Ok(Some(_)) | Err(_) => {
                    format!("the claim {name} is no {of}, as in the tokens of {}", request.iss)
                }
            };
            if !found.contains(&message) {
                found.push(message);
            }
        }
    }
    found
}

/// Claims that tokens of the issuer are not known to have, with what may be meant.
pub fn unknown(rules: &Rules, iss: &str, claims: &Claims) -> Vec<String> {
    let record = rules.record(iss);
    let unknown =
        claims.iter().map(|(name, _)| name).filter(|name| !record.names().any(|known| known == *name));
    unknown
        .map(|name| match record.meant_by(name) {
            Some(meant) => format!("the claim {name} is unknown; did you mean {meant}?"),
            None => format!("the claim {name} is unknown; rules take it for a text"),
        })
        .collect()
}

/// The issuer that claims name; `None`: they name none.
///
/// # Errors
/// It is no text, so the token is refused before anything else.
pub fn issuer(claims: &Claims) -> Result<Option<&str>, &'static str> {
    match claims.member("iss") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(iss)) => Ok(Some(iss)),
        Some(_) => Err("an iss that is no string"),
    }
}

/// A claim's text.
pub fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.member(name).and_then(Json::as_str)
}
