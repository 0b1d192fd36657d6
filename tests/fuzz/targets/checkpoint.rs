//! A checkpoint, as anybody between a log and its readers may hand it on.

use super::world::chain;
use countersign::transparency::checkpoint::{Checkpoint, check_origin};
use countersign::transparency::sha256;

const ORIGIN: &str = "ca.example.com/ct";
/// The heads that the key has signed in its life: sizes of the checkpoints among the seeds.
const SIGNED: [u64; 2] = [0, 70_000];

/// Nothing is accepted but a head that the key signed; it is written so that it is accepted again.
pub fn target(data: &[u8]) {
    if let Ok(origin) = std::str::from_utf8(data)
        && check_origin(origin).is_ok()
    {
        assert!(!origin.is_empty() && !origin.contains([' ', '\n', '+']));
    }
    let spki = chain().issuing_spki();
    match Checkpoint::verify(data, ORIGIN, spki) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(checkpoint) => {
            let head = checkpoint.head();
            assert!(SIGNED.contains(&head.size), "a head that nobody signed: {head:?}");
            assert_eq!((head.root, head.timestamp.0), ([head.size as u8; 32], 1_795_251_600_000));
            let note = checkpoint.signed_head().to_note(ORIGIN, &sha256(spki));
            assert_eq!(Checkpoint::verify(note.as_bytes(), ORIGIN, spki).as_ref(), Ok(&checkpoint));
            assert!(Checkpoint::verify(note.as_bytes(), "other.example/ct", spki).is_err());
        }
    }
}
