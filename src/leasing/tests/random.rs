//! Faults and crashes that nobody thought of, on both ports.

use crate::broker::Kind;
use crate::leasing::memory::Fault as StoreFault;
use crate::leasing::testing::{Fault, Machine, Seeded, finish, grant};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        4 => Just(None),
        1 => prop_oneof![Just(None), (1..200_u64).prop_map(Some)].prop_map(|wait| Some(Fault::NotDone(wait))),
        1 => prop_oneof![Just(400), Just(403), Just(404), Just(500)].prop_map(|status| Some(Fault::Refused(status))),
        1 => prop_oneof![Just(401), Just(403)].prop_map(|status| Some(Fault::Credential(status))),
        1 => Just(Some(Fault::Lost)),
        2 => Just(Some(Fault::LostAfter)),
        1 => (1..590_u64).prop_map(|secs| Some(Fault::Late(secs))),
    ]
}

fn store_fault() -> impl Strategy<Value = Option<StoreFault>> {
    prop_oneof![
        8 => Just(None),
        2 => Just(Some(StoreFault::Refused)),
        1 => Just(Some(StoreFault::Kept)),
        1 => Just(Some(StoreFault::Lost)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Mint(usize, u64),
    RevokeNewest,
    RevokeAll,
    Pass(u64),
    /// A machine that crashes after so many steps.
    Restart(i64),
    SetClock(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..Kind::ALL.len(), 10..400_u64).prop_map(|(kind, ttl)| Step::Mint(kind, ttl)),
        1 => Just(Step::RevokeNewest),
        1 => Just(Step::RevokeAll),
        2 => (0..400_u64).prop_map(Step::Pass),
        2 => prop_oneof![Just(i64::MAX), 0..40_i64].prop_map(Step::Restart),
        1 => (-2..=2_i64).prop_map(|hours| Step::SetClock(hours * 3_600_000)),
    ]
}

async fn run(steps: Vec<Step>, faults: Vec<(usize, Option<Fault>)>, store_faults: Vec<Option<StoreFault>>) {
    const ROUTES: [&str; 5] = ["mint", "revoke", "find", "holder", "user"];
    let mut machine = Machine::new().await;
    machine.world.user(42, (true, false, false));
    for (route, fault) in faults {
        machine.world.script(ROUTES[route], [fault]);
    }
    machine.store.fail(store_faults);
    let mut known = BTreeSet::new();
    let random = Seeded::new(7);
    let patience = Duration::from_secs(30);
    for step in steps {
        match step {
            Step::Mint(kind, ttl) => {
                let jti = random.next().to_string();
                let _ = tokio::time::timeout(patience, machine.mint(grant(Kind::ALL[kind], ttl, &jti))).await;
            }
            Step::RevokeNewest => {
                let newest = machine.broker.leases(&Default::default(), None, 1).leases.pop();
                if let Some(lease) = newest {
                    let _ = tokio::time::timeout(patience, machine.broker.revoke(lease.id)).await;
                }
            }
            Step::RevokeAll => {
                let all = crate::leasing::Filter::default();
                let all = machine.broker.revoke_where(&all);
                let _ = tokio::time::timeout(patience, all).await;
            }
            Step::Pass(seconds) => machine.pass(seconds).await,
            Step::Restart(steps) => machine = machine.restart_crashing_after(steps).await,
            Step::SetClock(by) => machine.watch.set_wrong(by),
        }
        let leased = machine.store.leases();
        // No token without a lease: at any moment, whatever has happened.
        for (id, name) in machine.world.names() {
            assert!(leased.iter().any(|lease| lease.name == name), "token {id} has no lease");
        }
        known.extend(leased.iter().map(|lease| lease.id));
    }
    machine.world.heal();
    machine.watch.set_wrong(0);
    let machine = machine.restart().await;
    finish(&machine).await;
    let kept: BTreeSet<_> = machine.store.leases().iter().map(|lease| lease.id).collect();
    assert!(known.is_subset(&kept), "leases are forgotten");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn whatever_fails_no_token_lives_without_a_lease_and_no_lease_is_forgotten(
        steps in proptest::collection::vec(step(), 1..12),
        faults in proptest::collection::vec((0..5_usize, fault()), 0..24),
        store_faults in proptest::collection::vec(store_fault(), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps, faults, store_faults));
    }
}

/// Some each time; `PROPTEST_CASES` for many.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}
