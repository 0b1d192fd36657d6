//! Public keys: the kinds that certificates may carry, their parsing, their soundness, and what they verify.

use super::rsa;
use crate::refusal::{Reason, Refusal};
use aws_lc_rs::signature::{self as lc, ParsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");

/// A kind of key that certificates may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// ECDSA on NIST P-521.
    P521,
    /// RSA with PKCS#1 v1.5 signatures.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// A hash function under a signature; [`Hash::None`] for Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
    None,
}

/// PKCS#1 RSAPublicKey (RFC 8017 §A.1.1).
#[derive(Sequence)]
pub(super) struct RsaPublicKey<'k> {
    pub(super) modulus: UintRef<'k>,
    pub(super) public_exponent: UintRef<'k>,
}

/// A public key of a known kind, in one spelling.
#[derive(Clone)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
    key_length: usize,
    /// Ready to verify with the kind's own hash. `None` for RSA keys of a size that aws-lc does not take.
    own: Option<ParsedPublicKey>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({:?})", self.kind)
    }
}

impl KeyKind {
    /// The hash that a proof over the challenge is made with.
    pub(super) const fn own_hash(self) -> Hash {
        match self {
            Self::P256 | Self::Rsa => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
            Self::Ed25519 => Hash::None,
        }
    }

    /// Every kind.
    pub const ALL: [Self; 5] = [Self::P256, Self::P384, Self::P521, Self::Rsa, Self::Ed25519];

    /// The names of all of them in rules.
    pub const CODES: [&'static str; 5] =
        [Self::P256.code(), Self::P384.code(), Self::P521.code(), Self::Rsa.code(), Self::Ed25519.code()];

    /// Its name in rules.
    pub const fn code(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-p256",
            Self::P384 => "ecdsa-p384",
            Self::P521 => "ecdsa-p521",
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Its name, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

impl PublicKey {
    /// From PEM, or from DER of a SubjectPublicKeyInfo, which no text can be.
    ///
    /// # Errors
    /// As [`Self::from_spki_der`].
    pub fn parse(key: &[u8]) -> Result<Self, Refusal> {
        const SEQUENCE: u8 = 0x30;
        if key.first() == Some(&SEQUENCE) { Self::from_spki_der(key) } else { Self::from_pem(key) }
    }

    /// From PEM: `PUBLIC KEY` or `RSA PUBLIC KEY`, the first block alone.
    pub fn from_pem(text: &[u8]) -> Result<Self, Refusal> {
        let block = super::pem_block(text, &["PUBLIC KEY", "RSA PUBLIC KEY"]).ok_or(Reason::KeyUnparsable)?;
        match block.tag() {
            "PUBLIC KEY" => Self::from_spki_der(block.contents()),
            _ => Self::from_pkcs1_der(block.contents()),
        }
    }

    /// From a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Reason::KeyUnparsable`]; [`Reason::KeyInsecure`] for kinds that are known and not accepted.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Refusal> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| Reason::KeyUnparsable)?;
        Self::from_spki(&info)
    }

    pub(super) fn from_spki(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Refusal> {
        let kind = kind_of(&info.algorithm)?;
        let key = info.subject_public_key.as_bytes().ok_or(Reason::KeyUnparsable)?;
        check_encoding(kind, key)?;
        let spki = info.to_der().map_err(|_| Reason::KeyUnparsable)?;
        // aws-lc checks that a point is on its curve and not at infinity.
        let own = kind.algorithm(kind.own_hash()).and_then(|own| ParsedPublicKey::new(own, key).ok());
        if own.is_none() && kind != KeyKind::Rsa {
            return Err(Reason::KeyUnparsable.into());
        }
        Ok(Self { kind, spki, key_length: key.len(), own })
    }

    fn from_pkcs1_der(der: &[u8]) -> Result<Self, Refusal> {
        let algorithm = AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) };
        let subject_public_key = BitStringRef::from_bytes(der).map_err(|_| Reason::KeyUnparsable)?;
        Self::from_spki(&SubjectPublicKeyInfoRef { algorithm, subject_public_key })
    }

    /// DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The content of the subjectPublicKey BIT STRING. It is the last field of the SubjectPublicKeyInfo.
    pub fn subject_public_key(&self) -> &[u8] {
        self.spki.get(self.spki.len().saturating_sub(self.key_length)..).unwrap_or_default()
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Refuses keys that somebody else could compute the private half of.
    pub(super) fn check_strength(&self) -> Result<(), Refusal> {
        match self.kind {
            KeyKind::Rsa => {
                let key =
                    RsaPublicKey::from_der(self.subject_public_key()).map_err(|_| Reason::KeyUnparsable)?;
                rsa::check(&key).map_err(|weakness| Refusal::new(Reason::KeyInsecure).because(weakness))
            }
            // Every signature by such a "key" can be made without a private half.
            KeyKind::Ed25519 if has_small_order(self.subject_public_key()) => {
                Err(Refusal::new(Reason::ProofInvalid)
                    .because("The Ed25519 key is a point of small order: a signature by it proves nothing."))
            }
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => Ok(()),
        }
    }

    /// Whether `signature` over `message` is this key's. ECDSA signatures may be DER or r||s of fixed length.
    pub(super) fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let verified_by = |key: &ParsedPublicKey| key.verify_sig(message, signature).is_ok();
        let parsed = |algorithm| ParsedPublicKey::new(algorithm, self.subject_public_key()).ok();
        if hash == self.kind.own_hash() {
            let raw = || self.kind.raw_algorithm(signature.len()).and_then(parsed);
            self.own.as_ref().is_some_and(verified_by) || raw().as_ref().is_some_and(verified_by)
        } else {
            self.kind.algorithm(hash).and_then(parsed).as_ref().is_some_and(verified_by)
        }
    }
}

impl KeyKind {
    /// How aws-lc calls this kind of key with that hash, ECDSA signatures in DER.
    fn algorithm(self, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self, hash) {
            (Self::P256, Hash::Sha256) => &lc::ECDSA_P256_SHA256_ASN1,
            (Self::P256, Hash::Sha384) => &lc::ECDSA_P256_SHA384_ASN1,
            (Self::P256, Hash::Sha512) => &lc::ECDSA_P256_SHA512_ASN1,
            (Self::P384, Hash::Sha256) => &lc::ECDSA_P384_SHA256_ASN1,
            (Self::P384, Hash::Sha384) => &lc::ECDSA_P384_SHA384_ASN1,
            (Self::P384, Hash::Sha512) => &lc::ECDSA_P384_SHA512_ASN1,
            (Self::P521, Hash::Sha256) => &lc::ECDSA_P521_SHA256_ASN1,
            (Self::P521, Hash::Sha384) => &lc::ECDSA_P521_SHA384_ASN1,
            (Self::P521, Hash::Sha512) => &lc::ECDSA_P521_SHA512_ASN1,
            (Self::Rsa, Hash::Sha256) => &lc::RSA_PKCS1_2048_8192_SHA256,
            (Self::Rsa, Hash::Sha384) => &lc::RSA_PKCS1_2048_8192_SHA384,
            (Self::Rsa, Hash::Sha512) => &lc::RSA_PKCS1_2048_8192_SHA512,
            (Self::Ed25519, Hash::None) => &lc::ED25519,
            (Self::Ed25519, _) | (_, Hash::None) => return None,
        })
    }

    /// The same for ECDSA signatures as r||s, with the key's own hash, when the signature has that length.
    fn raw_algorithm(self, length: usize) -> Option<&'static dyn VerificationAlgorithm> {
        match (self, length) {
            (Self::P256, 64) => Some(&lc::ECDSA_P256_SHA256_FIXED),
            (Self::P384, 96) => Some(&lc::ECDSA_P384_SHA384_FIXED),
            (Self::P521, 132) => Some(&lc::ECDSA_P521_SHA512_FIXED),
            _ => None,
        }
    }
}

/// RFC 8017 §A.1, RFC 5480 §2.1.1, RFC 8410 §3.
fn kind_of(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<KeyKind, Refusal> {
    let insecure = |what| Err(Refusal::new(Reason::KeyInsecure).because(what));
    match (algorithm.oid, algorithm.parameters) {
        (RSA_ENCRYPTION, Some(null)) if null.is_null() => Ok(KeyKind::Rsa),
        (EC_PUBLIC_KEY, Some(curve)) => match curve.decode_as::<ObjectIdentifier>() {
            Ok(P256) => Ok(KeyKind::P256),
            Ok(P384) => Ok(KeyKind::P384),
            Ok(P521) => Ok(KeyKind::P521),
            Ok(P224) => insecure("It is on the curve P-224."),
            _ => Err(Refusal::new(Reason::KeyUnparsable).because("It is on a curve that is not known here.")),
        },
        (ED25519, None) => Ok(KeyKind::Ed25519),
        (DSA, _) => insecure("It is a DSA key."),
        (X25519, _) => insecure("It is an X25519 key, which cannot sign."),
        _ => Err(Refusal::new(Reason::KeyUnparsable).because("It is of a kind that is not known here.")),
    }
}

/// The key's own octets: uncompressed points (SEC 1 §2.3.3), 32 octets for Ed25519, an RSAPublicKey.
fn check_encoding(kind: KeyKind, key: &[u8]) -> Result<(), Refusal> {
    let point = |field_bytes: usize| key.len() == 1 + 2 * field_bytes && key.first() == Some(&4);
    let well_formed = match kind {
        KeyKind::P256 => point(32),
        KeyKind::P384 => point(48),
        KeyKind::P521 => point(66),
        KeyKind::Ed25519 => key.len() == 32,
        KeyKind::Rsa => {
            RsaPublicKey::from_der(key).is_ok_and(|key| key.public_exponent.as_bytes().len() <= 8)
        }
    };
    if well_formed { Ok(()) } else { Err(Reason::KeyUnparsable.into()) }
}

/// Whether an Ed25519 public key decodes to one of the eight points whose order divides 8, in any spelling.
fn has_small_order(key: &[u8]) -> bool {
    // y of these points modulo 2^255 - 19, little-endian, in every encoding below 2^255; the top bit is x's sign.
    const P: [u8; 32] = {
        let mut p = [0xff; 32];
        p[0] = 0xed;
        p[31] = 0x7f;
        p
    };
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
    ];
    let Ok(mut y) = <[u8; 32]>::try_from(key) else { return false };
    y[31] &= 0x7f;
    let small = |value: u8| y[0] == value && y[1..].iter().all(|byte| *byte == 0);
    let near_p = |offset: i16| {
        let low = i16::from(P[0]) + offset;
        i16::from(y[0]) == low && y[1..] == P[1..]
    };
    small(0) || small(1) || near_p(-1) || near_p(0) || near_p(1) || ORDER_8.contains(&y)
}
