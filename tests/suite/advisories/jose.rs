//! Attacks on JSON Web Tokens: the algorithm, the key, the header, the serialization.

use super::signer::{Signer, blocks, encode};
use super::{PEOPLE, Target, assert_refused};
use crate::oidc::web::{Reply, Web};
use crate::support::Answer;
use serde_json::{Value, json};

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("three segments")
}

/// The public key in every form that a library has taken for the secret of an HMAC.
fn public_key_forms(jwk: &Value, pem: &str) -> Vec<Vec<u8>> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    vec![
        vec![],
        pem.into(),
        pem.trim_end().into(),
        format!("\n {pem}").into(),
        body.into_bytes(),
        pem::parse(pem).expect("PEM").into_contents(),
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().expect("n").into(),
    ]
}

/// CVE-2015-9235, CVE-2016-10555, CVE-2022-29217, CVE-2024-33663, CVE-2023-48223, CVE-2026-34950, CVE-2026-48526.
#[tokio::test(flavor = "multi_thread")]
async fn algorithm_confusion_makes_no_hmac_of_a_public_key() {
    use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, Key, sign};
    let target = Target::start().await;
    let claims = target.ca.gitlab.claims().to_string();
    let jwk = &target.signer.key_set()["keys"][0];
    for (alg, hmac) in [("HS256", HMAC_SHA256), ("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)] {
        for secret in public_key_forms(jwk, &target.signer.rsa_pem()) {
            for (issuer, kid) in [(target.ca.gitlab.url(), target.ca.gitlab.key_id()), (PEOPLE, "rsa".into())]
            {
                let claims = claims.replace(target.ca.gitlab.url(), issuer);
                let header = json!({ "alg": alg, "kid": kid });
                let signed = format!("{}.{}", encode(header.to_string()), encode(claims));
                let tag = sign(&Key::new(hmac, &secret), signed.as_bytes());
                let answer = target.token(&format!("{signed}.{}", encode(tag))).await;
                assert_refused(alg, &answer, "TOKEN_ALGORITHM_NOT_ALLOWED");
            }
        }
    }
    target.stands().await;
}

/// CVE-2015-2951, CVE-2022-23540, and the spellings that got around their first mends.
#[tokio::test(flavor = "multi_thread")]
async fn no_algorithm_is_no_algorithm_in_any_spelling() {
    let target = Target::start().await;
    let token = target.ca.token();
    let [_, payload, signature] = parts(&token);
    for alg in ["none", "None", "NONE", "nOnE", "none ", " none", "n\u{f6}ne", "none\0", "", "null", "HS0"] {
        let header = encode(json!({ "alg": alg, "kid": target.ca.gitlab.key_id() }).to_string());
        for signature in ["", signature] {
            let token = format!("{header}.{payload}.{signature}");
            let answer = target.token(&token).await;
            assert_refused(alg, &answer, "TOKEN_ALGORITHM_NOT_ALLOWED");
        }
    }
    for alg in [json!(null), json!(["none"]), json!({ "none": 1 }), json!(0), json!(false)] {
        let header = encode(json!({ "alg": alg }).to_string());
        let answer = target.token(&format!("{header}.{payload}.")).await;
        assert_refused("an alg that is no text", &answer, "TOKEN_MALFORMED");
    }
    let none = format!("{}.{payload}.", encode(r#"{"alg":"none"}"#));
    target.refuses_everywhere("alg none", &none, "TOKEN_ALGORITHM_NOT_ALLOWED").await;
    let unsigned = format!("{}.{payload}.", parts(&token)[0]);
    target.refuses_everywhere("an empty signature", &unsigned, "TOKEN_SIGNATURE_INVALID").await;
    target.stands().await;
}

/// CVE-2018-0114, CVE-2026-27962: a key that the token brings along, or points to, is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_header_or_behind_its_links_is_no_key() {
    let target = Target::start().await;
    let forger = Signer::new();
    let web = Web::plain().await;
    let link = format!("http://127.0.0.1:{}/keys", web.port);
    web.reply("/keys", Reply::json(&forger.key_set()));
    let claims = target.ca.gitlab.claims().to_string();
    let jwk = forger.key_set()["keys"][0].clone();
    for (kid, reason) in [
        (Some("rsa".to_owned()), "TOKEN_KEY_UNKNOWN"),
        (Some(target.ca.gitlab.key_id()), "TOKEN_SIGNATURE_INVALID"),
        (Some(link.clone()), "TOKEN_KEY_UNKNOWN"),
        (None, "TOKEN_SIGNATURE_INVALID"),
    ] {
        for member in [
            json!({ "jwk": jwk }),
            json!({ "jku": link }),
            json!({ "x5u": link }),
            json!({ "x5c": [super::base64_of(forger.rsa_pem().as_bytes())] }),
            json!({ "jwk": jwk, "jku": link, "x5u": link, "x5t": "AAAA", "x5t#S256": "AAAA" }),
        ] {
            let mut header = json!({ "alg": "RS256" });
            header.as_object_mut().expect("members").extend(member.as_object().expect("members").clone());
            if let Some(kid) = &kid {
                header["kid"] = json!(kid);
            }
            target.let_time_pass();
            let answer = target.token(&forger.token(&header, claims.as_bytes())).await;
            assert_refused("a key of one's own", &answer, reason);
        }
    }
    assert!(web.seen().is_empty(), "a link was followed: {:?}", web.seen());
    target.stands().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_id_is_compared_and_never_used_as_a_path_a_query_a_url_or_a_command() {
    let target = Target::start().await;
    let claims = target.ca.gitlab.claims();
    for kid in [
        "../../../../../../dev/null".to_owned(),
        "/proc/sys/kernel/randomize_va_space".to_owned(),
        "x' UNION SELECT 'key' -- ".to_owned(),
        "$(touch /tmp/kid)|id".to_owned(),
        "http://127.0.0.1:1/keys".to_owned(),
        "%2e%2e%2f".to_owned(),
        "\r\nSet-Cookie: a=b".to_owned(),
        "\u{0}".to_owned(),
        "\u{202e}rsa".to_owned(),
        "{{7*7}}${jndi:ldap://127.0.0.1/a}".to_owned(),
        "k".repeat(30_000),
    ] {
        target.let_time_pass();
        let token = target.ca.gitlab.token_with_header(&json!({ "alg": "RS256", "kid": kid }), &claims);
        let answer = target.token(&token).await;
        assert_refused(&kid, &answer, "TOKEN_KEY_UNKNOWN");
        assert!(!answer.text().contains("jndi") && answer.text().len() < 1000, "{}", answer.text());
    }
    target.stands().await;
}

/// CVE-2026-32597, GHSA-hm7r-c7qw-ghp6: RFC 7515 §4.1.11 says that what is critical and not understood is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_is_critical_is_refused() {
    let target = Target::start().await;
    let claims = target.ca.gitlab.claims();
    for crit in
        [json!(["x"]), json!([]), json!(["exp"]), json!(["b64"]), json!(null), json!("b64"), json!({})]
    {
        let header =
            json!({ "alg": "RS256", "kid": target.ca.gitlab.key_id(), "crit": crit, "b64": false, "x": 1 });
        let token = target.ca.gitlab.token_with_header(&header, &claims);
        target.refuses_everywhere("crit", &token, "TOKEN_MALFORMED").await;
    }
    target.stands().await;
}

/// CVE-2022-21449, psychic signatures: r and s of zero, or of the group's order, satisfy the equation for every message.
#[tokio::test(flavor = "multi_thread")]
async fn an_ecdsa_signature_of_nothing_signs_nothing() {
    let target = Target::start().await;
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").expect("hex");
    let one = [vec![0; 31], vec![1]].concat();
    let claims = json!({ "iss": PEOPLE, "aud": "sigstore", "sub": "1", "email": "a@b.example",
        "email_verified": true, "exp": 4_000_000_000u64 });
    let signed = format!("{}.{}", encode(r#"{"alg":"ES256","kid":"ec"}"#), encode(claims.to_string()));
    for (r, s) in [
        (vec![0; 32], vec![0; 32]),
        (order.clone(), order.clone()),
        (vec![0; 32], one.clone()),
        (one, vec![0; 32]),
    ] {
        let signature = encode([r, s].concat());
        let token = format!("{signed}.{signature}");
        target.refuses_everywhere("CVE-2022-21449", &token, "TOKEN_SIGNATURE_INVALID").await;
    }
    for signature in
        [vec![], vec![0; 63], vec![0; 65], vec![0; 1000], hex::decode("3006020100020100").expect("hex")]
    {
        let answer = target.token(&format!("{signed}.{}", encode(signature))).await;
        assert_refused("CVE-2022-21449", &answer, "TOKEN_SIGNATURE_INVALID");
    }
    target.stands().await;
}

/// CVE-2006-4339 (Bleichenbacher), CVE-2014-1568 (BERserk) and their kin, signed with the issuer's very key.
#[tokio::test(flavor = "multi_thread")]
async fn an_rsa_signature_with_any_other_padding_is_none() {
    let target = Target::start().await;
    let claims = json!({ "iss": PEOPLE, "aud": "sigstore", "sub": "1", "exp": 4_000_000_000u64,
        "email": "a@b.example", "email_verified": true });
    let signed = format!("{}.{}", encode(r#"{"alg":"RS256","kid":"rsa"}"#), encode(claims.to_string()));
    for (forgery, block) in blocks(signed.as_bytes()) {
        let answer = target.token(&format!("{signed}.{}", encode(target.signer.raw(&block)))).await;
        // The proof is over another subject: where the token stands, that is what is said.
        let reason = if forgery == "proper" { "PROOF_INVALID" } else { "TOKEN_SIGNATURE_INVALID" };
        assert_refused(forgery, &answer, reason);
    }
    target.stands().await;
}

/// CVE-2022-39227: compact and JSON serialization in one text. CVE-2024-28176, CVE-2024-33664, CVE-2023-50967, CVE-2023-51775:
/// encrypted tokens that unpack, or hash, without end. A token in a token.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_compact_form_of_a_signature_is_a_token() {
    let target = Target::start().await;
    let token = target.ca.token();
    let [header, payload, signature] = parts(&token);
    let encrypted = |members: Value| format!("{}.AAAA.AAAA.AAAA.AAAA", encode(members.to_string()));
    let general =
        json!({ "payload": payload, "signatures": [{ "protected": header, "signature": signature }] });
    let flattened = json!({ "payload": payload, "protected": header, "signature": signature });
    for (attack, text) in [
        (
            "CVE-2022-39227",
            format!("{{\"  {header}.{payload}.{signature}\":\"\",\"payload\":\"{payload}\"}}"),
        ),
        ("the general serialization", general.to_string()),
        ("the flattened serialization", flattened.to_string()),
        (
            "CVE-2024-33664, CVE-2024-28176",
            encrypted(json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" })),
        ),
        (
            "CVE-2023-50967, CVE-2023-51775",
            encrypted(
                json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2147483647, "p2s": "AAAA" }),
            ),
        ),
        ("an unencoded payload", format!("{header}.{}.{signature}", target.ca.gitlab.claims())),
        ("a detached payload", format!("{header}..{signature}")),
    ] {
        target.refuses_everywhere(attack, &text, "TOKEN_MALFORMED").await;
    }
    let nested = json!({ "alg": "RS256", "kid": target.ca.gitlab.key_id(), "cty": "JWT" }).to_string();
    let nested = target.ca.gitlab.token_of_text(&nested, &token);
    target.refuses_everywhere("a token in a token", &nested, "TOKEN_MALFORMED").await;
    target.stands().await;
}

/// CVE-2025-66506 (Fulcio), CVE-2025-30204 (golang-jwt): a token of full stops costs what it weighs, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_dots_is_refused_by_its_size_or_by_its_segments() {
    let target = Target::start().await;
    target.refuses_everywhere("dots", &".".repeat(60_000), "TOKEN_MALFORMED").await;
    for size in [65_537, 1 << 20, 3 << 20] {
        assert_refused("CVE-2025-66506", &target.token(&".".repeat(size)).await, "TOKEN_TOO_LARGE");
    }
    let bearer = format!("Bearer {}", ".".repeat(100_000));
    let answer = target.ca.signing().header("authorization", bearer).body("{}");
    assert_refused("CVE-2025-30204", &Answer::of(answer).await, "TOKEN_TOO_LARGE");
    target.stands().await;
}
