//! The hash functions under signatures and timestamps, and what the formats call them.

use aws_lc_rs::digest;
use der::asn1::ObjectIdentifier;

/// A hash function of SHA-2: those that a signature log takes, and that may be stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl HashAlgorithm {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in protobuf's JSON: `HashAlgorithm` of Sigstore's `sigstore_common.proto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA2_256",
            Self::Sha384 => "SHA2_384",
            Self::Sha512 => "SHA2_512",
        }
    }

    /// The one with this name in protobuf's JSON.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// The name everywhere else: Rekor v1's entries, in-toto's digest sets, requests for timestamps in JSON.
    pub const fn plain_name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The object identifier (RFC 5754 §2).
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
            Self::Sha384 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
            Self::Sha512 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        }
    }

    /// The one with this object identifier.
    pub fn identified(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.oid() == oid)
    }

    /// Octets of a digest.
    pub fn length(self) -> usize {
        self.algorithm().output_len()
    }

    /// The digest of `message`.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        digest::digest(self.algorithm(), message).as_ref().to_vec()
    }

    pub(crate) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_identifiers_lead_back_to_the_hash() {
        for (hash, octets) in HashAlgorithm::ALL.into_iter().zip([32, 48, 64]) {
            assert_eq!(HashAlgorithm::named(hash.name()), Some(hash));
            assert_eq!(HashAlgorithm::identified(hash.oid()), Some(hash));
            assert_eq!((hash.digest(b"").len(), hash.length()), (octets, octets));
        }
    }
}
