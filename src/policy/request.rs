//! What rules may ask of a request for a certificate.

use crate::condition::{Facts, Member, Record, Scope, Type, Undecided, Value};
use crate::possession::KeyKind;
use crate::token::Claims;
use serde_json::Value as Json;

/// The names of a rule for tokens with these claims: `claims`, `issuer` and `request`. Of several types of tokens, those of
/// [`Record::common`].
pub fn scope(claims: Record) -> Scope {
    let request = Record::of([("key_type", Member::always(Type::Text).one_of(&KeyKind::CODES))]);
    Scope::of([
        ("claims", Member::record(claims, true)),
        ("issuer", Member::always(Type::Text)),
        ("request", Member::record(request, true)),
    ])
}

/// A request, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'r> {
    /// The issuer as the list of issuers has it: its URL, or the pattern that admits it. Rules are listed by it.
    pub issuer: &'r str,
    /// The token's `iss`, byte for byte.
    pub iss: &'r str,
    /// The verified claims, or those of a certificate in the log.
    pub claims: &'r Claims,
    /// The type of the key that the certificate is for.
    pub key: KeyKind,
}

impl Facts for RequestFacts<'_> {
    fn value(&self, path: &[String]) -> Result<Option<Value>, Undecided> {
        let mut names = path.iter().map(String::as_str);
        match (names.next(), names.next()) {
            (Some("issuer"), None) => Ok(Some(Value::Text(self.iss.to_owned()))),
            (Some("request"), Some("key_type")) => Ok(Some(Value::Text(self.key.code().to_owned()))),
            (Some("claims"), Some(name)) => claim_of(self.claims, name),
            _ => Ok(None),
        }
    }
}

/// A claim as conditions see it; `None`: it is absent.
///
/// # Errors
/// It is of a type that they do not have.
pub fn claim_of(claims: &Claims, name: &str) -> Result<Option<Value>, Undecided> {
    match (name, claims.member(name)) {
        // Of a GitLab job's token (rule 3) it is always asked for; where GitLab cannot say, it leaves it out, or writes null.
        ("ref_protected", None | Some(Json::Null)) if claims.member("namespace_path").is_some() => {
            Ok(Some(Value::Text(String::new())))
        }
        (name, found) => claim(name, found),
    }
}

fn claim(name: &str, claim: Option<&Json>) -> Result<Option<Value>, Undecided> {
    let of_another_type = || Undecided(format!("claims.{name} is of a type that rules cannot compare"));
    let value = match claim {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Bool(yes)) => Value::Bool(*yes),
        Some(Json::String(text)) => Value::Text(text.clone()),
        Some(Json::Number(number)) => Value::Int(number.as_str().parse().map_err(|_| of_another_type())?),
        // One audience may stand in a list (RFC 7519 §4.1.3); which one the token is for was checked before.
        Some(Json::Array(list)) if name == "aud" => match list.as_slice() {
            [Json::String(text)] => Value::Text(text.clone()),
            // Which of several the request is for, the list does not tell.
            _ => return Err(of_another_type()),
        },
        Some(Json::Array(list)) if !list.is_empty() && list.iter().all(Json::is_object) => Value::Group,
        Some(Json::Array(list)) => {
            let texts = list.iter().map(|element| element.as_str().map(str::to_owned));
            Value::Texts(texts.collect::<Option<_>>().ok_or_else(of_another_type)?)
        }
        Some(Json::Object(_)) => Value::Group,
    };
    Ok(Some(value))
}
