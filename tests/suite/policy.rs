//! The operator's rules, from a request to its certificate or to its refusal.

use crate::support::grpc::{GrpcClient, info};
use crate::support::key::TestKey;
use crate::support::{Answer, TestCa, logs};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::certificate::inspect::Inspected;
use countersign::config::{Config, policy::read_file};
use countersign::identity::email::EmailRules;
use countersign::identity::gitlab::{GitlabRules, SubjectMode};
use countersign::identity::{Entry, EntryKind, Issuer, Issuers, KeySource};
use countersign::policy::Policy;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The rules of a file, for these issuers.
fn rules(yaml: &str, issuers: &Issuers) -> Policy {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("policy.yaml");
    fs::write(&file, yaml).expect("written");
    read_file(&file, issuers, Duration::from_secs(600)).unwrap_or_else(|errors| panic!("{errors}")).0
}

/// Puts these rules into a configuration.
pub(crate) fn put(yaml: &'static str) -> impl FnOnce(&mut Config) + 'static {
    move |config| config.policy = Arc::new(rules(yaml, &config.issuers))
}

async fn with(yaml: &'static str) -> TestCa {
    logs::collect();
    TestCa::builder().configure(put(yaml)).start().await
}

/// The usual job's claims, but for these.
fn claims(ca: &TestCa, changes: &Value) -> Value {
    let mut claims = ca.gitlab.claims();
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

fn request(ca: &TestCa, changes: &Value) -> Value {
    let claims = claims(ca, changes);
    let mut request = TestKey::new().request(claims["sub"].as_str().expect("a string"));
    request["credentials"] = json!({ "oidcIdentityToken": ca.gitlab.token(&claims) });
    request
}

/// A request with the CSR of a fixture in place of a key.
fn request_with_csr(ca: &TestCa, fixture: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/csr").join(fixture);
    let csr = BASE64_STANDARD.encode(fs::read(path).expect("a fixture"));
    json!({ "credentials": { "oidcIdentityToken": ca.token() }, "certificateSigningRequest": csr })
}

/// The one metadata of a refusal in JSON.
fn metadata(answer: &Answer) -> Value {
    answer.json()["details"][0]["metadata"].clone()
}

async fn metric(ca: &TestCa, rule: &str, decision: &str) -> Option<f64> {
    let text = ca.get_admin("/metrics").await.text().to_owned();
    let issuer = ca.gitlab.url();
    let line = format!(
        "countersign_policy_decisions_total{{decision=\"{decision}\",issuer=\"{issuer}\",rule=\"{rule}\"}} "
    );
    text.lines().find_map(|shown| shown.strip_prefix(&line)).map(|value| value.parse().expect("a number"))
}

const RULES: &str = r#"
rules:
  - name: no schedules
    when: claims.pipeline_source == "schedule"
    effect: deny
    message: Scheduled pipelines sign nothing.
  - name: main alone
    when: claims.ref != "main"
    effect: deny
    mode: warn
  - name: releases
    when: claims.project_path.startsWith("my-group/") && claims.ref_protected == "true"
    effect: allow
    message: Only protected refs of my-group/ may sign; protect the branch or tag.
  - name: production
    when: has(claims.environment) && claims.environment == "production" && has(claims.tier_5d0f) && claims.tier_5d0f == "gold"
    effect: allow
    message: Or deploy to production.
"#;
const NEITHER: &str =
    "Only protected refs of my-group/ may sign; protect the branch or tag. Or deploy to production.";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rule_that_holds_decides_and_none_is_no() {
    let ca = with(RULES).await;
    let unprotected = |more: Value| {
        let mut changes = json!({ "ref_protected": "false" });
        for (name, value) in more.as_object().expect("an object") {
            changes[name] = value.clone();
        }
        changes
    };
    let neither = Some(("releases, production", NEITHER));
    let unsure = "The rule \"production\" cannot be decided: claims.tier_5d0f is not a string.";
    // The claims, the rule and the message of the refusal, the rule in the log.
    let table = [
        (json!({}), None, "releases"),
        (unprotected(json!({})), neither, "default"),
        (json!({ "ref_protected": null }), neither, "default"),
        (unprotected(json!({ "environment": "staging" })), neither, "default"),
        (unprotected(json!({ "environment": "production" })), neither, "default"),
        (unprotected(json!({ "environment": "production", "tier_5d0f": "gold" })), None, "production"),
        (
            unprotected(json!({ "environment": "production", "tier_5d0f": 7 })),
            Some(("production", unsure)),
            "production",
        ),
        (
            json!({ "pipeline_source": "schedule" }),
            Some(("no schedules", "Scheduled pipelines sign nothing.")),
            "no schedules",
        ),
    ];
    for (changes, refused, rule) in table {
        let answer = ca.sign(&request(&ca, &changes)).await;
        match refused {
            None => assert_eq!(answer.status, 200, "{changes}: {}", answer.text()),
            Some((rules, message)) => {
                assert_eq!(
                    (answer.status.as_u16(), answer.json()["code"].clone()),
                    (403, json!(7)),
                    "{changes}"
                );
                assert_eq!(answer.reason(), "POLICY_DENIED");
                assert_eq!(answer.json()["message"], "The CA's rules do not allow this certificate");
                let metadata = metadata(&answer);
                assert_eq!(
                    (&metadata["rule"], &metadata["message"]),
                    (&json!(rules), &json!(message)),
                    "{changes}"
                );
                assert!(metadata["help"].as_str().expect("text").ends_with(message), "{metadata}");
                for value in ["my-project", "staging", "gold", "ada@"] {
                    assert!(!answer.text().contains(value), "a claim's value: {}", answer.text());
                }
            }
        }
        let event = logs::event(answer.header("x-request-id"));
        assert_eq!((&event["rule"], event.get("policy_warned")), (&json!(rule), None), "{event}");
        for value in ["my-group", "staging", "gold", "ada@"] {
            assert!(!event.to_string().contains(value), "a claim's value: {event}");
        }
    }
    // The identity is judged first: what claims contradict each other about is no business of rules.
    let answer = ca.sign(&request(&ca, &json!({ "ref": "dev" }))).await;
    assert_eq!(answer.reason(), "REF_PATH_CONTRADICTION");
    assert_eq!(logs::event(answer.header("x-request-id")).get("rule"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_on_trial_are_counted_and_logged_and_decide_nothing() {
    let ca = with(RULES).await;
    let dev = "project_path:my-group/my-project:ref_type:branch:ref:dev";
    let config = format!(
        "{}/my-group/my-project//.gitlab-ci.yml@refs/heads/dev",
        ca.gitlab.url().trim_start_matches("http://")
    );
    let dev = json!({ "sub": dev, "ref": "dev", "ref_path": "refs/heads/dev", "ci_config_ref_uri": config });
    assert_eq!(metric(&ca, "main alone", "warned").await, Some(0.0));
    let answer = ca.sign(&request(&ca, &dev)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let event = logs::event(answer.header("x-request-id"));
    assert_eq!((&event["rule"], &event["policy_warned"]), (&json!("releases"), &json!("main alone")));
    ca.sign(&request(&ca, &json!({ "ref_protected": "false" }))).await;
    ca.sign(&request(&ca, &json!({ "pipeline_source": "schedule" }))).await;
    for (rule, decision, count) in [
        ("main alone", "warned", Some(1.0)),
        ("main alone", "denied", None),
        ("releases", "allowed", Some(1.0)),
        ("releases", "denied", Some(0.0)),
        ("default", "denied", Some(1.0)),
        ("no schedules", "denied", Some(1.0)),
        ("no schedules", "allowed", None),
    ] {
        assert_eq!(metric(&ca, rule, decision).await, count, "{rule} {decision}");
    }
    let text = ca.get_admin("/metrics").await.text().to_owned();
    assert!(text.contains("countersign_issuance_step_seconds_count{step=\"policy\"} 1\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_refuses_with_the_rule_and_its_message() {
    let ca = with(RULES).await;
    let scheduled = json!({ "pipeline_source": "schedule" });
    let grpc = GrpcClient::connect(ca.url("")).await;
    let status = grpc
        .call("dev.sigstore.fulcio.v2.CA/CreateSigningCertificate", request(&ca, &scheduled))
        .await
        .expect_err("refused");
    assert_eq!((status.code() as i32, status.message()), (7, "The CA's rules do not allow this certificate"));
    let shown = info(&status);
    assert_eq!(shown["reason"], "POLICY_DENIED");
    assert_eq!(shown["metadata"]["rule"], "no schedules");
    assert_eq!(shown["metadata"]["message"], "Scheduled pipelines sign nothing.");

    let claims = claims(&ca, &scheduled);
    let key = TestKey::new();
    let body = json!({
        "publicKey": { "algorithm": "ecdsa", "content": BASE64_STANDARD.encode(key.pem()) },
        "signedEmailAddress": key.proof(claims["sub"].as_str().expect("a string")),
    });
    let first = ca.http.post(ca.url("/api/v1/signingCert")).body(body.to_string());
    let answer = Answer::of(first.bearer_auth(ca.gitlab.token(&claims))).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (403, "POLICY_DENIED"));
    assert_eq!(metadata(&answer)["rule"], "no schedules");
}

/// Whoever may not have a certificate still has to hold the key: rules are the last step before it.
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_asked_after_the_proof() {
    let ca = with(RULES).await;
    let mut request = request(&ca, &json!({ "pipeline_source": "schedule" }));
    request["publicKeyRequest"]["proofOfPossession"] = TestKey::new().proof("something else").into();
    assert_eq!(ca.sign(&request).await.reason(), "PROOF_INVALID");
    assert_eq!(metric(&ca, "no schedules", "denied").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowing_rule_makes_the_certificate_narrower() {
    let ca = with(
        r#"
rules:
  - name: narrow
    when: claims.ref_protected == "true"
    effect: allow
    validity: 2m
    key_types: [ecdsa-p256, ed25519]
    subject: project
    extensions:
      - { oid: 1.3.6.1.4.1.99999.2.1, claim: project_visibility }
      - { oid: 1.3.6.1.4.1.99999.2.2, claim: deployment_tier }
      - { oid: 1.3.6.1.4.1.99999.2.3, claim: team }
"#,
    )
    .await;
    let chain = ca.sign(&request(&ca, &json!({}))).await.certificates();
    let certificate = Inspected::parse(chain[0].as_bytes()).expect("a certificate");
    assert_eq!(certificate.not_after().as_secs() - certificate.not_before().as_secs(), 120);
    let name = format!("{:?}", certificate.names());
    assert!(name.contains("/my-group/my-project@refs/heads/main"), "{name}");
    let texts: Vec<_> = certificate
        .identity_extensions()
        .iter()
        .filter(|extension| extension.oid.to_string().starts_with("1.3.6.1.4.1.99999."))
        .map(|extension| {
            (extension.oid.to_string(), extension.text().unwrap_or_default().to_owned(), extension.critical)
        })
        .collect();
    // What the token does not have is not there.
    assert_eq!(texts, [("1.3.6.1.4.1.99999.2.1".to_owned(), "private".to_owned(), false)]);

    let answer = ca.sign(&request_with_csr(&ca, "rsa2048-sha256.pem")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason().as_str()),
        (403, "POLICY_DENIED"),
        "{}",
        answer.text()
    );
    let message = "The rule \"narrow\" allows keys of the types ecdsa-p256, ed25519 only.";
    assert_eq!(
        (&metadata(&answer)["rule"], &metadata(&answer)["message"]),
        (&json!("narrow"), &json!(message))
    );
    assert_eq!(ca.sign(&request_with_csr(&ca, "ed25519.pem")).await.status, 200);

    for (changes, reason) in [
        (json!({ "project_visibility": 7 }), "CLAIM_WRONG_TYPE"),
        (json!({ "deployment_tier": "a\u{7}" }), "CLAIM_CONTROL_CHARACTER"),
    ] {
        let answer = ca.sign(&request(&ca, &changes)).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, reason), "{changes}");
    }
    // What the rule alone wants is refused by the rule, and counted so.
    let before = metric(&ca, "narrow", "denied").await.unwrap_or_default();
    let allowed = metric(&ca, "narrow", "allowed").await;
    let answer = ca.sign(&request(&ca, &json!({ "team": 7 }))).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "CLAIM_WRONG_TYPE"));
    assert_eq!(metadata(&answer)["rule"], "narrow");
    assert_eq!(metric(&ca, "narrow", "denied").await, Some(before + 1.0));
    assert_eq!(metric(&ca, "narrow", "allowed").await, allowed);
}

/// Rule 5 holds for the name that a rule asks for, not only for the one that the issuer's entry has.
#[tokio::test(flavor = "multi_thread")]
async fn another_subject_goes_through_the_same_checks() {
    let by_project = GitlabRules { subject: SubjectMode::Project, ..GitlabRules::default() };
    let ca = TestCa::builder()
        .rules(by_project)
        .configure(put("rules: [{ name: definition, effect: allow, subject: pipeline-definition }]"))
        .start()
        .await;
    let chain = ca.sign(&request(&ca, &json!({}))).await.certificates();
    let certificate = Inspected::parse(chain[0].as_bytes()).expect("a certificate");
    assert!(format!("{:?}", certificate.names()).contains("//.gitlab-ci.yml@refs/heads/main"));
    let ambiguous = format!(
        "{}/my-group/my-project//x@refs/heads/main@refs/heads/main",
        ca.gitlab.url().trim_start_matches("http://")
    );
    for (uri, reason) in [
        (json!(null), "CLAIM_MISSING"),
        (
            json!("elsewhere.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main"),
            "CONFIG_URI_CONTRADICTION",
        ),
        (json!(ambiguous), "CONFIG_URI_AMBIGUOUS"),
    ] {
        let answer = ca.sign(&request(&ca, &json!({ "ci_config_ref_uri": uri }))).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, reason), "{uri}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_many_rules_stays_short() {
    let rules: String = (0..50)
        .map(|number| {
            let message = format!("{number} {}", "m".repeat(400));
            format!("  - {{ name: rule-{number}, effect: allow, when: 'claims.sub == \"{number}\"', message: {message} }}\n")
        })
        .collect();
    let yaml: &'static str = format!("rules:\n{rules}").leak();
    let ca = with(yaml).await;
    let grpc = GrpcClient::connect(ca.url("")).await;
    let method = "dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
    let status = grpc.call(method, request(&ca, &json!({}))).await.expect_err("refused");
    let shown = info(&status);
    assert_eq!(shown["metadata"]["rule"], "rule-0, rule-1, rule-2, rule-3, rule-4, …");
    assert!(status.details().len() < 6000, "{}", status.details().len());
}

/// Every example of the document is taken as it stands there.
#[test]
fn the_documents_rules_compile_without_a_warning() {
    let text = include_str!("../../docs/POLICY.md");
    let directory = TempDir::new().expect("a directory");
    let issuer = |url: &str, kind: EntryKind| Issuer {
        url: url.to_owned(),
        entries: [Entry { audience: "sigstore".into(), allow_multiple_audiences: false, kind }].into(),
        key_source: KeySource::Static(Vec::new()).into(),
    };
    let issuers = Issuers::new(
        vec![
            issuer("https://gitlab.com", GitlabRules::default().into()),
            issuer("https://gitlab.example.com", GitlabRules::default().into()),
            issuer("https://accounts.example.com", EmailRules::default().into()),
        ],
        Vec::new(),
    );
    let mut count = 0;
    for block in text.split("```yaml\n").skip(1) {
        let (yaml, _) = block.split_once("```").expect("an end");
        let rules = match yaml.strip_prefix("policy:\n") {
            // Two spaces less, and it is a file of its own.
            Some(below) => below
                .lines()
                .map(|line| line.strip_prefix("  ").unwrap_or(line))
                .collect::<Vec<_>>()
                .join("\n"),
            None => yaml.to_owned(),
        };
        let file = directory.path().join("policy.yaml");
        fs::write(&file, &rules).expect("written");
        let (_, warnings) = read_file(&file, &issuers, Duration::from_secs(600))
            .unwrap_or_else(|errors| panic!("{errors}\n{rules}"));
        let told = warnings.iter().filter(|warning| !warning.message.starts_with("everybody gets"));
        assert_eq!(told.map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{rules}");
        count += 1;
    }
    assert!(count >= 4, "{count} examples");
}
