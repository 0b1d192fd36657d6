//! A disk that lies: what was synced is lost too, cut, changed, or replaced by what it was earlier. The log refuses to start
//! and names the way out, or it goes on with everything that was promised. What no part of the directory can tell is
//! counted apart, and must be a directory that is older as a whole.

use super::disk::{Image, Leaves, materialise};
use super::driver::{Life, Story, record, scratch};
use super::random::Seeded;
use super::trace::Record;
use super::world::{NOW, Promises, TestKey, TestLog};
use crate::support::TestClock;
use countersign::environment::UnixMillis;
use countersign::log::LogKind;
use countersign::log::ports::HeadRecord;
use countersign::store::FileHeadRecord;

/// Parts of a log's directory.
const HEAD: &str = "head";
const RECORD: &str = "head.record";
const TILES: &str = "log";

/// What the start made of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Recovered,
    Refused,
    /// It went on with less than was promised: the entries that it has, and what is missing.
    Unseen(u64, String),
}

#[derive(Debug, Default)]
struct Figures {
    images: usize,
    recovered: usize,
    refused: usize,
    unseen: usize,
}

impl Figures {
    fn count(&mut self, outcome: &Outcome) {
        self.images += 1;
        match outcome {
            Outcome::Recovered => self.recovered += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unseen(..) => self.unseen += 1,
        }
    }
}

fn outcome(image: &Image, story: &Story, promises: &Promises) -> Outcome {
    let directory = scratch();
    materialise(image, directory.path());
    let clock = TestClock::at(UnixMillis(NOW + 1_000_000_000));
    match TestLog::start(&directory.path().join("data"), &story.key, &clock) {
        Err(error) => {
            let ways =
                ["put the", "put it", "check that", "must be readable and writable", "delete it and start"];
            assert!(ways.iter().any(|way| error.contains(way)), "no way out: {error}");
            Outcome::Refused
        }
        Ok(log) => {
            let entries = log.entries();
            match log.audit(&story.key, promises) {
                Ok(()) => Outcome::Recovered,
                Err(what) => Outcome::Unseen(entries, what),
            }
        }
    }
}

/// How many images of each kind, of each log.
fn tries() -> usize {
    std::env::var("COUNTERSIGN_CRASHES").map_or(12, |_| 400)
}

/// One of each log. None: there is no compiler for the shim.
fn stories() -> Vec<Story> {
    let lives = [Life { entries: 330, stop_at: 0 }, Life { entries: 330, stop_at: 0 }];
    let story = |kind| record(scratch(), &TestKey::generate_for(kind), Promises::default(), 0, 3, &lives);
    [LogKind::Certificates, LogKind::Signatures].into_iter().filter_map(story).collect()
}

impl Story {
    /// Where this log's file of that name lies.
    fn file(&self, name: &str) -> String {
        match self.key.kind {
            LogKind::Certificates => format!("data/{name}"),
            LogKind::Signatures => format!("data/signatures/{name}"),
        }
    }

    /// What the second record of an image tells.
    fn recorded_size(&self, image: &Image) -> u64 {
        let directory = scratch();
        materialise(image, directory.path());
        let record = FileHeadRecord::open(&directory.path().join(self.file(RECORD))).expect("the record");
        record.read().ok().flatten().map_or(0, |recorded| recorded.size)
    }

    /// The number of entries that the tiles of an image are of.
    fn sealed_size(&self, image: &Image) -> u64 {
        let below = self.file("log/tile/data/");
        let tiles = image.keys().filter_map(|path| path.strip_prefix(&below)?.parse::<u64>().ok());
        tiles.max().map_or(0, |last| (last + 1) * 256)
    }

    /// The directory before this record, with everything that the process wrote.
    fn image_at(&self, at: usize) -> Image {
        let mut disk = self.initial.clone();
        self.records[..at].iter().for_each(|record| disk.apply(record));
        disk.crash(Leaves::All)
    }

    /// Some record after the directory was made.
    fn some_record(&self, seeded: &mut Seeded) -> usize {
        let made = self.records.iter().position(|record| matches!(record, Record::Mark(_))).expect("a mark");
        made + 1 + seeded.below(self.records.len() - made)
    }
}

/// The image with the parts below these paths as another has them.
fn with_parts_of(image: &Image, other: &Image, parts: &[String]) -> Image {
    let is_in = |path: &str| {
        parts.iter().any(|part| {
            path == part || path.strip_prefix(part.as_str()).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let kept = image.iter().filter(|(path, _)| !is_in(path));
    let put = other.iter().filter(|(path, _)| is_in(path));
    kept.chain(put).map(|(path, content)| (path.clone(), content.clone())).collect()
}

#[test]
fn parts_of_different_ages_are_seen_or_harmless() {
    for story in stories() {
        mix_ages(&story);
    }
}

fn mix_ages(story: &Story) {
    let mut seeded = Seeded::new(11);
    for parts in [&[HEAD][..], &[RECORD], &[TILES], &[HEAD, TILES], &[RECORD, TILES]] {
        let files: Vec<String> = parts.iter().map(|part| story.file(part)).collect();
        let mut figures = Figures::default();
        for _ in 0..tries() {
            let now = story.some_record(&mut seeded);
            let then = story.some_record(&mut seeded).min(now);
            let image = with_parts_of(&story.image_at(now), &story.image_at(then), &files);
            let outcome = outcome(&image, story, &story.promises_before(now));
            assert!(!matches!(outcome, Outcome::Unseen(..)), "{parts:?} of {then} at {now}: {outcome:?}");
            figures.count(&outcome);
        }
        println!("{}, {parts:?}: {figures:?}", story.key.kind.name());
        if parts == [RECORD] {
            assert_eq!(figures.recovered, figures.images, "a record that lags is no trouble");
        }
        if parts.contains(&HEAD) {
            assert!(figures.refused > 0, "{figures:?}");
        }
    }
}

#[test]
fn an_older_head_store_beside_a_lost_or_damaged_record_is_seen() {
    for story in stories() {
        age_the_head(&story);
    }
}

fn age_the_head(story: &Story) {
    let mut seeded = Seeded::new(14);
    let (head, record) = (story.file(HEAD), story.file(RECORD));
    for number in 0..2 * tries() {
        let now = story.some_record(&mut seeded);
        let then = story.some_record(&mut seeded).min(now);
        let mut image =
            with_parts_of(&story.image_at(now), &story.image_at(then), std::slice::from_ref(&head));
        if number % 2 == 0 {
            image.remove(&record);
        } else {
            let bytes = image.get_mut(&record).and_then(Option::as_mut).expect("the record");
            // A bit of one of the slots, the newest among them.
            let at = (4096 * seeded.below(2) + seeded.below(64)).min(bytes.len() - 1);
            bytes[at] ^= 1 << seeded.below(8);
        }
        let outcome = outcome(&image, story, &story.promises_before(now));
        assert_eq!(outcome, Outcome::Refused, "{then} at {now}");
    }
}

#[test]
fn a_head_store_that_was_cut_or_changed_is_seen_or_harmless() {
    for story in stories() {
        damage_the_head(&story);
    }
}

fn damage_the_head(story: &Story) {
    let mut seeded = Seeded::new(12);
    let mut figures = Figures::default();
    let below = story.file("head/");
    for number in 0..4 * tries() {
        let at = story.some_record(&mut seeded);
        let mut image = story.image_at(at);
        let files: Vec<String> = image
            .keys()
            .filter(|path| path.starts_with(&below) && !path.ends_with("/blobs"))
            .cloned()
            .collect();
        // Mostly the file that holds nearly everything.
        let file = if number % 4 == 0 {
            files[seeded.below(files.len())].clone()
        } else {
            story.file("head/journal.0")
        };
        let bytes = image.get_mut(&file).and_then(Option::as_mut).expect("a file");
        if bytes.is_empty() {
            continue;
        }
        let place = seeded.below(bytes.len());
        match seeded.below(4) {
            0 => bytes.truncate(place),
            1 => bytes[place] ^= 1 << seeded.below(8),
            2 => {
                let end = (place + 4096).min(bytes.len());
                bytes[place..end].fill(0);
            }
            _ => {
                // As sectors that a repair put back from elsewhere.
                let (from, to) = (place / 512 * 512, seeded.below(bytes.len()) / 512 * 512);
                let sector: Vec<u8> = bytes.iter().skip(from).take(512).copied().collect();
                let end = (to + sector.len()).min(bytes.len());
                bytes[to..end].copy_from_slice(&sector[..end - to]);
            }
        }
        let outcome = outcome(&image, story, &story.promises_before(at));
        assert!(!matches!(outcome, Outcome::Unseen(..)), "{file} at {at}, place {place}: {outcome:?}");
        figures.count(&outcome);
    }
    println!("{}, cut or changed: {figures:?}", story.key.kind.name());
    assert!(figures.refused > 0 && figures.recovered > 0, "{figures:?}");
}

#[test]
fn syncs_that_did_nothing_are_seen_wherever_anything_tells_of_what_was_lost() {
    for story in stories() {
        ignore_syncs(&story);
    }
}

fn ignore_syncs(story: &Story) {
    let mut seeded = Seeded::new(13);
    let mut figures = Figures::default();
    for _ in 0..4 * tries() {
        let at = story.some_record(&mut seeded);
        let ignored = 1 + seeded.below(12);
        let syncs: Vec<usize> =
            (0..at).filter(|number| matches!(story.records[*number], Record::Sync { .. })).collect();
        let from = syncs[syncs.len().saturating_sub(ignored)];
        let mut disk = story.initial.clone();
        disk.reorder_names();
        for (number, record) in story.records[..at].iter().enumerate() {
            disk.ignore_syncs(number >= from);
            disk.apply(record);
        }
        let image = disk.crash(Leaves::Some(seeded.next()));
        let outcome = outcome(&image, story, &story.promises_before(at));
        if let Outcome::Unseen(entries, what) = &outcome {
            let told = story.recorded_size(&image).max(story.sealed_size(&image));
            assert!(
                told <= *entries,
                "{ignored} syncs before {at}: {entries} entries, but {told} are told of: {what}"
            );
        }
        figures.count(&outcome);
    }
    println!("{}, ignored syncs: {figures:?}", story.key.kind.name());
    assert!(figures.refused > 0 && figures.recovered > 0, "{figures:?}");
}
