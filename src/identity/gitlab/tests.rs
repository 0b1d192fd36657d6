//! Properties that hold for all claims. The tables, on signed tokens, are in `tests/suite/identity.rs`.

use super::*;
use crate::identity::extensions::text_of;
use der::asn1::ObjectIdentifier;
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const ISSUER: &str = "https://gitlab.example.com:8443/gitlab";

fn base() -> Map<String, Value> {
    let claims = json!({
        "iss": ISSUER, "aud": "sigstore", "sub": "project_path:acme/widgets:ref_type:branch:ref:main",
        "namespace_id": "1", "namespace_path": "acme", "project_id": "2", "project_path": "acme/widgets",
        "job_project_id": "2", "job_project_path": "acme/widgets", "pipeline_id": "3", "pipeline_source": "push", "job_id": "4",
        "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "sha": "00", "runner_environment": "self-hosted",
        "ci_config_ref_uri": "gitlab.example.com:8443/gitlab/acme/widgets//.gitlab-ci.yml@refs/heads/main",
    });
    claims.as_object().expect("an object").clone()
}

fn judge(claims: Map<String, Value>, rules: &GitlabRules) -> Result<Named, Refusal> {
    let claims = Claims::parse(Value::Object(claims).to_string().as_bytes()).expect("an object");
    from_claims(ISSUER, &claims, rules)
}

fn uri(principal: &Named) -> &str {
    match principal.name() {
        SubjectAltName::Uri(uri) => uri,
        other => panic!("{other:?}"),
    }
}

fn text(principal: &Named, oid: ObjectIdentifier) -> &str {
    let extension = principal.extensions().iter().find(|extension| extension.oid == oid).expect("present");
    text_of(&oid, &extension.content).expect("text")
}

/// Any JSON, shallow.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no NaN", |f| f.is_finite()).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[a-z@:/.%]{0,20}".prop_map(Value::from),
        "(gitlab.example.com:8443/gitlab)?/(acme/widgets)?//[a-z@/.]{0,9}(@refs/heads/main)?"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn claim_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        9 => prop::sample::select(GitlabClaim::ALL.map(GitlabClaim::name).to_vec()),
        1 => prop::sample::select(vec!["sub", "iss", "aud", "user_login", "url"]),
    ]
}

fn any_rules() -> impl Strategy<Value = GitlabRules> {
    any::<(bool, bool, bool, bool)>().prop_map(|(project, forks, undecidable, raw)| GitlabRules {
        subject: if project { SubjectMode::Project } else { SubjectMode::PipelineDefinition },
        instance_url: None,
        allow_fork_pipelines: forks,
        allow_undecidable_forks: undecidable,
        claims_arc: raw.then(ClaimsArc::default),
    })
}

proptest! {
    /// Whatever the claims: no panic, and nothing outside the configured instance.
    #[test]
    fn no_claim_moves_the_subject_off_the_instance(
        changes in prop::collection::vec((claim_name(), json_value()), 0..5),
        rules in any_rules(),
    ) {
        let mut claims = base();
        claims.extend(changes.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if let Ok(principal) = judge(claims, &rules) {
            let san = uri(&principal);
            let instance = format!("{ISSUER}/");
            prop_assert!(san.starts_with(&instance));
            prop_assert!(san.bytes().all(|b| b.is_ascii_graphic()));
            let url = url::Url::parse(san).expect("a URL");
            prop_assert_eq!(url.host_str(), Some("gitlab.example.com"));
            prop_assert_eq!(url.port(), Some(8443));
            prop_assert!(url.path().starts_with("/gitlab/"), "no dot segment climbs out");
            prop_assert!(url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
            prop_assert_eq!(percent_decode_str(san).decode_utf8().expect("text"), text(&principal, oid::BUILD_SIGNER_URI));
            for url in [oid::SOURCE_REPOSITORY_URI, oid::SOURCE_REPOSITORY_OWNER_URI, oid::RUN_INVOCATION_URI] {
                prop_assert!(text(&principal, url).starts_with(&instance));
            }
            prop_assert_eq!(text(&principal, oid::ISSUER), ISSUER);
            prop_assert_eq!(text(&principal, oid::ISSUER_V2), ISSUER);
        }
    }

    /// A subject can be read back: the project, the file and the ref are the token's, whatever the file and the ref are called.
    #[test]
    fn a_subject_has_one_reading(
        path in "[a-z0-9 /.%#?é@:]{1,12}",
        name in "[a-z0-9/.%#é@]{1,12}",
        tag in any::<bool>(),
    ) {
        let (kind, prefix) = if tag { ("tag", "refs/tags") } else { ("branch", "refs/heads") };
        let mut claims = base();
        claims.remove("ref_path");
        claims.insert("ref".into(), name.clone().into());
        claims.insert("ref_type".into(), kind.into());
        let config = format!("gitlab.example.com:8443/gitlab/acme/widgets//{path}@{prefix}/{name}");
        claims.insert("ci_config_ref_uri".into(), config.into());
        if let Ok(principal) = judge(claims, &GitlabRules::default()) {
            // As a verifier would, from the left and from the right alike.
            let rest = uri(&principal).strip_prefix(ISSUER).and_then(|rest| rest.strip_prefix('/')).expect("the instance");
            let (project, rest) = rest.split_once("//").expect("a project");
            let left = rest.split_once("@refs/").expect("a ref");
            prop_assert_eq!(Some(left), rest.rsplit_once("@refs/"));
            prop_assert_eq!(project, "acme/widgets");
            let decode = |text| percent_decode_str(text).decode_utf8().expect("text").into_owned();
            prop_assert_eq!(decode(left.0), path);
            prop_assert_eq!(format!("refs/{}", decode(left.1)), format!("{prefix}/{name}"));
        }
    }

    /// Different pipelines never share a subject.
    #[test]
    fn different_pipelines_have_different_subjects(
        one in ("[a%/ .]{1,5}", "[a%2@/]{1,5}"),
        other in ("[a%/ .]{1,5}", "[a%2@/]{1,5}"),
    ) {
        let san = |(path, name): &(String, String)| {
            let mut claims = base();
            claims.remove("ref_path");
            claims.insert("ref".into(), name.clone().into());
            let config = format!("gitlab.example.com:8443/gitlab/acme/widgets//{path}@refs/heads/{name}");
            claims.insert("ci_config_ref_uri".into(), config.into());
            judge(claims, &GitlabRules::default()).ok().map(|principal| uri(&principal).to_owned())
        };
        if let (Some(first), Some(second)) = (san(&one), san(&other)) {
            prop_assert_eq!(one == other, first == second);
        }
    }
}

#[test]
fn an_issuer_that_cannot_stand_in_a_subject_is_our_fault() {
    let claims = Claims::parse(Value::Object(base()).to_string().as_bytes()).expect("an object");
    for issuer in ["gitlab.com", "https://ada@gitlab.com", "https://gitlab.com/?x", "https://gitlab.com/a b"]
    {
        let refusal = from_claims(issuer, &claims, &GitlabRules::default()).unwrap_err();
        assert_eq!(refusal.reason(), Reason::Internal, "{issuer}");
    }
}
