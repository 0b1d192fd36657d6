//! Claims of a GitLab token -> SAN and extensions, or a refusal. Every token here is signed, verified and matched to its
//! entry as in the server; the tables are claims.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::environment::UnixMillis;
use countersign::identity::extensions::{self, ClaimsArc, FULCIO_NAMES, GitlabClaim};
use countersign::identity::gitlab::{GitlabRules, SubjectMode};
use countersign::identity::{Entry, Issuer, IssuerPattern, Issuers, KeySource, Principal, SubjectAltName};
use countersign::refusal::{Reason, Refusal};
use countersign::token::{Expectations, KeySet, Times, UnverifiedToken};
use der::asn1::ObjectIdentifier;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::PrivateKeyInfoRef;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

mod choices;
mod issued;
mod refused;
mod schema;
mod subject;

/// A time at which the fixture's tokens are valid.
const NOW: UnixMillis = UnixMillis::from_secs(1_795_000_100);

/// In a table: the claim is not there.
const ABSENT: &str = "<absent>";

static FIXTURE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../fixtures/gitlab-pipeline.json")).expect("the fixture is JSON")
});

/// The issuer's key: signed with, and published as a JWK set.
static KEYS: LazyLock<(EncodingKey, KeySet)> = LazyLock::new(|| {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let public = pair.public_key();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwks = json!({"keys": [{
        "kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256",
        "n": number(public.modulus().big_endian_without_leading_zero()),
        "e": number(public.exponent().big_endian_without_leading_zero()),
    }]});
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("PKCS#8");
    let pkcs1 = PrivateKeyInfoRef::try_from(pkcs8.as_ref()).expect("PKCS#8").private_key;
    let signing = EncodingKey::from_rsa_der(pkcs1.as_bytes());
    (signing, KeySet::parse(jwks.to_string().as_bytes()).expect("a JWK set"))
});

/// What a principal says, by last arc, as the fixture shows it.
#[derive(Debug, PartialEq)]
struct Said {
    san: String,
    fulcio: BTreeMap<u32, String>,
    gitlab: BTreeMap<u32, String>,
}

impl Said {
    fn of(principal: &Principal) -> Self {
        let SubjectAltName::Uri(san) = principal.name() else { panic!("{principal:?} is named by no URI") };
        let arc = ClaimsArc::default();
        let mut said = Self { san: san.clone(), fulcio: BTreeMap::new(), gitlab: BTreeMap::new() };
        for extension in principal.extensions() {
            let oid = &extension.oid;
            let text =
                extensions::text_of(oid, &extension.content).expect("the encoding that the OID calls for");
            let family = match oid.parent() {
                Some(parent) if parent == extensions::FULCIO => &mut said.fulcio,
                Some(parent) if parent == *arc.arc() => &mut said.gitlab,
                _ => panic!("{oid} belongs to no family"),
            };
            let last = oid.arcs().last().expect("an OID has arcs");
            assert!(family.insert(last, text.to_owned()).is_none(), "{oid} twice");
        }
        said
    }

    fn expected(vector: &Value) -> Self {
        let family = |name: &str| {
            let members = vector[name].as_object().expect("an object").iter();
            members
                .map(|(arc, text)| (arc.parse().expect("a number"), text.as_str().expect("text").to_owned()))
                .collect()
        };
        let san = vector["san"].as_str().expect("text").to_owned();
        Self { san, fulcio: family("fulcio"), gitlab: family("gitlab") }
    }
}

fn base() -> Value {
    FIXTURE["vectors"][0]["claims"].clone()
}

/// The base claims with some changed.
fn with(changes: Value) -> Value {
    let mut claims = base();
    let members = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value == ABSENT {
            members.shift_remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// The base claims on a branch of that name, all of them agreeing.
fn on_branch(name: &str) -> Value {
    with(json!({
        "ref": name,
        "ref_path": format!("refs/heads/{name}"),
        "ci_config_ref_uri": format!("gitlab.com/acme/widgets//.gitlab-ci.yml@refs/heads/{name}"),
    }))
}

/// The base claims on another instance.
fn on_instance(iss: &str, location: &str) -> Value {
    with(
        json!({"iss": iss, "ci_config_ref_uri": format!("{location}/acme/widgets//.gitlab-ci.yml@refs/heads/main")}),
    )
}

fn with_config_path(path: &str) -> Value {
    with(json!({"ci_config_ref_uri": format!("gitlab.com/acme/widgets//{path}@refs/heads/main")}))
}

fn issuer(url: &str, rules: GitlabRules) -> Issuer {
    Issuer { url: url.to_owned(), entries: [entry(rules)].into(), key_source: Arc::new(key_source()) }
}

fn entry(rules: GitlabRules) -> Entry {
    Entry { audience: "sigstore".to_owned(), allow_multiple_audiences: false, kind: rules.into() }
}

fn key_source() -> KeySource {
    KeySource::Discovery { ca_certificate: None, outage_grace: Duration::ZERO }
}

/// The whole way from claims to a principal, on an allow-list.
fn principal_among(issuers: &Issuers, claims: &Value) -> Result<Principal, Refusal> {
    let (signing, keys) = &*KEYS;
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::RS256) };
    let text = jsonwebtoken::encode(&header, claims, signing).expect("a token");
    let token = UnverifiedToken::parse(&text)?;
    let issuer = issuers.find(token.issuer()).ok_or(Reason::TokenIssuerUnknown)?;
    let expected =
        Expectations { issuer: &issuer.url, algorithms: &issuer.algorithms(), times: Times::CERTIFICATE };
    let token = token.verify(keys, &expected, NOW)?;
    issuer.entry_for(&token)?.kind.principal(&issuer.url, &token)
}

fn principal_under(rules: GitlabRules, claims: &Value) -> Result<Principal, Refusal> {
    let url = claims["iss"].as_str().expect("an issuer");
    principal_among(&Issuers::new(vec![issuer(url, rules)], Vec::new()), claims)
}

fn principal(claims: &Value) -> Result<Principal, Refusal> {
    principal_under(GitlabRules::default(), claims)
}

fn said(claims: &Value) -> Said {
    Said::of(&principal(claims).unwrap_or_else(|refusal| panic!("{refusal}\n{claims}")))
}

fn san_under(rules: GitlabRules, claims: &Value) -> String {
    Said::of(&principal_under(rules, claims).unwrap_or_else(|refusal| panic!("{refusal}\n{claims}"))).san
}

/// Asserts a refusal, and that it shows no claim's value.
fn assert_refused_under(rules: GitlabRules, claims: &Value, reason: Reason, claim: &str, rule: &str) {
    let refusal = match principal_under(rules, claims) {
        Ok(principal) => panic!("{:?}\n{claims}", Said::of(&principal)),
        Err(refusal) => refusal,
    };
    let found = (refusal.reason(), refusal.claim(), refusal.rule());
    assert_eq!(found, (reason, Some(claim), Some(rule)), "{claims}");
    let shown = format!("{refusal} {refusal:?}");
    for secret in ["714a629c", "42831435", "757451528", "3659681386", "acme", "jdoe"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn assert_refused(claims: &Value, reason: Reason, claim: &str, rule: &str) {
    assert_refused_under(GitlabRules::default(), claims, reason, claim, rule);
}

/// Claims that every token must have (rule 3).
const REQUIRED: [&str; 12] = [
    "sub",
    "namespace_id",
    "namespace_path",
    "project_id",
    "project_path",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "ref",
    "ref_type",
    "sha",
    "runner_environment",
];

/// Claims that enter the certificate where the token has them; all are strings.
const OPTIONAL: [&str; 11] = [
    "ref_path",
    "ref_protected",
    "environment",
    "environment_protected",
    "deployment_tier",
    "job_project_path",
    "job_project_id",
    "job_source",
    "project_visibility",
    "ci_config_ref_uri",
    "ci_config_sha",
];
