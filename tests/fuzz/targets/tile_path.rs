//! The path of a tile, as anybody may ask for it.

use countersign::transparency::tile::{TilePath, tile_at};

/// One tile, one text; a tile that is asked for lies in the trees that have it.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(path) = TilePath::parse(text) else { return };
    assert_eq!(path.to_string(), text);
    assert_eq!(TilePath::new(path.kind(), path.index(), path.width()), Some(path));
    assert!((1..=256).contains(&path.width()) && path.is_full() == (path.width() == 256));
    assert!(!path.is_within(0) && path.to_full().is_full());
    // The smallest tree, counted in elements of level 0, that could have it.
    let elements = path.index() * 256 + u64::from(path.width());
    if let Some(found) = tile_at(path.kind(), path.index(), elements) {
        assert!(found.is_within(elements));
    }
}
