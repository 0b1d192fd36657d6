//! Public keys and signatures as certificates carry them: SubjectPublicKeyInfo and AlgorithmIdentifier
//! (RFC 3279, RFC 5480, RFC 5758, RFC 8410).
//!
//! RSASSA-PSS and SHA-1 are not accepted.

use super::raw::Malformed;
use aws_lc_rs::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use der::oid::db::{rfc5912, rfc8410};
use der::{Decode, Reader, SliceReader};
use std::fmt;
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

/// What sort of public key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA with a modulus of that many bits.
    Rsa(usize),
    /// Ed25519.
    Ed25519,
    /// Something else, by its algorithm or its curve.
    Other(ObjectIdentifier),
}

impl PublicKeyKind {
    /// The kind of a DER SubjectPublicKeyInfo.
    pub fn of(spki: &[u8]) -> Result<Self, Malformed> {
        Ok(Self::of_parsed(&SubjectPublicKeyInfoRef::from_der(spki)?))
    }

    fn of_parsed(spki: &SubjectPublicKeyInfoRef<'_>) -> Self {
        let algorithm = spki.algorithm.oid;
        match algorithm {
            rfc5912::ID_EC_PUBLIC_KEY => match spki.algorithm.parameters_oid() {
                Ok(rfc5912::SECP_256_R_1) => Self::P256,
                Ok(rfc5912::SECP_384_R_1) => Self::P384,
                Ok(rfc5912::SECP_521_R_1) => Self::P521,
                Ok(curve) => Self::Other(curve),
                Err(_) => Self::Other(algorithm),
            },
            rfc5912::RSA_ENCRYPTION => match modulus_bits(spki.subject_public_key.raw_bytes()) {
                Ok(bits) => Self::Rsa(bits),
                Err(_) => Self::Other(algorithm),
            },
            rfc8410::ID_ED_25519 => Self::Ed25519,
            _ => Self::Other(algorithm),
        }
    }
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "a key of kind {oid}"),
        }
    }
}

/// Why a signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// This key cannot make signatures of this algorithm, or the algorithm is too weak.
    #[error("signature algorithm {algorithm} by {key} is not supported")]
    Unsupported {
        /// Of the signer.
        key: PublicKeyKind,
        /// Of the signature.
        algorithm: ObjectIdentifier,
    },
    /// It does not verify.
    #[error("the signature does not verify")]
    Wrong,
    /// Key or algorithm cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Verifies `signature` over `message` with the key of a DER SubjectPublicKeyInfo; `algorithm` is a DER
/// AlgorithmIdentifier.
pub fn verify(spki: &[u8], algorithm: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki).map_err(Malformed::from)?;
    let identifier = AlgorithmIdentifierRef::from_der(algorithm).map_err(Malformed::from)?;
    let key = PublicKeyKind::of_parsed(&spki);
    let algorithm = verification(key, &identifier)
        .ok_or(SignatureError::Unsupported { key, algorithm: identifier.oid })?;
    UnparsedPublicKey::new(algorithm, spki.subject_public_key.raw_bytes())
        .verify(message, signature)
        .map_err(|_| SignatureError::Wrong)
}

/// The algorithm for that key and that AlgorithmIdentifier: ECDSA with SHA-256, -384 or -512, RSA PKCS#1 v1.5 with the
/// same, Ed25519.
fn verification(
    key: PublicKeyKind,
    identifier: &AlgorithmIdentifierRef<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    use PublicKeyKind::{Ed25519, P256, P384, P521, Rsa};
    // RFC 5758 §3.2 and RFC 8410 §3: no parameters. RFC 4055 §5: NULL, and readers take absence.
    let no_parameters = identifier.parameters.is_none();
    let null = no_parameters || identifier.parameters.is_some_and(AnyRef::is_null);
    let algorithm: &'static dyn VerificationAlgorithm = match (key, identifier.oid) {
        (P256, rfc5912::ECDSA_WITH_SHA_256) if no_parameters => &algorithms::ECDSA_P256_SHA256_ASN1,
        (P256, rfc5912::ECDSA_WITH_SHA_384) if no_parameters => &algorithms::ECDSA_P256_SHA384_ASN1,
        (P256, rfc5912::ECDSA_WITH_SHA_512) if no_parameters => &algorithms::ECDSA_P256_SHA512_ASN1,
        (P384, rfc5912::ECDSA_WITH_SHA_256) if no_parameters => &algorithms::ECDSA_P384_SHA256_ASN1,
        (P384, rfc5912::ECDSA_WITH_SHA_384) if no_parameters => &algorithms::ECDSA_P384_SHA384_ASN1,
        (P384, rfc5912::ECDSA_WITH_SHA_512) if no_parameters => &algorithms::ECDSA_P384_SHA512_ASN1,
        (P521, rfc5912::ECDSA_WITH_SHA_256) if no_parameters => &algorithms::ECDSA_P521_SHA256_ASN1,
        (P521, rfc5912::ECDSA_WITH_SHA_384) if no_parameters => &algorithms::ECDSA_P521_SHA384_ASN1,
        (P521, rfc5912::ECDSA_WITH_SHA_512) if no_parameters => &algorithms::ECDSA_P521_SHA512_ASN1,
        (Rsa(_), rfc5912::SHA_256_WITH_RSA_ENCRYPTION) if null => &algorithms::RSA_PKCS1_2048_8192_SHA256,
        (Rsa(_), rfc5912::SHA_384_WITH_RSA_ENCRYPTION) if null => &algorithms::RSA_PKCS1_2048_8192_SHA384,
        (Rsa(_), rfc5912::SHA_512_WITH_RSA_ENCRYPTION) if null => &algorithms::RSA_PKCS1_2048_8192_SHA512,
        (Ed25519, rfc8410::ID_ED_25519) if no_parameters => &algorithms::ED25519,
        _ => return None,
    };
    Some(algorithm)
}

/// RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 §A.1.1)
fn modulus_bits(key: &[u8]) -> Result<usize, der::Error> {
    let sequence = AnyRef::from_der(key)?;
    let mut fields = SliceReader::new(sequence.value())?;
    let modulus = UintRef::decode(&mut fields)?;
    UintRef::decode(&mut fields)?;
    fields.finish()?;
    let octets = modulus.as_bytes();
    let unused = octets.first().map_or(0, |first| first.leading_zeros() as usize);
    Ok(octets.len() * 8 - unused)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LEAF_SPKI, chain};
    use super::*;
    use der::Encode;
    use x509_cert::spki::AlgorithmIdentifierOwned;

    #[test]
    fn algorithms_that_do_not_fit_the_key_are_refused_before_the_signature_is_looked_at() {
        let null = Some(der::asn1::Any::null());
        for (oid, parameters) in [
            (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, null.clone()),
            (rfc8410::ID_ED_25519, None),
            (rfc5912::ECDSA_WITH_SHA_256, null),
            (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), None), // ecdsa-with-SHA1
        ] {
            let algorithm = AlgorithmIdentifierOwned { oid, parameters }.to_der().unwrap();
            let refused = verify(LEAF_SPKI, &algorithm, b"message", &[]);
            let expected = SignatureError::Unsupported { key: PublicKeyKind::P256, algorithm: oid };
            assert_eq!(refused, Err(expected));
        }
    }

    #[test]
    fn keys_that_cannot_be_read_are_an_error() {
        let algorithm = chain().algorithm().identifier();
        for spki in [&[][..], &[0x30, 0], &LEAF_SPKI[1..]] {
            assert!(matches!(verify(spki, algorithm, b"", &[]), Err(SignatureError::Malformed(_))));
            assert!(PublicKeyKind::of(spki).is_err());
        }
        // A point that is not on the curve.
        let mut spki = LEAF_SPKI.to_vec();
        *spki.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&spki, algorithm, b"", &[]), Err(SignatureError::Wrong));
    }
}
