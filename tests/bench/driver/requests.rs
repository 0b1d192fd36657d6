//! Requests made beforehand: real tokens of the make-believe GitLab, real keys with real proofs.

#[path = "../../suite/support/key.rs"]
#[allow(dead_code, reason = "of the suite's keys only these are needed here")]
mod key;

use countersign::demo::gitlab::Gitlab;
pub use key::TestKey;
use serde_json::{Value, json};
use std::sync::Arc;

/// A request as it goes over the wire, head and body.
pub type Wire = Arc<[u8]>;

/// So many different requests of a project; each is sent many times. The server remembers none of them.
pub const OF_A_PROJECT: usize = 32;

/// Requests for certificates by jobs of `project`.
pub fn of_project(gitlab: &Gitlab, project: &str) -> Arc<[Wire]> {
    let claims = claims(gitlab, project);
    let made = (0..OF_A_PROJECT).map(|_| signing(&claims, &gitlab.token(&claims)));
    made.collect()
}

/// The same with tokens that nobody signed: the signature is another token's.
pub fn forged(gitlab: &Gitlab, project: &str) -> Arc<[Wire]> {
    let claims = claims(gitlab, project);
    let foreign = gitlab.token(&gitlab.claims());
    let made = (0..OF_A_PROJECT).map(|_| {
        let token = gitlab.token(&claims);
        let (signed, _) = token.rsplit_once('.').expect("three segments");
        let (_, signature) = foreign.rsplit_once('.').expect("three segments");
        signing(&claims, &format!("{signed}.{signature}"))
    });
    made.collect()
}

/// So many requests by jobs of twenty projects, each with a token, a key and a proof of its own.
pub fn distinct(gitlab: &Gitlab, count: usize) -> Arc<[Wire]> {
    let made = (0..count).map(|number| {
        let mut claims = claims(gitlab, &format!("many/p{}", number % 20));
        claims["jti"] = json!(format!("0c6ab0f2-1f5e-4a6e-9d8e-{number:012x}"));
        claims["job_id"] = json!((302 + number).to_string());
        signing(&claims, &gitlab.token(&claims))
    });
    made.collect()
}

/// A GET.
pub fn get(path: &str) -> Arc<[Wire]> {
    gets([path])
}

/// Several.
pub fn gets<P: std::fmt::Display>(paths: impl IntoIterator<Item = P>) -> Arc<[Wire]> {
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: countersign\r\n\r\n").into_bytes().into();
    paths.into_iter().map(request).collect()
}

/// A request for a certificate for that key.
pub fn of_key(gitlab: &Gitlab, key: &TestKey) -> Wire {
    let claims = gitlab.claims();
    with_key(&claims, &gitlab.token(&claims), key)
}

/// A POST.
pub fn post(path: &str, content_type: &str, body: &[u8]) -> Wire {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: countersign\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}

/// What a token of a job of `project` says.
pub fn claims(gitlab: &Gitlab, project: &str) -> Value {
    let mut claims = gitlab.claims();
    let instance = gitlab.url().split_once("://").expect("a URL").1;
    claims["project_path"] = json!(project);
    claims["job_project_path"] = json!(project);
    claims["sub"] = json!(format!("project_path:{project}:ref_type:branch:ref:main"));
    claims["ci_config_ref_uri"] = json!(format!("{instance}/{project}//.gitlab-ci.yml@refs/heads/main"));
    claims
}

fn signing(claims: &Value, token: &str) -> Wire {
    with_key(claims, token, &TestKey::new())
}

fn with_key(claims: &Value, token: &str, key: &TestKey) -> Wire {
    let mut body = key.request(claims["sub"].as_str().expect("a string"));
    body["credentials"] = json!({ "oidcIdentityToken": token });
    post("/api/v2/signingCert", "application/json", body.to_string().as_bytes())
}
