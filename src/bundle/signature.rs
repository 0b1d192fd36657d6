//! Signatures over artifacts and statements: which algorithm a key signs with, and its name in Sigstore's messages
//! (`sigstore_common.proto`, `PublicKeyDetails` and `HashAlgorithm`).

use super::error::{Problem, VerificationError, problem};
use crate::certificate::PublicKeyKind;
use crate::transparency::{Hash, sha256};
use aws_lc_rs::digest::{self, Digest, digest};
use aws_lc_rs::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};
use der::Decode;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// What was signed, as the verifier has it.
#[derive(Clone, Copy)]
pub enum Artifact<'a> {
    /// Its octets.
    Octets(&'a [u8]),
    /// Its SHA-256, where the octets are not at hand.
    Sha256(Hash),
}

impl std::fmt::Debug for Artifact<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Octets(_) => "Artifact(octets)",
            Self::Sha256(_) => "Artifact(SHA-256)",
        })
    }
}

impl Artifact<'_> {
    /// Its SHA-256.
    pub fn sha256(&self) -> Hash {
        match self {
            Self::Octets(octets) => sha256(octets),
            Self::Sha256(hash) => *hash,
        }
    }

    /// Its digest, where that can be known.
    pub(super) fn digest(&self, algorithm: HashAlgorithm) -> Option<Digest> {
        match (self, algorithm) {
            (Self::Octets(octets), _) => Some(digest(algorithm.implementation(), octets)),
            (Self::Sha256(hash), HashAlgorithm::Sha256) => {
                Digest::import_less_safe(hash, &digest::SHA256).ok()
            }
            (Self::Sha256(_), _) => None,
        }
    }
}

/// A hash function that signatures are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name of the enum's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA2_256",
            Self::Sha384 => "SHA2_384",
            Self::Sha512 => "SHA2_512",
        }
    }

    /// The name in Rekor v1's entries and in-toto's digest sets.
    pub const fn plain_name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// By the name of the enum's value.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// By the plain name.
    pub fn of_plain(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.plain_name() == name)
    }

    const fn implementation(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// The digest of `octets`.
    pub fn digest(self, octets: &[u8]) -> Vec<u8> {
        digest(self.implementation(), octets).as_ref().to_vec()
    }
}

/// The key that must have signed: from the certificate, or the verifier's own.
#[derive(Clone, Debug)]
pub struct SigningKey {
    spki: Vec<u8>,
    kind: PublicKeyKind,
}

impl SigningKey {
    /// From a DER SubjectPublicKeyInfo.
    pub fn from_spki(spki: &[u8]) -> Result<Self, VerificationError> {
        let kind = PublicKeyKind::of(spki);
        let kind = kind.map_err(|error| unsupported(format!("the public key cannot be read: {error}")))?;
        Ok(Self { spki: spki.to_vec(), kind })
    }

    /// DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The hash that keys of this sort sign with, unless the bundle says another; `None`: the message itself (Ed25519).
    pub fn own_hash(&self) -> Option<HashAlgorithm> {
        match self.kind {
            PublicKeyKind::P384 => Some(HashAlgorithm::Sha384),
            PublicKeyKind::P521 => Some(HashAlgorithm::Sha512),
            PublicKeyKind::Ed25519 => None,
            _ => Some(HashAlgorithm::Sha256),
        }
    }

    /// The names that entries of a signature log may give to this key and that hash.
    pub(super) fn details(&self, hash: HashAlgorithm) -> &'static [&'static str] {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        match (self.kind, hash) {
            (PublicKeyKind::P256, Sha256) => &["PKIX_ECDSA_P256_SHA_256"],
            (PublicKeyKind::P384, Sha384) => &["PKIX_ECDSA_P384_SHA_384"],
            (PublicKeyKind::P384, Sha256) => &["PKIX_ECDSA_P384_SHA_256"],
            (PublicKeyKind::P521, Sha512) => &["PKIX_ECDSA_P521_SHA_512"],
            (PublicKeyKind::P521, Sha256) => &["PKIX_ECDSA_P521_SHA_256"],
            (PublicKeyKind::Rsa(2048), Sha256) => &["PKIX_RSA_PKCS1V15_2048_SHA256"],
            (PublicKeyKind::Rsa(3072), Sha256) => &["PKIX_RSA_PKCS1V15_3072_SHA256"],
            (PublicKeyKind::Rsa(4096), Sha256) => &["PKIX_RSA_PKCS1V15_4096_SHA256"],
            (PublicKeyKind::Ed25519, Sha512) => &["PKIX_ED25519_PH"],
            (PublicKeyKind::Ed25519, Sha256) => &["PKIX_ED25519"],
            _ => &[],
        }
    }

    /// That the key signed `artifact`, with that hash.
    pub(super) fn verify(
        &self,
        artifact: Artifact<'_>,
        hash: Option<HashAlgorithm>,
        signature: &[u8],
    ) -> Result<(), VerificationError> {
        let wrong = || problem(Problem::SignatureInvalid, PLACE, "it does not verify with the signer's key");
        let info = SubjectPublicKeyInfoRef::from_der(&self.spki)
            .map_err(|error| unsupported(format!("the public key cannot be read: {error}")))?;
        let point = info.subject_public_key.raw_bytes();
        if self.kind == PublicKeyKind::Ed25519 {
            let Artifact::Octets(message) = artifact else {
                return Err(unsupported(
                    "Ed25519 signs the artifact itself: give the file, not its digest".into(),
                ));
            };
            let key = UnparsedPublicKey::new(&algorithms::ED25519, point);
            return key.verify(message, signature).map_err(|_| wrong());
        }
        let hash = hash.or(self.own_hash()).unwrap_or(HashAlgorithm::Sha256);
        let algorithm = implementation(self.kind, hash)
            .ok_or_else(|| unsupported(format!("{} with {} is not accepted", self.kind, hash.name())))?;
        let digest = artifact.digest(hash).ok_or_else(|| {
            unsupported(format!("the signature is over the {} of the file: give the file", hash.name()))
        })?;
        UnparsedPublicKey::new(algorithm, point).verify_digest(&digest, signature).map_err(|_| wrong())
    }
}

const PLACE: &str = "signature";

fn unsupported(words: String) -> VerificationError {
    problem(Problem::SignatureUnsupported, PLACE, words)
}

fn implementation(kind: PublicKeyKind, hash: HashAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    let algorithm: &'static dyn VerificationAlgorithm = match (kind, hash) {
        (PublicKeyKind::P256, Sha256) => &algorithms::ECDSA_P256_SHA256_ASN1,
        (PublicKeyKind::P256, Sha384) => &algorithms::ECDSA_P256_SHA384_ASN1,
        (PublicKeyKind::P256, Sha512) => &algorithms::ECDSA_P256_SHA512_ASN1,
        (PublicKeyKind::P384, Sha256) => &algorithms::ECDSA_P384_SHA256_ASN1,
        (PublicKeyKind::P384, Sha384) => &algorithms::ECDSA_P384_SHA384_ASN1,
        (PublicKeyKind::P384, Sha512) => &algorithms::ECDSA_P384_SHA512_ASN1,
        (PublicKeyKind::P521, Sha256) => &algorithms::ECDSA_P521_SHA256_ASN1,
        (PublicKeyKind::P521, Sha384) => &algorithms::ECDSA_P521_SHA384_ASN1,
        (PublicKeyKind::P521, Sha512) => &algorithms::ECDSA_P521_SHA512_ASN1,
        (PublicKeyKind::Rsa(_), Sha256) => &algorithms::RSA_PKCS1_2048_8192_SHA256,
        (PublicKeyKind::Rsa(_), Sha384) => &algorithms::RSA_PKCS1_2048_8192_SHA384,
        (PublicKeyKind::Rsa(_), Sha512) => &algorithms::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    };
    Some(algorithm)
}
