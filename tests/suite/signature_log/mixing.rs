//! The certificate log and the signature log never mix: neither starts on any part of the other, and what one key signs is never
//! what the other's readers verify.

use crate::support::{TestCa, TestClock};
use countersign::environment::UnixMillis;
use countersign::log::ct::CtLogSettings;
use countersign::log::ports::LogSigner;
use countersign::log::reader::LogReader;
use countersign::log::{CtLog, LogKind, SignatureLog, Stores};
use countersign::rekor::canonical::{KeyMaterial, SignatureOf};
use countersign::rekor::{CanonicalBody, HashAlgorithm, KeyDetails, VerifiedEntry, Writers};
use countersign::signer::ceremony::{NewCa, Options};
use countersign::signer::{LogKey, NoteSigningKey};
use countersign::store::LockedDirectory;
use countersign::store::memory::MemoryStore;
use countersign::transparency::checkpoint::{Checkpoint, TreeHead, check_origin};
use countersign::transparency::note::{self, NoteKey};
use countersign::transparency::precertificate::{LogEntry, LoggedCertificate};
use countersign::transparency::tile::{TileKind, tile_at};
use countersign::transparency::{Hash, merkle};
use proptest::prelude::*;
use std::sync::Arc;

const CT_ORIGIN: &str = "ca.example.com/ct";
const ORIGIN: &str = "ca.example.com";

struct Keys {
    ct: Arc<dyn LogSigner>,
    signatures: Arc<dyn LogSigner>,
}

/// The signature log's key is Ed25519, or ECDSA as the other's.
fn keys(ecdsa: bool) -> Keys {
    let ca = NewCa::make(&Options::default(), UnixMillis(1_800_000_000_000)).expect("a CA");
    let signatures = if ecdsa { &ca.issuing_key } else { &ca.signature_log_key };
    Keys {
        ct: Arc::new(LogKey::from_pem(ca.log_key.as_bytes()).expect("a key")),
        signatures: Arc::new(NoteSigningKey::from_pem(signatures.as_bytes()).expect("a key")),
    }
}

fn clock() -> Arc<TestClock> {
    TestClock::at(UnixMillis(1_800_000_000_000))
}

fn stopwatch() -> Arc<dyn countersign::environment::Stopwatch> {
    countersign::server::environment::Environment::system().stopwatch
}

fn stores(head: &MemoryStore, record: &MemoryStore, tiles: &MemoryStore) -> Stores {
    Stores {
        head: Box::new(head.head.clone()),
        record: Box::new(record.record.clone()),
        tiles: Arc::new(tiles.tiles.clone()),
        guard: Box::new(()),
    }
}

fn whole(store: &MemoryStore) -> Stores {
    stores(store, store, store)
}

fn open_ct(keys: &Keys, stores: Stores) -> Result<CtLog, String> {
    let settings = CtLogSettings { origin: CT_ORIGIN.into(), issuers: Vec::new() };
    CtLog::open(settings, keys.ct.clone(), stores, clock(), stopwatch()).map_err(|error| error.to_string())
}

async fn open_signatures(keys: &Keys, stores: Stores) -> Result<Arc<SignatureLog>, String> {
    let log = SignatureLog::open(ORIGIN.into(), keys.signatures.clone(), stores, clock(), stopwatch()).await;
    log.map(Arc::new).map_err(|error| error.to_string())
}

fn entry(number: u64) -> VerifiedEntry {
    let content = number.to_be_bytes();
    let signature = SignatureOf {
        content: &content,
        key: KeyMaterial::PublicKey(&[0x30, 0]),
        details: KeyDetails::Ed25519Ph,
    };
    let body = CanonicalBody::hashedrekord(HashAlgorithm::Sha512, &[7; 64], signature).expect("short");
    VerifiedEntry { kind: "hashedrekord", body }
}

fn precertificate(number: u64) -> LogEntry {
    let logged = LoggedCertificate::Precertificate {
        issuer_key_hash: &[1; 32],
        tbs: &number.to_be_bytes(),
        precertificate: &[2; 10],
    };
    LogEntry::new(logged, &[[3; 32]])
}

/// Both logs with so many entries, sealed as far as they can be.
async fn grown(keys: &Keys, certificates: u64, signatures: u64) -> [MemoryStore; 2] {
    let (ct, own) = (MemoryStore::default(), MemoryStore::default());
    for range in [0..certificates - 1, certificates - 1..certificates] {
        let log = open_ct(keys, whole(&ct)).expect("it opens");
        for index in range {
            log.enter(precertificate(index)).await.expect("it is entered");
        }
        log.close();
    }
    // The first is the log's own.
    for range in [1..signatures - 1, signatures - 1..signatures] {
        let log = open_signatures(keys, whole(&own)).await.expect("it opens");
        for number in range {
            assert_eq!(log.record(&entry(number)).await.expect("it is recorded").index, number);
        }
        log.close();
    }
    [ct, own]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_starts_on_a_part_of_the_other() {
    for (ecdsa, certificates, signatures) in
        [(false, 300, 520), (true, 520, 300), (true, 256, 256), (false, 257, 512)]
    {
        let keys = keys(ecdsa);
        let [ct, own] = grown(&keys, certificates, signatures).await;
        for swapped in 1..8_u8 {
            // Which of head, record and tiles are the other log's.
            let of = |bit: u8, mine: &MemoryStore, other: &MemoryStore| {
                if swapped & bit == 0 { mine.crash() } else { other.crash() }
            };
            let parts = |mine, other| stores(&of(1, mine, other), &of(2, mine, other), &of(4, mine, other));
            open_ct(&keys, parts(&ct, &own)).map(|_| ()).expect_err("a mixture");
            let refused = open_signatures(&keys, parts(&own, &ct)).await.map(|_| ()).expect_err("a mixture");
            assert!(refused.contains("signature log"), "{refused}");
        }
        open_ct(&keys, whole(&ct.crash())).expect("unmixed it opens");
        open_signatures(&keys, whole(&own.crash())).await.expect("unmixed it opens");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_others_key_or_another_origin_neither_starts() {
    let (keys, others) = (keys(true), keys(true));
    let [ct, own] = grown(&keys, 3, 3).await;
    let crossed = Keys { ct: keys.signatures.clone(), signatures: keys.ct.clone() };
    for wrong in [&others, &crossed] {
        open_ct(wrong, whole(&ct.crash())).map(|_| ()).expect_err("another key");
        open_signatures(wrong, whole(&own.crash())).await.map(|_| ()).expect_err("another key");
    }
    for origin in ["other.example.com", CT_ORIGIN] {
        let opened = SignatureLog::open(
            origin.into(),
            keys.signatures.clone(),
            whole(&own.crash()),
            clock(),
            stopwatch(),
        )
        .await;
        assert!(opened.map(|_| ()).expect_err("another origin").to_string().contains("signature log"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_checkpoint_of_one_log_is_the_others() {
    for ecdsa in [false, true] {
        let keys = keys(ecdsa);
        let [ct, own] = grown(&keys, 3, 3).await;
        let (ct, own) =
            (open_ct(&keys, whole(&ct)).unwrap(), open_signatures(&keys, whole(&own)).await.unwrap());
        let (tree_head, note) = (ct.checkpoint().expect("signed"), own.checkpoint().expect("signed"));
        let own_key = NoteKey::from_spki(own.public_key()).expect("a key");
        let ct_key = NoteKey::from_spki(ct.public_key()).expect("a key");
        note::verify(note.as_bytes(), ORIGIN, &own_key).expect("its own");
        Checkpoint::verify(tree_head.as_bytes(), CT_ORIGIN, ct.public_key()).expect("its own");
        for origin in [ORIGIN, CT_ORIGIN] {
            for key in [&own_key, &ct_key] {
                assert!(note::verify(tree_head.as_bytes(), origin, key).is_err());
            }
            for key in [ct.public_key(), own.public_key()] {
                assert!(Checkpoint::verify(note.as_bytes(), origin, key).is_err());
            }
        }
        note::verify(note.as_bytes(), ORIGIN, &ct_key).expect_err("the other's key");
    }
}

/// Every tile of a kind that the first `size` entries fill or begin.
fn tiles(reader: &LogReader, kind: TileKind, size: u64) -> Vec<Vec<u8>> {
    let paths = (0..size.div_ceil(256)).filter_map(|index| tile_at(kind, index, size));
    paths.map(|path| reader.tile(&path).expect("readable").expect("there")).collect()
}

fn leaves(reader: &LogReader, size: u64) -> Vec<Hash> {
    tiles(reader, TileKind::Hashes(0), size).iter().flat_map(|tile| tile.as_chunks().0.to_vec()).collect()
}

/// Whether the tree of `size` entries proves any of these leaves.
fn proves_any(reader: &LogReader, size: u64, foreign: &[Hash]) -> bool {
    let root = reader.root(size).expect("a root");
    foreign.iter().zip(0..size).any(|(leaf, index)| {
        let proof = reader.inclusion_proof(index, size).expect("a proof");
        merkle::verify_inclusion(leaf, index, size, &proof, &root)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Both logs in one data directory, written in turns: neither can read, prove or seal what is the other's.
    #[test]
    fn what_is_entered_into_one_log_is_nowhere_in_the_other(
        turns in prop::collection::vec((any::<bool>(), 1..90_u64), 4..12), ecdsa in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let data = LockedDirectory::open(directory.path()).expect("it opens");
        let keys = keys(ecdsa);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let ct = open_ct(&keys, data.certificates().expect("stores")).expect("it opens");
        let own = runtime.block_on(open_signatures(&keys, data.signatures().expect("stores"))).expect("it opens");
        let (mut certificates, mut signatures) = (0, 1);
        for (is_certificate, count) in turns {
            runtime.block_on(async {
                for _ in 0..count {
                    if is_certificate {
                        let place = ct.enter(precertificate(certificates)).await.expect("it is entered").place;
                        assert_eq!(place.index, certificates);
                        certificates += 1;
                    } else {
                        let recorded = own.record(&entry(signatures)).await.expect("it is recorded");
                        assert_eq!(recorded.index, signatures);
                        signatures += 1;
                    }
                }
            });
        }
        ct.close();
        own.close();
        let both = [(ct.reader(), certificates, LogKind::Certificates), (own.reader(), signatures, LogKind::Signatures)];
        let of = both.map(|(reader, size, _)| leaves(reader, size));
        prop_assert_eq!((of[0].len() as u64, of[1].len() as u64), (certificates, signatures));
        prop_assert!(of[0].iter().all(|leaf| !of[1].contains(leaf)));
        for (at, (reader, size, kind)) in both.into_iter().enumerate() {
            let other = if kind == LogKind::Certificates { LogKind::Signatures } else { LogKind::Certificates };
            for tile in tiles(reader, TileKind::Data, size) {
                let mut rest = &tile[..];
                while !rest.is_empty() {
                    prop_assert!(other.take(rest).is_err(), "an entry of the {} is one of the other", kind.name());
                    rest = kind.take(rest).expect("an entry").1;
                }
            }
            prop_assert!(!proves_any(reader, size, &of[1 - at]));
            prop_assert!(size == 0 || proves_any(reader, size, &of[at]));
        }
    }
}

/// A server finds files of one log in the place of the other's, and says which log it is that does not start.
#[tokio::test(flavor = "multi_thread")]
async fn swapped_parts_of_the_data_directory_are_refused_by_the_name_of_the_log() {
    let ca = TestCa::builder().signature_log(Writers::Own).start().await;
    ca.issue().await;
    ca.issue().await;
    let ca = ca.stop().await;
    let (data, kept) = (ca.config.data.clone(), ca.config.data.with_file_name("kept"));
    std::fs::rename(&data, &kept).expect("moved");
    let put = |from: &str, to: &str| {
        let (from, to) = (kept.join(from), data.join(to));
        let mut files = vec![(from, to)];
        while let Some((from, to)) = files.pop() {
            if from.is_dir() {
                std::fs::create_dir_all(&to).expect("made");
                let items = std::fs::read_dir(&from)
                    .expect("readable")
                    .map(|item| item.expect("readable").file_name());
                files.extend(items.map(|name| (from.join(&name), to.join(&name))));
            } else {
                std::fs::copy(from, to).expect("copied");
            }
        }
    };
    let certificates = "the certificate log: ";
    let signatures = "the signature log, in `signatures` of the data directory: ";
    for (parts, words) in [
        (&[("signatures/head.record", "head.record")][..], certificates),
        (&[("head.record", "signatures/head.record")], signatures),
        (
            &[("head.record", "signatures/head.record"), ("signatures/head.record", "head.record")],
            certificates,
        ),
        (&[("signatures/head", "head")], certificates),
        (&[("head", "signatures/head")], signatures),
        (
            &[
                ("head", "signatures/head"),
                ("head.record", "signatures/head.record"),
                ("log", "signatures/log"),
            ],
            signatures,
        ),
        (&[("signatures/head", "head"), ("signatures/head.record", "head.record")], certificates),
    ] {
        put("", "");
        for (_, to) in parts {
            let to = data.join(to);
            if to.is_dir() { std::fs::remove_dir_all(to) } else { std::fs::remove_file(to) }
                .expect("removed");
        }
        for (from, to) in parts {
            put(from, to);
        }
        let refused = ca.refused().await.to_string();
        assert!(refused.starts_with(words), "{parts:?}: {refused}");
        std::fs::remove_dir_all(&data).expect("removed");
    }
    put("", "");
    ca.start().await.issue().await;
}

proptest! {
    /// Even one key for both could not sign the one and mean the other: a tree head and an SCT begin with octet 0, a note with its
    /// origin, and the log's first entry with what no origin has.
    #[test]
    fn what_a_key_signs_for_one_log_is_never_what_it_signs_for_the_other(
        origin in "\\PC{1,40}", size in any::<u64>(), root in any::<[u8; 32]>(), time in any::<u64>(),
    ) {
        prop_assume!(check_origin(&origin).is_ok());
        let text = note::text(&origin, size, &root);
        let head = TreeHead { size, root, timestamp: UnixMillis(time) };
        prop_assert_eq!(head.signature_input()[0], 0);
        prop_assert!(text.as_bytes()[0] != 0 && !text.starts_with("DSSEv1 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_neither_the_cas_nor_the_certificate_logs_key_for_it() {
    for other in ["log.key", "ca.key"] {
        let ca = TestCa::builder()
            .signature_log(Writers::Own)
            .configure(move |config| {
                let log = config.signature_log.as_mut().expect("a signature log");
                // A copy under another name: what the configuration alone cannot see.
                std::fs::copy(log.key.with_file_name(other), &log.key).expect("copied");
            })
            .prepare()
            .await;
        let refused = ca.refused().await.to_string();
        assert!(refused.contains("signature_log.key") && refused.contains("one of its own"), "{refused}");
    }
}
