//! The policy's yes, which a certificate cannot be made without.

use super::{DEFAULT, Decision, Policy, RequestFacts, Tightening, claim_of};
use crate::condition::Value;
use crate::identity::extensions::encode_utf8_string;
use crate::identity::gitlab::GitlabRules;
use crate::identity::{Entry, IdentityExtension, IdentityType as _, Named, Principal};
use crate::possession::ProvenKey;
use crate::refusal::{Reason, Refusal};
use crate::token::{Claims, VerifiedToken};
use std::sync::Arc;
use std::time::Duration;

/// Who gets the certificate, for how long at most, and the rule that says so. Only [`Policy::authorize`] makes one.
///
/// ```compile_fail,E0451
/// # fn forge(principal: countersign::identity::Principal) {
/// let forged = countersign::policy::Authorization { principal, validity: None, rule: None };
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Authorization {
    principal: Principal,
    validity: Option<Duration>,
    rule: Option<Arc<str>>,
}

impl Authorization {
    /// Who gets it: as the token names them, with what the rule adds.
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How long it may live, where certificates live no longer than `most`.
    pub fn lifetime(&self, most: Duration) -> Duration {
        self.validity.map_or(most, |validity| validity.min(most))
    }

    /// The rule's name; `None`: the issuer has none.
    pub const fn rule(&self) -> Option<&Arc<str>> {
        self.rule.as_ref()
    }
}

/// What the rules said of a request, for logs and metrics. Nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruled {
    /// Whether they allow it, and what they want in the certificate can be made.
    pub allowed: bool,
    /// The rule that decided, [`DEFAULT`] where none held. `None`: the issuer has no rules in force.
    pub rule: Option<Arc<str>>,
    /// Names of rules on trial that would have decided, in their order.
    pub warned: Vec<Arc<str>>,
}

impl Policy {
    /// Decides about a verified request, and says how that came.
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
    ) -> (Ruled, Result<Authorization, Refusal>) {
        let facts =
            RequestFacts { issuer: label, iss: principal.issuer(), claims: token.claims(), key: key.kind() };
        let verdict = self.decide(&facts);
        let mut ruled = Ruled {
            allowed: verdict.decision.is_allowed(),
            rule: match &verdict.decision {
                Decision::Unruled => None,
                Decision::Allowed(rule) | Decision::Denied(rule, _) => Some(rule.name.clone()),
                Decision::NotAllowed(_) => Some(DEFAULT.into()),
            },
            warned: verdict.warned.iter().map(|rule| rule.name.clone()).collect(),
        };
        let authorized = authorized(&verdict.decision, entry, principal, token);
        // What a rule wants in the certificate, and cannot be made, is not allowed by it.
        ruled.allowed &= authorized.is_ok();
        (ruled, authorized)
    }
}

fn authorized(
    decision: &Decision<'_>,
    entry: &Entry,
    principal: Principal,
    token: &VerifiedToken,
) -> Result<Authorization, Refusal> {
    let principal = principal.tightened(|named| decision.content(entry, named, token.claims()))?;
    let allowed = match decision {
        Decision::Allowed(rule) => Some(rule),
        Decision::Unruled | Decision::Denied(..) | Decision::NotAllowed(_) => None,
    };
    let validity = allowed.and_then(|rule| rule.effect.tightening()?.validity);
    Ok(Authorization { principal, validity, rule: allowed.map(|rule| rule.name.clone()) })
}

impl Decision<'_> {
    /// What the certificate says of whom the claims name, with what the rule adds. On paper as for a token that was verified:
    /// [`Policy::authorize`] asks nothing else.
    ///
    /// # Errors
    /// As [`Policy::authorize`].
    pub fn content(&self, entry: &Entry, named: Named, claims: &Claims) -> Result<Named, Refusal> {
        let tightening = match self {
            Self::Unruled => return Ok(named),
            Self::Allowed(rule) => rule.effect.tightening().ok_or(Reason::Internal)?,
            Self::Denied(..) | Self::NotAllowed(_) => return Err(self.refusal()),
        };
        let mut named = match (tightening.subject, entry.kind.as_type::<GitlabRules>()) {
            (Some(subject), Some(rules)) if rules.subject != subject => {
                GitlabRules { subject, ..rules.clone() }.named(named.issuer(), claims)?
            }
            _ => named,
        };
        self.added(claims)?.into_iter().for_each(|extension| named.add(extension));
        Ok(named)
    }

    /// The extensions that the rule adds for these claims.
    ///
    /// # Errors
    /// [`Reason::ClaimWrongType`] and [`Reason::ClaimControlCharacter`], by the rule.
    pub fn added(&self, claims: &Claims) -> Result<Vec<IdentityExtension>, Refusal> {
        let Self::Allowed(rule) = self else { return Ok(Vec::new()) };
        let tightening = rule.effect.tightening().ok_or(Reason::Internal)?;
        tightening.added(claims).map_err(|refusal| refusal.by_rule(rule.name.to_string()))
    }

    /// What the caller of something that is not allowed is told.
    pub fn refusal(&self) -> Refusal {
        let mut refusal = Refusal::new(Reason::PolicyDenied);
        if let Some(rule) = self.rule() {
            refusal = refusal.by_rule(rule);
        }
        match self.message() {
            Some(message) => refusal.because(message),
            None => refusal,
        }
    }
}

impl Tightening {
    fn added(&self, claims: &Claims) -> Result<Vec<IdentityExtension>, Refusal> {
        let mut added = Vec::new();
        for extension in &self.extensions {
            let refusal = |reason| Err(Refusal::new(reason).of_claim(extension.claim.clone()));
            // As conditions see it, so that the one audience of a list is a text here as well.
            let text = match claim_of(claims, &extension.claim) {
                Ok(None) => continue,
                Ok(Some(Value::Text(text))) if text.is_empty() => continue,
                Ok(Some(Value::Text(text))) => text,
                Ok(Some(_)) | Err(_) => return refusal(Reason::ClaimWrongType),
            };
            if text.chars().any(char::is_control) {
                return refusal(Reason::ClaimControlCharacter);
            }
            added.push(IdentityExtension { oid: extension.oid, content: encode_utf8_string(&text).into() });
        }
        Ok(added)
    }
}
