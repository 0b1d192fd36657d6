//! Tiles, as a disk or another server may give them back: entries one after another, or hashes.

use countersign::transparency::merkle;
use countersign::transparency::precertificate::{DataTileEntry, LogEntry};
use countersign::transparency::tile::{self, NodeInTile};

/// What is read as an entry is written as it was, and its leaf hash is that of its leaf.
pub fn target(data: &[u8]) {
    let mut rest = data;
    while let Ok((entry, after)) = DataTileEntry::parse(rest) {
        let length = rest.len() - after.len();
        assert!(length > 0 && DataTileEntry::length(rest) == Some(length));
        let (bytes, _) = rest.split_at(length);
        assert_eq!(DataTileEntry::parse_one(bytes), Ok(entry));
        assert_eq!(entry.leaf_hash(), merkle::leaf_hash(&entry.merkle_tree_leaf()));
        assert!(entry.place().index < 1 << 40);
        assert!(entry.extra_data(&[b"certificate"]).is_some());
        check_written(&entry, bytes);
        rest = after;
    }
    for width in [1, 2, 255, 256] {
        if let Some(hashes) = tile::hashes(data, width) {
            assert_eq!(hashes.concat(), data);
        }
    }
    for (level, index) in [(0, 0), (0, 255), (3, 5), (7, 1), (8, 0), (47, 0)] {
        let Some(node) = NodeInTile::new(level, index) else { continue };
        let read = node.read(data);
        assert_eq!(
            read.is_some(),
            data.len().is_multiple_of(32) && data.len() / 32 >= node.first + node.count
        );
    }
}

/// Writing what was read gives the same octets, unless the log that wrote them put further extensions there.
fn check_written(entry: &DataTileEntry<'_>, bytes: &[u8]) {
    let ours = LogEntry::new(entry.certificate(), entry.fingerprints());
    let (written, _) = ours.at(entry.place());
    if written.bytes.len() == bytes.len() {
        assert_eq!(&*written.bytes, bytes);
        assert_eq!(written.leaf_hash, entry.leaf_hash());
    } else {
        assert!(written.bytes.len() < bytes.len());
    }
}
