//! Who may have a place when places are short: dynamic thresholds, first by issuer, within it by project.
//!
//! Pure counting, no time and no rates. While there is room everybody is admitted, one project alone up to the last place.
//! Without room whoever holds less than its share is admitted all the same: its share is the limit, divided by the issuers that
//! hold places now, divided by the issuer's projects that do. So a newcomer need not wait until somebody who holds everything
//! gives something back.
//!
//! A share is one place at least, so an issuer of very many projects would take what is there for others too. Therefore an
//! issuer gets over its share by as much again and no further: alone it holds twice the limit at most, and the third that the
//! total may reach is for others.

use std::collections::HashMap;
use std::sync::Arc;

/// Who a place is counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sharer {
    /// The issuer as the operator configured it; all that one pattern admits are one.
    pub issuer: Arc<str>,
    /// Within it: a hash of the token's `iss` and its project, keyed anew in each process. So it has a fixed size, and nobody
    /// can look for two that are one.
    pub project: u64,
}

/// Who holds how many places. As many entries as there are places taken, at most.
#[derive(Debug, Default)]
pub struct Shares {
    total: usize,
    issuers: HashMap<Arc<str>, Held>,
}

/// What one issuer holds.
#[derive(Debug, Default)]
struct Held {
    total: usize,
    projects: HashMap<u64, usize>,
}

/// The most places that are ever taken, in limits.
pub const FULL: usize = 3;

impl Shares {
    /// How many places are taken.
    pub const fn total(&self) -> usize {
        self.total
    }

    /// How many of them by each issuer.
    pub fn by_issuer(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.issuers.iter().map(|(issuer, held)| (issuer, held.total))
    }

    /// No room for anybody, whatever its share.
    pub const fn is_full(&self, limit: usize) -> bool {
        self.total >= limit.saturating_mul(FULL)
    }

    /// Whether `sharer` may take one more place. Nothing is counted by asking.
    pub fn admits(&self, sharer: &Sharer, limit: usize) -> bool {
        if self.total < limit {
            return true;
        }
        if self.is_full(limit) {
            return false;
        }
        let held = self.issuers.get(&sharer.issuer);
        let own = held.and_then(|held| held.projects.get(&sharer.project)).copied().unwrap_or(0);
        // Whoever asks counts among those that want places.
        let issuers = self.issuers.len() + usize::from(held.is_none());
        let projects = held.map_or(0, |held| held.projects.len()) + usize::from(own == 0);
        let share = limit.div_ceil(issuers);
        own < share.div_ceil(projects) && held.is_none_or(|held| held.total < 2 * share)
    }

    /// Takes a place, whether there is room or not.
    pub fn take(&mut self, sharer: &Sharer) {
        self.total += 1;
        let held = self.issuers.entry(sharer.issuer.clone()).or_default();
        held.total += 1;
        *held.projects.entry(sharer.project).or_default() += 1;
    }

    /// Gives a place back.
    pub fn give_back(&mut self, sharer: &Sharer) {
        let Some(held) = self.issuers.get_mut(&sharer.issuer) else { return };
        let Some(own) = held.projects.get_mut(&sharer.project) else { return };
        self.total -= 1;
        held.total -= 1;
        *own -= 1;
        if *own == 0 {
            held.projects.remove(&sharer.project);
        }
        if held.total == 0 {
            self.issuers.remove(&sharer.issuer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

    const LIMIT: usize = 100;

    fn sharer(issuer: &str, project: &str) -> Sharer {
        Sharer {
            issuer: issuer.into(),
            project: BuildHasherDefault::<DefaultHasher>::default().hash_one(project),
        }
    }

    /// Takes as many places as it gets; says how many.
    fn grab(shares: &mut Shares, sharer: &Sharer) -> usize {
        let mut got = 0;
        while shares.admits(sharer, LIMIT) {
            shares.take(sharer);
            got += 1;
        }
        got
    }

    #[test]
    fn alone_a_project_has_everything() {
        let mut shares = Shares::default();
        assert_eq!(grab(&mut shares, &sharer("gitlab", "a")), LIMIT);
    }

    #[test]
    fn while_there_is_room_nobody_is_refused_however_many_share() {
        let mut shares = Shares::default();
        for number in 0..LIMIT / 2 {
            shares.take(&sharer("gitlab", &number.to_string()));
        }
        assert_eq!(grab(&mut shares, &sharer("gitlab", "a")), LIMIT / 2);
    }

    #[test]
    fn a_newcomer_gets_its_share_although_another_holds_everything() {
        let mut shares = Shares::default();
        let greedy = sharer("gitlab", "greedy");
        grab(&mut shares, &greedy);
        assert_eq!(grab(&mut shares, &sharer("gitlab", "modest")), LIMIT / 2);
        assert!(!shares.admits(&greedy, LIMIT));
        // Within another issuer the share is half of everything, and of a second project there a quarter.
        assert_eq!(grab(&mut shares, &sharer("github", "one")), LIMIT / 2);
        assert_eq!(grab(&mut shares, &sharer("github", "two")), LIMIT / 4);
    }

    #[test]
    fn many_projects_of_one_issuer_leave_the_other_its_half() {
        for projects in [LIMIT, 10 * LIMIT] {
            let mut shares = Shares::default();
            for number in 0..projects {
                let one = sharer("gitlab", &number.to_string());
                if shares.admits(&one, LIMIT) {
                    shares.take(&one);
                }
            }
            assert!((LIMIT..=2 * LIMIT).contains(&shares.total()), "{}", shares.total());
            assert_eq!(grab(&mut shares, &sharer("github", "a")), LIMIT / 2);
        }
    }

    #[test]
    fn an_issuer_that_holds_more_than_twice_its_share_gets_nothing_until_it_has_given_back() {
        let mut shares = Shares::default();
        let projects: Vec<_> = (0..2 * LIMIT).map(|number| sharer("gitlab", &number.to_string())).collect();
        projects.iter().for_each(|project| shares.take(project));
        shares.take(&sharer("github", "a"));
        let newcomer = sharer("gitlab", "new");
        for project in &projects {
            // Twice its share of a half, and the other's one place.
            assert_eq!(shares.admits(&newcomer, LIMIT), shares.total() <= LIMIT);
            shares.give_back(project);
        }
    }

    #[test]
    fn what_was_taken_is_given_back_and_forgotten() {
        let mut shares = Shares::default();
        let (a, b) = (sharer("gitlab", "a"), sharer("github", "b"));
        shares.take(&a);
        shares.take(&b);
        assert_eq!(shares.by_issuer().count(), 2);
        shares.give_back(&a);
        assert_eq!(
            shares.by_issuer().map(|(issuer, places)| (&**issuer, places)).collect::<Vec<_>>(),
            [("github", 1)]
        );
        // Nobody gives back what it does not have.
        shares.give_back(&a);
        shares.give_back(&b);
        assert_eq!((shares.total(), shares.issuers.len()), (0, 0));
    }

    proptest! {
        /// Whatever comes and goes: the total never passes three times the limit, whoever holds less than its share is admitted
        /// while its issuer holds less than twice its own, and the counts are those of the places.
        #[test]
        fn the_total_is_bounded_and_no_share_is_withheld(
            steps in prop::collection::vec((0_u8..3, 0_u8..4, any::<bool>()), 1..600)
        ) {
            let mut shares = Shares::default();
            let mut held: Vec<Sharer> = Vec::new();
            for (issuer, project, takes) in steps {
                let sharer = sharer(&issuer.to_string(), &project.to_string());
                if takes {
                    let own = held.iter().filter(|other| **other == sharer).count();
                    let admitted = shares.admits(&sharer, 20);
                    let of_issuer = held.iter().filter(|other| other.issuer == sharer.issuer).count();
                    // At most 3 issuers with 4 projects each: nobody's share is ever below 20 / 12, rounded up.
                    prop_assert!(admitted || own >= 2 || of_issuer >= 14 || shares.is_full(20));
                    if admitted {
                        shares.take(&sharer);
                        held.push(sharer);
                    }
                } else if let Some(index) = held.iter().position(|other| *other == sharer) {
                    shares.give_back(&held.swap_remove(index));
                }
                prop_assert_eq!(shares.total(), held.len());
                prop_assert!(shares.total() <= 60);
            }
        }
    }
}
