//! Tokens, honest and hostile: every attack on JOSE that has a name gets a refusal with the right reason.

use crate::oidc::clock;
use crate::support::TestClock;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::demo::gitlab::Gitlab;
use countersign::environment::Clock;
use countersign::refusal::{Reason, Refusal};
use countersign::token::{
    Algorithm, Expectations, KeySet, MAX_TOKEN_BYTES, Times, UnverifiedToken, VerifiedToken,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// A GitLab, its keys and what is expected of its tokens.
struct Case {
    gitlab: Gitlab,
    clock: Arc<TestClock>,
    keys: KeySet,
}

impl Case {
    async fn new() -> Self {
        let clock = clock();
        let gitlab = Gitlab::start(clock.clone()).await.expect("a GitLab");
        let keys = KeySet::parse(gitlab.key_set().to_string().as_bytes()).expect("its keys");
        Self { gitlab, clock, keys }
    }

    fn verify(&self, token: &str) -> Result<VerifiedToken, Refusal> {
        self.verify_with(token, &self.keys, &[Algorithm::RS256])
    }

    fn verify_with(
        &self,
        token: &str,
        keys: &KeySet,
        algorithms: &[Algorithm],
    ) -> Result<VerifiedToken, Refusal> {
        let expected = Expectations { issuer: self.gitlab.url(), algorithms, times: Times::CERTIFICATE };
        UnverifiedToken::parse(token)?.verify(keys, &expected, self.clock.now())
    }

    fn reason(&self, token: &str) -> Option<Reason> {
        self.verify(token).err().map(|refusal| refusal.reason())
    }

    fn claims(&self, changes: &[(&str, Value)]) -> Value {
        let mut claims = self.gitlab.claims();
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn an_honest_token_is_verified_and_keeps_its_claims() {
    let case = Case::new().await;
    let claims = case.gitlab.claims();
    let verified = case.verify(&case.gitlab.token(&claims)).expect("an honest token");
    assert_eq!(verified.algorithm(), Algorithm::RS256);
    let kept: Vec<_> =
        verified.claims().iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let sent: Vec<_> = claims.as_object().expect("an object").clone().into_iter().collect();
    assert_eq!(kept, sent);
}

#[tokio::test]
async fn a_token_of_two_hundred_groups_is_verified() {
    let case = Case::new().await;
    let groups: Vec<_> = (0..200)
        .map(|n| format!("a-rather-long-group-name/with-a-subgroup/and-the-team-number-{n:04}"))
        .collect();
    let token = case.gitlab.token(&case.claims(&[("groups_direct", json!(groups))]));
    assert!(token.len() > 16_000 && case.verify(&token).is_ok());
}

#[tokio::test]
async fn numbers_keep_the_digits_that_were_signed() {
    let case = Case::new().await;
    let payload = case
        .gitlab
        .claims()
        .to_string()
        .replace("\"runner_id\":1,", "\"runner_id\":12345678901234567890123.50,");
    let header = json!({ "alg": "RS256", "kid": case.gitlab.key_id() }).to_string();
    let verified = case.verify(&case.gitlab.token_of_text(&header, &payload)).expect("an honest token");
    assert_eq!(
        verified.claims().member("runner_id").map(Value::to_string).as_deref(),
        Some("12345678901234567890123.50")
    );
}

#[tokio::test]
async fn whatever_is_signed_well_but_says_the_wrong_thing_is_refused() {
    use Reason::*;
    let case = Case::new().await;
    let kid = case.gitlab.key_id();
    let header = |members: Value| {
        let mut header = json!({ "alg": "RS256", "typ": "JWT", "kid": kid });
        for (name, value) in members.as_object().expect("an object") {
            header[name] = value.clone();
        }
        header
    };
    let claims = case.gitlab.claims();
    let jwk = case.gitlab.key_set()["keys"][0].clone();
    for (header, expected) in [
        (header(json!({})), None),
        (header(json!({ "typ": "at+jwt" })), None),
        (header(json!({ "typ": 7, "cty": null, "zzz": 1.5 })), None),
        (header(json!({ "kid": "" })), None),
        (json!({ "alg": "RS256" }), None),
        // CVE-2018-0114 and its kin: a key in the header is no key.
        (header(json!({ "jwk": jwk, "kid": "forged" })), Some(TokenKeyUnknown)),
        (header(json!({ "jwk": { "kty": "RSA", "n": "AQAB", "e": "AQAB" } })), None),
        (header(json!({ "jku": "http://127.0.0.1:1/keys", "kid": "forged" })), Some(TokenKeyUnknown)),
        (
            header(json!({ "x5u": "file:///etc/passwd", "x5c": ["AAAA"], "kid": "forged" })),
            Some(TokenKeyUnknown),
        ),
        (header(json!({ "kid": "../../../../dev/null" })), Some(TokenKeyUnknown)),
        (header(json!({ "kid": "x' UNION SELECT 'key" })), Some(TokenKeyUnknown)),
        (header(json!({ "kid": format!("{kid}\0") })), Some(TokenKeyUnknown)),
        (header(json!({ "kid": kid.to_uppercase() })), Some(TokenKeyUnknown)),
        (header(json!({ "kid": null })), Some(TokenMalformed)),
        (header(json!({ "kid": 7 })), Some(TokenMalformed)),
        (header(json!({ "kid": [kid] })), Some(TokenMalformed)),
        // RFC 7515 §4.1.11, RFC 7797 §6.
        (header(json!({ "crit": ["exp"] })), Some(TokenMalformed)),
        (header(json!({ "crit": [] })), Some(TokenMalformed)),
        (header(json!({ "crit": ["b64"], "b64": false })), Some(TokenMalformed)),
        // CVE-2015-9235 and its kin.
        (header(json!({ "alg": "none" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "None" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "NONE" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "nOnE" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "HS256" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "RS384" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "PS256" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "ES256" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "EdDSA" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "rs256" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "RS256 " })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": "RSA-OAEP" })), Some(TokenAlgorithmNotAllowed)),
        (header(json!({ "alg": ["RS256"] })), Some(TokenMalformed)),
        (header(json!({ "alg": null })), Some(TokenMalformed)),
        (json!({ "kid": kid }), Some(TokenMalformed)),
        (json!({}), Some(TokenMalformed)),
        (json!([]), Some(TokenMalformed)),
        (json!("RS256"), Some(TokenMalformed)),
    ] {
        assert_eq!(case.reason(&case.gitlab.token_with_header(&header, &claims)), expected, "{header}");
    }
}

#[tokio::test]
async fn claims_that_no_issuer_sends_are_refused() {
    use Reason::*;
    let case = Case::new().await;
    let url = case.gitlab.url();
    let now = case.clock.now().as_secs();
    for (changes, expected) in [
        (vec![("iss", json!(format!("{url}/")))], Some(TokenIssuerUnknown)),
        (vec![("iss", json!(url.to_uppercase()))], Some(TokenIssuerUnknown)),
        (vec![("iss", json!(format!("{url}\0")))], Some(TokenIssuerUnknown)),
        (vec![("iss", json!(format!(" {url}")))], Some(TokenIssuerUnknown)),
        (vec![("iss", json!(url.replacen('1', "\u{ff11}", 1)))], Some(TokenIssuerUnknown)),
        (vec![("iss", json!("a".repeat(5000)))], Some(TokenIssuerUnknown)),
        (vec![("iss", json!(""))], Some(TokenIssuerUnknown)),
        (vec![("iss", json!([url]))], Some(ClaimWrongType)),
        (vec![("iss", json!(7))], Some(ClaimWrongType)),
        (vec![("iss", json!(null))], Some(ClaimMissing)),
        (vec![("exp", json!(now - 3600))], Some(TokenExpired)),
        (vec![("exp", json!(now - 60))], Some(TokenExpired)),
        (vec![("exp", json!(now - 59))], None),
        (vec![("exp", json!(now as f64 + 600.5))], None),
        (vec![("exp", json!((now + 600).to_string()))], Some(ClaimWrongType)),
        (vec![("exp", json!(-1))], Some(ClaimInvalid)),
        (vec![("exp", json!(u64::MAX))], Some(ClaimInvalid)),
        (vec![("exp", json!(1e300))], Some(ClaimInvalid)),
        (vec![("exp", json!(null))], Some(ClaimMissing)),
        (vec![("nbf", json!(now + 240))], None),
        (vec![("nbf", json!(now + 360))], Some(TokenNotYetValid)),
        (vec![("iat", json!(now + 3600))], Some(TokenNotYetValid)),
        (vec![("iat", json!(now - 31_536_000))], None),
        (vec![("user_login", json!("\0"))], None),
    ] {
        let token = case.gitlab.token(&case.claims(&changes));
        assert_eq!(case.reason(&token), expected, "{changes:?}");
    }
}

#[tokio::test]
async fn a_payload_that_parsers_read_in_two_ways_is_refused() {
    let case = Case::new().await;
    let (url, kid) = (case.gitlab.url(), case.gitlab.key_id());
    let header = json!({ "alg": "RS256", "kid": kid }).to_string();
    let payload = format!(r#"{{"iss":"{url}","exp":4000000000,"sub":"ada"}}"#);
    assert_eq!(case.reason(&case.gitlab.token_of_text(&header, &payload)), None);
    let escaped = payload.replace("iss", r"\u0069ss").replacen("http", r"\u0068ttp", 1);
    assert_eq!(case.reason(&case.gitlab.token_of_text(&header, &escaped)), None, "escapes are spelling only");

    let deep = format!(r#"{{"iss":"{url}","exp":4e9,"a":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    for payload in [
        format!(r#"{{"iss":"https://nobody.example","iss":"{url}","exp":4000000000}}"#),
        format!(r#"{{"iss":"{url}","\u0069ss":"{url}","exp":4000000000}}"#),
        format!(r#"{{"iss":"{url}","exp":4000000000,"a":{{"b":1,"b":2}}}}"#),
        format!(r#"{{"iss":"{url}","exp":{{"$serde_json::private::Number":"4000000000"}}}}"#),
        format!(r#"{{"$serde_json::private::Number":"5","iss":"{url}","exp":4000000000}}"#),
        format!("{payload}{payload}"),
        format!("{payload} x"),
        format!("\u{feff}{payload}"),
        format!("[{payload}]"),
        payload.replace("ada", r"\ud800"),
        payload.replace("4000000000", "NaN"),
        payload.replace("4000000000", "04000000000"),
        payload.replace('}', ""),
        deep,
        "null".to_owned(),
        String::new(),
    ] {
        let shown: String = payload.chars().take(120).collect();
        let token = case.gitlab.token_of_text(&header, &payload);
        assert_eq!(case.reason(&token), Some(Reason::TokenMalformed), "{shown}");
    }
    for header in [
        format!(r#"{{"alg":"none","alg":"RS256","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"RS256","kid":"{kid}","kid":"other"}}"#),
        format!("{header}{header}"),
        String::new(),
    ] {
        let token = case.gitlab.token_of_text(&header, &payload);
        assert_eq!(case.reason(&token), Some(Reason::TokenMalformed), "{header}");
    }
}

#[tokio::test]
async fn a_text_that_is_not_three_clean_segments_is_refused() {
    use Reason::*;
    let case = Case::new().await;
    let token = case.gitlab.token(&case.gitlab.claims());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three segments")
    };
    let not_utf8 = {
        let signed = format!("{header}.{}", encode(b"{\"iss\":\"\xff\xfe\"}"));
        let signature = case.gitlab.signature_of(signed.as_bytes());
        format!("{signed}.{signature}")
    };
    // The last character of 256 octets in base64url has two bits that mean nothing: one signature, four spellings.
    let other_spelling = match signature.chars().last() {
        Some('A') => format!("{}B", &signature[..signature.len() - 1]),
        Some('Q') => format!("{}R", &signature[..signature.len() - 1]),
        Some('g') => format!("{}h", &signature[..signature.len() - 1]),
        _ => format!("{}x", &signature[..signature.len() - 1]),
    };
    for (text, expected) in [
        (String::new(), TokenMissing),
        ("abc".into(), TokenMalformed),
        ("e30.e30".into(), TokenMalformed),
        (format!("{header}.{payload}"), TokenMalformed),
        (format!("{header}.{payload}.{signature}.e30"), TokenMalformed),
        ("e30.e30.e30.e30.e30".into(), TokenMalformed),
        ("???.???.???".into(), TokenMalformed),
        ("..".into(), TokenMalformed),
        (format!("{header}.{payload}."), TokenSignatureInvalid),
        (format!("{header}..{signature}"), TokenMalformed),
        (format!(".{payload}.{signature}"), TokenMalformed),
        (format!("{header}=.{payload}.{signature}"), TokenMalformed),
        (format!("{header}.{payload}==.{signature}"), TokenMalformed),
        (format!("{header}.{payload}.{signature}=="), TokenMalformed),
        (format!(" {token}"), TokenMalformed),
        (format!("{token}\n"), TokenMalformed),
        (format!("{header}.{payload}.\n{signature}"), TokenMalformed),
        (format!("{header}.{payload}.{other_spelling}"), TokenMalformed),
        (format!("{header}.{payload}.+/{signature}"), TokenMalformed),
        (format!("Bearer {token}"), TokenMalformed),
        (format!("{header}.{payload}.é"), TokenMalformed),
        (not_utf8, TokenMalformed),
        (".".repeat(MAX_TOKEN_BYTES), TokenMalformed),
        (".".repeat(MAX_TOKEN_BYTES + 1), TokenTooLarge),
        (".".repeat(4 << 20), TokenTooLarge),
        (format!("{header}.{}.{signature}", "A".repeat(MAX_TOKEN_BYTES)), TokenTooLarge),
        ("{\"payload\":\"e30\",\"signatures\":[]}".into(), TokenMalformed),
    ] {
        assert_eq!(case.reason(&text), Some(expected), "{}", text.chars().take(100).collect::<String>());
    }
}

#[tokio::test]
async fn a_changed_or_foreign_signature_is_refused() {
    use Reason::*;
    let case = Case::new().await;
    let claims = case.gitlab.claims();
    let token = case.gitlab.token(&claims);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three segments")
    };
    let other_payload = encode(case.claims(&[("project_path", json!("other/project"))]).to_string());
    let octets = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut flipped = octets.clone();
    flipped[100] ^= 1;

    // The oldest trick: the public key as the secret of an HMAC.
    let jwk = case.gitlab.key_set()["keys"][0].clone();
    let hs256 = |secret: &[u8]| {
        let header = encode(json!({ "alg": "HS256", "kid": case.gitlab.key_id() }).to_string());
        let signed = format!("{header}.{payload}");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        format!("{signed}.{}", encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    };
    for (text, expected) in [
        (format!("{header}.{other_payload}.{signature}"), TokenSignatureInvalid),
        (format!("{header}.{payload}.{}", encode(&flipped)), TokenSignatureInvalid),
        (format!("{header}.{payload}.{}", encode(&octets[..255])), TokenSignatureInvalid),
        (format!("{header}.{payload}.{}", encode([0; 256])), TokenSignatureInvalid),
        (format!("{header}.{payload}.{}", encode([octets.as_slice(), &[0]].concat())), TokenSignatureInvalid),
        (hs256(jwk["n"].as_str().expect("n").as_bytes()), TokenAlgorithmNotAllowed),
        (hs256(jwk.to_string().as_bytes()), TokenAlgorithmNotAllowed),
        (hs256(b""), TokenAlgorithmNotAllowed),
    ] {
        assert_eq!(case.reason(&text), Some(expected), "{}", &text[..60]);
    }

    case.gitlab.rotate().expect("a key");
    let rotated = case.gitlab.token(&claims);
    assert_eq!(case.reason(&rotated), Some(TokenKeyUnknown), "the key set at hand has the old key only");
}

#[tokio::test]
async fn the_key_must_be_for_the_tokens_algorithm() {
    use Reason::*;
    let case = Case::new().await;
    let token = case.gitlab.token(&case.gitlab.claims());
    let without_kid = case.gitlab.token_with_header(&json!({ "alg": "RS256" }), &case.gitlab.claims());
    let jwk = case.gitlab.key_set()["keys"][0].clone();
    case.gitlab.rotate().expect("a key");
    let other = case.gitlab.key_set()["keys"][0].clone();
    let change = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let same_kid = change(&other, "kid", jwk["kid"].clone());
    for (keys, with_kid, without) in [
        (vec![jwk.clone()], None, None),
        (vec![other.clone(), jwk.clone()], None, None),
        (vec![same_kid.clone(), jwk.clone()], None, None),
        (vec![same_kid.clone()], Some(TokenSignatureInvalid), Some(TokenSignatureInvalid)),
        (vec![other.clone()], Some(TokenKeyUnknown), Some(TokenSignatureInvalid)),
        (vec![change(&jwk, "alg", json!("RS512"))], Some(TokenKeyUnknown), Some(TokenKeyUnknown)),
        (
            vec![change(&jwk, "alg", json!("RS512")), other.clone()],
            Some(TokenKeyUnknown),
            Some(TokenSignatureInvalid),
        ),
        (
            vec![change(&jwk, "use", json!("enc")), other.clone()],
            Some(TokenKeyUnknown),
            Some(TokenSignatureInvalid),
        ),
        (vec![change(&jwk, "kid", json!(""))], Some(TokenKeyUnknown), None),
    ] {
        let shown = json!({ "keys": keys }).to_string();
        let set = KeySet::parse(shown.as_bytes()).expect("a key set");
        let reason =
            |token| case.verify_with(token, &set, &[Algorithm::RS256]).err().map(|refusal| refusal.reason());
        assert_eq!((reason(&token), reason(&without_kid)), (with_kid, without), "{shown}");
    }
}

#[tokio::test]
async fn every_algorithm_is_held_against_the_issuers_list_before_keys_are_fetched() {
    let case = Case::new().await;
    let token = case.gitlab.token(&case.gitlab.claims());
    let token = UnverifiedToken::parse(&token).expect("a token");
    let admit = |algorithms: &[Algorithm]| {
        Expectations { issuer: case.gitlab.url(), algorithms, times: Times::CERTIFICATE }
            .admit(&token)
            .map_err(|refusal| refusal.reason())
    };
    assert_eq!(admit(&[Algorithm::RS256]), Ok(()));
    assert_eq!(admit(&[Algorithm::ES256, Algorithm::RS256]), Ok(()));
    assert_eq!(admit(&[Algorithm::RS512]), Err(Reason::TokenAlgorithmNotAllowed));
    assert_eq!(admit(&[]), Err(Reason::TokenAlgorithmNotAllowed));
    assert_eq!(case.gitlab.fetches(), 0);
}

#[tokio::test]
async fn no_refusal_shows_anything_of_the_token() {
    let case = Case::new().await;
    let claims = case.claims(&[("sub", json!("a-secret-subject")), ("exp", json!("a-secret-time"))]);
    let header = json!({ "alg": "RS256", "kid": "a-secret-key-id" });
    for token in [
        case.gitlab.token(&claims),
        case.gitlab.token_with_header(&header, &claims),
        case.gitlab.token_with_header(&json!({ "alg": "a-secret-algorithm" }), &claims),
        case.gitlab.token_of_text(r#"{"alg":"RS256"}"#, r#"{"sub":"a-secret","sub":"a-secret"}"#),
    ] {
        let refusal = case.verify(&token).expect_err("must be refused");
        let shown = format!("{refusal} {refusal:?}");
        assert!(!shown.contains("secret") && !shown.contains(&token[..20]), "{shown}");
    }
}

#[tokio::test]
async fn other_algorithms_work_where_an_issuer_has_them() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    let case = Case::new().await;
    let claims = encode(case.gitlab.claims().to_string());
    let signed = |alg: &str| format!("{}.{claims}", encode(json!({ "alg": alg, "kid": "k" }).to_string()));

    let ed25519 = Ed25519KeyPair::generate().expect("a key");
    let ed25519_jwk =
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": encode(ed25519.public_key()) });
    let eddsa = signed("EdDSA");
    let eddsa = format!("{eddsa}.{}", encode(ed25519.sign(eddsa.as_bytes())));

    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let point = p256.public_key().as_ref();
    let p256_jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": encode(&point[1..33]), "y": encode(&point[33..]) });
    let es256 = signed("ES256");
    #[expect(clippy::disallowed_methods, reason = "aws-lc-rs's signer asks for a generator")]
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signature = p256.sign(&random, es256.as_bytes()).expect("a signature");
    let es256 = format!("{es256}.{}", encode(signature));

    let both =
        KeySet::parse(json!({ "keys": [ed25519_jwk, p256_jwk] }).to_string().as_bytes()).expect("keys");
    for (token, algorithm) in [(&eddsa, Algorithm::EdDSA), (&es256, Algorithm::ES256)] {
        let verified = case.verify_with(token, &both, &[algorithm]).expect("an honest token");
        assert_eq!(verified.algorithm(), algorithm);
    }
    let zeros = format!("{}.{}", signed("ES256"), encode([0; 64]));
    let refusal = case.verify_with(&zeros, &both, &[Algorithm::ES256]).expect_err("CVE-2022-21449");
    assert_eq!(refusal.reason(), Reason::TokenSignatureInvalid);
}
