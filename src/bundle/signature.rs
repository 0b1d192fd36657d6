//! Signatures over artifacts and statements: which algorithm a key signs with, and its name in Sigstore's messages
//! (`sigstore_common.proto`, `PublicKeyDetails` and `HashAlgorithm`).

use super::error::{Problem, VerificationError, problem};
use crate::certificate::PublicKeyKind;
use crate::hash::HashAlgorithm;
use crate::rekor::KeyDetails;
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
            (Self::Octets(octets), _) => Some(digest(algorithm.algorithm(), octets)),
            (Self::Sha256(hash), HashAlgorithm::Sha256) => {
                Digest::import_less_safe(hash, &digest::SHA256).ok()
            }
            (Self::Sha256(_), _) => None,
        }
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

    /// What entries of a signature log may call this key, when it signs with that hash.
    pub(super) fn details(&self, hash: HashAlgorithm) -> impl Iterator<Item = KeyDetails> {
        let fitting = KeyDetails::ALL.iter().copied().filter(|details| details.fits(self.kind));
        // Pure Ed25519 has no hash of its own; entries give the message's SHA-256 or SHA-512.
        fitting.filter(move |details| details.hash().is_none_or(|own| own == hash))
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
