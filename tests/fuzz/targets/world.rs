//! What the targets share: an issuer whose key is known, a CA, a caller's key, and what every refusal promises.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use countersign::api::error::presentation;
use countersign::certificate::inspect::{AlternativeName, Inspected};
use countersign::certificate::{CaChain, Template};
use countersign::environment::{Random, UnixMillis};
use countersign::identity::extensions::{self, ClaimsArc, text_of};
use countersign::identity::gitlab::GitlabRules;
use countersign::identity::{Entry, Principal, SubjectAltName};
use countersign::policy::{Authorization, Policy};
use countersign::possession::{Possession, ProvenKey};
use countersign::refusal::{Fault, Refusal};
use countersign::token::{Algorithm, Expectations, KeySet, Times, UnverifiedToken, VerifiedToken};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The issuer of every token.
pub const ISSUER: &str = "https://gitlab.example.com";
/// The time: 2026-11-21T09:00:00Z.
pub const NOW: UnixMillis = UnixMillis(1_795_251_600_000);
/// What inputs put into values that no message may repeat.
pub const SECRET: &str = "SECRET";
/// Issuing certificate and root.
pub const CHAIN: &str = include_str!("../../fixtures/certificate/chain.pem");
/// The issuing certificate's key, which also signs checkpoints here.
pub const ISSUING_KEY: &str = include_str!("../../fixtures/certificate/issuing.key");

/// Random bytes that are always the same.
pub struct Always;

impl Random for Always {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0xa5);
    }
}

/// The issuer's key.
pub fn issuer_key() -> &'static Ed25519KeyPair {
    static KEY: OnceLock<Ed25519KeyPair> = OnceLock::new();
    KEY.get_or_init(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"))
}

/// The key set that the issuer publishes.
pub fn key_set() -> &'static Arc<KeySet> {
    static KEYS: OnceLock<Arc<KeySet>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let x = BASE64_URL_SAFE_NO_PAD.encode(issuer_key().public_key().as_ref());
        let jwks =
            format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","use":"sig","x":"{x}"}}]}}"#);
        Arc::new(KeySet::parse(jwks.as_bytes()).expect("a key set"))
    })
}

/// A token with this header and payload, signed by the issuer.
pub fn signed(header: &[u8], payload: &[u8]) -> String {
    let [header, payload] = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let signed = format!("{header}.{payload}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer_key().sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// What is expected of a token of [`ISSUER`].
pub const EXPECTED: Expectations<'static> =
    Expectations { issuer: ISSUER, algorithms: &[Algorithm::EdDSA], times: Times::CERTIFICATE };

/// The token with this payload, verified.
pub fn verified(payload: &[u8]) -> Result<VerifiedToken, Refusal> {
    let text = signed(br#"{"alg":"EdDSA","kid":"k1"}"#, payload);
    UnverifiedToken::parse(&text)?.verify(key_set(), &EXPECTED, NOW)
}

/// The CA's chain.
pub fn chain() -> &'static Arc<CaChain> {
    static PARSED: OnceLock<Arc<CaChain>> = OnceLock::new();
    PARSED.get_or_init(|| Arc::new(CaChain::from_pem(CHAIN.as_bytes()).expect("a chain")))
}

/// A caller's key.
pub fn proven_key() -> &'static ProvenKey {
    static KEY: OnceLock<ProvenKey> = OnceLock::new();
    let csr = include_bytes!("../../fixtures/csr/p256-sha256.pem");
    KEY.get_or_init(|| Possession::Csr(csr).prove("").expect("a request"))
}

/// What no rules say of a principal.
fn authorized(principal: &Principal) -> Authorization {
    static TOKEN: OnceLock<VerifiedToken> = OnceLock::new();
    let token = TOKEN.get_or_init(|| {
        let claims =
            format!(r#"{{"iss":"{ISSUER}","sub":"s","aud":"sigstore","exp":{}}}"#, NOW.as_secs() + 60);
        verified(claims.as_bytes()).expect("a token")
    });
    let entry = Entry {
        audience: "sigstore".into(),
        allow_multiple_audiences: false,
        kind: GitlabRules::default().into(),
    };
    let (_, authorization) =
        Policy::default().authorize(ISSUER, &entry, principal.clone(), token, proven_key());
    authorization.expect("there is no rule")
}

/// What every refusal of something that a caller sent promises: it is the caller's fault, has a status of 4xx and words,
/// and repeats nothing that is secret.
pub fn check_refusal(refusal: &Refusal) {
    let reason = refusal.reason();
    assert_eq!(reason.fault(), Fault::Caller, "{refusal}");
    assert!((400..500).contains(&presentation(reason).status), "{refusal}");
    assert!(!reason.code().is_empty() && !reason.explanation().is_empty());
    let shown = format!("{refusal} {refusal:?}");
    assert!(!shown.contains(SECRET), "a refusal repeats what it was sent: {shown}");
    assert!(!shown.chars().any(char::is_control), "a refusal has a control character: {shown:?}");
}

/// What every principal promises whose texts come from claims alone: that of [`check_certificate`], and no control characters.
pub fn check_principal(principal: &Principal) {
    for extension in principal.extensions() {
        let text = String::from_utf8_lossy(&extension.content);
        let text = text_of(&extension.oid, &extension.content).unwrap_or(&text);
        assert!(!text.chars().any(char::is_control), "{}: {text:?}", extension.oid);
    }
    check_certificate(principal);
}

/// What every principal promises, and that its certificate, read back, says the same of it and nothing else.
pub fn check_certificate(principal: &Principal) {
    assert_eq!(principal.issuer(), ISSUER);
    assert!(!principal.challenge().is_empty(), "nothing to sign");
    let name = principal.name().text();
    assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
    let arc = ClaimsArc::default();
    let mut seen = std::collections::HashSet::new();
    for extension in principal.extensions() {
        assert!(seen.insert(extension.oid), "{} twice", extension.oid);
        let text = text_of(&extension.oid, &extension.content).expect("a text, as its OID asks for");
        assert!(!text.is_empty(), "{} is empty", extension.oid);
        assert!(extensions::name_of(&extension.oid, &arc).is_some(), "{} has no name", extension.oid);
    }
    let lifetime = Duration::from_secs(600);
    let template = match Template::new(chain(), &authorized(principal), proven_key(), lifetime, NOW, &Always)
    {
        Ok(template) => template.without_embedded_sct(),
        Err(refusal) => return check_refusal(&refusal),
    };
    // The octets of a signature say nothing of the identity, and nobody verifies them here.
    let certificate = template.into_certificate(&[0x30, 6, 2, 1, 1, 2, 1, 1]);
    let read = Inspected::from_der(certificate.der()).expect("a certificate");
    let expected = match principal.name() {
        SubjectAltName::Uri(_) => AlternativeName::Uri(name.to_owned()),
        SubjectAltName::Email(_) => AlternativeName::Email(name.to_owned()),
        SubjectAltName::OtherName(_) => {
            AlternativeName::Other { oid: extensions::OTHER_NAME, text: name.to_owned() }
        }
    };
    assert_eq!(read.names(), [expected]);
    let as_read = read.identity_extensions().iter().map(|it| (it.oid, &it.content[..], it.critical));
    assert!(as_read.eq(principal.extensions().iter().map(|it| (it.oid, &it.content[..], false))));
    assert_eq!(read.spki_der(), proven_key().spki_der());
    assert!(read.is_for_code_signing() && !read.is_ca());
}
