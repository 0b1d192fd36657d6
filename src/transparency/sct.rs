//! Signed certificate timestamps (RFC 6962 §3.2, §3.3), with static-ct-api's leaf_index extension: made by our log, and
//! read back from certificates.

use super::precertificate::{leaf_index, leaf_index_extension, precertificate_input};
use super::wire::{Reader, put_vector16};
use super::{Hash, Malformed, Place, SignatureError, sha256, verify_log_signature};
use crate::environment::UnixMillis;

/// RFC 6962 §3.2, Version: v1.
const V1: u64 = 0;
/// RFC 5246 §7.4.1.4.1, SignatureAndHashAlgorithm: sha256, ecdsa.
pub(super) const SHA256_ECDSA: [u8; 2] = [4, 3];

/// A version 1 SCT of our log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sct {
    /// SHA-256 of the log key's DER SubjectPublicKeyInfo.
    pub log_id: Hash,
    /// Index and timestamp.
    pub place: Place,
    /// DER ECDSA signature over SHA-256.
    pub signature: Vec<u8>,
}

impl Sct {
    /// The TLS encoding (SerializedSCT without its length).
    pub fn to_bytes(&self) -> Vec<u8> {
        let extensions = leaf_index_extension(self.place.index);
        let mut bytes = Vec::with_capacity(47 + extensions.len() + self.signature.len());
        bytes.push(V1 as u8);
        bytes.extend_from_slice(&self.log_id);
        bytes.extend_from_slice(&self.place.timestamp.0.to_be_bytes());
        put_vector16(&mut bytes, &extensions);
        bytes.extend_from_slice(&SHA256_ECDSA);
        put_vector16(&mut bytes, &self.signature);
        bytes
    }

    /// The content of the SCT list extension's OCTET STRING with this one SCT: `u16 total | u16 length | SCT`.
    pub fn to_list(&self) -> Vec<u8> {
        list(&[self.to_bytes()])
    }
}

/// The SignedCertificateTimestampList (RFC 6962 §3.3) of TLS-encoded SCTs, which a certificate holds as an OCTET STRING
/// inside the extension's OCTET STRING. Below 2^16 octets in all.
pub fn list(scts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut content = Vec::new();
    for sct in scts {
        put_vector16(&mut content, sct.as_ref());
    }
    let mut list = Vec::with_capacity(2 + content.len());
    put_vector16(&mut list, &content);
    list
}

/// A version 1 SCT as it stands in a certificate, of any log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedSct {
    log_id: Hash,
    timestamp: UnixMillis,
    extensions: Vec<u8>,
    algorithm: [u8; 2],
    signature: Vec<u8>,
}

impl ReceivedSct {
    /// Reads the TLS encoding (SerializedSCT without its length): version 1, nothing after it. The signature's algorithm
    /// may be any; [`Self::verify_precertificate`] takes but one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.number::<1>("SCT version")? != V1 {
            return Err(Malformed("SCT version is not v1"));
        }
        let log_id = *reader.hash("SCT log id")?;
        let timestamp = UnixMillis(reader.number::<8>("SCT timestamp")?);
        let extensions = reader.vector::<2>("SCT extensions")?.to_vec();
        let algorithm = match reader.take(2, "SCT signature algorithm")? {
            [hash, signature] => [*hash, *signature],
            _ => return Err(Malformed("SCT signature algorithm")),
        };
        let signature = reader.vector::<2>("SCT signature")?.to_vec();
        reader.end("octets after the SCT")?;
        Ok(Self { log_id, timestamp, extensions, algorithm, signature })
    }

    /// Reads a SignedCertificateTimestampList (the content of the inner OCTET STRING): at least one SCT, every length
    /// exact.
    pub fn parse_list(bytes: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut outer = Reader::new(bytes);
        let mut list = Reader::new(outer.vector::<2>("SCT list")?);
        outer.end("octets after the SCT list")?;
        let mut scts = Vec::new();
        while !list.is_empty() {
            scts.push(Self::parse(list.vector::<2>("SCT in the list")?)?);
        }
        if scts.is_empty() {
            return Err(Malformed("SCT list is empty"));
        }
        Ok(scts)
    }

    /// SHA-256 of the log key's DER SubjectPublicKeyInfo.
    pub const fn log_id(&self) -> &Hash {
        &self.log_id
    }

    /// When the log took the entry, as it says.
    pub const fn timestamp(&self) -> UnixMillis {
        self.timestamp
    }

    /// Index and timestamp. An error: the SCT has no leaf_index extension, as those of logs without static-ct-api, or a
    /// malformed one.
    pub fn place(&self) -> Result<Place, Malformed> {
        Ok(Place { index: leaf_index(&self.extensions)?, timestamp: self.timestamp })
    }

    /// Verifies that the log with the key `log_spki` (DER SubjectPublicKeyInfo, P-256) gave this SCT for a precertificate.
    /// `issuer_key_hash`: SHA-256 of the issuing CA's DER SubjectPublicKeyInfo; `tbs`: DER TBSCertificate without poison
    /// and SCT list.
    pub fn verify_precertificate(
        &self,
        log_spki: &[u8],
        issuer_key_hash: &Hash,
        tbs: &[u8],
    ) -> Result<(), SignatureError> {
        if sha256(log_spki) != self.log_id {
            return Err(SignatureError::OtherLog);
        }
        // What does not fit into the signed struct was never signed.
        if self.algorithm != SHA256_ECDSA || tbs.len() >= 1 << 24 {
            return Err(SignatureError::Invalid);
        }
        let input = precertificate_input(self.timestamp, issuer_key_hash, tbs, &self.extensions, 0);
        verify_log_signature(log_spki, &input, &self.signature)
    }

    /// The hash of the leaf that this SCT promises (RFC 6962 §2.1), for an inclusion proof; arguments as for
    /// [`Self::verify_precertificate`]. `None` when `tbs` has 2^24 octets or more.
    pub fn leaf_hash(&self, issuer_key_hash: &Hash, tbs: &[u8]) -> Option<Hash> {
        if tbs.len() >= 1 << 24 {
            return None;
        }
        // The MerkleTreeLeaf of a precertificate is the same octets as what its SCT signs.
        let leaf = precertificate_input(self.timestamp, issuer_key_hash, tbs, &self.extensions, 0);
        Some(super::merkle::leaf_hash(&leaf))
    }
}
