//! Checkpoints as plain signed notes (c2sp.org/tlog-checkpoint, signed-note), signed with Ed25519 or ECDSA: a signature log's.
//! Those of a certificate log, whose signature is a tree head's, are in [`super::checkpoint`].
//!
//! Signatures are made elsewhere and handed in. Lines of other keys, and cosignatures of witnesses, are passed over.

use super::checkpoint::{CheckpointError, DASH, Note, parse_text};
use super::{Hash, SignatureError, sha256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410 §4).
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
/// signed-note "Signature types": Ed25519.
const ED25519_TYPE: u8 = 0x01;

/// What a log's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKeyKind {
    /// Signs the text.
    Ed25519,
    /// ECDSA P-256: DER, over the SHA-256 of the text.
    EcdsaP256,
}

/// The public key of a log whose checkpoints are signed notes.
#[derive(Debug)]
pub struct NoteKey {
    kind: NoteKeyKind,
    spki: Vec<u8>,
    key: ParsedPublicKey,
}

/// The DER SubjectPublicKeyInfo of an Ed25519 key.
pub fn ed25519_spki(key: &[u8]) -> Vec<u8> {
    [&ED25519_SPKI_PREFIX[..], key].concat()
}

impl NoteKey {
    /// From a DER SubjectPublicKeyInfo of an Ed25519 or an ECDSA P-256 key.
    ///
    /// # Errors
    /// [`SignatureError::Key`].
    pub fn from_spki(spki: &[u8]) -> Result<Self, SignatureError> {
        let raw = spki.strip_prefix(&ED25519_SPKI_PREFIX).filter(|key| key.len() == 32);
        let (kind, key) = match raw {
            Some(raw) => (NoteKeyKind::Ed25519, ParsedPublicKey::new(&ED25519, raw)),
            // The parser also takes bare points; ids are made of the whole structure.
            None if spki.first() == Some(&0x30) => {
                (NoteKeyKind::EcdsaP256, ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, spki))
            }
            None => return Err(SignatureError::Key),
        };
        Ok(Self { kind, spki: spki.to_vec(), key: key.map_err(|_| SignatureError::Key)? })
    }

    /// Its kind.
    pub const fn kind(&self) -> NoteKeyKind {
        self.kind
    }

    /// The log's id, whole: what a bundle has in `logId.keyId`. Its first four octets are the key ID of signature lines.
    ///
    /// Ed25519: SHA-256(origin | 0x0A | 0x01 | key) (signed-note); ECDSA: SHA-256 of the SubjectPublicKeyInfo.
    pub fn log_id(&self, origin: &str) -> Hash {
        match self.kind {
            NoteKeyKind::Ed25519 => {
                let key = self.spki.strip_prefix(&ED25519_SPKI_PREFIX).unwrap_or_default();
                sha256(&[origin.as_bytes(), b"\n", &[ED25519_TYPE], key].concat())
            }
            NoteKeyKind::EcdsaP256 => sha256(&self.spki),
        }
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// What a log's key signs: origin, size and root, each with its newline.
pub fn text(origin: &str, size: u64, root: &Hash) -> String {
    format!("{origin}\n{size}\n{}\n", BASE64.encode(root))
}

/// The note of a text and its one signature.
pub fn signed(text: &str, origin: &str, log_id: &Hash, signature: &[u8]) -> String {
    let [a, b, c, d, ..] = log_id;
    let line = BASE64.encode([&[*a, *b, *c, *d], signature].concat());
    format!("{text}\n{DASH}{origin} {line}\n")
}

/// Size and root of a checkpoint that the log's key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedNote {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 §2.1 tree hash.
    pub root: Hash,
}

/// Reads a note and verifies it as a checkpoint of the log with this origin and key. Every line of this key must verify, and
/// there must be one.
///
/// # Errors
/// See [`CheckpointError`].
pub fn verify(note: &[u8], origin: &str, key: &NoteKey) -> Result<VerifiedNote, CheckpointError> {
    let note = Note::parse(note)?;
    let (size, root) = parse_text(note.text, origin)?;
    let id = key.log_id(origin);
    let mut is_signed = false;
    // The newline that the parser takes from the end belongs to what is signed.
    let message = format!("{}\n", note.text);
    for line in &note.signatures {
        if line.name != origin || line.key_id != id[..4] {
            continue;
        }
        if !key.verifies(message.as_bytes(), &line.signature) {
            return Err(SignatureError::Invalid.into());
        }
        is_signed = true;
    }
    if is_signed { Ok(VerifiedNote { size, root }) } else { Err(CheckpointError::NotSigned) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    const ORIGIN: &str = "log.example.com";

    type Sign = Box<dyn Fn(&str) -> Vec<u8>>;

    #[expect(clippy::disallowed_methods, reason = "ECDSA's nonce")]
    fn keys() -> [(NoteKey, Sign); 2] {
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki = ecdsa.public_key().as_der().unwrap().as_ref().to_vec();
        [
            (
                NoteKey::from_spki(&ed25519_spki(ed25519.public_key().as_ref())).unwrap(),
                Box::new(move |text: &str| ed25519.sign(text.as_bytes()).as_ref().to_vec()),
            ),
            (
                NoteKey::from_spki(&spki).unwrap(),
                Box::new(move |text: &str| {
                    ecdsa.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
                }),
            ),
        ]
    }

    #[test]
    fn a_note_verifies_with_the_key_that_signed_it_and_nothing_of_it_can_be_changed() {
        for (key, sign) in keys() {
            let text = text(ORIGIN, 70_000, &[7; 32]);
            let note = signed(&text, ORIGIN, &key.log_id(ORIGIN), &sign(&text));
            let verified = verify(note.as_bytes(), ORIGIN, &key).unwrap();
            assert_eq!(verified, VerifiedNote { size: 70_000, root: [7; 32] });
            assert_eq!(verify(note.as_bytes(), "other", &key), Err(CheckpointError::OtherOrigin));
            for at in 0..note.len() {
                let mut changed = note.clone().into_bytes();
                changed[at] ^= 1;
                assert!(verify(&changed, ORIGIN, &key).is_err(), "octet {at}");
            }
            let [(first, _), (second, _)] = keys();
            let other = if key.kind() == NoteKeyKind::Ed25519 { second } else { first };
            assert_eq!(verify(note.as_bytes(), ORIGIN, &other), Err(CheckpointError::NotSigned));
        }
    }

    #[test]
    fn the_id_of_an_ed25519_key_depends_on_the_origin() {
        let [(ed25519, _), (ecdsa, _)] = keys();
        assert_ne!(ed25519.log_id("a"), ed25519.log_id("b"));
        assert_eq!(ecdsa.log_id("a"), ecdsa.log_id("b"));
        for wrong in [&b""[..], &[0x30, 0], &ED25519_SPKI_PREFIX, &[4; 65]] {
            assert!(NoteKey::from_spki(wrong).is_err());
        }
    }
}
