//! What tests of certificates share: a chain that never changes, and templates without a token.

use super::{CaChain, Certificate, Template, ToBeSigned};
use crate::environment::{Random, UnixMillis};
use crate::identity::{IdentityExtension, SubjectAltName};
use crate::refusal::Refusal;
use der::Encode;
use der::asn1::{ObjectIdentifier, Utf8StringRef};
use p256::ecdsa::signature::Signer;
use p256::pkcs8::DecodePrivateKey;
use std::sync::Arc;
use std::time::Duration;

/// Issuing certificate (P-256, 2026 to 2056) and root (P-384, 2026 to 2066), made with Python's `cryptography`.
pub(crate) const CHAIN: &str = include_str!("../../tests/fixtures/certificate/chain.pem");
/// The issuing certificate's key.
pub(crate) const ISSUING_KEY: &str = include_str!("../../tests/fixtures/certificate/issuing.key");
/// Somebody's P-256 key.
pub(crate) const LEAF_SPKI: &[u8] = include_bytes!("../../tests/fixtures/certificate/leaf.spki.der");
/// 2026-11-21T09:00:00.123Z
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_251_600_123);
/// The lifetime of every certificate.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);
/// The name that templates have.
pub(crate) const NAME: &str = "https://gitlab.example.com/group/project//.gitlab-ci.yml@refs/heads/main";

/// Random bytes that are always the same.
pub(crate) struct Always(pub(crate) u8);

impl Random for Always {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

pub(crate) fn chain() -> Arc<CaChain> {
    Arc::new(CaChain::from_pem(CHAIN.as_bytes()).unwrap())
}

/// Raw and DER extensions, with empty and non-ASCII texts and one that needs a long length.
pub(crate) fn identity_extensions() -> Vec<IdentityExtension> {
    let fulcio = |arc| ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1").push_arc(arc).unwrap();
    let claims = ObjectIdentifier::new_unwrap(
        "1.2.840.113556.1.8000.2554.28867.4258.65327.16907.43729.14999557.3402717",
    );
    let utf8 = |text| Utf8StringRef::new(text).unwrap().to_der().unwrap().into();
    vec![
        IdentityExtension { oid: fulcio(1), content: b"https://gitlab.example.com"[..].into() },
        IdentityExtension { oid: fulcio(8), content: utf8("https://gitlab.example.com") },
        IdentityExtension { oid: fulcio(9), content: utf8(NAME) },
        IdentityExtension { oid: fulcio(14), content: utf8("refs/heads/größe") },
        IdentityExtension { oid: fulcio(21), content: utf8(&"x".repeat(300)) },
        IdentityExtension { oid: claims.push_arc(3).unwrap(), content: utf8("group/project") },
    ]
}

pub(crate) fn template(chain: &Arc<CaChain>, now: UnixMillis) -> Result<Template, Refusal> {
    let name = SubjectAltName::Uri(NAME.into());
    Template::freeze(chain, (&name, &identity_extensions()), LEAF_SPKI, LIFETIME, now, &Always(0xa5))
}

/// The signature of [`ISSUING_KEY`]; always the same (RFC 6979).
pub(crate) fn sign(tbs: &ToBeSigned) -> Vec<u8> {
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(ISSUING_KEY).unwrap();
    let signature: p256::ecdsa::DerSignature = key.sign(tbs.der());
    signature.as_bytes().to_vec()
}

/// An SCT in shape, with a leaf_index extension and no true signature.
pub(crate) fn sct() -> Vec<u8> {
    let timestamp = NOW.0.to_be_bytes();
    let signature = [0x30, 6, 2, 1, 1, 2, 1, 1];
    [&[0], &[0x77; 32][..], &timestamp, &[0, 8, 0, 0, 5, 0, 0, 0, 0, 42], &[4, 3, 0, 8], &signature].concat()
}

/// The whole way, with [`sct`].
pub(crate) fn issue(chain: &Arc<CaChain>, now: UnixMillis) -> Certificate {
    issued(template(chain, now).unwrap())
}

/// The same for somebody else.
pub(crate) fn issue_to(name: &SubjectAltName, extensions: &[IdentityExtension]) -> Certificate {
    let subject = (name, extensions);
    issued(Template::freeze(&chain(), subject, LEAF_SPKI, LIFETIME, NOW, &Always(0xa5)).unwrap())
}

fn issued(template: Template) -> Certificate {
    let signature = sign(template.precertificate_tbs());
    let logged = template.into_precertificate(&signature).logged(sct());
    let corresponding = logged.prove_correspondence().unwrap();
    let signature = sign(corresponding.certificate_tbs());
    corresponding.into_certificate(&signature)
}
