//! Readers of the log: what they get, and what that costs, at the size that the log has.

use crate::driver::load::{Load, Manner};
use crate::driver::requests::{Wire, gets};
use crate::subject::Subject;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::transparency::Hash;
use countersign::transparency::tile::{TileKind, TilePath};
use std::sync::Arc;

/// Connections of readers.
const CONNECTIONS: usize = 16;
/// Different questions of a kind.
const QUESTIONS: u64 = 256;

/// Everything that readers may ask, by name.
pub struct Questions(pub Vec<(&'static str, Arc<[Wire]>)>);

impl Questions {
    /// Questions all over the log. It must hold a full tile.
    pub async fn of(subject: &Subject) -> Self {
        let size = subject.checkpoint().await.head().size;
        let tiles = size / 256;
        assert!(tiles > 0, "the log has no full tile yet");
        let numbers: Vec<u64> = (0..QUESTIONS).map(scattered).collect();
        let tile = |kind, at: u64| format!("/ct/{}", TilePath::full(kind, at % tiles).expect("a tile"));
        let hashes = |at| tile(TileKind::Hashes(0), at);
        let mut proofs = Vec::new();
        for &number in numbers.iter().take(64) {
            let content = subject.get(&hashes(number)).await;
            let (leaf, _) = content.as_chunks::<32>();
            proofs.extend((0..4).map(|turn| proof_of(&leaf[(number as usize / 7 + turn * 61) % 256], size)));
        }
        let consistency = numbers
            .iter()
            .map(|at| format!("/ct/ct/v1/get-sth-consistency?first={}&second={size}", at % size + 1));
        let entry =
            |at: &u64| format!("/ct/ct/v1/get-entry-and-proof?leaf_index={}&tree_size={size}", at % size);
        let entries = numbers.iter().map(entry);
        Self(vec![
            ("checkpoint", gets(["/ct/checkpoint"])),
            ("hash tiles", gets(numbers.iter().map(|&at| hashes(at)))),
            ("data tiles", gets(numbers.iter().map(|&at| tile(TileKind::Data, at)))),
            ("inclusion proofs by hash", gets(proofs)),
            ("entries with proof", gets(entries)),
            ("consistency proofs", gets(consistency)),
        ])
    }

    /// Checkpoints and hash tiles in turn: what monitors and verifiers ask.
    pub fn mixed(&self) -> Arc<[Wire]> {
        let tiles = self.0[1].1.iter();
        tiles.flat_map(|tile| [self.0[0].1[0].clone(), tile.clone()]).collect()
    }
}

/// Reading on connections that are kept alive.
pub fn load(subject: &Subject, requests: Arc<[Wire]>, manner: Manner) -> Load {
    Load { address: subject.address, connections: CONNECTIONS, manner, requests, keep: false }
}

fn proof_of(leaf: &Hash, size: u64) -> String {
    let hash = BASE64_STANDARD.encode(leaf).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("/ct/ct/v1/get-proof-by-hash?hash={hash}&tree_size={size}")
}

/// Numbers that look like chance and are the same every time (the finaliser of SplitMix64).
fn scattered(turn: u64) -> u64 {
    let mut z = (turn + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 8
}
