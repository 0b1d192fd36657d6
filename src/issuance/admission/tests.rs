//! Places taken and given back, under a clock that stands still until it is turned.

use super::pace::LEAST;
use super::*;
use std::collections::BTreeSet;

#[derive(Default)]
struct TurnedByHand(AtomicU64);

impl Stopwatch for TurnedByHand {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// 0, 1, 2, …
#[derive(Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed) as u8);
    }
}

fn admission() -> (Arc<TurnedByHand>, Admission) {
    let stopwatch = Arc::new(TurnedByHand::default());
    (stopwatch.clone(), Admission::new(stopwatch, Arc::new(Counting::default())))
}

fn sharer(project: &str) -> Sharer {
    sharer_of("https://gitlab.com", project)
}

fn sharer_of(issuer: &str, project: &str) -> Sharer {
    let project = project.bytes().fold(0, |hash: u64, byte| hash * 257 + u64::from(byte));
    Sharer { issuer: issuer.into(), project }
}

/// As many places as there are to be had.
fn fill(admission: &Admission, sharer: &Sharer) -> Vec<Place> {
    std::iter::from_fn(|| admission.admit(sharer.clone()).ok()).collect()
}

fn refused(admission: &Admission) -> [u64; 4] {
    let refused = admission.occupancy().refused;
    [0, 1, 2, 3].map(|stage| refused[stage].1)
}

#[test]
fn a_greedy_project_is_refused_beyond_its_share_and_a_modest_one_is_not() {
    let (_, admission) = admission();
    let greedy = fill(&admission, &sharer("greedy"));
    assert_eq!(greedy.len(), LEAST);
    assert_eq!(admission.foresee(&sharer("greedy")).map_err(|it| it.reason()), Err(Reason::Overloaded));
    assert_eq!(admission.foresee(&sharer("modest")), Ok(()));
    assert_eq!(admission.is_full(), Ok(()));
    let modest = fill(&admission, &sharer("modest"));
    assert_eq!(modest.len(), LEAST / 2);
    assert_eq!(admission.occupancy().making, LEAST + LEAST / 2);
    drop((greedy, modest));
    assert_eq!(admission.occupancy().making, 0);
}

#[test]
fn a_claim_is_counted_nowhere() {
    let (_, admission) = admission();
    let held = fill(&admission, &sharer("greedy"));
    for _ in 0..10_000 {
        assert!(admission.foresee(&sharer("victim")).is_ok());
        assert!(admission.foresee(&sharer("greedy")).is_err());
    }
    assert_eq!(admission.occupancy().making, held.len());
    assert_eq!(fill(&admission, &sharer("victim")).len(), LEAST / 2);
}

#[test]
fn the_place_is_given_back_by_success_and_by_failure_but_only_success_is_pace() {
    let (stopwatch, admission) = admission();
    let mut held = fill(&admission, &sharer("a"));
    let mut turn = |finishes: bool| {
        for _ in 0..4_000 {
            stopwatch.0.fetch_add(1, Ordering::Relaxed);
            for _ in 0..4 {
                let place = held.pop().unwrap();
                if finishes {
                    place.finish()
                } else {
                    drop(place)
                }
                held.push(admission.admit(sharer("a")).ok().unwrap());
            }
        }
        admission.occupancy().limit
    };
    assert_eq!(turn(false), LEAST);
    // 4 a millisecond are 1000 in 250 ms.
    assert!((950..=1050).contains(&turn(true)));
    // Half of the limit, which is more than half of the least.
    assert!(fill(&admission, &sharer("b")).len() > LEAST / 2);
}

#[test]
fn when_nobody_could_get_a_place_the_first_look_says_so() {
    let (_, admission) = admission();
    let held: Vec<_> = ["gitlab", "github"]
        .iter()
        .flat_map(|issuer| (0..3 * LEAST).map(|number| sharer_of(issuer, &number.to_string())))
        .filter_map(|sharer| admission.admit(sharer).ok())
        .collect();
    assert_eq!(held.len(), 3 * LEAST);
    assert!(admission.is_full().is_err());
    assert_eq!(refused(&admission), [1, 0, 3 * LEAST as u64, 0]);
    drop(held);
    assert!(admission.is_full().is_ok());
}

#[test]
fn those_who_are_refused_together_are_told_different_times() {
    let (_, admission) = admission();
    let _held = fill(&admission, &sharer("a"));
    let times: BTreeSet<_> =
        (0..100).filter_map(|_| admission.foresee(&sharer("a")).err()?.retry_after_seconds()).collect();
    assert_eq!(times, BTreeSet::from([1, 2, 3]));
}

#[test]
fn waiting_for_keys_is_bounded_and_takes_no_place_of_the_others() {
    let (_, admission) = admission();
    let waiting: Vec<_> =
        std::iter::from_fn(|| admission.wait_for_keys("https://gitlab.com".into()).ok()).collect();
    assert_eq!(waiting.len(), WAITING);
    assert_eq!(refused(&admission), [0, 0, 0, 1]);
    assert!(admission.wait_for_keys("https://github.com".into()).is_ok());
    assert_eq!((admission.occupancy().making, admission.is_full()), (0, Ok(())));
    drop(waiting);
    assert!(admission.wait_for_keys("https://gitlab.com".into()).is_ok());
}

#[test]
fn every_stage_has_its_own_place_and_name() {
    let names: BTreeSet<_> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    assert_eq!(names.len(), Stage::ALL.len());
    assert!(Stage::ALL.iter().enumerate().all(|(index, stage)| *stage as usize == index));
}
