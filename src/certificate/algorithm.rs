//! What a CA's key signs with.

use super::signature::PublicKeyKind;
use std::fmt;

/// What the CA's key signs with, decided by the issuing certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaAlgorithm {
    /// ecdsa-with-SHA256, P-256.
    EcdsaP256Sha256,
    /// ecdsa-with-SHA384, P-384.
    EcdsaP384Sha384,
    /// ecdsa-with-SHA512, P-521.
    EcdsaP521Sha512,
    /// sha256WithRSAEncryption: PKCS#1 v1.5, a modulus of 2048 to 4096 bits.
    RsaSha256,
    /// Ed25519. Some clients refuse such a CA.
    Ed25519,
}

impl CaAlgorithm {
    /// DER AlgorithmIdentifier: without parameters (RFC 5758 §3.2, RFC 8410 §3), but for RSA's NULL (RFC 4055 §5).
    pub const fn identifier(self) -> &'static [u8] {
        match self {
            Self::EcdsaP256Sha256 => &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
            Self::EcdsaP384Sha384 => &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
            Self::EcdsaP521Sha512 => &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4],
            Self::RsaSha256 => &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0],
            Self::Ed25519 => &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70],
        }
    }

    /// The algorithm of an issuing key.
    pub(super) fn of(key: PublicKeyKind) -> Option<Self> {
        match key {
            PublicKeyKind::P256 => Some(Self::EcdsaP256Sha256),
            PublicKeyKind::P384 => Some(Self::EcdsaP384Sha384),
            PublicKeyKind::P521 => Some(Self::EcdsaP521Sha512),
            PublicKeyKind::Rsa(2048..=4096) => Some(Self::RsaSha256),
            PublicKeyKind::Ed25519 => Some(Self::Ed25519),
            PublicKeyKind::Rsa(_) | PublicKeyKind::Other(_) => None,
        }
    }
}

impl fmt::Display for CaAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256Sha256 => "ECDSA P-256 with SHA-256",
            Self::EcdsaP384Sha384 => "ECDSA P-384 with SHA-384",
            Self::EcdsaP521Sha512 => "ECDSA P-521 with SHA-512",
            Self::RsaSha256 => "RSA PKCS#1 v1.5 with SHA-256",
            Self::Ed25519 => "Ed25519",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_has_2048_to_4096_bits() {
        for bits in [2048, 3072, 4096] {
            assert_eq!(CaAlgorithm::of(PublicKeyKind::Rsa(bits)), Some(CaAlgorithm::RsaSha256));
        }
        for bits in [1024, 2047, 4097, 8192] {
            assert_eq!(CaAlgorithm::of(PublicKeyKind::Rsa(bits)), None);
        }
    }
}
