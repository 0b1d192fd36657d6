//! An issuer's verification keys (RFC 7517), parsed once so that a verification costs only the mathematics.
//!
//! jsonwebtoken reads the JWKs; the keys themselves are kept as aws-lc's, since jsonwebtoken builds a key again at
//! every verification: 19.5 us against 17.4 us with RSA-2048 on the development machine (`verification_speed` in
//! `tests/suite/token.rs`). And its `decode` would read the payload a second time.

use super::Algorithm;
use super::json::parse_object;
use aws_lc_rs::signature::{
    self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde_json::Value;
use std::fmt;

/// How many keys an issuer may have. GitLab.com has two.
pub const MAX_KEYS: usize = 64;

/// The smallest RSA modulus, in bits (RFC 7518 §3.3), and the largest, so that a verification stays cheap.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key set in the issuer's order. Never empty.
pub struct KeySet {
    keys: Vec<VerificationKey>,
}

/// One key with the algorithms that it may verify.
pub struct VerificationKey {
    id: Option<String>,
    forms: Vec<(Algorithm, ParsedPublicKey)>,
}

impl KeySet {
    /// From a JWK set document (RFC 7517 §5). Keys of other types, uses or algorithms, RSA keys below 2048 bits,
    /// keys that cannot be parsed and private keys are skipped, as the RFC wishes. Two keys may have one `kid`; both are tried.
    ///
    /// # Errors
    /// In words: it is not a JWK set, has more than 64 keys, or none that could verify a token.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let mut document =
            parse_object(json).map_err(|fault| format!("the key set cannot be read: {fault}"))?;
        let Some(Value::Array(jwks)) = document.remove("keys") else {
            return Err("the key set has no array `keys`".to_owned());
        };
        if jwks.len() > MAX_KEYS {
            return Err(format!("the key set has {} keys; at most {MAX_KEYS} are read", jwks.len()));
        }
        let count = jwks.len();
        let keys: Vec<_> = jwks.into_iter().filter_map(VerificationKey::from_json).collect();
        if keys.is_empty() {
            return Err(format!("none of the key set's {count} keys can verify a token's signature"));
        }
        Ok(Self { keys })
    }

    /// Whether a key has this very `kid`.
    pub fn contains(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.id() == Some(key_id))
    }

    /// The keys, in the issuer's order.
    pub fn iter(&self) -> impl Iterator<Item = &VerificationKey> {
        self.keys.iter()
    }

    /// The keys that may have made a signature with `algorithm`: those with the token's `kid`, or all when it has none.
    pub(super) fn candidates<'s>(
        &'s self,
        key_id: Option<&'s str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'s ParsedPublicKey> {
        self.keys
            .iter()
            .filter(move |key| key_id.is_none() || key.id() == key_id)
            .flat_map(|key| &key.forms)
            .filter(move |(form, _)| *form == algorithm)
            .map(|(_, key)| key)
    }
}

impl VerificationKey {
    /// Its `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The algorithms that it verifies: its `alg`, or all that its type allows.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.forms.iter().map(|(algorithm, _)| *algorithm)
    }

    fn from_json(jwk: Value) -> Option<Self> {
        // RFC 7518 §6.2.2, §6.3.2: `d` is the private key. Whoever read it can sign; nothing may be believed of it.
        if jwk.get("d").is_some() {
            return None;
        }
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        if !is_for_verification(&jwk) {
            return None;
        }
        let declared = match jwk.common.key_algorithm {
            Some(algorithm) => Some(Algorithm::try_from(algorithm).ok()?),
            None => None,
        };
        let mut forms = parse_key(&jwk.algorithm)?;
        forms.retain(|(algorithm, _)| declared.is_none_or(|declared| declared == *algorithm));
        (!forms.is_empty()).then_some(Self { id: jwk.common.key_id, forms })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.algorithms().collect();
        f.debug_struct("VerificationKey").field("id", &self.id).field("algorithms", &algorithms).finish()
    }
}

/// `use` and `key_ops` (RFC 7517 §4.2, §4.3), where present, allow verification.
fn is_for_verification(jwk: &Jwk) -> bool {
    let use_fits = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let operations_fit =
        jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    use_fits && operations_fit
}

/// The key for each algorithm that its type allows. `None`: not a public key that we know, or not a sound one.
fn parse_key(parameters: &AlgorithmParameters) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    match parameters {
        AlgorithmParameters::RSA(rsa) => parse_rsa(&decode(&rsa.n)?, &decode(&rsa.e)?),
        AlgorithmParameters::EllipticCurve(ec) => {
            let (algorithm, verification, length): (_, &'static dyn VerificationAlgorithm, _) = match ec.curve
            {
                EllipticCurve::P256 => (Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED, 32),
                EllipticCurve::P384 => (Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED, 48),
                _ => return None,
            };
            let (x, y) = (decode(&ec.x)?, decode(&ec.y)?);
            if x.len() != length || y.len() != length {
                return None;
            }
            // SEC 1 §2.3.3: an uncompressed point; aws-lc checks that it is on the curve.
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            Some(vec![(algorithm, ParsedPublicKey::new(verification, point).ok()?)])
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            let key = ParsedPublicKey::new(&signature::ED25519, decode(&pair.x)?).ok()?;
            Some(vec![(Algorithm::EdDSA, key)])
        }
        _ => None,
    }
}

fn parse_rsa(n: &[u8], e: &[u8]) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    static ALGORITHMS: [(Algorithm, &RsaParameters); 6] = [
        (Algorithm::RS256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::RS384, &signature::RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::RS512, &signature::RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::PS256, &signature::RSA_PSS_2048_8192_SHA256),
        (Algorithm::PS384, &signature::RSA_PSS_2048_8192_SHA384),
        (Algorithm::PS512, &signature::RSA_PSS_2048_8192_SHA512),
    ];
    // RFC 7518 §6.3.1.1 forbids leading zeros; some issuers send one all the same.
    let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    // With an exponent of 1 everything is a signature; aws-lc takes no exponent above 33 bits either.
    let exponent_is_sound = e.len() <= 4 && e.last().is_some_and(|last| last % 2 == 1) && e != [1];
    if !RSA_BITS.contains(&bits) || !exponent_is_sound {
        return None;
    }
    let components = RsaPublicKeyComponents { n, e };
    ALGORITHMS
        .iter()
        .map(|(algorithm, parameters)| Some((*algorithm, components.to_parsed_public_key(parameters).ok()?)))
        .collect()
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn decode(base64url: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64url).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::KeyPair;
    use serde_json::json;
    use std::sync::LazyLock;

    static MODULUS: LazyLock<String> = LazyLock::new(|| {
        let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
        URL_SAFE_NO_PAD.encode(key.public_key().modulus().big_endian_without_leading_zero())
    });

    /// An RSA key with these members set on top; null takes one away.
    fn rsa(changes: Value) -> Value {
        let mut jwk =
            json!({ "kty": "RSA", "kid": "k1", "n": *MODULUS, "e": "AQAB", "use": "sig", "alg": "RS256" });
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => drop(jwk.as_object_mut().expect("an object").remove(name)),
                _ => jwk[name] = value.clone(),
            }
        }
        jwk
    }

    fn algorithms(jwk: Value) -> Vec<Algorithm> {
        let set = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes());
        set.map(|set| set.iter().flat_map(VerificationKey::algorithms).collect()).unwrap_or_default()
    }

    #[test]
    fn a_key_verifies_only_what_it_is_for() {
        use Algorithm::*;
        let padded_modulus = {
            let mut n = vec![0];
            n.extend(decode(&MODULUS).expect("base64url"));
            URL_SAFE_NO_PAD.encode(n)
        };
        for (jwk, expected) in [
            (rsa(json!({})), vec![RS256]),
            (rsa(json!({ "alg": null })), vec![RS256, RS384, RS512, PS256, PS384, PS512]),
            (rsa(json!({ "alg": "PS384" })), vec![PS384]),
            (rsa(json!({ "use": null })), vec![RS256]),
            (rsa(json!({ "use": "enc" })), vec![]),
            (rsa(json!({ "key_ops": ["verify"] })), vec![RS256]),
            (rsa(json!({ "key_ops": ["encrypt"] })), vec![]),
            (rsa(json!({ "alg": "RSA-OAEP" })), vec![]),
            (rsa(json!({ "alg": "ES256" })), vec![]),
            (rsa(json!({ "alg": "HS256" })), vec![]),
            (rsa(json!({ "alg": "none" })), vec![]),
            (rsa(json!({ "alg": 7 })), vec![]),
            (rsa(json!({ "kid": 7 })), vec![]),
            (rsa(json!({ "exp": 1.5, "x5t": "abc", "nbf": [1] })), vec![RS256]),
            (rsa(json!({ "e": "AQ" })), vec![]),
            (rsa(json!({ "e": "Ag" })), vec![]),
            (rsa(json!({ "e": "" })), vec![]),
            (rsa(json!({ "e": "Aw" })), vec![RS256]),
            (rsa(json!({ "e": "AAEAAQ" })), vec![RS256]),
            (rsa(json!({ "n": "AQAB" })), vec![]),
            (rsa(json!({ "n": "" })), vec![]),
            (rsa(json!({ "n": padded_modulus })), vec![RS256]),
            (rsa(json!({ "n": format!("{}=", *MODULUS) })), vec![]),
            (rsa(json!({ "n": null })), vec![]),
            (rsa(json!({ "kty": "rsa" })), vec![]),
            (rsa(json!({ "d": "AQAB" })), vec![]),
            (json!({ "kty": "oct", "k": "AQAB", "kid": "k1", "alg": "HS256" }), vec![]),
            (json!({ "kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB" }), vec![]),
            (json!("a key"), vec![]),
            (json!(null), vec![]),
        ] {
            let shown = jwk.to_string();
            assert_eq!(algorithms(jwk), expected, "{shown}");
        }
    }

    #[test]
    fn a_point_off_the_curve_is_skipped() {
        let zeros = URL_SAFE_NO_PAD.encode([7; 32]);
        assert!(algorithms(json!({ "kty": "EC", "crv": "P-256", "x": zeros, "y": zeros })).is_empty());
    }

    #[test]
    fn keys_that_nobody_can_use_are_skipped_beside_others() {
        let set =
            json!({ "keys": [{ "kty": "oct" }, 7, rsa(json!({ "kid": null })), rsa(json!({}))], "x": 1.5 });
        let set = KeySet::parse(set.to_string().as_bytes()).expect("two usable keys");
        assert_eq!(set.iter().map(VerificationKey::id).collect::<Vec<_>>(), [None, Some("k1")]);
        assert!(set.contains("k1") && !set.contains("k2") && !set.contains(""));
        assert_eq!(set.candidates(Some("k1"), Algorithm::RS256).count(), 1);
        assert_eq!(set.candidates(Some("k1"), Algorithm::PS256).count(), 0);
        assert_eq!(set.candidates(Some("k2"), Algorithm::RS256).count(), 0);
        assert_eq!(set.candidates(None, Algorithm::RS256).count(), 2);
    }

    #[test]
    fn a_document_that_is_no_key_set_is_refused_in_words() {
        let too_many = json!({ "keys": vec![rsa(json!({})); MAX_KEYS + 1] }).to_string();
        for (document, word) in [
            ("", "cannot be read"),
            ("<html>", "cannot be read"),
            ("{}", "no array"),
            (r#"{"keys":{}}"#, "no array"),
            (r#"{"keys":[]}"#, "none of"),
            (r#"{"keys":[],"keys":[]}"#, "twice"),
            (too_many.as_str(), "65 keys"),
        ] {
            let error = KeySet::parse(document.as_bytes()).expect_err("must be refused");
            assert!(error.contains(word), "{error}");
        }
    }
}
