//! Fulcio's API, as its clients use it and as nobody should.

use crate::support::key::{TestKey, csr};
use crate::support::{Answer, TestCa, client};
use countersign::api::error::presentation;
use countersign::refusal::Reason;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

const IDENTITY_TOKEN: &str = "There was an error processing the identity token";

/// Status, code, message and reason of a refusal, and what every refusal has.
fn assert_refused(answer: &Answer, status: u16, code: u8, message: &str, reason: Reason) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("vary"), "Origin");
    let body = answer.json();
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["message"], message, "{body}");
    let info = &body["details"][0];
    assert_eq!(info["reason"], reason.code(), "{body}");
    assert_eq!(info["domain"], "countersign");
    let id = info["metadata"]["request_id"].as_str().expect("a request id");
    assert_eq!(id, answer.header("x-request-id"));
}

#[test]
fn the_documentation_has_every_reason_as_it_is_presented() {
    let document = include_str!("../../docs/ERRORS.md");
    let documented: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let presented: Vec<Vec<String>> = Reason::ALL
        .iter()
        .map(|&reason| {
            let shown = presentation(reason);
            vec![
                format!("`{}`", reason.code()),
                shown.status.to_string(),
                shown.grpc_code.to_string(),
                shown.message.to_owned(),
                reason.explanation().to_owned(),
            ]
        })
        .collect();
    assert_eq!(documented.len(), presented.len());
    for (documented, presented) in documented.iter().zip(&presented) {
        assert_eq!(documented[..5], presented[..]);
        assert!(documented.len() == 6 && !documented[5].is_empty(), "what to do: {presented:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_and_a_key_go_in_and_a_chain_comes_out() {
    let ca = TestCa::start().await;
    let answer = ca.sign(&ca.signing_request()).await;
    let chain = answer.certificates();
    assert_eq!(chain.len(), 3);
    for pem in &chain {
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert!(pem.ends_with("-----END CERTIFICATE-----"), "no newline at the end");
    }
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("vary"), "Origin");
    let id = answer.header("x-request-id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");

    let bundle = ca.get("/api/v2/trustBundle").await.json();
    let bundled = bundle["chains"][0]["certificates"].as_array().expect("a chain");
    assert_eq!(bundled.len(), 2);
    for (bundled, issued) in bundled.iter().zip(&chain[1..]) {
        assert_eq!(bundled.as_str(), Some(&*format!("{issued}\n")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_accepts_the_chain() {
    let ca = TestCa::start().await;
    let chain = ca.issue().await;
    let file = |name: &str, pem: &str| {
        let path = ca.directory().join(name);
        std::fs::write(&path, format!("{pem}\n")).expect("a file");
        path
    };
    let [leaf, intermediate, root] = chain.as_slice() else { panic!("three certificates") };
    let output = std::process::Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "any", "-CAfile"])
        .arg(file("root.pem", root))
        .arg("-untrusted")
        .arg(file("intermediate.pem", intermediate))
        .arg(file("leaf.pem", leaf))
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_comes_in_the_body_or_in_the_header_and_the_body_wins() {
    let ca = TestCa::start().await;
    let token = ca.token();
    let key = || TestKey::new().request(&ca.challenge());
    let with = |credentials: Value| {
        let mut request = key();
        request["credentials"] = credentials;
        request.to_string()
    };
    for value in
        [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token}"), token.clone()]
    {
        Answer::of(ca.signing().header("authorization", value).body(key().to_string())).await.certificates();
    }
    // As a client reads it from a file.
    let of_a_file = with(json!({ "oidcIdentityToken": format!("{token}\n") }));
    Answer::of(ca.signing().body(of_a_file)).await.certificates();
    let bearer = format!("Bearer {token}");
    for credentials in [json!({ "oidcIdentityToken": "" }), json!({ "oidcIdentityToken": null }), json!(null)]
    {
        Answer::of(ca.signing().header("authorization", &bearer).body(with(credentials)))
            .await
            .certificates();
    }
    let in_body = with(json!({ "oidcIdentityToken": token }));
    Answer::of(ca.signing().header("authorization", "Bearer abc").body(in_body)).await.certificates();

    let refused = Answer::of(ca.signing().body(key().to_string())).await;
    assert_refused(&refused, 400, 3, IDENTITY_TOKEN, Reason::TokenMissing);
    for value in [format!("Bearer Bearer {token}"), format!("Basic {token}"), "Bearer abc".into()] {
        let refused = Answer::of(ca.signing().header("authorization", value).body(key().to_string())).await;
        assert_refused(&refused, 400, 3, IDENTITY_TOKEN, Reason::TokenMalformed);
    }
    let refused = Answer::of(
        ca.signing().header("authorization", &bearer).body(with(json!({ "oidcIdentityToken": "a.b.c" }))),
    )
    .await;
    assert_refused(&refused, 400, 3, IDENTITY_TOKEN, Reason::TokenMalformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_spellings_unknown_fields_any_content_type_and_both_kinds_of_key_are_taken() {
    let ca = TestCa::start().await;
    let (key, challenge) = (TestKey::new(), ca.challenge());
    let (pem, proof) = (key.pem(), key.proof(&challenge));
    let url_safe = proof.replace('+', "-").replace('/', "_");
    let bodies = [
        json!({"credentials": {"oidc_identity_token": ca.token()}, "public_key_request": {"public_key": {"content": pem}, "proof_of_possession": proof}}),
        json!({"credentials": {"oidcIdentityToken": ca.token(), "x": 1}, "publicKeyRequest": {"publicKey": {"algorithm": 7, "content": pem}, "proofOfPossession": url_safe.trim_end_matches('=')}, "extra": {"a": [1]}}),
        json!({"credentials": {"oidcIdentityToken": ca.token()}, "publicKeyRequest": {"publicKey": {"content": pem}, "proofOfPossession": proof}, "certificateSigningRequest": null}),
        json!({"credentials": {"oidcIdentityToken": ca.token()}, "certificateSigningRequest": csr()}),
        json!({"credentials": {"oidcIdentityToken": ca.token()}, "certificate_signing_request": csr()}),
    ];
    for body in bodies {
        ca.sign(&body).await.certificates();
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
    {
        let body = ca.signing_request().to_string();
        Answer::of(ca.signing().header("content-type", content_type).body(body)).await.certificates();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_status_code_message_and_reason() {
    let ca = TestCa::start().await;
    let claims = |edit: &dyn Fn(&mut Value)| {
        let mut claims = ca.gitlab.claims();
        edit(&mut claims);
        ca.gitlab.token(&claims)
    };
    let with_token = |token: String| {
        let mut request = TestKey::new().request(&ca.challenge());
        request["credentials"] = json!({ "oidcIdentityToken": token });
        request
    };
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut request = ca.signing_request();
        edit(&mut request);
        request
    };
    let now = ca.gitlab.claims()["iat"].as_u64().expect("a number");
    let signature = "The signature supplied in the request could not be verified";
    let unparsable = "The public key supplied in the request could not be parsed";
    let malformed = "The request could not be parsed";
    let table: Vec<(Value, &str, Reason)> = vec![
        (with_token(String::new()), IDENTITY_TOKEN, Reason::TokenMissing),
        (with_token("abc".into()), IDENTITY_TOKEN, Reason::TokenMalformed),
        (with_token(".".repeat(100_000)), IDENTITY_TOKEN, Reason::TokenTooLarge),
        (
            with_token(claims(&|c| c["iss"] = json!("https://gitlab.example"))),
            IDENTITY_TOKEN,
            Reason::TokenIssuerUnknown,
        ),
        (with_token(claims(&|c| c["aud"] = json!("vault"))), IDENTITY_TOKEN, Reason::TokenAudienceMismatch),
        (with_token(claims(&|c| c["exp"] = json!(now - 3600))), IDENTITY_TOKEN, Reason::TokenExpired),
        (with_token(claims(&|c| c["project_path"] = json!(null))), IDENTITY_TOKEN, Reason::ClaimMissing),
        (with_token(claims(&|c| c["ref_type"] = json!("odd"))), IDENTITY_TOKEN, Reason::RefTypeUnknown),
        (
            with(&|r| r["publicKeyRequest"]["proofOfPossession"] = json!(TestKey::new().proof("x"))),
            signature,
            Reason::ProofInvalid,
        ),
        (
            with(&|r| r["publicKeyRequest"]["proofOfPossession"] = json!(null)),
            signature,
            Reason::ProofInvalid,
        ),
        (
            with(&|r| r["publicKeyRequest"]["publicKey"]["content"] = json!("abc")),
            unparsable,
            Reason::KeyUnparsable,
        ),
        (with(&|r| r["publicKeyRequest"] = json!(null)), unparsable, Reason::KeyMissing),
        (
            with(&|r| *r = json!({"credentials": r["credentials"], "certificateSigningRequest": "YWJj"})),
            "The certificate signing request could not be parsed",
            Reason::CsrUnparsable,
        ),
        (with(&|r| r["certificateSigningRequest"] = json!("YWJj")), malformed, Reason::RequestMalformed),
        (
            with(&|r| r["publicKeyRequest"]["publicKey"]["content"] = json!(7)),
            malformed,
            Reason::RequestMalformed,
        ),
        (
            with(&|r| r["publicKeyRequest"]["proofOfPossession"] = json!("!!!!")),
            malformed,
            Reason::RequestMalformed,
        ),
        (json!(null), malformed, Reason::RequestMalformed),
        (json!(7), malformed, Reason::RequestMalformed),
        // The token is judged before the key.
        (json!({"credentials": {"oidcIdentityToken": "abc"}}), IDENTITY_TOKEN, Reason::TokenMalformed),
    ];
    for (request, message, reason) in table {
        assert_refused(&ca.sign(&request).await, 400, 3, message, reason);
    }
    let bearer = format!("Bearer {}", ca.token());
    for (body, message, reason) in [
        ("", unparsable, Reason::KeyMissing),
        ("{", malformed, Reason::RequestMalformed),
        ("{} x", malformed, Reason::RequestMalformed),
    ] {
        let refused = Answer::of(ca.signing().header("authorization", &bearer).body(body)).await;
        assert_refused(&refused, 400, 3, message, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_at_fault_is_named_with_its_rule() {
    let ca = TestCa::start().await;
    let mut claims = ca.gitlab.claims();
    claims["project_path"] = json!(7);
    let mut request = TestKey::new().request(&ca.challenge());
    request["credentials"] = json!({ "oidcIdentityToken": ca.gitlab.token(&claims) });
    let refused = ca.sign(&request).await;
    assert_refused(&refused, 400, 3, IDENTITY_TOKEN, Reason::ClaimWrongType);
    let metadata = &refused.json()["details"][0]["metadata"];
    assert_eq!(metadata["claim"], "project_path");
    assert!(metadata["help"].as_str().is_some_and(|help| !help.is_empty()));
    claims["iss"] = json!("https://gitlab.example");
    request["credentials"] = json!({ "oidcIdentityToken": ca.gitlab.token(&claims) });
    let refused = ca.sign(&request).await;
    assert_refused(&refused, 400, 3, IDENTITY_TOKEN, Reason::TokenIssuerUnknown);
    assert_eq!(refused.json()["details"][0]["metadata"]["claim"], "iss");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_is_503_with_a_time_to_wait() {
    let ca = TestCa::builder().prepare().await;
    let token = ca.gitlab.token(&ca.gitlab.claims());
    let challenge = ca.gitlab.claims()["sub"].as_str().expect("text").to_owned();
    let other = countersign::demo::gitlab::Gitlab::start(ca.clock.clone()).await.expect("a GitLab");
    let mut ca = ca;
    // The old one is dropped here, and with it its listener.
    drop(std::mem::replace(&mut ca.gitlab, other));
    let ca = ca.start().await;
    let mut request = TestKey::new().request(&challenge);
    request["credentials"] = json!({ "oidcIdentityToken": token });
    let refused = ca.sign(&request).await;
    assert_refused(
        &refused,
        503,
        14,
        "The identity token's issuer cannot be reached",
        Reason::IssuerUnavailable,
    );
    let seconds: u64 = refused.header("retry-after").parse().expect("whole seconds");
    assert!((1..=60).contains(&seconds));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_methods_are_501_and_wrong_paths_404_in_json() {
    let ca = TestCa::start().await;
    let ask = async |method: Method, path: &str| Answer::of(ca.http.request(method, ca.url(path))).await;
    for (method, path) in [
        (Method::PUT, "/api/v2/signingCert"),
        (Method::GET, "/api/v2/signingCert"),
        (Method::DELETE, "/api/v2/signingCert"),
        (Method::PATCH, "/api/v2/signingCert"),
        (Method::OPTIONS, "/api/v2/signingCert"),
        (Method::POST, "/api/v2/trustBundle"),
        (Method::POST, "/api/v2/configuration"),
        (Method::POST, "/healthz"),
        (Method::POST, "/ct/checkpoint"),
        (Method::POST, "/ct/ct/v1/get-sth"),
    ] {
        assert_refused(&ask(method, path).await, 501, 12, "Method Not Allowed", Reason::MethodNotAllowed);
    }
    let http2 = Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    for http in [&ca.http, &http2] {
        for (path, status) in
            [("/api/v2/signingCert", 501), ("/api/v2/trustBundle", 501), ("/healthz", 501), ("/nothing", 404)]
        {
            let head = Answer::of(http.request(Method::HEAD, ca.url(path))).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (status, 0), "{path}");
        }
    }
    for path in [
        "/",
        "/nothing",
        "/api/v2/signingCert/",
        "/api/v2",
        "/healthz/",
        "/api//v2/signingCert",
        "/API/v2/trustBundle",
        "/ct/",
        "/ct",
        "/metrics",
    ] {
        assert_refused(&ask(Method::GET, path).await, 404, 5, "Not Found", Reason::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_slash_in_front_is_taken_for_one() {
    let ca = TestCa::start().await;
    let body = ca.signing_request().to_string();
    Answer::of(ca.http.post(ca.url("//api/v2/signingCert")).body(body)).await.certificates();
    assert_eq!(ca.get("//healthz").await.status, 200);
    assert_eq!(ca.get("/ct//checkpoint").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_origin_may_ask() {
    let ca = TestCa::start().await;
    let origin = "https://app.example";
    let answer =
        Answer::of(ca.signing().header("origin", origin).body(ca.signing_request().to_string())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let refused = Answer::of(ca.signing().header("origin", origin).body("7")).await;
    assert_eq!(refused.header("access-control-allow-origin"), "*", "errors can be read too");
    assert_eq!(ca.get("/healthz").await.header("access-control-allow-origin"), "");

    let preflight = ca
        .http
        .request(Method::OPTIONS, ca.url("/api/v2/signingCert"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let preflight = Answer::of(preflight).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert!(preflight.header("access-control-allow-methods").contains("POST"));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_above_4_mib_are_413_in_json() {
    let ca = TestCa::start().await;
    let padded = |length: usize| {
        let mut request = ca.signing_request();
        request["padding"] = json!("");
        let room = length - request.to_string().len();
        request["padding"] = json!("x".repeat(room));
        request.to_string()
    };
    let most = 4 * 1024 * 1024;
    Answer::of(ca.signing().body(padded(most))).await.certificates();
    for length in [most + 1, 3 * most] {
        let refused = Answer::of(ca.signing().body(padded(length))).await;
        assert_refused(&refused, 413, 3, "The request is too large", Reason::RequestTooLarge);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_64_kib_passes_in_a_header_over_http_1_and_2() {
    let ca = TestCa::start().await;
    let mut claims = ca.gitlab.claims();
    let token_of = |claims: &Value, groups: usize| {
        let mut claims = claims.clone();
        claims["groups_direct"] = json!((0..groups).map(|n| format!("group-{n:032}")).collect::<Vec<_>>());
        ca.gitlab.token(&claims)
    };
    // 41 octets each in the payload, a third more in base64.
    let token = token_of(&claims, 1_120);
    assert!((60_000..65_536).contains(&token.len()), "{}", token.len());
    let http2 = Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    for http in [client(), http2] {
        let ask = async |token: &str| {
            let request = http.post(ca.url("/api/v2/signingCert")).bearer_auth(token);
            request.body(TestKey::new().request(&ca.challenge()).to_string()).send().await
        };
        Answer::read(ask(&token).await.expect("an answer")).await.certificates();
        let larger = Answer::read(ask(&"x".repeat(66_000)).await.expect("an answer")).await;
        assert_refused(&larger, 400, 3, IDENTITY_TOKEN, Reason::TokenTooLarge);
        // Beyond what hyper reads of a head there is no JSON, but the server is still there.
        if let Ok(answer) = ask(&"x".repeat(300_000)).await {
            assert_eq!(answer.status(), 431);
        }
    }
    claims["groups_direct"] = json!([]);
    assert_eq!(ca.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_request_id_is_taken_when_it_is_fit_for_a_log() {
    let ca = TestCa::start().await;
    let ask = async |id: &str| Answer::of(ca.http.get(ca.url("/nothing")).header("x-request-id", id)).await;
    let answer = ask("job-302.retry_1").await;
    assert_refused(&answer, 404, 5, "Not Found", Reason::NotFound);
    assert_eq!(answer.header("x-request-id"), "job-302.retry_1");
    for odd in ["", "two words", "a=b", "\"", &"x".repeat(65)] {
        let id = ask(odd).await.header("x-request-id").to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{odd}: {id}");
    }
    let ids: HashSet<String> =
        [ask("").await, ask("").await].iter().map(|a| a.header("x-request-id").to_owned()).collect();
    assert_eq!(ids.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_shows_unpopulated_fields() {
    let ca = TestCa::start().await;
    let expected = json!({ "issuers": [{
        "issuerUrl": ca.gitlab.url(),
        "audience": "sigstore",
        "challengeClaim": "sub",
        "spiffeTrustDomain": "",
        "issuerType": "gitlab-pipeline",
        "subjectDomain": "",
        "skipEmailVerification": false,
    }]});
    assert_eq!(ca.get("/api/v2/configuration").await.json(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_the_truth_about_the_chain() {
    let ca = TestCa::start().await;
    let health = ca.get("/healthz").await;
    assert_eq!((health.status.as_u16(), health.text()), (200, r#"{"status":"SERVING"}"#));
    let ready = async || Answer::of(ca.http.get(ca.admin_url("/readyz"))).await;
    assert_eq!(ready().await.status, 200);
    assert_eq!(Answer::of(ca.http.get(ca.admin_url("/livez"))).await.status, 200);

    // The issuing certificate lives for five years.
    ca.clock.advance(Duration::from_secs(6 * 365 * 86_400));
    let health = ca.get("/healthz").await;
    assert_eq!((health.status.as_u16(), health.text()), (503, r#"{"status":"NOT_SERVING"}"#));
    let ready = ready().await;
    assert_eq!(ready.status, 503);
    assert!(!ready.json()["reason"].as_str().expect("a reason").is_empty());
    let refused = ca.sign(&ca.signing_request()).await;
    assert_eq!((refused.status.as_u16(), refused.reason()), (503, "CA_UNAVAILABLE".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_token_is_in_any_answer() {
    let ca = TestCa::start().await;
    let mut claims = ca.gitlab.claims();
    claims["user_login"] = json!("SECRETLOGIN");
    claims["aud"] = json!("SECRETAUDIENCE");
    let token = ca.gitlab.token(&claims);
    let segments: Vec<String> = token.split('.').skip(1).map(str::to_owned).collect();
    let bodies = [
        json!({"credentials": {"oidcIdentityToken": token}}),
        json!({"credentials": token}),
        json!({"credentials": {"oidcIdentityToken": [token]}}),
        json!(token),
        json!({"certificateSigningRequest": token, "credentials": {"oidcIdentityToken": token}}),
        json!({"publicKeyRequest": {"publicKey": {"content": token}}, "credentials": {"oidcIdentityToken": token}}),
        json!({ &token: 1, "credentials": {"oidcIdentityToken": format!("{token}x")}}),
    ];
    for body in bodies {
        let answer = ca.sign(&body).await;
        assert!(answer.status.is_client_error(), "{}", answer.text());
        let seen = format!("{:?}{}", answer.headers, answer.text());
        for secret in segments.iter().map(String::as_str).chain(["SECRETLOGIN", "SECRETAUDIENCE"]) {
            assert!(!seen.contains(secret), "{seen}");
        }
    }
}
