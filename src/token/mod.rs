//! ID tokens: JSON Web Tokens in compact form (RFC 7519, RFC 7515 §3.1), from text to verified claims.
//!
//! Pure: keys are an argument. Fetching them is `oidc`'s work, reading the claims' meaning is `identity`'s. Encrypted
//! tokens (RFC 7516), unencoded payloads (RFC 7797) and symmetric algorithms are not taken.

mod claims;
mod glance;
mod json;
mod keys;
mod times;

pub use claims::Claims;
pub use glance::{ClaimedTexts, Payload};
pub use json::MAX_DEPTH;
pub(crate) use json::parse_object;
pub use keys::{KeySet, MAX_KEYS, VerificationKey};
pub use times::{
    EXPIRY_LEEWAY, FUTURE_LEEWAY, Times, check as check_times, check_form as check_form_of_times,
};

use crate::environment::UnixMillis;
use crate::refusal::{Reason, Refusal};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::AlgorithmFamily;
use serde_json::{Map, Value};
use std::fmt;

/// The largest token that is looked at, in bytes. 200 groups make about 20 KB.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The longest `iss` that is looked up, in bytes; it is the one claim that may be logged.
const MAX_ISSUER_BYTES: usize = 2048;

/// Signature algorithms of tokens (RFC 7518 §3.1). The symmetric ones among them are never accepted.
pub use jsonwebtoken::Algorithm;

/// A token whose text has the shape of one. `iss`, `kid` and `alg` can be read, to pick the key; other claims only to refuse.
pub struct UnverifiedToken<'t> {
    /// What was signed: header, full stop, payload, as they came (RFC 7515 §5.2).
    signed: &'t str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    issuer: String,
    claims: Claims,
}

/// What a verified token must look like, from the configuration of its issuer.
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'e> {
    /// The issuer, compared byte for byte.
    pub issuer: &'e str,
    /// The algorithms that the issuer's tokens may have.
    pub algorithms: &'e [Algorithm],
    /// How far its times may lie from the clock.
    pub times: Times,
}

/// A token whose signature, algorithm, issuer and times hold at the time it was verified.
///
/// Its audience is matched by [`crate::identity::Issuer::entry_for`], which needs this value.
pub struct VerifiedToken {
    claims: Claims,
    algorithm: Algorithm,
}

impl<'t> UnverifiedToken<'t> {
    /// Reads a token's text: three segments of base64url without padding or white space, the first two JSON objects.
    /// Size and number of segments are checked before anything is decoded, and everything is decoded once.
    ///
    /// Of the header `alg`, `kid` and `crit` count. An embedded or linked key (`jwk`, `jku`, `x5c`, `x5u`) is never
    /// looked at, nor are `typ` and `cty`.
    ///
    /// # Errors
    /// [`Reason::TokenMissing`], [`Reason::TokenTooLarge`], [`Reason::TokenMalformed`];
    /// [`Reason::TokenAlgorithmNotAllowed`] for `none`, symmetric and unknown algorithms; [`Reason::ClaimMissing`] or
    /// [`Reason::ClaimWrongType`] for `iss`, [`Reason::TokenIssuerUnknown`] for one beyond 2048 bytes.
    pub fn parse(text: &'t str) -> Result<Self, Refusal> {
        let segments = Segments::split(text)?;
        let header = Header::read(&segments.header()?)?;
        let claims = Claims::parse(&decode(segments.payload, "Its payload")?)?;
        let issuer = issuer_of(&claims)?;
        let signature = decode(segments.signature, "Its signature")?;
        let Header { algorithm, key_id } = header;
        Ok(Self { signed: segments.signed, signature, algorithm, key_id, issuer, claims })
    }

    /// `iss`, as the token has it: a claim that nobody has vouched for yet.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `kid` (RFC 7515 §4.1.4); an empty one counts as none.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// `alg`; never a symmetric one.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A claim's text, if it is one. Nobody has vouched for it: it may lead to an early refusal of this very token, and to
    /// nothing that concerns any other.
    pub fn claimed(&self, name: &str) -> Option<&str> {
        self.claims.member(name).and_then(Value::as_str)
    }

    /// Verifies algorithm, issuer, signature and times, in this order. Without a `kid` every key that fits is tried.
    ///
    /// Times have the leeway that [`Expectations::times`] says.
    ///
    /// # Errors
    /// [`Reason::TokenAlgorithmNotAllowed`], [`Reason::TokenIssuerUnknown`], [`Reason::TokenKeyUnknown`],
    /// [`Reason::TokenSignatureInvalid`], [`Reason::TokenExpired`], [`Reason::TokenNotYetValid`], and
    /// [`Reason::ClaimMissing`], [`Reason::ClaimWrongType`] or [`Reason::ClaimInvalid`] for `exp`, `nbf` and `iat`.
    pub fn verify(
        self,
        keys: &KeySet,
        expected: &Expectations<'_>,
        now: UnixMillis,
    ) -> Result<VerifiedToken, Refusal> {
        expected.admit(&self)?;
        if self.issuer != expected.issuer {
            return Err(Refusal::new(Reason::TokenIssuerUnknown).of_claim("iss"));
        }
        self.verify_signature(keys)?;
        times::check(&self.claims, now, &expected.times)?;
        Ok(VerifiedToken { claims: self.claims, algorithm: self.algorithm })
    }

    fn verify_signature(&self, keys: &KeySet) -> Result<(), Refusal> {
        let mut refusal = match self.key_id() {
            Some(key_id) if keys.contains(key_id) => Refusal::new(Reason::TokenKeyUnknown)
                .because("The key that it names is for another algorithm."),
            Some(_) => Refusal::new(Reason::TokenKeyUnknown),
            None => Refusal::new(Reason::TokenKeyUnknown)
                .because("It names no key, and no key of the issuer is for its algorithm."),
        };
        for key in keys.candidates(self.key_id(), self.algorithm) {
            if key.verify_sig(self.signed.as_bytes(), &self.signature).is_ok() {
                return Ok(());
            }
            refusal = Refusal::new(Reason::TokenSignatureInvalid);
        }
        Err(refusal)
    }
}

impl VerifiedToken {
    /// The claims, as the token spells them.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// `alg`, the algorithm that its signature was verified with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `exp`, without any leeway. Every token that was verified has one.
    pub fn expires(&self) -> Option<UnixMillis> {
        times::expiry(&self.claims)
    }

    /// A token that nobody signed, for tests of what comes after verification.
    #[cfg(test)]
    pub(crate) fn unsigned(claims: &Value) -> Self {
        let claims = Claims::parse(claims.to_string().as_bytes()).expect("claims are a JSON object");
        Self { claims, algorithm: Algorithm::RS256 }
    }

    /// The same from a payload's text, where its spelling matters.
    #[cfg(test)]
    pub(crate) fn unsigned_text(payload: &str) -> Result<Self, Refusal> {
        Ok(Self { claims: Claims::parse(payload.as_bytes())?, algorithm: Algorithm::RS256 })
    }
}

impl Expectations<'_> {
    /// Whether the token may be looked at any further: its `alg` is one of the issuer's. Asked before keys are fetched.
    ///
    /// # Errors
    /// [`Reason::TokenAlgorithmNotAllowed`].
    pub fn admit(&self, token: &UnverifiedToken<'_>) -> Result<(), Refusal> {
        if self.algorithms.contains(&token.algorithm) {
            Ok(())
        } else {
            Err(Reason::TokenAlgorithmNotAllowed.into())
        }
    }
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The compact form's three segments, still encoded.
struct Segments<'t> {
    signed: &'t str,
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
}

impl<'t> Segments<'t> {
    fn split(text: &'t str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(Reason::TokenMissing.into());
        }
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Reason::TokenTooLarge.into());
        }
        let three = || {
            let (signed, signature) = text.rsplit_once('.')?;
            let (header, payload) = signed.split_once('.')?;
            let exactly = !payload.contains('.');
            exactly.then_some(Self { signed, header, payload, signature })
        };
        three().ok_or_else(|| malformed("It must have exactly three segments.".into()))
    }

    fn header(&self) -> Result<Map<String, Value>, Refusal> {
        parse_object(&decode(self.header, "Its header")?)
            .map_err(|fault| malformed(format!("Its header: {fault}.")))
    }
}

/// What counts of a JOSE header (RFC 7515 §4.1).
struct Header {
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, Refusal> {
        // RFC 7515 §4.1.11: no extension is understood here, so none can be critical; an empty list is forbidden.
        // That covers `b64` (RFC 7797 §6), which must be listed.
        if members.contains_key("crit") {
            return Err(malformed("Its header has `crit`, and no extension is understood.".into()));
        }
        let Some(Value::String(algorithm)) = members.get("alg") else {
            return Err(malformed("Its header has no `alg` that is a string.".into()));
        };
        let algorithm = match algorithm.parse::<Algorithm>() {
            Ok(algorithm) if algorithm.family() != AlgorithmFamily::Hmac => algorithm,
            _ => return Err(Reason::TokenAlgorithmNotAllowed.into()),
        };
        let key_id = match members.get("kid") {
            None => None,
            Some(Value::String(key_id)) => Some(key_id.clone()).filter(|key_id| !key_id.is_empty()),
            Some(_) => return Err(malformed("The `kid` of its header is not a string.".into())),
        };
        Ok(Self { algorithm, key_id })
    }
}

fn issuer_of(claims: &Claims) -> Result<String, Refusal> {
    match claims.member("iss") {
        Some(Value::String(issuer)) if issuer.len() <= MAX_ISSUER_BYTES => Ok(issuer.clone()),
        Some(Value::String(_)) => Err(Refusal::new(Reason::TokenIssuerUnknown).of_claim("iss")),
        None | Some(Value::Null) => Err(Refusal::new(Reason::ClaimMissing).of_claim("iss")),
        Some(_) => Err(Refusal::new(Reason::ClaimWrongType).of_claim("iss")),
    }
}

/// base64url without padding (RFC 7515 §2), strictly: no white space, no other alphabet, no stray bits at the end.
fn decode(segment: &str, name: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| malformed(format!("{name} is not base64url without padding.")))
}

fn malformed(detail: String) -> Refusal {
    Refusal::new(Reason::TokenMalformed).because(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(header: &str, payload: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(header), encode(payload))
    }

    #[test]
    fn neither_debug_output_shows_anything_of_the_token() {
        let text = token(r#"{"alg":"RS256","kid":"secret-kid"}"#, r#"{"iss":"secret","sub":"secret"}"#);
        let token = UnverifiedToken::parse(&text).expect("a token");
        let verified = VerifiedToken::unsigned(&serde_json::json!({ "sub": "secret" }));
        let shown = format!("{token:?} {verified:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,400}") {
            let _ = UnverifiedToken::parse(&text);
        }

        #[test]
        fn no_octets_in_the_segments_make_it_panic(
            header in prop::collection::vec(any::<u8>(), 0..80),
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let _ = UnverifiedToken::parse(&format!("{}.{}.", encode(&header), encode(&payload)));
            let _ = KeySet::parse(&payload);
        }

        #[test]
        fn no_json_makes_it_panic(payload in json_text(), header in json_text()) {
            let _ = UnverifiedToken::parse(&token(&header, &payload));
            let _ = UnverifiedToken::parse(&token(r#"{"alg":"RS256"}"#, &payload));
            let _ = KeySet::parse(format!("{{\"keys\":[{payload},{header}]}}").as_bytes());
        }

        #[test]
        fn what_is_read_is_what_any_json_reader_reads(payload in json_text()) {
            let claims = Claims::parse(payload.as_bytes());
            if let Ok(claims) = claims {
                let plain: Value = serde_json::from_str(&payload).expect("valid JSON");
                let ours: Map<String, Value> =
                    claims.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
                prop_assert_eq!(plain, Value::Object(ours));
            }
        }
    }

    /// JSON text with names and values that matter to a token, sometimes with a name twice.
    fn json_text() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|it| it.to_string()),
            any::<i64>().prop_map(|it| it.to_string()),
            any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(|it| format!("{it:e}")),
            ".{0,12}".prop_map(|it| Value::String(it).to_string()),
            Just("\"RS256\"".to_owned()),
        ];
        let name = prop_oneof![
            Just("iss".to_owned()),
            Just("alg".to_owned()),
            Just("kid".to_owned()),
            Just("n".to_owned()),
            Just("kty".to_owned()),
            Just("$serde_json::private::Number".to_owned()),
            "[a-z]{1,3}",
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                    let members: Vec<_> =
                        members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }
}
