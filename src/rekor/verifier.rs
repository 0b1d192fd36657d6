//! Whose signature an entry has: a public key or a certificate (`Verifier`), and whether a signature is that key's.

use super::algorithm::KeyDetails;
use super::canonical::{KeyMaterial, MAX_BODY};
use crate::certificate::PublicKeyKind;
use crate::certificate::inspect::Inspected;
use crate::hash::HashAlgorithm;
use crate::refusal::{Reason, Refusal};
use aws_lc_rs::digest::{Context, Digest, SHA512};
use aws_lc_rs::signature::ParsedPublicKey;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// RFC 8032 §2: dom2(1, "") of Ed25519ph without a context.
const ED25519PH_DOMAIN: &[u8] = b"SigEd25519 no Ed25519 collisions\x01\x00";

/// A key as a request has it: nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedVerifier {
    /// DER SubjectPublicKeyInfo, or DER certificate.
    pub material: Material,
    /// The algorithm it signs with.
    pub details: KeyDetails,
}

/// The octets of a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Material {
    /// DER SubjectPublicKeyInfo.
    PublicKey(Vec<u8>),
    /// DER certificate.
    Certificate(Vec<u8>),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PublicKey(_) => "PublicKey",
            Self::Certificate(_) => "Certificate",
        })
    }
}

impl Material {
    /// The octets.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::PublicKey(octets) | Self::Certificate(octets) => octets,
        }
    }
}

/// A key that could be read and fits its algorithm.
#[derive(Debug)]
pub struct Verifier {
    material: Material,
    certificate: Option<Box<Inspected>>,
    details: KeyDetails,
    key: Key,
}

enum Key {
    Parsed(ParsedPublicKey),
    /// The point and its encoding.
    Ed25519Ph(Box<EdwardsPoint>, [u8; 32]),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Verifier {
    /// Reads the key.
    ///
    /// # Errors
    /// [`Reason::VerifierUnparsable`], [`Reason::VerifierKeyMismatch`], [`Reason::KeyInsecure`],
    /// [`Reason::EntryTooLarge`].
    pub fn read(proposed: ProposedVerifier) -> Result<Self, Refusal> {
        let ProposedVerifier { material, details } = proposed;
        // Base64 makes it longer still.
        if material.octets().len() > MAX_BODY {
            return Err(Reason::EntryTooLarge.into());
        }
        let certificate = match &material {
            Material::PublicKey(_) => None,
            Material::Certificate(der) => {
                let read = Inspected::from_der(der);
                Some(Box::new(read.map_err(|_| unparsable("The certificate cannot be read."))?))
            }
        };
        let spki = certificate.as_ref().map_or(material.octets(), |certificate| certificate.spki_der());
        let key = Key::read(spki, details)?;
        Ok(Self { material, certificate, details, key })
    }

    /// Its algorithm.
    pub const fn details(&self) -> KeyDetails {
        self.details
    }

    /// As an entry says it.
    pub const fn material(&self) -> KeyMaterial<'_> {
        match &self.material {
            Material::PublicKey(octets) => KeyMaterial::PublicKey(octets.as_slice()),
            Material::Certificate(octets) => KeyMaterial::Certificate(octets.as_slice()),
        }
    }

    /// The certificate, where it is one.
    pub fn certificate(&self) -> Option<&Inspected> {
        self.certificate.as_deref()
    }

    /// DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        self.certificate.as_ref().map_or(self.material.octets(), |certificate| certificate.spki_der())
    }

    /// Whether `signature` is this key's over a message with this digest, which is of the key's own hash.
    pub fn verifies_digest(&self, digest: &[u8], signature: &[u8]) -> bool {
        let Some(hash) = self.details.hash().filter(|hash| hash.length() == digest.len()) else {
            return false;
        };
        match &self.key {
            Key::Parsed(key) => Digest::import_less_safe(digest, hash.algorithm())
                .is_ok_and(|digest| key.verify_digest_sig(&digest, signature).is_ok()),
            Key::Ed25519Ph(point, encoded) => verifies_ed25519ph(point, encoded, digest, signature),
        }
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies_message(&self, message: &[u8], signature: &[u8]) -> bool {
        match (&self.key, self.details.hash()) {
            (_, Some(hash)) => self.verifies_digest(&hash.digest(message), signature),
            (Key::Parsed(key), None) => key.verify_sig(message, signature).is_ok(),
            (Key::Ed25519Ph(..), None) => false,
        }
    }

    /// The hash of its signatures; `None` for pure Ed25519.
    pub const fn hash(&self) -> Option<HashAlgorithm> {
        self.details.hash()
    }
}

impl Key {
    fn read(spki: &[u8], details: KeyDetails) -> Result<Self, Refusal> {
        let unreadable = || unparsable("It is no SubjectPublicKeyInfo in DER, or its key is none.");
        let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| unreadable())?;
        let kind = PublicKeyKind::of(spki).map_err(|_| unreadable())?;
        if !details.fits(kind) {
            let problem = format!("It is {kind}, and `keyDetails` says {}.", details.name());
            return Err(Refusal::new(Reason::VerifierKeyMismatch).because(problem));
        }
        let octets = info.subject_public_key.as_bytes().ok_or_else(unreadable)?;
        let is_point = matches!(kind, PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521);
        // SEC 1 §2.3.3: verifiers elsewhere read uncompressed points alone.
        if is_point && octets.first() != Some(&4) {
            return Err(unreadable());
        }
        if kind == PublicKeyKind::Ed25519 {
            let encoded: [u8; 32] = octets.try_into().map_err(|_| unreadable())?;
            let point = CompressedEdwardsY(encoded).decompress().ok_or_else(unreadable)?;
            // Every signature by such a "key" can be made without a private half.
            if point.is_small_order() {
                return Err(Refusal::new(Reason::KeyInsecure).because("It is a point of small order."));
            }
            if details == KeyDetails::Ed25519Ph {
                return Ok(Self::Ed25519Ph(Box::new(point), encoded));
            }
        }
        let algorithm = details.algorithm().ok_or_else(unreadable)?;
        // aws-lc checks that a point is on its curve and not at infinity.
        ParsedPublicKey::new(algorithm, octets).map(Self::Parsed).map_err(|_| unreadable())
    }
}

/// RFC 8032 §5.1.7, without the cofactor and with S in range, as the reference verifies.
fn verifies_ed25519ph(key: &EdwardsPoint, encoded: &[u8; 32], digest: &[u8], signature: &[u8]) -> bool {
    let Some((r, s)) = signature.split_first_chunk::<32>() else { return false };
    let Ok(s) = <[u8; 32]>::try_from(s) else { return false };
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)) else { return false };
    let mut hash = Context::new(&SHA512);
    for part in [ED25519PH_DOMAIN, r, encoded, digest] {
        hash.update(part);
    }
    let Ok(hash) = <[u8; 64]>::try_from(hash.finish().as_ref()) else { return false };
    let k = Scalar::from_bytes_mod_order_wide(&hash);
    EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-key, &s).compress().as_bytes() == r
}

fn unparsable(detail: &'static str) -> Refusal {
    Refusal::new(Reason::VerifierUnparsable).because(detail)
}
