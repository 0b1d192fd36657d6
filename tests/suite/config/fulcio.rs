//! Identity configurations of Fulcio: what they become, and what is refused.

use super::{Place, WHOLE, with_issuers};
use countersign::config::{self, Config};
use countersign::identity::KeySource;
use std::fs;

pub(super) fn with_fulcio(place: &Place, fulcio: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    place.write("fulcio.yaml", fulcio);
    place.load(with_issuers("identity_config: fulcio.yaml\n"))
}

#[test]
fn a_fulcio_file_gives_its_gitlab_issuers() {
    let place = Place::new();
    let root = fs::read_to_string(place.path("gitlab-ca.pem")).expect("written");
    let pem = root.trim_end().replace('\n', "\n      ");
    let fulcio = format!(
        "\
define:
  - &url https://gitlab.example.com
  - &kind gitlab-pipeline
oidc-issuers:
  *url :
    issuer-url: *url
    client-id: sigstore
    type: *kind
    description: a GitLab
    contact: ops@example.com
    environment: production
    ca-cert: |
      {pem}
  http://localhost:3000:
    issuer-url: http://localhost:3000
    client-id: 7
    type: gitlab-pipeline
meta-issuers:
  https://*.gitlab.example.org/x/*:
    client-id: sigstore
    type: gitlab-pipeline
ci-issuer-metadata:
  *kind : {{}}
"
    );
    let (config, warnings) = with_fulcio(&place, &fulcio).expect("accepted");
    assert!(warnings.is_empty(), "{warnings:?}");
    let issuer = config.issuers.find("https://gitlab.example.com").expect("configured");
    assert!(matches!(&*issuer.key_source, KeySource::Discovery { ca_certificate: Some(_), .. }));
    assert_eq!(config.issuers.find("http://localhost:3000").expect("configured").entries[0].audience, "7");
    assert!(config.issuers.find("https://a.gitlab.example.org/x/b").is_some());
    assert!(config.issuers.find("https://a.b.gitlab.example.org/x/b").is_none());
}

#[test]
fn json_has_the_names_that_fulcios_json_has() {
    let place = Place::new();
    let json = r#"{"OIDCIssuers":{"https://gitlab.com":{"IssuerURL":"https:\/\/gitlab.com","ClientID":"sigstore","Type":"gitlab-pipeline","Description":"\ud83e\udd8a"}}}"#;
    let (config, warnings) = with_fulcio(&place, json).expect("accepted");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(config.issuers.find("https://gitlab.com").is_some());
    let yaml_names = json.replace("OIDCIssuers", "oidc-issuers");
    assert!(with_fulcio(&place, &yaml_names).is_err());
}

#[test]
fn merge_keys_fill_in_what_is_not_written() {
    let place = Place::new();
    let fulcio = "\
base: &base { client-id: sigstore, type: gitlab-pipeline }
oidc-issuers:
  https://gitlab.com: { <<: *base, issuer-url: https://gitlab.com, client-id: other }
  https://gitlab.example.com:
    <<: [*base]
    issuer-url: https://gitlab.example.com
";
    let (config, warnings) = with_fulcio(&place, fulcio).expect("accepted");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(config.issuers.find("https://gitlab.com").expect("configured").entries[0].audience, "other");
    assert_eq!(
        config.issuers.find("https://gitlab.example.com").expect("configured").entries[0].audience,
        "sigstore"
    );
}

#[test]
fn every_type_has_its_fields() {
    let place = Place::new();
    let fulcio = "\
define: [&acme acme]
oidc-issuers:
  https://accounts.google.com:
    issuer-url: https://accounts.google.com
    client-id: sigstore
    type: email
    issuer-claim: $.federated_claims.connector_id
    challenge-claim: email
    skip-email-verification: true
  https://gitlab.com:
    issuer-url: https://gitlab.com
    client-id: sigstore
    type: ci-provider
    ci-provider: acme
  https://accounts.example.com:
    issuer-url: https://accounts.example.com
    client-id: sigstore
    type: username
    subject-domain: users.example.com
    no-such-key: 1
  https://spire.example.com:
    issuer-url: https://spire.example.com
    client-id: sigstore
    type: spiffe
    spiffe-trust-domain: example.org
meta-issuers:
  https://oidc.eks.*.amazonaws.com/id/*:
    client-id: sigstore
    type: kubernetes
ci-issuer-metadata:
  *acme:
    subject-alternative-name-template: https://ci.example.com/{{ .project_path }}
    default-template-values: { environment: \"\" }
    extension-templates: { build-trigger: pipeline_source, no-such-extension: x }
";
    let (config, warnings) = with_fulcio(&place, fulcio).expect("accepted");
    assert_eq!(
        warnings,
        [
            "fulcio.yaml:20: oidc-issuers.https://accounts.example.com.no-such-key: unknown key; known here: issuer-url, type, client-id, ca-cert, issuer-claim, subject-domain, spiffe-trust-domain, skip-email-verification, challenge-claim, ci-provider, description, contact, environment",
            "fulcio.yaml:34: ci-issuer-metadata.acme.extension-templates: has the key no-such-extension, which names no extension",
        ]
    );
    let kind = |url: &str| config.issuers.find(url).expect("configured").entries[0].kind.clone();
    for (url, name) in [
        ("https://accounts.google.com", "email"),
        ("https://gitlab.com", "ci-provider"),
        ("https://accounts.example.com", "username"),
        ("https://spire.example.com", "spiffe"),
        ("https://oidc.eks.eu-west-1.amazonaws.com/id/DF", "kubernetes"),
    ] {
        assert_eq!(kind(url).name(), name);
    }
    assert!(kind("https://accounts.google.com").announcement().skip_email_verification);
    assert_eq!(kind("https://accounts.google.com").announced_challenge(), "email");
    assert_eq!(kind("https://accounts.example.com").announcement().subject_domain, "users.example.com");
    assert_eq!(kind("https://spire.example.com").announcement().spiffe_trust_domain, "example.org");
}

#[test]
fn a_wrong_fulcio_file_is_refused_with_its_own_lines() {
    let place = Place::new();
    let entry = |url: &str, rest: &str| {
        format!(
            "oidc-issuers:\n  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: gitlab-pipeline\n{rest}"
        )
    };
    for (fulcio, expected) in [
        (
            entry("https://gitlab.com", "")
                .replace("issuer-url: https://gitlab.com", "issuer-url: https://gitlab.org"),
            "fulcio.yaml:3: oidc-issuers.https://gitlab.com.issuer-url: is \"https://gitlab.org\", its key is \"https://gitlab.com\"; they must be the same",
        ),
        (
            entry("https://gitlab.com", "    ca-cert: nothing\n"),
            "fulcio.yaml:6: oidc-issuers.https://gitlab.com.ca-cert: has no certificate; a line -----BEGIN CERTIFICATE----- is expected",
        ),
        (
            entry("https://gitlab.com", "    client-id: other\n"),
            "fulcio.yaml:6: oidc-issuers.https://gitlab.com.client-id: stands here a second time, first on line 4",
        ),
        (
            entry("http://gitlab.internal", ""),
            "fulcio.yaml:2: oidc-issuers.http://gitlab.internal: is plain http to another machine: whoever is on the network could hand out keys; use https, or move the entry to issuers: of the main configuration with insecure_http: true",
        ),
        (
            entry("https://gitlab.com", "").replace("gitlab-pipeline", "nothing"),
            "fulcio.yaml:5: oidc-issuers.https://gitlab.com.type: \"nothing\" is no type of identity",
        ),
        (
            "oidc-issuers: {}\n".to_owned(),
            "fulcio.yaml:1: names no issuer; oidc-issuers or meta-issuers should have one",
        ),
        (String::new(), "fulcio.yaml:1: the file is empty"),
    ] {
        let errors = with_fulcio(&place, &fulcio).expect_err("refused");
        assert_eq!(errors, [expected]);
    }
}

#[test]
fn a_star_in_a_loopback_address_is_taken_over_plain_http() {
    let place = Place::new();
    let fulcio = |pattern: &str| {
        format!("meta-issuers:\n  {pattern}: {{ client-id: sigstore, type: gitlab-pipeline }}\n")
    };
    let (config, _) = with_fulcio(&place, &fulcio("http://127.*.1:4000/x")).expect("accepted");
    assert!(config.issuers.find("http://127.0.0.1:4000/x").is_none());
    for exposed in [
        "http://12*.0.0.1/x",
        "http://*27.0.0.1/x",
        "http://*.0.0.1/x",
        "http://128.*.0.1/x",
        "http://127.*.1.example.com/x",
    ] {
        let errors = with_fulcio(&place, &fulcio(exposed)).expect_err(exposed);
        assert!(errors.len() == 1 && errors[0].contains("plain http to another machine"), "{errors:?}");
    }
}

#[test]
fn an_issuer_that_no_certificate_could_name_is_refused_at_the_start() {
    let place = Place::new();
    let entry = "client-id: sigstore, type: gitlab-pipeline";
    for fulcio in [
        format!(
            "oidc-issuers:\n  https://h.example/a%20b: {{ issuer-url: https://h.example/a%20b, {entry} }}\n"
        ),
        format!("meta-issuers:\n  https://h.example/a+b/*: {{ {entry} }}\n"),
    ] {
        let errors = with_fulcio(&place, &fulcio).expect_err("refused");
        assert!(errors.len() == 1 && errors[0].contains("with instance_url"), "{errors:?}");
    }
}

#[test]
fn an_entry_in_both_files_is_refused() {
    let place = Place::new();
    place.write("fulcio.yaml", "oidc-issuers:\n  https://gitlab.com:\n    issuer-url: https://gitlab.com\n    client-id: sigstore\n    type: gitlab-pipeline\n");
    assert_eq!(
        place.errors(format!("{WHOLE}identity_config: fulcio.yaml\n")),
        [
            "fulcio.yaml:2: oidc-issuers.https://gitlab.com: issuer \"https://gitlab.com\" has an entry for audience \"sigstore\" at countersign.yaml:8 already; remove one, or give it another audience"
        ]
    );
}

/// Recorded answers of Fulcio v1.8.8 to configurations: what it refuses we refuse. What it accepts we accept, but for
/// the quirks in which a careful server may differ.
#[test]
fn files_that_fulcio_refuses_are_refused() {
    let place = Place::new();
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../fixtures/config/fulcio.json")).expect("JSON");
    assert_eq!(cases.len(), 26);
    for case in cases {
        let text = case["config_text"].as_str().map_or_else(|| case["config"].to_string(), str::to_owned);
        let text =
            text.replace("${ISSUER}", "http://127.0.0.1:4000/a").replace("${BASE}", "http://127.0.0.1:4000");
        // A tree is written as YAML; JSON with these names would be another file to Fulcio.
        let text = if case["config_text"].is_null() { format!("# YAML\n{text}") } else { text };
        let path = place.write("golden.yaml", text);
        let answer = config::check(&path, false);
        let name = &case["name"];
        if case["refused"] == true {
            assert!(answer.is_err(), "{name}");
        } else if case["quirk"].is_null() || case["quirk"] == "yaml-merge-keys" {
            assert!(answer.is_ok(), "{name}: {answer:?}");
        }
    }
}

#[test]
fn a_misspelt_section_is_named_beside_the_error_that_it_leads_to() {
    let place = Place::new();
    let path = place.write(
        "identity.yaml",
        "oidc-issuer:\n  https://gitlab.com: { issuer-url: https://gitlab.com, client-id: sigstore, type: gitlab-pipeline }\n",
    );
    let errors = config::check_identity_config(&path).expect_err("refused");
    assert_eq!(
        place.messages(&errors),
        ["identity.yaml:1: names no issuer; oidc-issuers or meta-issuers should have one"]
    );
    let warnings: Vec<_> =
        errors.warnings().iter().map(|warning| place.short(&warning.to_string())).collect();
    assert_eq!(warnings, ["identity.yaml:1: oidc-issuer: unknown key; did you mean oidc-issuers?"]);
}
