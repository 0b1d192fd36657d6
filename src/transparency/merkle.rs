//! The Merkle tree of RFC 6962 §2.1: hashes, the growing right edge, inclusion and consistency proofs.
//!
//! Nodes are named by `(level, index)`: the root of the complete subtree over the `2^level` leaves from
//! `index * 2^level` on. Proofs are made from such nodes alone, wherever they come from; verification follows
//! RFC 9162 §2.1.3.2 and §2.1.4.2, whose hashes are the same.

use super::{Hash, sha256};
use aws_lc_rs::digest::{Context, SHA256};

/// The hash of a leaf: SHA-256(0x00 || leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    leaf_hash_of_parts(&[], leaf)
}

/// The hash of a leaf that lies in two parts.
pub(super) fn leaf_hash_of_parts(first: &[u8], second: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(first);
    context.update(second);
    context.finish().as_ref().try_into().expect("SHA-256 has 32 octets")
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    sha256(&input)
}

/// The hash of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The tree hash over consecutive nodes of one level, the first of them the first of a subtree (RFC 6962 §2.1's MTH).
pub fn subtree_root(nodes: &[Hash]) -> Hash {
    if nodes.is_empty() {
        return empty_root();
    }
    let mut level = nodes.to_vec();
    while level.len() > 1 {
        let mut above = 0;
        for at in (0..level.len()).step_by(2) {
            // The odd one at the end stands for itself one level up.
            level[above] = match level.get(at + 1) {
                Some(right) => node_hash(&level[at], right),
                None => level[at],
            };
            above += 1;
        }
        level.truncate(above);
    }
    level[0]
}

/// The right edge of a growing tree: the roots of the complete subtrees that it is made of, and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RightEdge {
    size: u64,
    hashes: Vec<Hash>,
}

impl RightEdge {
    /// The edge of the empty tree.
    pub const fn new() -> Self {
        Self { size: 0, hashes: Vec::new() }
    }

    /// The edge of a tree of `size` leaves: one hash for each set bit of `size`, largest subtree first. `None` when
    /// their number is another.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        (hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }

    /// Adds a leaf. Amortised one hash.
    pub fn push(&mut self, leaf_hash: Hash) {
        let mut node = leaf_hash;
        for _ in 0..self.size.trailing_ones() {
            let left = self.hashes.pop().expect("there is one hash for each set bit of the size");
            node = node_hash(&left, &node);
        }
        self.hashes.push(node);
        self.size += 1;
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest (leftmost) first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root of the tree. At most one hash for each bit of the size.
    pub fn root(&self) -> Hash {
        fold(&self.hashes)
    }
}

/// The audit path of the leaf `index` in the tree of `size` leaves, lowest node first (RFC 6962 §2.1.1).
///
/// `node(level, index)` answers with the root of a complete subtree within the first `size` leaves.
/// `Ok(None)`: there is no such leaf.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + largest_power_below(end - start);
        if index < middle {
            path.push(range_root(middle, end, node)?);
            end = middle;
        } else {
            path.push(range_root(start, middle, node)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// The proof that the tree of `second` leaves extends the tree of `first` leaves (RFC 6962 §2.1.2), empty when `first`
/// is 0 or `second`.
///
/// `node(level, index)` answers with the root of a complete subtree within the first `second` leaves.
/// `Ok(None)`: `first` is larger than `second`.
pub fn consistency_proof<E>(
    first: u64,
    second: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if first > second {
        return Ok(None);
    }
    let mut proof = Vec::new();
    if first == 0 || first == second {
        return Ok(Some(proof));
    }
    let (mut start, mut end) = (0, second);
    while first != end {
        let middle = start + largest_power_below(end - start);
        if first <= middle {
            proof.push(range_root(middle, end, node)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, node)?);
            start = middle;
        }
    }
    // The subtree that ends where the first tree ended; where that is the whole first tree its root is known.
    if start != 0 {
        proof.push(range_root(start, end, node)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// The tree hash of the first `size` leaves, from complete subtrees.
pub fn tree_root<E>(size: u64, node: &mut impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    range_root(0, size, node)
}

/// Whether `proof` leads from the leaf `index` to the `root` of the tree of `size` leaves (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf_hash: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node_index, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node_index & 1 == 1 || node_index == last {
            hash = node_hash(sibling, &hash);
            // A last node without a sibling stands for itself further up.
            let skipped = if node_index & 1 == 1 { 0 } else { node_index.trailing_zeros().min(63) };
            node_index >>= skipped;
            last >>= skipped;
        } else {
            hash = node_hash(&hash, sibling);
        }
        node_index >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `second` leaves extends the tree of `first` leaves (RFC 9162 §2.1.4.2).
///
/// Every tree extends the empty one, with an empty proof; that root is checked to be the empty tree's.
pub fn verify_consistency(
    first: u64,
    first_root: &Hash,
    second: u64,
    second_root: &Hash,
    proof: &[Hash],
) -> bool {
    if first > second {
        return false;
    }
    if first == second {
        return proof.is_empty() && first_root == second_root;
    }
    if first == 0 {
        return proof.is_empty() && *first_root == empty_root();
    }
    // A complete first tree is a node of the second, and the proof leaves it out.
    let (seed, rest) = if first.is_power_of_two() {
        (*first_root, proof)
    } else {
        match proof.split_first() {
            Some((seed, rest)) => (*seed, rest),
            None => return false,
        }
    };
    let skipped = (first - 1).trailing_ones();
    let (mut node_index, mut last) = ((first - 1) >> skipped, (second - 1) >> skipped);
    let (mut first_hash, mut second_hash) = (seed, seed);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node_index & 1 == 1 || node_index == last {
            first_hash = node_hash(sibling, &first_hash);
            second_hash = node_hash(sibling, &second_hash);
            let skipped = if node_index & 1 == 1 { 0 } else { node_index.trailing_zeros().min(63) };
            node_index >>= skipped;
            last >>= skipped;
        } else {
            second_hash = node_hash(&second_hash, sibling);
        }
        node_index >>= 1;
        last >>= 1;
    }
    last == 0 && first_hash == *first_root && second_hash == *second_root
}

/// The tree hash of the leaves from `start` to before `end`, where `start` is a multiple of the power of two that is not
/// below their number.
fn range_root<E>(
    start: u64,
    end: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let mut roots = Vec::new();
    let mut at = start;
    if end.checked_sub(start).is_some_and(u64::is_power_of_two) {
        let level = (end - start).ilog2();
        return node(level, start >> level);
    }
    while at < end {
        let level = (end - at).ilog2();
        roots.push(node(level, at >> level)?);
        at += 1 << level;
    }
    Ok(fold(&roots))
}

/// The root over complete subtrees of falling size.
fn fold(roots: &[Hash]) -> Hash {
    roots.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

/// The largest power of two below `count`, which is at least 2.
const fn largest_power_below(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The leaves of the test tree that CT's first implementations shared.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn hash(hex: &str) -> Hash {
        hex::decode(hex).unwrap().try_into().unwrap()
    }

    fn classic_leaves() -> Vec<Hash> {
        LEAVES.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
    }

    fn some_leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
    }

    /// RFC 6962 §2.1, word for word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&mth(left), &mth(right))
            }
        }
    }

    /// RFC 6962 §2.1.1, word for word.
    fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let (mut path, other) = if m < left.len() {
            (path(m, left), mth(right))
        } else {
            (path(m - left.len(), right), mth(left))
        };
        path.push(other);
        path
    }

    /// RFC 6962 §2.1.2, word for word.
    fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![mth(leaves)] };
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let (mut proof, other) = if m <= left.len() {
            (subproof(m, left, whole), mth(right))
        } else {
            (subproof(m - left.len(), right, false), mth(left))
        };
        proof.push(other);
        proof
    }

    fn node_of(leaves: &[Hash]) -> impl FnMut(u32, u64) -> Result<Hash, String> {
        move |level, index| {
            let (start, count) = ((index << level) as usize, 1 << level);
            leaves.get(start..start + count).map(mth).ok_or_else(|| format!("no node {level} {index}"))
        }
    }

    #[test]
    fn the_classic_tree_has_its_published_roots_and_proofs() {
        let leaves = classic_leaves();
        let mut edge = RightEdge::new();
        assert_eq!(edge.root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        for (index, root) in ROOTS.iter().enumerate() {
            edge.push(leaves[index]);
            assert_eq!(edge.root(), hash(root));
            assert_eq!(subtree_root(&leaves[..=index]), hash(root));
        }
        let path = inclusion_proof(5, 8, &mut node_of(&leaves)).unwrap().unwrap();
        assert_eq!(
            path,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
            .map(hash)
        );
        let proof = consistency_proof(6, 8, &mut node_of(&leaves)).unwrap().unwrap();
        assert_eq!(
            proof,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
            .map(hash)
        );
    }

    #[test]
    fn proofs_of_every_small_tree_are_those_of_the_rfc_and_verify() {
        let leaves = some_leaves(70);
        let roots: Vec<Hash> = (0..=70).map(|size| mth(&leaves[..size])).collect();
        for size in 0..=70_usize {
            let tree = &leaves[..size];
            let n = size as u64;
            assert_eq!(tree_root(n, &mut node_of(tree)), Ok(roots[size]));
            assert_eq!(inclusion_proof(n, n, &mut node_of(tree)), Ok(None));
            assert_eq!(consistency_proof(n + 1, n, &mut node_of(tree)), Ok(None));
            for (index, leaf) in tree.iter().enumerate() {
                let proof = inclusion_proof(index as u64, n, &mut node_of(tree)).unwrap().unwrap();
                assert_eq!(proof, path(index, tree), "leaf {index} of {size}");
                assert!(verify_inclusion(leaf, index as u64, n, &proof, &roots[size]));
            }
            for first in 0..=size {
                let proof = consistency_proof(first as u64, n, &mut node_of(tree)).unwrap().unwrap();
                if first > 0 {
                    assert_eq!(proof, subproof(first, tree, true), "{first} to {size}");
                }
                assert!(verify_consistency(first as u64, &roots[first], n, &roots[size], &proof));
            }
        }
    }

    #[test]
    fn a_changed_proof_never_verifies() {
        let leaves = some_leaves(40);
        for size in 1..=40_usize {
            let tree = &leaves[..size];
            let (n, root) = (size as u64, mth(tree));
            for index in 0..n {
                let leaf = &leaves[index as usize];
                let good = inclusion_proof(index, n, &mut node_of(tree)).unwrap().unwrap();
                for bad in changed(&good) {
                    assert!(!verify_inclusion(leaf, index, n, &bad, &root));
                }
                for other in (0..=n).filter(|other| *other != index) {
                    assert!(!verify_inclusion(leaf, other, n, &good, &root), "{index} as {other} of {n}");
                }
                assert!(!verify_inclusion(leaf, index, 0, &good, &root));
                assert!(!verify_inclusion(&root, index, n, &good, leaf) || n == 1);
            }
            for first in 0..=n {
                let first_root = mth(&leaves[..first as usize]);
                let good = consistency_proof(first, n, &mut node_of(tree)).unwrap().unwrap();
                for bad in changed(&good) {
                    assert!(!verify_consistency(first, &first_root, n, &root, &bad), "{first} to {n}");
                }
                assert!(!verify_consistency(first, &[7; 32], n, &root, &good));
                assert!(!verify_consistency(first, &first_root, n, &[7; 32], &good) || first == 0);
                assert!(first == n || !verify_consistency(n, &root, first, &first_root, &good));
            }
        }
    }

    /// The proof with each hash changed, left out, given twice, and with one more.
    fn changed(good: &[Hash]) -> Vec<Vec<Hash>> {
        let mut all = vec![[good, &[[9; 32]]].concat(), [&[[9; 32]], good].concat()];
        for at in 0..good.len() {
            let mut flipped = good.to_vec();
            flipped[at][31] ^= 1;
            let mut shorter = good.to_vec();
            let removed = shorter.remove(at);
            let mut longer = good.to_vec();
            longer.insert(at, removed);
            all.extend([flipped, shorter, longer]);
        }
        all
    }

    #[test]
    fn an_edge_continues_from_its_parts_and_refuses_another_number_of_them() {
        let leaves = some_leaves(300);
        let mut edge = RightEdge::new();
        for (size, leaf) in leaves.iter().enumerate() {
            let parts = edge.hashes().to_vec();
            assert_eq!(RightEdge::from_parts(size as u64, parts.clone()), Some(edge.clone()));
            assert_eq!(RightEdge::from_parts(size as u64, [parts, vec![[0; 32]]].concat()), None);
            edge.push(*leaf);
            assert_eq!(edge.size(), size as u64 + 1);
        }
        assert_eq!(edge.root(), mth(&leaves));
    }

    proptest! {
        #[test]
        fn verification_survives_any_numbers_and_proofs(
            first in any::<u64>(), second in any::<u64>(), shift in 0_u32..64, count in 0_usize..130,
        ) {
            let proof = vec![[1; 32]; count];
            for first in [first, first >> shift, u64::MAX, second] {
                for second in [second, second >> shift, u64::MAX, first.wrapping_add(1)] {
                    prop_assert!(!verify_inclusion(&[1; 32], first, second, &proof, &[2; 32]));
                    prop_assert!(!verify_consistency(first, &[1; 32], second, &[2; 32], &proof));
                }
            }
        }

        #[test]
        fn proofs_of_huge_trees_ask_only_for_complete_subtrees(
            size in 1_u64.., index in any::<u64>(), shift in 0_u32..64,
        ) {
            let size = (size >> shift).max(1);
            let mut node = |level: u32, index: u64| {
                let end = (u128::from(index) + 1) << level;
                if end <= u128::from(size) { Ok([3; 32]) } else { Err(()) }
            };
            let path = inclusion_proof(index % size, size, &mut node);
            prop_assert!(matches!(path, Ok(Some(path)) if path.len() <= 64));
            let proof = consistency_proof(index % size, size, &mut node);
            prop_assert!(matches!(proof, Ok(Some(proof)) if proof.len() <= 65));
        }
    }
}
