//! What `token` finds out about an ID token: every check by itself, and the certificate it would get.
//!
//! The checks are those of issuing, made by the same code; here they go on where a server stops, so that the owner of
//! a token sees everything that is wrong with it at once. Values of claims are shown: it is the user's own token.

use super::job_token::unverified_claims;
use super::report::{Checks, duration};
use crate::environment::UnixMillis;
use crate::identity::{Entry, Issuer, Principal};
use crate::refusal::{Reason, Refusal};
use crate::token::{Expectations, KeySet, Times, UnverifiedToken, VerifiedToken};
use serde_json::{Map, Value};

/// What was found out.
#[derive(Debug, Default)]
pub struct Examination {
    /// Every check, in the order of issuing.
    pub checks: Checks,
    /// The claims, as the token spells them; believed by nobody unless the signature's check is ok.
    pub claims: Map<String, Value>,
    /// Who the certificate would be for.
    pub principal: Option<Principal>,
    /// The first refusal that a server would answer with.
    pub refusal: Option<Refusal>,
}

/// The checks, in their order, with the words for when nothing can be said about them.
const LATER: [&str; 7] = ["algorithm", "keys", "key", "signature", "times", "audience", "claims"];

impl Examination {
    /// Reads the token's text. `None`: it has no shape, and that is all there is to say.
    pub fn begin<'t>(text: &'t str) -> (Self, Option<UnverifiedToken<'t>>) {
        let claims = unverified_claims(text).unwrap_or_default();
        let mut this = Self { claims, ..Self::default() };
        match UnverifiedToken::parse(text) {
            Ok(token) => {
                let key = token.key_id().map_or("no key id".to_owned(), |id| format!("key id {id}"));
                this.checks
                    .ok("shape", format!("a JWT of {} bytes, {:?}, {key}", text.len(), token.algorithm()));
                (this, Some(token))
            }
            Err(refusal) => {
                let name =
                    if refusal.reason() == Reason::TokenAlgorithmNotAllowed { "algorithm" } else { "shape" };
                this.refuse(name, refusal);
                this.skip_from("algorithm", "the token cannot be read");
                (this, None)
            }
        }
    }

    /// Ends the examination with an issuer that is not the expected one.
    pub fn unknown_issuer(&mut self, words: String) {
        self.checks.failed("issuer", words);
        self.refusal.get_or_insert(Reason::TokenIssuerUnknown.into());
        self.skip_from("algorithm", "nobody vouches for this issuer");
    }

    /// The algorithm; asked before any key is fetched. `false`: the token ends here.
    pub fn algorithm(&mut self, token: &UnverifiedToken<'_>, issuer: &Issuer) -> bool {
        let algorithms = issuer.algorithms();
        match (Expectations { issuer: &issuer.url, algorithms: &algorithms, times: Times::CERTIFICATE })
            .admit(token)
        {
            Ok(()) => {
                self.checks.ok("algorithm", format!("{:?}, one of {algorithms:?}", token.algorithm()));
                true
            }
            Err(refusal) => {
                self.refuse("algorithm", refusal);
                self.skip_from("keys", "the issuer's tokens are never signed like that");
                false
            }
        }
    }

    /// Ends the examination without keys.
    pub fn no_keys(&mut self, words: String) {
        self.checks.failed("keys", words);
        self.refusal.get_or_insert(Reason::IssuerUnavailable.into());
        self.skip_from("key", "there are no keys to check with");
    }

    /// Everything that needs the issuer's keys. `from` says where they were found; `again` is the same text again, for a
    /// second look at a token whose times do not hold.
    pub fn with_keys(&mut self, text: &str, issuer: &Issuer, keys: &KeySet, from: &str, now: UnixMillis) {
        self.checks.ok("keys", format!("{} usable, from {from}", keys.iter().count()));
        let Some(verified) = self.verify(text, issuer, keys, now) else { return };
        let Some(entry) = self.audience(issuer, &verified) else { return };
        match entry.kind.principal(&issuer.url, &verified) {
            Ok(principal) => {
                self.checks
                    .ok("claims", format!("they agree with each other and make a `{}`", entry.kind.name()));
                self.principal = Some(principal);
            }
            Err(refusal) => self.refuse("claims", refusal),
        }
    }

    fn verify(
        &mut self,
        text: &str,
        issuer: &Issuer,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Option<VerifiedToken> {
        let algorithms = issuer.algorithms();
        let expected =
            Expectations { issuer: &issuer.url, algorithms: &algorithms, times: Times::CERTIFICATE };
        let attempt = |at| UnverifiedToken::parse(text).and_then(|token| token.verify(keys, &expected, at));
        let refusal = match attempt(now) {
            Ok(verified) => {
                self.signature_holds(text);
                self.checks.ok("times", times(&self.claims, now));
                return Some(verified);
            }
            Err(refusal) => refusal,
        };
        match refusal.reason() {
            Reason::TokenKeyUnknown => {
                self.refuse("key", refusal);
                self.skip_from("signature", "the key is not among them");
                None
            }
            Reason::TokenSignatureInvalid => {
                self.checks.ok("key", key_words(text));
                self.refuse("signature", refusal);
                self.skip_from("times", "nothing in a token with a wrong signature can be believed");
                None
            }
            // Signature before times: that is the order of `verify`.
            _ => {
                self.signature_holds(text);
                self.checks
                    .failed("times", format!("{}; {}", refusal.reason().code(), times(&self.claims, now)));
                self.refusal.get_or_insert(refusal);
                let moments =
                    ["iat", "nbf", "exp"].into_iter().filter_map(|name| seconds(&self.claims, name));
                let verified = moments.map(UnixMillis::from_secs).find_map(|then| attempt(then).ok());
                if verified.is_none() {
                    self.skip_from("audience", "there is no moment at which the token was good");
                }
                verified
            }
        }
    }

    fn signature_holds(&mut self, text: &str) {
        self.checks.ok("key", key_words(text));
        self.checks.ok("signature", "made by the issuer's key");
    }

    fn audience<'i>(&mut self, issuer: &'i Issuer, verified: &VerifiedToken) -> Option<&'i Entry> {
        match issuer.entry_for(verified) {
            Ok(entry) => {
                self.checks.ok("audience", format!("`{}`", entry.audience));
                Some(entry)
            }
            Err(refusal) => {
                let wanted: Vec<_> =
                    issuer.entries.iter().map(|entry| format!("`{}`", entry.audience)).collect();
                let found = self.claims.get("aud").map_or("absent".to_owned(), Value::to_string);
                let code = refusal.reason().code();
                self.checks.failed(
                    "audience",
                    format!("{code}: `aud` is {found}, wanted is {} alone", wanted.join(" or ")),
                );
                self.refusal.get_or_insert(refusal);
                self.skip_from("claims", "which rules apply depends on the audience");
                None
            }
        }
    }

    fn refuse(&mut self, name: &'static str, refusal: Refusal) {
        let mut words = refusal.to_string();
        if let Some(rule) = refusal.rule() {
            words = format!("{words} (rule {rule})");
        }
        if let Some(claim) = refusal.claim().filter(|_| name == "claims") {
            let value = self.claims.get(claim).map_or("absent".to_owned(), Value::to_string);
            words = format!("{words} Here `{claim}` is {value}.");
        }
        self.checks.failed(name, words);
        self.refusal.get_or_insert(refusal);
    }

    fn skip_from(&mut self, first: &str, why: &str) {
        for name in LATER.into_iter().skip_while(|name| *name != first) {
            self.checks.not_checked(name, why);
        }
    }
}

fn key_words(text: &str) -> String {
    match UnverifiedToken::parse(text) {
        Ok(token) => match token.key_id() {
            Some(id) => format!("{id} is one of them"),
            None => "the token names none, so each was tried".to_owned(),
        },
        Err(_) => String::new(),
    }
}

/// When the token counts, in words.
fn times(claims: &Map<String, Value>, now: UnixMillis) -> String {
    let named = |name: &'static str, label: &str| {
        seconds(claims, name).map(|at| format!("{label} {}", UnixMillis::from_secs(at)))
    };
    let mut words: Vec<_> = [named("iat", "issued"), named("nbf", "valid from"), named("exp", "expires")]
        .into_iter()
        .flatten()
        .collect();
    if let Some(expiry) = seconds(claims, "exp").map(UnixMillis::from_secs) {
        words.push(if expiry > now {
            format!("{} left", duration(expiry.since(now)))
        } else {
            format!("{} ago", duration(now.since(expiry)))
        });
    }
    words.join(", ")
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = claims.get(name)?;
    value.as_u64().or_else(|| value.as_f64().filter(|it| (0.0..1e11).contains(it)).map(|it| it as u64))
}
