//! The algorithms of signatures: `PublicKeyDetails` of Sigstore's `sigstore_common.proto`.

use crate::certificate::PublicKeyKind;
use crate::hash::HashAlgorithm;
use aws_lc_rs::signature::{self as lc, VerificationAlgorithm};

macro_rules! details {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $number:literal;)+) => {
        /// `PublicKeyDetails`: a kind of key with the algorithm that it signs with. Those that are known here; which of them
        /// an entry may have: [`Self::hash`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KeyDetails { $($(#[doc = $doc])+ $name,)+ }

        impl KeyDetails {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in protobuf's JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The number in protobuf's binary form.
            pub const fn number(self) -> i32 {
                match self { $(Self::$name => $number,)+ }
            }
        }
    };
}

details! {
    /// ECDSA P-256, SHA-256
    P256Sha256 = "PKIX_ECDSA_P256_SHA_256", 5;
    /// Pure Ed25519
    Ed25519 = "PKIX_ED25519", 7;
    /// Ed25519ph, over a SHA-512 digest
    Ed25519Ph = "PKIX_ED25519_PH", 8;
    /// RSA PKCS#1 v1.5 of 2048 bits, SHA-256
    Rsa2048Sha256 = "PKIX_RSA_PKCS1V15_2048_SHA256", 9;
    /// RSA PKCS#1 v1.5 of 3072 bits, SHA-256
    Rsa3072Sha256 = "PKIX_RSA_PKCS1V15_3072_SHA256", 10;
    /// RSA PKCS#1 v1.5 of 4096 bits, SHA-256
    Rsa4096Sha256 = "PKIX_RSA_PKCS1V15_4096_SHA256", 11;
    /// ECDSA P-384, SHA-384
    P384Sha384 = "PKIX_ECDSA_P384_SHA_384", 12;
    /// ECDSA P-521, SHA-512
    P521Sha512 = "PKIX_ECDSA_P521_SHA_512", 13;
}

/// Names of `PublicKeyDetails` that no log of version 2 takes, so that a request with one of them is told so, and not that
/// it cannot be read.
const OTHERS: [(&str, i32); 15] = [
    ("PUBLIC_KEY_DETAILS_UNSPECIFIED", 0),
    ("PKCS1_RSA_PKCS1V5", 1),
    ("PKCS1_RSA_PSS", 2),
    ("PKIX_RSA_PKCS1V5", 3),
    ("PKIX_RSA_PSS", 4),
    ("PKIX_ECDSA_P256_HMAC_SHA_256", 6),
    ("LMS_SHA256", 14),
    ("LMOTS_SHA256", 15),
    ("PKIX_RSA_PSS_2048_SHA256", 16),
    ("PKIX_RSA_PSS_3072_SHA256", 17),
    ("PKIX_RSA_PSS_4096_SHA256", 18),
    ("PKIX_ECDSA_P384_SHA_256", 19),
    ("PKIX_ECDSA_P521_SHA_256", 20),
    ("ML_DSA_65", 21),
    ("ML_DSA_87", 22),
];

impl KeyDetails {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|details| details.name() == name)
    }

    /// The one with this number.
    pub fn numbered(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|details| details.number() == number)
    }

    /// Whether this is a name of the enumeration, be it one that is not supported.
    pub fn is_known(name: &str) -> bool {
        Self::named(name).is_some() || OTHERS.iter().any(|(other, _)| *other == name)
    }

    /// The hash under the signature; `None` for pure Ed25519, which has none that could be given instead of the message.
    pub const fn hash(self) -> Option<HashAlgorithm> {
        match self {
            Self::P256Sha256 | Self::Rsa2048Sha256 | Self::Rsa3072Sha256 | Self::Rsa4096Sha256 => {
                Some(HashAlgorithm::Sha256)
            }
            Self::P384Sha384 => Some(HashAlgorithm::Sha384),
            Self::P521Sha512 | Self::Ed25519Ph => Some(HashAlgorithm::Sha512),
            Self::Ed25519 => None,
        }
    }

    /// Whether a key of that kind signs so.
    pub const fn fits(self, key: PublicKeyKind) -> bool {
        matches!(
            (self, key),
            (Self::P256Sha256, PublicKeyKind::P256)
                | (Self::P384Sha384, PublicKeyKind::P384)
                | (Self::P521Sha512, PublicKeyKind::P521)
                | (Self::Rsa2048Sha256, PublicKeyKind::Rsa(2048))
                | (Self::Rsa3072Sha256, PublicKeyKind::Rsa(3072))
                | (Self::Rsa4096Sha256, PublicKeyKind::Rsa(4096))
                | (Self::Ed25519 | Self::Ed25519Ph, PublicKeyKind::Ed25519)
        )
    }

    /// What aws-lc verifies it with; `None` for Ed25519ph, which it does not offer.
    pub(super) fn algorithm(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::P256Sha256 => Some(&lc::ECDSA_P256_SHA256_ASN1),
            Self::P384Sha384 => Some(&lc::ECDSA_P384_SHA384_ASN1),
            Self::P521Sha512 => Some(&lc::ECDSA_P521_SHA512_ASN1),
            Self::Rsa2048Sha256 | Self::Rsa3072Sha256 | Self::Rsa4096Sha256 => {
                Some(&lc::RSA_PKCS1_2048_8192_SHA256)
            }
            Self::Ed25519 => Some(&lc::ED25519),
            Self::Ed25519Ph => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_enumeration_and_none_twice() {
        let mut numbers: Vec<i32> = KeyDetails::ALL.iter().map(|details| details.number()).collect();
        numbers.extend(OTHERS.iter().map(|(_, number)| *number));
        numbers.sort_unstable();
        assert_eq!(numbers, (0..23).collect::<Vec<_>>());
        for &details in KeyDetails::ALL {
            assert_eq!(KeyDetails::named(details.name()), Some(details));
            assert_eq!(KeyDetails::numbered(details.number()), Some(details));
        }
        assert!(KeyDetails::is_known("PKIX_RSA_PSS") && !KeyDetails::is_known("PKIX_RSA"));
    }
}
