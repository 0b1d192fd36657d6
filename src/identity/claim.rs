//! Reads claims for the types of identity: strict about JSON types, and nothing with a control character goes further.

use crate::refusal::{Reason, Refusal};
use crate::token::Claims;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// An object of claims, the token's own or one inside of it.
#[derive(Clone)]
pub(super) struct ClaimReader<'t> {
    source: Source<'t>,
    /// The name of the type, which refusals carry as the rule.
    rule: &'static str,
    /// The claim that the object is the value of; empty at the top.
    within: String,
}

#[derive(Clone, Copy)]
enum Source<'t> {
    Token(&'t Claims),
    Object(&'t Map<String, Value>),
    /// An object that the token does not have.
    Nothing,
}

impl<'t> ClaimReader<'t> {
    pub(super) const fn new(claims: &'t Claims, rule: &'static str) -> Self {
        Self { source: Source::Token(claims), rule, within: String::new() }
    }

    /// `sub`: every type asks for it, since a certificate without a subject speaks for nobody.
    pub(super) fn sub(&self) -> Result<&'t str, Refusal> {
        self.required("sub")
    }

    /// A text that is there and not empty.
    pub(super) fn required(&self, name: &'static str) -> Result<&'t str, Refusal> {
        match self.text(name)? {
            Some("") => Err(self.refusal(Reason::ClaimEmpty, name)),
            Some(text) => Ok(text),
            None => Err(self.refusal(Reason::ClaimMissing, name)),
        }
    }

    /// A text, or `None` where it is absent, null or empty.
    pub(super) fn optional(&self, name: &'static str) -> Result<Option<&'t str>, Refusal> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// The object that a claim is. An absent or null one has no members.
    pub(super) fn object(&self, name: &'static str) -> Result<Self, Refusal> {
        let source = match self.member(name) {
            Some(Value::Object(members)) => Source::Object(members),
            None | Some(Value::Null) => Source::Nothing,
            Some(_) => {
                return Err(self.refusal(Reason::ClaimWrongType, name).because("It must be an object."));
            }
        };
        Ok(Self { source, rule: self.rule, within: self.path(name).into_owned() })
    }

    /// Whether every member of the object is a text or null.
    pub(super) fn is_of_texts(&self) -> bool {
        match self.source {
            Source::Object(members) => {
                members.values().all(|value| matches!(value, Value::String(_) | Value::Null))
            }
            Source::Token(_) | Source::Nothing => true,
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&'t Value> {
        match self.source {
            Source::Token(claims) => claims.member(name),
            Source::Object(members) => members.get(name),
            Source::Nothing => None,
        }
    }

    /// A refusal that names the claim, and the one above it where there is one.
    pub(super) fn refusal(&self, reason: Reason, name: &'static str) -> Refusal {
        Refusal::new(reason).by_rule(self.rule).of_claim(self.path(name))
    }

    /// [`Reason::ClaimInvalid`] with words about what it must be.
    pub(super) fn invalid(&self, name: &'static str, must: &'static str) -> Refusal {
        self.refusal(Reason::ClaimInvalid, name).because(must)
    }

    /// A text that may go into a certificate.
    pub(super) fn checked(&self, name: &'static str, text: &'t str) -> Result<&'t str, Refusal> {
        if text.chars().any(char::is_control) {
            return Err(self.refusal(Reason::ClaimControlCharacter, name));
        }
        Ok(text)
    }

    /// The claim's name with those of the objects around it.
    fn path(&self, name: &'static str) -> Cow<'static, str> {
        match self.within.as_str() {
            "" => name.into(),
            within => format!("{within}.{name}").into(),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&'t str>, Refusal> {
        match self.member(name) {
            Some(Value::String(text)) => self.checked(name, text).map(Some),
            None | Some(Value::Null) => Ok(None),
            Some(_) => Err(self.refusal(Reason::ClaimWrongType, name).because("It must be a string.")),
        }
    }
}
