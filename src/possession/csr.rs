//! Certificate signing requests (PKCS#10, RFC 2986): the key and its signature, nothing else.

use super::key::{Hash, KeyKind, PublicKey};
use crate::refusal::{Reason, Refusal};
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{Decode, Encode, Sequence};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// CertificationRequest.
#[derive(Sequence)]
pub(super) struct Csr<'r> {
    /// CertificationRequestInfo, kept as it is because the signature covers its octets.
    info: AnyRef<'r>,
    algorithm: AlgorithmIdentifierRef<'r>,
    signature: BitStringRef<'r>,
}

/// CertificationRequestInfo. Subject and attributes are not looked into: nothing of them is used.
#[derive(Sequence)]
struct CertificationRequestInfo<'r> {
    version: u8,
    subject: AnyRef<'r>,
    public_key: SubjectPublicKeyInfoRef<'r>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    attributes: Option<der::asn1::SetOfVec<der::Any>>,
}

impl<'r> Csr<'r> {
    pub(super) fn parse(der: &'r [u8]) -> Result<Self, Refusal> {
        Self::from_der(der).map_err(|_| Reason::CsrUnparsable.into())
    }

    /// The key that the request is for.
    pub(super) fn public_key(&self) -> Result<PublicKey, Refusal> {
        let info: CertificationRequestInfo<'_> = self.info.decode_as().map_err(|_| Reason::CsrUnparsable)?;
        PublicKey::from_spki(&info.public_key).map_err(|refusal| match refusal.reason() {
            Reason::KeyUnparsable => Reason::CsrUnparsable.into(),
            _ => refusal,
        })
    }

    /// The hash of the request's signature, when its algorithm is one that this kind of key may use.
    pub(super) fn hash_for(&self, kind: KeyKind) -> Result<Hash, Refusal> {
        let ecdsa = matches!(kind, KeyKind::P256 | KeyKind::P384 | KeyKind::P521);
        match self.algorithm.oid {
            ECDSA_WITH_SHA256 if ecdsa => Ok(Hash::Sha256),
            ECDSA_WITH_SHA384 if ecdsa => Ok(Hash::Sha384),
            ECDSA_WITH_SHA512 if ecdsa => Ok(Hash::Sha512),
            SHA256_WITH_RSA if kind == KeyKind::Rsa => Ok(Hash::Sha256),
            SHA384_WITH_RSA if kind == KeyKind::Rsa => Ok(Hash::Sha384),
            SHA512_WITH_RSA if kind == KeyKind::Rsa => Ok(Hash::Sha512),
            ED25519 if kind == KeyKind::Ed25519 => Ok(Hash::None),
            other => Err(Refusal::new(Reason::CsrAlgorithmNotPermitted)
                .because(format!("{} key, signature algorithm {other}", kind.name()))),
        }
    }

    /// Whether the request's signature is its own key's (RFC 2986 §4.2).
    pub(super) fn is_signed_by(&self, key: &PublicKey, hash: Hash) -> bool {
        let (Ok(info), Some(signature)) = (self.info.to_der(), self.signature.as_bytes()) else {
            return false;
        };
        key.verifies(hash, &info, signature)
    }
}
