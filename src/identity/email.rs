//! Type `email`: a person's ID token. The SAN is the address, and the proof of possession signs it.

use super::claim::ClaimReader;
use super::extensions::identity_extensions;
use super::json_path::JsonPath;
use super::kind::{registered_claims, texts};
use super::{Announcement, IdentityType, Named, SubjectAltName, address};
use crate::condition::Record;
use crate::refusal::{Reason, Refusal};
use crate::token::Claims;
use serde_json::Value;

pub(super) const NAME: &str = "email";
const EMAIL: &str = "email";
const VERIFIED: &str = "email_verified";

/// What the operator set for one provider of people's identities.
#[derive(Clone, Debug, Default)]
pub struct EmailRules {
    /// Where the issuer is that goes into the certificate, when the token's own only brokers others (Dex).
    pub issuer_claim: Option<JsonPath>,
    /// Take addresses of which the token does not say that they were verified.
    pub skip_verification: bool,
}

impl IdentityType for EmailRules {
    fn name(&self) -> &'static str {
        NAME
    }

    fn challenge_claim(&self) -> &'static str {
        EMAIL
    }

    fn claims(&self) -> Record {
        registered_claims(texts([EMAIL], []))
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let reader = ClaimReader::new(claims, NAME);
        let sub = reader.sub()?;
        let address = reader.required(EMAIL)?;
        let verified = is_verified(&reader)?;
        if !verified && !self.skip_verification {
            return Err(reader.invalid(VERIFIED, "The issuer did not verify the address."));
        }
        if !address::is_address(address) || !address::is_plain(address) {
            return Err(
                reader.invalid(EMAIL, "It must be a plain address in ASCII, such as ada@example.com.")
            );
        }
        let voucher = match &self.issuer_claim {
            Some(path) => brokered_issuer(path, claims)?,
            None => issuer,
        };
        let name = SubjectAltName::Email(address.to_owned());
        Ok(Named::new(issuer, name, identity_extensions(voucher, sub, []), address))
    }

    fn announcement(&self) -> Announcement<'_> {
        Announcement { skip_email_verification: self.skip_verification, ..Announcement::default() }
    }
}

/// `email_verified`: a boolean, or the text that some issuers write for one; absent is false.
pub(super) fn is_verified(claims: &ClaimReader<'_>) -> Result<bool, Refusal> {
    match claims.member(VERIFIED) {
        None => Ok(false),
        Some(Value::Bool(verified)) => Ok(*verified),
        Some(Value::String(text)) if matches!(text.as_str(), "true" | "True") => Ok(true),
        Some(Value::String(text)) if matches!(text.as_str(), "false" | "False") => Ok(false),
        Some(_) => Err(claims.refusal(Reason::ClaimWrongType, VERIFIED).because("It must be true or false.")),
    }
}

/// The issuer behind the issuer: one non-empty text, never what another JSON type would look like as one.
fn brokered_issuer<'t>(path: &JsonPath, claims: &'t Claims) -> Result<&'t str, Refusal> {
    let refused = |reason| {
        Err(Refusal::new(reason)
            .by_rule(NAME)
            .because("It concerns the claim that `issuer-claim` of the configuration names."))
    };
    match path.find(claims) {
        None | Some(Value::Null) => refused(Reason::ClaimMissing),
        Some(Value::String(text)) if text.is_empty() => refused(Reason::ClaimEmpty),
        Some(Value::String(text)) if text.chars().any(char::is_control) => {
            refused(Reason::ClaimControlCharacter)
        }
        Some(Value::String(text)) => Ok(text),
        Some(_) => refused(Reason::ClaimWrongType),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Principal;
    use super::*;
    use crate::token::VerifiedToken;
    use serde_json::json;

    fn judge(rules: &EmailRules, changes: Value) -> Result<Principal, Reason> {
        let mut claims = json!({"sub": "u-1", "email": "ada@example.com", "email_verified": true});
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        rules
            .principal("https://i.example", &VerifiedToken::unsigned(&claims))
            .map_err(|refusal| refusal.reason())
    }

    #[test]
    fn a_verified_address_is_name_and_challenge() {
        let principal = judge(&EmailRules::default(), json!({})).expect("a principal");
        assert_eq!(principal.name(), &SubjectAltName::Email("ada@example.com".into()));
        assert_eq!(principal.challenge(), "ada@example.com");
    }

    #[test]
    fn an_unverified_address_needs_the_operators_word() {
        let strict = EmailRules::default();
        let lenient = EmailRules { skip_verification: true, ..EmailRules::default() };
        for verified in [json!(false), json!("false")] {
            assert_eq!(judge(&strict, json!({"email_verified": verified})), Err(Reason::ClaimInvalid));
            assert!(judge(&lenient, json!({"email_verified": verified})).is_ok());
        }
        for verified in [json!(1), json!("yes"), json!(null), json!("TRUE"), json!({})] {
            assert_eq!(judge(&strict, json!({"email_verified": verified})), Err(Reason::ClaimWrongType));
            assert_eq!(judge(&lenient, json!({"email_verified": verified})), Err(Reason::ClaimWrongType));
        }
        assert!(judge(&strict, json!({"email_verified": "True"})).is_ok());
    }

    #[test]
    fn the_issuer_behind_the_issuer_is_one_text() {
        let path = JsonPath::parse("$.federated_claims.connector_id").expect("a path");
        let rules = EmailRules { issuer_claim: Some(path), ..EmailRules::default() };
        let table = [
            (json!({"federated_claims": {"connector_id": "https://idp.example"}}), None),
            (json!({}), Some(Reason::ClaimMissing)),
            (json!({"federated_claims": {"connector_id": null}}), Some(Reason::ClaimMissing)),
            (json!({"federated_claims": {"connector_id": ""}}), Some(Reason::ClaimEmpty)),
            (json!({"federated_claims": {"connector_id": 7}}), Some(Reason::ClaimWrongType)),
            (json!({"federated_claims": {"connector_id": ["x"]}}), Some(Reason::ClaimWrongType)),
            (json!({"federated_claims": {"connector_id": "a\nb"}}), Some(Reason::ClaimControlCharacter)),
        ];
        for (claims, refused) in table {
            let judged = judge(&rules, claims.clone());
            match refused {
                None => {
                    let principal = judged.expect("a principal");
                    assert_eq!(principal.issuer(), "https://i.example");
                    assert_eq!(principal.extensions()[0].content, b"https://idp.example"[..]);
                }
                Some(reason) => assert_eq!(judged, Err(reason), "{claims}"),
            }
        }
    }

    #[test]
    fn nobody_without_a_subject_gets_a_certificate() {
        for sub in [json!(null), json!("")] {
            assert!(judge(&EmailRules::default(), json!({"sub": sub})).is_err());
        }
    }
}
