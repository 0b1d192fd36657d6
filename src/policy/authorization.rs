//! The policy's yes, which a certificate cannot be made without.

use super::{Decision, Effect, Policy, RequestFacts, Tightening};
use crate::identity::extensions::encode_utf8_string;
use crate::identity::gitlab::GitlabRules;
use crate::identity::{Entry, IdentityExtension, IdentityType, Principal};
use crate::possession::ProvenKey;
use crate::refusal::{Reason, Refusal};
use crate::token::VerifiedToken;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;

/// Who gets the certificate, for how long at most, and the rule that says so. Only [`Policy::authorize`] makes one.
#[derive(Clone, Debug)]
pub struct Authorization {
    principal: Principal,
    validity: Option<Duration>,
    rule: Option<Arc<str>>,
    warned: Vec<Arc<str>>,
}

impl Authorization {
    /// Who gets it: as the token names them, with what the rule adds.
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How long it may live, where the rule says so.
    pub const fn validity(&self) -> Option<Duration> {
        self.validity
    }

    /// The rule's name; `None`: the issuer has none.
    pub const fn rule(&self) -> Option<&Arc<str>> {
        self.rule.as_ref()
    }

    /// Names of rules on trial that would have decided.
    pub fn warned(&self) -> &[Arc<str>] {
        &self.warned
    }
}

impl Policy {
    /// Decides about a verified request.
    ///
    /// `label` is the issuer as the list of issuers has it; `entry` the one that the token's audience picked.
    ///
    /// # Errors
    /// [`Reason::PolicyDenied`] with the rule and its message; the reasons of the type of identity, where the rule names the
    /// subject in another way; [`Reason::ClaimWrongType`] and [`Reason::ClaimControlCharacter`] of claims that the rule wants in
    /// the certificate.
    pub fn authorize(
        &self,
        label: &str,
        entry: &Entry,
        principal: Principal,
        token: &VerifiedToken,
        key: &ProvenKey,
    ) -> Result<Authorization, Refusal> {
        let facts =
            RequestFacts { issuer: label, iss: principal.issuer(), claims: token.claims(), key: key.kind() };
        let verdict = self.decide(&facts);
        let warned = verdict.warned.iter().map(|rule| rule.name.clone()).collect();
        let rule = match &verdict.decision {
            Decision::Unruled => {
                return Ok(Authorization { principal, validity: None, rule: None, warned });
            }
            Decision::Allowed(rule) => rule,
            denied => return Err(refusal(denied)),
        };
        let Effect::Allow(tightening) = &rule.effect else { return Err(Reason::Internal.into()) };
        let principal = tightened(principal, tightening, entry, token)?;
        Ok(Authorization { principal, validity: tightening.validity, rule: Some(rule.name.clone()), warned })
    }
}

fn refusal(denied: &Decision<'_>) -> Refusal {
    let mut refusal = Refusal::new(Reason::PolicyDenied);
    if let Some(rule) = denied.rule() {
        refusal = refusal.by_rule(rule);
    }
    match denied.message() {
        Some(message) => refusal.because(message),
        None => refusal,
    }
}

fn tightened(
    principal: Principal,
    tightening: &Tightening,
    entry: &Entry,
    token: &VerifiedToken,
) -> Result<Principal, Refusal> {
    let mut principal = match (tightening.subject, entry.kind.as_type::<GitlabRules>()) {
        (Some(subject), Some(rules)) if rules.subject != subject => {
            GitlabRules { subject, ..rules.clone() }.principal(principal.issuer(), token)?
        }
        _ => principal,
    };
    for extension in &tightening.extensions {
        let refusal = |reason| Err(Refusal::new(reason).of_claim(extension.claim.clone()));
        let text = match token.claims().member(&extension.claim) {
            None | Some(Json::Null) => continue,
            Some(Json::String(text)) if text.is_empty() => continue,
            Some(Json::String(text)) => text,
            Some(_) => return refusal(Reason::ClaimWrongType),
        };
        if text.chars().any(char::is_control) {
            return refusal(Reason::ClaimControlCharacter);
        }
        principal.add(IdentityExtension { oid: extension.oid, content: encode_utf8_string(text) });
    }
    Ok(principal)
}
