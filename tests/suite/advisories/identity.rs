//! Attacks on who somebody is: issuers that look like another, patterns that admit too much, names that look like another,
//! addresses that nobody verified.

use super::{PEOPLE, Target, assert_refused};
use crate::oidc::web::{Reply, Web};
use crate::support::key::TestKey;
use countersign::certificate::inspect::{AlternativeName, Inspected};
use countersign::identity::gitlab::GitlabRules;
use countersign::identity::{Entry, IssuerPattern, Issuers, KeySource};
use serde_json::{Value, json};
use std::sync::Arc;

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn with(target: &Target, changes: Value) -> Value {
    let mut claims = target.ca.gitlab.claims();
    claims.as_object_mut().expect("claims").extend(changes.as_object().expect("changes").clone());
    claims
}

/// Server-side requests through `iss`: nobody is asked who is not on the list, to the octet.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_only_looks_like_one_of_ours_is_asked_for_nothing() {
    let target = Target::start().await;
    let web = Web::plain().await;
    let url = target.ca.gitlab.url();
    let port = url.rsplit_once(':').expect("a port").1;
    let evil = format!("http://127.0.0.1:{}", web.port);
    let document = json!({ "issuer": evil, "jwks_uri": format!("{evil}/keys") });
    web.reply(DISCOVERY, Reply::json(&document));
    web.reply("/keys", Reply::json(&target.signer.key_set()));
    for iss in [
        format!("{url}/"),
        format!("{url}//"),
        format!("{url}/."),
        format!("{url}?"),
        format!("{url}#"),
        format!("{url}\0"),
        format!(" {url}"),
        format!("{url}\n"),
        url.to_uppercase(),
        url.replace("http", "https"),
        url.replace("127.0.0.1", "localhost"),
        url.replace("127.0.0.1", "127.1"),
        url.replace("127.0.0.1", "2130706433"),
        url.replace("127.0.0.1", "0x7f.1"),
        url.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        url.replace("127.0.0.1", "%3127.0.0.1"),
        url.replace("127.0.0.1", "\u{ff11}27.0.0.1"),
        url.replace("127.0.0.1", "127\u{3002}0\u{3002}0\u{3002}1"),
        url.replace("127.0.0.1", "ada@127.0.0.1"),
        format!("http://127.0.0.1:{port}@127.0.0.1:{}", web.port),
        format!("http://127.0.0.1:{}/{url}", web.port),
        format!("http://127.0.0.1:{}\\@127.0.0.1:{port}", web.port),
        format!("http://127.0.0.1:0{port}"),
        evil.clone(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1:11211/_stats".to_owned(),
        "https://xn--gitlb-9na.com".to_owned(),
        "https://gitl\u{430}b.com".to_owned(),
        format!("{PEOPLE}."),
        PEOPLE.replace("people", "PEOPLE"),
        "a".repeat(2049),
    ] {
        let header = json!({ "alg": "RS256", "kid": "rsa" });
        let token = target.signer.token(&header, with(&target, json!({ "iss": iss })).to_string().as_bytes());
        assert_refused(&iss, &target.token(&token).await, "TOKEN_ISSUER_UNKNOWN");
    }
    assert!(web.seen().is_empty(), "{:?}", web.seen());
    assert_eq!(target.ca.gitlab.fetches(), 0);
    target.stands().await;
}

/// CVE-2026-22772 (Fulcio): a pattern that is matched anywhere in the text lets the CA ask anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_admits_what_it_says_and_nothing_around_it() {
    let pattern = |keys: Arc<KeySource>| {
        let kind = GitlabRules::default().into();
        let entry = Entry { audience: "sigstore".into(), allow_multiple_audiences: false, kind };
        let pattern = "https://*.ci.example.com/id/*";
        Issuers::new(vec![], vec![IssuerPattern::parse(pattern, vec![entry], keys).expect("a pattern")])
    };
    let target = Target::trusting(pattern).await;
    let token = |iss: &str| {
        let host = target.ca.gitlab.url().trim_start_matches("http://");
        let instance = iss.split_once("://").map_or(iss, |(_, rest)| rest);
        let config = format!("{instance}/my-group/my-project//.gitlab-ci.yml@refs/heads/main");
        assert!(!config.contains(host));
        let claims = with(&target, json!({ "iss": iss, "ci_config_ref_uri": config }));
        target.signer.token(&json!({ "alg": "RS256", "kid": "rsa" }), claims.to_string().as_bytes())
    };
    for iss in [
        "https://evil.example/https://a.ci.example.com/id/b",
        "https://evil.example/?https://a.ci.example.com/id/b",
        "https://evil.example#.ci.example.com/id/b",
        "https://a.ci.example.com.evil.example/id/b",
        "https://evil.example/.ci.example.com/id/b",
        "https://evil.example\\.ci.example.com/id/b",
        "https://evil.example%2f.ci.example.com/id/b",
        "https://evil.example:443@a.ci.example.com/id/b",
        "https://a@b.ci.example.com/id/b",
        "https://a.b.ci.example.com/id/b",
        "https://.ci.example.com/id/b",
        "https://ci.example.com/id/b",
        "https://a.ciXexample.com/id/b",
        "https://a.ci.example.com/id/b/c",
        "https://a.ci.example.com/id/",
        "https://a.ci.example.com/id/..",
        "https://a.ci.example.com/id/%2e%2e",
        "https://a.ci.example.com/id/b?c",
        "https://a.ci.example.com/id/b#c",
        "https://a.ci.example.com:8443/id/b",
        "https://a.ci.example.com//id/b",
        "http://a.ci.example.com/id/b",
        "HTTPS://a.ci.example.com/id/b",
        "https://a.CI.example.com/id/b",
        "https://\u{430}.ci.example.com/id/b",
        "https://a.ci.example.com/id/b\nx",
        "https://*.ci.example.com/id/*",
    ] {
        assert_refused(iss, &target.token(&token(iss)).await, "TOKEN_ISSUER_UNKNOWN");
    }
    assert_eq!(target.entries().await, 0);
    target.token(&token("https://a.ci.example.com/id/b")).await.certificates();
    assert_eq!(target.entries().await, 1);
}

/// GHSA-f5mr-q85p-6hh6 (Fulcio): a redirect to another host, followed while fetching keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_host_is_not_followed_for_keys() {
    use crate::oidc::callers::{Faulty, url_of};
    let (web, inside) = (Web::plain().await, Web::plain().await);
    for (path, location) in [
        (DISCOVERY, format!("{}{DISCOVERY}", url_of(inside.port))),
        ("/keys", format!("{}/keys", url_of(inside.port))),
        (DISCOVERY, "http://169.254.169.254/latest/meta-data".to_owned()),
        (DISCOVERY, "file:///etc/passwd".to_owned()),
    ] {
        let faulty = Faulty::with(&[&web]).await;
        inside.reply("/keys", Reply::json(&faulty.ca.gitlab.key_set()));
        web.reply(path, Reply::redirect(&location));
        let answer = faulty.ask().await;
        assert_eq!((answer.status.as_u16(), &*answer.reason()), (503, "ISSUER_UNAVAILABLE"), "{location}");
        assert_eq!(faulty.issued().await, 0);
    }
    assert!(inside.seen().is_empty(), "{:?}", inside.seen());
}

/// Unicode look-alikes, invisible and bidirectional characters, and what a URL would read otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_only_looks_like_another_gets_no_certificate() {
    let target = Target::start().await;
    let host = target.ca.gitlab.url().trim_start_matches("http://").to_owned();
    for path in [
        "my-group/m\u{443}-project",
        "my-group/my-project\u{200b}",
        "my-group/\u{202e}tcejorp-ym",
        "my-group/my\u{2010}project",
        "my-group\u{2044}my-project",
        "my-group/my-proj\u{e9}ct",
        "my-group/my-proje\u{301}ct",
        "\u{ff4d}y-group/my-project",
        "my-group/../my-group/my-project",
        "my-group/./my-project",
        "my-group//my-project",
        "/my-group/my-project",
        "my-group/my-project/",
        "my-group/my-project?x",
        "my-group/my-project#x",
        "my-group/my%2dproject",
        "my-group/my-project@refs",
        "my-group\\my-project",
        "my-group/my project",
    ] {
        let claims = with(
            &target,
            json!({ "project_path": path, "job_project_path": path,
            "ci_config_ref_uri": format!("{host}/{path}//.gitlab-ci.yml@refs/heads/main") }),
        );
        assert_refused(path, &target.token(&target.ca.gitlab.token(&claims)).await, "CLAIM_INVALID");
    }
    for (claim, value, reason) in [
        ("project_path", "my-group/my-project\0", "CLAIM_CONTROL_CHARACTER"),
        ("project_path", "my-group/my-project\r\nx", "CLAIM_CONTROL_CHARACTER"),
        ("environment", "production\u{85}", "CLAIM_CONTROL_CHARACTER"),
        ("sub", "a\u{7f}", "CLAIM_CONTROL_CHARACTER"),
        ("ref", "main~1", "CLAIM_INVALID"),
        ("project_id", "20 ", "CLAIM_INVALID"),
        ("project_id", "\u{661}", "CLAIM_INVALID"),
    ] {
        let token = target.ca.gitlab.token(&with(&target, json!({ claim: value })));
        assert_refused(value, &target.token(&token).await, reason);
    }
    target.stands().await;
}

/// A branch may have any of these names. None of them may read as another subject: not `main`, not another path, not a fragment.
#[tokio::test(flavor = "multi_thread")]
async fn a_ref_with_odd_characters_is_its_own_subject() {
    let target = Target::start().await;
    let host = target.ca.gitlab.url().trim_start_matches("http://").to_owned();
    let mut subjects = Vec::new();
    for name in [
        "m\u{430}in",
        "main\u{200b}",
        "\u{202e}niam",
        "main#x",
        "main%23x",
        "caf\u{e9}",
        "cafe\u{301}",
        "main&x=<y>",
    ] {
        let path = format!("refs/heads/{name}");
        let claims = with(
            &target,
            json!({ "ref": name, "ref_path": path,
            "ci_config_ref_uri": format!("{host}/my-group/my-project//.gitlab-ci.yml@{path}") }),
        );
        let chain = target.token(&target.ca.gitlab.token(&claims)).await.certificates();
        let leaf = Inspected::parse(chain[0].as_bytes()).expect("a leaf");
        let [AlternativeName::Uri(subject)] = leaf.names() else { panic!("one SAN") };
        let subject = subject.clone();
        assert!(subject.is_ascii() && !subject.contains(['#', '<', '>']), "{subject}");
        assert!(!subject.ends_with("@refs/heads/main"), "{subject}");
        subjects.push(subject);
    }
    let count = subjects.len();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), count, "every name is a subject of its own");
    for name in ["x@refs/heads/main", "main@refs/tags/v1"] {
        let path = format!("refs/heads/{name}");
        let claims = with(
            &target,
            json!({ "ref": name, "ref_path": path,
            "ci_config_ref_uri": format!("{host}/my-group/my-project//.gitlab-ci.yml@{path}") }),
        );
        assert_refused(name, &target.token(&target.ca.gitlab.token(&claims)).await, "CONFIG_URI_AMBIGUOUS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_counts_when_its_issuer_says_that_it_was_verified() {
    let target = Target::start().await;
    let sign = async |email: Value, verified: Value| {
        let claims = json!({ "iss": PEOPLE, "aud": "sigstore", "sub": "1", "email": email,
            "email_verified": verified, "exp": 4_000_000_000u64 });
        let token =
            target.signer.token(&json!({ "alg": "RS256", "kid": "rsa" }), claims.to_string().as_bytes());
        let challenge = email.as_str().unwrap_or_default();
        let mut request = TestKey::new().request(challenge);
        request["credentials"] = json!({ "oidcIdentityToken": token });
        target.ca.sign(&request).await
    };
    let ada = || json!("ada@people.example");
    for verified in [
        json!(false),
        json!("false"),
        json!("TRUE"),
        json!("yes"),
        json!(1),
        json!("1"),
        json!(null),
        json!("true "),
        json!(["true"]),
        json!({}),
    ] {
        let answer = sign(ada(), verified.clone()).await;
        let reason = answer.reason();
        assert!(reason.starts_with("CLAIM_"), "{verified}: {}", answer.text());
        assert_refused("email_verified", &answer, &reason);
    }
    for email in [
        "ada@people.example\0",
        "Ada <ada@people.example>",
        "ada@people.example,eve@evil.example",
        "\u{430}da@people.example",
        "ada@people.example\n",
        "ada",
        "@people.example",
        "ada@",
        " ada@people.example",
    ] {
        let answer = sign(json!(email), json!(true)).await;
        let reason = answer.reason();
        assert!(reason.starts_with("CLAIM_"), "{email}: {}", answer.text());
        assert_refused(email, &answer, &reason);
    }
    assert_eq!(target.entries().await, 0);
    // "True" is how Python's issuers write it.
    for verified in [json!(true), json!("true"), json!("True")] {
        sign(ada(), verified).await.certificates();
    }
}
