//! Whom the CA trusts over TLS, and which proxy it goes through, when it fetches keys.

use super::web::{Reply, TestCa, Web};
use super::{Case, DISCOVERY, clock, issuer, keys};
use countersign::issuance::IssuerKeys;
use countersign::oidc::{JwksCache, Step, fetch_keys};
use serde_json::json;
use std::process::{Command, ExitStatus};

#[tokio::test]
async fn an_own_ca_is_trusted_where_it_is_configured_and_nowhere_else() {
    let ca = TestCa::new();
    let web = Web::tls(&ca).await;
    let url = format!("https://127.0.0.1:{}", web.port);
    web.reply(DISCOVERY, Reply::json(&json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })));
    web.reply("/keys", keys(&["k1"]));
    assert!(fetch_keys(&url, Some(ca.pem.as_bytes())).await.is_ok());
    let cache = JwksCache::new(clock()).expect("an HTTP client");
    assert!(cache.keys(&issuer(&url, Some(&ca.pem)), Some("k1")).await.is_ok());

    let other = TestCa::new();
    for untrusting in [None, Some(other.pem.as_str())] {
        let error = fetch_keys(&url, untrusting.map(str::as_bytes)).await.expect_err("not trusted");
        assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
        assert!(cache.keys(&issuer(&url, untrusting), None).await.is_err(), "trust is not shared");
    }
    let error = fetch_keys(&url, Some(b"no PEM")).await.expect_err("no certificate");
    assert_eq!(error.step(), Step::Client);

    web.reply(DISCOVERY, Reply::json(&json!({ "issuer": url, "jwks_uri": "http://127.0.0.1:1/keys" })));
    let error = fetch_keys(&url, Some(ca.pem.as_bytes())).await.expect_err("less protected than its issuer");
    assert!(error.to_string().contains("plain http"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_where_it_is_configured_for_what_it_states() {
    for (names, year, trusted) in [
        (&["127.0.0.1"][..], 2400, None),
        (&["gitlab.invalid"], 2400, Some("not valid for name")),
        (&["127.0.0.1"], 2002, Some("expired")),
    ] {
        let certificate = TestCa::self_signed(names, year);
        let web = Web::tls(&certificate).await;
        let url = format!("https://127.0.0.1:{}", web.port);
        web.reply(DISCOVERY, Reply::json(&json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })));
        web.reply("/keys", keys(&["k1"]));
        let error =
            fetch_keys(&url, Some(certificate.pem.as_bytes())).await.err().map(|error| error.to_string());
        match trusted {
            None => assert_eq!(error, None),
            Some(word) => {
                assert!(error.as_ref().is_some_and(|error| error.contains(word)), "{word}: {error:?}")
            }
        }
        let another = TestCa::self_signed(names, year);
        assert!(fetch_keys(&url, Some(another.pem.as_bytes())).await.is_err());
        assert!(fetch_keys(&url, None).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_the_proxy_and_the_systems_roots() {
    let ca = TestCa::new();
    let proxy = Web::proxy(&ca).await;
    let url = "https://gitlab.invalid";
    proxy.reply(DISCOVERY, Reply::json(&json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })));
    proxy.reply("/keys", keys(&["k1"]));
    let directory = tempfile::tempdir().expect("a directory");
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, &ca.pem).expect("a file");
    let (proxy_url, roots) = (format!("http://127.0.0.1:{}", proxy.port), roots.display().to_string());

    let through = [("HTTPS_PROXY", proxy_url.as_str()), ("SSL_CERT_FILE", &roots), ("NO_PROXY", "127.0.0.1")];
    assert!(fetch_in_child(url, &through).await.success());
    assert_eq!(proxy.seen(), ["gitlab.invalid:443", DISCOVERY, "gitlab.invalid:443", "/keys"]);
    let around =
        [("HTTPS_PROXY", proxy_url.as_str()), ("SSL_CERT_FILE", &roots), ("NO_PROXY", "gitlab.invalid")];
    assert!(!fetch_in_child(url, &around).await.success());
    assert_eq!(proxy.seen().len(), 4);
    let other = TestCa::new();
    std::fs::write(&roots, &other.pem).expect("a file");
    assert!(!fetch_in_child(url, &through).await.success());

    let case = Case::new().await;
    let dead = [("HTTP_PROXY", "http://127.0.0.1:1"), ("http_proxy", "http://127.0.0.1:1")];
    assert!(fetch_in_child(&case.issuer.url, &dead).await.success(), "loopback is never proxied");
}

/// Runs [`child_that_fetches`] in a process of its own, since the environment belongs to a whole process.
async fn fetch_in_child(url: &str, environment: &[(&str, &str)]) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "oidc::trust::child_that_fetches", "--ignored"]);
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        child.env_remove(name);
    }
    child.envs(environment.iter().copied()).env("COUNTERSIGN_TEST_ISSUER", url);
    let output = tokio::task::spawn_blocking(move || child.output()).await.expect("a thread");
    output.expect("the child runs").status
}

#[tokio::test]
#[ignore = "run by the_environment_names_the_proxy_and_the_systems_roots"]
async fn child_that_fetches() {
    let Ok(url) = std::env::var("COUNTERSIGN_TEST_ISSUER") else { return };
    if let Err(error) = fetch_keys(&url, None).await {
        panic!("{error}");
    }
}
