//! The log's read paths, with every proof verified by the functions that clients verify with.

use crate::support::{Answer, TestCa};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::transparency::checkpoint::Checkpoint;
use countersign::transparency::precertificate::DataTileEntry;
use countersign::transparency::{Hash, merkle, sha256};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

const ORIGIN: &str = "ca.example.com/ct";

/// A CA that has issued so many certificates.
async fn ca_with(entries: usize) -> TestCa {
    let ca = TestCa::start().await;
    for _ in 0..entries {
        ca.issue().await;
    }
    ca
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().expect("text")).expect("base64")
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().expect("a list").iter().map(|hash| bytes(hash).try_into().expect("32 octets")).collect()
}

async fn json(ca: &TestCa, path: &str) -> Value {
    let answer = ca.get(&format!("/ct/ct/v1/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    answer.json()
}

async fn checkpoint(ca: &TestCa) -> Checkpoint {
    let answer = ca.get("/ct/checkpoint").await;
    assert_eq!(answer.status, 200);
    Checkpoint::verify(&answer.body, ORIGIN, &ca.log_spki()).expect("it verifies")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checkpoint_and_the_sth_verify_and_are_not_cached() {
    let ca = ca_with(3).await;
    let checkpoint = checkpoint(&ca).await;
    assert_eq!(checkpoint.head().size, 3);
    let sth = json(&ca, "get-sth").await;
    assert_eq!(sth["tree_size"], 3);
    assert_eq!(bytes(&sth["sha256_root_hash"]), checkpoint.head().root);
    let answer = ca.get("/ct/checkpoint").await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(ca.get("/ct/ct/v1/get-sth").await.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_rebuild_the_root_and_are_immutable() {
    let ca = ca_with(5).await;
    let head = *checkpoint(&ca).await.head();
    let tile = ca.get("/ct/tile/0/000.p/5").await;
    assert_eq!(tile.status, 200);
    assert_eq!(tile.header("content-type"), "application/octet-stream");
    assert_eq!(tile.header("cache-control"), "public, max-age=604800, immutable");
    assert_eq!(tile.header("access-control-allow-origin"), "*");
    let (leaves, []) = tile.body.as_chunks::<32>() else { panic!("whole hashes") };
    assert_eq!(merkle::subtree_root(leaves), head.root);

    let data = ca.get("/ct/tile/data/000.p/5").await;
    let mut rest = data.body.as_slice();
    for leaf in leaves {
        let (entry, left) = DataTileEntry::parse(rest).expect("an entry");
        assert_eq!(entry.leaf_hash(), *leaf);
        rest = left;
        for fingerprint in entry.fingerprints() {
            let issuer = ca.get(&format!("/ct/issuer/{}", hex::encode(fingerprint))).await;
            assert_eq!(issuer.status, 200);
            assert_eq!(issuer.header("content-type"), "application/pkix-cert");
            assert_eq!(sha256(&issuer.body), *fingerprint);
        }
        assert_eq!(entry.fingerprints().len(), 2, "intermediate and root");
    }
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_tile_or_a_checkpoint_gets_no_second_one_and_a_part_is_a_part() {
    let ca = ca_with(3).await;
    let asked = |path: &str, name: &'static str, value: String| {
        Answer::of(reqwest::Client::new().get(ca.url(path)).header(name, value))
    };
    for path in ["/ct/tile/0/000.p/3", "/ct/tile/data/000.p/3", "/ct/checkpoint"] {
        let whole = ca.get(path).await;
        let tag = whole.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        let none = asked(path, "if-none-match", tag.clone()).await;
        assert_eq!((none.status.as_u16(), none.body.len()), (304, 0), "{path}");
        assert_eq!(
            (none.header("etag"), none.header("cache-control")),
            (&*tag, whole.header("cache-control"))
        );
        assert_eq!(asked(path, "if-none-match", "\"another\"".to_owned()).await.body, whole.body);
        assert_eq!(asked(path, "if-match", tag).await.body, whole.body);
        let other = asked(path, "if-match", "\"another\"".to_owned()).await;
        assert_eq!((other.status.as_u16(), other.body.len()), (412, 0), "{path}");
        assert_eq!(other.header("cache-control"), "no-store", "{path}");
    }
    // A tag can be made up; what is not there is not there.
    let tag = ca.get("/ct/tile/0/000.p/3").await.header("etag").replace("p.3", "p.4");
    assert_eq!(asked("/ct/tile/0/000.p/4", "if-none-match", tag).await.status, 404);
    assert_eq!(asked("/ct/tile/0/000.p/4", "if-match", "\"x\"".to_owned()).await.status, 404);

    let whole = ca.get("/ct/tile/0/000.p/3").await;
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let part = asked("/ct/tile/0/000.p/3", "range", "bytes=32-63".to_owned()).await;
    assert_eq!((part.status.as_u16(), part.header("content-range")), (206, "bytes 32-63/96"));
    assert_eq!(part.body, whole.body[32..64]);
    let beyond = asked("/ct/tile/0/000.p/3", "range", "bytes=96-".to_owned()).await;
    assert_eq!((beyond.status.as_u16(), beyond.body), (200, whole.body));
    // Issuing makes another checkpoint.
    let tag = ca.get("/ct/checkpoint").await.header("etag").to_owned();
    ca.issue().await;
    assert_eq!(asked("/ct/checkpoint", "if-none-match", tag).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_and_issuer_paths_have_one_spelling() {
    let ca = ca_with(2).await;
    for path in [
        "tile/0/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/3",
        "tile/0/000.p/256",
        "tile/0/0.p/2",
        "tile/0/x000/000.p/2",
        "tile/6/000.p/1",
        "tile/1/000.p/1",
        "tile/0/001.p/1",
        "tile/data/000",
        "tile/00/000.p/2",
        "tile//0/000.p/2",
        "tile/0/000.p/2/",
        "tile/0/%300%30.p/2",
        "tile/entries/000.p/2",
        "issuer/",
        "issuer/00",
        "tile",
    ] {
        let answer = ca.get(&format!("/ct/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (404, "NOT_FOUND".to_owned()), "{path}");
    }
    let upper = hex::encode_upper([0xab; 32]);
    assert_eq!(ca.get(&format!("/ct/issuer/{upper}")).await.status, 404);
    assert_eq!(ca.get(&format!("/ct/issuer/{}", hex::encode([0xab; 32]))).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn inclusion_of_every_entry_is_proven_at_every_size() {
    let ca = ca_with(6).await;
    let entries = json(&ca, "get-entries?start=0&end=5").await;
    let entries = entries["entries"].as_array().expect("a list");
    assert_eq!(entries.len(), 6);
    let leaves: Vec<Hash> =
        entries.iter().map(|entry| merkle::leaf_hash(&bytes(&entry["leaf_input"]))).collect();
    for size in 1..=6_usize {
        let root = merkle_root(&leaves[..size]);
        for (index, leaf) in leaves.iter().enumerate().take(size) {
            let hash = BASE64_STANDARD.encode(leaf);
            // A plus may come as itself, escaped, or as the space that a form's encoding makes of it.
            for hash in [
                hash.clone(),
                hash.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
                hash.replace('+', "%20"),
            ] {
                let proof = json(&ca, &format!("get-proof-by-hash?hash={hash}&tree_size={size}")).await;
                assert_eq!(proof["leaf_index"], index);
                assert!(merkle::verify_inclusion(
                    leaf,
                    index as u64,
                    size as u64,
                    &hashes(&proof["audit_path"]),
                    &root
                ));
            }
            let both = json(&ca, &format!("get-entry-and-proof?leaf_index={index}&tree_size={size}")).await;
            assert_eq!(both["leaf_input"], entries[index]["leaf_input"]);
            assert_eq!(both["extra_data"], entries[index]["extra_data"]);
            assert!(merkle::verify_inclusion(
                leaf,
                index as u64,
                size as u64,
                &hashes(&both["audit_path"]),
                &root
            ));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tree_is_consistent_with_every_later_one() {
    let ca = ca_with(7).await;
    let entries = json(&ca, "get-entries?start=0&end=6").await;
    let leaves: Vec<Hash> = entries["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| merkle::leaf_hash(&bytes(&entry["leaf_input"])))
        .collect();
    for second in 1..=7_u64 {
        for first in 0..=second {
            let answer = json(&ca, &format!("get-sth-consistency?first={first}&second={second}")).await;
            let proof = hashes(&answer["consistency"]);
            if first == 0 || first == second {
                assert!(proof.is_empty());
                continue;
            }
            let (old, new) =
                (merkle_root(&leaves[..first as usize]), merkle_root(&leaves[..second as usize]));
            assert!(merkle::verify_consistency(first, &old, second, &new, &proof), "{first} {second}");
        }
    }
}

fn merkle_root(leaves: &[Hash]) -> Hash {
    let mut edge = merkle::RightEdge::new();
    leaves.iter().for_each(|leaf| edge.push(*leaf));
    edge.root()
}

#[tokio::test(flavor = "multi_thread")]
async fn get_entries_is_cut_at_the_end_and_get_roots_has_our_root() {
    let ca = ca_with(3).await;
    let count = async |query: &str| {
        json(&ca, &format!("get-entries?{query}")).await["entries"].as_array().expect("a list").len()
    };
    assert_eq!(count("start=0&end=0").await, 1);
    assert_eq!(count("start=1&end=1000000").await, 2);
    assert_eq!(count("start=2&end=9223372036854775807").await, 1);
    let roots = json(&ca, "get-roots").await;
    let bundle = ca.get("/api/v2/trustBundle").await.json();
    let root = bundle["chains"][0]["certificates"][1].as_str().expect("PEM").to_owned();
    assert_eq!(bytes(&roots["certificates"][0]), pem::parse(root).expect("PEM").contents());
    assert_eq!(roots["certificates"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_400_and_unknown_hashes_404() {
    let ca = ca_with(2).await;
    let hash = BASE64_STANDARD.encode([7; 32]).replace('+', "%2B");
    for query in [
        "get-sth-consistency",
        "get-sth-consistency?first=1",
        "get-sth-consistency?second=1",
        "get-sth-consistency?first=2&second=1",
        "get-sth-consistency?first=1&second=3",
        "get-sth-consistency?first=-1&second=2",
        "get-sth-consistency?first=1&first=1&second=2",
        "get-sth-consistency?first=a&second=2",
        "get-sth-consistency?first=18446744073709551616&second=2",
        "get-entries",
        "get-entries?start=0",
        "get-entries?start=1&end=0",
        "get-entries?start=2&end=2",
        "get-entries?start=-1&end=1",
        "get-entries?start=0&end=-1",
        "get-proof-by-hash",
        "get-proof-by-hash?tree_size=2",
        "get-proof-by-hash?hash=abc&tree_size=2",
        "get-entry-and-proof?leaf_index=0",
        "get-entry-and-proof?leaf_index=2&tree_size=2",
        "get-entry-and-proof?leaf_index=0&tree_size=3",
        "get-entry-and-proof?leaf_index=0&tree_size=0",
    ] {
        let answer = ca.get(&format!("/ct/ct/v1/{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (400, "REQUEST_MALFORMED".to_owned()),
            "{query}"
        );
    }
    for size in [0, 3] {
        assert_eq!(
            ca.get(&format!("/ct/ct/v1/get-proof-by-hash?hash={hash}&tree_size={size}")).await.status,
            400
        );
    }
    assert_eq!(ca.get(&format!("/ct/ct/v1/get-proof-by-hash?hash={hash}&tree_size=2")).await.status, 404);
    for path in ["add-chain", "add-pre-chain", "get-sth/", "get-anything"] {
        assert_eq!(ca.get(&format!("/ct/ct/v1/{path}")).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_has_a_checkpoint_and_nothing_else() {
    let ca = TestCa::start().await;
    let head = *checkpoint(&ca).await.head();
    assert_eq!((head.size, head.root), (0, merkle::empty_root()));
    assert_eq!(json(&ca, "get-sth").await["tree_size"], 0);
    assert_eq!(ca.get("/ct/tile/0/000").await.status, 404);
    assert_eq!(ca.get("/ct/ct/v1/get-entries?start=0&end=0").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_headers_of_get() {
    let ca = ca_with(1).await;
    for path in ["checkpoint", "tile/0/000.p/1", "ct/v1/get-sth"] {
        let head = Answer::of(ca.http.request(Method::HEAD, ca.url(&format!("/ct/{path}")))).await;
        let get = ca.get(&format!("/ct/{path}")).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0));
        for name in ["content-type", "cache-control", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_times_strictly_increase_and_a_restart_extends_the_tree() {
    let ca = ca_with(2).await;
    let before = checkpoint(&ca).await;
    ca.clock.advance(Duration::from_secs(61));
    let renewed = checkpoint(&ca).await;
    assert!(renewed.head().timestamp > before.head().timestamp);
    let ca = ca.stop().await.start().await;
    ca.issue().await;
    let after = checkpoint(&ca).await;
    assert_eq!(after.head().size, 3);
    let proof = hashes(&json(&ca, "get-sth-consistency?first=2&second=3").await["consistency"]);
    assert!(merkle::verify_consistency(2, &before.head().root, 3, &after.head().root, &proof));
}
