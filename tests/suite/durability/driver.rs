//! The process whose writes are recorded: a log that lives several lives on one data directory, most of them ended by a
//! kill before some write, and tells the trace what it has answered and served.

use super::disk::Disk;
use super::random::Seeded;
use super::shim::shim;
use super::trace::{self, Record};
use super::world::{NOW, Promises, TestKey, TestLog};
use crate::support::TestClock;
use countersign::environment::UnixMillis;
use countersign::log::LogKind;
use countersign::transparency::checkpoint::TreeHead;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A directory in memory, so that real syncs cost nothing; gone when dropped.
pub fn scratch() -> tempfile::TempDir {
    let made = tempfile::Builder::new().prefix("countersign-disk").tempdir_in("/dev/shm");
    made.or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// A recorded story.
pub struct Story {
    /// The directory before it.
    pub initial: Disk,
    pub records: Vec<Record>,
    /// For each mark among the records, in order: what had been promised with it.
    pub promises: Promises,
    /// For each record: how many entries and how many checkpoints had been promised before it.
    pub promised_before: Vec<(usize, usize)>,
    /// The directory as the last life left it, with `data` in it.
    pub directory: tempfile::TempDir,
    pub key: Arc<TestKey>,
}

/// One life of the log.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Entered, in groups of many sizes.
    pub entries: u64,
    /// Killed before this change; 0: closed in order.
    pub stop_at: u64,
}

/// Lets a log live in `directory`, which may hold a `data` directory of an earlier `generation` with what was promised then.
pub fn record(
    directory: tempfile::TempDir,
    key: &Arc<TestKey>,
    earlier: Promises,
    generation: u64,
    seed: u64,
    lives: &[Life],
) -> Option<Story> {
    let shim = shim()?;
    let root = fs::canonicalize(directory.path()).expect("its true name");
    let initial = Disk::of(&root);
    let trace_directory = scratch();
    let trace = trace_directory.path().join("trace");
    for (number, life) in (generation * 10..).zip(lives) {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "durability::driver::child_that_logs", "--ignored", "--nocapture"])
            .env("LD_PRELOAD", shim)
            .env("DISK_BELOW", &root)
            .env("DISK_TRACE", &trace)
            .env("DISK_STOP_AT", life.stop_at.to_string())
            .env("DISK_DRIVER", format!("{seed} {number} {}", life.entries))
            .env("DISK_DRIVER_KEY", key.to_hex())
            .env("DISK_DRIVER_LOG", key.kind.name())
            .output()
            .expect("the child runs");
        let ended = output.status.code();
        // A life may be over before its kill.
        let expected = ended == Some(0) || (ended == Some(137) && life.stop_at > 0);
        assert!(
            expected,
            "seed {seed}, life {number} {life:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)
        );
    }
    let records = trace::read(&trace);
    let mut promises = earlier;
    let mut promised_before = Vec::with_capacity(records.len() + 1);
    for record in &records {
        promised_before.push((promises.entries.len(), promises.heads.len()));
        if let Record::Mark(text) = record {
            text.lines().for_each(|line| promise(line, &mut promises));
        }
    }
    promised_before.push((promises.entries.len(), promises.heads.len()));
    Some(Story { initial, records, promises, promised_before, directory, key: key.clone() })
}

impl Story {
    /// What clients held when the record with this number was about to happen.
    pub fn promises_before(&self, record: usize) -> Promises {
        let (entries, heads) = self.promised_before[record];
        Promises {
            entries: self.promises.entries[..entries].to_vec(),
            heads: self.promises.heads[..heads].to_vec(),
        }
    }
}

fn promise(line: &str, promises: &mut Promises) {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let hash = |at: usize| {
        let hash: [u8; 32] = hex::decode(words[at]).expect("hexadecimal").try_into().expect("a hash");
        hash
    };
    match words[0] {
        "entry" => promises.entries.push((number(1), hash(2))),
        "head" => {
            promises.heads.push(TreeHead { size: number(1), root: hash(2), timestamp: UnixMillis(number(3)) })
        }
        other => panic!("{other}"),
    }
}

#[test]
#[ignore = "run by the tests of the simulated disk"]
fn child_that_logs() {
    let (Ok(job), Some(root)) = (std::env::var("DISK_DRIVER"), std::env::var_os("DISK_BELOW")) else {
        return;
    };
    let job: Vec<u64> = job.split(' ').map(|word| word.parse().expect("a number")).collect();
    let name = std::env::var("DISK_DRIVER_LOG").expect("which log");
    let kinds = [LogKind::Certificates, LogKind::Signatures];
    let kind = kinds.into_iter().find(|kind| kind.name() == name).expect("a log");
    let key = TestKey::from_hex(kind, &std::env::var("DISK_DRIVER_KEY").expect("the key"));
    live(&PathBuf::from(root), &key, job[0], job[1], job[2]);
}

/// A life: groups of many sizes, each answered and told, checkpoints served and told, the log closed and opened again at
/// times.
fn live(root: &Path, key: &Arc<TestKey>, seed: u64, life: u64, entries: u64) {
    let mut seeded = Seeded::new(seed.wrapping_mul(1000) + life);
    let clock = TestClock::at(UnixMillis(NOW + life * 1_000_000));
    let mut marks =
        fs::File::options().create(true).append(true).open(root.join(".marks")).expect("the marks");
    let data = root.join("data");
    let mut log = TestLog::start(&data, key, &clock).unwrap_or_else(|error| panic!("{error}"));
    let first = life * 1_000_000;
    let mut done = 0;
    while done < entries {
        let group = [1, 1, 1, 2, 5, 17, 60, 130][seeded.below(8)].min(entries - done);
        let answers = log.enter_many(first + done..first + done + group);
        assert_eq!(answers.len() as u64, group, "everything is answered: {:?}", log.health());
        let answers = answers.iter().map(|(index, leaf)| format!("entry {index} {}\n", hex::encode(leaf)));
        marks.write_all(answers.collect::<String>().as_bytes()).expect("a mark");
        done += group;
        clock.advance(Duration::from_millis(seeded.next() % 50));
        if seeded.chance(60) {
            let head = log.head(key).expect("a tree head");
            let head = format!("head {} {} {}\n", head.size, hex::encode(head.root), head.timestamp.0);
            marks.write_all(head.as_bytes()).expect("a mark");
        }
        if seeded.chance(5) {
            log.close();
            drop(log);
            log = TestLog::start(&data, key, &clock).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    log.close();
}
