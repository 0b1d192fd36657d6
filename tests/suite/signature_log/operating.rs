//! The operators' commands on both logs: backup, restore, audit, checkpoints and proofs, and what they refuse of either.

use crate::backup::{copy, good, refused, rot, tree};
use crate::cli_user::{World, issue};
use countersign::log::SignatureLog;
use countersign::log::ports::LogSigner as _;
use countersign::rekor::canonical::{KeyMaterial, SignatureOf};
use countersign::rekor::{CanonicalBody, HashAlgorithm, KeyDetails, VerifiedEntry};
use countersign::server::environment::Environment;
use countersign::signer::NoteSigningKey;
use countersign::store::LockedDirectory;
use countersign::transparency::{merkle, sha256};
use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::sync::Arc;

fn entry(number: u64) -> VerifiedEntry {
    let content = number.to_be_bytes();
    let key = KeyMaterial::PublicKey(&[0x30, 0]);
    let signature = SignatureOf { content: &content, key, details: KeyDetails::P256Sha256 };
    let body = CanonicalBody::hashedrekord(HashAlgorithm::Sha256, &sha256(&content), signature);
    VerifiedEntry { kind: "hashedrekord", body: body.expect("short") }
}

impl World {
    /// Writes these entries into the signature log, while no server runs.
    fn log_signatures(&self, numbers: Range<u64>) {
        let config = self.config.signature_log.as_ref().expect("a signature log");
        let key = Arc::new(NoteSigningKey::open(&config.key).expect("its key"));
        let stores = LockedDirectory::open(&self.config.data).and_then(|data| data.signatures());
        let Environment { clock, stopwatch, .. } = Environment::system();
        self.runtime.block_on(async {
            let log =
                SignatureLog::open(config.origin.clone(), key, stores.expect("it opens"), clock, stopwatch);
            let log = Arc::new(log.await.expect("it starts"));
            let mut tasks = tokio::task::JoinSet::new();
            for number in numbers {
                let log = log.clone();
                tasks.spawn(async move { log.record(&entry(number)).await.expect("it is recorded") });
            }
            tasks.join_all().await;
            log.close();
        });
    }

    /// Restarts the server with these entries logged meanwhile.
    fn logged_meanwhile(&mut self, numbers: Range<u64>) {
        self.stop();
        self.log_signatures(numbers);
        self.start();
    }

    fn signatures(&self) -> std::path::PathBuf {
        self.config.data.join("signatures")
    }

    /// `log NAME --config … --json`, with more arguments.
    fn log(&self, name: &str, more: &[&str]) -> crate::cli_user::Ended {
        self.run(&[&["log", name, "--json", "--config", &self.config_file()], more].concat())
    }

    /// Takes `signature_log:` out of the configuration file.
    fn without_signature_log(&self) {
        let file = self.config_file();
        let text = fs::read_to_string(&file).expect("the configuration");
        let start = text.find("\nsignature_log:").expect("it has one") + 1;
        let length = text[start..]
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with([' ', '#']))
            .map(|line| line.len() + 1);
        let end = start + text[start..].find('\n').expect("lines") + 1 + length.sum::<usize>();
        fs::write(file, format!("{}{}", &text[..start], &text[end..])).expect("written");
    }
}

#[test]
fn both_logs_are_backed_up_and_put_back_whole_and_go_on() {
    let mut world = World::new();
    issue(&world, 3);
    let first = good(&world.back_up("b", &[]));
    assert_eq!((&first["entries"], &first["signature_log"]["entries"]), (&json!(3), &json!(1)));
    copy(&world.path("b"), &world.path("old"));
    world.logged_meanwhile(0..300);
    let beside = good(&world.back_up("b", &["--metrics-file", "backup.prom"]));
    assert_eq!((&beside["new_entries"], &beside["signature_log"]["new_entries"]), (&json!(0), &json!(300)));
    let text = fs::read_to_string(world.path("backup.prom")).expect("written");
    assert!(text.contains("\ncountersign_backup_signature_entries 301\n"), "{text}");
    issue(&world, 1);
    world.stop();
    world.log_signatures(300..310);
    let at_rest = good(&world.back_up("b", &[]));
    assert_eq!((&at_rest["entries"], &at_rest["signature_log"]["entries"]), (&json!(4), &json!(311)));
    assert_eq!(tree(&world.path("b/signatures/log")), tree(&world.signatures().join("log")));
    good(&world.back_up("whole", &["--verify"]));
    assert_eq!(tree(&world.path("whole/signatures/log")), tree(&world.path("b/signatures/log")));
    world.start();
    let kept = good(&world.log("checkpoint", &["--log", "signatures"]));
    fs::write(world.path("kept"), kept["checkpoint"].as_str().expect("a note")).expect("written");
    world.stop();

    let lost = world.lose_data("lost");
    let wrong: [(&str, &[&str], &str); 7] = [
        ("b", &["--final-signatures", "310"], "the signature log is said to have had 310 entries"),
        ("b", &["--final-signatures", "312"], "the signature log had 312 entries, 311 can be put back"),
        ("old", &["--final-signatures", "1"], "the certificate log had 4 entries, 3 can be put back"),
        (
            "old",
            &["--final-signatures", "1", "--final-size", "3", "--replaces", "lost"],
            "at least 4 entries (lost/head.record)",
        ),
        (
            "mixed",
            &["--final-signatures", "1", "--replaces", "lost"],
            "at least 311 entries (lost/signatures/head.record)",
        ),
        (
            "mixed",
            &["--final-signatures", "1", "--checkpoint", "kept"],
            "the signature log had at least 311 entries",
        ),
        ("swapped", &["--final-signatures", "1"], "the configuration's certificate log is"),
    ];
    copy(&world.path("b"), &world.path("mixed"));
    fs::remove_dir_all(world.path("mixed/signatures")).expect("removed");
    copy(&world.path("old/signatures"), &world.path("mixed/signatures"));
    copy(&world.path("b/signatures"), &world.path("swapped"));
    for (backup, arguments, words) in wrong {
        let size: &[&str] = if arguments.contains(&"--final-size") { &[] } else { &["--final-size", "4"] };
        refused(&world.restore(backup, &[arguments, size].concat()), words);
        assert!(!world.config.data.exists(), "nothing was made: {words}");
    }
    let unsaid = ["restore", "b", "--json", "--final-size", "4", "--config", &world.config_file()];
    refused(&world.run(&unsaid), "say with --final-signatures");

    // It ends in the middle, with the certificate log put back, and goes on.
    copy(&world.path("b"), &world.path("broken"));
    rot(&world.path("broken/signatures/log/tile/data/000"), 40);
    let all =
        ["--final-size", "4", "--final-signatures", "311", "--replaces", "lost", "--checkpoint", "kept"];
    refused(&world.restore("broken", &all), "the signature log was not put back");
    assert!(world.does_not_start().contains("RESTORING is there"), "{}", world.does_not_start());
    let restored = good(&world.restore("b", &all));
    assert_eq!((&restored["entries"], &restored["signature_log"]["entries"]), (&json!(4), &json!(311)));
    assert_eq!(restored["signature_log"]["root_hash"], kept["root_hash"]);
    assert_eq!(tree(&lost.join("signatures/log")), tree(&world.signatures().join("log")));

    world.start();
    world.logged_meanwhile(310..311);
    issue(&world, 1);
    let audit = good(&world.log("audit", &[]));
    assert_eq!((&audit["entries"], &audit["signature_log"]["entries"]), (&json!(5), &json!(312)));
    assert_eq!(good(&world.back_up("b", &[]))["signature_log"]["new_entries"], 1);
}

#[test]
fn a_signature_log_that_no_server_has_begun_yet_holds_no_backup_up() {
    let mut world = World::new();
    world.stop();
    fs::remove_dir_all(world.signatures()).expect("removed");
    // The server runs on as it was before the section was written.
    let configured = world.config.signature_log.take();
    world.start();
    issue(&world, 2);
    let beside = world.back_up("b", &[]);
    let document = good(&beside);
    assert_eq!((&document["entries"], document.get("signature_log")), (&json!(2), None));
    assert!(beside.err.contains("there is no signature log in"), "{}", beside.err);
    world.config.signature_log = configured;
    world.stop();
    world.start();
    assert_eq!(good(&world.back_up("b", &[]))["signature_log"]["entries"], 1);
}

#[test]
fn a_signature_log_that_was_put_back_or_forked_is_named_and_not_backed_up() {
    let mut world = World::new();
    world.stop();
    world.log_signatures(0..5);
    let earlier = world.path("earlier");
    copy(&world.signatures(), &earlier);
    world.log_signatures(5..10);
    good(&world.back_up("b", &[]));
    fs::remove_dir_all(world.signatures()).expect("removed");
    let missing = world.back_up("b", &[]);
    refused(&missing, "the signature log: there is none in");
    copy(&earlier, &world.signatures());
    refused(&world.back_up("b", &[]), "the signature log: the log has 6 entries, 11 were known");
    world.log_signatures(100..120);
    let before = tree(&world.path("b/signatures"));
    refused(&world.back_up("b", &[]), "the signature log: the first 11 entries are not those of the copy");
    assert_eq!(tree(&world.path("b/signatures")), before);
}

#[test]
fn a_backup_may_be_older_than_the_signature_log_and_a_configuration_may_have_none() {
    let mut world = World::new();
    issue(&world, 2);
    world.stop();
    good(&world.back_up("both", &[]));
    let file = world.config_file();
    let text = fs::read_to_string(&file).expect("the configuration");
    world.without_signature_log();
    let certificates = good(&world.back_up("certificates", &[]));
    assert_eq!((&certificates["entries"], certificates.get("signature_log")), (&json!(2), None));
    assert!(!world.path("certificates/signatures").exists());
    assert_eq!(world.log("audit", &["--log", "signatures"]).code, 2);
    let left = world.back_up("both", &[]);
    assert!(
        left.code == 0 && left.err.contains("has a signature log that the configuration does not keep"),
        "{}",
        left.err
    );
    world.lose_data("lost");
    let put_back =
        |name: &str| world.run(&["restore", name, "--json", "--final-size", "2", "--config", &file]);
    refused(&put_back("both"), "the backup has a signature log, and the configuration keeps none");
    assert_eq!(good(&put_back("certificates"))["entries"], 2);
    assert!(!world.signatures().exists());
    fs::remove_dir_all(&world.config.data).expect("removed");

    // With a signature log it would begin anew, so somebody must say that there was none.
    fs::write(&file, text).expect("written");
    refused(&world.restore("certificates", &["--final-size", "2"]), "had 1 entries, 0 can be put back");
    let replaces = ["--final-size", "2", "--final-signatures", "0", "--replaces", "lost"];
    refused(&world.restore("certificates", &replaces), "at least 1 entries (lost/signatures/head.record)");
    good(&world.restore("certificates", &["--final-size", "2", "--final-signatures", "0"]));
    assert!(!world.signatures().exists());
    world.start();
    assert_eq!(good(&world.log("audit", &[]))["signature_log"]["entries"], 1);
}

#[test]
fn either_log_is_audited_read_and_proven_beside_the_server_over_http_and_from_its_files() {
    let mut world = World::new();
    issue(&world, 2);
    world.logged_meanwhile(0..260);
    let url = world.config.base_url();
    let key = ["--key", "trusted_root.json"];
    let remote = |name: &str, more: &[&str]| {
        world.run(&[&["log", name, "--json", "--log", "signatures", "--url", &url], &key[..], more].concat())
    };
    let both = good(&world.log("audit", &["--metrics-file", "audit.prom"]));
    assert_eq!((&both["entries"], &both["signature_log"]["entries"]), (&json!(2), &json!(261)));
    assert_eq!((&both["consistent"], &both["signature_log"]["consistent"]), (&json!(true), &json!(true)));
    let text = fs::read_to_string(world.path("audit.prom")).expect("written");
    for line in ["success 1", "entries 2", "signature_entries 261"] {
        assert!(text.contains(&format!("\ncountersign_log_audit_{line}\n")), "{text}");
    }
    let one = good(&world.log("audit", &["--log", "certificates"]));
    assert_eq!((&one["entries"], one.get("signature_log")), (&json!(2), None));
    for document in [good(&world.log("audit", &["--log", "signatures"])), good(&remote("audit", &[]))] {
        assert_eq!((&document["entries"], &document["issuers"]), (&json!(261), &json!(0)), "{document}");
    }
    let checkpoint = good(&remote("checkpoint", &[]));
    assert_eq!((&checkpoint["size"], checkpoint.get("timestamp_ms")), (&json!(261), None));
    refused(&remote("audit", &["--origin", "elsewhere"]), "expected is `elsewhere`");

    // A proof for what a bundle holds, and for an entry by itself.
    let signatures = world.config.signature_log.as_ref().expect("a signature log");
    let spki = NoteSigningKey::open(&signatures.key).expect("its key").public_key().to_vec();
    let log_id =
        countersign::transparency::note::NoteKey::from_spki(&spki).expect("a key").log_id(&signatures.origin);
    let base64 = countersign::cli::encoding::base64;
    let reader = world.signatures().join("log/tile/data/000");
    let tile = fs::read(reader).expect("a tile");
    let second = {
        let length = |at: usize| usize::from(u16::from_be_bytes([tile[at], tile[at + 1]]));
        let at = 2 + length(0);
        tile[at + 2..at + 2 + length(at)].to_vec()
    };
    let entry = |index: u64, body: &[u8]| {
        json!({
            "logIndex": index.to_string(), "logId": { "keyId": base64(&log_id) },
            "kindVersion": { "kind": "hashedrekord", "version": "0.0.2" }, "canonicalizedBody": base64(body),
        })
    };
    let write =
        |document: &Value| fs::write(world.path("entry.json"), document.to_string()).expect("written");
    let bundle = json!({ "verificationMaterial": { "tlogEntries": [entry(1, &second)] } });
    for document in [entry(1, &second), bundle] {
        write(&document);
        let proof = world.log("prove", &["entry.json"]);
        assert_eq!(proof.code, 0, "{}{}", proof.out, proof.err);
        let proof =
            countersign::cli::proof::InclusionProof::from_json(proof.out.as_bytes()).expect("a proof");
        assert!(proof.proves(&merkle::leaf_hash(&second)) && proof.tree_size == 261);
    }
    write(&entry(2, &second));
    refused(&world.log("prove", &["entry.json"]), "entry 2 of the log is another one");
    write(&json!({ "verificationMaterial": { "tlogEntries": [] } }));
    refused(&world.log("prove", &["entry.json"]), "it is in another log");
    assert_eq!(world.log("prove", &["entry.json", "--log", "certificates"]).code, 2);

    // From the files alone; and what is wrong with one log does not hide the other.
    world.stop();
    let sealed = good(&world.log("audit", &[]));
    assert_eq!(sealed["signature_log"]["entries"], 256);
    rot(&world.signatures().join("log/tile/data/000"), 40);
    let tampered = world.log("audit", &[]);
    refused(&tampered, "the signature log is not what it should be");
    let document = tampered.json();
    let problems = document["signature_log"]["problems"].as_array().expect("problems");
    assert!(problems[0].as_str().is_some_and(|problem| problem.starts_with("entry 0: ")), "{document}");
    assert!(document["problems"].as_array().is_some_and(Vec::is_empty), "{document}");
}

#[test]
fn a_signature_log_without_its_own_first_entry_is_none() {
    let mut world = World::new();
    world.stop();
    let other = World::new();
    let mut other = other;
    other.stop();
    // Another log's entries, as a tile of this one.
    for world in [&world, &other] {
        world.log_signatures(0..260);
    }
    let tile = "signatures/log/tile/data/000";
    let foreign = fs::read(other.config.data.join(tile)).expect("a tile");
    let own = world.config.data.join(tile);
    let mut mode = fs::metadata(&own).expect("there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
    fs::set_permissions(&own, mode).expect("its mode");
    fs::write(own, foreign).expect("written");
    let audit = world.log("audit", &["--log", "signatures"]);
    assert_eq!(audit.code, 1);
    assert!(audit.out.contains("entry 0: it is not the log's own"), "{}", audit.out);
}
