//! Signed certificate timestamps (RFC 6962 §3.2, §3.3), with static-ct-api's leaf_index extension: made by our log, and
//! read back from certificates.

use super::precertificate::{certificate_input, leaf_index, leaf_index_extension, precertificate_input};
use super::wire::{Reader, put_vector16};
use super::{Hash, Malformed, Place, SignatureError, sha256, verify_log_signature};
use crate::environment::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

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

/// A version 1 SCT of any log, as it stands in a certificate or in the log's answer.
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
        let algorithm = signature_algorithm(&mut reader)?;
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

    /// Reads a log's answer to add-chain or add-pre-chain (RFC 6962 §4.1): JSON with `sct_version`, `id`, `timestamp`,
    /// `extensions` and `signature`, all octets in base64. Other members are ignored.
    pub fn from_json(json: &[u8]) -> Result<Self, Malformed> {
        let answer: Value = serde_json::from_slice(json).map_err(|_| Malformed("not JSON"))?;
        let octets = |name: &str, problem| {
            let text = answer.get(name).and_then(Value::as_str).ok_or(Malformed(problem))?;
            STANDARD.decode(text).map_err(|_| Malformed(problem))
        };
        if answer.get("sct_version").and_then(Value::as_u64) != Some(V1) {
            return Err(Malformed("`sct_version` is not 0"));
        }
        let log_id = octets("id", "`id` is not the base64 of 32 octets")?;
        let log_id = log_id.try_into().map_err(|_| Malformed("`id` is not the base64 of 32 octets"))?;
        let timestamp = answer.get("timestamp").and_then(Value::as_u64);
        let timestamp = UnixMillis(timestamp.ok_or(Malformed("`timestamp` is not a number"))?);
        let extensions = octets("extensions", "`extensions` is not base64")?;
        if extensions.len() >= 1 << 16 {
            return Err(Malformed("`extensions` is too long"));
        }
        let signed = octets("signature", "`signature` is not base64")?;
        let mut reader = Reader::new(&signed);
        let algorithm = signature_algorithm(&mut reader)?;
        let signature = reader.vector::<2>("SCT signature")?.to_vec();
        reader.end("octets after the SCT signature")?;
        Ok(Self { log_id, timestamp, extensions, algorithm, signature })
    }

    /// The same answer for this SCT (RFC 6962 §4.1).
    pub fn to_json(&self) -> Value {
        let mut signed = self.algorithm.to_vec();
        put_vector16(&mut signed, &self.signature);
        json!({
            "sct_version": V1,
            "id": STANDARD.encode(self.log_id),
            "timestamp": self.timestamp.0,
            "extensions": STANDARD.encode(&self.extensions),
            "signature": STANDARD.encode(signed),
        })
    }

    /// The TLS encoding (SerializedSCT without its length).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(47 + self.extensions.len() + self.signature.len());
        bytes.push(V1 as u8);
        bytes.extend_from_slice(&self.log_id);
        bytes.extend_from_slice(&self.timestamp.0.to_be_bytes());
        put_vector16(&mut bytes, &self.extensions);
        bytes.extend_from_slice(&self.algorithm);
        put_vector16(&mut bytes, &self.signature);
        bytes
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
        // What does not fit into the signed struct was never signed.
        if tbs.len() >= 1 << 24 {
            return Err(SignatureError::Invalid);
        }
        let input = precertificate_input(self.timestamp, issuer_key_hash, tbs, &self.extensions, 0);
        self.verify_input(log_spki, &input)
    }

    /// The same for a final certificate, DER, whose SCT is not in it.
    pub fn verify_certificate(&self, log_spki: &[u8], certificate: &[u8]) -> Result<(), SignatureError> {
        if certificate.len() >= 1 << 24 {
            return Err(SignatureError::Invalid);
        }
        let input = certificate_input(self.timestamp, certificate, &self.extensions, 0);
        self.verify_input(log_spki, &input)
    }

    fn verify_input(&self, log_spki: &[u8], input: &[u8]) -> Result<(), SignatureError> {
        if sha256(log_spki) != self.log_id {
            return Err(SignatureError::OtherLog);
        }
        if self.algorithm != SHA256_ECDSA {
            return Err(SignatureError::Invalid);
        }
        verify_log_signature(log_spki, input, &self.signature)
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

impl From<Sct> for ReceivedSct {
    fn from(sct: Sct) -> Self {
        Self {
            log_id: sct.log_id,
            timestamp: sct.place.timestamp,
            extensions: leaf_index_extension(sct.place.index).to_vec(),
            algorithm: SHA256_ECDSA,
            signature: sct.signature,
        }
    }
}

/// The SignatureAndHashAlgorithm in front of a signature (RFC 5246 §4.7).
fn signature_algorithm(reader: &mut Reader<'_>) -> Result<[u8; 2], Malformed> {
    match reader.take(2, "SCT signature algorithm")? {
        [hash, signature] => Ok([*hash, *signature]),
        _ => Err(Malformed("SCT signature algorithm")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transparency::precertificate::{LogEntry, LoggedCertificate};
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    };
    use proptest::prelude::*;

    const PLACE: Place = Place { index: 77, timestamp: UnixMillis(1_790_000_000_123) };

    fn entry() -> LogEntry {
        let (tbs, precertificate) = (&b"tbs"[..], &b"precertificate"[..]);
        let logged = LoggedCertificate::Precertificate { issuer_key_hash: &[5; 32], tbs, precertificate };
        LogEntry::new(logged, &[[1; 32]])
    }

    /// An SCT of a new log, and that log's key.
    fn signed() -> (Sct, Vec<u8>) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        #[expect(clippy::disallowed_methods, reason = "ECDSA's nonce")]
        let signature = key.sign(&SystemRandom::new(), &entry().at(PLACE).1.input).unwrap();
        (Sct { log_id: sha256(&spki), place: PLACE, signature: signature.as_ref().to_vec() }, spki)
    }

    #[test]
    fn an_sct_has_the_octets_of_the_specifications() {
        let sct = Sct { log_id: [9; 32], place: PLACE, signature: b"sig".to_vec() };
        let mut expected = vec![0];
        expected.extend([9; 32]);
        expected.extend(PLACE.timestamp.0.to_be_bytes());
        expected.extend([0, 8, 0, 0, 5, 0, 0, 0, 0, 77, 4, 3, 0, 3]);
        expected.extend(b"sig");
        assert_eq!(sct.to_bytes(), expected);
        let length = expected.len() as u8;
        assert_eq!(sct.to_list(), [&[0, length + 2, 0, length], &expected[..]].concat());
    }

    #[test]
    fn an_sct_in_a_certificate_verifies_for_what_was_logged_and_nothing_else() {
        let (sct, spki) = signed();
        let [received] = &ReceivedSct::parse_list(&sct.to_list()).unwrap()[..] else { panic!() };
        assert_eq!(received.place(), Ok(PLACE));
        assert_eq!((received.log_id(), received.timestamp()), (&sct.log_id, PLACE.timestamp));
        assert_eq!(received.verify_precertificate(&spki, &[5; 32], b"tbs"), Ok(()));
        assert_eq!(received.leaf_hash(&[5; 32], b"tbs"), Some(entry().at(PLACE).0.leaf_hash));

        let invalid = Err(SignatureError::Invalid);
        assert_eq!(received.verify_precertificate(&spki, &[5; 32], b"tbt"), invalid);
        assert_eq!(received.verify_precertificate(&spki, &[6; 32], b"tbs"), invalid);
        let (_, other) = signed();
        assert_eq!(received.verify_precertificate(&other, &[5; 32], b"tbs"), Err(SignatureError::OtherLog));
        for place in [Place { index: 78, ..PLACE }, Place { timestamp: UnixMillis(1), ..PLACE }] {
            let moved = ReceivedSct::parse(&Sct { place, ..sct.clone() }.to_bytes()).unwrap();
            assert_eq!(moved.verify_precertificate(&spki, &[5; 32], b"tbs"), invalid);
        }
    }

    #[test]
    fn a_logs_answer_reads_back_and_is_the_same_sct() {
        let (sct, spki) = signed();
        let received = ReceivedSct::from(sct.clone());
        assert_eq!(received.to_bytes(), sct.to_bytes());
        let json = received.to_json();
        assert_eq!(json["timestamp"], PLACE.timestamp.0);
        assert_eq!(json["extensions"], "AAAFAAAAAE0=");
        let again = ReceivedSct::from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(again, received);
        assert_eq!(again.verify_precertificate(&spki, &[5; 32], b"tbs"), Ok(()));
        assert_eq!(again.verify_certificate(&spki, b"tbs"), Err(SignatureError::Invalid));
        let no_base64 = json!("*");
        for (member, wrong) in [
            ("sct_version", vec![json!(1), json!("0"), Value::Null]),
            ("id", vec![json!(""), json!("AAAA"), no_base64.clone(), Value::Null]),
            ("timestamp", vec![json!(-1), json!("5"), json!(1.5), Value::Null]),
            ("extensions", vec![no_base64.clone(), json!(5), Value::Null]),
            ("signature", vec![json!(""), json!("BAMAAAA="), json!("BAMAAg=="), no_base64, Value::Null]),
        ] {
            for wrong in wrong {
                let mut json = json.clone();
                json[member] = wrong.clone();
                assert!(ReceivedSct::from_json(json.to_string().as_bytes()).is_err(), "{member}: {wrong}");
            }
        }
        for wrong in [&b""[..], b"[]", b"null", b"{", b"\xff"] {
            assert!(ReceivedSct::from_json(wrong).is_err());
        }
    }

    #[test]
    fn no_octet_of_an_sct_can_be_changed() {
        let (sct, spki) = signed();
        let good = sct.to_bytes();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                let verified = ReceivedSct::parse(&changed)
                    .is_ok_and(|sct| sct.verify_precertificate(&spki, &[5; 32], b"tbs").is_ok());
                assert!(!verified, "octet {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_log_key_is_a_whole_p256_key_info() {
        let (sct, spki) = signed();
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let p384 = p384.public_key().as_der().unwrap().as_ref().to_vec();
        let point = spki[spki.len() - 65..].to_vec();
        for key in [p384, point, Vec::new(), vec![0x30], spki[..spki.len() - 1].to_vec()] {
            let sct = Sct { log_id: sha256(&key), ..sct.clone() };
            let received = ReceivedSct::parse(&sct.to_bytes()).unwrap();
            assert_eq!(
                received.verify_precertificate(&key, &[5; 32], b"tbs"),
                Err(SignatureError::Key),
                "{}",
                hex::encode(key)
            );
        }
    }

    #[test]
    fn scts_of_other_logs_are_read_without_an_index() {
        let mut bytes = vec![0];
        bytes.extend([9; 32]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 4, 3, 0, 1, 0x30]);
        let sct = ReceivedSct::parse(&bytes).unwrap();
        assert_eq!(sct.timestamp(), UnixMillis(5));
        assert_eq!(sct.place(), Err(Malformed("no leaf_index extension")));
    }

    #[test]
    fn every_length_in_a_list_must_be_exact() {
        let sct = signed().0.to_bytes();
        assert_eq!(ReceivedSct::parse_list(&list(&[&sct, &sct])).unwrap().len(), 2);
        let good = list(&[&sct]);
        let mut cases = vec![
            Vec::new(),
            vec![0],
            vec![0, 0],
            vec![0, 2, 0, 0],
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            list(&[&sct[..], &[]]),
            list(&[[&sct[..], &[0]].concat()]),
        ];
        for at in 0..4 {
            for change in [1_u8, 0xff] {
                let mut changed = good.clone();
                changed[at] = changed[at].wrapping_add(change);
                cases.push(changed);
            }
        }
        for case in cases {
            assert!(ReceivedSct::parse_list(&case).is_err(), "{}", hex::encode(case));
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ReceivedSct::parse_list(&octets);
            let _ = ReceivedSct::parse_list(&list(&[&octets]));
            if let Ok(sct) = ReceivedSct::parse(&[&[0], &octets[..]].concat()) {
                let _ = sct.place();
                prop_assert!(sct.verify_precertificate(&octets, &[0; 32], &octets).is_err());
            }
        }
    }
}
