//! The Merkle tree of RFC 6962 §2.1: hashes, roots, inclusion and consistency proofs.
