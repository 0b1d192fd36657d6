//! The allow-list: the issuers that the operator trusts, and what their tokens may become.

use super::EntryKind;
use super::gitlab::GitlabRules;
use super::patterns::IssuerPattern;
use crate::refusal::{Reason, Refusal};
use crate::token::{Algorithm, Claims, VerifiedToken};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What tokens of one audience of an issuer become.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The only audience, `aud`.
    pub audience: String,
    /// Accept tokens that name further audiences (rule 2).
    pub allow_multiple_audiences: bool,
    /// The type.
    pub kind: EntryKind,
}

/// An issuer on the allow-list: one set of keys, one or more entries.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `iss`, byte for byte.
    pub url: String,
    /// The entries, each with another audience. Never empty.
    pub entries: Arc<[Entry]>,
    /// Where its keys come from.
    pub key_source: Arc<KeySource>,
}

/// Where an issuer's verification keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// `{url without trailing slash}/.well-known/openid-configuration`, then its `jwks_uri`.
    Discovery {
        /// PEM certificates that are trusted beside the system's roots.
        ca_certificate: Option<Vec<u8>>,
        /// How long the last good keys serve when the issuer cannot be reached.
        outage_grace: Duration,
    },
    /// A JWK set from a file, for an issuer that the CA cannot reach.
    Static(Vec<u8>),
}

impl Issuer {
    /// The algorithms that any entry accepts, each once.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for algorithm in self.entries.iter().flat_map(|entry| entry.kind.algorithms()) {
            if !algorithms.contains(algorithm) {
                algorithms.push(*algorithm);
            }
        }
        algorithms
    }

    /// Whom a token's use of the server is counted for within this issuer: its project where the type of an entry has one,
    /// else its subject; empty where it has neither. `claim` reads a claim's text.
    pub fn project_of<'t>(&self, claim: impl Fn(&str) -> Option<&'t str>) -> &'t str {
        let mut named = self.entries.iter().filter_map(|entry| claim(entry.kind.project_claim()));
        named.next().or_else(|| claim("sub")).unwrap_or_default()
    }

    /// The entry that the verified token's audience picks (rule 2), with the token's `alg` accepted by it (rule 1).
    ///
    /// `aud` is a string or an array of strings (RFC 7519 §4.1.3). Refused: `CLAIM_MISSING`, `CLAIM_EMPTY`, `CLAIM_WRONG_TYPE`
    /// (of `aud`); `TOKEN_AUDIENCE_MISMATCH` when no entry is meant; `TOKEN_AUDIENCE_AMBIGUOUS` when others are meant as well and
    /// the entry does not allow that, or when two entries are; `TOKEN_ALGORITHM_NOT_ALLOWED`.
    pub fn entry_for(&self, token: &VerifiedToken) -> Result<&Entry, Refusal> {
        self.entry(token.claims(), token.algorithm())
    }

    fn entry(&self, claims: &Claims, algorithm: Algorithm) -> Result<&Entry, Refusal> {
        let entry = self.entry_of_audience(claims)?;
        if !entry.kind.algorithms().contains(&algorithm) {
            return Err(self.by_rule(Reason::TokenAlgorithmNotAllowed.into(), "gitlab-1"));
        }
        Ok(entry)
    }

    /// The rules have names for GitLab alone.
    fn by_rule(&self, refusal: Refusal, rule: &'static str) -> Refusal {
        let gitlab = self.entries.iter().any(|entry| entry.kind.as_type::<GitlabRules>().is_some());
        if gitlab { refusal.by_rule(rule) } else { refusal }
    }

    /// The entry that an audience picks, whoever wrote the claims: [`Self::entry_for`] without the token's `alg`.
    ///
    /// # Errors
    /// As there.
    pub fn entry_of_audience(&self, claims: &Claims) -> Result<&Entry, Refusal> {
        let refusal = |reason| self.by_rule(Refusal::new(reason).of_claim(AUD), "gitlab-2");
        let audiences = Audiences::read(claims).map_err(refusal)?;
        let refused = |reason| Err(refusal(reason));
        let mut meant = self.entries.iter().filter(|entry| audiences.contain(&entry.audience));
        let Some(entry) = meant.next() else {
            return refused(Reason::TokenAudienceMismatch);
        };
        if audiences.several() && (meant.next().is_some() || !entry.allow_multiple_audiences) {
            return refused(Reason::TokenAudienceAmbiguous);
        }
        Ok(entry)
    }
}

const AUD: &str = "aud";

/// The audiences that a token names.
enum Audiences<'t> {
    One(&'t str),
    Many(&'t [Value]),
}

impl<'t> Audiences<'t> {
    fn read(claims: &'t Claims) -> Result<Self, Reason> {
        match claims.member(AUD) {
            None | Some(Value::Null) => Err(Reason::ClaimMissing),
            Some(Value::String(text)) if text.is_empty() => Err(Reason::ClaimEmpty),
            Some(Value::String(text)) => Ok(Self::One(text)),
            Some(Value::Array(list)) if !list.iter().all(Value::is_string) => Err(Reason::ClaimWrongType),
            Some(Value::Array(list)) if list.is_empty() || list.iter().any(|text| text == "") => {
                Err(Reason::ClaimEmpty)
            }
            Some(Value::Array(list)) => Ok(Self::Many(list)),
            Some(_) => Err(Reason::ClaimWrongType),
        }
    }

    fn contain(&self, audience: &str) -> bool {
        match self {
            Self::One(text) => *text == audience,
            Self::Many(list) => list.iter().any(|text| text == audience),
        }
    }

    /// More than one, be it the same one twice.
    fn several(&self) -> bool {
        matches!(self, Self::Many(list) if list.len() > 1)
    }
}

/// The allow-list.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    exact: Vec<Issuer>,
    by_url: HashMap<String, usize>,
    patterns: Vec<IssuerPattern>,
}

impl Issuers {
    /// An allow-list. Issuers with the same URL become one, with the entries of all and the keys of the first.
    pub fn new(issuers: Vec<Issuer>, patterns: Vec<IssuerPattern>) -> Self {
        let mut list = Self { patterns, ..Self::default() };
        for issuer in issuers {
            match list.by_url.get(&issuer.url).and_then(|index| list.exact.get_mut(*index)) {
                Some(known) => {
                    known.entries = known.entries.iter().chain(&*issuer.entries).cloned().collect()
                }
                None => {
                    list.by_url.insert(issuer.url.clone(), list.exact.len());
                    list.exact.push(issuer);
                }
            }
        }
        list
    }

    /// The issuer with this very `iss`, byte for byte, or one that a pattern admits: the first, in the operator's order.
    pub fn find(&self, iss: &str) -> Option<Issuer> {
        match self.by_url.get(iss) {
            Some(index) => self.exact.get(*index).cloned(),
            None => self.patterns.iter().find_map(|pattern| pattern.issuer(iss)),
        }
    }

    /// What stands for an issuer where the number of names must be bounded, as in metrics: its own URL where it is listed by
    /// name, else the text of the first pattern that admits it.
    pub fn label(&self, iss: &str) -> Option<&str> {
        match self.by_url.get(iss) {
            Some(index) => self.exact.get(*index).map(|issuer| &*issuer.url),
            None => {
                self.patterns.iter().find(|pattern| pattern.issuer(iss).is_some()).map(IssuerPattern::text)
            }
        }
    }

    /// Every label that [`Self::label`] may answer.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(|issuer| &*issuer.url).chain(self.patterns.iter().map(IssuerPattern::text))
    }

    /// The issuers that are listed by name, in the operator's order.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.exact.iter()
    }

    /// The patterns, in the operator's order.
    pub fn patterns(&self) -> &[IssuerPattern] {
        &self.patterns
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(audience: &str, allow_multiple_audiences: bool) -> Entry {
        let kind = GitlabRules::default().into();
        Entry { audience: audience.to_owned(), allow_multiple_audiences, kind }
    }

    fn keys(name: &str) -> KeySource {
        KeySource::Static(name.as_bytes().to_vec())
    }

    fn issuer(url: &str, entries: Vec<Entry>) -> Issuer {
        Issuer { url: url.to_owned(), entries: entries.into(), key_source: Arc::new(keys(url)) }
    }

    #[test]
    fn the_audience_picks_the_entry() {
        use Reason::{
            ClaimEmpty, ClaimMissing, ClaimWrongType, TokenAudienceAmbiguous as Ambiguous,
            TokenAudienceMismatch as Mismatch,
        };
        let entries =
            vec![entry("sigstore", false), entry("people", false), entry("open", true), entry("wide", true)];
        let issuer = issuer("https://gitlab.com", entries);
        let table = [
            (json!({"aud": "sigstore"}), Ok("sigstore")),
            (json!({"aud": ["sigstore"]}), Ok("sigstore")),
            (json!({"aud": "people"}), Ok("people")),
            (json!({"aud": ["open", "vault"]}), Ok("open")),
            (json!({"aud": ["vault", "open"]}), Ok("open")),
            (json!({}), Err(ClaimMissing)),
            (json!({"aud": null}), Err(ClaimMissing)),
            (json!({"aud": ""}), Err(ClaimEmpty)),
            (json!({"aud": []}), Err(ClaimEmpty)),
            (json!({"aud": ["sigstore", ""]}), Err(ClaimEmpty)),
            (json!({"aud": 7}), Err(ClaimWrongType)),
            (json!({"aud": true}), Err(ClaimWrongType)),
            (json!({"aud": {"sigstore": true}}), Err(ClaimWrongType)),
            (json!({"aud": ["sigstore", 7]}), Err(ClaimWrongType)),
            (json!({"aud": ["sigstore", null]}), Err(ClaimWrongType)),
            (json!({"aud": [["sigstore"]]}), Err(ClaimWrongType)),
            (json!({"aud": "Sigstore"}), Err(Mismatch)),
            (json!({"aud": "sigstore "}), Err(Mismatch)),
            (json!({"aud": "sigstore,people"}), Err(Mismatch)),
            (json!({"aud": "vault"}), Err(Mismatch)),
            (json!({"aud": ["vault", "other"]}), Err(Mismatch)),
            (json!({"aud": ["sigstore", "vault"]}), Err(Ambiguous)),
            (json!({"aud": ["vault", "sigstore"]}), Err(Ambiguous)),
            (json!({"aud": ["sigstore", "sigstore"]}), Err(Ambiguous)),
            (json!({"aud": ["sigstore", "people"]}), Err(Ambiguous)),
            (json!({"aud": ["open", "sigstore"]}), Err(Ambiguous)),
            (json!({"aud": ["sigstore", "open"]}), Err(Ambiguous)),
            (json!({"aud": ["open", "wide"]}), Err(Ambiguous)),
        ];
        for (claims, expected) in table {
            let parsed = Claims::parse(claims.to_string().as_bytes()).unwrap();
            let picked = issuer.entry(&parsed, Algorithm::RS256);
            match (&picked, expected) {
                (Ok(entry), Ok(audience)) => assert_eq!(entry.audience, audience, "{claims}"),
                (Err(refusal), Err(reason)) => {
                    assert_eq!(refusal.reason(), reason, "{claims}");
                    assert_eq!((refusal.claim(), refusal.rule()), (Some("aud"), Some("gitlab-2")));
                }
                _ => panic!("{claims}: {picked:?}"),
            }
        }
    }

    #[test]
    fn use_is_counted_for_the_project_else_for_the_subject() {
        let issuer = issuer("https://gitlab.com", vec![entry("sigstore", false)]);
        let project = |claims: Value| {
            let text = |name: &str| claims.get(name)?.as_str();
            issuer.project_of(text).to_owned()
        };
        assert_eq!(
            project(json!({"sub": "project_path:a/b:ref_type:tag:ref:1", "project_path": "a/b"})),
            "a/b"
        );
        assert_eq!(project(json!({"sub": "ada", "project_path": 7})), "ada");
        assert_eq!(project(json!({})), "");
    }

    #[test]
    fn gitlabs_tokens_are_rs256_and_nothing_else() {
        let issuer = issuer("https://gitlab.com", vec![entry("sigstore", false), entry("people", false)]);
        assert_eq!(issuer.algorithms(), [Algorithm::RS256]);
        let claims = Claims::parse(br#"{"aud":"sigstore"}"#).unwrap();
        for algorithm in
            [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA]
        {
            let refusal = issuer.entry(&claims, algorithm).unwrap_err();
            assert_eq!(refusal.reason(), Reason::TokenAlgorithmNotAllowed);
            assert_eq!(refusal.rule(), Some("gitlab-1"));
        }
    }

    #[test]
    fn an_issuer_is_found_byte_for_byte_before_any_pattern() {
        let pattern =
            |text, audience| IssuerPattern::parse(text, [entry(audience, false)], keys("pattern")).unwrap();
        let issuers = Issuers::new(
            vec![
                issuer("https://gitlab.com", vec![entry("sigstore", false)]),
                issuer("https://h/id/a", vec![entry("exact", false)]),
            ],
            vec![pattern("https://h/id/*", "first"), pattern("https://h/*/b", "second")],
        );
        let audience = |iss: &str| issuers.find(iss).map(|issuer| issuer.entries[0].audience.clone());
        let table = [
            ("https://gitlab.com", Some("sigstore")),
            ("https://gitlab.com/", None),
            ("https://GitLab.com", None),
            ("https://gitlab.com:443", None),
            ("http://gitlab.com", None),
            ("", None),
            ("https://h/id/a", Some("exact")),
            ("https://h/id/b", Some("first")),
            ("https://h/x/b", Some("second")),
            ("https://h/x/c", None),
        ];
        for (iss, expected) in table {
            assert_eq!(audience(iss).as_deref(), expected, "{iss}");
        }
        assert_eq!(issuers.find("https://h/id/b").unwrap().url, "https://h/id/b");
        let labels = [
            ("https://h/id/a", Some("https://h/id/a")),
            ("https://h/id/b", Some("https://h/id/*")),
            ("https://h/id/c", Some("https://h/id/*")),
            ("https://h/x/b", Some("https://h/*/b")),
            ("https://h/x/c", None),
        ];
        for (iss, label) in labels {
            assert_eq!(issuers.label(iss), label, "{iss}");
        }
        assert_eq!(issuers.labels().count(), 4);
        assert_eq!(issuers.iter().count(), 2);
        assert_eq!(issuers.patterns().len(), 2);
    }

    #[test]
    fn entries_of_one_url_share_its_keys() {
        let one = issuer("https://gitlab.com", vec![entry("sigstore", false)]);
        let mut other = issuer("https://gitlab.com", vec![entry("people", false)]);
        other.key_source = Arc::new(keys("other"));
        let issuers = Issuers::new(vec![one, other], Vec::new());
        let found = issuers.find("https://gitlab.com").unwrap();
        assert_eq!(
            found.entries.iter().map(|entry| &*entry.audience).collect::<Vec<_>>(),
            ["sigstore", "people"]
        );
        assert!(matches!(&*found.key_source, KeySource::Static(bytes) if bytes == b"https://gitlab.com"));
        assert!(!issuers.is_empty() && Issuers::default().is_empty());
    }
}
