//! A crash before every change of the disk, and what a loss of power may leave then: the log starts, is whole, and has
//! everything that was promised.

use super::disk::{Disk, Image, Leaves, materialise};
use super::driver::{Life, Story, record, scratch};
use super::random::Seeded;
use super::trace::Record;
use super::world::{NOW, Promises, TestKey, TestLog};
use crate::support::TestClock;
use countersign::environment::UnixMillis;
use countersign::log::LogKind;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

/// What was tried.
#[derive(Debug, Default)]
pub struct Figures {
    stories: usize,
    records: usize,
    crash_points: usize,
    images: usize,
    distinct: usize,
}

/// Starts the log on an image, looks for what was promised, enters more, and starts it once more.
pub fn recovers(image: &Image, key: &Arc<TestKey>, promises: &Promises) -> Result<(), String> {
    let directory = scratch();
    materialise(image, directory.path());
    let data = directory.path().join("data");
    let mut promises = promises.clone();
    let clock = TestClock::at(UnixMillis(NOW + 1_000_000_000));
    for again in 0..2 {
        let log = TestLog::start(&data, key, &clock).map_err(|error| format!("start {again}: {error}"))?;
        let size = log.entries();
        let added = log.enter_many(1_000_000_000 + again..1_000_000_001 + again);
        let indices: Vec<u64> = added.iter().map(|(index, _)| *index).collect();
        if indices != [size] {
            return Err(format!("an entry was added to {size} at {indices:?}"));
        }
        promises.entries.extend(added);
        log.audit(key, &promises).map_err(|error| format!("start {again}: {error}"))?;
        log.close();
    }
    Ok(())
}

/// Whether a crash before this record differs from one before the next.
fn changes(record: &Record) -> bool {
    !matches!(record, Record::Range | Record::Mark(_))
}

/// Crashes a story: `choose` says, for every crash point, what is left.
fn crash_everywhere(
    story: &Story,
    figures: &mut Figures,
    choose: &mut dyn FnMut(usize) -> Vec<Leaves>,
) -> Vec<(Image, Promises)> {
    let mut disk = story.initial.clone();
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    figures.stories += 1;
    figures.records += story.records.len();
    for at in 0..=story.records.len() {
        if story.records.get(at).is_none_or(changes) {
            let choices = choose(at);
            figures.crash_points += usize::from(!choices.is_empty());
            for leaves in choices {
                let image = disk.crash(leaves);
                figures.images += 1;
                let mut hasher = DefaultHasher::new();
                (&image, story.promised_before[at]).hash(&mut hasher);
                if !seen.insert(hasher.finish()) {
                    continue;
                }
                figures.distinct += 1;
                if let Err(error) = recovers(&image, &story.key, &story.promises_before(at)) {
                    let kept =
                        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{}", std::process::id()));
                    std::fs::create_dir_all(&kept).expect("a place for the image");
                    materialise(&image, &kept);
                    disk.explain();
                    panic!(
                        "{leaves:?} before record {at}, {:?}: {error}\n{}",
                        story.records.get(at).map(short),
                        list(&image)
                    );
                }
                kept.push((image, story.promises_before(at)));
            }
        }
        if let Some(record) = story.records.get(at) {
            disk.apply(record);
        }
    }
    // Where the shim missed a write, the model and the real directory differ.
    let mut real = Disk::of(story.directory.path()).crash(Leaves::All);
    real.remove(".marks");
    assert!(real == disk.crash(Leaves::All), "the trace does not lead to the directory as it is");
    kept
}

fn short(record: &Record) -> String {
    format!("{record:?}").chars().take(120).collect()
}

fn list(image: &Image) -> String {
    image.iter().map(|(path, content)| format!("  {path} {:?}\n", content.as_ref().map(Vec::len))).collect()
}

fn recorded(kind: LogKind, seed: u64, lives: &[Life]) -> Option<Story> {
    record(scratch(), &TestKey::generate_for(kind), Promises::default(), 0, seed, lives)
}

/// Every head of one size is the same: what the log itself served, over all its lives.
fn heads_agree(promises: &Promises) {
    let mut roots = HashMap::new();
    for head in &promises.heads {
        assert_eq!(
            *roots.entry(head.size).or_insert(head.root),
            head.root,
            "two heads of {} entries",
            head.size
        );
    }
}

/// A story, crashed at so many in a hundred of its writes: of the first ones, and of the others.
fn some_crashes(kind: LogKind, lives: &[Life], [close, far]: [u64; 2]) {
    if std::env::var_os(LONG_FORM).is_some() {
        return;
    }
    let Some(story) = recorded(kind, 1, lives) else { return };
    // How far the lives that were killed got, depends on the machine; the last one got to its end.
    let sure = lives.last().map_or(0, |life| life.entries as usize);
    assert!(sure > 0 && story.promises.entries.len() >= sure, "{}", story.promises.entries.len());
    let mut figures = Figures::default();
    let mut seeded = Seeded::new(7);
    // The beginning, where everything is made, more closely than the rest.
    crash_everywhere(
        &story,
        &mut figures,
        &mut |at| match seeded.chance(if at < 60 { close } else { far }) {
            true => vec![Leaves::Some(seeded.next())],
            false => Vec::new(),
        },
    );
    println!("{}: {figures:?}", kind.name());
    assert!(figures.distinct > 20, "{figures:?}");
}

#[test]
fn a_crash_at_a_write_loses_nothing_that_was_promised() {
    let lives = [
        Life { entries: 300, stop_at: 35 },
        Life { entries: 300, stop_at: 220 },
        Life { entries: 250, stop_at: 0 },
    ];
    some_crashes(LogKind::Certificates, &lives, [40, 15]);
}

#[test]
fn a_crash_at_a_write_loses_nothing_that_the_signature_log_promised() {
    let lives = [
        Life { entries: 100, stop_at: 35 },
        Life { entries: 300, stop_at: 180 },
        Life { entries: 160, stop_at: 0 },
    ];
    some_crashes(LogKind::Signatures, &lives, [40, 6]);
}

/// The long form: `COUNTERSIGN_CRASHES=seeds,stories,first cargo test … every_crash -- --nocapture`.
const LONG_FORM: &str = "COUNTERSIGN_CRASHES";

#[test]
fn every_crash_at_every_write_loses_nothing_that_was_promised() {
    let Ok(setting) = std::env::var(LONG_FORM) else { return };
    let numbers: Vec<u64> =
        setting.split(',').map(|number| number.parse().expect("seeds,stories,first")).collect();
    let (seeds, stories) = (numbers[0], numbers.get(1).copied().unwrap_or(1));
    let first = numbers.get(2).copied().unwrap_or(1);
    let mut figures = Figures::default();
    for seed in first..first + stories {
        for kind in [LogKind::Certificates, LogKind::Signatures] {
            every_crash_of_a_story(kind, seed, seeds, &mut figures);
        }
    }
}

/// Every write of a story, then of two recoveries from what it left.
fn every_crash_of_a_story(kind: LogKind, seed: u64, seeds: u64, figures: &mut Figures) {
    let mut seeded = Seeded::new(seed);
    let mut kill = |end: usize| 1 + seeded.below(end) as u64;
    // One long log, then one of many short lives: a start writes as well.
    let mut lives: Vec<Life> = match seed % 2 {
        1 => vec![
            Life { entries: 300, stop_at: kill(60) },
            Life { entries: 300, stop_at: kill(150) },
            Life { entries: 300, stop_at: kill(30) },
            Life { entries: 300, stop_at: kill(250) },
        ],
        _ => (0..9).map(|_| Life { entries: 30, stop_at: kill(70) }).collect(),
    };
    lives.push(Life { entries: 1 + kill(300), stop_at: 0 });
    let Some(story) = recorded(kind, seed, &lives) else { return };
    heads_agree(&story.promises);
    let all = |seed: u64| {
        move |at: usize| {
            let some = (0..seeds).map(|number| Leaves::Some((seed << 40) + ((at as u64) << 8) + number));
            [Leaves::All, Leaves::Nothing].into_iter().chain(some).collect()
        }
    };
    let images = crash_everywhere(&story, figures, &mut all(seed));
    println!("{}, story {seed}: {figures:?}", kind.name());
    // The recovery from a loss of power is itself killed, and loses power.
    for generation in 1..=2 {
        let (image, promises) = &images[seeded.below(images.len())];
        let directory = scratch();
        materialise(image, directory.path());
        let mut kill = |end: usize| 1 + seeded.below(end) as u64;
        let lives = [
            Life { entries: 20, stop_at: kill(30) },
            Life { entries: 20, stop_at: kill(60) },
            Life { entries: 300, stop_at: 0 },
        ];
        let again = record(directory, &story.key, promises.clone(), generation, seed, &lives);
        let Some(again) = again else { return };
        heads_agree(&again.promises);
        crash_everywhere(&again, figures, &mut all(seed + 1000 * generation));
        println!("{}, story {seed}, generation {generation}: {figures:?}", kind.name());
    }
}
