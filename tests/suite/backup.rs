//! `countersign backup` and `restore`, and what cron is told: the binary against a CA on loopback, and its files.

use crate::cli_user::{Ended, World, issue};
use countersign::server::Running;
use countersign::server::environment::Environment;
use countersign::store::{BackupDirectory, DataDirectory};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

impl World {
    /// `backup NAME --json`, with more arguments.
    pub(crate) fn back_up(&self, name: &str, more: &[&str]) -> Ended {
        self.run(&[&["backup", name, "--json", "--config", &self.config_file()], more].concat())
    }

    /// `restore NAME --json`, with more arguments; the signature log had its own entry and no other, unless more is said.
    pub(crate) fn restore(&self, name: &str, more: &[&str]) -> Ended {
        let signatures: &[&str] =
            if more.contains(&"--final-signatures") { &[] } else { &["--final-signatures", "1"] };
        self.run(&[&["restore", name, "--json", "--config", &self.config_file()], more, signatures].concat())
    }

    pub(crate) fn start(&mut self) {
        let started = self.runtime.block_on(Running::start(self.config.clone(), Environment::system()));
        self.server = Some(started.expect("it starts"));
    }

    /// Why the server does not start.
    pub(crate) fn does_not_start(&self) -> String {
        match self.runtime.block_on(Running::start(self.config.clone(), Environment::system())) {
            Ok(_) => panic!("it started"),
            Err(error) => error.to_string(),
        }
    }

    /// Moves the data directory away.
    pub(crate) fn lose_data(&self, name: &str) -> PathBuf {
        let away = self.path(name);
        fs::rename(&self.config.data, &away).expect("moved");
        away
    }

    /// The checkpoint of the running server, as a file.
    fn keep_checkpoint(&self, name: &str) -> Value {
        let ended = self.run(&["log", "checkpoint", "--json", "--config", &self.config_file()]);
        let document = good(&ended);
        fs::write(self.path(name), document["checkpoint"].as_str().expect("a note")).expect("written");
        document
    }
}

pub(crate) fn good(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    ended.json()
}

/// It was refused, with these words.
pub(crate) fn refused(ended: &Ended, words: &str) {
    assert_eq!(ended.code, 1, "{words}: {}{}", ended.out, ended.err);
    let said = ended.json()["error"].as_str().expect("an error").to_owned();
    assert!(said.contains(words), "{words}: {said}");
}

/// Every file below but locks, with its bytes.
pub(crate) fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(next) = open.pop() {
        for item in fs::read_dir(next).expect("readable") {
            let path = item.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("LOCK") {
                let name = path.strip_prefix(directory).expect("below").to_owned();
                found.insert(name, fs::read(path).expect("readable"));
            }
        }
    }
    found
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for (name, bytes) in tree(from) {
        let to = to.join(name);
        fs::create_dir_all(to.parent().expect("a parent")).expect("made");
        fs::write(to, bytes).expect("written");
    }
}

pub(crate) fn rot(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("there");
    bytes[at] ^= 1;
    fs::write(file, bytes).expect("written");
}

#[test]
fn a_log_that_is_backed_up_while_it_grows_is_put_back_whole_and_goes_on() {
    let mut world = World::new();
    let first = good(&world.back_up("b", &[]));
    assert_eq!((&first["entries"], &first["new_entries"]), (&json!(0), &json!(0)));
    // Backups beside a server that issues all the while.
    let mut held = 0;
    std::thread::scope(|scope| {
        let issuing = scope.spawn(|| issue(&world, 300));
        while !issuing.is_finished() {
            let document = good(&world.back_up("b", &[]));
            let (entries, new) = (&document["entries"], &document["new_entries"]);
            let (entries, new) = (entries.as_u64().expect("a number"), new.as_u64().expect("a number"));
            assert_eq!(entries - new, held);
            held = entries;
        }
    });
    let last = good(&world.back_up("b", &[]));
    let checkpoint = world.keep_checkpoint("newest");
    assert_eq!((&last["entries"], &last["root_hash"]), (&json!(300), &checkpoint["root_hash"]));
    // In one piece it is the same.
    good(&world.back_up("whole", &["--verify"]));
    assert_eq!(tree(&world.path("b/log")), tree(&world.path("whole/log")));
    refused(&world.restore("b", &["--final-size", "300"]), "this log is being served");

    world.stop();
    let at_rest = good(&world.back_up("b", &[]));
    assert!(at_rest["read_from"].as_str().is_some_and(|place| place.contains("no server runs")), "{at_rest}");
    assert_eq!((&at_rest["new_entries"], &at_rest["root_hash"]), (&json!(0), &checkpoint["root_hash"]));
    assert_eq!(tree(&world.path("b/log")), tree(&world.config.data.join("log")));

    let lost = world.lose_data("lost");
    let arguments = ["--final-size", "300", "--replaces", "lost", "--checkpoint", "newest"];
    let restored = good(&world.restore("b", &arguments));
    assert_eq!((&restored["entries"], &restored["root_hash"]), (&json!(300), &checkpoint["root_hash"]));
    assert_eq!(tree(&lost.join("log")), tree(&world.config.data.join("log")));
    assert!(!world.config.data.join("RESTORING").exists());
    refused(&world.restore("b", &arguments), "is not empty");

    world.start();
    issue(&world, 1);
    let audit = good(&world.run(&["log", "audit", "--json", "--config", &world.config_file()]));
    assert_eq!(audit["entries"], 301);
    assert_eq!(good(&world.back_up("b", &[]))["new_entries"], 1);
}

#[test]
fn what_would_fork_the_log_is_neither_put_back_nor_backed_up() {
    let mut world = World::new();
    issue(&world, 3);
    good(&world.back_up("old", &[]));
    issue(&world, 2);
    good(&world.back_up("new", &[]));
    world.keep_checkpoint("five");
    world.stop();
    world.lose_data("lost");

    let wrong: [(&[&str], &str); 6] = [
        (&[], "say with --final-size"),
        (&["--final-size", "5"], "entries that were answered would be lost"),
        (&["--final-size", "2"], "is said to have had 2 entries"),
        (&["--final-size", "3", "--replaces", "lost"], "at least 5 entries (lost/head.record)"),
        (&["--final-size", "3", "--checkpoint", "five"], "at least 5 entries (the checkpoint five)"),
        (&["--final-size", "3", "--replaces", "nowhere"], "nowhere is no directory"),
    ];
    for (arguments, words) in wrong {
        refused(&world.restore("old", arguments), words);
        assert!(!world.config.data.exists(), "nothing was made: {words}");
    }
    refused(&world.restore("lost", &["--final-size", "3"]), "no backup that was finished");

    // Whoever lies gets their fork; the good backup and those who kept something see it.
    good(&world.restore("old", &["--final-size", "3"]));
    refused(&world.back_up("new", &[]), "the log has 3 entries, 5 were known");
    world.start();
    issue(&world, 4);
    let before = tree(&world.path("new"));
    refused(&world.back_up("new", &[]), "the first 5 entries are not those of the copy");
    refused(&world.back_up("new", &["--verify"]), "the first 5 entries are not those of the backup");
    assert_eq!(tree(&world.path("new")), before);
    good(&world.back_up("forked", &[]));
    world.stop();
    world.lose_data("fork");
    for evidence in [["--replaces", "lost"], ["--checkpoint", "five"]] {
        refused(
            &world.restore("forked", &[&["--final-size", "7"], &evidence[..]].concat()),
            "the first 5 entries are not those of",
        );
        fs::remove_dir_all(&world.config.data).expect("removed");
    }

    // A backup of another log.
    let stranger = World::new();
    let foreign = stranger.path("b").display().to_string();
    good(&stranger.back_up("b", &[]));
    refused(&world.restore(&foreign, &["--final-size", "0"]), "it is a backup of the log");
    refused(&world.back_up(&foreign, &[]), "it is a backup of the log");
}

#[test]
fn a_mirror_brings_what_a_backup_lacks() {
    let mut world = World::new();
    issue(&world, 3);
    good(&world.back_up("old", &[]));
    issue(&world, 5);
    let checkpoint = world.keep_checkpoint("eight");
    // Another machine, which will be given the log, and this one as the mirror.
    let mirror = world.config.log_url();
    let other = world.path("other");
    copy(&world.path("ca"), &other);
    let text = fs::read_to_string(other.join("countersign.yaml")).expect("there");
    let listen = format!("listen: {}", world.config.listen);
    assert!(text.contains(&listen) && text.contains("origin: "), "{text}");
    fs::remove_dir_all(other.join("data")).expect("removed");
    fs::write(other.join("countersign.yaml"), text.replace(&listen, "listen: 127.0.0.1:1")).expect("written");
    keys_are_private(&other);
    let config = other.join("countersign.yaml").display().to_string();
    let restore = |size: &str, more: &[&str]| {
        let arguments = [
            "restore",
            "old",
            "--json",
            "--config",
            &config,
            "--final-size",
            size,
            "--final-signatures",
            "1",
        ];
        world.run(&[&arguments, more].concat())
    };
    refused(&restore("3", &["--mirror", &mirror]), "the certificate log is said to have had 3 entries");
    let restored = good(&restore("8", &["--mirror", &mirror]));
    assert_eq!((&restored["entries"], &restored["root_hash"]), (&json!(8), &checkpoint["root_hash"]));
    world.stop();
}

fn keys_are_private(ca: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for key in ["ca/key.pem", "log/key.pem", "log/signatures.pem", "ca/root-key.pem", "timestamps/key.pem"] {
        fs::set_permissions(ca.join(key), fs::Permissions::from_mode(0o600)).expect("its mode");
    }
}

#[test]
fn an_interrupted_restore_is_served_by_nobody_and_goes_on() {
    let mut world = World::new();
    issue(&world, 259);
    good(&world.back_up("b", &[]));
    copy(&world.path("b"), &world.path("broken"));
    world.stop();
    let lost = world.lose_data("lost");
    // It ends in the middle: a tile of the backup is damaged, and the head store is half made.
    let restore = || world.restore("broken", &["--final-size", "259", "--replaces", "lost"]);
    rot(&world.path("broken/log/tile/data/000"), 40);
    refused(&restore(), "The backup is damaged");
    assert!(world.does_not_start().contains("RESTORING is there"), "{}", world.does_not_start());
    copy(&lost.join("head"), &world.config.data.join("head"));
    assert!(world.does_not_start().contains("RESTORING is there"));
    refused(&world.back_up("other", &[]), "RESTORING is there");

    copy(&world.path("b"), &world.path("broken"));
    fs::write(world.config.data.join("RESTORING"), "something else").expect("written");
    refused(&restore(), "was of another backup");
    fs::remove_dir_all(&world.config.data).expect("removed");
    rot(&world.path("broken/log/tile/data/000"), 40);
    refused(&restore(), "The backup is damaged");
    copy(&world.path("b"), &world.path("broken"));
    good(&restore());
    assert_eq!(tree(&lost.join("log")), tree(&world.config.data.join("log")));
    world.start();
    let audit = good(&world.run(&["log", "audit", "--json", "--config", &world.config_file()]));
    assert_eq!(audit["entries"], 259);
}

#[test]
fn a_backup_is_compared_whole_when_asked_and_its_gaps_are_filled() {
    let mut world = World::new();
    issue(&world, 257);
    good(&world.back_up("b", &[]));
    let whole = tree(&world.path("b/log"));
    let tile = world.path("b/log/tile/data/000");
    fs::remove_file(&tile).expect("removed");
    good(&world.back_up("b", &["--verify"]));
    assert_eq!(tree(&world.path("b/log")), whole);
    rot(&tile, 40);
    refused(&world.back_up("b", &["--verify"]), "tile/data/000 exists with other bytes");
    rot(&tile, 40);
    // What every run looks at: the tiles that the head stands on.
    rot(&world.path("b/log/tile/0/000"), 40);
    refused(&world.back_up("b", &[]), "is damaged");
    rot(&world.path("b/log/tile/0/000"), 40);
    rot(&world.path("b/backup.json"), 200);
    refused(&world.back_up("b", &[]), "it is not the head of a backup, or it is damaged");
    rot(&world.path("b/backup.json"), 200);
    good(&world.back_up("b", &[]));

    // A damaged log is not copied, beside the server or without it; mended, it is.
    let tile = world.config.data.join("log/tile/data/000");
    for server in [true, false] {
        rot(&tile, 40);
        // At rest it is compared with the head store, where that still has the entries, or else found in the copy.
        refused(&world.back_up("c", &[]), if server { "entry 0: " } else { "" });
        assert!(!world.path("c/backup.json").exists());
        rot(&tile, 40);
        if server {
            world.stop();
        }
    }
    good(&world.back_up("c", &[]));
    assert_eq!(tree(&world.path("c/log")), whole);
}

#[test]
fn directories_that_cannot_be_a_backup_or_are_in_use_are_named() {
    let mut world = World::new();
    world.stop();
    fs::create_dir(world.path("letters")).expect("made");
    fs::write(world.path("letters/love"), "").expect("written");
    refused(&world.back_up("letters", &[]), "holds \"love\" and is no backup");
    for inside in ["ca/data/backup", "ca/data"] {
        assert_eq!(world.back_up(inside, &[]).code, 2, "{inside}");
    }
    let held = BackupDirectory::open(&world.path("b")).expect("a backup");
    let holder = format!("is being written by process {}", std::process::id());
    refused(&world.back_up("b", &[]), &holder);
    drop(held);
    good(&world.back_up("b", &[]));
    // The data directory is held, and nobody answers.
    let held = DataDirectory::open(&world.config.data).expect("it opens");
    refused(&world.back_up("b", &[]), "but it does not answer");
    drop(held);
    world.lose_data("lost");
    refused(&world.back_up("b", &[]), "there is no log in");
    assert!(!world.config.data.exists());
    assert_eq!(world.run(&["backup", "b", "--config", "nowhere.yaml"]).code, 78);
    assert_eq!(world.run(&["restore", "b", "--config", "nowhere.yaml"]).code, 78);
}

#[test]
fn cron_leaves_the_outcome_of_audit_and_backup_as_metrics() {
    let world = World::new();
    issue(&world, 257);
    let config = world.config_file();
    let audit =
        || world.run(&["log", "audit", "--json", "--config", &config, "--metrics-file", "audit.prom"]);
    let value = |name: &str| {
        let text = fs::read_to_string(world.path("audit.prom")).expect("written");
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    good(&audit());
    assert_eq!(
        (value("countersign_log_audit_success"), value("countersign_log_audit_entries")),
        (1.0, 257.0)
    );
    let succeeded = value("countersign_log_audit_last_success_timestamp_seconds");
    assert!(succeeded > 1.7e9);
    good(&world.back_up("b", &["--metrics-file", "backup.prom"]));
    let text = fs::read_to_string(world.path("backup.prom")).expect("written");
    assert!(text.contains("\ncountersign_backup_success 1\n"), "{text}");
    assert!(text.contains("\ncountersign_backup_entries 257\n"), "{text}");

    rot(&world.config.data.join("log/tile/data/000"), 40);
    assert_eq!(audit().code, 1);
    assert_eq!(value("countersign_log_audit_success"), 0.0);
    assert_eq!(value("countersign_log_audit_last_success_timestamp_seconds"), succeeded);
}
