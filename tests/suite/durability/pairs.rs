//! Two faults at any two calls of the ports, each with an error returned and the write kept, or lost, or not begun: what
//! was answered stays, and what was served is extended.

use super::items::{Item, audit, enter_many, open, stores, survives};
use super::world::{NOW, Promises, TestKey, TestLog};
use crate::support::TestClock;
use countersign::environment::UnixMillis;
use countersign::log::{Lifecycle as _, Log, LogKind};
use countersign::store::memory::{Fault, MemoryHeadStore, MemoryStore};
use countersign::transparency::{Hash, Place};
use std::sync::Arc;

/// A port of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Head,
    Record,
    Tiles,
}

/// A port's call, counted from 0 for each port.
type Call = (Port, usize);

const KINDS: [Fault; 3] = [Fault::Kept, Fault::Lost, Fault::Refused];

/// What is tried: a log with so many entries, the groups that every life enters, and the calls that may fail.
struct Scenario {
    entries: u64,
    groups: &'static [u64],
    calls: Vec<Call>,
}

fn calls(head: usize, record: usize, tiles: usize) -> Vec<Call> {
    let of = |port, count: usize| (0..count).map(move |call| (port, call));
    of(Port::Head, head).chain(of(Port::Record, record)).chain(of(Port::Tiles, tiles)).collect()
}

/// Every pair of calls with every pair of kinds. How many there were.
fn every_pair(scenario: &Scenario) -> usize {
    let template = MemoryStore::default();
    let answered = if scenario.entries > 0 {
        let log = open(&template).unwrap();
        let answered = enter_many(&log, scenario.entries);
        log.close();
        answered
    } else {
        Vec::new()
    };
    let mut tried = 0;
    for (at, first) in scenario.calls.iter().enumerate() {
        for second in &scenario.calls[at + 1..] {
            for kinds in KINDS.iter().flat_map(|first| KINDS.map(|second| [*first, second])) {
                live(&template, answered.clone(), scenario.groups, [(*first, kinds[0]), (*second, kinds[1])]);
                tried += 1;
            }
        }
    }
    tried
}

/// Makes the calls fail that are to fail.
fn fail(store: &MemoryStore, faults: &[(Call, Fault)]) {
    for port in [Port::Head, Port::Record, Port::Tiles] {
        let mut plan = [None; 16];
        faults
            .iter()
            .filter(|((of, _), _)| *of == port)
            .for_each(|((_, call), fault)| plan[*call] = Some(*fault));
        let last = plan.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let plan = plan.into_iter().take(last);
        match port {
            Port::Head => store.head.fail(plan),
            Port::Record => store.record.fail(plan),
            Port::Tiles => store.tiles.fail(plan),
        }
    }
}

/// Lives until both faults have happened, and one life more.
fn live(template: &MemoryStore, mut answered: Vec<Place>, groups: &[u64], faults: [(Call, Fault); 2]) {
    let store = template.crash();
    fail(&store, &faults);
    let mut served: Vec<(u64, Hash)> = Vec::new();
    let mut healthy = false;
    for _ in 0..12 {
        healthy = store.faults_to_come() == 0;
        let log = match open(&store) {
            Ok(log) => log,
            Err(error) => {
                assert!(!healthy, "{faults:?}: {error}");
                continue;
            }
        };
        audit(&log, &answered);
        extends(&log, &served);
        for group in groups {
            answered.extend(enter_many(&log, *group));
            let head = log.view().read().unwrap().head.clone();
            served.push((head.size, head.root));
        }
        log.close();
        survives(&store, &answered);
        if healthy {
            break;
        }
    }
    assert!(healthy, "{faults:?}: both faults happen, and the log gets over them");
}

/// The same of a signature log, whose first entry is its own.
fn live_with_signatures(key: &Arc<TestKey>, groups: &[u64], faults: [(Call, Fault); 2]) {
    let (store, clock) = (MemoryStore::default(), TestClock::at(UnixMillis(NOW)));
    fail(&store, &faults);
    let (mut promises, mut next, mut healthy) = (Promises::default(), 0, false);
    for _ in 0..12 {
        healthy = store.faults_to_come() == 0;
        let log = match TestLog::start_on(stores(&store), key, &clock) {
            Ok(log) => log,
            Err(error) => {
                assert!(!healthy, "{faults:?}: {error}");
                continue;
            }
        };
        log.audit(key, &promises).unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        for group in groups {
            // What failed is tried again, as callers do: the same entry has one index at most.
            for _ in 0..2 {
                promises.entries.extend(log.enter_many(next..next + group));
            }
            promises.entries.sort_unstable();
            promises.entries.dedup();
            next += group;
            promises.heads.extend(log.head(key).ok());
        }
        log.close();
        let after = TestLog::start_on(stores(&store.crash()), key, &clock).expect("it survives");
        after.audit(key, &promises).unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        if healthy {
            break;
        }
    }
    assert!(healthy, "{faults:?}: both faults happen, and the log gets over them");
    assert!(promises.entries.iter().all(|(index, _)| *index > 0), "the first entry is the log's own");
}

#[test]
fn every_pair_of_faults_while_a_signature_log_is_made_loses_nothing() {
    let key = TestKey::generate_for(LogKind::Signatures);
    let calls = calls(4, 4, 0);
    let mut tried = 0;
    for (at, first) in calls.iter().enumerate() {
        for second in &calls[at + 1..] {
            for kinds in KINDS.iter().flat_map(|first| KINDS.map(|second| [*first, second])) {
                live_with_signatures(&key, &[1, 2], [(*first, kinds[0]), (*second, kinds[1])]);
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 8 * 7 / 2 * 9);
}

/// Every head that was served is a beginning of the log.
fn extends(log: &Log<Item>, served: &[(u64, Hash)]) {
    let reader = super::items::reader(log);
    for (size, root) in served {
        assert_eq!(reader.root(*size).unwrap(), *root, "the head of {size} entries that was served");
    }
}

#[test]
fn a_head_store_that_loses_what_its_record_could_not_tell_has_promised_nothing_of_it() {
    let mut refusals = 0;
    for kind in KINDS {
        for failing in (0..4).flat_map(|first| (1..4).map(move |count| first..first + count)) {
            let store = MemoryStore::default();
            let log = open(&store).unwrap();
            store.record.fail((0..7).map(|call| failing.contains(&call).then_some(kind)));
            let (mut answered, mut served) = (Vec::new(), Vec::new());
            let mut earlier = vec![store.head.stored()];
            for group in [1, 2, 1, 1] {
                answered.extend(enter_many(&log, group));
                let head = log.view().read().unwrap().head.clone();
                served.push((head.size, head.root));
                for state in &earlier {
                    let mut lied = store.crash();
                    lied.head = MemoryHeadStore::holding(state.clone());
                    match open(&lied) {
                        Ok(log) => {
                            audit(&log, &answered);
                            extends(&log, &served);
                        }
                        Err(_) => refusals += 1,
                    }
                }
                earlier.push(store.head.stored());
            }
            log.close();
            survives(&store, &answered);
        }
    }
    assert!(refusals > 0);
}

#[test]
fn every_pair_of_faults_while_a_log_is_made_loses_nothing() {
    let scenario = Scenario { entries: 0, groups: &[1, 2], calls: calls(4, 4, 0) };
    // 8 calls, 9 pairs of kinds.
    assert_eq!(every_pair(&scenario), 8 * 7 / 2 * 9);
}

#[test]
fn every_pair_of_faults_around_the_sealing_of_a_tile_loses_nothing() {
    let long = std::env::var_os("COUNTERSIGN_CRASHES").is_some();
    let scenario = match long {
        false => Scenario { entries: 254, groups: &[1, 1, 2], calls: calls(3, 3, 2) },
        true => Scenario { entries: 254, groups: &[1, 1, 2, 255, 1, 1], calls: calls(7, 7, 6) },
    };
    let count = scenario.calls.len();
    let tried = every_pair(&scenario);
    println!("pairs of faults: {tried}");
    assert_eq!(tried, count * (count - 1) / 2 * 9);
    assert_eq!(tried, if long { 1710 } else { 252 });
}
