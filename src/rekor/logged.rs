//! The body of an entry read back: what an auditor finds in a signature log.
//!
//! Bodies are canonical, so one is read by taking it apart and making it again: what is made must be the same octets.

use super::algorithm::KeyDetails;
use super::canonical::{CanonicalBody, KeyMaterial, MAX_BODY, SignatureOf};
use crate::hash::HashAlgorithm;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

/// A body that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedBody {
    kind: LoggedKind,
    algorithm: HashAlgorithm,
    digest: Vec<u8>,
    signatures: Vec<LoggedSignature>,
}

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedKind {
    /// `hashedrekord` 0.0.2: a signature over a digest.
    HashedRekord,
    /// `dsse` 0.0.2: an envelope's signatures, and its payload's digest.
    Dsse,
}

/// A signature in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedSignature {
    content: Vec<u8>,
    octets: Vec<u8>,
    is_certificate: bool,
    details: KeyDetails,
}

impl LoggedBody {
    /// Reads a body.
    ///
    /// # Errors
    /// In words: it is no entry of version 0.0.2, or not canonical to the octet.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        if body.len() > MAX_BODY {
            return Err("the body is longer than an entry can be");
        }
        let unknown = |_| "the body is no hashedrekord and no dsse of version 0.0.2";
        let document: Document = serde_json::from_slice(body).map_err(unknown)?;
        let unreadable = "a digest, a signature, a key or an algorithm in the body cannot be read";
        let read = document.read().ok_or(unreadable)?;
        let again = read.rebuilt().filter(|again| again.as_bytes() == body);
        again.map(|_| read).ok_or("the body is not canonical")
    }

    /// Its kind.
    pub const fn kind(&self) -> LoggedKind {
        self.kind
    }

    /// The hash function and the digest: of the artifact, or of the payload.
    pub fn digest(&self) -> (HashAlgorithm, &[u8]) {
        (self.algorithm, &self.digest)
    }

    /// Its signatures; at least one.
    pub fn signatures(&self) -> impl ExactSizeIterator<Item = SignatureOf<'_>> {
        self.signatures.iter().map(LoggedSignature::as_signature)
    }

    fn rebuilt(&self) -> Option<CanonicalBody> {
        match (self.kind, self.signatures.as_slice()) {
            (LoggedKind::HashedRekord, [signature]) => {
                CanonicalBody::hashedrekord(self.algorithm, &self.digest, signature.as_signature())
            }
            (LoggedKind::Dsse, [_, ..]) if self.algorithm == HashAlgorithm::Sha256 => {
                let signatures: Vec<_> = self.signatures().collect();
                CanonicalBody::dsse_of_digest(&self.digest, &signatures)
            }
            _ => None,
        }
    }
}

impl LoggedSignature {
    fn as_signature(&self) -> SignatureOf<'_> {
        let key = match self.is_certificate {
            true => KeyMaterial::Certificate(&self.octets),
            false => KeyMaterial::PublicKey(&self.octets),
        };
        SignatureOf { content: &self.content, key, details: self.details }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "apiVersion")]
    _version: Version,
    #[serde(rename = "kind")]
    _kind: Kind,
    spec: Spec,
}

/// That it is the one of `spec` shows when the body is made again.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    HashedRekord,
    Dsse,
}

#[derive(Deserialize)]
enum Version {
    #[serde(rename = "0.0.2")]
    Second,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Spec {
    HashedRekordV002 {
        data: Digest,
        signature: Signature,
    },
    DsseV002 {
        #[serde(rename = "payloadHash")]
        payload_hash: Digest,
        signatures: Vec<Signature>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    algorithm: String,
    digest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    content: String,
    verifier: Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verifier {
    key_details: String,
    public_key: Option<Raw>,
    x509_certificate: Option<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    raw_bytes: String,
}

impl Document {
    fn read(&self) -> Option<LoggedBody> {
        let (kind, digest, signatures) = match &self.spec {
            Spec::HashedRekordV002 { data, signature } => {
                (LoggedKind::HashedRekord, data, std::slice::from_ref(signature))
            }
            Spec::DsseV002 { payload_hash, signatures } => {
                (LoggedKind::Dsse, payload_hash, signatures.as_slice())
            }
        };
        let algorithm = HashAlgorithm::named(&digest.algorithm)?;
        let digest = octets(&digest.digest).filter(|digest| digest.len() == algorithm.length())?;
        let signatures = signatures.iter().map(Signature::read).collect::<Option<_>>()?;
        Some(LoggedBody { kind, algorithm, digest, signatures })
    }
}

impl Signature {
    fn read(&self) -> Option<LoggedSignature> {
        let Verifier { key_details, public_key, x509_certificate } = &self.verifier;
        let (raw, is_certificate) = match (public_key, x509_certificate) {
            (Some(key), None) => (key, false),
            (None, Some(certificate)) => (certificate, true),
            _ => return None,
        };
        Some(LoggedSignature {
            content: octets(&self.content)?,
            octets: octets(&raw.raw_bytes)?,
            is_certificate,
            details: KeyDetails::named(key_details)?,
        })
    }
}

fn octets(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signature(content: &[u8]) -> SignatureOf<'_> {
        SignatureOf {
            content,
            key: KeyMaterial::Certificate(&[0x30, 3, 1, 2, 3]),
            details: KeyDetails::P256Sha256,
        }
    }

    fn bodies() -> [CanonicalBody; 3] {
        let bare = SignatureOf {
            key: KeyMaterial::PublicKey(&[0x30, 0]),
            details: KeyDetails::Ed25519,
            ..signature(b"other")
        };
        [
            CanonicalBody::hashedrekord(HashAlgorithm::Sha384, &[5; 48], signature(b"one")).unwrap(),
            CanonicalBody::dsse(b"payload", &[signature(b"one"), bare]).unwrap(),
            CanonicalBody::dsse(b"payload", &[bare]).unwrap(),
        ]
    }

    #[test]
    fn what_a_log_writes_reads_back() {
        let [hashed, two, one] = bodies().map(|body| LoggedBody::parse(body.as_bytes()).unwrap());
        assert_eq!(
            (hashed.kind(), hashed.digest()),
            (LoggedKind::HashedRekord, (HashAlgorithm::Sha384, &[5; 48][..]))
        );
        assert_eq!(hashed.signatures().collect::<Vec<_>>(), [signature(b"one")]);
        assert_eq!((two.kind(), two.signatures().len()), (LoggedKind::Dsse, 2));
        assert_eq!(one.digest().1, HashAlgorithm::Sha256.digest(b"payload"));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for body in bodies() {
            let text = String::from_utf8(body.as_bytes().to_vec()).unwrap();
            let swapped = text.replace("\"hashedrekord\"", "\"x\"").replace("\"dsse\"", "\"hashedrekord\"");
            let swapped = swapped.replace("\"x\"", "\"dsse\"");
            for other in [
                format!(" {text}"),
                format!("{text}\n"),
                text.replace("0.0.2", "0.0.1"),
                text.replace("}}}", "},\"more\":1}}"),
                text.replace("==", "="),
                text.replace("\"spec\":", "\"spec\" :"),
                text.replace("PKIX_", "PKCS_"),
                swapped,
            ] {
                if other != text {
                    LoggedBody::parse(other.as_bytes()).expect_err(&other);
                }
            }
        }
        for other in ["", "{}", "[]", "null", &"[".repeat(60_000), &" ".repeat(70_000)] {
            LoggedBody::parse(other.as_bytes()).unwrap_err();
        }
        let short = CanonicalBody::hashedrekord(HashAlgorithm::Sha256, &[5; 31], signature(b"one")).unwrap();
        LoggedBody::parse(short.as_bytes()).unwrap_err();
        let none = CanonicalBody::dsse(b"payload", &[]).unwrap();
        LoggedBody::parse(none.as_bytes()).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_octet_can_be_changed_and_read_as_the_same(which in 0..3_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let body = bodies()[which].as_bytes().to_vec();
            let mut changed = body.clone();
            changed[at.index(body.len())] ^= 1 << bit;
            if let Ok(read) = LoggedBody::parse(&changed) {
                prop_assert_ne!(read, LoggedBody::parse(&body).unwrap());
            }
        }
    }
}
