//! Issuers that answer wrongly, and what the CA makes of each answer.

use super::web::{Reply, Web};
use super::{Case, DISCOVERY, keys};
use countersign::oidc::{Step, fetch_keys};
use countersign::refusal::Reason;
use serde_json::json;

#[tokio::test]
async fn every_fault_of_an_issuer_is_named() {
    let target = Web::plain().await;
    target.reply("/keys", keys(&["k1"]));
    target.reply(DISCOVERY, keys(&["k1"]));
    let elsewhere = format!("http://127.0.0.1:{}", target.port);
    let url = "{url}";
    let document =
        |issuer: &str, jwks_uri: &str| Reply::json(&json!({ "issuer": issuer, "jwks_uri": jwks_uri }));
    let huge = Reply::Whole(200, vec![], vec![b' '; 257 * 1024]);
    let many: Vec<_> = (0..65).map(|n| format!("k{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let text = |body: &str| Reply::Whole(200, vec![], body.into());
    for (path, reply, step, word) in [
        (DISCOVERY, Reply::status(500), Step::Discovery, "status 500"),
        (DISCOVERY, Reply::status(404), Step::Discovery, "status 404"),
        (DISCOVERY, Reply::status(204), Step::Discovery, "status 204"),
        (DISCOVERY, Reply::HangUp, Step::Discovery, "connection"),
        (DISCOVERY, huge.clone(), Step::Discovery, "more than 256 KiB"),
        (DISCOVERY, text("<html>"), Step::Discovery, "not valid JSON"),
        (DISCOVERY, text(""), Step::Discovery, "not valid JSON"),
        (DISCOVERY, text("[]"), Step::Discovery, "not a JSON object"),
        (DISCOVERY, text(r#"{"issuer":"a","issuer":"b"}"#), Step::Discovery, "twice"),
        (DISCOVERY, text("{}"), Step::Discovery, "no `issuer`"),
        (DISCOVERY, Reply::json(&json!({ "issuer": url })), Step::Discovery, "no `jwks_uri`"),
        (DISCOVERY, Reply::json(&json!({ "issuer": url, "jwks_uri": 7 })), Step::Discovery, "not a string"),
        (DISCOVERY, document("https://other.example", "{url}/keys"), Step::Discovery, "must be"),
        (DISCOVERY, document("{url}/", "{url}/keys"), Step::Discovery, "must be"),
        (DISCOVERY, document(url, "file:///etc/passwd"), Step::Discovery, "scheme"),
        (DISCOVERY, document(url, "keys"), Step::Discovery, "not a URL"),
        (DISCOVERY, Reply::redirect(&format!("{elsewhere}{DISCOVERY}")), Step::Discovery, "redirect"),
        (
            DISCOVERY,
            Reply::redirect(&format!("https://127.0.0.1:{}/x", target.port)),
            Step::Discovery,
            "redirect",
        ),
        (DISCOVERY, Reply::redirect(DISCOVERY), Step::Discovery, "redirects"),
        ("/keys", Reply::status(500), Step::KeySet, "status 500"),
        ("/keys", huge, Step::KeySet, "more than 256 KiB"),
        ("/keys", text("garbage"), Step::KeySet, "not valid JSON"),
        ("/keys", text("{}"), Step::KeySet, "no array"),
        ("/keys", keys(&[]), Step::KeySet, "none"),
        ("/keys", keys(&many), Step::KeySet, "65 keys"),
        ("/keys", Reply::redirect(&format!("{elsewhere}/keys")), Step::KeySet, "redirect"),
    ] {
        let case = Case::new().await;
        let reply = match reply {
            Reply::Whole(status, headers, body) => {
                let body = String::from_utf8(body).expect("text").replace("{url}", &case.issuer.url);
                Reply::Whole(status, headers, body.into())
            }
            other => other,
        };
        case.web.reply(path, reply);
        let error = fetch_keys(&case.issuer.url, None).await.expect_err(word);
        assert_eq!(error.step(), step, "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
        let refusal = case.ask("k1").await.expect_err(word);
        assert_eq!(refusal.reason(), Reason::IssuerUnavailable);
        assert!(!refusal.to_string().contains("127.0.0.1"), "{refusal}");
    }
    assert!(target.seen().is_empty(), "a redirect was followed: {:?}", target.seen());
}

#[tokio::test]
async fn a_chunked_body_without_a_length_is_capped_as_well() {
    let case = Case::new().await;
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));
    let body = format!("{}0\r\n\r\n", chunk.repeat(5));
    let head = "transfer-encoding: chunked".to_owned();
    case.web.reply(DISCOVERY, Reply::Chunked(head, body.into()));
    let error = fetch_keys(&case.issuer.url, None).await.expect_err("too large");
    assert!(error.to_string().contains("more than 256 KiB"), "{error}");
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_named_with_its_cause() {
    let gone = {
        let web = Web::plain().await;
        format!("http://127.0.0.1:{}", web.port)
    };
    tokio::task::yield_now().await;
    let error = fetch_keys(&gone, None).await.expect_err("nobody listens");
    assert_eq!(error.step(), Step::Discovery);
    assert!(error.to_string().contains(&gone), "{error}");
}

#[tokio::test]
async fn redirects_on_the_same_host_are_followed() {
    let case = Case::new().await;
    let document = json!({ "issuer": case.issuer.url, "jwks_uri": format!("{}/keys", case.issuer.url) });
    case.web.reply(DISCOVERY, Reply::redirect("/moved"));
    case.web.reply("/moved", Reply::json(&document));
    assert_eq!(case.has("k1").await, Ok(true));
    assert_eq!(case.web.seen(), [DISCOVERY, "/moved", "/keys"]);
}

#[tokio::test]
async fn the_key_set_may_be_on_another_host() {
    let case = Case::new().await;
    let target = Web::plain().await;
    target.reply("/keys", keys(&["k7"]));
    let jwks_uri = format!("http://127.0.0.1:{}/keys", target.port);
    case.web.reply(DISCOVERY, Reply::json(&json!({ "issuer": case.issuer.url, "jwks_uri": jwks_uri })));
    assert_eq!(case.has("k7").await, Ok(true));
}

#[tokio::test]
async fn a_trailing_slash_belongs_to_the_issuer_and_never_doubles() {
    let case = Case::new().await;
    let url = format!("{}/bucket/", case.issuer.url);
    let document = json!({ "issuer": url, "jwks_uri": format!("{}/keys", case.issuer.url) });
    case.web.reply(&format!("/bucket{DISCOVERY}"), Reply::json(&document));
    assert!(fetch_keys(&url, None).await.is_ok());
    assert_eq!(case.web.seen(), [format!("/bucket{DISCOVERY}"), "/keys".to_owned()]);
    let error = fetch_keys(url.trim_end_matches('/'), None).await.expect_err("another issuer to the byte");
    assert!(error.to_string().contains("must be"), "{error}");
}
