//! Texts that two readers read in two ways: JSON with members twice, odd numbers, odd UTF-8, odd base64, deep nesting.

use super::signer::encode;
use super::{Target, assert_refused};
use crate::support::Answer;
use crate::support::key::TestKey;
use serde_json::{Value, json};

impl Target {
    /// A payload that the GitLab signs as it stands.
    fn signed(&self, payload: &[u8]) -> String {
        let header = json!({ "alg": "RS256", "kid": self.ca.gitlab.key_id() }).to_string();
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.ca.gitlab.signature_of(signed.as_bytes());
        format!("{signed}.{signature}")
    }

    /// The usual claims as text.
    fn claims_text(&self) -> String {
        self.ca.gitlab.claims().to_string()
    }

    async fn request(&self, body: impl Into<Vec<u8>>) -> Answer {
        Answer::of(self.ca.signing().body(body.into())).await
    }
}

/// CVE-2017-12635 (CouchDB): one reader takes the first of two members, another the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_twice_is_refused_in_header_claims_and_request() {
    let target = Target::start().await;
    let (claims, kid) = (target.claims_text(), target.ca.gitlab.key_id());
    let other = r#""project_path":"other/project","#;
    for claims in [
        claims.replacen('{', &format!("{{{other}"), 1),
        claims.replacen('{', &format!("{{{}", other.replace("project", r"\u0070roject")), 1),
        claims.replacen('{', r#"{"x":{"a":1,"a":1},"#, 1),
        claims.replacen('{', r#"{"iss":"https://gitlab.com","#, 1),
    ] {
        let token = target.signed(claims.as_bytes());
        target.refuses_everywhere("a claim twice", &token, "TOKEN_MALFORMED").await;
    }
    for header in [
        format!(r#"{{"alg":"none","alg":"RS256","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"RS256","\u0061lg":"none","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"RS256","kid":"x","kid":"{kid}"}}"#),
    ] {
        let token = target.ca.gitlab.token_of_text(&header, &claims);
        assert_refused("a header's member twice", &target.token(&token).await, "TOKEN_MALFORMED");
    }
    let request = target.ca.signing_request().to_string();
    let credentials = r#""credentials":{"oidcIdentityToken":"a.b.c"},"#;
    for body in [
        request.replacen('{', &format!("{{{credentials}"), 1),
        request.replacen(r#""oidcIdentityToken""#, r#""oidc_identity_token":"a.b.c","oidcIdentityToken""#, 1),
        request.replacen(r#""publicKeyRequest""#, r#""public_key_request":{},"publicKeyRequest""#, 1),
        request.replacen(r#""content""#, r#""content":"x","content""#, 1),
        request.replacen(r#""proofOfPossession""#, r#""proofOfPossession":"AAAA","proofOfPossession""#, 1),
    ] {
        assert_refused("a request's member twice", &target.request(body).await, "REQUEST_MALFORMED");
    }
    target.stands().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_in_another_case_is_another_member() {
    let target = Target::start().await;
    let claims = target.claims_text();
    for (name, spelling, reason) in [
        ("iss", "ISS", "CLAIM_MISSING"),
        ("exp", "Exp", "CLAIM_MISSING"),
        ("aud", "AUD", "CLAIM_MISSING"),
        ("project_path", "Project_Path", "CLAIM_MISSING"),
        ("project_path", "project_\u{440}ath", "CLAIM_MISSING"),
    ] {
        let token =
            target.signed(claims.replace(&format!("\"{name}\""), &format!("\"{spelling}\"")).as_bytes());
        assert_refused(spelling, &target.token(&token).await, reason);
    }
    // Beside the true one it is a claim that nobody knows, and changes nothing.
    let both = claims.replacen('{', r#"{"Project_Path":"other/project","ISS":"https://gitlab.com","#, 1);
    let chain = target.token(&target.signed(both.as_bytes())).await.certificates();
    let leaf = pem::parse(&chain[0]).expect("PEM").into_contents();
    assert!(!leaf.windows(13).any(|window| window == b"other/project"));
    assert_eq!(target.entries().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_no_clock_has_are_refused() {
    let target = Target::start().await;
    let claims = target.ca.gitlab.claims();
    let exp = format!("\"exp\":{}", claims["exp"]);
    for (value, reason) in [
        ("1e400", "CLAIM_INVALID"),
        ("-1e400", "CLAIM_INVALID"),
        ("9007199254740993", "CLAIM_INVALID"),
        ("18446744073709551616", "CLAIM_INVALID"),
        ("99999999999999999999999999999999999999", "CLAIM_INVALID"),
        ("253402300800", "CLAIM_INVALID"),
        ("-1", "CLAIM_INVALID"),
        ("-0.5", "CLAIM_INVALID"),
        ("0", "TOKEN_EXPIRED"),
        ("1e-400", "TOKEN_EXPIRED"),
        ("1.5", "TOKEN_EXPIRED"),
        ("\"4000000000\"", "CLAIM_WRONG_TYPE"),
        ("[4000000000]", "CLAIM_WRONG_TYPE"),
        ("true", "CLAIM_WRONG_TYPE"),
        ("null", "CLAIM_MISSING"),
        ("0x7fffffff", "TOKEN_MALFORMED"),
        ("Infinity", "TOKEN_MALFORMED"),
        ("NaN", "TOKEN_MALFORMED"),
        ("1_000", "TOKEN_MALFORMED"),
        ("{\"$serde_json::private::Number\":\"4000000000\"}", "TOKEN_MALFORMED"),
    ] {
        let token = target.signed(claims.to_string().replace(&exp, &format!("\"exp\":{value}")).as_bytes());
        assert_refused(value, &target.token(&token).await, reason);
    }
    for (name, value, reason) in [
        ("nbf", "1e400", "CLAIM_INVALID"),
        ("iat", "-1", "CLAIM_INVALID"),
        ("iat", "4000000000", "TOKEN_NOT_YET_VALID"),
        ("project_id", "20", "CLAIM_WRONG_TYPE"),
        ("runner_id", "\"1e400\"", "CLAIM_WRONG_TYPE"),
    ] {
        let mut changed = claims.clone();
        changed[name] = serde_json::from_str(value).expect("JSON");
        assert_refused(name, &target.token(&target.ca.gitlab.token(&changed)).await, reason);
    }
    target.stands().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_utf8_or_nests_too_deeply_is_refused() {
    let target = Target::start().await;
    let claims = target.claims_text();
    let nested = |open: &str, close: &str, depth: usize| {
        claims.replacen('{', &format!("{{\"x\":{}1{},", open.repeat(depth), close.repeat(depth)), 1)
    };
    let spoilt = |octets: &[u8]| {
        let at = claims.find("my-group/my-project").expect("a path");
        [&claims.as_bytes()[..at], octets, &claims.as_bytes()[at..]].concat()
    };
    for payload in [
        spoilt(b"\xff"),
        spoilt(b"\xc0\xaf"),
        spoilt(b"\xe0\x80\xaf"),
        spoilt(b"\xed\xa0\x80"),
        spoilt(b"\xf4\x90\x80\x80"),
        spoilt(b"\\ud800"),
        spoilt(b"\0"),
        [b"\xef\xbb\xbf", claims.as_bytes()].concat(),
        claims.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        nested("[", "]", 17).into_bytes(),
        nested("[", "]", 10_000).into_bytes(),
        nested("{\"x\":", "}", 5_000).into_bytes(),
        format!("{claims}{claims}").into_bytes(),
        format!("{claims}\0").into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&payload).chars().take(40).collect::<String>();
        assert_refused(&shown, &target.token(&target.signed(&payload)).await, "TOKEN_MALFORMED");
    }
    let request = target.ca.signing_request().to_string();
    for body in [
        "[".repeat(1_000_000).into_bytes(),
        request.replacen('{', &format!("{{\"x\":{}", "{\"x\":".repeat(100_000)), 1).into_bytes(),
        [b"\xef\xbb\xbf", request.as_bytes()].concat(),
        request.replacen("oidc", "\u{fffd}", 1).into_bytes()[1..].to_vec(),
        request.into_bytes().into_iter().map(|octet| if octet == b'.' { 0xff } else { octet }).collect(),
    ] {
        assert_refused("a broken request", &target.request(body).await, "REQUEST_MALFORMED");
    }
    target.stands().await;
}

/// A signature with another spelling of the same octets would be another token by text, and the same by content.
#[tokio::test(flavor = "multi_thread")]
async fn base64_has_one_spelling() {
    let target = Target::start().await;
    let token = target.ca.token();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three") };
    let last = signature.chars().last().expect("a character");
    let stray = char::from(last as u8 + 1);
    let without_last = &signature[..signature.len() - 1];
    for (attack, text) in [
        ("padding", format!("{header}.{payload}.{signature}==")),
        ("bits that mean nothing", format!("{header}.{payload}.{without_last}{stray}")),
        ("the other alphabet", format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+"))),
        ("a line break", format!("{header}.{payload}.{}\n{}", &signature[..76], &signature[76..])),
        ("a blank", format!("{header} .{payload}.{signature}")),
        ("percent-encoding", format!("{header}%2e{payload}%2e{signature}")),
        ("a character too many", format!("{header}.{payload}.{signature}A")),
        ("full-width dots", token.replace('.', "\u{ff0e}")),
    ] {
        let answer = target.token(&text).await;
        // A signature without - and _ has one spelling in both alphabets; an even length is no signature of this key.
        let reason = answer.reason();
        assert!(
            matches!(&*reason, "TOKEN_MALFORMED" | "TOKEN_SIGNATURE_INVALID"),
            "{attack}: {}",
            answer.text()
        );
        assert_refused(attack, &answer, &reason);
    }
    let key = TestKey::new();
    let proof = key.proof(&target.ca.challenge());
    for proof in
        [format!("{proof}!"), format!("={proof}"), format!("{proof}\u{0}"), proof.replace('M', "\u{41c}")]
    {
        let mut request: Value = key.request(&target.ca.challenge());
        request["credentials"] = json!({ "oidcIdentityToken": token });
        request["publicKeyRequest"]["proofOfPossession"] = json!(proof);
        assert_refused("a proof's base64", &target.ca.sign(&request).await, "REQUEST_MALFORMED");
    }
    target.stands().await;
}
