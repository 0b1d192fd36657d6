//! Policies over certificates of every kind, and over the bundles of `tests/fixtures/bundle`.

use super::*;
use crate::bundle::verified::{Promised, SignedTime, TimeSource};
use crate::bundle::{
    Artifact, Bundle, Expected, Identity, LoggedAt, Problem, Signatory, SigningKey, TrustedRoot, Verified,
    Verifier,
};
use crate::certificate::inspect::Inspected;
use crate::certificate::testing::{self, LEAF_SPKI, NAME, NOW};
use crate::environment::UnixMillis;
use crate::identity::extensions::{self, GitlabClaim, encode_utf8_string};
use crate::identity::{IdentityExtension, SubjectAltName};
use proptest::prelude::*;
use std::sync::LazyLock;

mod bounds;

const GITLAB: &str = "https://gitlab.example.com";

/// A job's claims that every certificate has.
const CLAIMS: [(GitlabClaim, &str); 11] = [
    (GitlabClaim::NamespacePath, "acme"),
    (GitlabClaim::NamespaceId, "7"),
    (GitlabClaim::ProjectPath, "acme/app"),
    (GitlabClaim::ProjectId, "42"),
    (GitlabClaim::PipelineId, "100"),
    (GitlabClaim::PipelineSource, "push"),
    (GitlabClaim::JobId, "200"),
    (GitlabClaim::Ref, "main"),
    (GitlabClaim::RefType, "branch"),
    (GitlabClaim::RunnerEnvironment, "gitlab-hosted"),
    (GitlabClaim::Sha, "0123456789abcdef"),
];

/// A certificate with these extensions, and Fulcio's for the issuer.
fn certificate(name: SubjectAltName, more: &[IdentityExtension]) -> Inspected {
    let issuer = [extensions::ISSUER, extensions::ISSUER_V2].map(|oid| extensions::extension(oid, GITLAB));
    let all = [&issuer[..], more].concat();
    Inspected::from_der(testing::issue_to(&name, &all).der()).unwrap()
}

fn claims(arc: &ClaimsArc, more: &[(GitlabClaim, &str)]) -> Vec<IdentityExtension> {
    let mut all: Vec<_> = CLAIMS.iter().chain(more).copied().collect();
    all.sort_by_key(|(claim, _)| *claim as u8);
    all.iter().map(|(claim, text)| extensions::extension(arc.oid(*claim), text)).collect()
}

/// A GitLab job's certificate.
fn job(more: &[(GitlabClaim, &str)]) -> Inspected {
    certificate(SubjectAltName::Uri(NAME.into()), &claims(&ClaimsArc::default(), more))
}

fn protected() -> Inspected {
    job(&[(GitlabClaim::RefProtected, "true"), (GitlabClaim::Environment, "production")])
}

/// A certificate of somebody who is no GitLab job.
fn person() -> Inspected {
    certificate(SubjectAltName::Email("ada@example.com".into()), &[])
}

fn evidence(certificate: &Inspected) -> Evidence<'_> {
    Evidence {
        certificate: Some(certificate),
        promised: Some(Promised { at: NOW, index: Some(42) }),
        times: &[],
        logged: &[],
        attested: None,
        artifact: None,
    }
}

fn policy(when: &str) -> Policies {
    let policy = AdmissionPolicy::new("only", when, None).unwrap_or_else(|fault| panic!("{when}: {fault}"));
    Policies::new(vec![policy]).unwrap()
}

/// Nothing, or why it is not admitted.
fn refusal(when: &str, evidence: &Evidence<'_>) -> String {
    match policy(when).admit(evidence) {
        Ok(_) => String::new(),
        Err(error) => error.refused().iter().map(ToString::to_string).collect(),
    }
}

fn fault(when: &str) -> String {
    AdmissionPolicy::new("only", when, None).expect_err(when).message
}

#[test]
fn a_jobs_certificate_is_admitted_by_what_it_says() {
    let job = protected();
    for (when, admitted) in [
        (r#"cert.gitlab.project_path == "acme/app" && cert.gitlab.ref_protected == "true""#, true),
        (r#"cert.gitlab.project_path == "acme/other" && cert.gitlab.ref_protected == "true""#, false),
        (r#"cert.issuer == "https://gitlab.example.com" && cert.gitlab.project_id in ["41", "42"]"#, true),
        (r#"cert.issuer == "https://gitlab.com" && cert.gitlab.project_id in ["41", "42"]"#, false),
        (r#"cert.san == "https://gitlab.example.com/group/project//.gitlab-ci.yml@refs/heads/main""#, true),
        (r#"cert.san_type == "uri" && cert.san.startsWith("https://gitlab.example.com/group/")"#, true),
        (r#"cert.san_type == "email""#, false),
        (r#"cert.key_type == "ecdsa-p256""#, true),
        (r#"cert.key_type in ["rsa", "ed25519"]"#, false),
        (r#"cert.fulcio.?issuer_v2.orValue("") == cert.issuer"#, true),
        (r#"has(cert.fulcio.issuer) && cert.fulcio.issuer == cert.issuer"#, true),
        (r#"has(cert.fulcio.deployment_environment)"#, false),
        (r#"has(cert.gitlab.environment) && cert.gitlab.environment == "production""#, true),
        (r#"cert.gitlab.?deployment_tier.orValue("none") == "none""#, true),
        (r#"!has(cert.gitlab.deployment_tier)"#, true),
        (r#"has(cert.gitlab) && cert.gitlab.ref_type == "branch""#, true),
        (r#"!has(cert.gitlab)"#, false),
        (r#"cert.not_after - cert.not_before == duration("600s")"#, true),
        (r#"cert.not_before > timestamp("2026-11-21T00:00:00Z")"#, true),
        (r#"cert.not_before > timestamp("2026-11-22T00:00:00Z")"#, false),
        (r#"sct.timestamp >= cert.not_before && has(sct.log_index) && sct.log_index == 42"#, true),
        (r#"has(sct.log_index) && sct.log_index > 42"#, false),
    ] {
        let refusal = refusal(when, &evidence(&job));
        assert_eq!(refusal.is_empty(), admitted, "{when}: {refusal}");
    }
    assert!(refusal(r#"cert.gitlab.ref_protected == """#, &evidence(&self::job(&[]))).is_empty());
}

/// Issuers know these names; a misspelt one is no condition that never holds.
#[test]
fn what_no_certificate_has_is_an_error_when_it_is_loaded() {
    for (when, expected) in [
        (r#"cert.gitlab.project_pth == "x""#, "did you mean project_path?"),
        (r#"cert.gitlab.environment == "x""#, "cert.gitlab.environment is not always there"),
        (
            r#"cert.gitlab.ref_protected == true"#,
            "compares cert.gitlab.ref_protected (a string) with true (a bool)",
        ),
        (r#"cert.gitlab.ref_protected == "yes""#, "is never that: it is one of"),
        (r#"cert.gitlab.user_login == "ada""#, "cert.gitlab.user_login is unknown"),
        (r#"cert.fulcio.issuer == "x""#, "cert.fulcio.issuer is not always there"),
        (r#"cert.fulcio.othername_san == "x""#, "cert.fulcio.othername_san is unknown"),
        (r#"cert.san_type == "URI""#, "is never that"),
        (r#"log.kind == "hashedrekord""#, "is never that: it is one of"),
        (r#"cert.extensions["1.2.3"] == "x""#, "is not always there"),
        (r#""project_path" in cert.extensions"#, "cert.extensions has object identifiers"),
        (r#"has(cert.gitlab.ref) || "x" in cert.extensions"#, "cert.extensions has object identifiers"),
        (r#"cert.gitlab == "x""#, "cert.gitlab is a group of values"),
        (r#"signed_at > "2026""#, "compares signed_at (a timestamp)"),
        (r#"sct.log_index > 5"#, "sct.log_index is not always there"),
        (r#"attestation.predicate.builder == "x""#, "attestation.predicate is unknown"),
        (r#"claims.project_path == "x""#, "claims is unknown"),
        (r#"log.index"#, "is a int, where a condition is true or false"),
    ] {
        let fault = fault(when);
        assert!(fault.contains(expected), "{when}\n  {fault}\n  {expected}");
    }
}

#[test]
fn an_extension_of_the_operators_own_is_asked_for_by_its_identifier() {
    let oid = extensions::FULCIO.push_arc(99).unwrap();
    let of = |content: &[u8]| IdentityExtension { oid, content: content.to_vec().into() };
    let name = || SubjectAltName::Uri(NAME.into());
    let text = certificate(name(), &[of(&encode_utf8_string("blue"))]);
    let octets = certificate(name(), &[of(&[4, 1, 0])]);
    let when = r#""1.3.6.1.4.1.57264.1.99" in cert.extensions && cert.extensions["1.3.6.1.4.1.57264.1.99"] == "blue""#;
    assert_eq!(refusal(when, &evidence(&text)), "");
    assert!(refusal(when, &evidence(&person())).contains("does not hold"));
    assert!(refusal(when, &evidence(&octets)).contains("is no text"));
}

#[test]
fn what_is_not_there_satisfies_no_condition_that_names_it_unasked() {
    let (job, person) = (protected(), person());
    for when in [
        r#"cert.gitlab.project_path != "evil""#,
        r#"!(cert.gitlab.project_path == "evil")"#,
        r#"!(cert.gitlab.ref in ["dev"])"#,
        r#"true || cert.gitlab.ref == "main""#,
        r#"cert.gitlab.ref == "main" || true"#,
        r#"cert.issuer != "" ? true : cert.gitlab.ref == "main""#,
        r#"cert.gitlab.?environment.orValue("") != "staging""#,
        r#"!has(cert.gitlab.deployment_tier)"#,
        r#"!("deployment_tier" in cert.gitlab)"#,
        r#"has(cert.gitlab) || cert.gitlab.ref != "dev""#,
        r#"["main"].exists(name, name == "main" || name == cert.gitlab.ref)"#,
    ] {
        assert_eq!(refusal(when, &evidence(&job)), "", "{when}");
        assert_eq!(
            refusal(when, &evidence(&person)),
            "\"only\": the certificate has no GitLab claims",
            "{when}"
        );
    }
    for (when, of_job, of_person) in [
        (r#"has(cert.gitlab) && cert.gitlab.ref == "main""#, true, false),
        (r#"!has(cert.gitlab) && cert.san == "ada@example.com""#, false, true),
        (r#"has(cert.gitlab) ? cert.gitlab.project_id == "42" : cert.san == "ada@example.com""#, true, true),
        (r#"!has(cert.gitlab) || cert.gitlab.ref != "dev""#, true, true),
        (r#"cert.san_type == "email" && cert.san.endsWith("@example.com")"#, false, true),
    ] {
        for (certificate, admitted) in [(&job, of_job), (&person, of_person)] {
            let refusal = refusal(when, &evidence(certificate));
            assert_eq!(refusal.is_empty(), admitted, "{when}: {refusal}");
        }
    }
    let nothing = Evidence { certificate: None, promised: None, ..evidence(&job) };
    for (when, expected) in [
        (r#"cert.san != "x""#, Part::Certificate),
        (r#"!has(cert.gitlab)"#, Part::Certificate),
        (r#"sct.timestamp > timestamp("2020-01-01T00:00:00Z")"#, Part::Sct),
        (r#"!(signed_at < timestamp("2020-01-01T00:00:00Z"))"#, Part::SignedAt),
        (r#"signed_at_source != "log""#, Part::SignedAt),
        (r#"artifact.digest != "sha256:00""#, Part::Artifact),
        (r#"log.index >= 0"#, Part::Log),
        (r#"!has(attestation.builder_id)"#, Part::Attestation),
        (r#"!("x" in attestation.subjects)"#, Part::Attestation),
    ] {
        assert_eq!(refusal(when, &nothing), format!("\"only\": {expected}"), "{when}");
    }
}

#[test]
fn what_is_not_as_a_ca_of_this_kind_issues_it_is_not_decided() {
    let of = |name, more: &[IdentityExtension]| certificate(name, more);
    let uri = || SubjectAltName::Uri(NAME.into());
    let arc = ClaimsArc::default();
    let partial = of(uri(), &claims(&arc, &[])[..5]);
    let odd = job(&[(GitlabClaim::RefProtected, "maybe")]);
    let guarded = job(&[(GitlabClaim::EnvironmentProtected, "yes")]);
    let unreadable = of(
        uri(),
        &[IdentityExtension { oid: arc.oid(GitlabClaim::ProjectPath), content: b"acme/app"[..].into() }],
    );
    for (certificate, when, expected) in [
        (
            &partial,
            r#"cert.gitlab.project_path == "acme/app""#,
            "the certificate has GitLab claims, and lacks",
        ),
        (&partial, r#"!has(cert.gitlab)"#, "the certificate has GitLab claims, and lacks"),
        (&unreadable, r#"!has(cert.gitlab)"#, "the certificate has GitLab claims, and lacks"),
        (&odd, r#"cert.gitlab.ref_protected != "false""#, "ref_protected has a value that is not known"),
        (&odd, r#"!has(cert.gitlab)"#, "ref_protected has a value that is not known"),
        (&odd, r#"has(cert.gitlab)"#, "ref_protected has a value that is not known"),
        (&odd, r#"cert.gitlab.project_id == "42""#, "ref_protected has a value that is not known"),
        (&guarded, r#"cert.gitlab.ref == "main""#, "environment_protected has a value that is not known"),
    ] {
        let refusal = refusal(when, &evidence(certificate));
        assert!(refusal.contains(expected), "{when}: {refusal}");
    }
}

#[test]
fn raw_claims_may_stand_below_an_arc_of_the_operators() {
    let own = ClaimsArc::parse("1.3.6.1.4.1.99999.7").unwrap();
    let certificate = certificate(SubjectAltName::Uri(NAME.into()), &claims(&own, &[]));
    let when = r#"cert.gitlab.project_id == "42""#;
    assert!(policy(when).admit(&evidence(&certificate)).is_err());
    assert!(policy(when).with_arc(own.clone()).admit(&evidence(&certificate)).is_ok());
    assert!(policy(when).with_arc(own).admit(&evidence(&protected())).is_err());
}

#[test]
fn the_first_policy_that_holds_admits_and_else_each_says_why_not() {
    let message = "Only releases of acme/app; protect the tag.".to_owned();
    let policies = Policies::new(vec![
        AdmissionPolicy::new(
            "releases",
            r#"cert.gitlab.project_id == "42" && cert.gitlab.ref_type == "tag" && !(cert.gitlab.ref == "main")"#,
            Some(message.clone()),
        )
        .unwrap(),
        AdmissionPolicy::new("nightly", r#"cert.gitlab.project_id == "42" && cert.gitlab.ref == "nightly""#, None)
            .unwrap(),
        AdmissionPolicy::new("people", r#"cert.san_type == "email" || cert.san_type == "other""#, None).unwrap(),
    ])
    .unwrap();
    let admitted = |certificate: &Inspected| {
        let admitted = policies.admit(&evidence(certificate)).map(|policy| policy.name().to_owned());
        admitted.map_err(|error| (error.to_string(), error.refused().to_vec()))
    };
    assert_eq!(admitted(&person()).unwrap(), "people");
    let (words, refused) = admitted(&protected()).unwrap_err();
    assert_eq!(words, "policy: none of 3 policies admits it [NOT_ADMITTED]");
    assert_eq!(refused[0].message(), Some(message.as_str()));
    let reasons: Vec<_> = refused.iter().map(Refused::reasons).collect();
    assert_eq!(
        reasons,
        [
            vec![
                r#"cert.gitlab.ref_type == "tag" does not hold (cert.gitlab.ref_type is "branch")"#,
                r#"cert.gitlab.ref == "main" holds, and must not (cert.gitlab.ref is "main")"#,
            ],
            vec![r#"cert.gitlab.ref == "nightly" does not hold (cert.gitlab.ref is "main")"#],
            vec![
                r#"cert.san_type == "email" does not hold (cert.san_type is "uri")"#,
                r#"cert.san_type == "other" does not hold (cert.san_type is "uri")"#,
            ],
        ]
    );
}

#[test]
fn policies_have_names_of_their_own() {
    let named = |names: &[&str]| {
        Policies::new(names.iter().map(|name| AdmissionPolicy::new(*name, "true", None).unwrap()).collect())
            .map(|policies| policies.iter().count())
            .map_err(|error| error.to_string())
    };
    assert_eq!(named(&["a", "b"]), Ok(2));
    for (names, expected) in [
        (&[][..], "there is no policy"),
        (&["a", "a"], "stands there twice"),
        (&[""], "1 to 128 characters"),
        (&["a\u{1b}"], "control characters"),
        (&["x"; MOST_POLICIES + 1], "are possible"),
    ] {
        assert!(named(names).unwrap_err().contains(expected), "{names:?}");
    }
}

#[test]
fn policies_that_admit_more_than_they_seem_to_get_advice() {
    for (when, expected) in [
        (r#"cert.issuer == "i" && cert.gitlab.project_id == "42""#, &[][..]),
        (r#"cert.issuer == "i" && cert.san == "s""#, &[]),
        (r#"cert.gitlab.project_id == "42""#, &["ISSUER_NOT_NAMED"]),
        (r#"cert.issuer == "https://gitlab.com""#, &["SIGNER_NOT_NAMED"]),
        (r#"attestation.predicate_type == "p""#, &["SIGNER_NOT_NAMED"]),
        ("true", &["SIGNER_NOT_NAMED"]),
        (r#"cert.issuer == "i" && cert.gitlab.project_path == "acme/app""#, &["PATH_WITHOUT_ID"]),
        (
            r#"cert.issuer == "i" && cert.gitlab.project_id == "42" && cert.gitlab.ref == "main""#,
            &["REF_WITHOUT_PROTECTION"],
        ),
        (
            r#"cert.issuer == "i" && cert.san.startsWith("https://gitlab.com/acme")"#,
            &["PREFIX_WITHOUT_SLASH", "REF_WITHOUT_PROTECTION", "PATH_WITHOUT_ID"],
        ),
        (r#"cert.issuer == "i" && cert.san.matches("gitlab.com/acme/")"#, &["UNANCHORED_PATTERN"]),
    ] {
        let codes: Vec<_> = policy(when).advice().into_iter().map(|advice| advice.lint.code()).collect();
        assert_eq!(codes, expected, "{when}");
    }
}

const ARTIFACT: &[u8] = b"what was signed\n";
const ROOT: &[u8] = include_bytes!("../../../tests/fixtures/bundle/trusted_root.json");
const MESSAGE: &[u8] = include_bytes!("../../../tests/fixtures/bundle/message.json");
const ATTESTATION: &[u8] = include_bytes!("../../../tests/fixtures/bundle/attestation.json");

fn verifier() -> Verifier {
    Verifier::new(TrustedRoot::from_json(ROOT).unwrap())
}

fn verify(verifier: &Verifier, bundle: &[u8], who: &Signatory) -> Result<Verified, VerificationError> {
    verifier.verify(&Bundle::from_json(bundle).unwrap(), Artifact::Octets(ARTIFACT), who)
}

#[test]
fn a_bundle_is_admitted_by_signer_time_log_and_statement() {
    let digest = hex::encode(crate::transparency::sha256(ARTIFACT));
    let digest = format!(r#"artifact.digest == "sha256:{digest}""#);
    for (when, of_message, of_attestation) in [
        (r#"cert.issuer == "https://gitlab.example.com""#, true, true),
        (r#"cert.issuer == "https://gitlab.com""#, false, false),
        (&digest, true, true),
        (r#"artifact.digest == "sha256:00""#, false, false),
        (r#"signed_at >= cert.not_before && signed_at <= cert.not_after"#, true, true),
        (r#"signed_at < timestamp("2026-01-01T00:00:00Z")"#, false, false),
        (r#"signed_at_source == "timestamp-authority""#, true, true),
        (r#"signed_at - sct.timestamp < duration("5m")"#, true, true),
        (
            r#"log.index == 1 && log.url == "https://ca.example.com" && log.kind == "hashedrekord 0.0.2""#,
            true,
            true,
        ),
        (r#"log.index > 1"#, false, false),
        (r#"has(sct.log_index)"#, false, false),
        (r#"attestation.predicate_type == "https://example.com/predicate/v1""#, false, true),
        (r#"attestation.predicate_type != "https://example.com/predicate/v2""#, false, true),
        (r#"attestation.subject == "artifact" && attestation.subjects == ["artifact"]"#, false, true),
        (r#"attestation.subjects.all(name, name.startsWith("other"))"#, false, false),
        (r#"has(attestation.builder_id) && attestation.builder_id == "x""#, false, false),
        (r#"cert.gitlab.project_id == "42""#, false, false),
    ] {
        let verifier = verifier().policies(policy(when));
        for (bundle, admitted) in [(MESSAGE, of_message), (ATTESTATION, of_attestation)] {
            let verified = verify(&verifier, bundle, &Signatory::Admitted);
            let problem = verified.as_ref().map(|it| it.admitted_by().unwrap().to_owned());
            let expected = if admitted { Ok("only".to_owned()) } else { Err(Problem::NotAdmitted) };
            assert_eq!(problem.map_err(VerificationError::problem), expected, "{when}");
        }
    }
}

#[test]
fn policies_stand_beside_an_identity_or_in_its_place_and_are_asked_last() {
    let somebody = |name: &str| {
        let expected = |text: &str| Expected::Exactly(text.to_owned());
        Signatory::Identity(Identity { name: expected(name), issuer: expected(GITLAB) })
    };
    let with = |when: &str| verifier().policies(policy(when));
    let problem = |verifier: &Verifier, bundle: &[u8], who: &Signatory| {
        verify(verifier, bundle, who).map(drop).map_err(|error| error.problem())
    };
    let issuer = r#"cert.issuer == "https://gitlab.example.com""#;
    assert_eq!(problem(&with(issuer), MESSAGE, &somebody(NAME)), Ok(()));
    assert_eq!(problem(&with(issuer), MESSAGE, &somebody("x")), Err(Problem::IdentityMismatch));
    assert_eq!(problem(&with("false"), MESSAGE, &somebody(NAME)), Err(Problem::NotAdmitted));
    assert_eq!(problem(&with(issuer), MESSAGE, &Signatory::Admitted), Ok(()));
    // Nobody was named at all.
    assert_eq!(problem(&verifier(), MESSAGE, &Signatory::Admitted), Err(Problem::NotAdmitted));
    // A policy that admits everything makes nothing good that is not.
    let mut broken: serde_json::Value = serde_json::from_slice(MESSAGE).unwrap();
    broken["verificationMaterial"]["timestampVerificationData"] = serde_json::Value::Null;
    let broken = broken.to_string();
    assert_eq!(problem(&with("true"), broken.as_bytes(), &Signatory::Admitted), Err(Problem::TimeMissing));
    let other = Artifact::Octets(b"something else");
    let refused = with("true").verify(&Bundle::from_json(MESSAGE).unwrap(), other, &Signatory::Admitted);
    assert_eq!(refused.unwrap_err().problem(), Problem::ArtifactMismatch);
    let foreign = SigningKey::from_spki(LEAF_SPKI).unwrap();
    assert_eq!(problem(&with("true"), MESSAGE, &Signatory::Key(foreign)), Err(Problem::SignerMismatch));
    let words: Vec<_> = verify(&with(issuer), MESSAGE, &Signatory::Admitted).unwrap().facts().to_vec();
    assert_eq!(
        words.last().map(|fact| (fact.name, fact.words.as_str())),
        Some(("policy", "admitted by \"only\""))
    );
}

/// Of several times the earliest says the most: the signature was there then.
#[test]
fn the_signed_time_is_the_earliest() {
    let job = protected();
    let at = |millis| SignedTime {
        at: UnixMillis(millis),
        source: TimeSource::Timestamp { authority: String::new() },
    };
    let logged = SignedTime { at: UnixMillis(1_000), source: TimeSource::Log { log: String::new() } };
    let log = LoggedAt { log: String::new(), index: u64::MAX, kind: String::new() };
    let times = [at(2_000), logged, at(3_999)];
    let seen = Evidence { times: &times, logged: std::slice::from_ref(&log), ..evidence(&job) };
    let when = r#"signed_at == timestamp("1970-01-01T00:00:01Z") && signed_at_source == "log""#;
    assert_eq!(refusal(when, &seen), "");
    // Times are compared as they are shown.
    let seen = Evidence { times: &times[2..], ..seen };
    assert_eq!(refusal(r#"signed_at == timestamp("1970-01-01T00:00:03Z")"#, &seen), "");
    assert!(refusal("log.index > 0", &seen).contains("too large"));
}

/// A condition as the property makes it: what is true of a certificate without claims, and where such a one has no answer.
#[derive(Clone, Debug)]
enum Made {
    Constant(bool),
    Has,
    Claim(&'static str),
    Not(Box<Self>),
    Both(Box<Self>, Box<Self>),
    Either(Box<Self>, Box<Self>),
    Choice(Box<Self>, Box<Self>, Box<Self>),
}

impl Made {
    fn text(&self) -> String {
        match self {
            Self::Constant(true) => r#"cert.issuer != """#.to_owned(),
            Self::Constant(false) => r#"cert.san == "nobody""#.to_owned(),
            Self::Has => "has(cert.gitlab)".to_owned(),
            Self::Claim(text) => (*text).to_owned(),
            Self::Not(of) => format!("!({})", of.text()),
            Self::Both(one, other) => format!("({} && {})", one.text(), other.text()),
            Self::Either(one, other) => format!("({} || {})", one.text(), other.text()),
            Self::Choice(of, yes, no) => format!("({} ? {} : {})", of.text(), yes.text(), no.text()),
        }
    }

    /// For a certificate without claims, from left to right; `None`: a claim would have to be read.
    fn without_claims(&self) -> Option<bool> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::Has => Some(false),
            Self::Claim(_) => None,
            Self::Not(of) => Some(!of.without_claims()?),
            Self::Both(one, other) => Some(one.without_claims()? && other.without_claims()?),
            Self::Either(one, other) => Some(one.without_claims()? || other.without_claims()?),
            Self::Choice(of, yes, no) => {
                if of.without_claims()? {
                    yes.without_claims()
                } else {
                    no.without_claims()
                }
            }
        }
    }

    fn asks(&self) -> bool {
        self.text().contains("has(cert.gitlab)")
    }

    fn reads(&self) -> bool {
        self.text().contains("cert.gitlab.")
    }
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Made::Constant),
        Just(Made::Has),
        prop::sample::select(vec![
            r#"cert.gitlab.project_path == "acme/app""#,
            r#"cert.gitlab.project_path != "evil""#,
            r#"cert.gitlab.ref_protected != "false""#,
            r#"cert.gitlab.ref in ["main"]"#,
            r#"has(cert.gitlab.environment)"#,
            r#"cert.gitlab.?environment.orValue("x") == "x""#,
        ])
        .prop_map(Made::Claim),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        let one = || inner.clone().prop_map(Box::new);
        prop_oneof![
            one().prop_map(Made::Not),
            (one(), one()).prop_map(|(one, other)| Made::Both(one, other)),
            (one(), one()).prop_map(|(one, other)| Made::Either(one, other)),
            (one(), one(), one()).prop_map(|(of, yes, no)| Made::Choice(of, yes, no)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_condition_admits_a_certificate_by_claims_that_it_does_not_have(made in made()) {
        static PERSON: LazyLock<Inspected> = LazyLock::new(person);
        static JOB: LazyLock<Inspected> = LazyLock::new(protected);
        let policy = policy(&made.text());
        let admitted = policy.admit(&evidence(&PERSON)).is_ok();
        // What is admitted is true without a claim having been read, and what reads one unasked is never admitted.
        prop_assert!(!admitted || made.without_claims() == Some(true), "{}", made.text());
        prop_assert!(!admitted || made.asks() || !made.reads(), "{}", made.text());
        // Nothing is refused for that alone where no claim is named.
        prop_assert!(made.reads() || admitted == (made.without_claims() == Some(true)), "{}", made.text());
        // Where there are claims, the answer is CEL's.
        let condition = crate::condition::Condition::compile(&made.text(), &scope()).unwrap();
        let certificate = evidence(&JOB);
        let arc = ClaimsArc::default();
        let holds = condition.holds(&Asked { evidence: &certificate, arc: &arc });
        prop_assert_eq!(policy.admit(&certificate).is_ok(), holds == Ok(true), "{}", made.text());
    }
}
