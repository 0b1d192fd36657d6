//! Fulcio's first API in JSON, and the description of all of it.

use crate::support::key::{TestKey, csr};
use crate::support::{Answer, TestCa};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::api::error::presentation;
use countersign::refusal::Reason;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

async fn sign(ca: &TestCa, body: impl ToString, token: Option<&str>) -> Answer {
    let mut request = ca.http.post(ca.url("/api/v1/signingCert")).body(body.to_string());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Answer::of(request).await
}

fn request(ca: &TestCa, content: &[u8], key: &TestKey) -> Value {
    json!({
        "publicKey": { "algorithm": "ecdsa", "content": BASE64_STANDARD.encode(content) },
        "signedEmailAddress": key.proof(&ca.challenge()),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn pem_der_and_requests_are_answered_with_201_and_a_chain_in_pem() {
    let ca = TestCa::start().await;
    let (key, token) = (TestKey::new(), ca.token());
    let der = pem::parse(key.pem()).expect("PEM").into_contents();
    let mut odd = request(&ca, key.pem().as_bytes(), &key);
    odd["publicKey"]["algorithm"] = json!("whatever");
    odd["unknown"] = json!([1]);
    for body in [
        request(&ca, key.pem().as_bytes(), &key),
        request(&ca, &der, &key),
        odd,
        json!({ "certificateSigningRequest": csr() }),
        json!({ "certificateSigningRequest": csr(), "publicKey": { "content": "" } }),
    ] {
        let answer = sign(&ca, &body, Some(&token)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/pem-certificate-chain");
        assert_eq!(answer.header("vary"), "Origin");
        assert!(!answer.headers.contains_key("sct"), "the SCT is in the certificate");
        let chain: Vec<&str> = answer.text().split("\n-----BEGIN").collect();
        assert_eq!(chain.len(), 3);
        assert!(answer.text().starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert!(chain.iter().all(|pem| pem.ends_with("-----END CERTIFICATE-----")), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_cert_is_the_chain_with_an_empty_line_between() {
    let ca = TestCa::start().await;
    let answer = ca.get("/api/v1/rootCert").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/pem-certificate-chain")
    );
    let bundle = ca.get("/api/v2/trustBundle").await.json();
    let chain = bundle["chains"][0]["certificates"].as_array().expect("a chain").iter();
    let chain: Vec<&str> = chain.map(|pem| pem.as_str().expect("PEM").trim_end()).collect();
    assert_eq!(answer.text(), chain.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_the_references() {
    let ca = TestCa::start().await;
    let (key, token) = (TestKey::new(), ca.token());
    let good = request(&ca, key.pem().as_bytes(), &key);
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut request = good.clone();
        edit(&mut request);
        request.to_string()
    };
    let pkcs1 = BASE64_STANDARD.encode([0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x03]);
    let snake =
        json!({ "public_key": good["publicKey"], "signed_email_address": good["signedEmailAddress"] });
    for (body, token, reason) in [
        (good.to_string(), None, Reason::TokenMissing),
        (with(&|r| r["credentials"] = json!({ "oidcIdentityToken": token })), None, Reason::TokenMissing),
        (good.to_string(), Some("abc"), Reason::TokenMalformed),
        // Without any key the token is not looked at.
        (json!({ "signedEmailAddress": good["signedEmailAddress"] }).to_string(), None, Reason::KeyMissing),
        (String::new(), Some(&*token), Reason::KeyMissing),
        (snake.to_string(), Some(&*token), Reason::KeyMissing),
        (with(&|r| r["publicKey"] = json!({})), None, Reason::TokenMissing),
        (with(&|r| r["publicKey"] = json!({})), Some(&*token), Reason::KeyMissing),
        (with(&|r| r["publicKey"]["content"] = json!(pkcs1)), Some(&*token), Reason::KeyUnparsable),
        (with(&|r| r["publicKey"]["content"] = json!(key.pem())), Some(&*token), Reason::RequestMalformed),
        (
            with(&|r| r["signedEmailAddress"] = json!(TestKey::new().proof("x"))),
            Some(&*token),
            Reason::ProofInvalid,
        ),
        (json!({ "certificateSigningRequest": "eA==" }).to_string(), Some(&*token), Reason::CsrUnparsable),
    ] {
        let answer = sign(&ca, &body, token).await;
        let shown = presentation(reason);
        assert_eq!(answer.status, shown.status, "{body}");
        assert_eq!(answer.json()["message"], shown.message, "{body}");
        assert_eq!(answer.reason(), reason.code(), "{body}");
    }
    for path in ["/api/v1/signingCert", "/api/v1/rootCert"] {
        let answer = Answer::of(ca.http.put(ca.url(path))).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (501, "METHOD_NOT_ALLOWED".into()));
    }
}

/// `UPDATE_OPENAPI=1 cargo test openapi` writes the document anew; a change shows up in review.
#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_is_the_agreed_one() {
    let ca = TestCa::start().await;
    let answer = ca.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, answer.text()).expect("the file is written");
    }
    let agreed = std::fs::read_to_string(&file).expect("the file");
    assert!(answer.text() == agreed, "the document changed; UPDATE_OPENAPI=1 writes it anew");
}

/// The routes as the source spells them, since the router does not tell them.
fn routes() -> BTreeSet<String> {
    let source = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api").join(name);
        std::fs::read_to_string(path).expect("the source")
    };
    let sources =
        [source("mod.rs"), source("ct.rs"), source("rekor.rs"), source("timestamp.rs"), source("trust.rs")]
            .concat();
    let paths =
        sources.split(".route(").skip(1).map(|rest| rest.split('"').nth(1).expect("a path").to_owned());
    paths.map(|path| path.replace("{*", "{")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_has_every_route_and_no_other() {
    let ca = TestCa::start().await;
    let document = ca.get("/openapi.json").await.json();
    let described: BTreeSet<String> = document["paths"].as_object().expect("paths").keys().cloned().collect();
    assert_eq!(described, routes());
    assert!(described.len() >= 16);
    let methods = document["paths"].as_object().expect("paths").iter().flat_map(|(path, methods)| {
        methods.as_object().expect("methods").keys().map(move |method| (path, method))
    });
    for (path, method) in methods.filter(|(_, method)| *method != "parameters") {
        let url = ca.url(&path.replace("{path}", "0/000").replace("{fingerprint}", "00"));
        let method = method.to_uppercase().parse().expect("a method");
        let answer = Answer::of(ca.http.request(method, url)).await;
        assert_ne!(answer.status, 501, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_describes_every_refusal() {
    let ca = TestCa::start().await;
    let document = ca.get("/openapi.json").await.json();
    let info = &document["components"]["schemas"]["ErrorInfo"];
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(info["properties"]["reason"]["enum"], json!(reasons));
    // A refusal has the members that the document calls required, and none that it does not have.
    let refusal = sign(&ca, "", None).await.json();
    for (shape, value) in [
        (&document["components"]["schemas"]["Error"], &refusal),
        (info, &refusal["details"][0]),
        (&info["properties"]["metadata"], &refusal["details"][0]["metadata"]),
    ] {
        let members = value.as_object().expect("an object");
        assert!(
            shape["required"]
                .as_array()
                .expect("a list")
                .iter()
                .all(|name| { members.contains_key(name.as_str().expect("a name")) })
        );
        assert!(members.keys().all(|name| shape["properties"].get(name).is_some()), "{value}");
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().expect("text")) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
