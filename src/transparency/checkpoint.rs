//! Signed tree heads (RFC 6962 §3.5, §4.3) and the same as checkpoints: c2sp.org/static-ct-api "Checkpoints",
//! tlog-checkpoint, signed-note.
//!
//! Signatures are made elsewhere and handed in. Cosignatures of witnesses are passed over, not verified.

use super::sct::SHA256_ECDSA;
use super::wire::{Reader, put_vector16};
use super::{Hash, Malformed, SignatureError, sha256, verify_log_signature};
use crate::environment::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A note may be this long: sixteen post-quantum cosignatures and more (signed-note asks for at least sixteen).
pub const MAX_NOTE: usize = 256 * 1024;
/// And may have this many signature lines.
const MAX_SIGNATURES: usize = 100;
/// signed-note "Signature types": RFC 6962 TreeHeadSignature.
const TREE_HEAD_SIGNATURE: u8 = 0x05;
/// The beginning of a signature line: em dash, space.
pub(super) const DASH: &str = "\u{2014} ";

/// What a tree head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 §2.1 tree hash.
    pub root: Hash,
    /// When it was signed.
    pub timestamp: UnixMillis,
}

impl TreeHead {
    /// What the log key signs (RFC 6962 §3.5, TreeHeadSignature): `0 | 1 | u64 timestamp | u64 size | root`. The log's
    /// origin is not in it, so one key serves one log.
    pub fn signature_input(&self) -> Vec<u8> {
        let (timestamp, size) = (self.timestamp.0.to_be_bytes(), self.size.to_be_bytes());
        [&[0, 1], &timestamp[..], &size, &self.root].concat()
    }
}

/// A tree head with the log's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTreeHead {
    /// What is signed.
    pub head: TreeHead,
    /// DER ECDSA signature over SHA-256 of [`TreeHead::signature_input`]. Below 2^16 octets.
    pub signature: Vec<u8>,
}

impl SignedTreeHead {
    /// The checkpoint: origin, size and root, and one signature line. `log_id`: SHA-256 of the log key's DER
    /// SubjectPublicKeyInfo. `origin` passes [`check_origin`].
    pub fn to_note(&self, origin: &str, log_id: &Hash) -> String {
        let TreeHead { size, root, timestamp } = &self.head;
        let mut signature = key_id(origin, log_id).to_vec();
        signature.extend_from_slice(&timestamp.0.to_be_bytes());
        self.put_digitally_signed(&mut signature);
        let (root, signature) = (BASE64.encode(root), BASE64.encode(signature));
        format!("{origin}\n{size}\n{root}\n\n{DASH}{origin} {signature}\n")
    }

    /// The answer of get-sth (RFC 6962 §4.3).
    pub fn to_json(&self) -> Value {
        let mut signature = Vec::new();
        self.put_digitally_signed(&mut signature);
        json!({
            "tree_size": self.head.size,
            "timestamp": self.head.timestamp.0,
            "sha256_root_hash": BASE64.encode(self.head.root),
            "tree_head_signature": BASE64.encode(signature),
        })
    }

    /// Verifies the signature with the log's DER SubjectPublicKeyInfo.
    pub fn verify(&self, log_spki: &[u8]) -> Result<(), SignatureError> {
        verify_log_signature(log_spki, &self.head.signature_input(), &self.signature)
    }

    /// RFC 5246 §4.7.
    fn put_digitally_signed(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&SHA256_ECDSA);
        put_vector16(into, &self.signature);
    }
}

/// The key ID in signature lines (static-ct-api): SHA-256(origin | 0x0A | 0x05 | log id), the first four octets.
pub fn key_id(origin: &str, log_id: &Hash) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[origin.as_bytes(), b"\n", &[TREE_HEAD_SIGNATURE], log_id].concat());
    [a, b, c, d]
}

/// Whether `origin` can be a checkpoint's origin and the name of its key (signed-note, tlog-checkpoint): not empty, no
/// white space, no control character, no plus sign. static-ct-api: a URL without scheme and trailing slash.
pub fn check_origin(origin: &str) -> Result<(), Malformed> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if origin.is_empty() || origin.chars().any(forbidden) {
        return Err(Malformed(
            "an origin is not empty and has no white space, control characters or plus signs",
        ));
    }
    if origin.contains("://") || origin.ends_with('/') {
        return Err(Malformed("an origin is a URL without its scheme and without a slash at the end"));
    }
    Ok(())
}

/// Why a checkpoint was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a checkpoint.
    #[error("the checkpoint is {0}")]
    Malformed(#[from] Malformed),
    /// It is another log's.
    #[error("the checkpoint is of another log: its origin is not the one expected")]
    OtherOrigin,
    /// No line is signed by the log's key.
    #[error("the checkpoint is not signed by the log's key")]
    NotSigned,
    /// The line that names the log's key does not verify.
    #[error("the checkpoint's signature is not good: {0}")]
    Signature(#[from] SignatureError),
}

/// A checkpoint that the log's key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    signed: SignedTreeHead,
}

impl Checkpoint {
    /// Reads a note and verifies it as a checkpoint of the log with this origin and key (DER SubjectPublicKeyInfo).
    ///
    /// Lines of other keys are passed over; every line of this key must verify, and there must be one. Where two have
    /// different timestamps, the later counts.
    pub fn verify(note: &[u8], origin: &str, log_spki: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let (size, root) = parse_text(note.text, origin)?;
        let id = key_id(origin, &sha256(log_spki));
        let mut newest: Option<SignedTreeHead> = None;
        for line in &note.signatures {
            if line.name != origin || line.key_id != id {
                continue;
            }
            let signed = parse_signature(&line.signature, size, root)?;
            signed.verify(log_spki)?;
            if newest.as_ref().is_none_or(|newest| signed.head.timestamp > newest.head.timestamp) {
                newest = Some(signed);
            }
        }
        let signed = newest.ok_or(CheckpointError::NotSigned)?;
        Ok(Self { origin: origin.to_owned(), signed })
    }

    /// The log's name. It is not covered by the signature, only by the choice of the key.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What the log said.
    pub const fn head(&self) -> &TreeHead {
        &self.signed.head
    }

    /// With the log's signature.
    pub const fn signed_head(&self) -> &SignedTreeHead {
        &self.signed
    }
}

/// Text and signature lines (signed-note "Format").
pub(super) struct Note<'n> {
    pub(super) text: &'n str,
    pub(super) signatures: Vec<SignatureLine<'n>>,
}

pub(super) struct SignatureLine<'n> {
    pub(super) name: &'n str,
    pub(super) key_id: [u8; 4],
    pub(super) signature: Vec<u8>,
}

impl<'n> Note<'n> {
    pub(super) fn parse(note: &'n [u8]) -> Result<Self, Malformed> {
        if note.len() > MAX_NOTE {
            return Err(Malformed("longer than 256 KiB"));
        }
        let note = str::from_utf8(note).map_err(|_| Malformed("not UTF-8"))?;
        if note.bytes().any(|octet| octet < b' ' && octet != b'\n') {
            return Err(Malformed("control characters"));
        }
        let (text, lines) =
            note.rsplit_once("\n\n").ok_or(Malformed("no blank line before the signatures"))?;
        let lines = lines.strip_suffix('\n').ok_or(Malformed("no newline at the end"))?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(Malformed("more than 100 signature lines"));
        }
        let signatures = lines.split('\n').map(SignatureLine::parse).collect::<Result<_, _>>()?;
        Ok(Self { text, signatures })
    }
}

impl<'n> SignatureLine<'n> {
    fn parse(line: &'n str) -> Result<Self, Malformed> {
        let malformed = Malformed("a signature line is not `\u{2014} name base64`");
        let (name, signature) =
            line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(malformed)?;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '+') {
            return Err(malformed);
        }
        let signature = BASE64.decode(signature).map_err(|_| malformed)?;
        let (key_id, signature) = signature.split_first_chunk().ok_or(malformed)?;
        Ok(Self { name, key_id: *key_id, signature: signature.to_vec() })
    }
}

/// Origin, size, root; no extension lines (static-ct-api). `text` is without its last newline.
pub(super) fn parse_text(text: &str, origin: &str) -> Result<(u64, Hash), CheckpointError> {
    let mut lines = text.split('\n');
    let (Some(name), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(Malformed("the text is not three lines: origin, size, root").into());
    };
    if name != origin {
        return Err(CheckpointError::OtherOrigin);
    }
    let canonical = size == "0" || !size.starts_with(['0', '+']);
    let size = size.parse().ok().filter(|_| canonical).ok_or(Malformed("size is not a decimal number"))?;
    let root = BASE64.decode(root).ok().and_then(|root| root.try_into().ok());
    Ok((size, root.ok_or(Malformed("root is not base64 of 32 octets"))?))
}

/// static-ct-api, RFC6962NoteSignature.
fn parse_signature(bytes: &[u8], size: u64, root: Hash) -> Result<SignedTreeHead, Malformed> {
    let mut reader = Reader::new(bytes);
    let timestamp = UnixMillis(reader.number::<8>("timestamp of the signature")?);
    if reader.take(2, "signature algorithm")? != SHA256_ECDSA {
        return Err(Malformed("the signature's algorithm is not ECDSA with SHA-256"));
    }
    let signature = reader.vector::<2>("signature")?.to_vec();
    reader.end("octets after the signature")?;
    Ok(SignedTreeHead { head: TreeHead { size, root, timestamp }, signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use proptest::prelude::*;

    const ORIGIN: &str = "ca.example.com/ct";

    struct Log {
        key: EcdsaKeyPair,
        spki: Vec<u8>,
    }

    impl Log {
        fn new() -> Self {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
            let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
            Self { key, spki }
        }

        fn sign(&self, head: TreeHead) -> SignedTreeHead {
            #[expect(clippy::disallowed_methods, reason = "ECDSA's nonce")]
            let signature = self.key.sign(&SystemRandom::new(), &head.signature_input()).unwrap();
            SignedTreeHead { head, signature: signature.as_ref().to_vec() }
        }

        fn note(&self, head: TreeHead) -> String {
            self.sign(head).to_note(ORIGIN, &sha256(&self.spki))
        }
    }

    const HEAD: TreeHead = TreeHead { size: 70_000, root: [7; 32], timestamp: UnixMillis(1_790_000_000_123) };

    #[test]
    fn a_checkpoint_reads_back_as_it_was_signed() {
        let log = Log::new();
        for size in [0, 1, 9, 10, 70_000, u64::MAX] {
            let head = TreeHead { size, ..HEAD };
            let note = log.note(head);
            let checkpoint = Checkpoint::verify(note.as_bytes(), ORIGIN, &log.spki).unwrap();
            assert_eq!((checkpoint.origin(), checkpoint.head()), (ORIGIN, &head));
            assert_eq!(checkpoint.signed_head().to_note(ORIGIN, &sha256(&log.spki)), note);
        }
    }

    #[test]
    fn the_note_has_the_layout_of_static_ct() {
        let log = Log::new();
        let note = log.note(HEAD);
        let lines: Vec<&str> = note.split('\n').collect();
        let [origin, "70000", root, "", signature, ""] = lines[..] else { panic!("{note}") };
        assert_eq!((origin, root), (ORIGIN, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="));
        let signature = BASE64.decode(signature.strip_prefix("— ca.example.com/ct ").unwrap()).unwrap();
        assert_eq!(signature[..4], key_id(ORIGIN, &sha256(&log.spki)));
        assert_eq!(signature[4..12], HEAD.timestamp.0.to_be_bytes());
        assert_eq!(signature[12..14], [4, 3]);
        assert_eq!(usize::from(u16::from_be_bytes([signature[14], signature[15]])), signature.len() - 16);
        assert_eq!(HEAD.signature_input().len(), 50);
    }

    #[test]
    fn get_sth_says_the_same_as_the_checkpoint() {
        let log = Log::new();
        let signed = log.sign(HEAD);
        let json = signed.to_json();
        assert_eq!(json["tree_size"], 70_000);
        assert_eq!(json["timestamp"], 1_790_000_000_123_u64);
        let signature = BASE64.decode(json["tree_head_signature"].as_str().unwrap()).unwrap();
        assert_eq!(signature[4..], signed.signature);
    }

    #[test]
    fn lines_of_others_are_passed_over() {
        let log = Log::new();
        let other = Log::new().note(HEAD);
        let other = other.lines().last().unwrap();
        let witness = "— witness.example/w ".to_owned() + &BASE64.encode([1; 80]);
        let (text, own) =
            log.note(HEAD).split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let note = format!("{text}\n\n{witness}\n{other}\n{own}{witness}\n");
        assert!(Checkpoint::verify(note.as_bytes(), ORIGIN, &log.spki).is_ok());
        let without = format!("{text}\n\n{witness}\n{other}\n");
        assert_eq!(
            Checkpoint::verify(without.as_bytes(), ORIGIN, &log.spki),
            Err(CheckpointError::NotSigned)
        );
    }

    #[test]
    fn of_two_own_lines_both_must_verify_and_the_later_counts() {
        let log = Log::new();
        let later = TreeHead { timestamp: UnixMillis(HEAD.timestamp.0 + 1), ..HEAD };
        let line = |head| log.note(head).lines().last().unwrap().to_owned();
        let with = |second: String| format!("{}{second}\n", log.note(HEAD));
        let note = with(line(later));
        assert_eq!(*Checkpoint::verify(note.as_bytes(), ORIGIN, &log.spki).unwrap().head(), later);
        let wrong = with(line(TreeHead { size: 1, ..HEAD }));
        assert_eq!(
            Checkpoint::verify(wrong.as_bytes(), ORIGIN, &log.spki),
            Err(CheckpointError::Signature(SignatureError::Invalid))
        );
    }

    #[test]
    fn nothing_of_a_checkpoint_can_be_changed() {
        let log = Log::new();
        let note = log.note(HEAD);
        for at in 0..note.len() {
            for change in [1, 2, 0x20, 0x80] {
                let mut changed = note.clone().into_bytes();
                changed[at] ^= change;
                assert!(Checkpoint::verify(&changed, ORIGIN, &log.spki).is_err(), "octet {at}");
            }
            let mut shorter = note.clone().into_bytes();
            shorter.remove(at);
            assert!(Checkpoint::verify(&shorter, ORIGIN, &log.spki).is_err(), "without octet {at}");
        }
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused() {
        let log = Log::new();
        let note = log.note(HEAD);
        let signature = note.lines().last().unwrap();
        let root = BASE64.encode(HEAD.root);
        let cases = [
            (String::new(), "blank line"),
            (format!("{ORIGIN}\n70000\n{root}\n{signature}\n"), "blank line"),
            (format!("{ORIGIN}\n70000\n{root}\nextension\n\n{signature}\n"), "three lines"),
            (format!("{ORIGIN}\n70000\n\n{signature}\n"), "three lines"),
            (format!("\n{ORIGIN}\n70000\n{root}\n\n{signature}\n"), "three lines"),
            (format!("{ORIGIN}\n070000\n{root}\n\n{signature}\n"), "decimal"),
            (format!("{ORIGIN}\n+70000\n{root}\n\n{signature}\n"), "decimal"),
            (format!("{ORIGIN}\n-1\n{root}\n\n{signature}\n"), "decimal"),
            (format!("{ORIGIN}\n\u{0667}\n{root}\n\n{signature}\n"), "decimal"),
            (format!("{ORIGIN}\n18446744073709551616\n{root}\n\n{signature}\n"), "decimal"),
            (format!("{ORIGIN}\n70000\n{}\n\n{signature}\n", root.trim_end_matches('=')), "root"),
            (format!("{ORIGIN}\n70000\n{}\n\n{signature}\n", BASE64.encode([1; 31])), "root"),
            (format!("{ORIGIN}\n70000\n{root}\n\n{signature}"), "newline"),
            (format!("{ORIGIN}\n70000\n{root}\n\n{signature}\r\n"), "control"),
            (format!("{ORIGIN}\n70000\n{root}\n\n{signature} more\n"), "signature line"),
            (format!("{ORIGIN}\n70000\n{root}\n\n- {ORIGIN} AAAAAA==\n"), "signature line"),
            (format!("{ORIGIN}\n70000\n{root}\n\n— {ORIGIN} AAAA\n"), "signature line"),
            (format!("{ORIGIN}\n70000\n{root}\n\n—  AAAAAAAA\n"), "signature line"),
            (format!("{ORIGIN}\n70000\n{root}\n\n{}", format!("{signature}\n").repeat(101)), "100"),
            (format!("{}\n\n{signature}\n", "a".repeat(MAX_NOTE)), "256 KiB"),
        ];
        for (note, why) in cases {
            let refused = Checkpoint::verify(note.as_bytes(), ORIGIN, &log.spki).unwrap_err().to_string();
            assert!(refused.contains(why), "{note}: {refused}");
        }
        let other = Checkpoint::verify(note.as_bytes(), "ca.example.com", &log.spki);
        assert_eq!(other, Err(CheckpointError::OtherOrigin));
        assert_eq!(
            Checkpoint::verify(note.as_bytes(), ORIGIN, &Log::new().spki),
            Err(CheckpointError::NotSigned)
        );
    }

    #[test]
    fn origins_are_urls_without_scheme() {
        for good in ["ca.example.com/ct", "localhost:5555/ct", "[::1]:5555/ct"] {
            assert_eq!(check_origin(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a+b", "a\n", "https://a/ct", "a/", "a\u{a0}b", "a\u{85}"] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_refused_without_a_panic(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            size in "[0-9]{0,21}", root in "[A-Za-z0-9+/=]{0,50}", line in "(\u{2014} )?[a-z]{0,3} ?[A-Za-z0-9+/]{0,40}={0,2}",
        ) {
            let spki = octets.clone();
            prop_assert!(Checkpoint::verify(&octets, ORIGIN, &spki).is_err());
            let note = format!("{ORIGIN}\n{size}\n{root}\n\n{line}\n");
            prop_assert!(Checkpoint::verify(note.as_bytes(), ORIGIN, &spki).is_err());
            let _ = parse_signature(&octets, 1, [0; 32]);
        }
    }
}
