//! An inclusion proof as a file: what `log prove` prints and `verify --proof` reads.
//!
//! It is the JSON of Sigstore's `InclusionProof` message (protobuf-specs, `sigstore_rekor.proto`), so that whoever reads
//! bundles reads it:
//!
//! ```json
//! { "logIndex": "7", "rootHash": "base64", "treeSize": "12", "hashes": ["base64", …],
//!   "checkpoint": { "envelope": "origin\n12\nbase64\n\n— origin base64\n" } }
//! ```
//!
//! Read are snake_case names and plain numbers too, and a checkpoint that is the text itself.

use super::encoding;
use crate::transparency::{Hash, merkle};
use serde_json::{Value, json};

/// More hashes than the audit path of any log has: one for each level below 2^40 leaves.
const MAX_HASHES: usize = 40;

/// An inclusion proof (RFC 6962 §2.1.1) with the checkpoint that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// Index of the leaf.
    pub log_index: u64,
    /// Number of leaves of the tree.
    pub tree_size: u64,
    /// The tree's root.
    pub root_hash: Hash,
    /// The audit path, lowest node first.
    pub hashes: Vec<Hash>,
    /// The signed note that carries size and root.
    pub checkpoint: Option<String>,
}

impl InclusionProof {
    /// Reads the JSON.
    ///
    /// # Errors
    /// In words that name the member.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let member = |camel: &str, snake: &str| {
            document.get(camel).or_else(|| document.get(snake)).ok_or_else(|| format!("`{camel}` is missing"))
        };
        let hashes = member("hashes", "hashes")?.as_array().ok_or("`hashes` is no list")?;
        if hashes.len() > MAX_HASHES {
            return Err(format!("`hashes` has {} members; no audit path is that long", hashes.len()));
        }
        Ok(Self {
            log_index: number(member("logIndex", "log_index")?).ok_or("`logIndex` is no number")?,
            tree_size: number(member("treeSize", "tree_size")?).ok_or("`treeSize` is no number")?,
            root_hash: hash(member("rootHash", "root_hash")?)
                .ok_or("`rootHash` is no base64 of 32 octets")?,
            hashes: hashes
                .iter()
                .map(hash)
                .collect::<Option<_>>()
                .ok_or("a member of `hashes` is no base64 of 32 octets")?,
            checkpoint: document.get("checkpoint").and_then(envelope),
        })
    }

    /// The JSON, in the form of protobuf: 64-bit numbers are strings.
    pub fn to_json(&self) -> Value {
        let hashes: Vec<_> = self.hashes.iter().map(|hash| encoding::base64(hash)).collect();
        let mut document = json!({
            "logIndex": self.log_index.to_string(),
            "rootHash": encoding::base64(&self.root_hash),
            "treeSize": self.tree_size.to_string(),
            "hashes": hashes,
        });
        if let Some(envelope) = &self.checkpoint {
            document["checkpoint"] = json!({ "envelope": envelope });
        }
        document
    }

    /// Whether it leads from the leaf to its root.
    pub fn proves(&self, leaf_hash: &Hash) -> bool {
        merkle::verify_inclusion(leaf_hash, self.log_index, self.tree_size, &self.hashes, &self.root_hash)
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn hash(value: &Value) -> Option<Hash> {
    encoding::from_base64(value.as_str()?)?.try_into().ok()
}

fn envelope(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("envelope")?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> InclusionProof {
        let leaves = [[1; 32], [2; 32]];
        InclusionProof {
            log_index: 1,
            tree_size: 2,
            root_hash: merkle::node_hash(&leaves[0], &leaves[1]),
            hashes: vec![leaves[0]],
            checkpoint: Some("origin\n2\n…\n".to_owned()),
        }
    }

    #[test]
    fn a_proof_survives_its_file_and_proves_its_leaf_alone() {
        let proof = InclusionProof::from_json(example().to_json().to_string().as_bytes()).expect("a proof");
        assert_eq!(proof, example());
        assert!(proof.proves(&[2; 32]));
        assert!(!proof.proves(&[1; 32]));
        assert!(!InclusionProof { log_index: 0, ..proof }.proves(&[2; 32]));
    }

    #[test]
    fn the_plain_spelling_is_read_too() {
        let proof = example();
        let text = json!({
            "log_index": 1, "tree_size": 2, "root_hash": encoding::base64(&proof.root_hash),
            "hashes": [encoding::base64(&proof.hashes[0])], "checkpoint": proof.checkpoint,
        });
        assert_eq!(InclusionProof::from_json(text.to_string().as_bytes()), Ok(proof));
    }

    #[test]
    fn damaged_files_are_refused_by_member() {
        let cases = [
            ("", "no JSON"),
            ("[]", "`hashes` is missing"),
            (r#"{"hashes":7}"#, "no list"),
            (r#"{"hashes":[],"logIndex":"-1"}"#, "`logIndex`"),
            (r#"{"hashes":[],"logIndex":1,"treeSize":2,"rootHash":"AA=="}"#, "`rootHash`"),
        ];
        for (text, words) in cases {
            let error = InclusionProof::from_json(text.as_bytes()).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
        let long = json!({"hashes": vec![""; 41], "logIndex": 1, "treeSize": 2, "rootHash": ""}).to_string();
        assert!(InclusionProof::from_json(long.as_bytes()).expect_err("long").contains("41"));
    }
}
